"""An update that is not finite: training stops, leaves it out, or goes back, and does the same again after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import JsonValue
from tiny_training import Recipe, Recorder, falling, tiny_loader, tiny_module, tiny_optimizer, tiny_trainer
from torch import Tensor
from torch.optim import Optimizer

from specforge.foundation.errors import StepFailedError, StoppedRunError
from specforge.plugin import Progress
from specforge.training.module import TrainingModule
from specforge.training.non_finite import NonFinitePolicy
from specforge.training.parallel.ddp import Replicated
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Strategy
from specforge.training.settings import Every
from specforge.training.state import Limits, Rollback, Selection, TrainingState
from specforge.training.stopping import StopRequest
from specforge.training.updater import Updater
from specforge.training.weights import module_weights

_CPU = Parallel(torch.device("cpu"))
_NEVER = Every(1_000, "update")
_LONG = Recipe(max_updates=20, checkpoint_every=_NEVER)
_SKIPPING = replace(_LONG, nan_at=9, non_finite=NonFinitePolicy(skip=1))
_GOING_BACK = replace(
    _LONG, items=100, poisoned=(11, 72), non_finite=NonFinitePolicy(rollback=3, leave_out=4, at_most=20)
)
"""15 updates an epoch; the items come with updates 8, 13, 16 and 29 of the plan."""


def _weights(module: TrainingModule) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module_weights(module).items()}


def _check_equal(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def _trained(recipe: Recipe, work: Path, reporter: Recorder | None = None) -> tuple[dict[str, Tensor], TrainingState]:
    trainer, module = tiny_trainer(recipe, work, reporter)
    state = trainer.train().state
    return _weights(module), state


def _first_failure(recipe: Recipe, work: Path) -> tuple[int, int, int]:
    """Return number, epoch and position of the first update that is not finite, as a stopped training writes them down."""
    with pytest.raises(StepFailedError):
        _trained(replace(recipe, non_finite=NonFinitePolicy()), work)
    found = json.loads(next((work / "non-finite").glob("*/batch.json")).read_text())
    return found["update"], found["epoch"], found["position"]


def _without_step(number: int) -> Callable[[TrainingModule | Strategy], Optimizer]:
    """Return what builds an optimizer that does not do its step of this number."""

    def build(module: TrainingModule | Strategy) -> Optimizer:
        optimizer = tiny_optimizer(_LONG, module)
        step, calls = optimizer.step, iter(range(1, 1_000))
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]  # or this step says how often it was done
        optimizer.step = lambda: step() if next(calls) != number else None  # type: ignore[assignment, method-assign]
        return optimizer

    return build


def test_an_update_that_is_left_out_changes_nothing_but_its_own_step(tmp_path: Path) -> None:
    reference, module = tiny_trainer(replace(_LONG, nan_at=None), tmp_path / "expected", optimizer=_without_step(10))
    reference.train()
    found, state = _trained(_SKIPPING, tmp_path / "found")

    _check_equal(_weights(module), found)
    assert (20, [10]) == (state.updates, state.skipped)


def test_training_that_leaves_an_update_out_says_so(tmp_path: Path) -> None:
    recorder = Recorder()
    _, state = _trained(_SKIPPING, tmp_path, recorder)
    path = tmp_path / "non-finite" / "10" / "batch.json"

    [warning] = recorder.warnings
    assert warning.startswith(
        "update 10 has a loss of nan and a gradient norm of nan; it is left out, 1 of at most 1; "
    )
    assert f"what it is made of is in `{path}`" in warning
    [record] = recorder.named("non_finite")
    assert {"update": 10, "loss": "nan", "gradient_norm": "nan"} == record
    assert [0] * 9 + [1] * 10 == [line["skipped"] for line in recorder.named("train")]
    assert [*range(1, 10), *range(11, 21)] == [line["updates"] for line in recorder.named("train")]
    assert sum(line["tokens_per_update"] for line in recorder.named("train")) == state.tokens  # type: ignore[misc]


def test_what_an_update_was_made_of_is_written_down(tmp_path: Path) -> None:
    update, epoch, position = _first_failure(replace(_LONG, poisoned=(11,)), tmp_path)
    found = json.loads((tmp_path / "non-finite" / str(update) / "batch.json").read_text())

    prepared = next(tiny_loader(replace(_LONG, poisoned=(11,)), _CPU).updates(epoch, position))
    items = [[{"item": item, "text": f"item {item}"} for item in piece.items.tolist()] for piece in prepared.pieces]
    assert items == [piece["items"] for piece in found["micro_batches"]]
    wrong = [11 in [item["item"] for item in piece["items"]] for piece in found["micro_batches"]]
    assert 1 == sum(wrong) < len(wrong)
    assert wrong == [piece["loss"] == "nan" for piece in found["micro_batches"]]
    assert wrong == [piece["parameters_not_finite"] == 3 for piece in found["micro_batches"]]
    assert ("nan", "nan") == (found["loss"], found["gradient_norm"])


def test_a_gradient_alone_that_is_not_finite_is_found_and_its_parameter_named(tmp_path: Path) -> None:
    trainer, module = tiny_trainer(_LONG, tmp_path)
    model = module.model

    def spoil(gradient: Tensor) -> Tensor:
        return gradient * float("inf") if model.told[-1] == 4 else gradient  # type: ignore[index]  # a TinyModel

    model.hidden.weight.register_hook(spoil)  # type: ignore[operator, union-attr]
    with pytest.raises(
        StepFailedError, match=r"update 5 has a loss of [0-9.]+ and a gradient norm of (inf|nan)"
    ) as caught:
        trainer.train()

    assert "1 parameter has a gradient that is not finite, the first is `model.hidden.weight`" in caught.value.notes[0]
    assert all(torch.isfinite(tensor).all() for tensor in _weights(module).values())


def test_one_more_than_allowed_ends_training(tmp_path: Path) -> None:
    # one item comes in every epoch
    recipe = replace(_LONG, poisoned=(11,), non_finite=NonFinitePolicy(skip=2))
    with pytest.raises(StepFailedError) as caught:
        _trained(recipe, tmp_path)

    assert "SF633" == caught.value.code
    assert "2 updates were left out before, as many as `train.non_finite` allows" in caught.value.notes
    assert 3 == len(list((tmp_path / "non-finite").iterdir()))


@pytest.mark.parametrize("stop", [5, 9, 10, 11, 15])
def test_going_on_after_a_stop_counts_what_was_left_out_before(stop: int, tmp_path: Path) -> None:
    recipe = replace(_LONG, poisoned=(11,), non_finite=NonFinitePolicy(skip=9))
    expected, whole = _trained(recipe, tmp_path / "whole")
    _trained(replace(recipe, max_updates=stop), tmp_path / "parts")
    found, state = _trained(recipe, tmp_path / "parts")

    _check_equal(expected, found)
    assert whole.skipped == state.skipped
    assert 3 == len(state.skipped)


@pytest.mark.parametrize(
    "recipe", [replace(_SKIPPING, poisoned=(30,), non_finite=NonFinitePolicy(skip=9)), _GOING_BACK]
)
@pytest.mark.parametrize("log_every", [4, 7, 50])
def test_when_training_looks_changes_nothing(
    log_every: int, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, at_once = _trained(recipe, tmp_path / "at-once")
    monkeypatch.setattr("specforge.training.trainer.reading_is_free", lambda _: False)
    found, later = _trained(replace(recipe, log_every=log_every), tmp_path / "later")

    _check_equal(expected, found)
    assert at_once.skipped or at_once.rollbacks
    assert at_once.model_dump(exclude={"seconds"}) == later.model_dump(exclude={"seconds"})


def _by_hand(recipe: Recipe, runs: list[tuple[int, int, int]]) -> dict[str, Tensor]:
    """Return the weights after runs of updates of the plan: (epoch, position, updates) each."""
    module, loader = tiny_module(recipe), tiny_loader(recipe, _CPU)
    updater = Updater(
        Replicated(module, _CPU),
        tiny_optimizer(recipe, module),
        _CPU,
        seed=recipe.seed,
        clip_norm=recipe.clip_norm,
        precision="fp32",
    )
    done = 0
    for epoch, position, updates in runs:
        feed = loader.updates(epoch, position)
        for _ in range(updates):
            prepared = next(feed)
            lr = recipe.lr * falling(Progress(done, prepared.update.epoch))
            updater.apply(prepared.pieces, lr, done)
            done += 1
        feed.close()
    return _weights(module)


def test_going_back_leaves_out_what_follows_in_the_plan(tmp_path: Path) -> None:
    policy = NonFinitePolicy(rollback=3, leave_out=6, at_most=1)
    recipe = replace(_GOING_BACK, poisoned=(11,), non_finite=policy, max_updates=12)
    assert (8, 1, 7) == _first_failure(recipe, tmp_path / "stopped")
    found, state = _trained(recipe, tmp_path / "found")

    # Three of the first seven updates stay; the failing one is the fifth of those that are left out.
    assert [Rollback(update=8, in_epoch=1, to=3, epoch=1, position=3, left_out=6)] == state.rollbacks
    assert (12, 2, 3) == (state.updates, state.epoch, state.position)
    _check_equal(_by_hand(recipe, [(1, 0, 3), (1, 9, 9)]), found)


class _StoppingAtWarning(Recorder):
    """Asks for a stop at the n-th warning."""

    def __init__(self, request: StopRequest, number: int) -> None:
        super().__init__()
        self._request, self._number = request, number

    def warning(self, text: str) -> None:
        super().warning(text)
        if len(self.warnings) == self._number:
            self._request.make()


@pytest.mark.parametrize("number", [1, 2])
def test_a_stop_after_going_back_is_no_reason_to_go_back_again(number: int, tmp_path: Path) -> None:
    expected, whole = _trained(_GOING_BACK, tmp_path / "whole")
    request = StopRequest()
    before, after = _StoppingAtWarning(request, number), Recorder()
    with pytest.raises(StoppedRunError):
        tiny_trainer(_GOING_BACK, tmp_path / "parts", before, request)[0].train()
    found, state = _trained(_GOING_BACK, tmp_path / "parts", after)

    _check_equal(expected, found)
    assert whole.rollbacks == state.rollbacks
    assert len(whole.rollbacks) == len(before.warnings) + len(after.warnings)
    assert after.warnings


@pytest.mark.parametrize("budget", [3, 7, 12])
def test_a_larger_budget_later_goes_back_like_an_uninterrupted_training(budget: int, tmp_path: Path) -> None:
    expected, whole = _trained(_GOING_BACK, tmp_path / "whole")
    _trained(replace(_GOING_BACK, max_updates=budget), tmp_path / "parts")
    found, state = _trained(_GOING_BACK, tmp_path / "parts")

    _check_equal(expected, found)
    assert whole.rollbacks == state.rollbacks
    assert len(whole.rollbacks) > 1


@pytest.mark.parametrize("budget", [4, 7])
def test_a_smaller_budget_later_knows_nothing_of_what_failed_beyond_it(budget: int, tmp_path: Path) -> None:
    smaller = replace(_GOING_BACK, max_updates=budget)
    expected, _ = _trained(smaller, tmp_path / "alone")
    _, state = _trained(_GOING_BACK, tmp_path / "after")
    found, again = _trained(smaller, tmp_path / "after")

    _check_equal(expected, found)
    assert state.rollbacks
    assert [] == again.rollbacks


def test_a_point_to_go_back_to_does_not_depend_on_when_checkpoints_are_saved(tmp_path: Path) -> None:
    expected, whole = _trained(_GOING_BACK, tmp_path / "seldom")
    found, state = _trained(replace(_GOING_BACK, checkpoint_every=Every(2, "update")), tmp_path / "often")

    _check_equal(expected, found)
    assert whole.rollbacks == state.rollbacks


def test_going_back_more_often_than_allowed_ends_training(tmp_path: Path) -> None:
    # the update of this number fails whatever its data
    recipe = replace(_LONG, nan_at=9, non_finite=NonFinitePolicy(rollback=3, leave_out=1, at_most=2))
    with pytest.raises(StepFailedError) as caught:
        _trained(recipe, tmp_path)

    assert "SF633" == caught.value.code
    assert "training went back 2 times, as often as `train.non_finite` allows" in caught.value.notes


def test_a_point_that_is_gone_ends_training(tmp_path: Path) -> None:
    _trained(replace(_GOING_BACK, max_updates=7), tmp_path)
    (tmp_path / "checkpoints" / "3" / "state.json").write_text("{}")
    with pytest.raises(StepFailedError, match="update 8 has a loss of nan") as caught:
        _trained(_GOING_BACK, tmp_path)

    assert "there is no checkpoint of update 3 to go back to" == caught.value.notes[-1]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(max_updates=411), "exceeded"),
        (Limits(max_updates=412), "within"),
        (Limits(max_epochs=1), "exceeded"),
        (Limits(max_epochs=2), "within"),
    ],
)
def test_a_state_belongs_to_the_budgets_that_reach_what_failed(limits: Limits, expected: str) -> None:
    gone_back = Rollback(update=412, in_epoch=2, to=300, epoch=1, position=300, left_out=200)
    state = TrainingState(updates=300, epoch=1, position=500, rollbacks=[gone_back])

    assert (expected == "exceeded") == limits.exceeded(state, Selection("loss", False, 1))


def test_the_points_are_multiples_and_never_before_the_last_return() -> None:
    policy = NonFinitePolicy(rollback=100, leave_out=200, at_most=3)
    gone_back: dict[str, JsonValue] = {
        "update": 412,
        "in_epoch": 1,
        "to": 300,
        "epoch": 1,
        "position": 300,
        "left_out": 200,
    }

    assert [0, 0, 0, 100, 100, 200] == [
        policy.target(TrainingState(updates=done)) for done in (0, 99, 199, 200, 299, 300)
    ]
    returned = TrainingState(updates=310, rollbacks=[Rollback.model_validate(gone_back)])
    assert 300 == policy.target(returned)
    assert [False, True, True] == [policy.needs(saved, TrainingState(updates=250)) for saved in (0, 100, 200)]
