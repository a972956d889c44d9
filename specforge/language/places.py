"""Where a value of a checked spec stands, for what is found wrong with it later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from specforge.foundation.errors import SpecforgeError
from specforge.language.layers import SET_NAME
from specforge.language.messages.diagnostics import Label
from specforge.language.text.source import parse_source, read_source
from specforge.language.text.spans import SourceText

if TYPE_CHECKING:
    from specforge.language.spec import Origin, Spec, ValuePath


def label_at(spec: Spec, path: ValuePath, text: str = "") -> Label | None:
    """Return a label at what was typed for a value.

    Args:
        spec: the spec.
        path: a leaf of its tree.
        text: what to say there.

    Returns:
        The label, or None where nobody typed the value, or where the file is not what it was when the spec was read.
    """
    typed = [origin for origin in spec.origins.get(path, ()) if origin.place is not None]
    return _label(typed[-1], text) if typed else None


def _label(origin: Origin, text: str) -> Label | None:
    place = origin.place
    assert place is not None
    try:
        if origin.layer == "set":
            source = parse_source(SourceText(SET_NAME, origin.source), "set", Path())
        else:
            source = read_source(Path(place.path), place.path)
    except SpecforgeError:
        return None
    for spans in (source.index.values, source.index.keys):
        for span in spans.values():
            if source.text.line_and_column(span.start) == (place.line, place.column):
                return Label(source.text, span, text)
    return None
