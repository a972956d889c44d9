"""The train step from a job to its result, on a task of a few words."""

from __future__ import annotations

import json
import os
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import JsonValue

from specforge.execution.job import CorpusJob, Job
from specforge.foundation.errors import StoppedRunError, WrongInputError
from specforge.foundation.events import Scalar
from specforge.steps import preprocess, train
from specforge.steps.model_folder import load_model
from specforge.training.weights import average_weights, module_weights, read_weights

_WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs"}
_CPU = torch.device("cpu")


@dataclass
class Listener:
    """A reporter that remembers."""

    records: list[tuple[str, dict[str, Scalar]]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def progress(self, done: int, total: int | None, unit: str, **values: Scalar) -> None:
        del done, total, unit, values

    def record(self, name: str, **values: Scalar) -> None:
        self.records.append((name, values))

    def message(self, text: str) -> None:
        self.messages.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def named(self, name: str) -> list[dict[str, Scalar]]:
        return [values for kind, values in self.records if kind == name]


def _write(folder: Path, name: str, items: int, seed: int) -> dict[str, str]:
    chooser = random.Random(seed)
    rows = [chooser.choices(sorted(_WORDS), k=chooser.randint(1, 5)) for _ in range(items)]
    (folder / f"{name}.en").write_text("".join(" ".join(row) + "\n" for row in rows))
    (folder / f"{name}.de").write_text("".join(" ".join(_WORDS[word] for word in row) + "\n" for row in rows))
    return {"source": str(folder / f"{name}.en"), "target": str(folder / f"{name}.de")}


_RUN: dict[str, JsonValue] = {
    "device": "cpu", "devices": 1, "strategy": "ddp", "max_tokens": 48, "workers": 1, "log_every": 5,
}  # fmt: skip
_TASK: dict[str, JsonValue] = {"use": "specforge/translation", "source": "en", "target": "de"}
_TOKENIZER: dict[str, JsonValue] = {"use": "specforge/whitespace"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a preprocess step, two training corpora in it."""
    folder = tmp_path_factory.mktemp("prepared")
    output = folder / "result"
    output.mkdir()
    corpora = [
        CorpusJob(role=role, format="text", files=_write(folder, name, items, seed))
        for seed, (role, name, items) in enumerate([("train/0", "a", 60), ("train/1", "b", 30), ("valid", "c", 12)])
    ]
    settings: dict[str, JsonValue] = {
        "seed": 1, "task": _TASK, "tokenizer": _TOKENIZER, "preprocess": {"joined_dictionary": False}, "run": _RUN,
    }  # fmt: skip
    job = Job(id="preprocess", kind="preprocess", settings=settings, corpora=corpora, output=str(output))
    preprocess.run(job, Listener())
    return output


def _job(folder: Path, prepared: Path, changes: dict[str, JsonValue], **tables: JsonValue) -> Job:
    """Return a train job that writes below `folder`."""
    (folder / "output").mkdir(parents=True)
    model: dict[str, JsonValue] = {
        "use": "specforge/transformer", "encoder_layers": 1, "decoder_layers": 1, "embed_dim": 16, "ffn_dim": 16,
        "attention_heads": 2, "dropout": 0.1, "share_embeddings": "decoder", "max_positions": 20,
    }  # fmt: skip
    settings: dict[str, JsonValue] = {
        "seed": 1,
        "task": _TASK,
        "tokenizer": _TOKENIZER,
        "model": model,
        "criterion": {"use": "specforge/label_smoothed_cross_entropy", "label_smoothing": 0.1},
        "optimizer": {"use": "specforge/adam", "lr": 0.02},
        "lr_scheduler": {"use": "specforge/inverse_sqrt", "warmup_updates": 4},
        "data": {"train": [{"weight": 1.0}, {"weight": 2.0}]},
        "train": {"batch_tokens": 100, "validate_every": "4 updates", "checkpoint_every": "100 updates", **changes},
        "run": _RUN,
        **tables,
    }
    return Job(
        id="train",
        kind="train",
        settings=settings,
        needs={"preprocess": str(prepared)},
        output=str(folder / "output"),
        work=str(folder.parent / "work"),
    )


_WITH_BLEU: dict[str, JsonValue] = {
    "valid_search": {"use": "specforge/greedy"},
    "valid_metric": {"use": "specforge/bleu"},
}


def test_the_result_holds_three_models_and_the_history(prepared: Path, tmp_path: Path) -> None:
    listener = Listener()
    train.run(_job(tmp_path / "run", prepared, {"max_updates": 10, "best_metric": "bleu"}, **_WITH_BLEU), listener)

    output = tmp_path / "run" / "output"
    assert ["average", "best", "history.json", "last"] == sorted(path.name for path in output.iterdir())
    for name in ("average", "best", "last"):
        files = {"model.json", "model.safetensors", "vocabulary.source.txt", "vocabulary.target.txt", "SHA256SUMS"}
        assert {*files, "tokenizer"} == {path.name for path in (output / name).iterdir()}
    history = json.loads((output / "history.json").read_text())
    assert [4, 8] == [validation["updates"] for validation in history["validations"]]
    assert {"loss", "nll", "ppl", "bleu"} == history["validations"][0]["valid"].keys()
    assert (10, "max_updates", "bleu") == (history["last"]["updates"], history["ending"], history["best_metric"])
    assert [4, 8, 10] == [values["updates"] for values in listener.named("valid")]
    assert [5, 10] == [values["updates"] for values in listener.named("train")]


def test_average_is_the_mean_of_what_was_validated_and_best_one_of_them(prepared: Path, tmp_path: Path) -> None:
    train.run(_job(tmp_path / "run", prepared, {"max_updates": 9, "average_last": 2}), Listener())

    output, validated = tmp_path / "run" / "output", tmp_path / "work" / "validated"
    snapshots = [next(validated.glob(f"{updates}-*")) / "model.safetensors" for updates in (4, 8)]
    expected = average_weights(snapshots)
    found = read_weights(output / "average" / "model.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    best = json.loads((output / "best" / "model.json").read_text())
    assert snapshots[best["updates"] // 4 - 1].read_bytes() == (output / "best" / "model.safetensors").read_bytes()
    assert [4, 8] == json.loads((output / "average" / "model.json").read_text())["averaged_updates"]


def test_the_mean_of_the_best_is_another_model_where_it_is_asked_for(prepared: Path, tmp_path: Path) -> None:
    changes: dict[str, JsonValue] = {"max_updates": 17, "average_last": 1, "average_best": 2, "keep_best": 9}
    train.run(_job(tmp_path / "run", prepared, changes), Listener())

    output, validated = tmp_path / "run" / "output", tmp_path / "work" / "validated"
    history = json.loads((output / "history.json").read_text())
    by_loss = sorted(history["validations"], key=lambda one: one["valid"]["loss"])
    best = sorted(one["updates"] for one in by_loss[:2])
    assert best == json.loads((output / "average_best" / "model.json").read_text())["averaged_updates"]
    expected = average_weights([next(validated.glob(f"{updates}-*")) / "model.safetensors" for updates in best])
    found = read_weights(output / "average_best" / "model.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert {"4", "8", "12", "16"} == {path.name.partition("-")[0] for path in validated.iterdir()}


def test_moving_averages_are_what_is_published_as_last_too(prepared: Path, tmp_path: Path) -> None:
    found = []
    for name, changes in {"plain": {}, "averaged": {"ema_decay": 0.5}}.items():
        job = _job(tmp_path / name / "run", prepared, {"max_updates": 4, **changes})
        train.run(job, Listener())
        output, work = tmp_path / name / "run" / "output", tmp_path / name / "work"
        (snapshot,) = (work / "validated").glob("4-*")
        weights = (output / "last" / "model.safetensors").read_bytes()
        assert (snapshot / "model.safetensors").read_bytes() == weights
        found.append(weights)

    assert found[0] != found[1]


def test_a_model_folder_is_all_that_is_needed_to_use_the_model(prepared: Path, tmp_path: Path) -> None:
    train.run(_job(tmp_path / "run", prepared, {"max_updates": 4}), Listener())
    moved = tmp_path / "elsewhere"
    (tmp_path / "run" / "output" / "last").rename(moved)

    trained = load_model(moved, _CPU)

    assert not trained.model.training
    assert 16 == len(trained.vocabularies["source"]), "six words, four symbols, filled up to a multiple of 8"
    assert 4 == trained.settings["updates"]
    weights = module_weights(trained.model)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in read_weights(moved / "model.safetensors").items())
    lines = {"source": "one two", "target": "eins zwei"}
    cut = {role: trained.tokenizer.encode(role, [line])[0] for role, line in lines.items()}
    item = {role: np.array([*trained.vocabularies[role].encode(pieces), 2]) for role, pieces in cut.items()}
    assert torch.isfinite(trained.model.features(trained.task.collate([item]))).all()


def test_two_trainings_give_equal_files(prepared: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        train.run(
            _job(tmp_path / name / "run", prepared, {"max_updates": 6, "best_metric": "bleu"}, **_WITH_BLEU), Listener()
        )

    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        for folder in (tmp_path / name / "run" / "output" for name in ("first", "second"))
    )
    assert first == second


def test_layers_that_compute_twice_give_equal_files(prepared: Path, tmp_path: Path) -> None:
    for name, run in {"once": _RUN, "twice": {**_RUN, "activation_checkpointing": True}}.items():
        train.run(_job(tmp_path / name / "run", prepared, {"max_updates": 6}, run=run), Listener())

    once, twice = (tmp_path / name / "run" / "output" / "last" / "model.safetensors" for name in ("once", "twice"))
    assert once.read_bytes() == twice.read_bytes()


def test_a_model_without_layers_to_prepare_is_told(prepared: Path, tmp_path: Path) -> None:
    listener = Listener()
    layers: JsonValue = [[8, 3]]
    model: dict[str, JsonValue] = {
        "use": "specforge/fconv", "embed_dim": 8, "encoder_layers": layers, "decoder_layers": layers, "out_embed_dim": 8,
    }  # fmt: skip
    run: dict[str, JsonValue] = {**_RUN, "compile": True, "activation_checkpointing": True}
    train.run(_job(tmp_path / "run", prepared, {"max_updates": 1}, model=model, run=run), listener)

    both = "`run.compile` and `run.activation_checkpointing`"
    assert [f"{both}: this model does not name its layers, so nothing comes of it"] == listener.warnings


def test_without_a_validation_the_last_weights_stand_for_all(prepared: Path, tmp_path: Path) -> None:
    listener = Listener()
    train.run(_job(tmp_path / "run", prepared, {"max_updates": 3, "average_best": 2}), listener)

    output = tmp_path / "run" / "output"
    names = ("best", "last", "average", "average_best")
    assert 1 == len({(output / name / "model.safetensors").read_bytes() for name in names})
    assert any("nothing was validated" in message for message in listener.messages)


def test_a_search_without_a_metric_reports_the_score_of_the_task(prepared: Path, tmp_path: Path) -> None:
    listener = Listener()
    job = _job(tmp_path / "run", prepared, {"max_updates": 4}, valid_search={"use": "specforge/greedy"})
    train.run(job, listener)

    assert "bleu" in listener.named("valid")[0]


def test_weights_of_corpora_count(prepared: Path, tmp_path: Path) -> None:
    listener = Listener()
    train.run(
        _job(tmp_path / "run", prepared, {"max_epochs": 1, "batch_sentences": 10, "batch_tokens": None}), listener
    )

    history = json.loads((tmp_path / "run" / "output" / "history.json").read_text())
    assert 60 / 10 + 2 * 30 / 10 == history["last"]["updates"]


def test_the_task_says_how_large_an_update_is_by_default(prepared: Path, tmp_path: Path) -> None:
    job = _job(tmp_path / "run", prepared, {"max_epochs": 1, "batch_tokens": None, "validate_every": "1 epoch"})
    train.run(job, Listener())

    # All 120 drawn items together are far below 4,096 target tokens.
    assert 1 == json.loads((tmp_path / "run" / "output" / "history.json").read_text())["last"]["updates"]


def test_a_raised_budget_goes_on_where_training_stopped(prepared: Path, tmp_path: Path) -> None:
    train.run(_job(tmp_path / "short", prepared, {"max_updates": 5}), Listener())
    listener = Listener()
    train.run(_job(tmp_path / "long", prepared, {"max_updates": 12}), listener)
    train.run(_job(tmp_path / "other" / "whole", prepared, {"max_updates": 12}), Listener())

    raised, whole = (tmp_path / "long" / "output", tmp_path / "other" / "whole" / "output")
    for name in ("last", "best", "average"):
        assert (raised / name / "model.safetensors").read_bytes() == (whole / name / "model.safetensors").read_bytes()
    assert (raised / "history.json").read_bytes() == (whole / "history.json").read_bytes()
    assert "training goes on after 5 updates" in listener.messages


class Impatient(Listener):
    """Sends SIGTERM to this process when the first update is done."""

    def progress(self, done: int, total: int | None, unit: str, **values: Scalar) -> None:
        del total, unit, values
        if done == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_is_heard(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedRunError, match="after 2 updates; the state is saved"):
        train.run(_job(tmp_path / "run", prepared, {"max_updates": 12}), Impatient())

    assert [] == list((tmp_path / "run" / "output").iterdir())
    assert ["2"] == [path.name for path in (tmp_path / "work" / "checkpoints").iterdir()]


@pytest.mark.parametrize(
    ("changes", "tables", "message"),
    [
        (
            {"batch_tokens": 5},
            {},
            r"item \d+ of the training data has 6 tokens that count.*`train.batch_tokens` allows 5",
        ),
        (
            {},
            {"run": {**_RUN, "max_tokens": 5}},
            r"item \d+ of the training data has 6 tokens.*`run.max_tokens` allows 5",
        ),
        ({}, {"model": "short"}, r"item \d+ of the training data has 6 source tokens.*positions allow 5"),
    ],
)
def test_what_is_too_long_is_found_before_training(
    changes: dict[str, JsonValue], tables: dict[str, JsonValue], message: str, prepared: Path, tmp_path: Path
) -> None:
    job = _job(tmp_path / "run", prepared, {"max_updates": 4, **changes})
    settings = {**job.settings, **tables}
    if "model" in tables:
        model = job.settings["model"]
        assert isinstance(model, dict)
        settings["model"] = {**model, "max_positions": 5}

    with pytest.raises(WrongInputError, match=message) as caught:
        train.run(job.model_copy(update={"settings": settings}), Listener())

    assert "SF506" == caught.value.code
    assert not (tmp_path / "work" / "checkpoints").exists()


def test_an_early_end_is_explained(prepared: Path, tmp_path: Path) -> None:
    standing: dict[str, JsonValue] = {"use": "specforge/adam", "lr": 1e-30}
    patient, slow, done = Listener(), Listener(), Listener()
    impatient: dict[str, JsonValue] = {"max_updates": 40, "best_metric": "bleu", "patience": 1}

    train.run(_job(tmp_path / "a" / "run", prepared, impatient, **_WITH_BLEU, optimizer=standing), patient)
    train.run(_job(tmp_path / "b" / "run", prepared, {"max_updates": 40, "stop_min_lr": 0.019}), slow)
    train.run(_job(tmp_path / "c" / "run", prepared, {"max_updates": 4}), done)

    history = json.loads((tmp_path / "a" / "run" / "output" / "history.json").read_bytes())
    bleu = f"{patient.named('valid')[0]['bleu']:.2f}"
    assert (history["ending"], history["best_updates"], history["last"]["updates"]) == ("patience", 4, 8)
    assert patient.messages[-1] == f"training ends, since patience has run out: best is bleu {bleu} after 4 updates"
    assert slow.messages[-1] == "training ends, since the learning rate is below `train.stop_min_lr`"
    assert not [text for text in done.messages if text.startswith("training ends")]
