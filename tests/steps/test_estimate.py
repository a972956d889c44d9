"""Estimates of the step's worker, against counts by hand and against what training really does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from preprocess_jobs import make_job, parallel, prepared
from pydantic import JsonValue

from specforge.data.batching import Budget, UpdatePlan, micro_batches
from specforge.execution.job import CorpusJob, Job
from specforge.foundation.errors import WrongInputError
from specforge.foundation.events import RecordEvent, Scalar, SilentReporter
from specforge.planning.estimates import Estimates
from specforge.steps import estimate
from specforge.steps.model_folder import model_context, read_vocabularies
from specforge.steps.parts import make_model, make_task
from specforge.steps.prepared import measure_of, open_prepared
from specforge.steps.rehearsed_model import RehearsedModel
from specforge.tasks.translation.task import TranslationTask
from specforge.training.rehearsal import Rehearsal

SMALL: dict[str, JsonValue] = {
    "use": "specforge/transformer",
    "encoder_layers": 1,
    "decoder_layers": 1,
    "embed_dim": 8,
    "ffn_dim": 16,
    "attention_heads": 2,
    "norm": "post",
    "dropout": 0.0,
}

# An attention has four 8 x 8 matrices with biases, 288 parameters; a feed-forward network 8 x 16 and 16 x 8 with biases,
# 280; a norm 16. So the encoder's layer has 288 + 280 + 2 * 16 and the decoder's 2 * 288 + 280 + 3 * 16.
LAYERS = 600 + 904

# 30 items: source of 1 to 5 words, target of 1 to 3
SOURCE = [" ".join("abcde"[: 1 + number % 5]) for number in range(30)]
TARGET = [" ".join("xyz"[: 1 + number % 3]) for number in range(30)]


def corpora(folder: Path) -> list[CorpusJob]:
    source, target = ("".join(f"{line}\n" for line in lines) for lines in (SOURCE, TARGET))
    train = parallel(folder, "train/0", source, target)
    return [train.model_copy(update={"lines": 30}), parallel(folder, "valid", "a\n", "x\n")]


def make_estimate_job(
    folder: Path,
    needs: dict[str, str],
    *,
    model: JsonValue = None,
    train: dict[str, JsonValue] | None = None,
    run: dict[str, JsonValue] | None = None,
    section: dict[str, JsonValue] | None = None,
    tokenizer: JsonValue = None,
) -> Job:
    """Return a job as the front makes it."""
    settings: dict[str, JsonValue] = {
        "seed": 1,
        "task": {"use": "specforge/translation", "source": "en", "target": "de"},
        "tokenizer": tokenizer or {"use": "specforge/whitespace"},
        "model": model or SMALL,
        "criterion": {"use": "specforge/cross_entropy"},
        "optimizer": {"use": "specforge/adam", "lr": 0.1},
        "train": {"max_epochs": 4, "batch_sentences": 10, **(train or {})},
        "run": {"device": "cpu", "max_tokens": 1_000, **(run or {})},
        "preprocess": {"padding_factor": 1, **(section or {})},
        "data": {"train": [{"weight": 1.0}]},
    }
    return Job(id="estimate", kind="estimate", settings=settings, needs=needs, corpora=corpora(folder)[:1])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The result of preprocess, in a folder beside the text."""
    folder, _ = prepared(make_job(tmp_path / "data", corpora(tmp_path)))
    return folder


def with_data(data: Path, **changes: object) -> Estimates:
    return estimate.estimates(make_estimate_job(data.parent, {"preprocess": str(data)}, **changes))  # type: ignore[arg-type]


def from_sample(folder: Path, **changes: object) -> Estimates:
    corpora(folder)
    return estimate.estimates(make_estimate_job(folder, {}, **changes))  # type: ignore[arg-type]


def test_parameters_by_hand(data: Path) -> None:
    found = with_data(data)

    # 5 source and 3 target types beside 4 special symbols; the target has an input and an output table
    assert found.parameters == found.trainable == LAYERS + 9 * 8 + 2 * 7 * 8
    assert {"source": 9, "target": 7} == found.vocabulary
    assert {
        "source_embedder": 9 * 8,
        "target_embedder": 7 * 8,
        "encoder_layers": 600,
        "decoder_layers": 904,
        "output_projection": 7 * 8,
    } == found.by_part
    built = make_model(SMALL, model_context(read_vocabularies(data, ["source", "target"]), joined=False))
    assert {name: list(tensor.shape) for name, tensor in built.state_dict().items()} == found.tensors


def test_shared_embeddings_are_counted_once(tmp_path: Path) -> None:
    found = from_sample(tmp_path, model={**SMALL, "share_embeddings": "all"}, section={"joined_dictionary": True})

    assert LAYERS + 12 * 8 == found.parameters
    assert 12 * 8 == found.by_part["source_embedder"]
    assert ["source_embedder.table.weight"] == [name for name in found.tensors if found.tensors[name] == [12, 8]]


def test_no_memory_is_needed_for_the_weights(data: Path) -> None:
    width = 2**38  # a single matrix would take 8 TiB

    found = with_data(data, model={**SMALL, "ffn_dim": width})

    assert found.parameters > 2 * (2 * 8 * width + width)
    assert found.memory is not None
    assert found.memory.state > 16 * found.parameters - 1
    assert found.memory.activations > 10 * 2 * width  # the widest layer of ten sentences of two symbols at least


def test_state_is_sixteen_bytes_a_parameter_for_adam(data: Path) -> None:
    found = with_data(data)

    assert found.memory is not None
    # weight, gradient and two running means of 4 bytes each; each tensor has a counter of 4 bytes beside them
    assert 16 * found.parameters + 4 * len(found.tensors) == found.memory.state


def test_averages_of_the_weights_are_four_bytes_a_parameter_more(data: Path) -> None:
    plain, found = with_data(data), with_data(data, train={"ema_decay": 0.99})

    assert plain.memory is not None
    assert found.memory is not None
    assert plain.memory.state + 4 * found.parameters == found.memory.state
    assert plain.memory.activations == found.memory.activations


def test_gradients_that_are_exchanged_take_memory_of_their_own(data: Path) -> None:
    alone, together = with_data(data), with_data(data, run={"devices": 2})

    assert alone.memory is not None
    assert together.memory is not None
    assert alone.memory.state + 4 * alone.parameters == together.memory.state


def test_a_device_keeps_its_part_and_what_comes_together(data: Path) -> None:
    """The small model has one layer a side, which are whole at the same time: so are all weights, and their gradients."""
    alone, ddp = with_data(data), with_data(data, run={"devices": 4})
    cut = with_data(data, run={"devices": 4, "strategy": "fsdp"})

    assert alone.memory is not None
    assert ddp.memory is not None
    assert cut.memory is not None
    whole = 4 * alone.parameters
    assert -(-alone.memory.state // 4) + 2 * whole == cut.memory.state < ddp.memory.state


def test_layers_are_whole_two_at_a_time(data: Path) -> None:
    sizes = [
        [
            with_data(data, model={**SMALL, "encoder_layers": layers}, run={"devices": devices, "strategy": "fsdp"})
            for layers in (4, 9)
        ]
        for devices in (1, 4)
    ]
    (few, many), (few_cut, many_cut) = [[found.memory.state for found in pair if found.memory] for pair in sizes]

    assert abs((many - few) / 4 - (many_cut - few_cut)) <= 1


def test_batching_figures_are_those_of_the_batching_code(data: Path) -> None:
    found = with_data(data, train={"batch_sentences": None, "batch_tokens": 16}, run={"max_tokens": 12})

    job = make_estimate_job(data.parent, {"preprocess": str(data)})
    opened = open_prepared(data, TranslationTask(), job.settings["data"])
    measure = measure_of(opened.train, make_task(job.settings["task"]))
    updates = list(UpdatePlan(opened.segments, measure, Budget(tokens=16), seed=1).updates(epoch=1))
    cost = [int(measure(update.items).cost.sum()) for update in updates]
    pieces = [micro_batches(update.items, measure(update.items).width, 12) for update in updates]
    padded = sum(measure(piece).padded() for cut in pieces for piece in cut)
    real = sum(measure(update.items).real() for update in updates)
    assert found.updates_per_epoch == len(updates)
    assert found.updates == 4 * len(updates)
    assert found.target_tokens_per_update is not None
    assert (found.target_tokens_per_update.mean, found.target_tokens_per_update.most) == (
        sum(cost) / len(cost),
        max(cost),
    )
    assert found.micro_batches_per_update is not None
    assert found.micro_batches_per_update.most == max(len(cut) for cut in pieces)
    assert found.items_per_update is not None
    assert found.items_per_update.mean == 30 / len(updates)
    assert found.padding == pytest.approx(1 - real / padded)


def test_only_operations_are_approximate_once_the_data_are_there(data: Path) -> None:
    found = with_data(data)

    assert ["flop_per_update"] == found.approximate
    assert [] == found.notes


def test_figures_from_a_part_of_an_epoch_are_approximate(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specforge.data.batch_figures._MOST_UPDATES", 2)

    found = with_data(data)

    assert 3.0 == found.updates_per_epoch
    assert {
        "updates_per_epoch",
        "items_per_update",
        "target_tokens_per_update",
        "micro_batches_per_update",
        "padding",
        "updates",
        "memory",
        "flop_per_update",
    } == set(found.approximate)


@pytest.mark.parametrize(("linear", "quadratic"), [(7, 0), (0, 7)])
def test_operations_follow_the_size_of_every_micro_batch(
    data: Path, monkeypatch: pytest.MonkeyPatch, linear: int, quadratic: int
) -> None:
    """A model that takes 7 operations a token, or 7 for each item and pair of its places."""

    def sizes(items: int, longest: int) -> float:
        return linear * items * longest + quadratic * items * longest**2

    def rehearsed(_: RehearsedModel, lengths: dict[str, NDArray[np.int64]], *, again: bool) -> Rehearsal:
        del again
        items = len(lengths["source"])
        longest = sum(int(column.max()) for column in lengths.values())
        return Rehearsal(0, 0, 0, 0, linear * items * longest, quadratic * items * longest**2)

    monkeypatch.setattr(RehearsedModel, "rehearsed", rehearsed)
    found = with_data(data, run={"max_tokens": 12})

    job = make_estimate_job(data.parent, {"preprocess": str(data)})
    opened = open_prepared(data, TranslationTask(), job.settings["data"])
    measure = measure_of(opened.train, make_task(job.settings["task"]))
    updates = list(UpdatePlan(opened.segments, measure, Budget(sentences=10), seed=1).updates(epoch=1))
    pieces = [piece for one in updates for piece in micro_batches(one.items, measure(one.items).width, 12)]
    longest = [sum(int(column.max()) for column in measure(piece).lengths.values()) for piece in pieces]
    total = sum(sizes(len(piece), longest) for piece, longest in zip(pieces, longest, strict=True))
    assert len({*longest}) > 1
    assert total / len(updates) == pytest.approx(found.flop_per_update)


@pytest.mark.parametrize(("devices", "expected"), [(1, True), (30, False)])
def test_gradients_are_there_already_where_a_device_has_several_micro_batches(
    data: Path, monkeypatch: pytest.MonkeyPatch, devices: int, *, expected: bool
) -> None:
    seen: list[bool] = []

    def rehearsed(_: RehearsedModel, __: object, *, again: bool) -> None:
        seen.append(again)

    monkeypatch.setattr(RehearsedModel, "rehearsed", rehearsed)
    with_data(data, run={"max_tokens": 12, "devices": devices})

    assert [expected] == seen


def test_a_sample_of_all_rows_finds_what_preprocess_finds(data: Path) -> None:
    """A tokenizer without training and a corpus smaller than a sample leave nothing to guess."""
    exact, sampled = with_data(data), from_sample(data.parent)

    beside = {"approximate", "notes"}
    assert exact.model_dump(exclude=beside) == sampled.model_dump(exclude=beside)
    assert {"parameters", "vocabulary", "updates_per_epoch", "updates", "memory"} <= set(sampled.approximate)
    assert any("sample" in note for note in sampled.notes)


def test_what_preprocess_leaves_out_is_left_out_of_a_sample(tmp_path: Path) -> None:
    exact, _ = prepared(make_job(tmp_path / "data", corpora(tmp_path), section={"max_length": 4, "max_ratio": 1.5}))

    found = from_sample(tmp_path, section={"max_length": 4, "max_ratio": 1.5})

    kept = len(open_prepared(exact, TranslationTask(), {"train": [{"weight": 1.0}]}).train)
    assert 0 < kept < 30
    assert found.items_per_update is not None
    assert found.updates_per_epoch is not None
    assert found.items_per_update.mean * found.updates_per_epoch == pytest.approx(kept)


def test_a_tokenizer_that_is_not_trained_yet_says_how_many_pieces_it_will_learn(tmp_path: Path) -> None:
    found = from_sample(
        tmp_path, tokenizer={"use": "specforge/sentencepiece", "vocab_size": 100}, section={"padding_factor": 8}
    )

    # 100 pieces, of which three are special, and four special symbols of ours: 101, filled up to a multiple of 8
    assert {"source": 104, "target": 104} == found.vocabulary
    assert any("guessed from the words" in note for note in found.notes)


def test_items_that_training_will_refuse_are_told_and_do_not_stop_the_plan(data: Path) -> None:
    found = with_data(data, run={"max_tokens": 4})

    assert any("training will refuse them" in note for note in found.notes)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here there is a CUDA device")
def test_a_plan_for_a_device_that_is_not_here_says_so(data: Path) -> None:
    found = with_data(data, run={"device": "cuda"})

    assert any("no CUDA device" in note for note in found.notes)
    assert "memory" in found.approximate
    assert found.memory is not None
    assert "cpu" == found.memory.device


def test_updates_end_where_the_first_budget_ends(data: Path) -> None:
    assert 5 == with_data(data, train={"max_updates": 5}).updates
    assert 12 == with_data(data, train={"max_updates": 50}).updates  # four epochs of three


def test_the_answer_is_one_record(data: Path) -> None:
    class Records(SilentReporter):
        def record(self, name: str, **values: Scalar) -> None:
            records.append(RecordEvent(name, values))

    records: list[RecordEvent] = []
    job = make_estimate_job(data.parent, {"preprocess": str(data)})

    estimate.run(job, Records())

    (record,) = records
    assert "estimate" == record.name
    assert estimate.estimates(job) == Estimates.model_validate_json(str(record.values["json"]))


def test_nothing_left_of_a_sample_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="nothing is left") as caught:
        from_sample(tmp_path, section={"max_length": 1})

    assert "SF504" == caught.value.code
