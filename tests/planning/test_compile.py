"""What a plan holds, and which keys each kind of change moves: the promises of the language about identity."""

from __future__ import annotations

from pathlib import Path

import pytest
from no_results import NoResults
from pydantic import JsonValue
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.foundation.errors import WrongInputError
from specforge.language.resolve import load_spec
from specforge.planning.compile import compile_plan
from specforge.planning.plan import Plan
from specforge.storage.digests import Digests

SENTENCEPIECE = 'tokenizer={use = "sentencepiece", vocab_size = 20}'
HOLD_OUT = "data.train={path = 'train', hold_out = {valid = 0.2, test = 0.2}}"
ALL = {"tokenizer", "preprocess", "train", "generate.test", "score.test"}


def plan(small: SmallExperiment, *assignments: str, name: str = "small.toml") -> Plan:
    return compile_plan(small.spec(*assignments, name=name), Digests(None), NoResults())


def keys(compiled: Plan) -> dict[str, str]:
    return {step.id: step.key for step in compiled.steps}


def moved(before: Plan, after: Plan) -> set[str]:
    first, second = keys(before), keys(after)
    return {identifier for identifier in first | second if first.get(identifier) != second.get(identifier)}


def test_steps_come_after_what_they_need(small: SmallExperiment) -> None:
    steps = plan(small, SENTENCEPIECE).steps

    assert [
        ("tokenizer", "tokenizer", ()),
        ("preprocess", "preprocess", ("tokenizer",)),
        ("train", "train", ("preprocess",)),
        ("generate.test", "generate", ("train",)),
        ("score.test", "score", ("generate.test",)),
    ] == [(step.id, step.kind, step.needs) for step in steps]


def test_a_tokenizer_that_learns_nothing_has_no_step(small: SmallExperiment) -> None:
    assert ["preprocess", "train", "generate.test", "score.test"] == [step.id for step in plan(small).steps]


def test_without_a_test_nothing_is_generated(small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC.replace('test = "test"\n', ""))

    assert ["preprocess", "train"] == [step.id for step in plan(small).steps]


def test_each_step_reads_its_own_files(small: SmallExperiment) -> None:
    inputs = {step.id: [file.role for file in step.inputs] for step in plan(small, SENTENCEPIECE).steps}

    assert {
        "tokenizer": ["train/0/source", "train/0/target"],
        "preprocess": ["train/0/source", "train/0/target", "valid/source", "valid/target"],
        "train": [],
        "generate.test": ["test/source"],
        "score.test": ["test/target"],
    } == inputs


def test_components_are_named_with_distribution_and_version(small: SmallExperiment) -> None:
    steps = plan(small, "generate.metrics=['bleu', 'chrf']", "train.best_metric='bleu'")

    assert {
        "task": "specforge/translation@1",
        "tokenizer": "specforge/whitespace@1",
        "model": "specforge/transformer@1",
        "criterion": "specforge/label_smoothed_cross_entropy@1",
        "optimizer": "specforge/adam@1",
        "lr_scheduler": "specforge/inverse_sqrt@1",
        "train.valid_search": "specforge/greedy@1",
        "train.best_metric": "specforge/bleu@1",
    } == steps.step("train").components
    assert {
        "task": "specforge/translation@1",
        "tokenizer": "specforge/whitespace@1",
        "generate.metrics.0": "specforge/bleu@1",
        "generate.metrics.1": "specforge/chrf@1",
    } == steps.step("score.test").components


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("generate.search.beam=7", {"generate.test", "score.test"}),
        ("generate.checkpoint='last'", {"generate.test", "score.test"}),
        ("generate.metrics=['chrf']", {"score.test"}),
        ("optimizer.lr=0.1", {"train", "generate.test", "score.test"}),
        ("model.dropout=0.25", {"train", "generate.test", "score.test"}),
        ("train.max_updates=8", {"train", "generate.test", "score.test"}),
        ("train.best_metric='bleu'", {"train", "generate.test", "score.test"}),
        ("preprocess.max_length=9", ALL - {"tokenizer"}),
        ("tokenizer.vocab_size=30", ALL),
        ("seed=2", ALL),
        ("name='other'", set()),
        ("run.devices=2", set()),
        ("run.max_tokens=100", set()),
        ("train.checkpoint_every='1 update'", set()),
        ("generate.batch_tokens=100", set()),
    ],
)
def test_a_change_moves_the_keys_of_what_reads_it(small: SmallExperiment, assignment: str, expected: set[str]) -> None:
    assert expected == moved(plan(small, SENTENCEPIECE), plan(small, SENTENCEPIECE, assignment))


def test_another_test_set_adds_its_own_steps_only(small: SmallExperiment) -> None:
    before = plan(small)
    after = plan(small, "data.test={test = 'test', more = 'valid'}")

    assert {"generate.more", "score.more"} == moved(before, after)


def test_renaming_a_test_set_changes_no_key(small: SmallExperiment) -> None:
    one, other = plan(small, "data.test={first = 'test'}"), plan(small, "data.test={second = 'test'}")

    assert one.step("generate.first").key == other.step("generate.second").key
    assert one.step("score.first").key == other.step("score.second").key


def test_comments_order_and_spelling_change_no_key(small: SmallExperiment) -> None:
    small.write_spec(
        """
        # the same experiment, written by somebody else
        model = { use = "specforge/transformer", ffn_dim = 1_6, embed_dim = 0x8, attention_heads = 2, decoder_layers = 1, encoder_layers = 1 }
        task = { target = "de", use = "translation", source = "en" }
        tokenizer = "whitespace"
        specforge = 1
        [train]
        validate_every = "2 updates"
        batch_sentences = 4
        max_updates = 4
        [data]
        test = { path = "test" }
        valid = { path = "valid", format = "text" }
        train = ["train"]
        """,
        "other.toml",
    )

    assert keys(plan(small)) == keys(plan(small, name="other.toml"))


def test_a_preset_is_its_values(small: SmallExperiment) -> None:
    preset = plan(small, "model={use = 'transformer_iwslt_de_en'}")
    values = small.spec("model={use = 'transformer_iwslt_de_en'}").parts["model",].values()
    written = ", ".join(f"{name} = {str(value).lower()}" for name, value in values.items() if isinstance(value, int))

    assert keys(preset) == keys(plan(small, f"model={{use = 'transformer', {written}}}"))


def test_another_folder_changes_no_key(small: SmallExperiment, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copy = SmallExperiment(elsewhere)

    assert keys(plan(small)) == keys(plan(copy))


def test_compression_changes_no_key(small: SmallExperiment) -> None:
    import gzip

    before = keys(plan(small))
    for suffix in ("en", "de"):
        text = small.folder / f"train.{suffix}"
        (small.folder / f"train.{suffix}.gz").write_bytes(gzip.compress(text.read_bytes()))
        text.unlink()

    assert before == keys(plan(small))


def test_swapped_sides_are_other_data(small: SmallExperiment) -> None:
    before = plan(small)
    english, german = small.folder / "train.en", small.folder / "train.de"
    texts = english.read_bytes(), german.read_bytes()
    german.write_bytes(texts[0])
    english.write_bytes(texts[1])

    assert {"preprocess", "train", "generate.test", "score.test"} == moved(before, plan(small))


def test_a_reference_that_changes_is_only_scored_again(small: SmallExperiment) -> None:
    before = plan(small)
    (small.folder / "test.de").write_text("a\nb\nc\n")

    assert {"score.test"} == moved(before, plan(small))


def test_a_larger_budget_has_the_same_trajectory(small: SmallExperiment) -> None:
    steps = [plan(small, f"train.max_updates={updates}").step("train") for updates in (4, 8)]

    assert steps[0].key != steps[1].key
    assert steps[0].trajectory == steps[1].trajectory
    assert steps[0].trajectory != plan(small, "seed=3").step("train").trajectory


@pytest.mark.parametrize(
    ("scheduler", "trajectories"), [("{use='cosine'}", 2), ("{use='cosine', lr_period_updates=2}", 1)]
)
def test_a_schedule_that_looks_at_the_budget_starts_over(
    small: SmallExperiment, scheduler: str, trajectories: int
) -> None:
    chosen = f"lr_scheduler={scheduler}"
    plans = [plan(small, chosen, f"train.max_updates={updates}") for updates in (4, 8)]

    assert trajectories == len({each.step("train").trajectory for each in plans})


def test_a_weight_is_for_training_alone(small: SmallExperiment) -> None:
    one, two = (plan(small, f"data.train={{path = 'train', weight = {weight}}}") for weight in (1, 2))

    assert {"train", "generate.test", "score.test"} == moved(one, two)


def test_the_seed_of_preprocess_is_for_hold_outs_alone(small: SmallExperiment) -> None:
    assert "preprocess" not in moved(plan(small), plan(small, "seed=2"))
    small.write_spec(SMALL_SPEC.replace('train = "train"\nvalid = "valid"\n', "").replace('test = "test"\n', ""))

    assert "preprocess" in moved(plan(small, HOLD_OUT), plan(small, HOLD_OUT, "seed=2"))


def test_a_held_out_test_reads_the_training_text(small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC.replace('train = "train"\nvalid = "valid"\ntest = "test"\n', ""))
    distinct = HOLD_OUT.replace("test = 0.2", "test = 0.2, distinct = 'de'")

    for assignment, sources in ((HOLD_OUT, ["train/0/source"]), (distinct, ["train/0/source", "train/0/target"])):
        steps = plan(small, assignment)
        assert sources == [file.role for file in steps.step("generate.test").inputs]
        assert "seed" in steps.step("generate.test").config


def test_a_table_is_read_as_a_whole(small: SmallExperiment) -> None:
    (small.folder / "test.tsv").write_text("one\teins\n")
    steps = plan(small, "data.test={path = 'test.tsv', format = 'tsv'}")

    assert ["test"] == [file.role for file in steps.step("generate.test").inputs]
    data: JsonValue = {"test": {"format": "tsv", "header": False, "columns": ["en", "de"]}}
    assert data == steps.step("score.test").config["data"]


def test_workers_get_every_value_with_qualified_names(small: SmallExperiment) -> None:
    settings = plan(small, "train.best_metric='exact_match'").step("train").settings
    model, train = settings["model"], settings["train"]

    assert isinstance(model, dict)
    assert isinstance(train, dict)
    assert "specforge/transformer" == model["use"]
    assert {"use": "specforge/exact_match"} == settings["valid_metric"]
    assert "15 minutes" == train["checkpoint_every"]
    assert {"train": [{"weight": 1.0}]} == settings["data"]


def test_all_wrong_files_are_named_at_once(small: SmallExperiment) -> None:
    (small.folder / "train.de").write_text("eins\nzwei\n")
    (small.folder / "valid.en").write_bytes(b"two\nthr\xffee\n")
    (small.folder / "test.en").write_text("")

    with pytest.raises(WrongInputError) as caught:
        plan(small)

    error = caught.value
    assert ("SF503", str(small.folder / "train.en"), 3) == (
        error.code,
        error.place and error.place.path,
        error.place and error.place.line,
    )
    assert f"`{small.folder / 'train.de'}` has 2 lines" in error.notes
    assert f"`{small.folder / 'train.en'}` has 5 lines" in error.notes
    assert f"also wrong: {small.folder / 'valid.en'}:2:4: not UTF-8: byte 0xff" in error.notes
    assert f"also wrong: {small.folder / 'test.en'}: the file is empty" in error.notes


def test_a_file_that_went_away_is_a_wrong_input(small: SmallExperiment) -> None:
    spec = load_spec(small.folder / "small.toml")
    (small.folder / "test.de").unlink()

    with pytest.raises(WrongInputError, match="no such file") as caught:
        compile_plan(spec, Digests(None), NoResults())

    assert caught.value.code == "SF501"
