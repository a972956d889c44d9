"""`specforge export` as a user types it: a small experiment, trained once for this file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from digits import specforge
from small_experiment import SMALL_SPEC, SmallExperiment

pytest.importorskip("ctranslate2", reason="an extra")

_STORE = ("--store", "a store")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SmallExperiment:
    """The small experiment, trained; tests only read its store."""
    small = SmallExperiment(tmp_path_factory.mktemp("small"))
    small.write_spec(SMALL_SPEC.replace("max_updates = 4", "max_updates = 40"))
    result = specforge("run", "small.toml", *_STORE, "--until", "train", cwd=small.folder)
    assert result.returncode == 0, result.stderr
    return small


def test_a_spec_is_exported_verified_and_used_without_specforge(trained: SmallExperiment, tmp_path: Path) -> None:
    result = specforge(
        "export", "small.toml", *_STORE, "--to", "ctranslate2", "--output", tmp_path / "out", cwd=trained.folder
    )

    assert result.returncode == 0, result.stderr
    assert f"verified on 4 lines from {trained.folder / 'valid.en'}:1 on: greedy outputs in fp32 are" in result.stdout
    described = json.loads((tmp_path / "out" / "export.json").read_text())
    assert ("ctranslate2", 4) == (described["format"], described["verified"]["lines"])
    assert [tmp_path / "out"] == list(tmp_path.iterdir())
    found = re.search(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), re.DOTALL)
    assert found is not None
    program = "import sys\nsys.modules['specforge'] = None\n" + found[1].replace(
        "beam_size=5", "beam_size=1, max_decoding_length=5, min_decoding_length=0"
    )
    used = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "out",
        input="two valid\none\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == used.returncode, used.stderr
    greedy = ("--set", 'generate.search={ use = "greedy", max_length = [0, 5], min_length = 0 }')
    native = specforge("translate", "small.toml", *_STORE, *greedy, cwd=trained.folder, stdin="two valid\none\n")
    assert native.stdout == used.stdout


@pytest.mark.slow
def test_the_folder_of_a_run_and_a_model_folder_are_exported(trained: SmallExperiment, tmp_path: Path) -> None:
    of_run = specforge(
        "export", "a store/runs/small", "--to", "ctranslate2", "--output", tmp_path / "1", "--json", cwd=trained.folder
    )
    shutil.copytree(trained.folder / "a store" / "runs" / "small" / "best", tmp_path / "best")
    (tmp_path / "lines").write_text("one valid\n\ntwo\n")
    command = ("export", "best", "--to", "ctranslate2", "--output", "2")

    without = specforge(*command, cwd=tmp_path)
    of_folder = specforge(*command, "--verify", "lines", "--quantization", "int8", cwd=tmp_path)

    assert of_run.returncode == 0, of_run.stderr
    assert json.loads((tmp_path / "1" / "export.json").read_text()) == json.loads(of_run.stdout)
    assert 2 == without.returncode
    assert "error[SF713]: there is no line to verify the export with: `best` holds a model" in without.stderr
    assert of_folder.returncode == 0, of_folder.stderr
    assert "verified on 2 lines from lines:1 on" in of_folder.stdout
    assert re.search(r"\nwith the weights in int8, [0-2] of 2 outputs are the same\n", of_folder.stdout)


def test_what_goes_wrong_leaves_nothing(trained: SmallExperiment, tmp_path: Path) -> None:
    onnx = specforge("export", "small.toml", *_STORE, "--to", "onnx", "--output", tmp_path / "out", cwd=trained.folder)
    (tmp_path / "there").mkdir()
    there = specforge(
        "export", "small.toml", *_STORE, "--to", "ctranslate2", "--output", tmp_path / "there", cwd=trained.folder
    )

    assert 2 == onnx.returncode
    assert "error[SF711]: ONNX cannot hold the model `specforge/transformer`" in onnx.stderr
    assert 2 == there.returncode
    assert "error[SF714]" in there.stderr
    assert [tmp_path / "there"] == list(tmp_path.iterdir())
    assert [] == list((tmp_path / "there").iterdir())


@pytest.mark.slow
def test_a_run_decodes_with_ctranslate2(trained: SmallExperiment) -> None:
    words = (*_STORE, "--set", "generate.search.max_length=[0, 5]", "--set", 'generate.engine="ctranslate2"')
    result = specforge("run", "small.toml", *words, "--until", "generate", cwd=trained.folder)

    assert result.returncode == 0, result.stderr
    native = specforge("translate", "small.toml", *words[:4], cwd=trained.folder, stdin=source(trained))
    made = trained.folder / "a store" / "runs" / "small" / "test" / "hypotheses.txt"
    assert native.stdout.count("\n") == made.read_text().count("\n") == 3


def source(trained: SmallExperiment) -> str:
    return (trained.folder / "test.en").read_text()
