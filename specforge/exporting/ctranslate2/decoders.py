"""A CTranslate2 folder, asked as its users ask it: pieces in, pieces out, greedily."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.data.vocabulary import EOS, SPECIAL_SYMBOLS, Vocabulary
from specforge.exporting.decoders import Decoder
from specforge.exporting.exportable import Exportable, all_pieces
from specforge.models.model import EncoderDecoder

if TYPE_CHECKING:
    import ctranslate2

_AT_ONCE: Final = 32


def exported_decoder(trained: Exportable, folder: Path, compute_type: str, threads: int) -> Decoder:
    """Read a folder.

    Args:
        trained: what it was made from.
        folder: the folder.
        compute_type: what to compute in; `default`: as the weights are written.
        threads: that may be used: workers of one thread each, which two cores do most with.
    """
    import ctranslate2

    if isinstance(trained.model, EncoderDecoder):
        translator = ctranslate2.Translator(
            str(folder), device="cpu", compute_type=compute_type, inter_threads=threads, intra_threads=1
        )
        return _Translator(translator, trained.vocabularies["source"], trained.vocabularies["target"])
    generator = ctranslate2.Generator(
        str(folder), device="cpu", compute_type=compute_type, inter_threads=threads, intra_threads=1
    )
    return _Continuer(generator, trained.vocabularies["text"])


class _Translator:
    """An encoder-decoder."""

    def __init__(self, translator: ctranslate2.Translator, source: Vocabulary, target: Vocabulary) -> None:
        self._translator = translator
        self._source = all_pieces(source)
        self._target = {piece: index for index, piece in enumerate(all_pieces(target))}

    def decode(self, sources: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        """Return the output of each line."""
        results = self._translator.translate_batch(
            [[self._source[symbol] for symbol in source] for source in sources],
            max_batch_size=_AT_ONCE,
            beam_size=1,
            max_input_length=0,
            max_decoding_length=most,
            min_decoding_length=0,
        )
        return [[self._target[piece] for piece in result.hypotheses[0]] for result in results]


class _Continuer:
    """A language model."""

    def __init__(self, generator: ctranslate2.Generator, vocabulary: Vocabulary) -> None:
        self._generator = generator
        self._pieces = all_pieces(vocabulary)

    def decode(self, sources: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        """Return the continuation of each line."""
        results = self._generator.generate_batch(
            [[SPECIAL_SYMBOLS[EOS], *(self._pieces[symbol] for symbol in source)] for source in sources],
            max_batch_size=_AT_ONCE,
            beam_size=1,
            max_length=most,
            min_length=0,
            include_prompt_in_result=False,
        )
        return [list(result.sequences_ids[0]) for result in results]
