"""The law of `explain`: a changed value changes the keys of exactly the steps that its explanation names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.cli.views.fields import fields_of
from specforge.language.component_places import COMPONENT_TABLES
from specforge.language.fields import field_at, model_at
from specforge.language.messages.diagnostics import SpecError
from specforge.language.registry import load_registry
from specforge.language.resolve import load_spec
from specforge.language.schema.document import SpecDocument
from specforge.language.spec import Spec, ValuePath
from specforge.language.text.toml_text import toml_value
from specforge.planning.comparison.variation import Variant, value_at
from specforge.planning.compile import keyed_steps
from specforge.planning.explanation.reach import Reach, reach
from specforge.planning.inputs import inspect_inputs
from specforge.planning.plan import Step
from specforge.planning.steps import dotted
from specforge.plugin import ComponentConfig, LRSchedulerConfig
from specforge.storage.digests import Digests

RICH: Final = """
specforge = 1
name = "rich"
seed = 3
task = { use = "translation", source = "en", target = "de" }
data = { train = [{ path = "train", weight = 2 }, { path = "valid" }], valid = "valid", test = { one = "test", two = "valid" } }
tokenizer = { use = "sentencepiece", vocab_size = 20, shared = true }
model = { use = "fconv", dropout = 0.2 }
criterion = { use = "cross_entropy" }
optimizer = { use = "nag", lr = 0.25 }
lr_scheduler = { use = "fixed" }
train = { max_updates = 4, max_epochs = 2, best_metric = "bleu", valid_search = { use = "greedy" } }
generate = { search = { use = "greedy" }, metrics = [{ use = "bleu" }, { use = "chrf" }] }
"""
HELD_OUT: Final = """
specforge = 1
task = { use = "translation", source = "en", target = "de" }
data = { train = [{ path = "table.tsv", format = "tsv", hold_out = { valid = 0.2, test = 0.2 } }] }
model = { use = "transformer" }
lr_scheduler = { use = "cosine" }
train = { max_updates = 4 }
generate = { metrics = [{ use = "bleu" }] }
"""
SPECS: Final[Mapping[str, str]] = {
    "small": SMALL_SPEC + "[generate]\nmetrics = [{ use = 'bleu' }]\n",
    "rich": RICH,
    "held_out": HELD_OUT,
}

WORDS: Final[Mapping[str, tuple[JsonValue, ...]]] = {
    "train.best_metric": ("loss", "ppl", "bleu", "chrf"),
    "train.validate_every": ("3 updates", "2 epochs"),
    "train.checkpoint_every": ("7 updates", "2 minutes"),
    "data.train.0.hold_out.distinct": ("en",),
    "train.non_finite": ({"skip": 10},),
    "task.source": ("fr",),
    "task.target": ("fr",),
}
NEVER_ALONE: Final = {
    "data.prompts",  # of a language model only; these four in tests/planning/test_model_folder_inputs.py
    "generate.ensemble",  # needs folders
    "generate.language_model",  # needs a folder
    "preprocess.vocabulary",  # needs a folder
    "data.train.hold_out",  # shares are values of their own
    "data.train.references",  # only tests are scored against them
    "generate.rerank",  # one of its fields is required
    "generate.metrics.language",  # goes with Moses' tokens only
    "generate.metrics.smooth_value",  # goes with some smooth_methods only
    "model.decoder_attention",  # as many as there are layers
    "model.positions",  # learned ones need a max_positions
    "model.share_input_output_embed",  # needs equal widths
    "run.profile",  # a table that is not there yet
    "run.trackers",  # a list that is not there yet
    "train.valid_search",  # goes with a best_metric that needs text
}
INTEGERS: Final = (2, 3, 5, 21, 64, 9_999)
FRACTIONS: Final = (0.05, 0.25, 0.75, 1.5)
LISTS: Final[tuple[JsonValue, ...]] = (
    [0.5, 0.6],
    [1.5, 3],
    [2, 9],
    ["x"],
    [["x"]],
    ["en", "de"],
    ["de", "en", "more"],
    ["SF411"],
)
QUOTED: Final = re.compile(r'"([^"]*)"')


@dataclass(frozen=True)
class Case:
    """A spec of the folder, loaded, with its steps."""

    name: str
    folder: Path

    def load(self, *assignments: str) -> Spec:
        """Load the spec with `--set` arguments."""
        return load_spec(self.folder / f"{self.name}.toml", assignments)


def variant(spec: Spec) -> Variant:
    return Variant(spec, inspect_inputs(spec, Digests(None)))


def steps_of(spec: Spec) -> dict[str, Step]:
    checked = variant(spec)
    return {step.id: step for step in keyed_steps(checked.spec, checked.inputs)}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Case]]:
    """The specs in one folder, which is the working directory meanwhile: paths in `--set` start there."""
    folder = tmp_path_factory.mktemp("reach")
    experiment = SmallExperiment(folder)
    for stem in ("train", "valid", "test"):
        (folder / f"{stem}.fr").write_text((folder / f"{stem}.de").read_text().replace("e", "é"))
    (folder / "table.tsv").write_text("".join(f"a{n}\tb{n}\n" for n in range(20)))
    (folder / "other.tsv").write_text("".join(f"a{n}\tc{n}\n" for n in range(20)))
    for name, text in SPECS.items():
        experiment.write_spec(text, f"{name}.toml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield {name: Case(name, folder) for name in SPECS}


def candidates(path: ValuePath, spec: Spec) -> Iterator[JsonValue]:
    """Yield values that might be legal at a path, none of them the one in force."""
    model, location = declaration(path, spec)
    owner = model_at(model, location[:-1])
    kinds = " ".join(facts.type for facts in fields_of(owner) if facts.name == location[-1]) if owner else ""
    values: list[JsonValue] = [*QUOTED.findall(kinds), *WORDS.get(dotted(path), ())]
    if path[-1] == "path":
        table = str(value_at(spec, path)).endswith(".tsv")
        values += ["other.tsv"] if table else [str(Path(name).absolute()) for name in ("test", "valid", "train")]
    values += ["other"] if "string" in kinds and path[-1] != "path" else []
    values += [True, False] if "boolean" in kinds else []
    values += INTEGERS if "integer" in kinds else FRACTIONS if "float" in kinds else ()
    values += LISTS if "[" in kinds or "array" in kinds else ()
    return (value for value in values if value != value_at(spec, path))


def declaration(path: ValuePath, spec: Spec) -> tuple[type[SpecDocument | ComponentConfig], ValuePath]:
    table = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in spec.parts), None)
    return (SpecDocument, path) if table is None else (type(spec.parts[table].config), path[len(table) :])


def changed(case: Case, path: ValuePath, value: JsonValue) -> Spec | None:
    """Return the case's spec with another value, or None where that is not legal."""
    try:
        return case.load(f"{dotted(path)}={toml_value(value)}")
    except SpecError:
        return None


def moved(before: Mapping[str, Step], after: Mapping[str, Step]) -> set[str]:
    """Return the ids of the steps of the first plan that have another key in the second, or are not in it."""
    return {
        identifier
        for identifier, step in before.items()
        if identifier not in after or step.key != after[identifier].key
    }


def own(before: Mapping[str, Step], after: Mapping[str, Step]) -> set[str]:
    """Return the steps of both plans that are asked for something else, whatever the steps above them make."""

    def material(step: Step) -> tuple[object, ...]:
        return step.config, step.components, {file.role: file.digest for file in step.inputs}

    both = before.keys() & after.keys()
    return {identifier for identifier in both if material(before[identifier]) != material(after[identifier])}


def is_same_by_default(path: ValuePath, before: Spec, after: Spec) -> bool:
    """Whether a value was written that would have been taken anyway."""
    if path[-1] == "columns":
        return [one.columns for one in before.train_corpora] == [one.columns for one in after.train_corpora]
    joined = path == ("preprocess", "joined_dictionary")
    return joined and after.preprocess.joined_dictionary == before.tokenizer.joined()


@pytest.fixture(scope="module")
def legal(cases: dict[str, Case]) -> dict[str, dict[ValuePath, list[JsonValue]]]:
    """For each spec its fields, with values that are legal and not what would be taken anyway."""
    found: dict[str, dict[ValuePath, list[JsonValue]]] = {}
    for name, case in cases.items():
        spec = case.load()
        found[name] = {path: list(legal_values(case, path, spec)) for path in fields(spec)}
    return found


def legal_values(case: Case, path: ValuePath, spec: Spec) -> Iterator[JsonValue]:
    for value in candidates(path, spec):
        other = changed(case, path, value)
        if other is not None and not is_same_by_default(path, spec, other):
            yield value


def fields(spec: Spec) -> list[ValuePath]:
    """Return the paths of all fields that can be changed alone: what names a component has a test of its own."""
    return [path for path in spec.origins if path[-1] != "use" and path not in {("specforge",), ("data", "root")}]


@pytest.mark.parametrize("name", SPECS)
def test_every_field_changes_the_keys_that_its_explanation_names(
    cases: dict[str, Case], legal: dict[str, dict[ValuePath, list[JsonValue]]], name: str
) -> None:
    spec = cases[name].load()
    before, around = steps_of(spec), variant(spec)
    for path, values in legal[name].items():
        for value in values[:1]:
            other = changed(cases[name], path, value)
            assert other is not None
            explained, after = reach(path, around), steps_of(other)
            assert (dotted(path), value, own(before, after)) == (dotted(path), value, set(explained.own))
            assert (dotted(path), value, moved(before, after)) == (dotted(path), value, set(explained.keys))


def test_the_specs_between_them_change_every_field(legal: dict[str, dict[ValuePath, list[JsonValue]]]) -> None:
    def name(path: ValuePath) -> str:
        return dotted(tuple(part for part in path if isinstance(part, str)))

    changed_alone = {name(path) for values in legal.values() for path, found in values.items() if found}
    others = {name(path) for values in legal.values() for path in values} - changed_alone

    assert NEVER_ALONE == {path for path in others if not re.match(r"data\.(valid|test)\b", path)}


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_several_changes_change_the_keys_of_all_their_explanations(
    cases: dict[str, Case], legal: dict[str, dict[ValuePath, list[JsonValue]]], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(SPECS)), label="spec")
    spec = cases[name].load()
    choices = [path for path, values in legal[name].items() if values]
    paths = data.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=3, unique=True), label="paths")
    values = [data.draw(st.sampled_from(legal[name][path]), label=dotted(path)) for path in paths]
    try:
        other = cases[name].load(
            *(f"{dotted(path)}={toml_value(value)}" for path, value in zip(paths, values, strict=True))
        )
    except SpecError:
        assume(condition=False)
    assume(not any(is_same_by_default(path, spec, other) for path in paths))

    explained = [reach(path, variant(spec)) for path in paths]

    assert moved(steps_of(spec), steps_of(other)) == {identifier for one in explained for identifier in one.keys}


@pytest.mark.parametrize("name", SPECS)
def test_another_component_changes_the_keys_that_its_explanation_names(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    spec = case.load()
    before, around = steps_of(spec), variant(spec)
    tried = set()
    for table, kind in COMPONENT_TABLES.items():
        for registered in load_registry().components(kind):
            if table not in spec.parts or registered == spec.parts[table].registered:
                continue
            try:
                other = case.load(f"{dotted(table)}={toml_value(registered.qualified)}")
            except SpecError:
                continue
            tried.add(kind)
            explained, after = reach((*table, "use"), around), steps_of(other)
            assert (registered.qualified, set(explained.keys)) == (registered.qualified, moved(before, after))
            assert (registered.qualified, set(explained.own) & after.keys()) == (
                registered.qualified,
                own(before, after),
            )

    assert {"tokenizer", "criterion"} <= tried | {spec.parts["tokenizer",].registered.component.kind}


@pytest.mark.parametrize("name", SPECS)
def test_what_is_no_part_of_identity_is_in_no_key(cases: dict[str, Case], name: str) -> None:
    spec = cases[name].load()
    outside: list[ValuePath] = [("name",), ("allow",), ("train", "checkpoint_every"), ("generate", "batch_tokens")]
    outside += [path for path in spec.origins if path[0] == "run"]

    assert {Reach()} == {reach(path, variant(spec)) for path in outside}


@pytest.mark.parametrize(("name", "free"), [("small", True), ("held_out", False)])
def test_a_budget_may_grow_where_the_scheduler_does_not_look_at_it(
    cases: dict[str, Case], name: str, *, free: bool
) -> None:
    spec = cases[name].load()
    scheduler = spec.parts["lr_scheduler",].config
    assert isinstance(scheduler, LRSchedulerConfig)
    assert scheduler.horizon_free == free

    for field in ("max_updates", "max_epochs", "patience"):
        found = reach(("train", field), variant(spec))
        assert (free, ("train",)) == (found.goes_on, found.own)


def test_a_model_never_goes_on_as_another(cases: dict[str, Case]) -> None:
    spec = cases["small"].load()

    assert not any(reach(path, variant(spec)).goes_on for path in spec.origins if path[0] != "train")


def test_what_is_not_there_yet_reaches_as_far_as_it_would(cases: dict[str, Case]) -> None:
    small, held_out = (cases[name].load() for name in ("small", "held_out"))

    assert ("train",) == reach(("train", "valid_search"), variant(small)).own
    assert ("preprocess",) == reach(("data", "valid"), variant(held_out)).own


def test_a_table_reaches_as_far_as_all_that_it_holds(cases: dict[str, Case]) -> None:
    around = variant(cases["small"].load())

    assert ("train",) == reach(("model",), around).own
    assert ("generate.test", "score.test") == reach(("data", "test"), around).own
    assert ("preprocess", "train", "generate.test", "score.test") == reach(("data",), around).own
    assert () == reach(("run",), around).keys


def test_a_field_with_a_neutral_value_is_explained_by_what_any_other_value_does(
    cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    from specforge.models.transformer.config import TransformerConfig
    from specforge.plugin import marked

    spec = cases["small"].load()
    declared = field_at(TransformerConfig, ("dropout",))
    assert declared is not None
    monkeypatch.setattr(declared, "metadata", [*declared.metadata, marked(neutral=0.1)])
    assert "dropout" not in str(steps_of(spec)["train"].config["model"]).replace("_dropout", "")

    assert ("train",) == reach(("model", "dropout"), variant(spec)).own
