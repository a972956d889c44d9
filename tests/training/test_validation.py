from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log

import pytest
import torch
from tiny_training import ListCorpus, Recipe, TinyTask, tiny_module

from specforge.foundation.errors import StepFailedError
from specforge.training.parallel.ddp import Replicated
from specforge.training.parallel.process import Parallel
from specforge.training.validation import TextScore, Validator

_CPU = Parallel(torch.device("cpu"))
_CORPUS = ListCorpus(15, seed=2)


def _validator(max_tokens: int = 16, text_score: TextScore | None = None) -> Validator:
    return Validator(15, _CORPUS, _CORPUS.measure, TinyTask(), max_tokens, "fp32", _CPU, text_score)


def _never() -> bool:
    return False


@pytest.mark.parametrize("max_tokens", [8, 16, 1_000])
def test_figures_by_hand_however_the_data_is_cut(max_tokens: int) -> None:
    module = tiny_module(Recipe(dtype=torch.float64, dropout=0.5))
    module.eval()
    losses = [module(TinyTask().collate([item])) for item in _CORPUS.items]
    module.train()
    bits = sum(loss.total.item() for loss in losses) / sum(loss.count for loss in losses) / log(2)

    figures = _validator(max_tokens).validate(Replicated(module, _CPU), _never)

    assert {"loss": bits, "nll": bits, "ppl": 2**bits} == pytest.approx(figures, rel=1e-12)


def test_the_module_is_left_in_training_mode_without_gradients() -> None:
    module = tiny_module(Recipe())

    _validator().validate(Replicated(module, _CPU), _never)

    assert module.training
    assert module.model.training
    assert all(parameter.grad is None for parameter in module.parameters())


def _counting(decoded: list[int], value: float = 7.0) -> TextScore:
    def decode(numbers: Sequence[int]) -> list[str]:
        decoded.extend(numbers)
        return [f"line {number}" for number in numbers]

    def score(lines: Sequence[str]) -> float:
        assert [f"line {number}" for number in range(15)] == list(lines)
        return value

    return TextScore("bleu", higher_is_better=True, decode=decode, score=score)


def test_text_is_decoded_by_length_and_scored_in_order() -> None:
    decoded: list[int] = []

    figures = _validator(text_score=_counting(decoded)).validate(Replicated(tiny_module(Recipe()), _CPU), _never)

    assert figures is not None
    assert 7.0 == figures["bleu"]
    assert list(range(15)) == sorted(decoded)
    widths = [max(len(_CORPUS.items[number][role]) for role in ("source", "target")) for number in decoded]
    assert sorted(widths, reverse=True) == widths


@pytest.mark.parametrize("after", [0, 1, 8])
def test_a_stop_between_batches_gives_no_figures(after: int) -> None:
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] > after

    assert _validator(text_score=_counting([])).validate(Replicated(tiny_module(Recipe()), _CPU), stop) is None
    assert after + 1 == asked[0]


def test_a_figure_that_is_no_number_is_refused() -> None:
    module = tiny_module(replace(Recipe(), dropout=0.0))
    with torch.no_grad():
        module.model.get_parameter("hidden.bias")[0] = float("nan")

    with pytest.raises(StepFailedError, match="the loss of the validation data is nan") as caught:
        _validator().validate(Replicated(module, _CPU), _never)

    assert "SF633" == caught.value.code


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(StepFailedError, match="the bleu of the validation data is inf"):
        _validator(text_score=_counting([], float("inf"))).validate(Replicated(tiny_module(Recipe()), _CPU), _never)
