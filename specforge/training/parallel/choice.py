"""The strategy that `run.strategy` names."""

from __future__ import annotations

from typing import Literal, TypeAlias

from specforge.training.module import TrainingModule
from specforge.training.parallel.ddp import Replicated
from specforge.training.parallel.fsdp import Sharded
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Strategy

StrategyName: TypeAlias = Literal["ddp", "fsdp"]


def chosen_strategy(name: StrategyName, module: TrainingModule, parallel: Parallel) -> Strategy:
    """Return how processes hold a module; one alone has nothing to share, whatever the name.

    Args:
        name: `run.strategy`.
        module: model and criterion, with their first weights, not on their device yet.
        parallel: this process among all; all of them do this at the same time.
    """
    return Sharded(module, parallel) if name == "fsdp" and parallel.world > 1 else Replicated(module, parallel)
