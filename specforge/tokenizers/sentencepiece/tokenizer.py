"""The sentencepiece tokenizer: one model for all columns, or one for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from sentencepiece import SentencePieceProcessor

from specforge.foundation.errors import CorruptStateError
from specforge.tokenizers.sentencepiece.config import SentencePieceConfig
from specforge.tokenizers.sentencepiece.training import learn_model
from specforge.tokenizers.tokenizer import Tokenizer

_SHARED: Final = "shared"


class SentencePieceTokenizer(Tokenizer):
    """Pieces of a learned model; unknown characters become `<unk>`, so that no piece is outside the model.

    Args:
        config: the settings.
    """

    def __init__(self, config: SentencePieceConfig) -> None:
        self._config = config
        self._models: dict[str, SentencePieceProcessor] = {}
        self._remarks: list[str] = []

    def train(self, texts: Mapping[str, Callable[[], Iterator[str]]], seed: int) -> dict[str, bytes]:
        """Learn and return `shared.model`, or `<role>.model` for each role."""
        self._remarks = []
        if self._config.shared:
            every = chain.from_iterable(self._lowered(start()) for start in texts.values())
            models = {_SHARED: learn_model(every, self._config, seed)}
        else:
            models = {role: learn_model(self._lowered(start()), self._config, seed) for role, start in texts.items()}
        self._remarks = [remark for _, remarks in models.values() for remark in remarks]
        files = {f"{name}.model": data for name, (data, _) in models.items()}
        self.load(files)
        return files

    def load(self, files: Mapping[str, bytes]) -> None:
        """Take over the models.

        Raises:
            CorruptStateError: SF614, a file is no model.
        """
        self._models = {name.removesuffix(".model"): _processor(name, data) for name, data in files.items()}

    def remarks(self) -> Sequence[str]:
        """Return which lines were not learned from."""
        return self._remarks

    def encode(self, role: str, lines: Sequence[str]) -> list[list[str]]:
        """Return the pieces of each line, `▁` for spaces; a batch is much faster than single lines."""
        return self._cut(role, lines, emit_unk_piece=True)

    def spelled(self, role: str, lines: Sequence[str]) -> list[list[str]]:
        """Return what `encode` does, with unknown characters in place of `<unk>`."""
        return self._cut(role, lines, emit_unk_piece=False)

    def decode(self, role: str, pieces: Sequence[str]) -> str:
        """Return the text of pieces; of a line's own pieces the line as it was normalised."""
        text: str = self._model(role).decode(list(pieces))
        return text

    def _cut(self, role: str, lines: Sequence[str], *, emit_unk_piece: bool) -> list[list[str]]:
        pieces: list[list[str]] = self._model(role).encode(
            list(self._lowered(lines)), out_type=str, emit_unk_piece=emit_unk_piece, num_threads=1
        )
        return pieces

    def _lowered(self, lines: Iterable[str]) -> Iterable[str]:
        return (line.lower() for line in lines) if self._config.lowercase else lines

    def _model(self, role: str) -> SentencePieceProcessor:
        return self._models[_SHARED if self._config.shared else role]


def _processor(name: str, data: bytes) -> SentencePieceProcessor:
    try:
        return SentencePieceProcessor(model_proto=data)
    except RuntimeError as error:
        raise CorruptStateError("SF614", f"the tokenizer's file `{name}` is no sentencepiece model") from error


def build(config: SentencePieceConfig) -> Tokenizer:
    """Build the tokenizer."""
    return SentencePieceTokenizer(config)
