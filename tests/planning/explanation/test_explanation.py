"""Where a value comes from: one entry of its history is in force, and it is the one that the spec was checked with."""

from __future__ import annotations

import pytest
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge import __version__
from specforge.foundation.errors import WrongInputError
from specforge.language.history import Statements
from specforge.language.resolve import load_spec
from specforge.planning.comparison.variation import Variant
from specforge.planning.compile import keyed_steps
from specforge.planning.explanation.paths import find_path, paths_of
from specforge.planning.explanation.value import Entry, FieldExplanation, TableExplanation, explain_path
from specforge.planning.inputs import inspect_inputs
from specforge.planning.steps import dotted
from specforge.storage.digests import Digests

TOP = """
specforge = 1
extends = "small.toml"
unset = ["train.validate_every", "model.ffn_dim"]
model = { use = "transformer", dropout = 0.3 }
optimizer = { use = "nag", lr = 0.1 }
[sweep.grid]
model.dropout = [0.4, 0.5]
"""


def explained(
    small: SmallExperiment, path: str, *assignments: str, name: str = "small.toml", point: int | None = None
) -> FieldExplanation | TableExplanation:
    spec = load_spec(small.folder / name, assignments, point=point)
    inputs = inspect_inputs(spec, Digests(None))
    statements = Statements(small.folder / name, assignments)
    return explain_path(find_path(path, spec), Variant(spec, inputs), statements, keyed_steps(spec, inputs))


def field(
    small: SmallExperiment, path: str, *assignments: str, name: str = "small.toml", point: int | None = None
) -> FieldExplanation:
    found = explained(small, path, *assignments, name=name, point=point)
    assert isinstance(found, FieldExplanation)
    return found


def lines(small: SmallExperiment, found: FieldExplanation) -> list[tuple[object, str, bool]]:
    """Return value, place or source, and whether it is in force, of each entry."""

    def place(entry: Entry) -> str:
        return entry.source if entry.place is None else str(entry.place).replace(f"{small.folder}/", "")

    return [(entry.value, place(entry), entry.in_force) for entry in found.history]


@pytest.mark.parametrize("assignments", [(), ("seed=3", "seed=3"), ("model='transformer_tiny'", "model.dropout=0.2")])
@pytest.mark.parametrize("name", ["small.toml", "top.toml"])
def test_what_is_in_force_is_what_the_spec_was_checked_with(
    small: SmallExperiment, name: str, assignments: tuple[str, ...]
) -> None:
    small.write_spec(TOP.partition("[sweep")[0], "top.toml")
    spec = load_spec(small.folder / name, assignments)

    for path, origins in spec.origins.items():
        history = field(small, dotted(path), *assignments, name=name).history
        (in_force,) = (entry for entry in history if entry.in_force)
        last = origins[-1]
        assert (path, last.layer, last.value, last.place) == (path, in_force.layer, in_force.value, in_force.place)


def test_a_default_names_the_component_and_its_distribution(small: SmallExperiment) -> None:
    (only,) = field(small, "optimizer.eps").history

    assert ("default", "specforge/adam@1", f"specforge {__version__}") == (only.layer, only.source, only.offered_by)
    assert "specforge" == field(small, "generate.checkpoint").history[-1].source


def test_a_preset_names_who_offers_it(small: SmallExperiment) -> None:
    found = field(small, "model.embed_dim", "model='transformer_tiny'")

    assert [("preset", True), ("default", False)] == [(entry.layer, entry.in_force) for entry in found.history][-2:]
    assert ("preset transformer_tiny", f"specforge {__version__}") == (
        found.history[-2].source,
        found.history[-2].offered_by,
    )
    assert found.declared.component is not None
    assert "transformer_tiny" == found.declared.component.preset


def test_a_history_goes_from_set_to_default(small: SmallExperiment) -> None:
    small.write_spec(TOP.partition("[sweep")[0], "top.toml")

    assert [
        (0.2, "--set:1:15", True),
        (0.3, "top.toml:5:42", False),
        (0.1, "specforge/transformer@1", False),
    ] == lines(small, field(small, "model.dropout", "model.dropout=0.2", name="top.toml"))


def test_what_an_unset_removes_stays_in_the_history(small: SmallExperiment) -> None:
    small.write_spec(TOP.partition("[sweep")[0], "top.toml")
    found = field(small, "model.ffn_dim", name="top.toml")

    removed, default = found.history
    assert (16, False, True) == (removed.value, removed.in_force, default.in_force)
    assert removed.removed is not None
    assert f"{small.folder / 'top.toml'}:4:34" == str(removed.removed)
    assert (removed.removed,) == found.removals


def test_a_swept_field_shows_its_values_and_at_a_point_the_one_of_the_point(small: SmallExperiment) -> None:
    small.write_spec(TOP, "top.toml")

    (swept,) = field(small, "model.dropout", name="top.toml").swept
    assert ((0.4, 0.5), 8) == (swept.values, swept.place.line)
    assert () == field(small, "optimizer.lr", name="top.toml").swept
    assert [
        (0.5, "top.toml:8:23", True),
        (0.3, "top.toml:5:42", False),
        (0.1, "specforge/transformer@1", False),
    ] == lines(small, field(small, "model.dropout", name="top.toml", point=2))


def test_a_component_that_is_swept_is_told_of_its_table_and_of_its_fields(small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC + "[sweep.grid]\ncriterion = ['cross_entropy', 'label_smoothed_cross_entropy']\n")
    (swept,) = field(small, "criterion.use").swept

    assert ("cross_entropy", "label_smoothed_cross_entropy") == swept.values
    assert (swept,) == explained(small, "criterion").swept
    assert () == explained(small, "model").swept


def test_what_stands_under_another_component_is_gone_with_it(small: SmallExperiment) -> None:
    found = explained(small, "model", "model='fconv'")

    assert isinstance(found, TableExplanation)
    assert found.component is not None
    assert "specforge/fconv@1" == found.component.registered.identity
    assert ("model", "use") == found.rows[0][0]


def test_the_path_of_a_corpus_names_its_files_and_who_reads_them(small: SmallExperiment) -> None:
    train, test = field(small, "data.train.path"), field(small, "data.test.path")

    assert [("train/0/source", ("preprocess",)), ("train/0/target", ("preprocess",))] == [
        (read.file.role, read.steps) for read in train.files
    ]
    assert [("test/source", ("generate.test",)), ("test/target", ("score.test",))] == [
        (read.file.role, read.steps) for read in test.files
    ]


def test_a_marker_is_told_as_declared(small: SmallExperiment) -> None:
    assert field(small, "train.max_updates").declared.marker.continues
    assert not field(small, "train.checkpoint_every").declared.marker.identity
    assert not field(small, "run.devices").declared.marker.identity
    assert field(small, "seed").declared.marker.identity


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("model.dropout", ("model", "dropout")),
        ("model", ("model",)),
        ("[model]", ("model",)),
        ("data.train.0.path", ("data", "train", 0, "path")),
        ("data.train[0].path", ("data", "train", 0, "path")),
        ("data.train.path", ("data", "train", 0, "path")),
        ("data.train", ("data", "train")),
        ("data.test.path", ("data", "test", "test", "path")),
        ("generate.metrics.tokenize", ("generate", "metrics", 0, "tokenize")),
        ("[[generate.metrics]]", ("generate", "metrics")),
    ],
)
def test_a_path_may_be_typed_as_a_spec_is_written(
    small: SmallExperiment, typed: str, path: tuple[str | int, ...]
) -> None:
    assert path == find_path(typed, small.spec())


def test_a_test_may_have_dots_in_its_name(small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC.replace('test = "test"', 'test = { "news.2014" = "test", news = "valid" }'))
    spec = small.spec()

    for typed in ("data.test.news.2014.path", 'data.test."news.2014".path'):
        assert ("data", "test", "news.2014", "path") == find_path(typed, spec)
    assert ("data", "test", "news", "path") == find_path("data.test.news.path", spec)


def test_every_path_leads_to_itself(small: SmallExperiment) -> None:
    spec = small.spec("data.test={one = 'test', two = 'valid'}", "generate.metrics=['bleu', 'chrf']")

    for path in paths_of(dict(spec.tree)):
        assert path == find_path(dotted(path), spec)


@pytest.mark.parametrize(
    ("typed", "help_text"),
    [
        ("model.dropuot", "did you mean `model.dropout`?"),
        ("beam", "`beam` stands in `generate.search.beam`"),
        ("warmup_updates", "`warmup_updates` stands in `lr_scheduler.warmup_updates`"),
        ("optim.warmup_updates", "did you mean `lr_scheduler.warmup_updates`?"),
        ("", "the tables are task, data"),
        ("label_smooth", "did you mean `criterion.label_smoothing`?"),
        ("extends", "`extends` is no value"),
        ("sweep.grid", "`sweep` is no value"),
        ("zzzz", "the tables are task, data"),
        ("data.train.1.path", "did you mean `data.train.0.path`?"),
    ],
)
def test_an_unknown_path_is_told_with_the_nearest(small: SmallExperiment, typed: str, help_text: str) -> None:
    with pytest.raises(WrongInputError) as caught:
        find_path(typed, small.spec())

    assert "SF110" == caught.value.code
    assert (caught.value.help or "").startswith(help_text), caught.value.help


def test_what_somebody_typed_is_escaped(small: SmallExperiment) -> None:
    with pytest.raises(WrongInputError) as caught:
        find_path("mo\x1b[2Jdel", small.spec())

    assert "\x1b" not in caught.value.message
