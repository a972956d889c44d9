"""Validation: loss and perplexity of held-out data, and a score of its decoded text where one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from torch import Tensor

from specforge.data.batching import Items, Measure, length_order, micro_batches
from specforge.foundation.errors import StepFailedError
from specforge.tasks.task import Task
from specforge.training.loading import Corpus
from specforge.training.log import in_bits, perplexity
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Strategy
from specforge.training.precision import Precision, autocast


@dataclass(frozen=True, slots=True)
class TextScore:
    """How validation judges decoded text.

    Args:
        name: what the score is called: `bleu`.
        higher_is_better: its direction.
        decode: from the numbers of validation items to a line of text for each, with the model as it is.
        score: from a line for every validation item, in order, to the score.
    """

    name: str
    higher_is_better: bool
    decode: Callable[[Sequence[int]], list[str]]
    score: Callable[[Sequence[str]], float]


class Validator:
    """Validates a model on prepared data.

    Args:
        items: number of items.
        corpus: the items.
        measure: measures them.
        task: makes batches of them.
        max_tokens: `run.max_tokens`.
        precision: of the forward passes.
        parallel: this process among those that share the work.
        text_score: how decoded text is judged; None where only losses are asked for.
    """

    def __init__(
        self,
        items: int,
        corpus: Corpus,
        measure: Measure,
        task: Task,
        max_tokens: int,
        precision: Precision,
        parallel: Parallel,
        text_score: TextScore | None = None,
    ) -> None:
        self._items = items
        self._corpus = corpus
        self._task = task
        self._precision = precision
        self._parallel = parallel
        self._text_score = text_score
        measures = measure(np.arange(items, dtype=np.int64))
        order = length_order(measures)
        self._batches = micro_batches(order, measures.width[order], max_tokens)

    def validate(self, strategy: Strategy, stop: Callable[[], bool]) -> dict[str, float] | None:
        """Return the figures by name, or None when asked to stop before they were known.

        Args:
            strategy: how the processes hold the module, which is left in training mode.
            stop: whether somebody asked this process to stop; looked at between batches.

        Returns:
            `loss` and `nll` in bits per target, `ppl = 2 ** nll`, and the score of decoded text under its name.

        Raises:
            StepFailedError: SF633, a figure is not finite.
        """
        strategy.module.eval()
        try:
            with torch.no_grad():
                figures = self._losses(strategy, stop)
                if figures is not None and self._text_score is not None:
                    with strategy.whole():  # how many steps a search takes is known to nobody else
                        lines = self._decoded(self._text_score, stop)
                    figures = figures | {self._text_score.name: self._text_score.score(lines)} if lines else None
        finally:
            strategy.module.train()
        for name, value in (figures or {}).items():
            if not isfinite(value):
                raise StepFailedError("SF633", f"the {name} of the validation data is {value}")
        return figures

    def _losses(self, strategy: Strategy, stop: Callable[[], bool]) -> dict[str, float] | None:
        sums = torch.zeros(3, dtype=torch.float64, device=self._parallel.device)
        mine, turns = self._parallel.mine(len(self._batches))
        for turn in range(turns):
            if self._parallel.agree(wish=stop()):
                return None
            if turn < len(mine):
                sums += self._batch_sums(strategy, self._batches[mine[turn]])
            elif strategy.together:
                self._batch_sums(strategy, self._batches[-1])
        loss, nll, count = self._parallel.total(sums).tolist()
        return {"loss": in_bits(loss, count), "nll": in_bits(nll, count), "ppl": perplexity(in_bits(nll, count))}

    def _batch_sums(self, strategy: Strategy, items: Items) -> Tensor:
        device = self._parallel.device
        batch = self._task.collate([self._corpus.item(int(item)) for item in items]).to(device)
        with autocast(device, self._precision):
            loss = strategy.validate(batch)
        count = torch.tensor(loss.count, dtype=torch.float64, device=device)
        return torch.stack([loss.total.double(), loss.nll.double(), count])

    def _decoded(self, text_score: TextScore, stop: Callable[[], bool]) -> list[str] | None:
        """Return a line for every item, in order, or None when asked to stop."""
        found: dict[int, str] = {}
        mine, turns = self._parallel.mine(len(self._batches))
        for turn in range(turns):
            if self._parallel.agree(wish=stop()):
                return None
            if turn < len(mine):
                numbers = self._batches[mine[turn]].tolist()
                found |= zip(numbers, text_score.decode(numbers), strict=True)
        pairs = [pair for part in self._parallel.gather([[*pair] for pair in found.items()]) for pair in _pairs(part)]
        return [line for _, line in sorted(pairs)]


def _pairs(part: object) -> list[tuple[int, str]]:
    assert isinstance(part, list)
    return [(number, line) for number, line in part]
