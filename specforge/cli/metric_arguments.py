"""`--metric`: a metric by its name, or with options as a spec would write it."""

from __future__ import annotations

import argparse
import tomllib
from importlib.util import find_spec
from typing import TYPE_CHECKING

from specforge.foundation.errors import WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.registry import config_class, load_registry
from specforge.language.spec import Part
from specforge.language.validation import validate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue
    from pydantic_core import ErrorDetails


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """Add `--metric`."""
    parser.add_argument(
        "--metric",
        dest="metrics",
        action="append",
        metavar="METRIC",
        help="bleu, chrf, …, or with options: '{ use = \"chrf\", word_order = 2 }'; may be repeated (default: bleu)",
    )


def chosen_metrics(typed: Sequence[str] | None) -> list[Part]:
    """Return the metrics that are asked for.

    Raises:
        WrongInputError: SF732, not a name, or not a table; or its values are wrong; SF681, a package is missing.
        UnknownComponentError, AmbiguousComponentError: no metric has this name, or several have.
    """
    return [_metric(text) for text in typed or ["bleu"]]


def _metric(text: str) -> Part:
    table = _table(text)
    name = table.pop("use")
    assert isinstance(name, str)
    match = load_registry().find("metric", name)
    model = config_class(match.registered)
    for required in model.requires:
        if find_spec(required.module) is None:
            message = f"the metric `{printable(name)}` needs a package that is not installed"
            raise WrongInputError("SF681", message, help=f"type `{required.install}`")
    values: dict[str, JsonValue] = {**({} if match.preset is None else match.preset.values), **table}
    outcome = validate(model, values)
    if outcome.errors or outcome.value is None:
        raise WrongInputError(
            "SF732",
            f"the metric `{printable(name)}` does not take these values: {printable(text, longest=200)}",
            notes=tuple(printable(_fault(error), longest=300) for error in outcome.errors),
            help=f"`specforge components metric {match.registered.component.name}` lists its keys",
        )
    return Part(match.registered, outcome.value, None if match.preset is None else match.preset.name)


def _fault(error: ErrorDetails) -> str:
    path = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"there is no key `{path}`"
    return f"`{path}`: {error['msg'].lower()}" if path else error["msg"]


def _table(text: str) -> dict[str, JsonValue]:
    if not text.lstrip().startswith("{"):
        return {"use": text.strip()}
    try:
        table = tomllib.loads(f"metric = {text}")["metric"]
    except tomllib.TOMLDecodeError as error:
        raise _no_table(text, str(error).lower()) from error
    if not isinstance(table, dict) or not isinstance(table.get("use"), str):
        raise _no_table(text, "a metric is named by `use`")
    return dict(table)


def _no_table(text: str, reason: str) -> WrongInputError:
    return WrongInputError(
        "SF732",
        f"`--metric` takes a name or a table in braces: {printable(text, longest=200)}",
        notes=(printable(reason, longest=200),),
        help="write --metric '{ use = \"chrf\", word_order = 2 }'",
    )
