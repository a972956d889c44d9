"""The language modelling task: each symbol of a text predicted from those before it, in blocks or line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from specforge.data.batch import SequenceBatch
from specforge.data.blocks import BEFORE, Blocks
from specforge.data.vocabulary import EOS, PAD
from specforge.metrics.metric import Score
from specforge.tasks.language_modeling.config import LanguageModelingConfig
from specforge.tasks.padding import padded
from specforge.tasks.task import Arranged, Item, ItemSource, Lines, MeasuredText, Span, Task

_TEXT: Final = "text"
_VERSION: Final = 1
_LARGEST_EXPONENT: Final = 1_000.0
_EOS_ALONE: Final = np.array([EOS])


class LanguageModelingTask(Task):
    """Items are blocks of the text, or its lines, each ending with EOS.

    Args:
        config: how the text is cut, and what a test looks at again.
    """

    def __init__(self, config: LanguageModelingConfig) -> None:
        self._config = config

    def cost(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the tokens of each item: [items], ends of sentence counted."""
        return lengths[_TEXT]

    def width(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the tokens of each item: [items], ends of sentence counted."""
        return lengths[_TEXT]

    def arranged(self, corpus: Lines, spans: Sequence[Span]) -> Arranged:
        """Return the blocks of a text, none from one corpus into the next, or its lines."""
        if self._config.block_length is None:
            return Arranged(corpus, spans)
        blocks = Blocks(corpus, _TEXT, self._config.block_length, 0, spans)
        return Arranged(blocks, blocks.spans)

    def arranged_test(self, corpus: Lines) -> ItemSource:
        """Return the blocks of a test, each with the context that is looked at again, or its lines."""
        if self._config.block_length is None:
            return corpus
        spans = [(0, len(corpus))]
        return Blocks(corpus, _TEXT, self._config.block_length, self._config.context_window, spans)

    def collate(self, items: Sequence[Item]) -> SequenceBatch:
        """Pad items into a batch. What stands before an item is looked at; a line begins after an end of sentence."""
        before = [item.get(BEFORE, _EOS_ALONE) for item in items]
        inputs = [np.concatenate((left, item[_TEXT][:-1])) for left, item in zip(before, items, strict=True)]
        outputs = [
            np.concatenate((np.full(len(left) - 1, PAD), item[_TEXT])) for left, item in zip(before, items, strict=True)
        ]
        text_in, lengths = padded(inputs)
        text_out, _ = padded(outputs)
        tokens = sum(len(item[_TEXT]) for item in items)
        return SequenceBatch(text_in, text_out, lengths, target_tokens=tokens, symbols={"text": int(lengths.sum())})

    def measured(self, nll: float, count: int, text: MeasuredText) -> Sequence[Score]:
        """Return the perplexity per token and per word.

        With N the negative log-likelihood of the whole test in bits: `ppl` = 2 ** (N / tokens), ends of sentence counted,
        as fairseq-eval-lm prints it; `word_ppl` = 2 ** (N / (words + lines)), every line end counted as one word, which
        is the same for a text cut at white space and lets tokenizers be compared.
        """
        bits = nll / log(2)
        cut = "lines" if self._config.block_length is None else str(self._config.block_length)
        how = f"block_length:{cut}|context_window:{self._config.context_window}|version:{_VERSION}"
        by_token, by_word = bits / count, bits / (text.words + text.lines)
        return (
            _perplexity("ppl", by_token, f"tokens:{count}|{how}", f"{count:,} tokens"),
            _perplexity("word_ppl", by_word, f"words:{text.words + text.lines}|{how}", f"{text.words:,} words"),
        )


def _perplexity(name: str, bits: float, signature: str, of: str) -> Score:
    value = 2.0 ** min(bits, _LARGEST_EXPONENT)  # JSON has no infinity
    shown = f"{name} = {value:.2f} ({bits:.4f} bits, {of})"
    return Score(name=name, value=value, signature=f"{name}|{signature}", higher_is_better=False, text=shown)


def build(config: LanguageModelingConfig) -> Task:
    """Build the task."""
    return LanguageModelingTask(config)
