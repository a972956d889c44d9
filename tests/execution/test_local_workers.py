"""What a worker on this machine is told by its environment."""

from __future__ import annotations

import pytest

from specforge.execution.job import Job
from specforge.execution.processes.local import _environment

_JOB = Job(id="train", kind="train", settings={}, threads=3)


def test_workers_have_their_threads_and_do_not_spin() -> None:
    found = _environment(_JOB, {"OMP_NUM_THREADS": "7", "HOME": "/home"})

    assert ("3", "PASSIVE", "/home") == (found["OMP_NUM_THREADS"], found["OMP_WAIT_POLICY"], found["HOME"])


def test_to_ask_for_gpus_does_not_begin_to_use_them() -> None:
    assert "1" == _environment(_JOB, {})["PYTORCH_NVML_BASED_CUDA_CHECK"]


@pytest.mark.parametrize(
    ("ours", "name", "expected"),
    [
        ({}, "PYTORCH_ALLOC_CONF", "expandable_segments:True"),
        ({"PYTORCH_ALLOC_CONF": "theirs"}, "PYTORCH_ALLOC_CONF", "theirs"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "theirs"}, "PYTORCH_CUDA_ALLOC_CONF", "theirs"),
    ],
)
def test_memory_of_a_gpu_grows_in_one_piece_unless_somebody_says_otherwise(
    ours: dict[str, str], name: str, expected: str
) -> None:
    found = _environment(_JOB, ours)

    assert expected == found[name]
    assert 1 == sum(key in found for key in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"))
