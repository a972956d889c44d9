"""What every layer says about a value: what counts, what an `unset` removes, what goes with a table that is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from specforge.language.history import Statement, Statements

if TYPE_CHECKING:
    from spec_folder import SpecFolder

    from specforge.language.spec import ValuePath

HEAD = """\
specforge = 1
task = { use = "translation", source = "en", target = "de" }
data = { train = "train", valid = "valid", test = "test" }
"""
SPEC = Path("spec.toml")
BASE = HEAD + "train = { max_updates = 10, clip_norm = 1.0 }\nmodel = { use = 'transformer', dropout = 0.2 }\n"


def about(path: ValuePath, *assignments: str) -> list[tuple[object, str, str]]:
    """Return value, place and what became of it, for each statement about a value in `spec.toml`."""
    statements = Statements(SPEC, assignments).about(path)
    return [(one.value, str(one.place), _end(one)) for one in statements]


def _end(statement: Statement) -> str:
    if statement.removed is not None:
        return f"removed {statement.removed}"
    return "" if statement.replaced is None else f"replaced {statement.replaced}"


def test_statements_come_strongest_first_each_with_its_place(specs: SpecFolder) -> None:
    specs.write(BASE, "base.toml")
    specs.write('extends = "base.toml"\n[model]\ndropout = 0.3\n')

    assert [
        (0.5, "--set:1:15", ""),
        (0.4, "--set:1:15", ""),
        (0.3, "spec.toml:3:11", ""),
        (0.2, "base.toml:5:42", ""),
    ] == about(("model", "dropout"), "model.dropout=0.4", "model.dropout=0.5")


def test_a_file_that_is_extended_says_where(specs: SpecFolder) -> None:
    specs.write(HEAD, "root.toml")
    specs.write('extends = "root.toml"\ntrain = { max_updates = 1 }\n', "middle.toml")
    specs.write('# first\nextends = ["middle.toml"]\nmodel = "fconv"\n')

    statements = Statements(SPEC, ["seed=1"])
    (task,), (budget,) = statements.about(("task", "use")), statements.about(("train", "max_updates"))
    (model,), (seed,) = statements.about(("model", "use")), statements.about(("seed",))

    assert "middle.toml:1:11" == str(task.extended)
    assert "spec.toml:2:12" == str(budget.extended)
    assert (None, None) == (model.extended, seed.extended)


def test_what_an_unset_removes_is_told_with_the_unset(specs: SpecFolder) -> None:
    specs.write(BASE, "base.toml")
    specs.write('extends = "base.toml"\nunset = ["train.clip_norm"]\n')

    assert [(1.0, "base.toml:4:41", "removed spec.toml:2:10")] == about(("train", "clip_norm"))
    assert ["spec.toml:2:10"] == [str(place) for place in Statements(SPEC).removals(("train", "clip_norm"))]


def test_a_file_may_unset_a_value_and_say_another(specs: SpecFolder) -> None:
    specs.write(BASE, "base.toml")
    specs.write('extends = "base.toml"\nunset = ["train"]\n[train]\nmax_updates = 3\n')

    assert [(3, "spec.toml:4:15", ""), (10, "base.toml:4:25", "removed spec.toml:2:10")] == about(
        ("train", "max_updates")
    )


def test_another_component_takes_the_values_of_the_one_below_with_it(specs: SpecFolder) -> None:
    specs.write(BASE, "base.toml")
    specs.write('extends = "base.toml"\nmodel = "fconv"\n')

    assert [(0.2, "base.toml:5:42", "replaced spec.toml:2:9")] == about(("model", "dropout"))


def test_the_same_component_named_again_keeps_them(specs: SpecFolder) -> None:
    specs.write(BASE, "base.toml")
    specs.write('extends = "base.toml"\nmodel = "transformer"\n')

    assert [(0.2, "base.toml:5:42", "")] == about(("model", "dropout"))


def test_a_list_replaces_a_list_and_one_table_merges_with_the_only_element(specs: SpecFolder) -> None:
    specs.write(HEAD.replace('train = "train"', 'train = [{ path = "train", weight = 2 }]'), "base.toml")
    weight: ValuePath = ("data", "train", 0, "weight")

    specs.write('extends = "base.toml"\n[data]\ntrain = { format = "text" }\n')
    assert [(2, "base.toml:3:46", "")] == about(weight)

    specs.write('extends = "base.toml"\n[data]\ntrain = ["train"]\n')
    assert [(2, "base.toml:3:46", "replaced spec.toml:3:9")] == about(weight)


def test_nobody_says_anything_about_a_default(specs: SpecFolder) -> None:
    specs.write(BASE)

    assert [] == about(("seed",))
    assert () == Statements(SPEC).removals(("seed",))
