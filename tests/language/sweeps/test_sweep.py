"""Sweeps: which points a table makes, what each of them is, and what is wrong with them, told once and where it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from specforge.foundation.errors import WrongInputError
from specforge.language import resolve
from specforge.language.messages.diagnostics import SpecError
from specforge.language.spec import Spec
from specforge.language.sweeps.names import typed_name
from specforge.language.text.toml_text import toml_value
from specforge.planning.compile import keyed_steps
from specforge.planning.inputs import inspect_inputs
from specforge.storage.digests import Digests

if TYPE_CHECKING:
    from spec_folder import SpecFolder

GRID = """
[sweep.grid]
optimizer.lr = [5e-4, 1e-3]
model.dropout = [0.1, 0.2, 0.3]
"""


def points(specs: SpecFolder, text: str, *assignments: str) -> tuple[Spec, ...]:
    """Write a spec and return its points."""
    return resolve.load_sweep(specs.write(text), assignments)[1]


def said(spec: Spec) -> dict[str, JsonValue]:
    """Return what a point sets, by dotted path."""
    assert spec.point is not None
    return {typed_name(path): value for path, value in spec.point.values.items()}


def at(spec: Spec, *path: str | int) -> JsonValue:
    value: JsonValue = dict(spec.tree)
    for part in path:
        value = value[int(part)] if isinstance(value, list) else dict(value)[str(part)]  # type: ignore[arg-type]
    return value


def test_a_grid_makes_every_combination_and_its_last_field_turns_fastest(specs: SpecFolder, minimal: str) -> None:
    found = points(specs, minimal + GRID)

    assert [
        (0.0005, 0.1),
        (0.0005, 0.2),
        (0.0005, 0.3),
        (0.001, 0.1),
        (0.001, 0.2),
        (0.001, 0.3),
    ] == [(at(point, "optimizer", "lr"), at(point, "model", "dropout")) for point in found]
    assert [1, 2, 3, 4, 5, 6] == [point.point.number for point in found if point.point]
    assert "spec.lr-0.0005.dropout-0.1" == found[0].name == at(found[0], "name")
    assert all(point.sweep is None for point in found)


def test_the_lists_of_zip_advance_together_for_each_combination_of_the_grid(specs: SpecFolder, minimal: str) -> None:
    found = points(
        specs,
        minimal + "[sweep]\ngrid = { seed = [1, 2] }\n"
        "zip.model = { embed_dim = [256, 512], attention_heads = [4, 8] }\n",
    )

    assert [
        {"seed": 1, "model.embed_dim": 256, "model.attention_heads": 4},
        {"seed": 1, "model.embed_dim": 512, "model.attention_heads": 8},
        {"seed": 2, "model.embed_dim": 256, "model.attention_heads": 4},
        {"seed": 2, "model.embed_dim": 512, "model.attention_heads": 8},
    ] == [said(point) for point in found]


def test_cases_come_after_the_combinations_and_set_nothing_else(specs: SpecFolder, minimal: str) -> None:
    found = points(
        specs,
        minimal + '[sweep.grid]\nseed = [2, 3]\n[[sweep.case]]\nname = "big"\nmodel.embed_dim = 1024\n'
        '[[sweep.case]]\n"optimizer.lr" = 1e-3\n[[sweep.case]]\nname = "plain"\n',
    )

    assert [{"seed": 2}, {"seed": 3}, {"model.embed_dim": 1024}, {"optimizer.lr": 1e-3}, {}] == list(map(said, found))
    assert ["spec.seed-2", "spec.seed-3", "spec.big", "spec.lr-0.001", "spec.plain"] == [point.name for point in found]
    assert 1 == found[2].seed


def test_the_spec_beside_its_sweep_is_the_spec_without_it(specs: SpecFolder, minimal: str) -> None:
    without, swept = specs.load(minimal), specs.load(minimal + GRID)

    assert without.tree == swept.tree
    assert without.origins == swept.origins
    assert swept.sweep is not None
    assert without.sweep is None
    assert [("optimizer.lr", (5e-4, 1e-3), "spec.toml:8:16"), ("model.dropout", (0.1, 0.2, 0.3), "spec.toml:9:17")] == [
        (typed_name(swept.path), swept.values, str(swept.place)) for swept in swept.sweep.fields
    ]


def test_a_value_comes_from_the_line_of_the_sweep_above_the_spec_and_below_set(specs: SpecFolder, minimal: str) -> None:
    second = points(specs, minimal + "[optimizer]\nlr = 2e-3\n" + GRID, "seed=7")[3]

    history = second.origins["optimizer", "lr"]
    assert [("spec", 2e-3, "spec.toml:7:6"), ("spec", 1e-3, "spec.toml:10:23")] == [
        (origin.layer, origin.value, str(origin.place)) for origin in history[-2:]
    ]
    assert 7 == second.seed


def test_set_changes_a_table_that_is_swept_as_a_whole(specs: SpecFolder, minimal: str) -> None:
    tables = '[sweep.grid]\nmodel = [{ use = "transformer", dropout = 0.1 }, { use = "fconv", dropout = 0.2 }]\n'

    found = points(specs, minimal + tables, "model.dropout=0.4")

    assert [("transformer", 0.4), ("fconv", 0.4)] == [
        (at(point, "model", "use"), at(point, "model", "dropout")) for point in found
    ]


def test_an_index_leads_into_a_list(specs: SpecFolder, minimal: str) -> None:
    found = points(
        specs,
        minimal + '[generate]\nmetrics = ["bleu", { use = "chrf", word_order = 1 }]\n'
        '[sweep.grid]\ngenerate.metrics.0.tokenize = ["13a", "char"]\ngenerate.metrics.1.word_order = [0, 2]\n',
    )

    assert [("13a", 0), ("13a", 2), ("char", 0), ("char", 2)] == [
        (at(point, "generate", "metrics", 0, "tokenize"), at(point, "generate", "metrics", 1, "word_order"))
        for point in found
    ]
    assert ["bleu", "chrf"] == [at(found[0], "generate", "metrics", index, "use") for index in (0, 1)]
    origins = found[3].origins
    assert "spec.toml:9:39" == str(origins["generate", "metrics", 0, "tokenize"][-1].place)
    assert "spec.toml:7:12" == str(origins["generate", "metrics", 0, "use"][-1].place)


def test_whole_tables_and_lists_are_values(specs: SpecFolder, minimal: str) -> None:
    found = points(
        specs,
        minimal + '[sweep.grid]\nmodel = ["transformer", { use = "transformer", dropout = 0.3 }, "fconv"]\n'
        "optimizer.betas = [[0.9, 0.98], [0.9, 0.999]]\n",
    )

    assert [
        (use, betas) for use in ("transformer", "transformer", "fconv") for betas in ([0.9, 0.98], [0.9, 0.999])
    ] == [(at(point, "model", "use"), at(point, "optimizer", "betas")) for point in found]
    assert "spec.model-transformer_dropout-0.3.betas-0.9_0.98" == found[2].name


def test_another_component_is_chosen_before_its_fields_are_set(specs: SpecFolder, minimal: str) -> None:
    found = points(
        specs,
        minimal + '[sweep.zip]\nmodel.dropout = [0.2, 0.3]\nmodel.use = ["transformer", "fconv"]\n',
    )

    assert [("transformer", 0.2), ("fconv", 0.3)] == [
        (at(point, "model", "use"), at(point, "model", "dropout")) for point in found
    ]


def test_a_file_that_is_extended_may_bring_the_sweep_and_unset_removes_it(specs: SpecFolder, minimal: str) -> None:
    specs.write(minimal + GRID, "base.toml")

    merged = points(specs, 'extends = "base.toml"\n[sweep.grid]\nmodel.dropout = [0.4]\n')
    removed = specs.load('extends = "base.toml"\nunset = ["sweep"]\n')

    assert [{"optimizer.lr": 5e-4, "model.dropout": 0.4}, {"optimizer.lr": 1e-3, "model.dropout": 0.4}] == list(
        map(said, merged)
    )
    origins = merged[0].origins
    assert "base.toml:8:17" == str(origins["optimizer", "lr"][-1].place)
    assert "spec.toml:3:18" == str(origins["model", "dropout"][-1].place)
    assert removed.sweep is None


def test_set_may_bring_a_sweep_and_take_it_away(specs: SpecFolder, minimal: str) -> None:
    assert [{"seed": 1}, {"seed": 2}] == list(map(said, points(specs, minimal, "sweep.grid.seed=[1, 2]")))
    assert () == points(specs, minimal + GRID, 'unset=["sweep"]')


def test_one_point_is_loaded_without_a_look_at_the_others(specs: SpecFolder, minimal: str) -> None:
    path = specs.write(minimal + "[sweep.grid]\nmodel.dropout = [0.1, 7]\n")

    assert 0.1 == at(resolve.load_spec(path, point=1), "model", "dropout")
    assert [("SF103", "spec.toml:7:23")] == [pair[:2] for pair in specs.brief(path.read_text())]
    with pytest.raises(SpecError, match=r"`model\.dropout` must be less than 1"):
        resolve.load_spec(path, point=2)


@pytest.mark.parametrize(
    ("text", "number", "message", "help_text"),
    [
        (GRID, 7, "there is no point 7", "the sweep has 6 points, counted from 1"),
        (GRID, 0, "there is no point 0", "the sweep has 6 points, counted from 1"),
        ("", 1, "there is no point 1: the spec has no sweep", "leave out --point"),
    ],
)
def test_a_point_that_is_not_there(
    specs: SpecFolder, minimal: str, text: str, number: int, message: str, help_text: str
) -> None:
    with pytest.raises(WrongInputError) as caught:
        resolve.load_spec(specs.write(minimal + text), point=number)

    assert ("SF128", message, help_text) == (caught.value.code, caught.value.message, caught.value.help)


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (f"[sweep.grid]\n'a{'.a' * 3_000}' = [1]\n", [("SF105", "7:1", "this has 3,001 parts; the limit is 16")]),
        ('[sweep.grid]\ndata.train.path = ["train", "valid", "tset"]\n', [("SF501", "7:38", "did you mean `test`?")]),
        ('[sweep]\ngrid.data = { test = ["train", "tset"] }\n', [("SF501", "7:32", "did you mean `test`?")]),
        ("[sweep.grid]\nseed = [2021-01-01]\n", [("SF103", "7:9", "not allowed here")]),
        (
            "[sweep.grid]\n" + "".join(f"a{number} = [1]\n" for number in range(51)),
            [("SF105", "6:2", "these are 51 fields; the limit is 50")],
        ),
        ("[sweep]\n", [("SF121", "6:2", "no field is named")]),
        ("sweep = 3\n", [("SF103", "6:9", "expected a table with `grid`, `zip` or `case`")]),
        ("[sweep]\ngrid = 3\n", [("SF103", "7:8", "this is a whole number")]),
        ("[sweep.case]\nseed = 3\n", [("SF103", "6:8", "this is a table")]),
        ("[sweep]\ncase = [3]\n", [("SF103", "7:9", "this is a whole number")]),
        ("[sweep.grid]\nseed = 3\n", [("SF120", "7:8", "this is one value")]),
        ("[sweep.zip]\nmodel = {}\n", [("SF121", "7:9", "this is empty")]),
        ("[[sweep.case]]\n", [("SF121", "6:9", "no field is named")]),
        ("[[sweep.case]]\nname = ''\n", [("SF103", "7:8", "expected up to 50 letters, digits, `.`, `_` and `-`")]),
        ("[sweep.grid]\nseed = [1, 1, 2]\n", [("SF126", "7:12", "here")]),
        ("[sweep.grid]\nmodel.dropout = [0, 0.0]\n", [("SF126", "7:21", "point 2")]),
        ("[sweep.grid]\nseed = [1, 2]\n[sweep.zip]\nseed = [3]\n", [("SF123", "9:1", "here")]),
        ("[sweep.grid]\nrun.workers = [1]\n", [("SF125", "7:5", "it changes no result, so all points would be one")]),
        (
            "[sweep.grid]\ntrain.checkpoint_every = ['1 minute', '2 minutes']\n",
            [("SF125", "7:7", "it changes no result, so all points would be one")],
        ),
        ("[sweep.grid]\nextends = ['a']\n", [("SF125", "7:1", "this is read before there are points")]),
        ("[sweep.grid]\nsweep.grid.seed = [[1]]\n", [("SF125", "7:12", "a sweep of sweeps")]),
        ("[sweep.grid]\nmodell.dropout = [0.1, 0.2]\n", [("SF101", "7:1", "did you mean `model`?")]),
        ("[sweep.grid]\n'model.dropuot' = [0.1, 0.2]\n", [("SF101", "7:1", "did you mean `dropout`?")]),
        ("[sweep.grid]\nmodel.dropout = [0.1, 2021-01-01]\n", [("SF103", "7:23", "not allowed here")]),
        (
            "[sweep.grid]\ngenerate.metrics.0.tokenize = ['13a']\n",
            [("SF129", "7:18", "no layer below lists `generate.metrics`")],
        ),
    ],
)
def test_mistakes_and_their_places(
    specs: SpecFolder, minimal: str, table: str, found: list[tuple[str, str, str]]
) -> None:
    assert found == [
        (code, place.removeprefix("spec.toml:"), text) for code, place, text in specs.brief(minimal + table)
    ]


def test_too_many_points(specs: SpecFolder, minimal: str) -> None:
    axes = "".join(f"{path} = {list(range(1, 12))}\n" for path in ("seed", "train.patience", "train.average_last"))

    assert [("SF105", "spec.toml:6:2", "these are 1,331 points; the limit is 1,000")] == specs.brief(
        minimal + "[sweep.grid]\n" + axes
    )


def test_a_mistake_of_several_points_is_told_once_with_the_points_that_its_place_does_not_tell(
    specs: SpecFolder, minimal: str
) -> None:
    heads = "[sweep.grid]\nseed = [1, 2]\nmodel.attention_heads = [8, 6]\nmodel.embed_dim = [512, 516]\n"

    found = specs.diagnostics(minimal + heads)

    assert [("spec.toml:9:20", ()), ("spec.toml:9:25", ())] == [(str(one.place), one.notes) for one in found]


def test_points_are_looked_at_until_there_is_enough_to_mend(specs: SpecFolder, minimal: str) -> None:
    cases = "".join(f"[[sweep.case]]\noptimizer.lr = -{number}.0\n" for number in range(1, 400))

    with pytest.raises(SpecError) as caught:
        specs.load(minimal + cases)

    assert 51 == len(caught.value.diagnostics) + caught.value.omitted


def test_a_mistake_of_the_spec_itself_is_told_once_though_points_share_it(specs: SpecFolder, minimal: str) -> None:
    cases = "[optimizer]\nlr = -1.0\n[[sweep.case]]\nseed = 2\n[[sweep.case]]\noptimizer.lr = 1e-3\n"

    assert [("SF103", "spec.toml:7:6", "")] == specs.brief(minimal + cases)


def test_what_only_some_points_with_a_value_have_is_told_with_their_numbers(specs: SpecFolder, minimal: str) -> None:
    text = minimal + "[sweep.grid]\nlr_scheduler.use = ['inverse_sqrt', 'fixed']\nlr_scheduler.lr_shrink = [0.1, 0.2]\n"

    (found,) = specs.diagnostics(text)

    assert ("SF101", 'where lr_scheduler.use = "inverse_sqrt", at 2 of 4 points of the sweep') == (
        found.code,
        found.notes[-1],
    )


VALUES: dict[str, list[JsonValue]] = {
    "optimizer.lr": [5e-4, 1e-3, 3e-3],
    "model.dropout": [0.0, 0.25, 0.5],
    "model.use": ["transformer", "transformer_iwslt_de_en", "fconv"],
    "criterion": ["cross_entropy", "label_smoothed_cross_entropy"],
    "generate.search.beam": [1, 3, 7],
    "generate.metrics.0.lowercase": [True, False],
    "data.valid": ["valid", "test"],
    "seed": [5, 6, 7],
}

BASE = '[generate]\nmetrics = ["bleu"]\n'

axes = st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(1, 3), min_size=1, max_size=3).map(
    lambda sizes: {path: VALUES[path][:size] for path, size in sizes.items()}
)


def keys(spec: Spec) -> list[tuple[str, str]]:
    """Return id and key of each step."""
    return [(step.id, step.key) for step in keyed_steps(spec, inspect_inputs(spec, Digests(None)))]


@given(grid=axes, quoted=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_point_is_the_plan_of_the_spec_with_its_values_as_set(
    specs: SpecFolder,
    minimal: str,
    grid: dict[str, list[JsonValue]],
    quoted: bool,  # noqa: FBT001  # hypothesis draws it
) -> None:
    lines = [f"{json.dumps(path) if quoted else path} = {toml_value(values)}" for path, values in grid.items()]
    path = specs.write("\n".join([minimal + BASE, "[sweep.grid]", *lines]))

    base, found = resolve.load_sweep(path)

    product = 1
    for values in grid.values():
        product *= len(values)
    assert product == len(found)
    assert product == len({point.name for point in found})
    plain = specs.write(minimal + BASE, "plain.toml")
    assert keys(resolve.load_spec(plain)) == keys(base)
    for point in found:
        chosen = sorted(said(point).items(), key=lambda pair: not pair[0].endswith(".use"))
        same = resolve.load_spec(plain, [f"{name}={toml_value(value)}" for name, value in chosen])
        assert keys(same) == keys(point)
        assert same.tree == {**point.tree, "name": "plain"}


@given(length=st.integers(1, 4), others=st.integers(1, 3))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_zip_has_as_many_points_as_its_lists_have_values(
    specs: SpecFolder, minimal: str, length: int, others: int
) -> None:
    numbers = list(range(1, length + 1))
    found = points(
        specs,
        f"{minimal}[sweep]\nzip = {{ seed = {numbers}, train.patience = {numbers} }}\n"
        f"grid.train.average_last = {list(range(1, others + 1))}\n",
    )

    assert length * others == len(found)
    assert all(point.seed == point.train.patience for point in found)


def test_the_table_is_portable(specs: SpecFolder, minimal: str, tmp_path: Path) -> None:
    swept = specs.load(
        minimal + '[sweep]\ngrid."data.train" = ["train", { path = "valid", weight = 2 }]\nzip.seed = [1, 2]\n'
        '[[sweep.case]]\nname = "x"\ndata.test = { more = "valid" }\n'
    )

    assert swept.sweep is not None
    assert {
        "grid": {"data.train": [[{"path": str(tmp_path / "train")}], [{"path": str(tmp_path / "valid"), "weight": 2}]]},
        "zip": {"seed": [1, 2]},
        "case": [{"name": "x", "data.test.more": {"path": str(tmp_path / "valid")}}],
    } == swept.sweep.table
