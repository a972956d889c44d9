"""What a model promises (`specforge.models.model`), tried on a few items."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from specforge.data.batch import Batch, SequencePairBatch
from specforge.foundation.errors import StepFailedError
from specforge.language.spec import Registered
from specforge.models.model import EncoderDecoder, Model
from specforge.searches.scorer import log_probabilities
from specforge.steps.trial.blame import blame, breach, title

_Hook: TypeAlias = Callable[[nn.Module, object, object], None]


def log_probs(model: Model, batch: Batch, types: int, registered: Registered) -> Tensor:
    """Return the model's log-probabilities of all that can be predicted, for every target: [..., types].

    Args:
        model: in evaluation mode.
        batch: on the model's device; its targets are [batch, target length], or [batch] where each item has one.
        types: how many different targets there are.
        registered: who made the model.

    Raises:
        StepFailedError: SF142, the model raised; SF143, it returned something else; SF633, a value is not finite.
    """
    with blame(registered, "in `features`"):
        features: object = model.features(batch)
    places = batch.targets.shape
    sizes, names = ", ".join(map(str, places)), ("batch", "target length")[: len(places)]
    if not isinstance(features, Tensor) or features.dim() != len(places) + 1 or features.shape[:-1] != places:
        wanted = f"[{sizes}, dim] is expected: {', '.join(names)}, width"
        raise breach(registered, f"returns {_described(features)} from `features`", wanted)
    with blame(registered, "in `project`"):
        logits: object = model.project(features)
    if not isinstance(logits, Tensor) or logits.shape != (*places, types):
        wanted = f"[{sizes}, {types}] is expected: {', '.join(names)}, types of the target vocabulary"
        raise breach(registered, f"returns {_described(logits)} from `project`", wanted)
    if not logits[batch.counted].isfinite().all():
        raise _not_finite(model, batch, registered)
    _check_output_layer(model, features, logits, registered)
    return F.log_softmax(logits.float(), dim=-1)


def decoding_difference(
    model: EncoderDecoder, batch: SequencePairBatch, expected: Tensor, registered: Registered
) -> float:
    """Return how far decoding step by step is from training, as the largest difference of a log-probability.

    Args:
        model: in evaluation mode.
        batch: on the model's device; the decoder is fed its targets.
        expected: [batch, target length, types], what `log_probs` returns for it.
        registered: who made the model.

    Raises:
        StepFailedError: SF142, the model raised; SF143, it returned something else.
    """
    rows, length, types = expected.shape
    with blame(registered, "in `start`"):
        state = model.start(batch.source, batch.source_lengths, beam=1)
    steps = []
    for position in range(length):
        with blame(registered, "in `step`"):
            logits: object = model.step(batch.target_in[:, position], state)
        if not isinstance(logits, Tensor) or logits.shape != (rows, types):
            wanted = f"[{rows}, {types}] is expected: a row for each prefix, types of the target vocabulary"
            raise breach(registered, f"returns {_described(logits)} from `step`", wanted)
        with torch.no_grad(), blame(registered, "in `step`, whose logits must be a tensor that nobody else needs"):
            steps.append(log_probabilities(logits))
    return _largest(torch.stack(steps, dim=1)[batch.counted], expected[batch.counted])


def padding_difference(together: Tensor, alone: list[Tensor]) -> float:
    """Return how far items in a batch are from the same items alone, as the largest difference of a log-probability.

    Args:
        together: [batch, target length, types], or [batch, types].
        alone: for each item [1, its length, types], or [1, types].
    """
    return max(_largest(row[: len(single[0])], single[0]) for row, single in zip(together, alone, strict=True))


def _largest(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max())


def _check_output_layer(model: Model, features: Tensor, logits: Tensor, registered: Registered) -> None:
    """Refuse an output layer that is not what `project` computes: criterions use the one for the other."""
    with blame(registered, "in `output_layer`"):
        layer = model.output_layer()
    if layer is None:
        return
    with blame(registered, "where its output layer is applied to its features"):
        linear = F.linear(features, layer.weight, layer.bias)
    if linear.shape != logits.shape or not torch.allclose(linear, logits, rtol=1e-3, atol=1e-3):
        raise breach(
            registered,
            "has an `output_layer` that is not what `project` computes",
            "training fuses the loss with the layer and decoding projects: they would use different models",
        )


def _not_finite(model: Model, batch: Batch, registered: Registered) -> StepFailedError:
    """Return the error of a model with an output that is no number, naming the innermost module that it begins in."""
    culprits: list[str] = []
    handles = [module.register_forward_hook(_watch(name, culprits)) for name, module in model.named_modules() if name]
    try:
        model.project(model.features(batch))
    finally:
        for handle in handles:
            handle.remove()
    notes = (f"the first output that is not finite is that of its module `{culprits[0]}`",) if culprits else ()
    message = f"{title(registered)} computes values that are not finite, with its first weights"
    return StepFailedError("SF633", message, notes=notes)


def _watch(name: str, culprits: list[str]) -> _Hook:
    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and output.isnan().any():
            culprits.append(name)

    return hook


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    return f"an object of type `{type(value).__name__}`"
