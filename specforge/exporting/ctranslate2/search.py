"""Decoding by CTranslate2 itself: what `generate.engine = "ctranslate2"` puts in the place of model and search.

What is mapped, and how:

- A step's candidates, what ends and when a sentence is done are fairseq's rules in both. With a length penalty of 0
  CTranslate2 stops earlier, so it is always asked with 1; its sums are found back and ranked as the spec says.
- It takes one greatest length for a whole batch, so sentences with the same one are decoded together.
- At the greatest length it ends without the probability of an end, which ours counts.
- Padding has no probability there, and a tiny one here, which is not given to others: scores are higher by that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from specforge.exporting.ctranslate2.format import write_model
from specforge.exporting.exportable import MOST_POSITIONS, Exportable, all_pieces
from specforge.foundation import durable
from specforge.foundation.errors import StepFailedError, WrongInputError
from specforge.models.model import DecodingState
from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.ranking import Ranking
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.scorer import Scorer
from specforge.searches.search import Constraints, Hypothesis, Search, Sources

if TYPE_CHECKING:
    import ctranslate2

CPU_BATCH_TOKENS: Final = 1_024
"""Most source tokens that a worker decodes at once on a CPU."""

AT_ONCE: Final = 16
"""Batches that are handed over together: its workers take them one by one, and none waits for another."""

_LENGTH_PENALTY: Final = 1.0

_NO_STEPS: Final = AssertionError("CTranslate2 searches by itself")


@dataclass(frozen=True, slots=True)
class Workers:
    """What CTranslate2 may use.

    Args:
        device: `cpu` or `cuda`.
        threads: workers of one thread each, which two cores do most with; one worker on each GPU.
        compute_type: `float32` or `int8_float32`.
        gpus: how many, where the device is `cuda`.
    """

    device: str = "cpu"
    threads: int = 1
    compute_type: str = "float32"
    gpus: int = 1


def load_translator(trained: Exportable, scratch: Path, workers: Workers) -> CTranslate2Scorer:
    """Convert a model and load what was written; nothing of it stays on disk, so that it is never another model's.

    Args:
        trained: an encoder-decoder.
        scratch: a folder to write into for a moment.
        workers: what may be used.

    Raises:
        WrongInputError: SF711, CTranslate2 has no such model; SF681, it is not installed.
    """
    folder = durable.temporary_folder(scratch, "ctranslate2")
    try:
        write_model(trained, folder)
        import ctranslate2

        translator = ctranslate2.Translator(
            str(folder),
            device=workers.device,
            device_index=list(range(workers.gpus)) if workers.device == "cuda" else 0,
            compute_type=workers.compute_type,
            inter_threads=1 if workers.device == "cuda" else workers.threads,
            intra_threads=1,
        )
    finally:
        durable.remove_folder(folder)
    return CTranslate2Scorer(trained, translator)


class CTranslate2Scorer(Scorer):
    """A model in CTranslate2's hands: it answers with whole outputs, so only `CTranslate2Search` can ask it.

    Args:
        trained: the model.
        translator: what it became.
    """

    def __init__(self, trained: Exportable, translator: ctranslate2.Translator) -> None:
        self._positions = {
            role: trained.model.max_positions().get(role, MOST_POSITIONS) for role in ("source", "target")
        }
        self._translator = translator
        self._source = all_pieces(trained.vocabularies["source"])
        self._target = {piece: index for index, piece in enumerate(all_pieces(trained.vocabularies["target"]))}

    def models(self) -> Sequence[nn.Module]:
        """Return nothing: no module computes."""
        return ()

    def max_positions(self) -> Mapping[str, int]:
        """Return the positions that were written."""
        return self._positions

    def start(self, source: Tensor, lengths: Tensor, beam: int, *, attention: bool = False) -> DecodingState:
        """Raise: there are no steps."""
        del source, lengths, beam, attention
        raise _NO_STEPS

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Raise: there are no steps."""
        del tokens, state
        raise _NO_STEPS

    def begin(self, sources: Sequence[Sequence[int]], options: Mapping[str, object]) -> list[Any]:
        """Hand sentences over, and return what will hold their results.

        Args:
            sources: symbols of each, without the end.
            options: of `ctranslate2.Translator.translate_batch`.
        """
        pieces = [[self._source[symbol] for symbol in source] for source in sources]
        begun: list[Any] = self._translator.translate_batch(pieces, asynchronous=True, **options)
        return begun

    def indices(self, pieces: Iterable[str]) -> tuple[int, ...]:
        """Return the symbols of an output."""
        return tuple(self._target[piece] for piece in pieces)


class CTranslate2Search(Search):
    """Beam or greedy search as CTranslate2 does it.

    Args:
        config: the search; what CTranslate2 cannot do is at its default (`specforge.language.engine_checks`).
        batch_tokens: source tokens that a worker decodes at once.
        nbest: how many hypotheses of a sentence are wanted; the others are not fetched where CTranslate2 ranks as we do.
    """

    def __init__(self, config: BeamConfig | GreedyConfig, batch_tokens: int, nbest: int) -> None:
        self._config = config
        beam = config if isinstance(config, BeamConfig) else BeamConfig(beam=1)
        self._ranking = Ranking(beam)
        self._beam = beam.beam
        alike = beam.normalize and beam.lenpen_form == "power" and beam.lenpen == _LENGTH_PENALTY
        self._hypotheses_fetched = min(nbest, self._beam) if alike else self._beam
        self._batch_tokens = batch_tokens
        self._shares: dict[int, float] = {}

    def search(
        self, scorer: Scorer, sources: Sources, symbols: Symbols, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Decode sentences; see the base class. Hypotheses have no scores of single symbols.

        Raises:
            WrongInputError: SF686, constraints.
            StepFailedError: SF633, there is no output.
        """
        del symbols, attention  # the spec may not ask for attention: `specforge.language.engine_checks`
        assert isinstance(scorer, CTranslate2Scorer), "no other scorer has a CTranslate2 to ask"
        if any(each != Constraints() for each in sources.constraints):
            raise WrongInputError(
                "SF686",
                "`ctranslate2` promises neither how an output begins nor what it holds",
                help='write `generate.engine = "native"`',
            )
        rows = [
            row[: length - 1] for row, length in zip(sources.tokens.tolist(), sources.lengths.tolist(), strict=True)
        ]
        groups: dict[int, list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            groups[self._config.longest(len(row) + 1, scorer.max_positions()["target"])].append(number)
        begun = [
            (numbers, scorer.begin([rows[number] for number in numbers], self._options(longest)))
            for longest, numbers in groups.items()
        ]
        found: list[list[Hypothesis]] = [[] for _ in rows]
        for numbers, results in begun:
            for number, result in zip(numbers, results, strict=True):
                found[number] = self._hypotheses(scorer, result.result())
        return found

    def _options(self, longest: int) -> dict[str, object]:
        return {
            "max_batch_size": self._batch_tokens,
            "batch_type": "tokens",
            "beam_size": self._beam,
            "num_hypotheses": self._hypotheses_fetched,
            "length_penalty": _LENGTH_PENALTY,
            "max_input_length": 0,
            "max_decoding_length": longest,
            "min_decoding_length": self._config.shortest(1),
            "return_scores": True,
        }

    def _hypotheses(self, scorer: CTranslate2Scorer, result: Any) -> list[Hypothesis]:
        ranked = [
            self._hypothesis(scorer.indices(pieces), score)
            for pieces, score in zip(result.hypotheses, result.scores, strict=True)
        ]
        if not ranked:
            raise StepFailedError("SF633", "CTranslate2 gave no output", notes=("its scores may not be numbers",))
        return sorted(ranked, key=lambda hypothesis: -hypothesis.score)

    def _hypothesis(self, tokens: tuple[int, ...], score: float) -> Hypothesis:
        length = len(tokens) + 1
        return Hypothesis(tokens, score * length**_LENGTH_PENALTY * self._share(length), ())

    def _share(self, length: int) -> float:
        """Return what a sum is multiplied by to be the score of an output of some length, end counted."""
        if length not in self._shares:
            one = torch.ones(1, dtype=torch.float64)
            self._shares[length] = float(self._ranking.scores(one, length)[0])
        return self._shares[length]
