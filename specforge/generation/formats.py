"""Translations as lines of text: for people, for programs, and for scripts that read what fairseq prints.

| format | of a line |
|---|---|
| text | a line for each output: its text, and before and after it, between tabs, what was asked for |
| jsonl | one JSON object |
| fairseq | `S-`, `T-`, and for each output `H-`, `D-`, `P-` and `A-` lines |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Final, Literal, TypeAlias

from pydantic import JsonValue

from specforge.generation.translation import AlignedUnits, Alignment, Output, Translation

OutputFormat: TypeAlias = Literal["text", "jsonl", "fairseq"]

Render: TypeAlias = Callable[[int, Translation], str]
"""From the number of a line, from 0 over all input, and what became of it, to text that ends in LF."""

_NO_TABS: Final = str.maketrans("\n\r\t", "   ")


@dataclass(frozen=True, slots=True)
class Columns:
    """What stands beside the text in format `text`.

    Args:
        line: whether the number of the line, from 1, comes first.
        score: whether the score comes before the text.
        alignment: whether pairs of words come after it.
    """

    line: bool = False
    score: bool = False
    alignment: bool = False


def aligned_units(format: OutputFormat) -> AlignedUnits:
    """Return what alignments of a format count: what stands beside them."""
    return "words" if format == "text" else "pieces"


def render_text(columns: Columns) -> Render:
    """Return what writes format `text`."""

    def render(number: int, translation: Translation) -> str:
        return "".join(f"{_row(number, output, columns)}\n" for output in translation.outputs)

    return render


def render_jsonl(number: int, translation: Translation) -> str:
    """Return a line of format `jsonl`."""
    line = translation.line
    values: dict[str, JsonValue] = {"line": number + 1}
    if line.id is not None:
        values["id"] = line.id
    values["source"] = line.text
    values["source_pieces"] = [*translation.source_pieces]
    if translation.too_long:
        values["too_long"] = True
    values["hypotheses"] = [_values(output) for output in translation.outputs]
    return json.dumps(values, ensure_ascii=False, allow_nan=False).translate(_SAFE) + "\n"


def render_fairseq(number: int, translation: Translation, reference: Sequence[str] | None = None) -> str:
    """Return the lines of format `fairseq`: pieces with spaces between them, scores to base 2, lines counted from 0.

    Args:
        number: of the line.
        translation: of it.
        reference: pieces of its reference, where there is one.
    """
    lines = [f"S-{number}\t{_spaced(translation.source_pieces)}"]
    if reference is not None:
        lines.append(f"T-{number}\t{_spaced(reference)}")
    for output in translation.outputs:
        score = f"{_bits(output.score):.6f}"
        lines.append(f"H-{number}\t{score}\t{_spaced(output.pieces)}")
        lines.append(f"D-{number}\t{score}\t{output.text.translate(_NO_TABS)}")
        lines.append(f"P-{number}\t{' '.join(f'{_bits(each):.4f}' for each in output.token_scores)}")
        if output.alignment is not None:
            lines.append(f"A-{number}\t{pharaoh(output.alignment)}")
    return "".join(f"{line}\n" for line in lines)


def pharaoh(alignment: Alignment) -> str:
    """Return an alignment as `0-0 2-1`, source before target."""
    return " ".join(f"{source}-{target}" for source, target in alignment)


_SAFE: Final = {code: f"\\u{code:04x}" for code in (0x7F, *range(0x80, 0xA0), 0x2028, 0x2029)}
"""What some readers take for the end of a line, or a terminal for a command."""


def _row(number: int, output: Output, columns: Columns) -> str:
    if columns == Columns():
        return output.text
    cells = [output.text.translate(_NO_TABS)]
    if columns.score:
        cells.insert(0, f"{output.score:.4f}")
    if columns.line:
        cells.insert(0, str(number + 1))
    if columns.alignment:
        cells.append(pharaoh(output.alignment or ()))
    return "\t".join(cells)


def _values(output: Output) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = {
        "text": output.text,
        "pieces": [*output.pieces],
        "score": round(output.score, 6),
        "token_scores": [round(each, 6) for each in output.token_scores],
    }
    if output.alignment is not None:
        values["alignment"] = [[*pair] for pair in output.alignment]
    return values


def _spaced(pieces: Sequence[str]) -> str:
    return " ".join(pieces).translate(_NO_TABS)


def _bits(nats: float) -> float:
    return nats / log(2)


def renderer(format: OutputFormat, columns: Columns) -> Render:
    """Return what writes a format."""
    match format:
        case "text":
            return render_text(columns)
        case "jsonl":
            return render_jsonl
        case "fairseq":
            return render_fairseq
