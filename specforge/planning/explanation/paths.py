"""Paths as people type them: `model.dropout`, `data.train[0].weight`, `generate.metrics.0.tokenize`, `[train]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from specforge.foundation.errors import WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.messages.suggest import nearest
from specforge.language.normalise import SINGLE_TEST
from specforge.language.spec import Spec, ValuePath
from specforge.planning.steps import dotted

_MOST_HOMES: Final = 4  # places of one key that fit into a line

_NO_VALUES: Final = MappingProxyType(
    {
        "extends": "`extends` is no value; the explanation of a field says which file it comes from",
        "unset": "`unset` is no value; the explanation of a field says what was removed of it",
        "sweep": "`sweep` is no value; the explanation of a field that is swept shows its values",
    }
)


def find_path(text: str, spec: Spec, others: Iterable[str] = ()) -> ValuePath:
    """Return the path of a value or a table of the resolved tree.

    What a spec may write in short may be named in short: `data.train.path` is the path of the only training corpus.

    Args:
        text: as typed.
        spec: whose tree it is to be in.
        others: names that could have been meant instead.

    Raises:
        WrongInputError: SF110, there is no such path.
    """
    name = text.strip()
    if name.startswith("[") and name.endswith("]"):  # a table as its header writes it
        name = name.strip("[]")
    wanted = name.replace("[", ".").replace("]", "")
    found = _walk(wanted, dict(spec.tree), ()) if wanted else None
    if found is None:
        raise _unknown(text, wanted, spec, others)
    return found


def paths_of(tree: JsonValue, path: ValuePath = ()) -> Iterator[ValuePath]:
    """Yield the path of every table, list and value of a tree."""
    if path:
        yield path
    for name, child in _children(tree):
        yield from paths_of(child, (*path, name))


def _children(value: JsonValue) -> list[tuple[str | int, JsonValue]]:
    if isinstance(value, dict):
        return list(value.items())
    tables = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return list(enumerate(value)) if isinstance(value, list) and tables else []


def _walk(wanted: str, value: JsonValue, path: ValuePath) -> ValuePath | None:
    """Return the path that `wanted` leads to from a value, or None; a name may have dots in it."""
    if not wanted:
        return path
    children = _children(value)
    for name, child in children:
        for written in (str(name), f'"{name}"', f"'{name}'"):
            if wanted == written or wanted.startswith(f"{written}."):
                found = _walk(wanted[len(written) + 1 :], child, (*path, name))
                if found is not None:
                    return found
    only = _only(value)
    return None if only is None else _walk(wanted, only[1], (*path, only[0]))


def _only(value: JsonValue) -> tuple[str | int, JsonValue] | None:
    """Return the one element of a list, or the one test that has no name of its own: a spec may leave them unnamed."""
    children = _children(value)
    if len(children) == 1 and (isinstance(value, list) or children[0][0] == SINGLE_TEST):
        return children[0]
    return None


def _unknown(typed: str, wanted: str, spec: Spec, others: Iterable[str]) -> WrongInputError:
    known = {dotted(path): path for path in paths_of(dict(spec.tree))}
    key = wanted.rpartition(".")[2]
    homes = [name for name, path in known.items() if path[-1] == key] if key else []
    near = nearest(wanted, [*others, *known])
    alike = None if near is not None else nearest(key, {str(path[-1]) for path in known.values()})
    if wanted.partition(".")[0] in _NO_VALUES:
        words = _NO_VALUES[wanted.partition(".")[0]]
    elif "." not in wanted and homes:
        words = f"`{printable(key)}` stands in {_listed(homes)}"
    elif near is not None:
        words = f"did you mean `{near}`?"
    elif homes or alike is not None:
        words = f"did you mean {_listed(homes or [name for name, path in known.items() if path[-1] == alike])}?"
    else:
        words = f"the tables are {', '.join(_tables(spec.tree))}; `specforge show --defaults` prints all fields"
    return WrongInputError("SF110", f"the spec has no `{printable(typed)}`, and no step is called so", help=words)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_HOMES} more" if len(names) > _MOST_HOMES else ""
    return ", ".join(f"`{printable(name)}`" for name in names[:_MOST_HOMES]) + more


def _tables(tree: Mapping[str, JsonValue]) -> list[str]:
    return [name for name, value in tree.items() if isinstance(value, dict)]
