"""Tensors that several processes write together, each what it holds, and that any number of processes can read.

In the folder of a checkpoint: `<group>-<rank>.safetensors` of each process, and `shards.json`, which says where the rows of
each tensor are. Where one process wrote everything there is `<group>.safetensors` instead. Either is read the same way: a
process takes the rows that it needs and leaves the others on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError, Place
from specforge.training.parallel.strategy import Part
from specforge.training.weights import weight_bytes

INDEX: Final = "shards.json"


class Piece(BaseModel):
    """Some rows of a tensor in a file.

    Args:
        file: its name.
        start: the first row.
        rows: how many.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    file: str
    start: int
    rows: int


class Stored(BaseModel):
    """A tensor on disk.

    Args:
        shape: of the whole.
        pieces: in the order of the rows; a tensor without dimensions has one of a single row.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    shape: list[int]
    pieces: list[Piece]


_GROUP: Final = TypeAdapter(dict[str, Stored])
_INDEX: Final = TypeAdapter(dict[str, dict[str, Stored]])


def write_part(
    folder: Path, group: str, rank: int, tensors: Mapping[str, Tensor], parts: Mapping[str, Part]
) -> JsonValue:
    """Write what a process holds, and return what the index has to know of it.

    Args:
        folder: where all of them write.
        group: what the tensors are: `model`, `optimizer`.
        rank: of this process; what is not cut is written by rank 0.
        tensors: by name.
        parts: which rows these are, for those that are cut.
    """
    file = f"{group}-{rank}.safetensors"
    mine = {name: tensor for name, tensor in tensors.items() if rank == 0 or name in parts}
    durable.write_file(folder / file, weight_bytes(mine))
    entries: dict[str, Stored] = {}
    for name, tensor in mine.items():
        shape = list(tensor.shape)
        part = parts.get(name) or Part(tuple(shape), 0, shape[0] if shape else 1)
        entries[name] = Stored(shape=list(part.shape), pieces=[Piece(file=file, start=part.start, rows=part.rows)])
    found: JsonValue = _GROUP.dump_python(entries, mode="json")
    return found


def index_of(groups: Sequence[str], written: Sequence[JsonValue]) -> JsonValue:
    """Return the index of a folder.

    Args:
        groups: what was written, in this order.
        written: by rank, what `write_part` returned for each of the groups.
    """
    by_rank = TypeAdapter(list[list[JsonValue]]).validate_python(written)
    return {group: _joined(entries) for group, entries in zip(groups, zip(*by_rank, strict=True), strict=True)}


def _joined(written: Sequence[JsonValue]) -> JsonValue:
    whole: dict[str, Stored] = {}
    for entries in written:
        for name, stored in _GROUP.validate_python(entries).items():
            before = whole[name].pieces if name in whole else []
            whole[name] = Stored(shape=stored.shape, pieces=[*before, *stored.pieces])
    found: JsonValue = _GROUP.dump_python(whole, mode="json")
    return found


def optimizer_parts(tensors: Mapping[str, Tensor], parts: Mapping[str, Part]) -> dict[str, Part]:
    """Return which entries (`parameter/entry`) of an optimizer's state are cut: those of the form of a cut parameter."""
    found = {}
    for name, tensor in tensors.items():
        part = parts.get(name.rpartition("/")[0])
        if part is not None and tuple(tensor.shape) == (part.rows, *part.shape[1:]):
            found[name] = part
    return found


def read_part(folder: Path, group: str, parts: Mapping[str, Part]) -> dict[str, Tensor]:
    """Return the tensors of a group: of those that are cut the rows that a process holds, of others all.

    Args:
        folder: of a checkpoint that was verified.
        group: what the tensors are: `model`, `optimizer`.
        parts: by the name of the tensor, or of the parameter that an entry (`parameter/entry`) of its form belongs to.

    Raises:
        CorruptStateError: SF614, a file is missing or no safetensors file, or a shape differs.
    """
    with ExitStack() as stack:
        files = _Files(folder, stack)
        index = _read_index(folder, group)
        if index is None:
            index = files.index(f"{group}.safetensors")
        return dict(_wanted(index, parts, files, folder))


def _wanted(
    index: Mapping[str, Stored], parts: Mapping[str, Part], files: _Files, folder: Path
) -> Iterator[tuple[str, Tensor]]:
    for name, stored in index.items():
        part, entry_of = parts.get(name), parts.get(name.rpartition("/")[0])
        if part is not None and list(part.shape) != stored.shape:
            message = f"the weights do not fit the model: `{name}`"
            raise CorruptStateError("SF614", message, place=Place(str(folder)))
        if part is None and entry_of is not None:
            if entry_of.rows == 0:
                continue  # this process's optimizer does not know the parameter
            part = entry_of if list(entry_of.shape) == stored.shape else None
        yield name, files.rows(name, stored, part)


class _Files:
    """The safetensors files of a folder, each opened once.

    Args:
        folder: where they are.
        stack: closes them.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._open: dict[str, Any] = {}  # of safetensors, which has no types

    def index(self, name: str) -> dict[str, Stored]:
        """Return what an index would say of a file that holds whole tensors."""
        file = self._file(name)
        with self._readable(name):
            shapes = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  # no mapping
        return {
            key: Stored(shape=shape, pieces=[Piece(file=name, start=0, rows=shape[0] if shape else 1)])
            for key, shape in shapes.items()
        }

    def rows(self, name: str, stored: Stored, part: Part | None) -> Tensor:
        """Return some rows of a tensor, or all, in memory of its own."""
        start, end = (
            (0, stored.shape[0] if stored.shape else 1) if part is None else (part.start, part.start + part.rows)
        )
        found = []
        for piece in stored.pieces:
            first, last = max(start, piece.start), min(end, piece.start + piece.rows)
            file = self._file(piece.file)
            with self._readable(piece.file):
                if part is None and len(stored.pieces) == 1:
                    return _own(file.get_tensor(name))
                if first < last:
                    found.append(file.get_slice(name)[first - piece.start : last - piece.start])
                elif not found and piece is stored.pieces[-1]:
                    found.append(file.get_slice(name)[0:0])  # a process without rows
        return _own(torch.cat(found))

    def _file(self, name: str) -> Any:  # as above
        if name not in self._open:
            with self._readable(name):
                self._open[name] = self._stack.enter_context(safe_open(self._folder / name, framework="pt"))
        return self._open[name]

    @contextmanager
    def _readable(self, name: str) -> Iterator[None]:
        place = Place(str(self._folder / name))
        try:
            yield
        except FileNotFoundError:
            raise CorruptStateError("SF614", "a file is missing", place=place) from None
        except SafetensorError as error:
            raise CorruptStateError("SF614", f"not a safetensors file: {error}", place=place) from error


def _own(tensor: Tensor) -> Tensor:
    """Return a tensor in its own memory: the file's is aligned to 8 bytes only, and kernels may round differently on it."""
    return tensor.clone()


def _read_index(folder: Path, group: str) -> dict[str, Stored] | None:
    """Return what the index says of a group, or None where there is none."""
    path = folder / INDEX
    try:
        return _INDEX.validate_json(path.read_bytes()).get(group)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise CorruptStateError("SF614", "not an index of tensors", place=Place(str(path))) from error
