"""What `specforge test` finds out about text: how a tokenizer cuts it, how data are read and batched."""

from __future__ import annotations

from typing import Literal, TypeAlias

from specforge.planning.estimates import Figures, Spread

Split: TypeAlias = Literal["train", "valid"]
TokenizerOrigin: TypeAlias = Literal["result", "sample", "untrained"]


class DataSource(Figures):
    """Which data a trial used.

    Args:
        prepared: whether they are the result of preprocess; if not, a sample was prepared for the trial alone.
        rows: training rows of the text that were read for the sample; 0 where the data are prepared.
        lines: to train on, of all corpora, about as many as a hold-out leaves; None where that is not known.
        whole: whether nothing is left out: the data are prepared, or the sample is all of the text.
        tokenizer: where the pieces come from: a tokenizer `result`, a tokenizer that learned from the `sample`, or one that
            needs no learning (`untrained`).
    """

    prepared: bool
    rows: int
    lines: int | None
    whole: bool
    tokenizer: TokenizerOrigin


class Cut(Figures):
    """A line of the text in pieces."""

    split: Split
    role: str
    text: str
    pieces: list[str]


class RoundTrip(Figures):
    """A line that its pieces do not give back.

    Args:
        line: its line in its corpus, from 1.
        text: as it stands in the file.
        back: what its pieces are joined to.
    """

    split: Split
    role: str
    line: int
    text: str
    back: str


class SideFigures(Figures):
    """A tokenizer on one side of one split.

    Args:
        lines: that were cut.
        words: in them, between white space.
        tokens: pieces of all lines, without ends of sentence.
        characters: of all lines, spaces counted.
        unknown: pieces that are not in the vocabulary.
        changed: lines that do not come back from their pieces; spaces around a line do not count.
        longest: pieces of the longest line.
        longest_line: its line in its corpus, from 1.
    """

    split: Split
    role: str
    lines: int
    words: int
    tokens: int
    characters: int
    unknown: int
    changed: int
    longest: int
    longest_line: int


class TokenizerFindings(Figures):
    """How a tokenizer cuts.

    Args:
        types: role → size of the vocabulary, special symbols and fillers counted.
        vocabulary: whether `types` and unknown pieces are those of preprocess, or are counted in the lines read here.
        sides: one entry for each split and role.
        cuts: a few lines.
        changed: the first line of each side that does not come back.
    """

    kind: Literal["tokenizer"] = "tokenizer"
    types: dict[str, int]
    vocabulary: Literal["preprocess", "sample"]
    sides: list[SideFigures]
    cuts: list[Cut]
    changed: list[RoundTrip]


class LengthBucket(Figures):
    """How many items have a length.

    Args:
        shortest, longest: in tokens, the end of sentence counted, both included.
        items: role → how many items.
    """

    shortest: int
    longest: int
    items: dict[str, int]


class Example(Figures):
    """An item as the model gets it: role → pieces, what is not in the vocabulary as `<unk>`."""

    pieces: dict[str, list[str]]


class DataFindings(Figures):
    """How data are read and batched.

    Args:
        read, kept: training items in the text, and after the filters of preprocess.
        left_out: reason → training items left out.
        valid: validation items.
        rows_per_second: items of the text read in one process.
        cut_rows_per_second: items of the text read and cut in one process; None where it was not tried.
        updates: how many updates the figures below are about.
        epoch: whether they are a whole epoch.
        items_per_update, target_tokens_per_update, micro_batches_per_update: of an update.
        unit: what `train.batch_tokens` counts, and with it `target_tokens_…`, in words.
        padding: share of the places of all batches that are padding, 0 to 1.
        batches_per_second, items_per_second, target_tokens_per_second: padded batches made in one process.
        lengths: a histogram.
        examples: a few items.
    """

    kind: Literal["data"] = "data"
    read: int
    kept: int
    left_out: dict[str, int]
    valid: int
    rows_per_second: float
    cut_rows_per_second: float | None
    updates: int
    epoch: bool
    items_per_update: Spread
    target_tokens_per_update: Spread
    micro_batches_per_update: Spread
    padding: float
    batches_per_second: float
    items_per_second: float
    target_tokens_per_second: float
    lengths: list[LengthBucket]
    examples: list[Example]
    unit: str = "target tokens"
