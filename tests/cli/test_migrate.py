"""`specforge migrate` as its users see it: what is edited, what is left alone, what is refused.

The fields are those of specforge-focal: `focusing` is called `gamma` since version 2, and `reduction` is gone.
"""

from __future__ import annotations

import codecs
import json
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specforge.cli import migrate
from specforge.cli.main import main
from specforge.language.layers import read_layers
from specforge.language.plugins import find_plugins

pytestmark = pytest.mark.skipif(
    "specforge-focal" not in {source.distribution for source in find_plugins()},
    reason="specforge-focal is not installed",
)

REST = """\
specforge = 1
task = { use = "translation", source = "en", target = "fr" }
data = { train = "train", valid = "valid" }
model = "transformer"
train = { max_updates = 10_000 }   # as ever
"""


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "spec.toml", newline: str = "\n") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8", newline=newline)
    return path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '[criterion]   # hard ones count\nuse = "focal"\nfocusing = 1.50    # found by hand\n',
            '[criterion]   # hard ones count\nuse = "focal"\ngamma = 1.50    # found by hand\n',
        ),
        (
            '[criterion]\nuse = "focal"\n\n# summed, as ever\nreduction = "sum"   # what else\n\n[run]\nworkers = 1\n',
            '[criterion]\nuse = "focal"\n\n# summed, as ever\n\n[run]\nworkers = 1\n',
        ),
        ('criterion = { use = "focal", "focusing" = 1.5 }\n', 'criterion = { use = "focal", gamma = 1.5 }\n'),
        (
            'criterion = { use = "focal", reduction = "sum", focusing = 1 } # c\n',
            'criterion = { use = "focal", gamma = 1 } # c\n',
        ),
        ('criterion = { use = "focal", reduction = "sum" }\n', 'criterion = { use = "focal" }\n'),
        ('criterion = { reduction = "sum", use = "focal" }\n', 'criterion = { use = "focal" }\n'),
        (
            'criterion = {\n  use = "focal", # u\n  reduction = "sum", # r\n  focusing = 2, # f\n}\n',
            'criterion = {\n  use = "focal", # u\n  gamma = 2, # f\n}\n',
        ),
        ('criterion.use = "focal"\ncriterion . focusing = 2\n', 'criterion.use = "focal"\ncriterion . gamma = 2\n'),
        ('[criterion]\nuse = "focal"\nreduction = """sum"""', '[criterion]\nuse = "focal"\n'),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_nothing_but_the_fields_changes(before: str, after: str, newline: str, mark: bytes) -> None:
    path = Path("spec.toml")
    path.write_bytes(mark + (REST + before).replace("\n", newline).encode())

    assert 0 == main(["migrate", "spec.toml"])

    assert mark + (REST + after).replace("\n", newline).encode() == path.read_bytes()


def test_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    write(REST + '[criterion]\nuse = "focal"\nreduction = "sum"\nfocusing = 2.0\n')

    assert 0 == main(["migrate", "spec.toml"])

    printed = capsys.readouterr()
    assert (
        "--- spec.toml\n"
        "+++ spec.toml (migrated)\n"
        "@@ -5,6 +5,5 @@\n"
        " train = { max_updates = 10_000 }   # as ever\n"
        " [criterion]\n"
        ' use = "focal"\n'
        '-reduction = "sum"\n'
        "-focusing = 2.0\n"
        "+gamma = 2.0\n"
        " \n"
    ) == printed.out
    assert (
        "migrated: spec.toml\n"
        "  line 8   [criterion]   `reduction` is no longer needed    since version 2 of specforge-focal/focal\n"
        "  line 9   [criterion]   `focusing` is called `gamma` now   since version 2 of specforge-focal/focal\n"
    ) == printed.err


def test_a_second_time_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    path = write(REST + 'criterion = { use = "focal", focusing = 2.0 }\n')
    assert 1 == main(["migrate", "spec.toml", "--exit-code"])
    before = path.read_bytes()
    capsys.readouterr()

    assert 0 == main(["migrate", "spec.toml", "--exit-code"])

    assert "nothing to migrate: spec.toml\n" == capsys.readouterr().out
    assert before == path.read_bytes()


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    path = write(REST + 'criterion = { use = "focal", focusing = 2.0 }\n')
    before = path.read_bytes()

    assert 1 == main(["migrate", "--dry-run", "--exit-code", "spec.toml"])

    assert before == path.read_bytes()
    printed = capsys.readouterr()
    assert '+criterion = { use = "focal", gamma = 2.0 }\n' in printed.out
    assert printed.err.startswith("would be migrated: spec.toml\n")


def test_an_extended_file_is_named_and_not_edited(capsys: pytest.CaptureFixture[str]) -> None:
    base = write(REST + 'criterion = { use = "focal", focusing = 2.0 }\n', "base.toml")
    before = base.read_bytes()
    write('extends = "base.toml"\n')

    assert 0 == main(["migrate", "spec.toml"])

    assert before == base.read_bytes()
    printed = capsys.readouterr()
    assert "nothing to migrate: spec.toml\n" == printed.out
    assert (
        "left alone: base.toml:6:30: `focusing` is called `gamma` now\n"
        "  = help: `specforge migrate spec.toml base.toml` edits these, too\n"
    ) == printed.err


def test_what_unset_removes_is_renamed_together_with_it() -> None:
    base = write(REST + 'criterion = { use = "focal", focusing = 2.0 }\n', "base.toml")
    path = write('extends = "base.toml"\nunset = ["criterion.focusing"]   # not here\n')

    assert 0 == main(["migrate", "spec.toml"])
    assert 'unset = ["criterion.focusing"]' in path.read_text()

    assert 0 == main(["migrate", "spec.toml", "base.toml"])
    assert 'extends = "base.toml"\nunset = ["criterion.gamma"]   # not here\n' == path.read_text()
    assert "gamma = 2.0" in base.read_text()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[sweep.grid]\n"criterion.focusing" = [1, 2]\n', '[sweep.grid]\n"criterion.gamma" = [1, 2]\n'),
        ("[sweep.grid]\ncriterion.focusing = [1, 2]\n", "[sweep.grid]\ncriterion.gamma = [1, 2]\n"),
        ("[[sweep.case]]\n'criterion.focusing' = 1\n", '[[sweep.case]]\n"criterion.gamma" = 1\n'),
    ],
)
def test_paths_of_a_sweep_are_renamed(before: str, after: str) -> None:
    path = write(f'{REST}criterion = "focal"\n{before}')

    assert 0 == main(["migrate", "spec.toml"])

    assert f'{REST}criterion = "focal"\n{after}' == path.read_text()


def test_a_sweep_may_vary_what_the_file_sets_by_its_new_name() -> None:
    path = write(f'{REST}criterion = {{ use = "focal", gamma = 2.0 }}\n[sweep.grid]\n"criterion.focusing" = [1, 2]\n')

    assert 0 == main(["migrate", "spec.toml"])
    assert path.read_text().endswith('gamma = 2.0 }\n[sweep.grid]\n"criterion.gamma" = [1, 2]\n')


def test_a_link_stays_a_link_and_permissions_stay() -> None:
    real = write(REST + 'criterion = { use = "focal", focusing = 2.0 }\n', "real.toml")
    real.chmod(0o640)
    Path("spec.toml").symlink_to("real.toml")

    assert 0 == main(["migrate", "spec.toml"])

    assert Path("spec.toml").is_symlink()
    assert "gamma" in real.read_text()
    assert 0o640 == stat.S_IMODE(real.stat().st_mode)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    write(REST + 'criterion = { use = "focal", focusing = 2.0 }\n', "base.toml")
    write('extends = "base.toml"\ncriterion.reduction = "sum"\n')

    assert 0 == main(["migrate", "--json", "spec.toml"])

    change = {"table": "criterion", "component": "specforge-focal/focal", "version": 2, "mention": False}
    reduction = {"line": 2, "column": 11, "field": "reduction", "present": {}, **change}
    focusing = {"line": 6, "column": 30, "field": "focusing", "present": {"gamma": 2.0}, **change}
    assert {
        "files": [{"file": "spec.toml", "written": True, "changes": [reduction]}],
        "left": [{"file": "base.toml", "written": False, "changes": [focusing]}],
    } == json.loads(capsys.readouterr().out)


def test_one_spec_that_cannot_be_migrated_leaves_all_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    good = write(REST + 'criterion = { use = "focal", focusing = 2.0 }\n', "good.toml")
    write(REST + 'criterion = { use = "focal", reduction = "mean" }\n', "bad.toml")
    before = good.read_bytes()

    assert 2 == main(["migrate", "good.toml", "bad.toml"])

    assert before == good.read_bytes()
    assert (
        "error[SF130]: `reduction` in [criterion] cannot be migrated\n"
        " --> bad.toml:6:30\n"
        "  |\n"
        '6 | criterion = { use = "focal", reduction = "mean" }\n'
        '  |                              ^^^^^^^^^ since version 2 it can only be "sum"\n'
    ) in capsys.readouterr().err


@pytest.mark.parametrize("table", ["[criterion.focusing]\nx = 1\n[criterion.focusing.y]\nz = 1\n"])
def test_a_file_that_cannot_be_edited_safely_is_refused(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(f'{REST}[criterion]\nuse = "focal"\n{table}')
    before = path.read_bytes()

    assert 3 == main(["migrate", "spec.toml"])

    assert before == path.read_bytes()
    assert "error[SF131]: the file is written in a way that cannot be edited safely; it is as it was\n" in (
        capsys.readouterr().err
    )


def test_a_file_that_changes_meanwhile_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(REST + 'criterion = { use = "focal", focusing = 2.0 }\n')

    def read_and_change(name: Path, assignments: list[str]) -> object:
        stack = read_layers(name, assignments)
        path.write_text(path.read_text() + "seed = 3\n")
        return stack

    monkeypatch.setattr(migrate, "read_layers", read_and_change)

    assert 3 == main(["migrate", "spec.toml"])
    assert path.read_text().endswith("seed = 3\n")
    assert capsys.readouterr().err.startswith("error[SF131]: the file changed while it was read\n")


@pytest.mark.parametrize("text", [None, "x = \n", 'extends = "nowhere.toml"\n'])
def test_what_cannot_be_read_is_a_diagnostic(text: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if text is not None:
        write(text)

    assert 2 == main(["migrate", "spec.toml"])
    assert capsys.readouterr().err.startswith("error[SF")


VALUES = st.sampled_from(["1", "0.5", "1e-3", "1_000.0"])
BLANKS = st.sampled_from(["", " ", "\t", "  "])
COMMENTS = st.sampled_from(["", " # why", "# focusing = 3", ' # "use"'])
LINES = st.sampled_from(["", "# focusing", "#", "  "])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES, BLANKS, COMMENTS, st.lists(LINES, max_size=3), st.permutations(["use", "focusing", "reduction"]))
def test_however_a_table_is_written_the_rest_of_it_stays(
    value: str, blank: str, comment: str, lines: list[str], order: list[str]
) -> None:
    values = {"use": '"focal"', "focusing": value, "reduction": "'sum'"}
    between = "".join(f"{line}\n" for line in lines)
    rows = {name: f"{blank}{name}{blank}={blank}{values[name]}{comment}\n" for name in order}
    path = write(f"{REST}[criterion]\n{between.join(rows[name] for name in order)}")

    assert 0 == main(["migrate", "spec.toml"])

    rows["focusing"] = rows["focusing"].replace(f"focusing{blank}={blank}{value}", f"gamma{blank}={blank}{value}", 1)
    rows["reduction"] = ""
    assert f"{REST}[criterion]\n{between.join(rows[name] for name in order)}" == path.read_text()
