"""How probable given targets are: each symbol from those before it, all symbols of many items at once (forced decoding).

It is what a search reports as `token_scores` of an output, for any text: what was said, not what would have been.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specforge.data.batch import Batch
from specforge.data.batching import micro_batches
from specforge.models.model import Model
from specforge.searches.scorer import log_probabilities
from specforge.tasks.task import ItemSource, Task

_PLACES: Final = 1_024
"""Targets projected to the vocabulary at once: logits are the largest tensors by far."""


class TargetScorer:
    """Scores the targets of items.

    Args:
        task: makes batches of items.
        model: of the task's family, in evaluation mode, on `device`.
        batch_tokens: items x longest side computed at once, padding counted; changes no result beyond rounding.
        device: where to compute.
    """

    def __init__(self, task: Task, model: Model, batch_tokens: int, device: torch.device) -> None:
        self._task = task
        self._model = model
        self._batch_tokens = batch_tokens
        self._device = device

    def token_scores(self, items: ItemSource, done: Callable[[int], None] | None = None) -> list[NDArray[np.float64]]:
        """Return the log-probability of each target symbol of each item, the end of sentence last, in nats.

        Args:
            items: what to score; targets that do not count (`Batch.counted`) get no score.
            done: told how many items are done, after each batch.
        """
        scores = [np.empty(0)] * len(items)
        numbers = np.arange(len(items), dtype=np.int64)
        if not len(items):
            return scores
        widths = self._task.width(items.lengths(numbers))
        finished = 0
        with torch.inference_mode():
            for chosen in micro_batches(numbers, widths, max(self._batch_tokens, int(widths.max()))):
                batch = self._task.collate([items.item(int(number)) for number in chosen]).to(self._device)
                for number, found in zip(chosen.tolist(), self._scored(batch), strict=True):
                    scores[number] = found
                finished += len(chosen)
                if done is not None:
                    done(finished)
        return scores

    def _scored(self, batch: Batch) -> list[NDArray[np.float64]]:
        """Return the log-probabilities of the targets of each item that count."""
        counted = batch.counted
        features = self._model.features(batch)[counted]  # [targets, dim]
        targets = batch.targets[counted]  # [targets]
        parts = zip(features.split(_PLACES), targets.split(_PLACES), strict=True)
        scores = torch.cat([self._log_probs(*part) for part in parts]).double().cpu().numpy()
        per_item = counted.sum(dim=1).cpu().numpy()
        return np.split(scores, np.cumsum(per_item)[:-1])

    def _log_probs(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return [targets] log-probabilities of features [targets, dim]."""
        log_probs = log_probabilities(self._model.project(features))  # [targets, vocabulary]
        return log_probs.gather(1, targets[:, None]).squeeze(1)
