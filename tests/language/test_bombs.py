"""Bad specs by the hundred: exit 2, a few clear lines, nothing that a terminal would obey, little time and memory.

`validate` runs in this process on all of them, and in a process of its own on the worst, where its peak of memory is read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import bombs
import pytest

from specforge.cli.main import main
from specforge.language.messages.diagnostics import MOST_SHOWN

MOST_OUTPUT = 64_000  # characters: fifty diagnostics, each with a source line of 140 columns and its notes
MOST_MEMORY = 100_000  # kB
GENERATED = 500

# A CPU limit stops what would run on; it is generous, for a loaded machine must not fail the test.
PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
from specforge.cli.main import main
code = main(["validate", *sys.argv[1:]])
with open("/proc/self/status") as status:
    print("peak", next(line.split()[1] for line in status if line.startswith("VmHWM:")), file=sys.stderr)
sys.exit(code)
"""

WORST = (
    "brackets",
    "key of 10,000 parts",
    "giant integer",
    "long string",
    "long extends",
    "9,000 keys that are near",
    "3,000 tests without a path",
    "9,000 wrong numbers",
    "3,000 metrics without a name",
    "9,000 unsets",
    "random",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("train.en", "train.fr", "valid.en", "valid.fr"):
        (tmp_path / name).write_text("a b\n")
    return tmp_path


def complaint(code: int, out: str, err: str) -> str | None:
    """Return what is wrong with the answer to a bad spec, printed for people; None where it is as it should be."""
    lines = err.removesuffix("\n").split("\n")
    titles = sum(line.startswith(("error[SF", "warning[SF")) for line in lines)
    wrong = {
        "exit code": code != 2,
        "standard output": out != "",
        "internal error": "SF600" in err or "Traceback" in err,
        "not printable": not err.replace("\n", "").isprintable(),
        "too long": len(err) > MOST_OUTPUT,
        "number of diagnostics": not 1 <= titles <= MOST_SHOWN,
        "first line": not lines[0].startswith(("error[SF", "warning[SF")),
        "last line": not lines[-1].startswith("error: "),
    }
    found = [name for name, is_wrong in wrong.items() if is_wrong]
    return f"{', '.join(found)}: {err[:300]}" if found else None


def answers(capsys: pytest.CaptureFixture[str], specs: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, str | None]]:
    """Yield the name of each spec and what is wrong with the answer to it."""
    for name, raw in specs:
        Path("spec.toml").write_bytes(raw)
        code = main(["validate", "spec.toml"])
        yield name, complaint(code, *capsys.readouterr())


def test_the_spec_that_is_damaged_is_good() -> None:
    Path("spec.toml").write_text(bombs.GOOD)

    assert main(["validate", "spec.toml"]) == 0


def test_bombs(capsys: pytest.CaptureFixture[str]) -> None:
    assert {} == {name: wrong for name, wrong in answers(capsys, bombs.bombs()) if wrong}


def test_generated_specs(capsys: pytest.CaptureFixture[str]) -> None:
    """Some edits leave a spec good (a comment, a label); all others count until there are enough."""
    wrong: dict[str, str] = {}
    refused = 0
    seed = 0
    while refused < GENERATED:
        seed += 1
        Path("spec.toml").write_bytes(bombs.damaged(seed))
        code = main(["validate", "spec.toml"])
        out, err = capsys.readouterr()
        if code == 0 and out == "ok: spec.toml\n":
            continue
        refused += 1
        answer = complaint(code, out, err)
        if answer is not None:
            wrong[f"damaged({seed})"] = answer

    assert {} == wrong
    assert seed < 2 * GENERATED


def test_nothing_reaches_a_terminal_or_a_log_unescaped(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {}
    for name, raw in bombs.bombs():
        if not name.startswith("nasty"):
            continue
        Path("spec.toml").write_bytes(raw)
        for form in ("json", "github"):
            assert main(["validate", "spec.toml", "--format", form]) == 2
            out = capsys.readouterr().out
            right = out.startswith("::error ") if form == "github" else json.loads(out)["specs"][0]["diagnostics"]
            if not (right and out.replace("\n", "").isprintable()):
                wrong[name, form] = out

    assert {} == wrong


@pytest.mark.parametrize(
    "name", ["a\x1b[31mb.toml", "a\u202eb.toml", "a\nerror: b.toml", "a\udcffb.toml", "-", "a b::c,d.toml"]
)
@pytest.mark.parametrize("form", ["text", "json", "github"])
@pytest.mark.parametrize("exists", [True, False])
def test_names_of_files_are_escaped(name: str, form: str, *, exists: bool, capsys: pytest.CaptureFixture[str]) -> None:
    if exists:
        Path(name).write_text("wrong = 1\n")

    assert main(["validate", "--format", form, "--", name]) == 2

    out, err = capsys.readouterr()
    assert (out + err).replace("\n", "").isprintable()
    assert not any(line.startswith("error: b") for line in (out + err).split("\n"))
    if form == "json":
        assert json.loads(out)["specs"][0]["spec"] == name


@pytest.mark.parametrize("name", ["long string", "long path", "long component", "long extends", "long unset"])
def test_what_is_long_is_cut_in_json_too(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("spec.toml").write_bytes(dict(bombs.bombs())[name])

    assert main(["validate", "spec.toml", "--json"]) == 2
    assert len(capsys.readouterr().out) < MOST_OUTPUT


def test_thousands_of_mistakes_are_counted_and_the_first_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Path("spec.toml").write_text("".join(f"k{number} = 1\n" for number in range(2_000)) + bombs.GOOD)

    assert main(["validate", "spec.toml"]) == 2
    text = capsys.readouterr().err
    assert text.endswith("\nerror: 2,000 errors in spec.toml, of which the first 50 are shown\n")
    assert text.count("error[SF101]: unknown key `k") == 50

    assert main(["validate", "spec.toml", "--json"]) == 2
    (spec,) = json.loads(capsys.readouterr().out)["specs"]
    assert (len(spec["diagnostics"]), spec["omitted"]) == (50, 1_950)

    assert main(["validate", "spec.toml", "--format", "github"]) == 2
    lines = capsys.readouterr().out.split("\n")
    assert lines[50] == "::error file=spec.toml::1,950 more errors"


def _cycle(folder: Path) -> None:
    (folder / "spec.toml").write_text('extends = "a.toml"\n')
    (folder / "a.toml").write_text('extends = "b.toml"\n')
    (folder / "b.toml").write_text('extends = ["spec.toml", "a.toml", "b.toml"]\n')


def _fan_out(folder: Path) -> None:
    """Each file extends all others: as many ways through them as there are permutations."""
    names = [f"f{number}.toml" for number in range(31)]
    for name in ("spec.toml", *names):
        (folder / name).write_text(f"extends = {json.dumps(names)}\n")


def _chain(folder: Path) -> None:
    for number in range(100):
        (folder / f"f{number}.toml").write_text(f'extends = "f{number + 1}.toml"\n')
    (folder / "spec.toml").write_text('extends = "f0.toml"\n')


def _wide(folder: Path) -> None:
    names = [f"f{number}.toml" for number in range(31)]
    for nth, name in enumerate(names):
        (folder / name).write_text("".join(f"k{nth}_{number} = 1\n" for number in range(2_000)))
    (folder / "spec.toml").write_text(f"extends = {json.dumps(names)}\n")


def _device(folder: Path) -> None:
    (folder / "spec.toml").symlink_to("/dev/zero")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "spec.toml")


def _folder(folder: Path) -> None:
    (folder / "spec.toml").mkdir()


def _loop(folder: Path) -> None:
    (folder / "spec.toml").symlink_to("spec.toml")


def _extended_device(folder: Path) -> None:
    (folder / "spec.toml").write_text('extends = ["zero.toml", "pipe.toml", ".", "loop.toml"]\n')
    (folder / "zero.toml").symlink_to("/dev/zero")
    (folder / "loop.toml").symlink_to("loop.toml")
    os.mkfifo(folder / "pipe.toml")


@pytest.mark.parametrize(
    "make",
    [_cycle, _fan_out, _chain, _wide, _device, _pipe, _folder, _loop, _extended_device],
    ids=lambda make: make.__name__,
)
def test_files_that_are_traps(make: Callable[[Path], None], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(folder)

    code = main(["validate", "spec.toml"])

    assert complaint(code, *capsys.readouterr()) is None


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of memory is read from /proc")
def test_the_worst_ones_in_a_process_of_their_own(folder: Path) -> None:
    made = {name: raw for name, raw in bombs.bombs() if name in WORST}
    _wide(folder)
    peaks = {}
    for name in (*WORST, "wide"):
        path = folder / ("spec.toml" if name == "wide" else "bomb.toml")
        if name in made:
            path.write_bytes(made[name])
        command = [sys.executable, "-c", PROGRAM, path.name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        printed, _, peak = done.stderr.rpartition("peak ")

        assert complaint(done.returncode, done.stdout, printed) is None, name
        peaks[name] = int(peak)

    assert {} == {name: peak for name, peak in peaks.items() if peak > MOST_MEMORY}
