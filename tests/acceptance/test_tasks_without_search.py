"""A language model and a classifier through the command line, on text that a reader can check."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from digits import specforge

LM = """
specforge = 1
allow = ["SF411"]
task = { use = "language_modeling", block_length = 16, context_window = 8 }
data = { train = "train.txt", valid = "valid.txt", test = "valid.txt" }
tokenizer = "whitespace"
model = { use = "transformer_lm", decoder_layers = 1, embed_dim = 16, ffn_dim = 32, attention_heads = 2, dropout = 0.0 }
optimizer = { use = "adam", lr = 0.01 }
lr_scheduler = { use = "fixed" }
train = { max_updates = 120, batch_tokens = 256, validate_every = "60 updates", best_metric = "ppl" }
"""

CLASSIFIER = """
specforge = 1
allow = ["SF411", "SF415"]
task = { use = "sentence_classification", text = "question", label = "intent" }
tokenizer = "whitespace"
optimizer = { use = "adam", lr = 0.01 }
lr_scheduler = { use = "fixed" }

[data]
train = { path = "train.tsv", format = "tsv", header = true, hold_out = 0.2 }
test = { path = "test.tsv", format = "tsv", header = true }

[model]
use = "transformer_classifier"
encoder_layers = 1
embed_dim = 16
ffn_dim = 32
attention_heads = 2
dropout = 0.0

[train]
max_updates = 60
batch_sentences = 16
validate_every = "20 updates"
best_metric = "accuracy"

[generate]
metrics = ["accuracy", "f1"]
"""

FAULTS = Path(__file__).parent / "faults"
WORDS = {"north": "cold", "snow": "cold", "ice": "cold", "desert": "hot", "fire": "hot", "sun": "hot"}


def scores(folder: Path, name: str) -> dict[str, float]:
    found = json.loads((folder / "store" / "runs" / name / "scores.json").read_text())["scores"]["test"]
    return {score["name"]: score["value"] for score in found}


def rows(lines: int, seed: int) -> list[tuple[str, str]]:
    """Return questions with one telling word each, and their labels."""
    source = random.Random(seed)
    telling = [source.choice(sorted(WORDS)) for _ in range(lines)]
    filled = [" ".join(source.sample(["is", "it", "a", word, "?"], 5)) for word in telling]
    return [(text, WORDS[word]) for text, word in zip(filled, telling, strict=True)]


def write_table(path: Path, table: list[tuple[str, str]]) -> None:
    path.write_text("question\tintent\n" + "".join(f"{text}\t{label}\n" for text, label in table))


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a language model of a text in which every word but one follows from the word before it."""
    folder = tmp_path_factory.mktemp("lm")
    (folder / "lm.toml").write_text(LM)
    (folder / "train.txt").write_text(("one two three four\n\nfive six\n") * 200)
    (folder / "valid.txt").write_text(("one two three four\n\nfive six\n") * 10)
    return folder


def test_a_language_model_has_the_perplexity_of_its_text(lm: Path) -> None:
    result = specforge("run", "lm.toml", "--store", "store", cwd=lm)

    assert result.returncode == 0, result.stderr
    plan = json.loads(specforge("plan", "lm.toml", "--json", "--no-estimates", "--store", "store", cwd=lm).stdout)
    assert ["preprocess", "train", "score.test"] == [step["id"] for step in plan["steps"]]
    # What follows an end of sentence can be told only by the context: all else is certain.
    found = scores(lm, "lm")
    assert 1.0 < found["ppl"] < 1.1
    assert found["word_ppl"] == pytest.approx(found["ppl"])  # white space cuts words, and every line has its end
    summary = json.loads(next((lm / "store" / "objects" / "preprocess").glob("*/summary.json")).read_text())
    assert {"text": 200 * (4 + 2 + 3)} == summary["splits"]["train"]["tokens"]  # a blank line is an end of sentence


def test_the_window_of_a_test_trains_nothing_anew_and_diff_shows_both_perplexities(lm: Path) -> None:
    assert specforge("run", "lm.toml", "--store", "store", cwd=lm).returncode == 0
    wider = ("--set", "task.context_window=0")
    (lm / "wider.toml").write_text('extends = "lm.toml"\ntask = { context_window = 0 }\n')

    planned = json.loads(specforge("plan", "lm.toml", *wider, "--json", "--store", "store", cwd=lm).stdout)
    assert {"preprocess": "reuse", "train": "reuse", "score.test": "run"} == {
        step["id"]: step["state"] for step in planned["steps"]
    }
    assert specforge("run", "wider.toml", "--store", "store", cwd=lm).returncode == 0
    shown = specforge("diff", "lm.toml", "wider.toml", "--store", "store", cwd=lm)
    assert shown.returncode == 0, shown.stderr
    assert "context_window" in shown.stdout
    assert "ppl" in shown.stdout


def test_logprob_of_a_test_has_its_perplexity(lm: Path) -> None:
    assert specforge("run", "lm.toml", "--store", "store", cwd=lm).returncode == 0
    expected = scores(lm, "lm")

    result = specforge("logprob", "lm.toml", "--store", "store", "--json", cwd=lm, stdin=(lm / "valid.txt").read_text())

    assert (0, "") == (result.returncode, result.stderr)
    found = json.loads(result.stdout)
    assert [1, 30, 90, 60, 0] == [found[name] for name in ("format", "lines", "tokens", "words", "unknown")]
    assert [expected["ppl"], expected["word_ppl"]] == pytest.approx([found["ppl"], found["word_ppl"]])


@pytest.mark.slow
def test_a_sweep_of_language_models_has_a_best_point_to_continue_lines_with(lm: Path) -> None:
    (lm / "sweep.toml").write_text(LM + "\n[sweep.grid]\ntrain.max_updates = [1, 60]\n")

    result = specforge("run", "sweep.toml", "--store", "store", cwd=lm)

    assert result.returncode == 0, result.stderr
    first, second = (line.split() for line in result.stdout.split("\n") if line[:1] in {"1", "2"})
    assert float(first[2]) > float(second[2])
    assert "continue lines from standard input with the best:\n  specforge translate" in result.stdout


# Seven updates are an epoch of blocks, so that each stop is in the middle of one.
LONG_LM = (
    LM.replace("dropout = 0.0", "dropout = 0.2").replace(
        'max_updates = 120, batch_tokens = 256, validate_every = "60 updates"',
        'max_updates = 18, batch_tokens = 256, validate_every = "9 updates", checkpoint_every = "5 updates"',
    )
    + """
[run]
log_every = 1
max_tokens = 64
max_restarts = 0
"""
)


@pytest.fixture(scope="module")
def long_lm(lm: Path) -> Path:
    """Return the folder, after a run without faults into the store `calm`."""
    (lm / "long.toml").write_text(LONG_LM)
    result = specforge("run", "long.toml", "--until", "train", "--store", "calm", cwd=lm)
    assert result.returncode == 0, result.stderr
    return lm


def last_weights(store: Path) -> bytes:
    (result,) = (store / "objects" / "train").iterdir()
    return (result / "last" / "model.safetensors").read_bytes()


def losses(store: Path) -> list[float]:
    lines = (store / "runs" / "long" / "logs" / "train.jsonl").read_text().split("\n")
    return [json.loads(line)["loss"] for line in lines if '"event": "train"' in line]


def test_a_language_model_that_is_killed_goes_on_bit_by_bit(long_lm: Path, tmp_path: Path) -> None:
    marker, store = tmp_path / "fired", long_lm / "killed"
    faulty = {
        "PYTHONPATH": os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "SPECFORGE_TEST_KILL": f"os.rename /checkpoints/ 2 {marker}",
    }
    words = ("run", "long.toml", "--until", "train", "--store", store)

    killed = specforge(*words, cwd=long_lm, environment=faulty)
    rerun = specforge(*words, cwd=long_lm)

    assert marker.exists(), killed.stderr
    assert rerun.returncode == 0, rerun.stderr
    assert "training goes on after 5 updates" in rerun.stderr
    assert last_weights(long_lm / "calm") == last_weights(store)


@pytest.mark.slow
def test_a_language_model_goes_on_with_parts_on_two_devices(long_lm: Path) -> None:
    for updates, devices, strategy in ((4, 1, "ddp"), (11, 2, "fsdp"), (18, 1, "ddp")):
        moved = (f"train.max_updates={updates}", f"run.devices={devices}", f'run.strategy="{strategy}"')
        wanted = [word for one in moved for word in ("--set", one)]
        result = specforge("run", "long.toml", "--until", "train", "--store", "moved", *wanted, cwd=long_lm)
        assert result.returncode == 0, result.stderr

    assert 18 == len(losses(long_lm / "moved"))
    assert losses(long_lm / "calm") == pytest.approx(losses(long_lm / "moved"), rel=1e-5)


def test_a_language_model_continues_prompts_and_lines(lm: Path) -> None:
    (lm / "prompts.txt").write_text("one\n\nthree\n")
    prompted = ("lm.toml", "--store", "store", "--set", 'data.prompts="prompts.txt"', "--set", 'name="prompted"')
    made = specforge("run", *prompted, cwd=lm)
    assert made.returncode == 0, made.stderr
    run = lm / "store" / "runs" / "prompted"

    continued = (run / "prompts" / "hypotheses.txt").read_text()
    by_spec = specforge("translate", *prompted, cwd=lm, stdin="one\n\nthree\n")
    by_folder = specforge("translate", run / "best", cwd=lm, stdin="three\none\n")

    assert "one two three four\n\nthree four\n" == continued
    assert (continued, "") == (by_spec.stdout, by_spec.stderr)
    assert "three four\none two three four\n" == by_folder.stdout
    assert {"ppl", "word_ppl"} == scores(lm, "prompted").keys()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    (folder / "classifier.toml").write_text(CLASSIFIER)
    write_table(folder / "train.tsv", rows(200, seed=1))
    write_table(folder / "test.tsv", rows(30, seed=2))
    return folder


def test_a_classifier_learns_its_labels(classifier: Path) -> None:
    result = specforge("run", "classifier.toml", "--store", "store", cwd=classifier)

    assert result.returncode == 0, result.stderr
    assert {"accuracy": 100.0, "f1": 100.0} == scores(classifier, "classifier")
    hypotheses = (classifier / "store" / "runs" / "classifier" / "test" / "hypotheses.txt").read_text()
    assert "".join(f"{label}\n" for _, label in rows(30, seed=2)) == hypotheses
    assert "accuracy 100.00" in result.stderr  # in validation, too
    history = json.loads((next((classifier / "store" / "objects" / "train").iterdir()) / "history.json").read_text())
    assert "accuracy" == history["best_metric"]


def test_a_label_that_no_training_row_has_is_named_with_its_line(classifier: Path) -> None:
    write_table(classifier / "odd.tsv", [*rows(3, seed=3), ("is it warm ?", "warm")])
    odd = """data.test={path="odd.tsv",format="tsv",header=true}"""

    result = specforge("run", "classifier.toml", "--set", odd, "--store", "store", cwd=classifier)

    assert 2 == result.returncode
    assert "error[SF522]: the label `warm` does not occur in the training data" in result.stderr
    assert "odd.tsv:5" in result.stderr
    assert "`cold`, `hot`" in result.stderr


@pytest.mark.parametrize("form", ["tsv", "jsonl"])
def test_lines_without_labels_are_labelled(classifier: Path, form: str) -> None:
    assert specforge("run", "classifier.toml", "--until", "train", "--store", "store", cwd=classifier).returncode == 0
    texts = [text for text, _ in rows(2, seed=4)]
    (classifier / "june.tsv").write_text("question\n" + "".join(f"{text}\n" for text in texts))
    (classifier / "june.jsonl").write_text("".join(json.dumps({"question": text}) + "\n" for text in texts))
    test = 'test = { path = "test.tsv", format = "tsv", header = true }'
    june = (
        f'test = {{ june = {{ path = "june.{form}", format = "{form}"{", header = true" if form == "tsv" else ""} }} }}'
    )
    (classifier / f"june-{form}.toml").write_text(CLASSIFIER.replace(test, june))

    result = specforge("run", f"june-{form}.toml", "--until", "generate", "--store", "store", cwd=classifier)

    assert result.returncode == 0, result.stderr
    hypotheses = classifier / "store" / "runs" / f"june-{form}" / "june" / "hypotheses.txt"
    assert [label for _, label in rows(2, seed=4)] == hypotheses.read_text().split("\n")[:2]
    assert "hypothesis" in result.stdout  # the command shows a few at its end
    assert "reference" not in result.stdout


def test_a_label_is_named_that_is_almost_right(classifier: Path) -> None:
    write_table(classifier / "spaced.tsv", [*rows(3, seed=3), ("is it ?", "hot ")])
    spaced = """data.test={path="spaced.tsv",format="tsv",header=true}"""

    result = specforge("run", "classifier.toml", "--set", spaced, "--store", "store", cwd=classifier)

    assert 2 == result.returncode
    assert "error[SF522]: the label `hot `" in result.stderr
    assert "did you mean `hot`?" in result.stderr


def test_one_label_is_no_choice(classifier: Path) -> None:
    write_table(classifier / "one.tsv", [(text, "cold") for text, _ in rows(9, seed=3)])
    (classifier / "one.toml").write_text(CLASSIFIER.replace("train.tsv", "one.tsv"))

    result = specforge("run", "one.toml", "--store", "store", cwd=classifier)

    assert 2 == result.returncode
    assert "error[SF525]: all of the training data have the label `cold`" in result.stderr


def test_a_label_of_the_validation_data_is_looked_at_before_anything_is_trained(classifier: Path) -> None:
    write_table(classifier / "valid.tsv", [*rows(3, seed=3), ("is it ?", "")])
    valid = 'header = true }\nvalid = { path = "valid.tsv", format = "tsv", header = true }'
    (classifier / "valid.toml").write_text(CLASSIFIER.replace("header = true, hold_out = 0.2 }", valid))

    result = specforge("run", "valid.toml", "--until", "preprocess", "--store", "store", cwd=classifier)

    assert 2 == result.returncode
    assert "error[SF522]: an empty label does not occur in the training data" in result.stderr
    assert "valid.tsv:5" in result.stderr
