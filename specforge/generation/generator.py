"""The generator: lines of text in, their translations out, in their order, whatever they were decoded beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from specforge.data.vocabulary import Vocabulary
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.terminal import printable
from specforge.generation.batches import decoding_batches
from specforge.generation.cutting import CutLine, Cutter
from specforge.generation.lines import LINE_ENDS, Line
from specforge.generation.rendering import Renderer
from specforge.generation.sharing import DecodingBatch, Elsewhere, SharedDecoder
from specforge.generation.translation import Output, Translation, Wanted, joined
from specforge.searches.scorer import Scorer
from specforge.searches.search import Constraints, Hypothesis, Search, Sources
from specforge.tokenizers.tokenizer import Tokenizer

_NOTHING: Final = Hypothesis(tokens=(), score=0.0, token_scores=())
_FREE: Final = Constraints()

Done: TypeAlias = Callable[[int], None]
"""Told how many sentences are done, after each batch."""

Where: TypeAlias = Callable[[int], Place]
"""From the number of a sentence, from 0, to where the user finds it."""


def _in_the_input(number: int) -> Place:
    return Place("input", number + 1)


class Generator:
    """Decodes with a trained model.

    Args:
        scorer: of models on `device`; their modes are put back afterwards.
        search: how to find outputs.
        vocabularies: of the roles `source` and `target`.
        tokenizer: trained.
        batch_tokens: source tokens decoded at once, padding counted; changes no result.
        device: where to compute.
        wanted: what translations hold, and what is done about lines that are too long.
        processes: how many decode; several only on a CPU, where this one has a single thread, or `elsewhere`.
        shared: whether batches are made for several to share; as `decoding_batches`.
        elsewhere: what makes the decoders of the processes, where each has a device of its own: this one decodes nothing.
    """

    def __init__(
        self,
        scorer: Scorer,
        search: Search,
        vocabularies: Mapping[str, Vocabulary],
        tokenizer: Tokenizer,
        batch_tokens: int,
        device: torch.device,
        wanted: Wanted | None = None,
        processes: int = 1,
        *,
        shared: bool = False,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._scorer = scorer
        self._search = search
        self._source = vocabularies["source"]
        self._target = vocabularies["target"]
        self._tokenizer = tokenizer
        self._batch_tokens = batch_tokens
        self._in_shares = shared
        self._device = device
        self._wanted = wanted or Wanted()
        self._shared = SharedDecoder(self.decode, processes, elsewhere)
        self._renderer = Renderer(self._target, tokenizer, self._wanted)
        self._cutter = Cutter(tokenizer, scorer.max_positions().get("source"), self._wanted.too_long)

    def generate(
        self,
        sources: Sequence[NDArray[np.integer]],
        done: Done | None = None,
        where: Where = _in_the_input,
        constraints: Sequence[Constraints] = (),
    ) -> list[list[Hypothesis]]:
        """Decode token indices.

        Args:
            sources: [length] of each sentence, EOS at the end. One that is nothing but EOS is not decoded.
            done: called after each batch.
            where: names a sentence in an error.
            constraints: of each sentence; empty where there are none.

        Returns:
            The hypotheses of each sentence, best first, at least one; an empty one for an empty sentence.

        Raises:
            WrongInputError: SF506, a sentence is longer than the model's positions; SF686, the search cannot keep
                constraints.
        """
        lengths = [len(source) for source in sources]
        self._check_lengths(lengths, where)
        found = [[_NOTHING] for _ in sources]
        filled = [number for number, length in enumerate(lengths) if length > 1]
        finished = len(sources) - len(filled)
        with _evaluating(self._scorer.models()):
            batches = self._batches(filled, sources, constraints)
            decoded = self._shared.decoded([batch for _, batch in batches])
            for numbers, batch in batches:
                try:
                    hypotheses = next(decoded)
                except WrongInputError as error:
                    asked = _asking(numbers, batch.constraints)
                    if error.place is not None or not asked:
                        raise
                    raise _at(where(min(asked)), error) from error
                for number, best_first in zip(numbers, hypotheses, strict=True):
                    found[number] = best_first
                finished += len(numbers)
                if done is not None:
                    done(finished)
        return found

    def translate(
        self, lines: Sequence[str], done: Done | None = None, where: Where = _in_the_input
    ) -> list[Translation]:
        """Translate lines of text; as `translate_lines`."""
        return self.translate_lines([Line(line) for line in lines], done, where)

    def translate_lines(
        self, lines: Sequence[Line], done: Done | None = None, where: Where = _in_the_input
    ) -> list[Translation]:
        """Translate lines; a blank one becomes an empty one, whatever is asked of it.

        Args:
            lines: the lines.
            done: called after each batch; where lines are split, it counts their parts.
            where: names a line in an error.

        Raises:
            WrongInputError: SF506, a line is longer than the model's positions; SF721, alignment or `replace_unk` is wanted
                and the model has no attention; SF725, a prefix or phrase that the model cannot write; SF686, the search
                cannot keep constraints.
        """
        cuts = self._cutter.cut([line.text for line in lines])
        owners = [number for number, cut in enumerate(cuts) for _ in cut.parts]
        sources = [self._indices(part) for cut in cuts for part in cut.parts]
        constraints = self._all_constraints(lines, cuts, where)
        found = iter(self.generate(sources, done, lambda part: where(owners[part]), constraints))
        return [
            self._translation(line, cut, [next(found) for _ in cut.parts])
            for line, cut in zip(lines, cuts, strict=True)
        ]

    def target_pieces(self, lines: Sequence[str]) -> list[list[str]]:
        """Return lines of the target language cut as outputs are."""
        return self._tokenizer.spelled("target", lines)

    def text(self, hypothesis: Hypothesis) -> str:
        """Return the line of text that a hypothesis stands for; a line end in it becomes a space."""
        return self._renderer.text(self._target.pieces(hypothesis.tokens))

    def _indices(self, pieces: Sequence[str]) -> NDArray[np.int64]:
        return np.array([*self._source.encode(pieces), self._source.symbols.eos], dtype=np.int64)

    def _translation(self, line: Line, cut: CutLine, found: Sequence[Sequence[Hypothesis]]) -> Translation:
        """Return what became of a line.

        Args:
            line: the line.
            cut: it in parts.
            found: the hypotheses of each part.
        """
        if found:
            rendered = [
                [self._renderer.output(hypothesis, part) for hypothesis in best_first[: self._wanted.nbest]]
                for best_first, part in zip(found, cut.parts, strict=True)
            ]
            outputs = tuple(self._of_parts(ranked, cut) for ranked in zip(*rendered, strict=False))
        else:
            outputs = (Output(line.text.translate(LINE_ENDS), tuple(cut.pieces)),)
        unknown = self._source.encode(cut.pieces).count(self._source.symbols.unk)
        return Translation(line, outputs, tuple(cut.pieces), unknown, cut.too_long)

    def _of_parts(self, ranked: Sequence[Output], cut: CutLine) -> Output:
        """Return the outputs of one rank, one for each part, as one."""
        if len(ranked) == 1:
            return ranked[0]
        sources = [self._renderer.source_units(part) for part in cut.parts]
        return joined(ranked, sources, [self._renderer.target_units(output) for output in ranked])

    def _all_constraints(self, lines: Sequence[Line], cuts: Sequence[CutLine], where: Where) -> list[Constraints]:
        """Return the constraints of each part of each line; none at all where nothing is asked of any line."""
        if not any(line.prefix or line.constraints for line in lines):
            return []
        found: list[Constraints] = []
        for number, (line, cut) in enumerate(zip(lines, cuts, strict=True)):
            if line.constraints and len(cut.parts) > 1:
                raise WrongInputError(
                    "SF725",
                    "a line is too long for the model, and nothing says which of its parts a phrase belongs to",
                    place=where(number),
                    help="split the line, each part with its phrases",
                )
            prefix = self._demanded(line.prefix, where(number))
            phrases = tuple(self._demanded(phrase, where(number)) for phrase in line.constraints)
            found += [Constraints(prefix if part == 0 else (), phrases) for part in range(len(cut.parts))]
        return found

    def _demanded(self, text: str, place: Place) -> tuple[int, ...]:
        """Return the target symbols of a text that an output is to hold."""
        pieces = self._tokenizer.spelled("target", [text])[0]
        indices = self._target.encode(pieces)
        if self._target.symbols.unk in indices:
            unknown = printable(pieces[indices.index(self._target.symbols.unk)])
            raise WrongInputError(
                "SF725", f"an output cannot hold `{printable(text)}`: the model cannot write `{unknown}`", place=place
            )
        return tuple(indices)

    def _batches(
        self, filled: Sequence[int], sources: Sequence[NDArray[np.integer]], constraints: Sequence[Constraints]
    ) -> list[tuple[list[int], DecodingBatch]]:
        """Return what is decoded together, each with the numbers of its sentences."""
        found: list[tuple[list[int], DecodingBatch]] = []
        lengths = [len(sources[number]) for number in filled]
        for batch in decoding_batches(lengths, self._batch_tokens, shared=self._in_shares):
            numbers = [filled[place] for place in batch]
            bound = [constraints[number] for number in numbers] if constraints else ()
            found.append((numbers, DecodingBatch([sources[number] for number in numbers], bound)))
        return found

    def decode(self, batch: DecodingBatch) -> list[list[Hypothesis]]:
        """Return the hypotheses of each sentence of a batch, best first, decoded in this process.

        The caller sees to it that models evaluate, and that nothing remembers gradients.

        Raises:
            WrongInputError: SF686, the search cannot keep constraints.
            StepFailedError: SF633, the model's scores are not numbers.
        """
        tokens, lengths = self._padded(batch.sources)
        return self._search.search(
            self._scorer,
            Sources(tokens, lengths, batch.constraints),
            self._target.symbols,
            attention=self._renderer.needs_attention,
        )

    def _check_lengths(self, lengths: Sequence[int], where: Where) -> None:
        longest = self._scorer.max_positions().get("source")
        if longest is None:
            return
        too_long = [number for number, length in enumerate(lengths) if length > longest]
        if not too_long:
            return
        first, *others = too_long
        raise WrongInputError(
            "SF506",
            f"a line of {lengths[first]:,} tokens, the end counted, is more than the model's {longest:,} positions",
            place=where(first),
            notes=(f"{len(too_long):,} lines are too long, the next at {where(others[0])}",) if others else (),
            help='`generate.too_long`, or `translate --too-long`, says what else to do: "keep", "truncate" or "split"',
        )

    def _padded(self, sources: Sequence[NDArray[np.integer]]) -> tuple[Tensor, Tensor]:
        """Return sources as [sentences, length], padded on the right, and their lengths [sentences]."""
        lengths = [len(source) for source in sources]
        padded = np.full((len(sources), max(lengths)), self._source.symbols.pad, dtype=np.int64)
        for row, source in zip(padded, sources, strict=True):
            row[: len(source)] = source
        return torch.from_numpy(padded).to(self._device), torch.tensor(lengths, device=self._device)


def _asking(numbers: Sequence[int], constraints: Sequence[Constraints]) -> list[int]:
    """Return the sentences of which something is asked: phrases, where any are, for more searches can keep a prefix."""
    bound = [(number, each) for number, each in zip(numbers, constraints, strict=False) if each != _FREE]
    return [number for number, each in bound if each.phrases] or [number for number, _ in bound]


def _at(place: Place, error: WrongInputError) -> WrongInputError:
    """Return what a search says of a batch as said of one of its sentences."""
    return WrongInputError(error.code, error.message, place=place, notes=error.notes, help=error.help)


@contextmanager
def _evaluating(models: Sequence[nn.Module]) -> Iterator[None]:
    """Put models into evaluation mode, without gradients, and leave them as they were.

    Not inference mode: validation decodes between two updates, and what models cache meanwhile must serve both. A
    process that never trains is free to call us inside of it.
    """
    training = [model for model in models if model.training]  # to ask is quicker than to tell all layers again
    for model in training:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for model in training:
            model.train()
