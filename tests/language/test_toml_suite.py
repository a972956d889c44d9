"""The conformance suite of TOML, where it is at hand, and the checker itself on a suite of two files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("check_toml_suite.py")
SUITE = Path(__file__).parents[3] / "shared" / "data" / "toml-test" / "tests.tar.gz"


def check(place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, place], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not SUITE.is_file(), reason="the files of toml-test are not at ../shared/data/toml-test")
def test_every_file_of_the_suite_is_read_as_it_should_be() -> None:
    result = check(SUITE)

    assert result.stdout == "268 valid files with 1633 paths, 492 invalid files: 0 misses\n"
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("invalid", "printed", "code"),
    [
        ("a = \n", "1 valid files with 2 paths, 1 invalid files: 0 misses\n", 0),
        ("a = 1\n", "MISS invalid/b.toml: accepted\n1 valid files with 2 paths, 1 invalid files: 1 misses\n", 1),
    ],
)
def test_the_checker_tells_a_miss(tmp_path: Path, invalid: str, printed: str, code: int) -> None:
    for folder in ("valid", "invalid"):
        (tmp_path / folder).mkdir()
    (tmp_path / "valid" / "a.toml").write_text("[t]\nx = 1\n")
    (tmp_path / "invalid" / "b.toml").write_text(invalid)
    for name in ("files-toml-1.0.0", "files-toml-1.1.0"):
        (tmp_path / name).write_text("valid/a.toml\ninvalid/b.toml\n")

    result = check(tmp_path)

    assert result.stdout == printed
    assert result.returncode == code
