"""Any optimizer goes on from its saved state as if it had never stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import pytest
import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import SGD, Optimizer, RMSprop

from specforge.foundation.canonical import canonical_json
from specforge.foundation.errors import CorruptStateError, StepFailedError
from specforge.optimizers.adafactor.config import AdafactorConfig
from specforge.optimizers.adafactor.optimizer import build as build_adafactor
from specforge.optimizers.adam.config import AdamConfig
from specforge.optimizers.adam.optimizer import build as build_adam
from specforge.optimizers.adamw.config import AdamWConfig
from specforge.optimizers.adamw.optimizer import build as build_adamw
from specforge.optimizers.nag.config import NagConfig
from specforge.optimizers.nag.optimizer import build as build_nag
from specforge.optimizers.sgd.config import SgdConfig
from specforge.optimizers.sgd.optimizer import build as build_sgd
from specforge.training.optimizer_state import load_optimizer_state, optimizer_state

_Named: TypeAlias = list[tuple[str, Parameter]]
_Build: TypeAlias = Callable[[_Named], Optimizer]


def _unnamed(named: Iterable[tuple[str, Parameter]]) -> list[Parameter]:
    return [parameter for _, parameter in reversed(list(named))]


_BUILDS: dict[str, _Build] = {
    "adam": lambda named: build_adam(AdamConfig(lr=0.1, weight_decay=0.01), named),
    "adamw": lambda named: build_adamw(AdamWConfig(lr=0.1, amsgrad=True), named),
    "adamw, a loop": lambda named: build_adamw(AdamWConfig(lr=0.1, kernel="loop"), named),
    "sgd": lambda named: build_sgd(SgdConfig(lr=0.1), named),
    "sgd with momentum": lambda named: build_sgd(SgdConfig(lr=0.1, momentum=0.9, nesterov=True), named),
    "nag": lambda named: build_nag(NagConfig(lr=0.1, momentum=0.9), named),
    "adafactor": lambda named: build_adafactor(AdafactorConfig(lr=0.1, scale_parameter=True), named),
    "adafactor with a mean": lambda named: build_adafactor(AdafactorConfig(lr=0.1, beta1=0.9), named),
    # A stranger's may take the parameters without their names, and in another order.
    "a stranger's": lambda named: SGD(_unnamed(named), lr=0.1, momentum=0.9),
    "rmsprop": lambda named: RMSprop(_unnamed(named), lr=0.1, momentum=0.5, centered=True),
}


def _fresh(build: _Build) -> tuple[_Named, Optimizer]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    named = sorted(model.named_parameters())
    return named, build(named)


def _train(named: _Named, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        optimizer.zero_grad()
        torch.stack([(parameter**3).sum() for _, parameter in named]).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", _BUILDS)
def test_a_restored_optimizer_goes_on_bit_by_bit(name: str) -> None:
    named, optimizer = _fresh(_BUILDS[name])
    _train(named, optimizer, range(3))
    weights = {key: parameter.detach().clone() for key, parameter in named}
    tensors, rest = optimizer_state(optimizer, named)
    copies = {key: tensor.clone() for key, tensor in tensors.items()}
    rest_data = canonical_json(rest)
    _train(named, optimizer, range(3, 6))

    restored, other = _fresh(_BUILDS[name])
    for key, parameter in restored:
        parameter.data.copy_(weights[key])
    load_optimizer_state(other, restored, copies, rest, Path("optimizer"))
    _train(restored, other, range(3, 6))

    assert all(torch.equal(dict(named)[key], parameter) for key, parameter in restored)
    assert rest_data == canonical_json(rest), "saving must not hold on to what goes on changing"


def test_entries_are_named_for_their_parameters() -> None:
    named, optimizer = _fresh(_BUILDS["adam"])
    _train(named, optimizer, range(1))

    tensors, rest = optimizer_state(optimizer, named)

    assert {"0.weight/exp_avg", "0.weight/exp_avg_sq", "0.weight/step"} <= tensors.keys()
    assert 12 == len(tensors)
    groups = rest["groups"]
    assert isinstance(groups, list)
    assert isinstance(groups[0], dict)
    assert 0.1 == groups[0]["lr"]
    assert "params" not in groups[0]


def test_tuples_come_back_as_tuples() -> None:
    named, optimizer = _fresh(_BUILDS["adam"])
    _train(named, optimizer, range(1))
    tensors, rest = optimizer_state(optimizer, named)
    restored, other = _fresh(_BUILDS["adam"])

    load_optimizer_state(other, restored, tensors, rest, Path("optimizer"))

    assert (0.9, 0.999) == other.param_groups[0]["betas"]


def test_a_state_of_other_parameters_is_refused() -> None:
    named, optimizer = _fresh(_BUILDS["adam"])
    groups = optimizer_state(optimizer, named)[1]
    stranger: dict[str, Tensor] = {"elsewhere/exp_avg": torch.zeros(1)}

    with pytest.raises(CorruptStateError, match="`elsewhere`, which the model does not have"):
        load_optimizer_state(optimizer, named, stranger, groups, Path("optimizer"))


@pytest.mark.parametrize("rest", [{}, {"numbers": {}, "groups": []}, {"numbers": [], "groups": [{}]}])
def test_what_is_no_optimizer_state_is_refused(rest: dict[str, JsonValue]) -> None:
    named, optimizer = _fresh(_BUILDS["nag"])

    with pytest.raises(CorruptStateError, match="not the state of this optimizer"):
        load_optimizer_state(optimizer, named, {}, rest, Path("optimizer"))


def test_a_state_that_only_pickle_could_save_is_refused() -> None:
    named, optimizer = _fresh(_BUILDS["a stranger's"])
    optimizer.state[named[0][1]]["history"] = {1, 2}

    with pytest.raises(StepFailedError, match=r"the optimizer keeps a set as `0\.bias/history`"):
        optimizer_state(optimizer, named)
