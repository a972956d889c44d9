"""Documentation that cannot rot: error codes, commands, fields and pages are what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from specforge.cli.main import COMMANDS
from specforge.language.messages.pages import codes
from specforge.language.registry import config_class, load_registry
from specforge.language.schema.document import SpecDocument
from specforge.plugin import Hooks

ROOT = Path(__file__).parent.parent
CODE = re.compile(r'"(SF\d{3})"')


def test_every_error_code_is_documented_and_in_use() -> None:
    used = {code for path in (ROOT / "specforge").rglob("*.py") for code in CODE.findall(path.read_text())}
    table = (ROOT / "docs" / "reference" / "errors.md").read_text()
    rows = re.findall(
        r"^\| \[(SF\d{3})\]\(\.\./\.\./specforge/language/messages/pages/(SF\d{3})\.md\) ", table, re.MULTILINE
    )

    assert [(code, code) for code in sorted(used)] == rows
    assert tuple(sorted(used)) == codes()


def test_the_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `specforge ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert set(COMMANDS) == set(listed)


def test_every_field_of_every_table_has_a_description() -> None:
    sections = [field.annotation for field in SpecDocument.model_fields.values()]
    configs = [config_class(registered) for registered in load_registry().components()]
    silent = [
        f"{model.__name__}.{name}"
        for model in [*configs, *sections]
        if isinstance(model, type) and hasattr(model, "model_fields")
        for name, field in model.model_fields.items()
        if not field.description
    ]

    assert [] == silent


def test_every_hook_is_documented() -> None:
    page = (ROOT / "docs" / "how-to" / "write-a-plugin.md").read_text()
    hooks = [name for name in vars(Hooks) if name.startswith("specforge_")]

    assert [] == [hook for hook in hooks if f"def {hook}(" not in page]


def test_links_between_pages_lead_somewhere() -> None:
    pages = list(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert [] == broken
