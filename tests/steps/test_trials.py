"""Each part of the small experiment alone: figures that a reader can count in its few lines."""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest
from preprocess_jobs import make_job, parallel, prepared
from small_experiment import SMALL_SPEC, SmallExperiment
from trial_jobs import trial, trial_job, trial_of

from specforge.execution.questions.decoding_findings import MetricFindings, SearchFindings
from specforge.execution.questions.text_findings import DataFindings, TokenizerFindings
from specforge.execution.questions.training_findings import (
    CriterionFindings,
    ModelFindings,
    OptimizerFindings,
    SchedulerFindings,
)
from specforge.foundation.errors import StepFailedError, WrongInputError
from specforge.plugin import Progress
from specforge.steps.trial import lr_scheduler, sample

# Five training lines `one train` … `five train`, four of validation `two valid` …: all of two words. The vocabulary has
# six words and four special symbols a side, and is filled up to a multiple of 8.
TYPES = 16


def test_the_tokenizer(small: SmallExperiment) -> None:
    tried = trial(small, "tokenizer")

    found = tried.findings
    assert isinstance(found, TokenizerFindings)
    assert ["specforge/whitespace@1"] == tried.identity
    assert {"source": TYPES, "target": TYPES} == found.types
    train, _, valid, _ = found.sides
    assert (5, 10, 10, 0, 0, 2, 1) == (
        train.lines, train.words, train.tokens, train.unknown, train.changed, train.longest, train.longest_line,
    )  # fmt: skip
    assert (4, 4) == (valid.lines, valid.unknown)  # `valid` is no word of the training text
    assert any("50.0% of the pieces are not in the vocabulary" in warning for warning in tried.warnings)
    assert ["one", "train"] == found.cuts[0].pieces


def test_a_line_that_does_not_come_back_is_shown(small: SmallExperiment) -> None:
    small.write_text("train", [("one  two", "eins zwei"), ("three", "drei")])

    found = trial(small, "tokenizer").findings

    assert isinstance(found, TokenizerFindings)
    assert [("train", "source", 1, "one  two", "one two")] == [
        (trip.split, trip.role, trip.line, trip.text, trip.back) for trip in found.changed
    ]


def test_spaces_around_a_line_are_not_missed(small: SmallExperiment) -> None:
    small.write_text("train", [(" one two ", "eins zwei"), ("three", "drei")])

    found = trial(small, "tokenizer").findings

    assert isinstance(found, TokenizerFindings)
    assert [] == found.changed


def test_the_data(small: SmallExperiment) -> None:
    small.write_text("train", [("a b c", "x"), ("", "y"), ("d", "u v w x y"), ("e", "z")])

    tried = trial(small, "data", "preprocess.max_ratio=3", "train.batch_sentences=1")

    found = tried.findings
    assert isinstance(found, DataFindings)
    assert (4, 2, {"empty": 1, "ratio": 1}, 4) == (found.read, found.kept, found.left_out, found.valid)
    assert (2, True) == (found.updates, found.epoch)
    assert (1.0, 1) == (found.items_per_update.mean, found.items_per_update.most)
    assert (2.0, 2) == (found.target_tokens_per_update.mean, found.target_tokens_per_update.most)
    assert 0.0 == found.padding  # an item alone is not padded
    assert [(1, 8, {"source": 2, "target": 2})] == [(one.shortest, one.longest, one.items) for one in found.lengths]
    assert {"source": ["a", "b", "c"], "target": ["x"]} == found.examples[0].pieces
    assert ["50% of the training items are left out by [preprocess]"] == tried.warnings


def test_padding_is_counted(small: SmallExperiment) -> None:
    small.write_text("train", [("a b c", "x"), ("d", "x")])

    found = trial(small, "data", "train.batch_sentences=2").findings

    # sources of 4 and 2 places, ends counted, in a batch of 2 x 4; targets of 2 and 2: 10 of 12 places are real
    assert isinstance(found, DataFindings)
    assert pytest.approx(2 / 12) == found.padding


def test_the_model(small: SmallExperiment) -> None:
    tried = trial(small, "model", "model.share_embeddings='none'", "train.batch_sentences=5")

    found = tried.findings
    assert isinstance(found, ModelFindings)
    # an encoder layer has 600 parameters and a decoder layer 904 (`test_estimate`); three tables of 16 x 8
    assert 600 + 904 + 3 * TYPES * 8 == sum(part.parameters for part in found.parts)
    assert log(TYPES) == found.uniform
    assert (5, {"source": 3, "target": 3}, 15, "cpu") == (
        found.batch.items, found.batch.lengths, found.batch.target_tokens, found.batch.device,
    )  # fmt: skip
    assert all(part.gradient is not None and part.gradient > 0 for part in found.parts)
    assert [] == found.idle
    assert found.decoding_difference is not None
    assert found.decoding_difference < 1e-4 > found.padding_difference


def test_the_criterion(small: SmallExperiment) -> None:
    found = trial(small, "criterion", "train.batch_sentences=5").findings

    assert isinstance(found, CriterionFindings)
    assert 15 == found.count
    assert found.loss > 0 < found.gradient
    assert found.halves_difference < 1e-5


def test_the_optimizer(small: SmallExperiment) -> None:
    found = trial(small, "optimizer", "optimizer.lr=0.01").findings

    assert isinstance(found, OptimizerFindings)
    assert 11 == len(found.losses)
    assert found.losses[-1] < found.losses[0]
    assert 0.01 == found.lr
    assert found.state > 0 < found.moved <= 1


def test_an_optimizer_that_does_nothing_is_odd(small: SmallExperiment) -> None:
    tried = trial(small, "optimizer", "optimizer.lr=1e-30")

    assert any("update" in warning for warning in tried.warnings)


def test_the_schedule(small: SmallExperiment) -> None:
    tried = trial(
        small,
        "lr_scheduler",
        "optimizer.lr=0.5",
        "lr_scheduler={use='inverse_sqrt', warmup_updates=100}",
        "train.max_updates=401",
    )

    found = tried.findings
    assert isinstance(found, SchedulerFindings)
    assert tried.data is None  # nothing of it depends on the text
    rates = {point.update: (round(point.rate, 6), point.what) for point in found.points}
    assert (0.0, "first") == rates[1]
    assert (0.25, "half of the highest") == rates[51]
    assert (0.5, "highest, a quarter of the budget") == rates[101]
    assert (0.25, "half of the highest, last") == rates[401]  # the root of 100 / 400 is one half


def test_a_schedule_of_epochs_reads_the_data(small: SmallExperiment) -> None:
    tried = trial(
        small, "lr_scheduler", "lr_scheduler={use='fixed', force_anneal=2}", "train.max_updates=4", "optimizer.lr=0.1"
    )

    found = tried.findings
    assert isinstance(found, SchedulerFindings)
    assert tried.data is not None
    # five items in updates of four: two updates an epoch
    assert [(1, 1, 0.1), (3, 2, 0.01)] == [
        (point.update, point.epoch, round(point.rate, 9)) for point in found.points if point.update in {1, 3}
    ]


@pytest.mark.parametrize(
    ("scheduler", "rates"),
    [
        ("{use='polynomial_decay', warmup_updates=10}", {1: 0.0, 11: 0.5, 50: 0.283333, 100: 0.005556}),
        ("{use='tri_stage', phase_ratio=[0.1, 0.4, 0.5]}", {1: 0.005, 11: 0.5, 51: 0.5, 100: 0.005482}),
        ("{use='reduce_lr_on_plateau', warmup_updates=10}", {1: 0.0, 11: 0.5, 100: 0.5}),
    ],
)
def test_schedules_that_warm_up(small: SmallExperiment, scheduler: str, rates: dict[int, float]) -> None:
    tried = trial(small, "lr_scheduler", "optimizer.lr=0.5", f"lr_scheduler={scheduler}", "train.max_updates=100")

    found = tried.findings
    assert isinstance(found, SchedulerFindings)
    assert rates.items() <= {point.update: round(point.rate, 6) for point in found.points}.items()
    assert tried.data is None
    assert (found.plateau is not None) == ("plateau" in scheduler)


def test_what_validation_does_to_a_schedule_is_told(small: SmallExperiment) -> None:
    scheduler = "lr_scheduler={use='reduce_lr_on_plateau', lr_patience=2, lr_shrink=0.25}"

    found = trial(small, "lr_scheduler", scheduler, "train.max_updates=100").findings

    assert isinstance(found, SchedulerFindings)
    assert found.plateau is not None
    assert (3, 0.25) == (found.plateau.validations, found.plateau.factor)


def test_the_end_by_a_small_rate_is_told(small: SmallExperiment) -> None:
    tried = trial(
        small,
        "lr_scheduler",
        "optimizer.lr=1.0",
        "lr_scheduler={use='inverse_sqrt', warmup_updates=4}",
        "train={max_updates=100, stop_min_lr=0.5}",
    )

    # the rate is 2 / sqrt(u) after u updates: one half at 16, below it at 17, which is asked before update 18
    assert isinstance(tried.findings, SchedulerFindings)
    assert 18 == tried.findings.stops
    assert any("after 17 updates" in warning for warning in tried.warnings)


def test_a_search_without_a_checkpoint(small: SmallExperiment) -> None:
    found = trial(small, "generate.search", "generate.search={use='greedy', max_length=[0, 5]}").findings

    assert isinstance(found, SearchFindings)
    assert "first" == found.weights
    assert ["two valid", "three valid", "four valid", "five valid"] == [line.source for line in found.lines]
    assert ["zwei valid", "drei valid"] == [line.reference for line in found.lines[:2]]


def test_the_metrics(small: SmallExperiment) -> None:
    found = trial(small, "generate.metrics", "generate.metrics=['exact_match', 'chrf']").findings

    assert isinstance(found, MetricFindings)
    exact, chrf = found.scores
    assert (4, 100.0, 0.0, 0.0) == (found.lines, exact.itself, exact.halved, exact.shuffled)
    assert chrf.halved is not None
    assert chrf.itself > chrf.halved > 0


def test_labels_are_scored_as_a_whole(small: SmallExperiment) -> None:
    small.write_text("train", [("a b", "cold"), ("c d", "hot")])
    small.write_text("valid", [("a", "cold"), ("c", "hot"), ("d", "hot")])
    small.write_spec(
        """
        specforge = 1
        name = "labels"
        task = { use = "sentence_classification", text = "en", label = "de" }
        data = { train = "train", valid = "valid" }
        tokenizer = "whitespace"
        model = "transformer_classifier"
        train = { max_updates = 1 }
        """
    )

    found = trial(small, "generate.metrics").findings

    assert isinstance(found, MetricFindings)
    # moved on by one, `hot` for `cold`, `hot` for `hot`, `cold` for `hot`: one of three is right
    (score,) = found.scores
    assert ("accuracy", 100.0, None) == (score.name, score.itself, score.halved)
    assert score.shuffled == pytest.approx(100 / 3)


def test_a_result_of_preprocess_is_used(small: SmallExperiment) -> None:
    corpora = [parallel(small.folder, "train/0", "a b\n" * 7, "x\n" * 7), parallel(small.folder, "valid", "a\n", "x\n")]
    folder, _ = prepared(make_job(small.folder / "prepared", corpora))
    job = trial_job(small, "data")

    tried = trial_of(job.model_copy(update={"needs": {"preprocess": str(folder)}}))

    assert isinstance(tried.findings, DataFindings)
    assert tried.data is not None
    assert tried.data.prepared
    assert 7 == tried.findings.kept


def test_a_sample_is_spread_over_each_corpus(small: SmallExperiment) -> None:
    small.write_text("more", [(f"more {number}", "x") for number in range(9)])
    job = trial_job(small, "data", "data.train=['train', 'more']")

    found = sample.sampled_rows(job, 4)

    # every third of five lines, every fifth of nine
    assert [[(1, "one train"), (4, "four train")], [(1, "more 0"), (6, "more 5")]] == [
        [(line, row[0]) for line, row in rows] for rows in found.train
    ]
    assert not found.whole
    assert sample.sampled_rows(job, 18).whole
    assert 14 == sample.lines_of(job)


def test_headers_and_held_out_lines_are_not_trained_on(small: SmallExperiment) -> None:
    job = trial_job(small, "data")
    held_out = {"valid": 0.2, "test": 0.1, "distinct": "en"}
    table = job.corpora[0].model_copy(update={"lines": 41, "header": True, "hold_out": held_out})

    assert 28 == sample.lines_of(job.model_copy(update={"corpora": [table]}))  # 40 lines, 12 of them held out
    unknown = table.model_copy(update={"lines": None})
    assert sample.lines_of(job.model_copy(update={"corpora": [table, unknown]})) is None


def test_held_out_lines_validate_the_sample(small: SmallExperiment) -> None:
    small.write_text("train", [(f"line {number}", f"zeile {number}") for number in range(40)])
    small.write_spec(
        SMALL_SPEC.replace('train = "train"\nvalid = "valid"', 'train = { path = "train", hold_out = 0.5 }')
    )
    job = trial_job(small, "data")

    found = sample.sampled_rows(job, 40)

    assert 40 == len(found.train[0]) + len(found.valid)
    assert len(found.valid) > 5
    assert set(found.train[0]).isdisjoint(found.valid)


def test_the_sample_grows_until_the_tokenizer_can_learn(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 2)
    small.write_text("train", [(f"word{number} {chr(97 + number)}", f"wort{number}") for number in range(26)])

    tried = trial(small, "data", "tokenizer={use='sentencepiece', vocab_size=50, model_type='bpe'}")

    assert tried.data is not None
    assert ("sample", 13) == (tried.data.tokenizer, tried.data.rows)


def test_too_little_text_for_the_tokenizer_is_told_in_the_end(small: SmallExperiment) -> None:
    with pytest.raises(WrongInputError) as caught:
        trial(small, "data", "tokenizer={use='sentencepiece', vocab_size=5000, model_type='bpe'}")

    assert "SF305" == caught.value.code


def test_a_rate_that_is_no_number_is_a_fault(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(table: object, peak: float) -> object:
        del table, peak
        return lambda progress: float("nan") if progress.updates == 2 else 0.1

    monkeypatch.setattr(lr_scheduler, "make_schedule", build)
    with pytest.raises(StepFailedError) as caught:
        trial(small, "lr_scheduler")

    assert ("SF633", True) == (caught.value.code, "update 3" in caught.value.message)


def test_a_negative_rate_and_an_exception_are_faults(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(progress: Progress) -> float:
        raise ZeroDivisionError(progress)

    for schedule, code in ((lambda _: -1.0, "SF143"), (raises, "SF142")):
        monkeypatch.setattr(lr_scheduler, "make_schedule", lambda *_, schedule=schedule: schedule)
        with pytest.raises(StepFailedError) as caught:
            trial_of(trial_job(small, "lr_scheduler"))
        assert code == caught.value.code
        (small.folder / "trial").rmdir()


def test_no_training_text(small: SmallExperiment, tmp_path: Path) -> None:
    job = trial_job(small, "tokenizer")
    (tmp_path / "train.en").write_text("")
    (tmp_path / "train.de").write_text("")

    with pytest.raises(WrongInputError) as caught:
        trial_of(job)

    assert "SF504" == caught.value.code
