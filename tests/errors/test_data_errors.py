"""Codes of data, which `plan` or `run` finds: the code, the exit, and the words that the code's page shows."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from specforge.cli.main import main
from specforge.language.messages.pages import page

SPEC = """\
specforge = 1
task = { use = "translation", source = "en", target = "de" }
data = { train = "train", valid = "valid", test = "test" }
model = "transformer"
lr_scheduler = "fixed"
train = { max_updates = 10 }
allow = ["SF418"]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("train", "valid", "test"):
        for language in ("en", "de"):
            (tmp_path / f"{name}.{language}").write_text("a b c\nd e f\ng h\n")
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path


def _one_line_short(folder: Path) -> None:
    (folder / "valid.de").write_text("a b c\n")


def _empty(folder: Path) -> None:
    (folder / "test.de").write_bytes(b"")


def _no_utf8(folder: Path) -> None:
    (folder / "train.de").write_bytes(b"a\nb \xff\nc\n")


def _not_compressed(folder: Path) -> None:
    (folder / "train.de").rename(folder / "train.de.gz")


def _cut_short(folder: Path) -> None:
    whole = gzip.compress((folder / "train.de").read_bytes())
    (folder / "train.de").unlink()
    (folder / "train.de.gz").write_bytes(whole[:-4])


def _long_line(folder: Path) -> None:
    (folder / "train.de").write_text("x" * ((1 << 20) + 1) + "\n\n\n")


@pytest.mark.parametrize(
    ("make", "code", "place"),
    [
        (_one_line_short, "SF503", "valid.en:2"),
        (_empty, "SF504", "test.de"),
        (_no_utf8, "SF502", "train.de:2:3"),
        (_not_compressed, "SF508", "train.de.gz"),
        (_cut_short, "SF508", "train.de.gz"),
        (_long_line, "SF509", "train.de:1"),
    ],
)
def test_plan_finds_it(
    make: Callable[[Path], None], code: str, place: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder)

    assert main(["plan", "--no-estimates", "spec.toml"]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error[{code}]: ")
    assert f"/{place}\n" in err


@pytest.mark.parametrize(("make", "code"), [(_one_line_short, "SF503"), (_empty, "SF504"), (_long_line, "SF509")])
def test_the_page_shows_the_words(
    make: Callable[[Path], None], code: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder)
    main(["plan", "--no-estimates", "spec.toml"])
    shown = re.findall(r"^error\[.*$", page(code) or "", re.MULTILINE)

    assert capsys.readouterr().err.split("\n")[:1] == shown


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "spec.toml", "--force", "trian"], "SF109"),
        (["explain", "spec.toml", "model.droput"], "SF110"),
        (["explain", "train", "spec.toml"], "SF111"),
        (["explain", "SF999"], "SF112"),
        (["run", "notes.json"], "SF113"),
        (["plan", "spec.toml", "-o", "plan.txt"], "SF115"),
        (["run", "spec.toml", "--point", "3"], "SF128"),
        (["test", "spec.toml", "train"], "SF141"),
    ],
)
def test_the_page_of_a_command_line_shows_what_is_printed(
    words: list[str], code: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes.json").write_text("{}")

    assert main(words) == 2

    err = capsys.readouterr().err
    shown = re.findall(r"^```text\n(.*?)^```$", page(code) or "", re.MULTILINE | re.DOTALL)
    assert f"error[{code}]: " in err
    assert all(err == text for text in shown)
