"""What a search did, step by step, kept as it was done; outputs are read off it once, at the end.

Rows come, go and change places at every step. Instead of carrying all that each row has said, a step keeps which row each
row continues and with what: nothing of a long output is copied, and no step waits for what only the end needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specforge.searches.search import Hypothesis


@dataclass(frozen=True, slots=True)
class Endings:
    """Outputs that ended.

    Args:
        owners: [endings] who each belongs to, a number from 0.
        steps: [endings] the step at which each ended: so many symbols stand before its end.
        rows: [endings] the row that ended, in the count of that step.
        end_scores: [endings] log-probability of the end.
        scores: [endings] what outputs are ranked by.
    """

    owners: NDArray[np.int64]
    steps: NDArray[np.int64]
    rows: NDArray[np.int64]
    end_scores: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        """Return their number."""
        return len(self.steps)

    def best(self, most: int) -> Endings:
        """Return the best of each owner, at most `most`: by owner, best first, among equals in the order of time."""
        order = np.lexsort((np.arange(len(self)), -self.scores, self.owners))
        owners = self.owners[order]
        ranks = np.arange(len(order)) - np.searchsorted(owners, owners)
        return self._picked(order[ranks < most])

    def given_to(self, owners: NDArray[np.int64]) -> Endings:
        """Return the same with other owners."""
        return Endings(owners, self.steps, self.rows, self.end_scores, self.scores)

    def _picked(self, order: NDArray[np.integer]) -> Endings:
        return Endings(*(each[order] for each in (self.owners, self.steps, self.rows, self.end_scores, self.scores)))


class EndingsLog:
    """Collects outputs as they end, on the device where they do."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def add(self, step: int, owners: Tensor, rows: Tensor, end_scores: Tensor, scores: Tensor) -> None:
        """Take in what ended at a step; see `Endings`, each [ended] here."""
        self._steps.append(step)
        self._found.append((owners, rows, end_scores.double(), scores.double()))

    def endings(self) -> Endings:
        """Return all, in the order of time."""
        if not self._found:
            nothing = np.zeros(0, np.int64)
            return Endings(nothing, nothing, nothing, np.zeros(0), np.zeros(0))
        steps = np.repeat(np.array(self._steps, np.int64), [len(owners) for owners, *_ in self._found])
        owners, rows, end_scores, scores = (torch.cat(each).cpu().numpy() for each in zip(*self._found, strict=True))
        return Endings(owners, steps, rows, end_scores, scores)


class Lattice:
    """Remembers the steps of a search."""

    def __init__(self) -> None:
        self._parents: list[Tensor] = []
        self._tokens: list[Tensor] = []
        self._token_scores: list[Tensor] = []
        self._attention: list[Tensor] = []

    def looked(self, attention: Tensor) -> None:
        """Keep what a step looked at; for all steps or for none.

        Args:
            attention: [rows, source length] of the rows before the step's symbols are chosen.
        """
        self._attention.append(attention)

    def extend(self, parents: Tensor, tokens: Tensor, token_scores: Tensor) -> None:
        """Keep the symbols that a step chose.

        Args:
            parents: [rows after the step] the row before it that each continues.
            tokens: [rows after the step].
            token_scores: [rows after the step] log-probability of each symbol.
        """
        self._parents.append(parents)
        self._tokens.append(tokens)
        self._token_scores.append(token_scores)

    def hypotheses(self, endings: Endings, source_lengths: Sequence[int]) -> list[list[Hypothesis]]:
        """Return the outputs of each sentence.

        Args:
            endings: outputs, owned by sentences; those of a sentence in the order wanted.
            source_lengths: of every sentence, end of sentence counted.
        """
        found: list[list[Hypothesis]] = [[] for _ in source_lengths]
        longest = int(endings.steps.max(initial=0))
        parents, tokens, token_scores = (
            _on_host(steps[:longest]) for steps in (self._parents, self._tokens, self._token_scores)
        )
        places = np.zeros((len(endings), longest + 1), np.int64)  # the row of each output at each step
        said = np.zeros((len(endings), longest), np.int64)
        scores = np.zeros((len(endings), longest + 1))
        every = np.arange(len(endings))
        places[every, endings.steps] = endings.rows
        scores[every, endings.steps] = endings.end_scores
        for step in reversed(range(longest)):
            going = endings.steps > step
            rows = places[going, step + 1]
            said[going, step] = tokens[step][rows]
            scores[going, step] = token_scores[step][rows]
            places[going, step] = parents[step][rows]
        attention = [step.float().cpu().numpy() for step in self._attention[: longest + 1]]
        columns = (endings.owners, endings.steps, endings.scores, places, said, scores)
        for owner, end, score, rows_of_it, symbols, each in zip(*(column.tolist() for column in columns), strict=True):
            length = source_lengths[owner]
            looked = (
                [attention[step][row, :length] for step, row in enumerate(rows_of_it[: end + 1])] if attention else []
            )
            found[owner].append(
                Hypothesis(tuple(symbols[:end]), score, tuple(each[: end + 1]), np.stack(looked) if looked else None)
            )
        return found


def _on_host(steps: list[Tensor]) -> list[NDArray[np.generic]]:
    """Return one array for each step, fetched from the device at once."""
    if not steps:
        return []
    together = torch.cat(steps).cpu().numpy()
    return list(np.split(together, np.cumsum([len(step) for step in steps])[:-1]))
