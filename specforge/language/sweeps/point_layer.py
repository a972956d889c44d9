"""The layer of a value that a point of a sweep gives to a field: it says one thing, and its places are in `[sweep]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specforge.language.layers import Layer
from specforge.language.normalise import Normalised, normalise

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.spec import ValuePath
    from specforge.language.sweeps.draft import Choice


def point_layer(choice: Choice) -> Layer:
    """Return a layer of one value, whose places are in the table of the sweep."""
    tree: JsonValue = choice.value
    for part in reversed(choice.field.path):
        tree = {str(part): tree}
    assert isinstance(tree, dict)
    document = normalise(tree)
    typed = {path: _in_sweep(choice, origin) for path, origin in document.typed.items()}
    for length in range(1, len(choice.field.path) + 1):
        path = choice.field.path[:length]
        typed.setdefault(path, _in_sweep(choice, path))
        document.typed_keys[path] = choice.field.keys[length - 1]
    placed = _placed(document, choice.field.path)
    typed[placed] = choice.typed
    document.typed_keys[placed] = choice.field.key
    document.typed = typed
    return Layer(choice.field.layer.source, document)


def _in_sweep(choice: Choice, path: ValuePath) -> ValuePath:
    """Return where the table of the sweep holds a path of a point: a key on the way to the value, or what is in it."""
    length = len(choice.field.path)
    return choice.field.keys[len(path) - 1] if len(path) < length else (*choice.typed, *path[length:])


def _placed(document: Normalised, path: ValuePath) -> ValuePath:
    """Return a typed path in the one form: `data.train.weight` is `data.train[0].weight`."""
    rewritten = [(typed, new) for new, typed in document.typed.items() if path[: len(typed)] == typed]
    if not rewritten:
        return path
    typed, new = max(rewritten, key=lambda pair: (len(pair[0]), -len(pair[1])))
    return (*new, *path[len(typed) :])
