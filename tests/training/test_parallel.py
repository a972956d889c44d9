"""Two processes over gloo against one: the same gradient, the same decisions, the same failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from process_of_two import CUTS, EVEN_CUTS, LONG, MODELS, NOT_FINITE
from tiny_training import ONE_UPDATE, Recipe, Recorder, tiny_trainer

from specforge.training.parallel.process import Parallel
from specforge.training.weights import module_weights

_REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of the two processes found."""
    return found_by("process_of_two.py", 2, tmp_path_factory.mktemp("a folder # with % signs"))


def found_by(name: str, world: int, folder: Path, *before: str) -> list[Any]:
    """Run a program as so many processes and return what each of them found, by rank.

    Args:
        name: of the program, beside this file.
        world: number of processes.
        folder: where they meet and write.
        before: arguments before rank and folder.
    """
    program = Path(__file__).with_name(name)
    environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY), "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", str(program), *before, str(rank), str(folder)], env=environment
                )
            )
            for rank in range(world)
        ]
        for process in running:
            stack.callback(process.kill)
        assert [0] * world == [process.wait(timeout=120) for process in running]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world)]


def test_ranks_take_turns_and_one_without_work_counts_for_nothing(processes: list[dict[str, Any]]) -> None:
    first, second = ([cut["pieces"] for cut in process["gradients"]] for process in processes)

    # One piece, three pieces, six pieces.
    assert [[[0, True]], [[0, True], [2, True]], [[0, True], [2, True], [4, True]]] == first
    assert [[[0, False]], [[1, True], [2, False]], [[1, True], [3, True], [5, True]]] == second


@pytest.mark.parametrize("cut", range(len(CUTS)))
def test_two_processes_compute_the_gradient_of_one(cut: int, processes: list[dict[str, Any]], tmp_path: Path) -> None:
    _equal_one([process["gradients"][cut] for process in processes], ONE_UPDATE, tmp_path)


@pytest.mark.parametrize("cut", range(len(EVEN_CUTS)))
@pytest.mark.parametrize("model", range(len(MODELS)), ids=[recipe.family for recipe in MODELS])
def test_two_processes_compute_the_gradient_of_a_real_model(
    model: int, cut: int, processes: list[dict[str, Any]], tmp_path: Path
) -> None:
    steps = [process["gradients_of_models"][model * len(EVEN_CUTS) + cut] for process in processes]

    assert [(1, 1), (1, 1), (4, 4)][cut] == tuple(len(step["pieces"]) for step in steps)
    _equal_one(steps, MODELS[model], tmp_path)


def _equal_one(steps: list[dict[str, Any]], recipe: Recipe, work: Path) -> None:
    """Check that processes have the weights that one process has which takes all items at once."""
    trainer, module = tiny_trainer(replace(recipe, max_tokens=64), work)
    trainer.train()

    for step in steps:
        assert step["weights"].keys() == module_weights(module).keys()
        for name, tensor in module_weights(module).items():
            found = torch.tensor(step["weights"][name], dtype=torch.float64)
            torch.testing.assert_close(found, tensor, rtol=0.0, atol=1e-10)


def test_two_processes_follow_the_trajectory_of_one_through_a_stop(
    processes: list[dict[str, Any]], tmp_path: Path
) -> None:
    recorder = Recorder()
    outcome = tiny_trainer(LONG, tmp_path, recorder)[0].train()

    for process in processes:
        found = process["trajectory"]
        assert "stopped on request after 2 updates; the state is saved" == found["stopped"]
        assert list(range(3, 15)) == found["updates"]
        losses = [values["loss"] for values in recorder.named("train")[2:]]
        torch.testing.assert_close(torch.tensor(found["losses"]), torch.tensor(losses), rtol=1e-9, atol=0.0)
        valid = [validation.values["loss"] for validation in outcome.state.validations]
        torch.testing.assert_close(torch.tensor(found["valid"]), torch.tensor(valid), rtol=1e-9, atol=0.0)


def test_three_processes_go_on_bit_by_bit_after_a_stop(tmp_path: Path) -> None:
    found = found_by("process_of_three.py", 3, tmp_path)

    assert 1 == len({digest for process in found for digest in process})


def test_a_stop_that_one_rank_hears_of_in_a_validation_stops_both(processes: list[dict[str, Any]]) -> None:
    for process in processes:
        assert "stopped on request after 5 updates; the state is saved" == process["stop_in_validation"]


def test_a_loss_that_is_no_number_on_one_rank_stops_both(processes: list[dict[str, Any]]) -> None:
    for process in processes:
        assert process["no_number"].startswith("update 4 has a loss of nan and a gradient norm of nan")


@pytest.mark.parametrize("name", list(NOT_FINITE))
def test_two_processes_leave_out_what_one_leaves_out(
    name: str, processes: list[dict[str, Any]], tmp_path: Path
) -> None:
    recipe = replace(LONG, nan_at=3, non_finite=NOT_FINITE[name])
    if name == "going-back":
        recipe = replace(LONG, items=100, poisoned=(11,), non_finite=NOT_FINITE[name])
    trainer, module = tiny_trainer(recipe, tmp_path)
    state = trainer.train().state

    for process in processes:
        found = process["not_finite"][list(NOT_FINITE).index(name)]
        assert state.skipped == found["skipped"]
        assert [rollback.update for rollback in state.rollbacks] == found["returns"]
        for tensor, expected in module_weights(module).items():
            torch.testing.assert_close(torch.tensor(found["weights"][tensor], dtype=torch.float64), expected)
    assert processes[0]["not_finite"] == processes[1]["not_finite"]
    assert state.skipped or state.rollbacks


def test_a_wish_of_one_reaches_both_at_the_same_turn(processes: list[dict[str, Any]]) -> None:
    nobody, one, both = [False, True], [True, True], [False, False]
    for process in processes:
        at_once, later = process["wishes"]
        assert [nobody, one, nobody, nobody] == at_once
        assert [both, nobody, one, nobody] == later


def test_a_failure_of_rank_0_is_a_failure_of_all(processes: list[dict[str, Any]]) -> None:
    assert [["SF602", "/full"]] * 2 == [process["main_fails"] for process in processes]


def test_values_and_wishes_reach_both(processes: list[dict[str, Any]]) -> None:
    expected = [[[0], ["Grüße", "Grüße", "Grüße", 1]], True, False]

    assert [expected] * 2 == [process["exchange"] for process in processes]


def test_validation_text_is_decoded_once_and_scored_in_order(processes: list[dict[str, Any]]) -> None:
    assert 15 == sum(process["decoding"]["decoded"] for process in processes)
    assert all(0 < process["decoding"]["decoded"] < 15 for process in processes)
    for process in processes:
        assert [f"line {number}" for number in range(15)] == process["decoding"]["scored"]


def test_alone_nothing_is_sent() -> None:
    alone = Parallel(torch.device("cpu"))

    assert ([0, 1, 2], 3) == alone.mine(3)
    assert [{"a": 1}] == alone.gather({"a": 1})
    assert "done" == alone.on_main(lambda: "done")
    assert (True, False) == (alone.agree(wish=True), alone.agree(wish=False))
