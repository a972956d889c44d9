"""The variants of ROUGE under the names that papers call them by."""

from __future__ import annotations

from typing import Final

from specforge.plugin import Preset

PRESETS: Final = tuple(
    Preset("metric", name, of="rouge", values={"variant": name}, summary=summary)
    for name, summary in (
        ("rouge1", "ROUGE-1: overlapping words, F1 (an extra)"),
        ("rouge2", "ROUGE-2: overlapping pairs of words, F1 (an extra)"),
        ("rougeL", "ROUGE-L: longest common subsequence, F1 (an extra)"),
        ("rougeLsum", "ROUGE-L by sentences, as `sentence_mark` cuts them, F1 (an extra)"),
    )
)
