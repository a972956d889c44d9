"""Weights cut over several processes: the numbers of one process, and checkpoints that any world can read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from process_of_shards import FAMILIES, LONG, OPTIMIZERS, RECIPE, trained
from test_parallel import found_by
from tiny_training import Family, Recorder, tiny_trainer

from specforge.foundation.errors import CorruptStateError
from specforge.training.parallel.choice import StrategyName
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Part, sum_of_squares
from specforge.training.shards import read_part
from specforge.training.weights import read_weights

_ONE = Parallel(torch.device("cpu"))
_SERIES = ("loss", "gradient_norm", "valid")
_WITHOUT_SEARCH: tuple[Family, ...] = ("transformer_lm", "transformer_classifier")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cut")


@pytest.fixture(scope="module")
def processes(work: Path) -> list[dict[str, Any]]:
    """What each of two processes found."""
    return found_by("process_of_shards.py", 2, work, "2")


def _check_equal(expected: Any, found: Any, last: int = 0) -> None:
    for name in _SERIES:
        torch.testing.assert_close(
            torch.tensor(found[name]), torch.tensor(expected[name][-last:]), rtol=1e-6, atol=0.0, msg=name
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_cut_weights_learn_what_whole_ones_do(family: Family, processes: list[dict[str, Any]], tmp_path: Path) -> None:
    expected = trained(_ONE, replace(RECIPE, family=family), tmp_path)

    for process in processes:
        _check_equal(expected, process["models"][family])


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_each_optimizer_steps_parts_as_it_steps_the_whole(
    name: str, processes: list[dict[str, Any]], tmp_path: Path
) -> None:
    expected = trained(_ONE, replace(RECIPE, family="transformer"), tmp_path, OPTIMIZERS[name])

    for process in processes:
        _check_equal(expected, process["optimizers"][name])


def test_text_is_decoded_by_each_process_at_its_own_pace(processes: list[dict[str, Any]]) -> None:
    decoded = [process["decoding"]["decoded"] for process in processes]

    assert 3 * 15 == sum(decoded)  # of updates 5 and 10, and at the end
    assert decoded[0] != decoded[1]
    assert [1.0, 1.0] == [process["decoding"]["bleu"] for process in processes]


def test_the_micro_batch_that_is_no_number_is_named_with_all_its_weights(processes: list[dict[str, Any]]) -> None:
    for process in processes:
        code, sentence, _ = process["blame"]
        assert "SF633" == code
        assert "1 items) has a loss of nan" in sentence
        assert "3 parameters" in sentence


def test_a_part_that_cannot_be_written_is_a_failure_of_all_and_nothing_is_left(
    processes: list[dict[str, Any]],
) -> None:
    assert [["SF602", []]] * 2 == [process["disk_full"] for process in processes]


@pytest.mark.usefixtures("processes")
def test_parts_on_disk_are_the_whole(work: Path, tmp_path: Path) -> None:
    """Two processes and one wrote the same tensors, and one process reads both."""
    trained(_ONE, replace(RECIPE, family="transformer"), tmp_path, OPTIMIZERS["sgd"])
    whole, cut = tmp_path / "checkpoints" / "12", work / "with-sgd" / "checkpoints" / "12"

    for group in ("model", "optimizer"):
        expected, found = read_weights(whole / f"{group}.safetensors"), read_part(cut, group, {})
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)
        sizes = [(cut / f"{group}-{rank}.safetensors").stat().st_size for rank in range(2)]
        assert max(sizes) < 0.75 * (whole / f"{group}.safetensors").stat().st_size


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(("start", "rows"), [(0, 12), (0, 3), (5, 3), (4, 4), (11, 1), (12, 0)])
def test_a_process_reads_the_rows_that_it_needs(start: int, rows: int, work: Path) -> None:
    folder, name = work / "model-tiny" / "checkpoints" / "12", "model.embedding.weight"
    whole = read_part(folder, "model", {})[name]

    part = Part(tuple(whole.shape), start, rows)
    assert torch.equal(whole[start : start + rows], read_part(folder, "model", {name: part})[name])
    found = read_part(folder, "optimizer", {name: part}).get(f"{name}/exp_avg")
    assert (rows == 0) == (found is None)
    assert found is None or part.rows == len(found)


@pytest.mark.usefixtures("processes")
def test_a_tensor_of_another_form_is_refused(work: Path) -> None:
    folder, name = work / "model-tiny" / "checkpoints" / "12", "model.embedding.weight"

    with pytest.raises(CorruptStateError, match="do not fit the model") as caught:
        read_part(folder, "model", {name: Part((13, 6), 0, 3)})
    assert "SF614" == caught.value.code


def _handed_on(links: list[dict[str, Any]], folder: Path) -> list[list[dict[str, Any]]]:
    """Train by links, each with its own world, and return what each process of each link found."""
    found: list[list[dict[str, Any]]] = []
    for number, link in enumerate(links):
        world, here = link.pop("world"), folder / str(number)
        if world == 1:
            found.append([trained(_ONE, replace(LONG, **link), folder / "work")])
        else:
            here.mkdir()
            (here / "link.json").write_text(json.dumps({"recipe": link, "work": str(folder / "work")}))
            found.append([one["chain"] for one in found_by("process_of_shards.py", world, here, str(world))])
    return found


def _check_chain(links: list[dict[str, Any]], folder: Path) -> None:
    """Check that a training by links has the losses of one at a stretch, and sees each item once in an epoch."""
    first, last = links[0], links[-1]["max_updates"]
    unchanged = {name: value for name, value in first.items() if name not in ("world", "strategy", "max_updates")}
    expected: Any = trained(_ONE, replace(LONG, **unchanged, max_updates=last), folder / "unchanged")
    found = _handed_on(links, folder)

    losses = [loss for link in found for loss in link[0]["loss"]]
    assert last == len(losses)
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected["loss"]), rtol=1e-5, atol=0.0)
    seen = [
        [item for process in link for item in process["items"][turn]]
        for link in found
        for turn in range(len(link[0]["items"]))
    ]
    assert last == len(seen)
    epochs = list(_epochs(seen))
    assert epochs
    assert all(Counter(range(LONG.items)) == Counter(epoch) for epoch in epochs)


def _epochs(updates: list[list[int]]) -> Iterator[list[int]]:
    """Yield the items of each whole epoch: an epoch has as many as there are, and no update runs into the next."""
    epoch: list[int] = []
    for items in updates:
        epoch += items
        if len(epoch) >= LONG.items:
            yield epoch
            epoch = []


def test_a_training_goes_on_in_worlds_of_any_size_and_strategy(tmp_path: Path) -> None:
    links = [
        {"world": 1, "strategy": "ddp", "max_updates": 2},
        {"world": 2, "strategy": "fsdp", "max_updates": 4},
        {"world": 4, "strategy": "fsdp", "max_updates": 9},
        {"world": 1, "strategy": "ddp", "max_updates": 15},
        {"world": 2, "strategy": "fsdp", "max_updates": 24},
    ]
    _check_chain(links, tmp_path)


@pytest.mark.slow
def test_copies_go_on_in_worlds_of_any_size(tmp_path: Path) -> None:
    sizes = [(1, 2), (2, 4), (4, 8), (1, 24)]
    _check_chain([{"world": world, "strategy": "ddp", "max_updates": end} for world, end in sizes], tmp_path)


@pytest.mark.parametrize("family", _WITHOUT_SEARCH)
def test_a_task_without_search_goes_on_with_another_device(family: Family, tmp_path: Path) -> None:
    ends: list[tuple[int, StrategyName, int]] = [(1, "ddp", 2), (2, "fsdp", 5), (1, "ddp", 24)]
    _check_chain(_links(family, ends), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", _WITHOUT_SEARCH)
def test_a_task_without_search_goes_on_in_worlds_of_any_size_and_strategy(family: Family, tmp_path: Path) -> None:
    ends: list[tuple[int, StrategyName, int]] = [
        (1, "ddp", 2), (2, "ddp", 5), (4, "fsdp", 9), (4, "ddp", 13), (1, "ddp", 24),
    ]  # fmt: skip
    _check_chain(_links(family, ends), tmp_path)


def _links(family: Family, ends: list[tuple[int, StrategyName, int]]) -> list[dict[str, Any]]:
    return [
        {"world": world, "strategy": strategy, "max_updates": end, "family": family} for world, strategy, end in ends
    ]


@pytest.mark.parametrize("family", ["transformer", *_WITHOUT_SEARCH])
@pytest.mark.parametrize("cuts", [(8, 32, 9)])
def test_another_max_tokens_in_mid_epoch_changes_no_loss(cuts: tuple[int, ...], family: Family, tmp_path: Path) -> None:
    ends = (2, 10, 24)
    links = [
        {"world": 1, "max_tokens": cut, "max_updates": end, "dropout": 0.0, "family": family}
        for cut, end in zip(cuts, ends, strict=True)
    ]
    _check_chain(links, tmp_path)


def test_the_norm_of_a_large_table_is_exact_however_it_is_cut() -> None:
    table = torch.randn(6_000, 512, generator=torch.Generator().manual_seed(1))
    bias = torch.ones(3)
    exact = table.double().square().sum() + 3

    whole = sum_of_squares([table, bias])
    torch.testing.assert_close(whole, exact, rtol=1e-7, atol=0.0)
    parts = sum_of_squares([table[:2_001]]) + sum_of_squares([table[2_001:], bias])
    torch.testing.assert_close(parts, whole, rtol=1e-14, atol=0.0)


def test_one_device_has_nothing_to_cut(tmp_path: Path) -> None:
    ddp, fsdp = (
        tiny_trainer(replace(RECIPE, strategy=name), tmp_path / name, Recorder())[1] for name in ("ddp", "fsdp")
    )

    assert all(type(one) is type(other) for one, other in zip(ddp.parameters(), fsdp.parameters(), strict=True))
