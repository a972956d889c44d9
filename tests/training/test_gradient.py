"""The gradient of an update: Σ gradients / Σ targets, equal however the update is cut, and clipped as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from process_of_two import CUTS, EVEN_CUTS, MODELS
from tiny_training import ONE_UPDATE, ListCorpus, Recipe, tiny_loader, tiny_module, tiny_task, tiny_trainer
from torch import Tensor

from specforge.training.parallel.process import Parallel
from specforge.training.weights import module_weights

_CPU = Parallel(torch.device("cpu"))


def _step_of(recipe: Recipe, work: Path) -> dict[str, Tensor]:
    """Return what one update of plain gradient descent with rate 1 takes from the weights: its gradient."""
    trainer, module = tiny_trainer(recipe, work)
    before = {name: tensor.clone() for name, tensor in module_weights(module).items()}
    trainer.train()
    return {name: before[name] - tensor for name, tensor in module_weights(module).items()}


def _summed_by_hand(recipe: Recipe) -> dict[str, Tensor]:
    """Return Σ gradients / Σ targets of all items, each computed as a batch of its own."""
    module = tiny_module(recipe)
    corpus = ListCorpus(recipe.items, seed=1, even=recipe.even, family=recipe.family)
    targets = 0
    for item in corpus.items:
        batch = tiny_task(recipe).collate([item])
        module(batch).total.backward()
        targets += batch.target_tokens
    return {name: parameter.grad / targets for name, parameter in module.trainable() if parameter.grad is not None}


def _pieces_of(recipe: Recipe) -> list[int]:
    """Return how many items each micro-batch of the update has, after a check that their targets differ in number."""
    update = next(tiny_loader(recipe, _CPU).updates(epoch=1, position=0))
    differ = len({piece.batch.target_tokens for piece in update.pieces}) > 1
    assert len(update.pieces) == 1 or differ or recipe.family == "transformer_classifier"  # every text has one label
    return [piece.batch.items for piece in update.pieces]


def _check_step(recipe: Recipe, work: Path) -> None:
    found, expected = _step_of(recipe, work), _summed_by_hand(recipe)

    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0.0, atol=1e-10)


@pytest.mark.parametrize(("max_tokens", "pieces"), list(zip(CUTS, (1, 3, 6), strict=True)))
def test_it_is_equal_however_the_update_is_cut(max_tokens: int, pieces: int, tmp_path: Path) -> None:
    recipe = replace(ONE_UPDATE, max_tokens=max_tokens)

    assert pieces == len(_pieces_of(recipe))
    _check_step(recipe, tmp_path)


@pytest.mark.parametrize("recipe", MODELS, ids=lambda recipe: recipe.family)
@pytest.mark.parametrize(("max_tokens", "pieces"), list(zip(EVEN_CUTS, ([8], [4, 4], [1] * 8), strict=True)))
def test_it_is_equal_for_a_real_model_in_one_two_and_eight_pieces(
    max_tokens: int, pieces: list[int], recipe: Recipe, tmp_path: Path
) -> None:
    cut = replace(recipe, max_tokens=max_tokens)

    assert pieces == _pieces_of(cut)
    _check_step(cut, tmp_path)


def test_clipping_shortens_the_mean_to_the_limit(tmp_path: Path) -> None:
    free = _step_of(ONE_UPDATE, tmp_path / "free")
    clipped = _step_of(replace(ONE_UPDATE, clip_norm=0.25), tmp_path / "clipped")

    norm = torch.cat([gradient.flatten() for gradient in free.values()]).norm().item()
    assert norm > 0.25
    for name, gradient in free.items():
        torch.testing.assert_close(clipped[name], gradient * 0.25 / (norm + 1e-6), rtol=1e-12, atol=1e-15)


def test_below_the_limit_it_is_left_alone(tmp_path: Path) -> None:
    free = _step_of(ONE_UPDATE, tmp_path / "free")
    limited = _step_of(replace(ONE_UPDATE, clip_norm=100.0), tmp_path / "limited")

    assert all(torch.equal(free[name], limited[name]) for name in free)
