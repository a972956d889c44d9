"""Linear layers that only compute: weights laid out once for the processor, in float32, bfloat16 or int8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Precision: TypeAlias = Literal["fp32", "bf16", "int8"]

Activation: TypeAlias = Literal["relu", "gelu", "silu"]
"""What may follow a linear layer."""

_ROWS: Final = 64
"""Rows that a layout is chosen for; it serves any number."""

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}

_ACTIVATIONS: Final[dict[Activation, Callable[[Tensor], Tensor]]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
}

_FUSED: Final[dict[Activation | None, tuple[str, str]]] = {
    None: ("none", ""),
    "relu": ("relu", ""),
    "gelu": ("gelu", "none"),
    "silu": ("swish", ""),
}
"""Names that oneDNN's product knows: of an operation on what it found, and of the formula."""


class PackedLinear(nn.Module):
    """A linear layer whose weights oneDNN has laid out, for inference on a CPU.

    A product of few rows reads every weight once: laid out in the order of reading it takes a third of the time (5 rows,
    256 → 8,000: 0.23 ms against 0.70). PyTorch's own compiler does the same to frozen weights.

    Args:
        layer: of float32.
        dtype: float32, or bfloat16, which halves what is read; sums are in float32, inputs and outputs as the model has them.
    """

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        weight = layer.weight.detach().to(dtype)
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)  # noqa: SLF001  # no public name
        self.bias = None if layer.bias is None else layer.bias.detach().to(dtype)
        outputs, self._inputs = weight.shape
        self._reads_plain = dtype == torch.float32
        self._narrows = outputs < self._inputs
        self._plain: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """The weights in rows, [outputs, inputs], for who looks at them; nothing is told of changes."""
        weight = self._plain_weight()
        return weight if self._narrows else weight.t()

    def forward(self, values: Tensor, activation: Activation | None = None) -> Tensor:
        """Return [..., outputs] of values [..., inputs], with a non-linearity if one is named."""
        if self._reads_plain and values.numel() == self._inputs and values.dtype == self.dtype:
            found = self._row(values)
            return found if activation is None else _ACTIVATIONS[activation](found)
        if values.dtype == self.dtype:  # a cast, though of nothing, is a tenth of a small product
            return self._product(values, activation)
        return self._product(values.to(self.dtype), activation).to(values.dtype)

    def onto(self, values: Tensor, sums: Tensor) -> Tensor:
        """Return sums [..., outputs] + what `forward` returns of values [..., inputs]."""
        if values.dtype != self.dtype:
            added: Tensor = sums + self(values)
            return added
        if self._reads_plain and values.numel() == self._inputs:
            return self._row(values).add_(sums)
        found: Tensor = torch.ops.mkldnn._linear_pointwise.binary(  # noqa: SLF001  # no public name
            values, sums, self._weight, self.bias, "add"
        )
        return found

    def _row(self, values: Tensor) -> Tensor:
        """Return outputs of a single row.

        A plain product starts in a third of the time (6 µs against 17), and reads weights that no cache holds more quickly
        (256 → 7,792: 412 µs against 701); where it narrows, if those of an output lie together (1,024 → 256: 100 µs against 150).
        """
        weight = self._plain_weight() if self._plain is None else self._plain
        row = values.reshape(1, self._inputs)
        if self._narrows:
            found = functional.linear(row, weight, self.bias)
        else:
            found = torch.mm(row, weight) if self.bias is None else torch.addmm(self.bias, row, weight)
        return found if found.dim() == values.dim() else found.view(*values.shape[:-1], -1)

    def _plain_weight(self) -> Tensor:
        """Return the weights as they were before: [outputs, inputs] of a layer that narrows, else [inputs, outputs]."""
        if self._plain is None:
            dense = self._weight.to_dense()
            self._plain = dense.contiguous() if self._narrows else dense.t().contiguous()
        return self._plain

    def _product(self, values: Tensor, activation: Activation | None) -> Tensor:
        operation, formula = _FUSED[activation]
        found: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001  # no public name
            values, self._weight, self.bias, operation, [], formula
        )
        return found


class Int8Linear(nn.Module):
    """A linear layer of eight-bit weights and inputs, with a scale for each row of both.

    Every input row is scaled by itself (its largest magnitude is 127), so that rows do not change each other.

    Args:
        layer: of floating-point numbers.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        weight = layer.weight.detach().float()
        scales = _scales(weight)  # [outputs, 1]
        self._weight = (weight / scales).round_().to(torch.int8).t()  # [inputs, outputs], each column in one piece
        self._scales = scales.squeeze(1)
        self.bias = None if layer.bias is None else layer.bias.detach().float()

    @property
    def weight(self) -> Tensor:
        """A copy, [outputs, inputs], for a model that looks at it."""
        return self._weight.t() * self._scales[:, None]

    def forward(self, values: Tensor) -> Tensor:
        """Return [..., outputs] of values [..., inputs]."""
        rows = values.reshape(-1, values.shape[-1]).float()
        scales = _scales(rows)
        whole = (rows / scales).round_().to(torch.int8)
        product = torch._int_mm(whole, self._weight) * scales  # noqa: SLF001  # no public name
        product.mul_(self._scales)
        if self.bias is not None:
            product.add_(self.bias)
        return product.to(values.dtype).view(*values.shape[:-1], self._weight.shape[1])


class Bfloat16Linear(nn.Module):
    """A linear layer whose weights are of bfloat16, where oneDNN is not built in.

    Args:
        layer: of floating-point numbers.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = layer.weight.detach().bfloat16()
        self.bias = None if layer.bias is None else layer.bias.detach().bfloat16()

    def forward(self, values: Tensor) -> Tensor:
        """Return [..., outputs] of values [..., inputs]."""
        return functional.linear(values.bfloat16(), self.weight, self.bias).to(values.dtype)


def pack_linear_layers(module: nn.Module, precision: Precision) -> int:
    """Replace the linear layers in a module on a CPU, which can only compute from then on.

    Args:
        module: changed in place. Layers of a class derived from `nn.Linear` stay as they are.
        precision: of the weights and, with int8, of the inputs.

    Returns:
        How many were replaced.
    """
    replaced = 0
    for name, child in module.named_children():
        if type(child) is not nn.Linear:
            replaced += pack_linear_layers(child, precision)
            continue
        packed = _packed(child, precision)
        if packed is not None:
            setattr(module, name, packed)
            replaced += 1
    return replaced


def activated(layer: nn.Module, values: Tensor, activation: Activation) -> Tensor:
    """Return the non-linearity of a layer's output [..., outputs], in one operation where the layer can do so."""
    if isinstance(layer, PackedLinear):
        return layer.forward(values, activation)
    return _ACTIVATIONS[activation](layer(values))


def onto(layer: nn.Module, values: Tensor, sums: Tensor) -> Tensor:
    """Return sums [..., outputs] + a layer's output, in one operation where the layer can do so."""
    if isinstance(layer, PackedLinear):
        return layer.onto(values, sums)
    added: Tensor = sums + layer(values)
    return added


def _packed(layer: nn.Linear, precision: Precision) -> nn.Module | None:
    """Return what computes what a layer does; None where the layer itself is the best that there is."""
    if layer.weight.dtype != torch.float32:
        return None
    if precision == "int8":
        return Int8Linear(layer)
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return PackedLinear(layer, _DTYPES[precision])
    return Bfloat16Linear(layer) if precision == "bf16" else None


def _scales(rows: Tensor) -> Tensor:
    """Return by what eight-bit numbers are multiplied to give rows [rows, width]: [rows, 1], nowhere zero."""
    return (rows.abs().amax(dim=1, keepdim=True) / 127.0).clamp_(min=torch.finfo(torch.float32).tiny)
