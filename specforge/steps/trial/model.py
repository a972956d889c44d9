"""`test SPEC model`: a model with its first weights on one batch, forward and backward, and what it promises."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, log, sqrt
from statistics import median
from typing import Final

import torch

from specforge.data.batch import Batch, SequencePairBatch
from specforge.execution.questions.training_findings import ModelFindings, ModelPart
from specforge.foundation.errors import StepFailedError
from specforge.language.spec import Registered
from specforge.models.model import EncoderDecoder
from specforge.steps.trial.blame import blame, breach, title
from specforge.steps.trial.contracts import decoding_difference, log_probs, padding_difference
from specforge.steps.trial.memory import PeakMemory
from specforge.steps.trial.workbench import Workbench
from specforge.training.module import TrainingModule
from specforge.training.precision import autocast

_SECONDS: Final = 2.0
_MOST_REPEATS: Final = 10
_LONGEST_TRIED: Final = 48  # tokens: the longest item on which contracts are tried, a step of decoding for each

# Log-probabilities of the same thing computed in two ways; kernels of a GPU may compute in a narrower type.
_TOLERANCE: Final[Mapping[str, float]] = {"cpu": 1e-3, "cuda": 5e-2}

_HIGH_START: Final = 2.0
_LOW_START: Final = 0.75
"""First losses outside of these multiples of a uniform guess are odd; small shared tables begin at 1.3."""


def try_model(bench: Workbench, warnings: list[str]) -> ModelFindings:
    """Try the model.

    Args:
        bench: builds it.
        warnings: takes what is odd.

    Raises:
        StepFailedError: SF142, the model raised; SF143, it does not keep its contract; SF633, a value is not finite.
        WrongInputError: as `Workbench.plan`.
    """
    registered = bench.part("model")
    _ = bench.prepared  # a sample takes memory, which is not the model's
    with PeakMemory(bench.device) as memory:
        module = bench.module()
        batch = bench.batch(module.model)
        differences = _check_contract(bench, module, registered)
        passes = _timed_passes(bench, module, batch, memory, registered)
    types = bench.types
    parts = list(_parts(module))
    idle = [name for name, parameter in module.trainable() if parameter.grad is None or not parameter.grad.any()]
    found = ModelFindings(
        batch=bench.batch_figures(batch),
        parts=parts,
        idle=[name.removeprefix("model.") for name in idle],
        loss=passes.loss,
        nll=passes.nll,
        uniform=log(types),
        forward_ms=1_000 * median(passes.forward),
        backward_ms=1_000 * median(passes.backward),
        repeats=len(passes.forward),
        target_tokens_per_second=batch.target_tokens / (median(passes.forward) + median(passes.backward)),
        memory=memory.growth,
        decoding_difference=differences[0],
        padding_difference=differences[1],
    )
    warnings += _oddities(found)
    return found


def _oddities(found: ModelFindings) -> Iterator[str]:
    if found.idle:
        more = f" and {len(found.idle) - 3:,} more" if len(found.idle) > 3 else ""  # noqa: PLR2004
        names = ", ".join(f"`{name}`" for name in found.idle[:3])
        yield f"the loss gives no gradient to {names}{more}: they are never trained"
    if found.nll > _HIGH_START * found.uniform:
        yield (
            f"the first loss, {found.nll:.2f}, is far above that of a uniform guess, {found.uniform:.2f}: "
            "the first weights of the output are large"
        )
    elif found.nll < _LOW_START * found.uniform:
        yield (
            f"the first loss, {found.nll:.2f}, is far below that of a uniform guess, {found.uniform:.2f}: "
            "an untrained model cannot know the target"
        )


def _check_contract(bench: Workbench, module: TrainingModule, registered: Registered) -> tuple[float | None, float]:
    """Check what the model promises; return how far decoding is from training, and items alone from items in a batch.

    A model that does not decode has no such distance.
    """
    model = module.model.eval()
    numbers = bench.unequal_items(_LONGEST_TRIED)
    together = bench.collated(numbers)
    types = bench.types
    with torch.no_grad():
        expected = log_probs(model, together, types, registered)
        alone = [
            log_probs(model, bench.collated(numbers[place : place + 1]), types, registered)
            for place in range(len(numbers))
        ]
        padding = padding_difference(expected, alone)
        decoding = None
        if isinstance(model, EncoderDecoder):
            assert isinstance(together, SequencePairBatch), "what tasks of such models make"
            decoding = decoding_difference(model, together, expected, registered)
    module.train()
    tolerance = _TOLERANCE[bench.device.type]
    if not padding <= tolerance:
        what = f"gives an item alone other log-probabilities than in a batch: they differ by up to {padding:.2g}"
        raise breach(registered, what, "padding, or a neighbour, is not masked")
    if decoding is not None and not decoding <= tolerance:
        what = f"decodes otherwise than it is trained: log-probabilities differ by up to {decoding:.2g}"
        notes = (
            "`step` for a prefix must equal the last row of `project(features)`",
            "either the two compute different things, or training sees target symbols that come later",
        )
        raise breach(registered, what, *notes)
    return decoding, padding


@dataclass(frozen=True, slots=True)
class _Passes:
    """Seconds of each pass, and the mean losses of the first."""

    forward: list[float]
    backward: list[float]
    loss: float
    nll: float


def _timed_passes(
    bench: Workbench, module: TrainingModule, batch: Batch, memory: PeakMemory, registered: Registered
) -> _Passes:
    """Run forward and backward a few times; the first time, which is slower, is timed only where it took very long."""
    module.set_num_updates(0)
    forward: list[float] = []
    backward: list[float] = []
    losses = (0.0, 0.0)
    ends = time.monotonic() + _SECONDS
    turn = 0
    while turn == 0 or (turn <= _MOST_REPEATS and time.monotonic() < ends):
        module.zero_grad(set_to_none=True)
        torch.manual_seed(bench.seed)
        began = _now(bench.device)
        with blame(registered, "in its forward pass"), autocast(bench.device, bench.train.precision):
            loss = module(batch)
        middle = _now(bench.device)
        memory.look()
        with blame(registered, "in its backward pass"):
            (loss.total / max(loss.count, 1)).backward()
        ended = _now(bench.device)
        if turn == 0:
            losses = _per_target(loss.total, loss.count), _per_target(loss.nll, loss.count)
            _check_finite(module, losses, registered)
        forward.append(middle - began)
        backward.append(ended - middle)
        turn += 1
    return _Passes(forward[1:] or forward, backward[1:] or backward, *losses)


def _per_target(total: torch.Tensor, count: int) -> float:
    return float(total.detach()) / max(count, 1)


def _check_finite(module: TrainingModule, losses: tuple[float, float], registered: Registered) -> None:
    if not all(map(isfinite, losses)):
        raise StepFailedError("SF633", f"{title(registered)} begins with a loss of {losses[0]}")
    for name, parameter in module.trainable():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            message = f"{title(registered)} gets gradients that are not finite, with its first weights"
            raise StepFailedError("SF633", message, notes=(f"the first is that of `{name.removeprefix('model.')}`",))


def _parts(module: TrainingModule) -> Iterator[ModelPart]:
    """Yield the top-level modules of the model; a criterion with parameters of its own is one as well."""
    parts: dict[str, list[torch.nn.Parameter]] = {}
    for name, parameter in module.named_parameters():  # yields a shared parameter once
        parts.setdefault(name.removeprefix("model.").partition(".")[0], []).append(parameter)
    for name, parameters in parts.items():
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        squares = (float(each.grad.double().square().sum()) for each in trained if each.grad is not None)
        yield ModelPart(
            name=name,
            parameters=sum(each.numel() for each in parameters),
            trainable=sum(each.numel() for each in trained),
            gradient=sqrt(sum(squares)) if trained else None,
        )


def _now(device: torch.device) -> float:
    """Return the time at which the device has done all that it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
