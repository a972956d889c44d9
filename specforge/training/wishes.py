"""What any process wishes (a stop, a save): all learn it after the same update, and none waits for its device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist

from specforge.training.parallel.process import Parallel


class Wishes:
    """Exchanges wishes, once in every update.

    Where devices compute beside their processes, the exchange goes over a group of its own between the processors, and its
    answer is taken one update later: by then it is there.

    Args:
        parallel: this process among all; all of them build this at the same time.
        later: whether the answer is taken an update later.
    """

    def __init__(self, parallel: Parallel, *, later: bool) -> None:
        self._parallel = parallel
        self._later = later and parallel.world > 1
        self._group = dist.new_group(backend="gloo") if self._later else None
        self._under_way: tuple[torch.Tensor, dist.Work] | None = None

    def exchange(self, wishes: Sequence[bool]) -> list[bool]:
        """Return for each wish whether any process has it."""
        if self._parallel.world == 1:
            return list(wishes)
        mine = torch.tensor(wishes, dtype=torch.float64)
        if not self._later:
            return [bool(wish > 0) for wish in self._parallel.total(mine).tolist()]
        answer = self._answer() or [False] * len(wishes)
        work = dist.all_reduce(mine, group=self._group, async_op=True)
        assert work is not None
        self._under_way = (mine, work)
        return answer

    def close(self) -> None:
        """End the exchange that is under way."""
        self._answer()

    def _answer(self) -> list[bool] | None:
        if self._under_way is None:
            return None
        (sums, work), self._under_way = self._under_way, None
        work.wait()
        return [bool(wish > 0) for wish in sums.tolist()]
