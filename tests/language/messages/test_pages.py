"""The pages of the error codes: each is there, short, and shows what specforge really prints."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path
from subprocess import run

import pytest

from specforge.language.messages.pages import codes, page

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "errors"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(code: str, language: str) -> list[str]:
    text = page(code)
    assert text is not None
    return [body for found, body in BLOCK.findall(text) if found == language]


def test_a_page_is_found_in_either_case() -> None:
    assert page("sf101") == page("SF101")
    assert (page("SF101") or "").startswith("# SF101: an unknown key\n")


@pytest.mark.parametrize("code", ["SF999", "SF10", "", "../pages/SF101", "SF101.md", "ＳＦ101", "SF１０１", "SF101\n"])
def test_what_is_no_code_has_no_page(code: str) -> None:
    assert page(code) is None


@pytest.mark.parametrize("code", codes())
def test_a_page_is_short_and_named_for_its_code(code: str) -> None:
    text = page(code) or ""
    lines = text.split("\n")

    assert lines[0].startswith(f"# {code}: ")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert 5 <= len(lines) <= 60
    assert max(map(len, lines)) <= 160
    assert text.count("```") % 2 == 0


@pytest.mark.parametrize("code", [code for code in codes() if (GOLDEN / code / "spec.toml").is_file()])
def test_the_example_is_what_is_printed(code: str) -> None:
    """The first block of output stands in a golden text of the code, the first block of TOML in the spec beside it."""
    folders = sorted(GOLDEN.glob(f"{code}*"))
    expected = "\n".join((folder / "expected.txt").read_text(encoding="utf-8") for folder in folders)
    specs = "\n".join((folder / "spec.toml").read_bytes().decode(errors="replace") for folder in folders)

    (output,) = blocks(code, "text")
    assert output in f"{expected}\n"
    assert output.startswith((f"error[{code}]: ", f"warning[{code}]: "))
    assert all(wrong in f"{specs}\n" for wrong in blocks(code, "toml")[:1])


@pytest.mark.parametrize("code", codes())
def test_what_is_right_is_toml(code: str) -> None:
    for right in blocks(code, "toml")[1:]:
        assert isinstance(tomllib.loads(right), dict)


@pytest.mark.parametrize("code", codes())
def test_a_page_names_only_codes_that_there_are(code: str) -> None:
    assert set(re.findall(r"SF\d{3}", page(code) or "")) - {"SF999"} <= set(codes())


def test_a_wheel_holds_the_pages(tmp_path: Path) -> None:
    hatchling = pytest.importorskip("hatchling", reason="the build backend is not installed")
    assert hatchling is not None
    run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")

    with zipfile.ZipFile(wheel) as archive:
        names = {
            Path(name).stem for name in archive.namelist() if name.startswith("specforge/language/messages/pages/")
        }
    assert set(codes()) == names
