"""`specforge schema`: on standard output, or where the first line of a spec points an editor to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from specforge import builtin
from specforge.cli import schema
from specforge.cli.main import main
from specforge.language.plugins import Plugins, PluginSource, declared
from specforge.language.registry import Registry


@pytest.fixture
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the root of a repository, and a folder for specs in it."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "specs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["schema"])

    printed = capsys.readouterr()
    Draft202012Validator.check_schema(json.loads(printed.out))
    assert "" == printed.err


def test_it_is_written_where_the_store_of_a_spec_is(
    working_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (working_directory / "specs" / "a.toml").touch()

    assert 0 == main(["schema", "--write", "specs/a.toml"])

    printed = capsys.readouterr()
    written = working_directory / ".specforge" / "schema.json"
    assert f"{written}\n" == printed.out
    assert printed.err.endswith(f"{working_directory / 'specs'}:\n#:schema ../.specforge/schema.json\n")
    assert json.loads(written.read_text())["title"] == "specforge spec"
    assert "*\n" == (working_directory / ".specforge" / ".gitignore").read_text()


def test_without_a_spec_it_is_written_above_the_working_directory(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(working_directory / "specs")

    assert 0 == main(["schema", "--write"])

    assert f"{working_directory / '.specforge' / 'schema.json'}\n" == capsys.readouterr().out


def test_a_folder_stands_for_its_specs(working_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["schema", "--write", "specs"])

    assert f"{working_directory / 'specs'}:\n#:schema ../.specforge/schema.json\n" in capsys.readouterr().err


def test_nothing_is_made_for_a_spec_that_is_not_there(
    working_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["schema", "--write", "nowhere/a.toml"])

    assert capsys.readouterr().err.startswith("error[SF501]: no such file\n")
    assert ["specs"] == [path.name for path in working_directory.iterdir() if not path.name.startswith(".")]
    assert not (working_directory / ".specforge").exists()


def test_writing_again_renews_it(working_directory: Path) -> None:
    main(["schema", "--write"])
    written = working_directory / ".specforge" / "schema.json"
    written.write_text("old")

    assert 0 == main(["schema", "--write"])
    assert json.loads(written.read_text())["title"] == "specforge spec"


def test_a_store_elsewhere_holds_it(working_directory: Path) -> None:
    assert 0 == main(["schema", "--write", "--store", "elsewhere"])

    assert (working_directory / "elsewhere" / "schema.json").is_file()


def test_a_broken_plugin_is_a_note_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> object:
        sys.exit("no licence\x1b[31m")

    source = PluginSource("bad", "0.1", "bad", broken)
    registry = Registry(declared(builtin), "0.1.0", Plugins(lambda: (source,)))
    monkeypatch.setattr(schema, "load_registry", lambda: registry)

    assert 0 == main(["schema"])

    printed = capsys.readouterr()
    assert json.loads(printed.out)["title"] == "specforge spec"
    assert "warning: not in the schema: plugin `bad` of bad 0.1: SystemExit: no licence\\x1b[31m\n" == printed.err
