"""A Hugging Face folder, asked as its users ask it: text to numbers by its own tokenizer, numbers to numbers by `generate`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from specforge.data.vocabulary import EOS, PAD
from specforge.exporting.exportable import Exportable, Sample
from specforge.models.model import EncoderDecoder
from specforge.tokenizers.sentencepiece.config import SentencePieceConfig

_AT_ONCE: Final = 32


class HuggingFaceDecoder:
    """An exported model and its tokenizer.

    Args:
        trained: what it was made from.
        folder: the folder.
        sample: the lines, by whose text it is asked.
    """

    def __init__(self, trained: Exportable, folder: Path, sample: Sample) -> None:
        from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        self._translates = isinstance(trained.model, EncoderDecoder)
        loader: Any = AutoModelForSeq2SeqLM if self._translates else AutoModelForCausalLM
        with _quiet():
            self._model: Any = loader.from_pretrained(folder, dtype=torch.float32).eval()
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        lowercase = isinstance(trained.tokenizer, SentencePieceConfig) and trained.tokenizer.lowercase
        lines = [line.lower() if lowercase else line for line in sample.lines]
        self._numbers = {
            tuple(source): self._cut(line, len(source)) for source, line in zip(sample.sources, lines, strict=True)
        }

    def decode(self, sources: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        """Return the output of each line."""
        rows = [self._numbers[tuple(source)] for source in sources]
        by_length: Mapping[int, list[int]] = {length: [] for length in sorted(set(map(len, rows)))}
        for number, row in enumerate(rows):
            by_length[len(row)].append(number)
        found: list[list[int]] = [[] for _ in rows]
        with torch.inference_mode():
            for numbers in by_length.values():
                for start in range(0, len(numbers), _AT_ONCE):
                    chunk = numbers[start : start + _AT_ONCE]
                    for number, output in zip(
                        chunk, self._generated([rows[each] for each in chunk], most), strict=True
                    ):
                        found[number] = output
        return found

    def _generated(self, rows: list[list[int]], most: int) -> list[list[int]]:
        tokens = torch.tensor(rows)
        skipped = 1 if self._translates else tokens.shape[1]
        with _quiet():
            found = self._model.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                max_length=skipped + most,
                num_beams=1,
                do_sample=False,
            )
        return [_ended(row[skipped:]) for row in found.tolist()]

    def _cut(self, line: str, length: int) -> list[int]:
        """Return the numbers of a line, or a prompt of its first `length` pieces."""
        numbers: list[int] = self._tokenizer(line)["input_ids"]
        return numbers if self._translates else [EOS, *numbers[:length]]


def _ended(symbols: list[int]) -> list[int]:
    """Return an output up to its end."""
    ends = [place for place, symbol in enumerate(symbols) if symbol in {EOS, PAD}]
    return symbols[: ends[0]] if ends else symbols


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the library load without bars and advice: what is wrong comes out when both are compared."""
    from transformers.utils import logging as theirs

    before = theirs.get_verbosity()
    theirs.set_verbosity(logging.ERROR)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(before)
