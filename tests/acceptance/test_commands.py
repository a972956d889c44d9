"""The command line on a small experiment with the real engine, from the text to the score and back to the differences."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from digits import specforge
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.planning.steps import KINDS


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SmallExperiment:
    """The small experiment, run once; tests only add to its store."""
    small = SmallExperiment(tmp_path_factory.mktemp("small"))
    result = specforge("run", "small.toml", "--store", "store", cwd=small.folder)
    assert result.returncode == 0, result.stderr
    (small.folder / "stdout").write_text(result.stdout)
    return small


def states(small: SmallExperiment, *words: str) -> dict[str, str]:
    """Return the state of each step by `plan --json`."""
    result = specforge("plan", "small.toml", "--store", "store", "--json", "--no-estimates", *words, cwd=small.folder)
    assert result.returncode == 0, result.stderr
    return {step["id"]: step["state"] for step in json.loads(result.stdout)["steps"]}


def test_the_run_shows_its_score_and_its_places(trained: SmallExperiment) -> None:
    said = (trained.folder / "stdout").read_text()

    assert "test   bleu" in said
    assert "BLEU|nrefs:1" in said
    assert f"run           {trained.folder / 'store' / 'runs' / 'small'}" in said
    hypotheses = (trained.folder / "store" / "runs" / "small" / "test" / "hypotheses.txt").read_text()
    assert 3 == hypotheses.count("\n")


def test_a_second_run_reuses_everything_and_imports_no_torch(trained: SmallExperiment) -> None:
    program = (
        "import sys\n"
        "from specforge.cli.main import main\n"
        "code = main(['run', 'small.toml', '--store', 'store'])\n"
        "print(code, sorted({'torch', 'numpy', 'rich', 'sentencepiece', 'sacrebleu'} & set(sys.modules)), file=sys.stderr)"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], cwd=trained.folder, capture_output=True, text=True, check=True
    )

    *steps, last = result.stderr.strip().split("\n")
    assert "0 []" == last
    assert ["reuse"] * 4 == [line.split()[1] for line in steps]


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["generate.search.beam=2"], ["generate.test", "score.test"]),
        (["generate.metrics=['chrf']"], ["score.test"]),
        (["data.test={test = 'test', more = 'valid'}"], ["generate.more", "score.more"]),
        (["optimizer.lr=0.1"], ["train", "generate.test", "score.test"]),
        (["run.devices=2", "run.log_every=1", "name='small'"], []),
    ],
)
def test_what_runs_again(trained: SmallExperiment, words: list[str], again: list[str]) -> None:
    found = states(trained, *(word for assignment in words for word in ("--set", assignment)))

    assert again == [step for step, state in found.items() if state != "reuse"]


def test_a_comment_and_another_working_directory_run_nothing(trained: SmallExperiment, tmp_path: Path) -> None:
    spec = trained.folder / "small.toml"
    spec.write_text("# a comment\n" + SMALL_SPEC)
    try:
        result = specforge("plan", spec, "--store", trained.folder / "store", "--json", "--no-estimates", cwd=tmp_path)
    finally:
        spec.write_text(SMALL_SPEC)

    assert {"reuse"} == {step["state"] for step in json.loads(result.stdout)["steps"]}


@pytest.fixture(scope="module")
def plan(trained: SmallExperiment) -> dict[str, Any]:
    """The plan of what has been run, with its estimates."""
    planned: dict[str, Any] = json.loads(
        specforge("plan", "small.toml", "--store", "store", "--json", cwd=trained.folder).stdout
    )
    return planned


def test_the_json_of_a_plan_is_what_its_page_says(plan: dict[str, Any]) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "reference" / "json.md").read_text()

    names = {*plan, *plan["steps"][0], *plan["steps"][0]["inputs"][0], *plan["estimates"]}
    assert [] == [name for name in sorted(names) if f"`{name}`" not in page]
    assert {step["kind"] for step in plan["steps"]} <= set(KINDS)


def test_a_plan_counts_the_parameters(trained: SmallExperiment, plan: dict[str, Any]) -> None:
    estimates = plan["estimates"]
    # d = 8, ffn = 16, source, target and output embeddings apart; attention 4 x (8 x 8 + 8); ffn 8 x 16 + 16 + 16 x 8 + 8; a layer norm 2 x 8
    attention, ffn, norm = 4 * (8 * 8 + 8), 8 * 16 + 16 + 16 * 8 + 8, 2 * 8
    layers = (attention + ffn + 2 * norm) + (2 * attention + ffn + 3 * norm)
    vocabulary = {
        role: path.read_text().count("\n")
        for role in ("source", "target")
        for path in (trained.folder / "store" / "objects" / "preprocess").glob(f"*/vocabulary.{role}.txt")
    }
    source, target = (4 + vocabulary[role] for role in ("source", "target"))
    assert layers + 8 * (source + 2 * target) == estimates["parameters"]
    assert sum(estimates["by_part"].values()) == estimates["parameters"]


def test_a_plan_before_preprocess_guesses_and_writes_nothing(trained: SmallExperiment, plan: dict[str, Any]) -> None:
    words = ("plan", "small.toml", "--store", "another")

    shown = specforge(*words, cwd=trained.folder)
    guessed = json.loads(specforge(*words, "--json", cwd=trained.folder).stdout)["estimates"]

    assert 0 == shown.returncode
    assert "≈" in shown.stdout
    assert "parameters" in guessed["approximate"]
    # five lines and a tokenizer that needs no training: the sample is the corpus
    assert plan["estimates"]["parameters"] == guessed["parameters"]
    assert plan["estimates"]["updates_per_epoch"] == guessed["updates_per_epoch"]
    assert not (trained.folder / "another").exists()


def test_estimates_have_all_figures_once_preprocess_has_run(plan: dict[str, Any]) -> None:
    estimates = plan["estimates"]

    assert [] == [name for name, value in estimates.items() if value is None and name != "seconds"]
    assert (4, 4) == (estimates["updates"], estimates["updates_done"])


def test_a_difference_is_shown_with_lines_and_steps(trained: SmallExperiment) -> None:
    spec = SMALL_SPEC.replace("max_updates = 4", "max_updates = 8") + "[run]\ndevices = 2\n"
    trained.write_spec(spec, "other.toml")

    result = specforge(
        "diff", "small.toml", "other.toml", "--no-estimates", "--store", "store", "--exit-code", cwd=trained.folder
    )

    assert 1 == result.returncode
    line = SMALL_SPEC.split("\n").index("max_updates = 4") + 1
    rows = {row.split()[1]: " ".join(row.split()[2:]) for row in result.stdout.split("\n") if row.startswith("~")}
    assert {
        "train.max_updates": f"4 :{line}:15 8 :{line}:15 train → generate.test → score.test (training goes on)",
        "run.devices": f"1 (default) 2 :{spec.count(chr(10))}:11 nothing (run only)",
    } == rows
    steps = [
        row.split()[0] + " " + " ".join(row.split()[3:]) for row in result.stdout.split("\n\n")[1].strip().split("\n")
    ]
    assert [
        "preprocess shared",
        "train goes on: train.max_updates",
        "generate.test runs: after train",
        "score.test runs: after generate.test",
    ] == steps


def test_two_spellings_are_the_same_plan(trained: SmallExperiment) -> None:
    trained.write_spec(
        "# spelled otherwise\n" + SMALL_SPEC.replace("[tokenizer]\nuse =", "[tokenizer] # a table\nuse="),
        "spelled.toml",
    )

    result = specforge("diff", "small.toml", "spelled.toml", "--exit-code", cwd=trained.folder)

    assert (0, "same plan\n") == (result.returncode, result.stdout)


def test_the_json_of_a_difference_is_what_its_page_says(trained: SmallExperiment) -> None:
    result = specforge("diff", "small.toml", "small.toml", "--json", "--store", "store", cwd=trained.folder)
    difference = json.loads(result.stdout)
    page = (Path(__file__).parent.parent.parent / "docs" / "reference" / "json.md").read_text()

    assert difference["same_plan"]
    assert [] == [name for name in sorted({*difference, *difference["steps"][0]}) if f"`{name}`" not in page]


def test_wrong_data_are_named_before_anything_runs(small: SmallExperiment) -> None:
    (small.folder / "valid.de").write_bytes(b"zwei\nf\xfcnf\n")
    (small.folder / "test.de").write_text("")

    result = specforge("run", "small.toml", "--store", "store", cwd=small.folder)

    assert 2 == result.returncode
    assert "error[SF502]" in result.stderr
    assert "valid.de:2:2" in result.stderr
    assert "the file is empty" in result.stderr
    assert not (small.folder / "store" / "objects").exists()


def test_ctrl_c_saves_training_and_the_next_run_goes_on(small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC.replace("max_updates = 4", "max_updates = 100_000") + "[run]\nlog_every = 1\n")
    log = small.folder / "store" / "runs" / "small" / "logs" / "train.jsonl"
    run = subprocess.Popen(
        [sys.executable, "-m", "specforge", "run", "small.toml", "--store", "store"],
        cwd=small.folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (log.exists() and '"updates": 5,' in log.read_text()):
        assert run.poll() is None, run.communicate(timeout=120)
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=120)

    assert 130 == run.returncode, err
    assert "Traceback" not in err
    plan = json.loads(
        specforge("plan", "small.toml", "--store", "store", "--json", "--no-estimates", cwd=small.folder).stdout
    )
    train = next(step for step in plan["steps"] if step["id"] == "train")
    assert "resume" == train["state"]
    reached = int(train["reason"].split()[2].replace(",", ""))
    assert reached >= 5

    finish = specforge(
        "run",
        "small.toml",
        "--store",
        "store",
        "--until",
        "train",
        "--set",
        f"train.max_updates={reached + 2}",
        cwd=small.folder,
    )
    assert 0 == finish.returncode, finish.stderr
    updates = [json.loads(line)["updates"] for line in log.read_text().split("\n") if '"event": "train"' in line]
    assert len(updates) == len(set(updates)), "an update was done twice"
    assert reached + 2 == max(updates)
