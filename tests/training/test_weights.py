from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from specforge.foundation.errors import CorruptStateError
from specforge.training.weights import (
    all_finite,
    average_weights,
    load_weights,
    module_weights,
    read_weights,
    weight_bytes,
)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, 2)
        self.output = nn.Linear(2, 3)
        self.output.weight = self.embedding.weight
        self.register_buffer("steps", torch.tensor(7))


def test_tied_weights_come_once_under_their_first_name() -> None:
    assert ["embedding.weight", "output.bias", "steps"] == sorted(module_weights(Tied()))


def test_weights_make_the_way_through_bytes_and_stay_tied(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    first, second = Tied(), Tied()
    path.write_bytes(weight_bytes(module_weights(first)))
    parameter = second.embedding.weight

    load_weights(second, read_weights(path), path)

    assert torch.equal(first.output.weight, second.output.weight)
    assert torch.equal(first.output.bias, second.output.bias)
    assert second.embedding.weight is parameter, "an optimizer holds it"
    assert second.output.weight is parameter


@pytest.mark.parametrize("spoil", ["missing", "unknown", "shape"])
def test_weights_of_another_model_are_refused(spoil: str) -> None:
    weights = module_weights(Tied())
    match spoil:
        case "missing":
            del weights["output.bias"]
        case "unknown":
            weights["output.bias2"] = torch.zeros(3)
        case _:
            weights["output.bias"] = torch.zeros(4)

    with pytest.raises(CorruptStateError, match=r"the weights do not fit the model: `output\.bias") as caught:
        load_weights(Tied(), weights, Path("there/model.safetensors"))

    assert ("SF614", "there/model.safetensors") == (caught.value.code, str(caught.value.place))


def test_equal_weights_give_equal_bytes_without_metadata() -> None:
    weights = module_weights(Tied())
    backwards = dict(reversed(weights.items()))

    data = weight_bytes(weights)

    assert data == weight_bytes(backwards)
    assert "__metadata__" not in json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def test_what_is_read_has_memory_of_its_own_aligned_as_kernels_like_it(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(weight_bytes({"a": torch.ones(3), "b": torch.ones(5), "c": torch.ones(7)}))

    read = read_weights(path)

    assert [0, 0, 0] == [tensor.data_ptr() % 64 for tensor in read.values()]


def test_a_file_that_holds_no_weights_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(weight_bytes({"a": torch.ones(4)})[:-1])

    with pytest.raises(CorruptStateError, match="not a safetensors file"):
        read_weights(path)


def test_the_average_by_hand(tmp_path: Path) -> None:
    for number, (value, steps) in enumerate([(1.0, 5), (2.0, 6), (6.0, 9)]):
        data = weight_bytes({"weight": torch.tensor([value, -value]), "steps": torch.tensor(steps)})
        (tmp_path / str(number)).write_bytes(data)

    average = average_weights(tmp_path / str(number) for number in range(3))

    assert [3.0, -3.0] == average["weight"].tolist()
    assert torch.float32 == average["weight"].dtype
    assert 9 == average["steps"].item(), "what is no number on a scale comes from the last"


def test_finite() -> None:
    assert all_finite({"a": torch.ones(2), "n": torch.tensor(3)})
    assert not all_finite({"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])})
    assert not all_finite({"a": torch.tensor([float("-inf")])})
