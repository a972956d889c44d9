"""`specforge validate`: one line for each good spec, every mistake of each wrong one, in three formats."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from specforge.cli.main import main

SPEC = """\
specforge = 1
task = { use = "translation", source = "en", target = "de" }
data = { train = "train", valid = "valid" }
model = "transformer"
train = { max_updates = 10_000 }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "good.toml": SPEC,
        "wrong.toml": SPEC.replace("max_updates = 10_000", "mx_updates = 10_000, patience = 0"),
        "train.en": "a\n",
        "train.de": "a\n",
        "valid.en": "a\n",
        "valid.de": "a\n",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_good_spec_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "good.toml", "./good.toml"]) == 0
    assert capsys.readouterr() == ("ok: good.toml\nok: good.toml\n", "")


def test_mistakes_go_to_stderr_and_good_ones_are_still_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "wrong.toml", "good.toml"]) == 2

    out, err = capsys.readouterr()
    assert out == "ok: good.toml\n"
    assert "error[SF101]: unknown key `mx_updates` in [train]\n --> wrong.toml:5:11\n" in err
    assert err.endswith("\nerror: 2 errors in wrong.toml\n")


def test_warnings_go_to_stderr_and_the_spec_is_still_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "good.toml", "--set", "criterion.label_smoothing=1"]) == 0

    out, err = capsys.readouterr()
    assert out == "ok: good.toml\n"
    assert err.startswith("warning[SF412]: ")
    assert err.endswith("\nwarning: 1 warning in --set\n")


@pytest.mark.parametrize(("form", "expected"), [("json", '"severity": "warning"'), ("github", "::warning file=")])
def test_warnings_are_told_in_every_format(form: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "good.toml", "--format", form, "--set", "criterion.label_smoothing=1"]) == 0
    assert expected in capsys.readouterr().out


def test_set_holds_for_every_spec(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "good.toml", "--set", "train.max_updates=0"]) == 2
    assert " --> --set:1:19\n" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--format", "json"], ["--json"]])
def test_json(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(["validate", "good.toml", "wrong.toml", *words]) == 2

    out, err = capsys.readouterr()
    good, wrong = json.loads(out)["specs"]
    assert err == ""
    assert good == {"spec": "good.toml", "ok": True, "diagnostics": [], "omitted": 0}
    assert (wrong["spec"], wrong["ok"], len(wrong["diagnostics"])) == ("wrong.toml", False, 2)
    unknown = next(one for one in wrong["diagnostics"] if one["code"] == "SF101")
    assert unknown == {
        "code": "SF101",
        "severity": "error",
        "message": "unknown key `mx_updates` in [train]",
        "labels": [
            {
                "file": "wrong.toml",
                "line": 5,
                "column": 11,
                "end_line": 5,
                "end_column": 21,
                "text": "did you mean `max_updates`?",
                "primary": True,
            }
        ],
        "notes": [],
        "help": None,
    }


def test_github(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "a,b.toml").write_text(SPEC + '"nam%e\\u001b" = 1\n')

    assert main(["validate", "good.toml", "wrong.toml", "a,b.toml", "--format", "github"]) == 2

    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    assert lines == [
        (
            "::error file=wrong.toml,line=5,endLine=5,col=11,endColumn=21,title=SF101::"
            "unknown key `mx_updates` in [train]%0Adid you mean `max_updates`?"
        ),
        (
            "::error file=wrong.toml,line=5,endLine=5,col=43,endColumn=44,title=SF103::"
            "`train.patience` must be at least 1"
        ),
        (
            "::error file=a%2Cb.toml,line=6,endLine=6,col=1,endColumn=14,title=SF101::"
            r"unknown key `nam%25e\x1b`%0Adid you mean `name`?"
        ),
    ]


def test_a_set_argument_is_annotated_on_the_spec(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "good.toml", "--set", "seed=-1", "--format", "github"]) == 2
    assert capsys.readouterr().out == "::error file=good.toml,title=SF103::`seed` must be at least 0\n"


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "god.toml"]) == 2
    assert capsys.readouterr().err == (
        "error[SF501]: no such file\n --> god.toml\n  = help: did you mean `good.toml`?\n\nerror: 1 error in god.toml\n"
    )


@pytest.mark.parametrize("words", [["validate", "good.toml"], ["validate", "wrong.toml"], ["show", "good.toml"]])
def test_a_fresh_process_stays_light(folder: Path, words: list[str]) -> None:
    program = (
        "import sys\n"
        "from specforge.cli.main import main\n"
        "main(sys.argv[1:])\n"
        "heavy = {'torch', 'numpy', 'rich', 'sqlite3', 'specforge.storage.store', 'specforge.execution.runner'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True, cwd=folder
    )

    assert result.stderr.rstrip().endswith("[]"), result.stderr
