"""Which device a process takes."""

from __future__ import annotations

import pytest
import torch
from pydantic import JsonValue

from specforge.foundation.errors import EnvironmentFaultError
from specforge.steps.devices import chosen_device


def settings(device: str) -> dict[str, JsonValue]:
    return {"run": {"device": device}}


@pytest.fixture
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("_two_gpus")
def test_each_process_takes_a_device_of_its_own() -> None:
    assert torch.device("cuda", 0) == chosen_device(settings("auto"))
    assert torch.device("cuda", 1) == chosen_device(settings("cuda"), rank=1)
    assert torch.device("cpu") == chosen_device(settings("cpu"), rank=1)


@pytest.mark.usefixtures("_two_gpus")
def test_more_processes_than_devices_is_the_environments_fault() -> None:
    with pytest.raises(EnvironmentFaultError, match="process 2 has no CUDA device: torch finds 2") as caught:
        chosen_device(settings("auto"), rank=2)

    assert "SF604" == caught.value.code


def test_without_a_gpu_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert torch.device("cpu") == chosen_device(settings("auto"), rank=3)
    with pytest.raises(EnvironmentFaultError, match="torch finds no CUDA device"):
        chosen_device(settings("cuda"))
