"""Keys are of what a spec means: spelling, order, comments and files are not part of it."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from no_results import NoResults
from pydantic import JsonValue
from random_specs import respelled, specs, written

from specforge.language.resolve import load_spec
from specforge.planning.compile import compile_plan
from specforge.storage.digests import Digests

laws = settings(max_examples=25, deadline=None)

PLAIN = ("seed", "preprocess.", "optimizer.", "train.", "run.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("specs")
    for stem, language in itertools.product(("train", "sub/train"), ("en", "de")):
        (folder / stem).parent.mkdir(exist_ok=True)
        (folder / f"{stem}.{language}").write_text(f"{stem}\n", encoding="utf-8")
    (folder / "table.tsv").write_text("a\ta\n", encoding="utf-8")
    return folder


def keys(path: Path, text: str) -> dict[str, str]:
    """Return the keys of the steps of a spec with this text."""
    path.write_text(text, encoding="utf-8")
    plan = compile_plan(load_spec(path), Digests(None), NoResults())
    return {step.id: step.key for step in plan.steps}


@laws
@given(specs, st.randoms(use_true_random=False))
def test_spelling_order_and_comments_change_no_key(folder: Path, values: dict[str, JsonValue], random: Random) -> None:
    expected = keys(folder / "law.toml", "specforge = 1\n" + written(values))

    assert expected == keys(folder / "law.toml", "specforge = 0x1\n" + respelled(values, random))


@laws
@given(specs, st.randoms(use_true_random=False))
def test_splitting_into_files_changes_no_key(folder: Path, values: dict[str, JsonValue], random: Random) -> None:
    expected = keys(folder / "law.toml", "specforge = 1\n" + written(values))
    near: dict[str, JsonValue] = {}
    far: dict[str, JsonValue] = {}
    for key, value in values.items():
        (near if random.random() < 0.5 else far)[key] = value

    (folder / "far.toml").write_text(respelled(far, random), encoding="utf-8")
    assert expected == keys(folder / "law.toml", 'specforge = 1\nextends = ["far.toml"]\n' + respelled(near, random))


@laws
@given(specs, specs)
def test_what_is_extended_and_overridden_counts_no_more(
    folder: Path, values: dict[str, JsonValue], others: dict[str, JsonValue]
) -> None:
    expected = keys(folder / "law.toml", "specforge = 1\n" + written(values))
    plain = {key for key in values.keys() & others.keys() if key.startswith(PLAIN)}  # tables would merge
    (folder / "far.toml").write_text(written({key: others[key] for key in plain}), encoding="utf-8")

    assert expected == keys(folder / "law.toml", "specforge = 1\nextends = 'far.toml'\n" + written(values))
