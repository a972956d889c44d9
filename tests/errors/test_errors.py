"""Every code of the language with a spec that shows it: what a user sees, byte for byte.

A folder `SFxxx`, or `SFxxx_word` where a code has more to show, holds `spec.toml`, what it extends, `set.txt` (an argument of
`--set` a line) where it needs one, and `expected.txt`; `expected.json` and `expected.github` are what these formats print.
`python tests/errors/test_errors.py` writes the expected texts anew; look at the difference before you commit it.

The pages of the codes (`specforge explain SF101`) take their examples from these folders.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
from pydantic import model_validator

from specforge import builtin
from specforge.cli.main import main
from specforge.language import components, resolve
from specforge.language.messages.diagnostics import SpecError, render
from specforge.language.messages.pages import page
from specforge.language.plugins import Plugins, PluginSource, declared
from specforge.language.registry import Registry
from specforge.language.schema.document import WARNINGS
from specforge.plugin import Component, OptimizerConfig, hookimpl

FOLDER = Path(__file__).parent
CASES = sorted(path.name for path in FOLDER.iterdir() if (path / "spec.toml").exists())
TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FORMATS = [(path.parent.name, path.suffix[1:]) for path in sorted(FOLDER.glob("*/expected.[jg]*"))]


class FailingConfig(OptimizerConfig):
    """A config whose own check is broken."""

    lr: float = 1.0

    @model_validator(mode="after")
    def _broken(self) -> FailingConfig:
        message = "list index out of range"
        raise IndexError(message)


class Plugin:
    """A plugin made by hand."""

    def __init__(self, *components: Component) -> None:
        self._components = components

    @hookimpl
    def specforge_components(self) -> tuple[Component, ...]:
        """Return its components."""
        return self._components


def focal() -> Component:
    config = "specforge.criterions.cross_entropy.config:CrossEntropyConfig"
    return Component(kind="criterion", name="focal", config=config, factory="plugin_of_a_test:build")


def failing() -> Component:
    return Component("optimizer", "failing", "plugin_of_a_test:FailingConfig", "plugin_of_a_test:build")


def absent() -> Component:
    return Component("lr_scheduler", "absent", "module_that_is_absent:Config", "module_that_is_absent:build")


def broken() -> object:
    message = "No module named 'flash_attn'"
    raise ModuleNotFoundError(message)


SOURCES = (
    PluginSource("broken-plugin", "1.0", "broken", broken),
    PluginSource("one-plugin", "0.1", "one", lambda: Plugin(focal())),
    PluginSource("other-plugin", "0.3", "other", lambda: Plugin(focal(), failing(), absent())),
)
WITH_PLUGINS: Mapping[str, tuple[PluginSource, ...]] = dict.fromkeys(("SF202", "SF203", "SF210"), SOURCES)


@contextlib.contextmanager
def registered(case: str) -> Iterator[None]:
    """Let specs see the built-ins, and for some cases the plugins above; never what is installed here."""
    module = ModuleType("plugin_of_a_test")
    module.FailingConfig = FailingConfig  # type: ignore[attr-defined]
    registry = Registry(declared(builtin), "0.1.0", Plugins(lambda: WITH_PLUGINS.get(case, ())))
    with (
        mock.patch.dict(sys.modules, plugin_of_a_test=module),
        mock.patch.object(resolve, "load_registry", return_value=registry),
        mock.patch.object(components, "find_spec", return_value=None if case == "SF681" else object()),
    ):
        yield


def shown(case: str, parent: Path = FOLDER) -> str:
    """Return what a user sees who types `specforge validate spec.toml` in the folder of a case."""
    settings = parent / case / "set.txt"
    assignments = settings.read_text().removesuffix("\n").split("\n") if settings.is_file() else []
    with contextlib.chdir(parent / case), registered(case):
        try:
            found, omitted = resolve.load_spec(Path("spec.toml"), assignments).warnings, 0
        except SpecError as error:
            found, omitted = error.diagnostics, error.omitted
    return render(found, omitted=omitted) + "\n" if found else ""


def printed(case: str, form: str) -> str:
    """Return what `specforge validate spec.toml --format FORM` prints in the folder of a case."""
    stream = io.StringIO()
    with contextlib.chdir(FOLDER / case), registered(case), contextlib.redirect_stdout(stream):
        main(["validate", "spec.toml", "--format", form])
    return stream.getvalue()


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown(case: str) -> None:
    assert (FOLDER / case / "expected.txt").read_text(encoding="utf-8") == shown(case)


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("SF")])
def test_a_case_shows_its_code(case: str) -> None:
    code = case[:5]
    severity = "warning" if code in WARNINGS else "error"

    assert f"{severity}[{code}]: " in shown(case)


@pytest.mark.parametrize(("case", "form"), FORMATS)
def test_what_other_formats_print(case: str, form: str) -> None:
    assert (FOLDER / case / f"expected.{form}").read_text(encoding="utf-8") == printed(case, form)


@pytest.mark.parametrize("code", [case for case in CASES if len(TOML.findall(page(case) or "")) > 1])
def test_the_right_example_of_a_page_mends_the_wrong_one(code: str, tmp_path: Path) -> None:
    """Written in place of the wrong lines, the right ones leave nothing of what the page shows."""
    wrong, right = TOML.findall(page(code) or "")[:2]
    for folder in (code, "data"):
        shutil.copytree(FOLDER / folder, tmp_path / folder)
    spec = tmp_path / code / "spec.toml"
    spec.write_text(spec.read_text().replace(wrong, right))
    (output,) = OUTPUT.findall(page(code) or "")

    title = output.partition("\n")[0]

    assert shown(code, tmp_path).count(title) < shown(code).count(title)


def test_ten_mistakes_are_ten_diagnostics_each_with_its_place() -> None:
    text = shown("ten_mistakes")

    assert text.count("error[SF") == 10
    assert text.count("--> spec.toml:") == 10
    assert text.endswith("\nerror: 10 errors in spec.toml\n")


if __name__ == "__main__":
    for each in CASES:
        (FOLDER / each / "expected.txt").write_text(shown(each), encoding="utf-8")
    for each, its_form in FORMATS:
        (FOLDER / each / f"expected.{its_form}").write_text(printed(each, its_form), encoding="utf-8")
