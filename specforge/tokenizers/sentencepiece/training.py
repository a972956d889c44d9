"""Learning a sentencepiece model from lines in memory: the same bytes for the same lines, settings and seed."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import sentencepiece

from specforge.foundation.errors import WrongInputError
from specforge.tokenizers.sentencepiece.config import SentencePieceConfig

_THREADS: Final = 4
"""The library adds up in threads, and in another order for another number of them: a constant, whatever machine this is."""

_ERRORS_ONLY: Final = 2  # the library's log level

_TOO_LARGE: Final = re.compile(r"Vocabulary size too high \(\d+\).*?<= (\d+)")
_TOO_SMALL: Final = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")


@dataclass(slots=True)
class TextCounts:
    """What became of the lines.

    Args:
        lines: all lines read.
        empty: lines without text.
        too_long: lines over `max_sentence_length`, not learned from.
        learned: lines learned from.
    """

    lines: int = 0
    empty: int = 0
    too_long: int = 0
    learned: int = 0

    def remarks(self, config: SentencePieceConfig) -> Iterator[str]:
        """Yield what the user should know of the lines, read with these settings."""
        if self.too_long:
            yield (
                f"sentencepiece did not learn from {self.too_long:,} of {self.lines:,} lines:"
                f" they are longer than max_sentence_length, {config.max_sentence_length:,} bytes"
            )
        usable = self.lines - self.empty - self.too_long
        if self.learned < usable:
            yield f"sentencepiece learned from {self.learned:,} of {usable:,} lines (input_sentence_size)"


def learn_model(lines: Iterable[str], config: SentencePieceConfig, seed: int) -> tuple[bytes, list[str]]:
    """Learn a model.

    Args:
        lines: the text.
        config: the settings.
        seed: chooses the lines when `input_sentence_size` is less than their number.

    Returns:
        The serialized model, and remarks for the user.

    Raises:
        WrongInputError: there is nothing to learn from (SF504), or `vocab_size` does not fit the text (SF305).
    """
    counts = TextCounts()
    source = _Source(_sample(_usable(lines, config, counts), config.input_sentence_size, seed), counts)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=source,
            model_writer=model,
            model_type=config.model_type,
            vocab_size=config.vocab_size,
            character_coverage=config.character_coverage,
            normalization_rule_name=config.normalization_rule_name,
            remove_extra_whitespaces=config.remove_extra_whitespaces,
            byte_fallback=config.byte_fallback,
            split_digits=config.split_digits,
            split_by_number=config.split_by_number,
            split_by_unicode_script=config.split_by_unicode_script,
            max_sentencepiece_length=config.max_sentencepiece_length,
            user_defined_symbols=config.user_defined_symbols,
            max_sentence_length=config.max_sentence_length,
            hard_vocab_limit=config.hard_vocab_limit and config.model_type != "word",
            num_threads=_THREADS,
            minloglevel=_ERRORS_ONLY,
        )
    except RuntimeError as error:
        if source.failure is not None:
            raise source.failure from None
        raise _explained(str(error), config, counts) from error
    return model.getvalue(), list(counts.remarks(config))


class _Source:
    """The lines as the library reads them. It turns an error of theirs into one of its own, so the error is kept here.

    Args:
        lines: the lines to learn from.
        counts: counts them.
    """

    def __init__(self, lines: Iterator[str], counts: TextCounts) -> None:
        self._lines = lines
        self._counts = counts
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._lines)
        except StopIteration:
            raise
        except Exception as error:
            self.failure = error
            raise
        self._counts.learned += 1
        return line


def _usable(lines: Iterable[str], config: SentencePieceConfig, counts: TextCounts) -> Iterator[str]:
    """Yield the lines that the library would learn from, and count the others."""
    for line in lines:
        counts.lines += 1
        if not line.strip():
            counts.empty += 1
        elif len(line.encode()) > config.max_sentence_length:
            counts.too_long += 1
        else:
            yield line


def _sample(lines: Iterator[str], size: int, seed: int) -> Iterator[str]:
    """Yield `size` of the lines, each with the same chance (algorithm R, Vitter 1985), or all of them when `size` is 0.

    The library samples too, but by a seed of its own that cannot be set.
    """
    if not size:
        yield from lines
        return
    generator = random.Random(seed)  # noqa: S311  # a sample, no secret
    chosen: list[str] = []
    for number, line in enumerate(lines):
        if number < size:
            chosen.append(line)
        else:
            place = int(generator.random() * (number + 1))
            if place < size:
                chosen[place] = line
    yield from chosen


def _explained(message: str, config: SentencePieceConfig, counts: TextCounts) -> WrongInputError:
    """Return what an error of the library means for the spec."""
    if not counts.learned:
        message = f"none of {counts.lines:,} lines can be learned from: they are empty or too long"
        return WrongInputError("SF504", message)
    if found := _TOO_LARGE.search(message):
        return WrongInputError(
            "SF305",
            f"`tokenizer.vocab_size` is {config.vocab_size:,}, but the training text yields at most {int(found[1]):,} pieces",
            help=f"write `vocab_size = {int(found[1]):_}` or less, or `hard_vocab_limit = false`",
        )
    if found := _TOO_SMALL.search(message):
        return WrongInputError(
            "SF305",
            f"`tokenizer.vocab_size` is {config.vocab_size:,}, but the characters of the text alone need {int(found[1]):,} pieces",
            help=f"write `vocab_size = {int(found[1]):_}` or more, or a lower character_coverage",
        )
    return WrongInputError(
        "SF305", "sentencepiece cannot learn from this text with these settings", notes=(" ".join(message.split()),)
    )
