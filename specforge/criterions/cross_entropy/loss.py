"""Cross entropy of the targets of a batch, smoothed or not."""

from __future__ import annotations

import torch

from specforge.criterions.criterion import Criterion, Loss
from specforge.criterions.cross_entropy.config import CrossEntropyConfig
from specforge.data.batch import Batch
from specforge.models.model import Model
from specforge.modules.cross_entropy import cross_entropy, linear_cross_entropy
from specforge.plugin import ModelContext


class CrossEntropy(Criterion):
    """Cross entropy, fused with the projection to what is predicted where that is linear.

    Args:
        label_smoothing: ε; see `specforge.modules.cross_entropy`.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, model: Model, batch: Batch) -> Loss:
        """Return the summed loss of a batch; targets that do not count contribute nothing."""
        # The size is known, so a GPU need not be waited for.
        places = torch.nonzero_static(batch.counted.flatten(), size=batch.target_tokens).squeeze(1)
        features = model.features(batch).flatten(0, -2).index_select(0, places)  # [targets, dim]
        targets = batch.targets.flatten().index_select(0, places)  # [targets]
        layer = model.output_layer()
        if layer is None:
            total, nll = cross_entropy(model.project(features), targets, self.label_smoothing)
        else:
            total, nll = linear_cross_entropy(features, layer.weight, layer.bias, targets, self.label_smoothing)
        return Loss(total, nll, batch.target_tokens)


def build(config: CrossEntropyConfig, context: ModelContext) -> CrossEntropy:
    """Return the criterion."""
    del config, context
    return CrossEntropy()
