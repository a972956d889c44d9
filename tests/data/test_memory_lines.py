"""Lines in memory: items, lengths and one stream."""

from __future__ import annotations

import numpy as np

from specforge.data.memory_lines import MemoryLines


def test_lines_are_items_and_a_stream() -> None:
    lines = MemoryLines("text")
    assert [] == lines.tokens("text", 0, 0).tolist()
    lines.append({"text": [[5, 6, 2], [2]]})
    lines.append({"text": [[7, 2]]})

    assert 3 == len(lines)
    assert [3, 1, 2] == lines.lengths(np.arange(3))["text"].tolist()
    assert [2, 3] == lines.lengths(np.array([2, 0]))["text"].tolist()
    assert [7, 2] == lines.item(2)["text"].tolist()
    assert [0, 3, 4, 6] == [lines.offset("text", item) for item in range(4)]
    assert [2, 2, 7] == lines.tokens("text", 2, 5).tolist()


def test_each_column_has_its_own_lengths() -> None:
    lines = MemoryLines("source", "target")
    lines.append({"source": [[4, 2], [5, 5, 2]], "target": [[6, 6, 6, 2], [2]]})

    assert {"source": [2, 3], "target": [4, 1]} == {
        role: found.tolist() for role, found in lines.lengths(np.arange(2)).items()
    }
    assert {"source": [5, 5, 2], "target": [2]} == {role: line.tolist() for role, line in lines.item(1).items()}
