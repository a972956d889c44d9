"""The indexed corpus: what is written comes back, and what was damaged is noticed at opening."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specforge.data.corpus import (
    CorpusFacts,
    IndexedCorpus,
    Segment,
    SplitFacts,
    TokenType,
    read_facts,
    token_type,
    write_facts,
)
from specforge.data.corpus_writer import SplitWriter
from specforge.foundation.errors import CorruptStateError

ROLES = ["source", "target"]
ITEMS = st.lists(
    st.fixed_dictionaries({role: st.lists(st.integers(0, 65_499), min_size=1, max_size=6) for role in ROLES}),
    min_size=1,
    max_size=12,
)


def write(folder: Path, items: list[dict[str, list[int]]], chunk: int, dtype: TokenType = "uint16") -> CorpusFacts:
    """Write a training split; provisional number n stands for index n here."""
    with SplitWriter(folder, "train", ROLES) as writer:
        for start in range(0, len(items), chunk):
            part = items[start : start + chunk]
            writer.append(
                {role: np.array([token for item in part for token in item[role]], np.uint32) for role in ROLES},
                {role: np.array([len(item[role]) for item in part], np.int64) for role in ROLES},
            )
        identity = dict.fromkeys(ROLES, np.arange(70_000))
        split = writer.finish(identity, dict.fromkeys(ROLES, dtype))
    facts = CorpusFacts(
        roles=ROLES,
        joined=True,
        dtype=dict.fromkeys(ROLES, dtype),
        splits={"train": split},
        segments=[Segment(start=0, stop=len(items))],
    )
    write_facts(folder, facts)
    return facts


@given(ITEMS, st.integers(1, 5), st.sampled_from(["uint16", "uint32"]))
@settings(max_examples=15, deadline=None)
def test_items_come_back_whatever_the_chunks(items: list[dict[str, list[int]]], chunk: int, dtype: TokenType) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = write(folder, items, chunk, dtype)

        corpus = IndexedCorpus.open(folder, "train", ROLES)

        assert facts == read_facts(folder)
        assert len(items) == len(corpus)
        assert items == [{role: row.tolist() for role, row in corpus.item(i).items()} for i in range(len(items))]
        lengths = corpus.lengths()
        assert [[len(item[role]) for item in items] for role in ROLES] == [lengths[role].tolist() for role in ROLES]
        assert [[dtype] * 2] == [[row.dtype.name for row in corpus.item(0).values()]]
        assert sorted(path.name for path in folder.iterdir()) == [
            "corpus.json",
            "train.source.offsets",
            "train.source.tokens",
            "train.target.offsets",
            "train.target.tokens",
        ]


def test_provisional_numbers_become_indices(tmp_path: Path) -> None:
    with SplitWriter(tmp_path, "valid", ["text"]) as writer:
        writer.append({"text": np.array([1, 2, 0, 3, 0], np.uint32)}, {"text": np.array([3, 2], np.int64)})
        split = writer.finish({"text": np.array([2, 70_001, 5, 70_001])}, {"text": "uint32"})

    assert SplitFacts(items=2, tokens={"text": 5}) == split
    assert [70_001, 5, 2, 70_001, 2] == np.fromfile(tmp_path / "valid.text.tokens", "<u4").tolist()
    assert [0, 3, 5] == np.fromfile(tmp_path / "valid.text.offsets", "<i8").tolist()


def test_the_type_of_tokens_follows_the_vocabulary() -> None:
    assert ["uint16", "uint16", "uint32"] == [token_type(size) for size in (4, 65_499, 65_500)]


@pytest.mark.parametrize("name", ["train.target.tokens", "train.source.offsets", "corpus.json"])
def test_a_missing_or_cut_off_file_is_noticed_at_opening(tmp_path: Path, name: str) -> None:
    write(tmp_path, [{"source": [5, 2], "target": [6, 7, 2]}], 1)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CorruptStateError) as caught:
        IndexedCorpus.open(tmp_path, "train", ROLES)
    assert ("SF614", str(path)) == (caught.value.code, caught.value.place and caught.value.place.path)

    path.unlink()
    with pytest.raises(CorruptStateError, match="missing"):
        IndexedCorpus.open(tmp_path, "train", ROLES)


def test_offsets_that_do_not_fit_are_noticed(tmp_path: Path) -> None:
    write(tmp_path, [{"source": [5, 2], "target": [6, 7, 2]}], 1)
    np.array([0, 1], "<i8").tofile(tmp_path / "train.source.offsets")

    with pytest.raises(CorruptStateError, match="offsets"):
        IndexedCorpus.open(tmp_path, "train", ROLES)


def test_a_split_or_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path, [{"source": [5, 2], "target": [6, 7, 2]}], 1)

    for split, role in (("valid", "source"), ("train", "label")):
        with pytest.raises(CorruptStateError, match=f"there is no `{split}` of {role}"):
            IndexedCorpus.open(tmp_path, split, [role])
