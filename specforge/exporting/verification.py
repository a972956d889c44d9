"""Is an export what it was made from? Both answer the same lines, and where they part is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from specforge.data.vocabulary import EOS
from specforge.exporting.decoders import Decoder, NativeDecoder
from specforge.exporting.exportable import Sample, Verified, all_pieces
from specforge.foundation.errors import RefusedError
from specforge.foundation.terminal import printable

_ROUNDING: Final = 1e-4
"""Two symbols whose log-probabilities are this near can change places by rounding alone."""


def verify_outputs(native: NativeDecoder, exported: Decoder, sample: Sample) -> Verified:
    """Compare greedy outputs symbol by symbol.

    Args:
        native: the model.
        exported: what was written, read back.
        sample: the lines.

    Raises:
        RefusedError: SF712, they part.
    """
    most = native.longest()
    expected = native.decode(sample.sources, most)
    found = exported.decode(sample.sources, most)
    parted = [number for number in range(len(sample)) if expected[number] != found[number]]
    if parted:
        raise _parted(native, sample, parted, expected, found, all_pieces(native.vocabulary))
    return Verified(len(sample), sum(len(output) + 1 for output in expected), "piece", "greedy outputs in fp32")


def agreement(native: Sequence[Sequence[int]], found: Sequence[Sequence[int]]) -> int:
    """Return how many outputs are equal."""
    return sum(list(one) == list(other) for one, other in zip(native, found, strict=True))


def _parted(
    native: NativeDecoder,
    sample: Sample,
    parted: Sequence[int],
    expected: Sequence[Sequence[int]],
    found: Sequence[Sequence[int]],
    pieces: Sequence[str],
) -> RefusedError:
    """Return the error of the first line whose outputs differ."""
    number = parted[0]
    ours, theirs = [*expected[number], EOS], [*found[number], EOS]
    pairs = zip(ours, theirs, strict=False)
    place = next(index for index, (one, other) in enumerate(pairs) if one != other)
    prefix = ours[:place]
    log_probs = native.next_log_probs(sample.sources[number], prefix)
    gap = float(log_probs[ours[place]] - log_probs[theirs[place]])
    before = " ".join(pieces[symbol] for symbol in prefix[-8:])
    after = f"after `{printable(before)}`" if prefix else "at the start"
    natively, exported = (f"{float(log_probs[symbol]):.4f}" for symbol in (ours[place], theirs[place]))
    given, other = (f"`{printable(pieces[symbol])}`" for symbol in (ours[place], theirs[place]))
    notes = [
        f"{after} the model gives {given} and the export {other}; the model's log-probabilities are {natively} and {exported}",
        f"{len(parted)} of {len(sample)} lines differ",
    ]
    if 0 <= gap < _ROUNDING:
        notes.append("these two are equally probable but for rounding")
    return RefusedError(
        "SF712",
        f"the export does not give what the model gives: they part at piece {place + 1}",
        place=sample.places[number],
        notes=tuple(notes),
        help="nothing was kept; if it is not rounding, this is a fault of specforge: tell its authors",
    )
