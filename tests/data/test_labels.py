"""Labels: their order, their file, and what is not among them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.data.labels import UNKNOWN, Labels
from specforge.foundation.errors import CorruptStateError, Place

TEXTS = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1), min_size=1)


def test_labels_are_sorted_and_have_no_special_symbols() -> None:
    labels = Labels.of(["b", "a", "B", "b"])

    assert ["B", "a", "b"] == list(labels)
    assert 3 == len(labels)
    assert [2, 0, UNKNOWN] == labels.encode(["b", "B", "c"])
    assert "a" in labels
    assert "c" not in labels


@given(TEXTS)
def test_the_file_gives_the_labels_back(texts: list[str]) -> None:
    labels = Labels.of(texts)

    again = Labels.from_bytes(labels.to_bytes())

    assert list(labels) == list(again)
    assert labels.encode(texts) == again.encode(texts)


@pytest.mark.parametrize("data", [b"", b"a\na\n", b"\xff\n"])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptStateError) as caught:
        Labels.from_bytes(data, Place("labels.txt"))

    assert "SF614" == caught.value.code
