"""Layers that are compiled, and layers that compute once more in the backward pass: the same training, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from process_of_layers import RECIPE, STRATEGIES, WAYS, trained
from test_parallel import found_by
from tiny_training import Family, Recipe, tiny_module, tiny_trainer
from torch import Tensor, nn
from torch._dynamo.utils import counters

from specforge.foundation.errors import EnvironmentFaultError
from specforge.modules.dropout import dropout
from specforge.training.layers import compiling
from specforge.training.parallel.process import Parallel
from specforge.training.precision import Precision
from specforge.training.weights import module_weights

# PyTorch's compiler looks for gradients where there are none, and hides the warning only from those who make no errors of them.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")

_ONE = Parallel(torch.device("cpu"))
_FAMILIES: tuple[Family, ...] = ("transformer", "transformer_lm", "transformer_classifier")
_SHAPES = [(items, width) for items in (2, 3, 5, 7, 8) for width in (2, 4, 9, 17)]


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def _weights(recipe: Recipe, work: Path) -> dict[str, Tensor]:
    trainer, module = tiny_trainer(recipe, work)
    trainer.train()
    return module_weights(module)


def _check_bits(expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    assert list(expected) == list(found)  # the names, too
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("family", "compiler"),
    [("transformer", "eager"), ("transformer_lm", "aot_eager"), ("transformer_classifier", "eager")],
)
def test_compiled_layers_learn_what_they_do_anyway(family: Family, compiler: str, tmp_path: Path) -> None:
    recipe = replace(RECIPE, family=family, max_updates=5)
    expected = _weights(recipe, tmp_path / "eager")
    _check_bits(expected, _weights(replace(recipe, compiler=compiler), tmp_path / "compiled"))

    assert 0 < counters["stats"]["unique_graphs"]
    assert not counters["graph_break"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_length_of_a_batch_compiles_anew(precision: str) -> None:
    recipe = Recipe(family="transformer", precision=precision)  # type: ignore[arg-type]
    eager = tiny_module(recipe).model.blocks()
    compiled = tiny_module(replace(recipe, compiler="eager")).model.blocks()
    for items, width in ((5, 3), (4, 7)):  # no two dimensions equal: PyTorch would take them for one
        _values(compiled, items, width, precision)
    graphs = counters["stats"]["unique_graphs"]

    with torch.compiler.set_stance("fail_on_recompile"):
        for items, width in _SHAPES:
            expected, found = (_values(blocks, items, width, precision) for blocks in (eager, compiled))
            assert torch.equal(expected, found)

    assert len(eager) == graphs == counters["stats"]["unique_graphs"]


def _values(blocks: Any, items: int, width: int, precision: str) -> Tensor:
    """Return what an encoder's layer and a decoder's make of a batch with padding."""
    torch.manual_seed(items * width)
    source, target = torch.randn(items, width, 8), torch.randn(items, width + 1, 8)
    mask = torch.ones(items, 1, 1, width, dtype=torch.bool)
    mask[-1, ..., -1] = False
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        memory = blocks[0](source, mask)
        values: Tensor = blocks[1](target, memory, mask)
    return values


def test_layers_of_one_kind_share_what_is_compiled() -> None:
    recipe = Recipe(family="transformer_lm", compiler="eager")
    for _ in range(3):
        tiny_module(recipe).model.blocks()[0](torch.randn(2, 3, 8), None, causal=True)

    assert 1 == counters["stats"]["unique_graphs"]


def test_compiled_dropout_draws_anew_for_each_use_and_once_for_both_directions() -> None:
    def twice(values: Tensor) -> Tensor:
        return dropout(values, 0.5, training=True) * 100 + dropout(values + 0, 0.5, training=True)

    values = torch.ones(64, requires_grad=True)
    found = []
    for call in (twice, torch.compile(twice, backend="aot_eager", dynamic=True)):
        torch.manual_seed(1)
        made = call(values)
        (gradient,) = torch.autograd.grad(made.sum(), values)
        assert torch.equal(made, gradient)
        found.append(made)

    assert torch.equal(*found)
    assert {0.0, 2.0, 200.0, 202.0} == set(found[0].tolist())


@pytest.mark.parametrize("family", [*_FAMILIES, "fconv"])
def test_layers_that_compute_twice_learn_the_same(family: Family, tmp_path: Path) -> None:
    recipe = replace(RECIPE, family=family, max_updates=12)
    expected = _weights(recipe, tmp_path / "once")

    _check_bits(expected, _weights(replace(recipe, checkpointing=True), tmp_path / "twice"))


def test_they_compute_twice_only_where_there_is_a_backward_pass() -> None:
    module = tiny_module(Recipe(family="transformer_lm", checkpointing=True))
    block = module.model.blocks()[0]
    calls = []
    attention = block.get_submodule("self_attention")
    attention.register_forward_hook(lambda *_: calls.append(1))

    output = block(torch.randn(2, 3, 8, requires_grad=True), None, causal=True)
    assert 1 == len(calls)
    output.sum().backward()
    assert 2 == len(calls)
    with torch.no_grad():
        block.eval()(torch.randn(2, 3, 8), None, causal=True)
    assert 3 == len(calls)


def test_compiled_layers_compute_twice_too(tmp_path: Path) -> None:
    recipe = replace(RECIPE, family="transformer_lm", max_updates=5)
    expected = _weights(recipe, tmp_path / "plain")
    both = replace(recipe, compiler="aot_eager", checkpointing=True)

    _check_bits(expected, _weights(both, tmp_path / "both"))


@pytest.mark.parametrize("ways", [("eager", None), (None, "eager")])
def test_training_goes_on_the_other_way(ways: tuple[str | None, ...], tmp_path: Path) -> None:
    recipe = replace(RECIPE, family="transformer_lm")
    expected = _weights(replace(recipe, max_updates=8), tmp_path / "plain")
    first, second = ways
    _weights(replace(recipe, max_updates=5, compiler=first), tmp_path / "work")

    _check_bits(expected, _weights(replace(recipe, max_updates=8, compiler=second), tmp_path / "work"))


@pytest.mark.parametrize("family", ["transformer_lm", pytest.param("transformer", marks=pytest.mark.slow)])
def test_two_devices_compile_and_compute_twice_under_either_strategy(family: Family, tmp_path: Path) -> None:
    expected = trained(replace(RECIPE, family=family), tmp_path / "one", _ONE)
    found = found_by("process_of_layers.py", 2, tmp_path, family, "2")

    for process in found:
        assert {f"{strategy} {way}" for strategy in STRATEGIES for way in WAYS} == set(process)
        for name, series in process.items():
            for kind, values in expected.items():
                torch.testing.assert_close(
                    torch.tensor(series[kind]), torch.tensor(values), rtol=1e-6, atol=0.0, msg=f"{name} {kind}"
                )


def test_a_compiler_that_gives_up_is_told_as_an_affair_of_the_machine() -> None:
    def gives_up(*_: Any) -> Callable[..., Any]:
        raise OSError("no compiler")  # noqa: TRY003  # as the compiler does

    layer = torch.compile(nn.Linear(2, 2), backend=gives_up)
    with pytest.raises(EnvironmentFaultError) as caught, compiling(wanted=True):
        layer(torch.ones(1, 2))

    assert "SF685" == caught.value.code
    assert any("no compiler" in note and "Set TORCHDYNAMO" not in note for note in caught.value.notes)


def test_each_process_compiles_in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    with compiling(wanted=True):
        folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        (folder / "half a library").touch()
        assert tmp_path == folder.parent
    assert not list(tmp_path.iterdir())
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "theirs")
    with compiling(wanted=True):
        assert "theirs" == os.environ["TORCHINDUCTOR_CACHE_DIR"]
    assert "theirs" == os.environ["TORCHINDUCTOR_CACHE_DIR"]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", _FAMILIES)
def test_a_gpu_learns_the_same_with_compiled_layers(family: Family, precision: Precision, tmp_path: Path) -> None:
    recipe = replace(RECIPE, family=family, precision=precision, embed_dim=32, dropout=0.0)
    eager, compiled = (
        trained(each, tmp_path / name, Parallel(torch.device("cuda")))["loss"]
        for name, each in {"eager": recipe, "compiled": replace(recipe, compiler="inductor")}.items()
    )

    torch.testing.assert_close(
        torch.tensor(compiled), torch.tensor(eager), rtol=2e-2 if precision == "bf16" else 1e-4, atol=0.0
    )
    assert not counters["graph_break"]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", _FAMILIES)
def test_a_gpu_learns_the_same_with_layers_that_compute_twice(
    family: Family, precision: Precision, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, family=family, precision=precision, embed_dim=32)
    once, twice = (
        trained(each, tmp_path / name, Parallel(torch.device("cuda")))["loss"]
        for name, each in {"once": recipe, "twice": replace(recipe, checkpointing=True)}.items()
    )

    # The first loss knows the dropout of one forward pass, the second that of the gradients, too.
    torch.testing.assert_close(torch.tensor(twice), torch.tensor(once), rtol=1e-4, atol=0.0)
