"""The rules of the house that no linter knows: who may write, what nobody may call, which rooms stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "specforge").rglob("*.py"))
DURABLE = ROOT / "specforge" / "foundation" / "durable.py"

WRITING_CALLS = {
    "write_text",
    "write_bytes",
    "rename",
    "replace_with",
    "unlink",
    "rmdir",
    "rmtree",
    "mkdir",
    "makedirs",
    "symlink_to",
    "hardlink_to",
    "symlink",
    "link",
    "remove",
    "removedirs",
    "renames",
    "truncate",
    "fsync",
    "touch",
    "copyfile",
    "copytree",
    "copy2",
    "move",
    "mkdtemp",
    "NamedTemporaryFile",
    "TemporaryDirectory",
    "save_file",
    "tofile",
}
MODULES_THAT_WRITE = {"os", "shutil", "Path", "path", "tempfile"}
BANNED_NAMES = {"eval", "exec"}
BANNED_METHODS = {"splitlines"}
BANNED_FUNCTIONS = {("torch", "load"), ("torch", "save"), ("numpy", "load"), ("np", "load")}
BANNED_IMPORTS = {"pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}


def calls(tree: ast.AST) -> Iterator[tuple[str, str, ast.Call]]:
    """Yield (what it is called on, what is called, the call) of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield ast.unparse(node.func.value), node.func.attr, node
            elif isinstance(node.func, ast.Name):
                yield "", node.func.id, node


def writing_mode(call: ast.Call) -> bool:
    """Whether a call of `open` asks for a mode that writes."""
    modes = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    modes += [word.value.value for word in call.keywords if word.arg == "mode" and isinstance(word.value, ast.Constant)]
    return any(isinstance(mode, str) and len(mode) <= 3 and set(mode) & set("wax+") for mode in modes)


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path != DURABLE], ids=lambda path: str(path.relative_to(ROOT))
)
def test_only_the_durable_module_writes(path: Path) -> None:
    found = [
        f"line {call.lineno}: {ast.unparse(call)[:80]}"
        for owner, name, call in calls(ast.parse(path.read_text()))
        if (name == "open" and writing_mode(call))
        or (
            name
            in {"write_text", "write_bytes", "symlink_to", "hardlink_to", "rmtree", "mkdtemp", "save_file", "tofile"}
        )
        or (name in WRITING_CALLS and owner.split(".")[-1] in MODULES_THAT_WRITE)
    ]

    assert [] == found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_unpickles_evaluates_or_splits_at_strange_line_ends(path: Path) -> None:
    tree = ast.parse(path.read_text())
    found = [
        f"line {call.lineno}: {ast.unparse(call)[:80]}"
        for owner, name, call in calls(tree)
        if (not owner and name in BANNED_NAMES) or name in BANNED_METHODS or (owner, name) in BANNED_FUNCTIONS
    ]
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }

    assert [] == found
    assert set() == imported & BANNED_IMPORTS


def test_every_file_names_what_lives_in_it() -> None:
    nameless = [path for path in SOURCES if path.read_text() and ast.get_docstring(ast.parse(path.read_text())) is None]
    heaps = [
        path for path in SOURCES if {"utils", "util", "helpers", "misc", "common"} & set(path.with_suffix("").parts)
    ]

    assert [] == nameless
    assert [] == heaps


@pytest.mark.parametrize("command", [["validate"], ["show"], ["plan", "--no-estimates"]], ids=lambda words: words[0])
def test_the_front_does_not_import_torch(command: list[str], tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from specforge.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = {'torch', 'numpy', 'sentencepiece', 'sacrebleu', 'rich'} & set(sys.modules)\n"
        "print(code, sorted(heavy), file=sys.stderr)\n"
    )
    spec = ROOT / "specs" / "quickstart" / "quickstart.toml"
    store = [] if command[0] == "validate" else ["--store", str(tmp_path)]

    result = subprocess.run(
        [sys.executable, "-c", program, *command, str(spec), *store], capture_output=True, text=True, check=False
    )

    assert result.stderr.rstrip().endswith("0 []"), result.stderr


def test_every_component_config_is_free_of_torch() -> None:
    program = (
        "import sys\n"
        "from specforge.language.registry import config_class, load_registry\n"
        "for registered in load_registry().components():\n"
        "    config_class(registered)\n"
        "print('torch' in sys.modules)\n"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout == "False\n"
