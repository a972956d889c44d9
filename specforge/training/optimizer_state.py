"""The state of any optimizer as named tensors and JSON, so that no checkpoint needs pickle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from specforge.foundation.errors import CorruptStateError, Place, StepFailedError

_NOT_SETTINGS: Final = frozenset({"params", "param_names"})


def optimizer_state(
    optimizer: Optimizer, parameters: Iterable[tuple[str, Parameter]]
) -> tuple[dict[str, Tensor], dict[str, JsonValue]]:
    """Take the state of an optimizer.

    Args:
        optimizer: any of PyTorch's make.
        parameters: (name, parameter) pairs that it was built with.

    Returns:
        Its tensors as `parameter/entry`, and the rest: `numbers` by the same names and `groups`, the settings of each
        parameter group.

    Raises:
        StepFailedError: SF635, it keeps something that is neither a tensor nor JSON.
    """
    names = {id(parameter): name for name, parameter in parameters}
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, JsonValue] = {}
    for parameter, entries in optimizer.state.items():
        for entry, value in entries.items():
            name = f"{names[id(parameter)]}/{entry}"
            if isinstance(value, Tensor):
                tensors[name] = value
            else:
                numbers[name] = _json(value, name)
    groups: list[JsonValue] = [
        {key: _json(value, key) for key, value in group.items() if key not in _NOT_SETTINGS}
        for group in optimizer.param_groups
    ]
    return tensors, {"numbers": numbers, "groups": groups}


def load_optimizer_state(
    optimizer: Optimizer,
    parameters: Iterable[tuple[str, Parameter]],
    tensors: Mapping[str, Tensor],
    rest: Mapping[str, JsonValue],
    source: Path,
) -> None:
    """Give a fresh optimizer the state that `optimizer_state` took from one of the same make.

    Args:
        optimizer: just built.
        parameters: (name, parameter) pairs that it was built with.
        tensors: as `optimizer_state` returned them.
        rest: the same.
        source: the file they are from, for the message.

    Raises:
        CorruptStateError: SF614, the state is that of another optimizer or of other parameters.
    """
    numbers, groups = rest.get("numbers"), rest.get("groups")
    fresh = optimizer.state_dict()
    if not isinstance(numbers, dict) or not isinstance(groups, list) or len(groups) != len(fresh["param_groups"]):
        raise CorruptStateError("SF614", "not the state of this optimizer", place=Place(str(source)))
    names = {id(parameter): name for name, parameter in parameters}
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    index = {name: number for number, name in enumerate(order)}
    state: dict[int, dict[str, Tensor | JsonValue]] = {}
    for name, value in (*tensors.items(), *numbers.items()):
        parameter, _, entry = name.rpartition("/")
        if parameter not in index:
            message = f"the optimizer's state holds `{parameter}`, which the model does not have"
            raise CorruptStateError("SF614", message, place=Place(str(source)))
        state.setdefault(index[parameter], {})[entry] = value
    for group, saved in zip(fresh["param_groups"], groups, strict=True):
        assert isinstance(saved, dict)
        group |= {key: _like(value, group.get(key)) for key, value in saved.items()}
    optimizer.load_state_dict({"state": state, "param_groups": fresh["param_groups"]})


def _json(value: object, name: str) -> JsonValue:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_json(item, name) for item in value]
    message = f"the optimizer keeps a {type(value).__name__} as `{name}`; only tensors and JSON values can be saved"
    raise StepFailedError("SF635", message)


def _like(value: JsonValue, fresh: object) -> object:
    """Return a value as the optimizer had it: JSON knows no tuples."""
    return tuple(value) if isinstance(value, list) and isinstance(fresh, tuple) else value
