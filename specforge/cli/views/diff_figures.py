"""The figures of a difference for people: models, scores and validations side by side, as rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from specforge.cli.diff_report import Training
from specforge.cli.views.output import columns
from specforge.foundation.quantities import counted
from specforge.foundation.terminal import printable
from specforge.planning.comparison.compatibility import Fit, Loading
from specforge.planning.comparison.curves import Curve, Curves, Validated
from specforge.planning.comparison.outcomes import ScorePair
from specforge.planning.estimates import Estimates

Names: TypeAlias = tuple[str, str]
Row: TypeAlias = tuple[str, ...]

_MOST_TENSORS: Final = 4
_WIDTH: Final = 6  # of a figure: -100.00 is rare
_LARGE: Final = 100  # from here on a ratio needs no digits behind the point
_MILLION: Final = 1_000_000
_NEAR: Final = 0.1  # this close to 1 a ratio needs a third digit


def model_rows(training: Training, names: Names, causes: Sequence[Row]) -> Iterator[Row]:
    """Yield the two models.

    Args:
        training: the models.
        names: of the specs.
        causes: path and both values of the fields that keep a checkpoint from loading.
    """
    before, after = training.estimates
    parameters: tuple[Amount, Amount] = (_parameters(before), _parameters(after))
    yield "parameters", _ratio(*parameters, _count)
    if None not in {before.flop_per_update, after.flop_per_update}:
        whole = None not in {before.updates, after.updates}
        work: tuple[Amount, Amount] = (_work(before, whole=whole), _work(after, whole=whole))
        unit = " FLOP" if whole else " FLOP per update"
        yield "work", _ratio(*work, _power, unit)
    yield from _checkpoint(training, names)
    if not training.loading.fit.loads:
        yield from _tensors(training.loading.fit, names)
        yield from _causes(training.loading, causes)


Amount: TypeAlias = tuple[float, bool]
"""A number, and whether it rests on a guess."""


def _parameters(estimates: Estimates) -> Amount:
    return estimates.parameters, "parameters" in estimates.approximate


def _work(estimates: Estimates, *, whole: bool) -> Amount:
    assert estimates.flop_per_update is not None
    updates = estimates.updates if whole and estimates.updates is not None else 1
    guessed = not {"flop_per_update", *(["updates"] if whole else [])}.isdisjoint(estimates.approximate)
    return estimates.flop_per_update * updates, guessed


def _ratio(before: Amount, after: Amount, shown: Callable[[float], str], unit: str = "") -> str:
    """Return two amounts with their ratio: `60.5 M → 209.1 M (3.5×)`."""
    one, other = (f"{'≈ ' if guessed else ''}{shown(value)}" for value, guessed in (before, after))
    if one == other:
        return f"{one}{unit} in both"
    ratio = f" ({_times(after[0] / before[0])}×)" if before[0] else ""
    return f"{one} → {other}{unit}{ratio}"


def _count(value: float) -> str:
    """Return a number of parameters: from a million on in millions."""
    return f"{value / _MILLION:,.1f} M" if value >= _MILLION else f"{value:,.0f}"


def _power(value: float) -> str:
    return f"{value:.1e}".replace("e+", "e")


def _times(ratio: float) -> str:
    if ratio >= _LARGE:
        return f"{ratio:,.0f}"
    return f"{ratio:.3g}" if abs(ratio - 1) < _NEAR else f"{ratio:.2g}"


def _checkpoint(training: Training, names: Names) -> Iterator[Row]:
    loading = training.loading
    found = loading.fit
    guesses = [name for name, guessed in zip(names, loading.guessed, strict=True) if guessed]
    on_guess = f" (the vocabulary of {' and '.join(guesses)} is a guess)" if guesses else ""
    if loading.loads is None:
        count, verb = len(found.reshaped), "has" if len(found.reshaped) == 1 else "have"
        who = " and ".join(guesses)
        yield "checkpoint", f"not known until preprocess of {who} has run: its vocabulary is a guess"
        yield "", f"{count:,} of {found.needed:,} tensors {verb} its size"
    elif not loading.loads:
        yield "checkpoint", f"not loadable: {_misfit(found, names)}{on_guess}"
    else:
        yield "checkpoint", f"of {names[0]} loads in {names[1]}: {found.alike:,} of {found.needed:,} tensors{on_guess}"
        if loading.same_text is False:
            yield "", "but vocabulary or tokenizer differ: the same row stands for another piece"
        elif loading.same_text is None:
            yield "", "but preprocess differs: the same row may stand for another piece"


def _misfit(found: Fit, names: Names) -> str:
    parts = []
    if found.reshaped:
        verb = "changes" if len(found.reshaped) == 1 else "change"
        parts.append(f"{len(found.reshaped):,} of {found.needed:,} tensors {verb} shape")
    for name, only in zip(names, (found.only_before, found.only_after), strict=True):
        if only:
            parts.append(f"{counted(len(only), 'tensor') if not parts else f'{len(only):,}'} only in {name}")
    return ", ".join(parts)


def _tensors(found: Fit, names: Names) -> Iterator[Row]:
    shown = _first([(printable(one.name), f"{_shape(one.before)} → {_shape(one.after)}") for one in found.reshaped])
    for name, only in zip(names, (found.only_before, found.only_after), strict=True):
        shown += _first([(printable(tensor), f"only in {name}") for tensor in only])
    yield from (("", line) for line in columns(shown, indent=""))


def _first(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the first few rows, and how many more there are."""
    if len(rows) <= _MOST_TENSORS + 1:
        return list(rows)
    return [*rows[:_MOST_TENSORS], (f"and {len(rows) - _MOST_TENSORS:,} more", "")]


def _shape(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _causes(loading: Loading, causes: Sequence[Row]) -> Iterator[Row]:
    if loading.by_vocabulary:
        yield "", f"{counted(loading.by_vocabulary, 'tensor')} by {_vocabulary(loading)} alone"
    rows = [(f"because of {path}", before, after) for path, before, after in causes]
    yield from (("", line) for line in columns(rows, indent=""))


def _vocabulary(loading: Loading) -> str:
    if not loading.vocabulary:
        return "whether the vocabulary is shared"
    one, other = ("≈ " if guessed else "" for guessed in loading.guessed)
    sizes = {role: f"{one}{old:,} → {other}{new:,}" for role, (old, new) in loading.vocabulary.items()}
    if len({*sizes.values()}) == 1:
        return f"the vocabulary ({next(iter(sizes.values()))} types)"
    return f"the vocabulary ({', '.join(f'{role} {size}' for role, size in sizes.items())} types)"


def score_rows(scores: Sequence[ScorePair], names: Names) -> Iterator[Row]:
    """Yield the scores of both."""
    yield "test", "metric", *names, "difference", ""
    for pair in scores:
        difference = pair.difference
        yield (
            " = ".join(dict.fromkeys(printable(test) for test in pair.test if test is not None)),
            printable(pair.metric),
            *(_number(None if score is None else score.value) for score in (pair.before, pair.after)),
            "" if difference is None else f"{difference:>+{_WIDTH}.2f}",
            _verdict(pair, names),
        )


def _verdict(pair: ScorePair, names: Names) -> str:
    for score, name, test in zip((pair.before, pair.after), names, pair.test, strict=True):
        if score is None:
            return f"{name} has no such test" if test is None else f"{name} has none yet"
    if pair.problem is not None:
        return f"not comparable: {printable(pair.problem)}"
    if not pair.difference:
        return "equal"
    if pair.p_value is None:
        return printable(pair.remark or "")
    return f"p = {_p_value(pair.p_value)}: {_meaning(pair, names)}"


def _p_value(p_value: float) -> str:
    """Return a p-value with two digits that count, three decimals at least: LEVEL is never hidden by rounding."""
    return f"{p_value:.3f}"


def _meaning(pair: ScorePair, names: Names) -> str:
    if pair.better is None:
        return "not significant"
    return f"{names[0] if pair.better == 'a' else names[1]} is better"


def validation_rows(curves: Curves, names: Names) -> Iterator[Row]:
    """Yield validations at common updates, and the best of each."""
    common = [(f"{one.updates:>7,}", one, other) for one, other in curves.common]
    rows = [*common, ("best", curves.before.best, curves.after.best)]
    yield "validation", *(cell for figure in curves.figures for cell in (printable(figure), "")), ""
    yield "updates", *(cell for _ in curves.figures for cell in names), ""
    for title, one, other in rows:
        remark = _bests(curves) if title == "best" else ""
        yield title, *(_figure(validated, figure) for figure in curves.figures for validated in (one, other)), remark


def _figure(validated: Validated | None, figure: str) -> str:
    value = None if validated is None else validated.figures.get(figure)
    return _number(value, 3 if figure == "loss" else 2)


def _number(value: float | None, digits: int = 2) -> str:
    """Return a figure with its point below that of the one above."""
    return f"{'-':>{_WIDTH}}" if value is None else f"{value:>{_WIDTH}.{digits}f}"


def _bests(curves: Curves) -> str:
    """Say after how many updates each was best, and by what: `at 360 and 390 by bleu`."""
    before, after = curves.before, curves.after
    if before.best_metric != after.best_metric:
        return f"{_at(before)} by {printable(before.best_metric)}, {_at(after)} by {printable(after.best_metric)}"
    return f"{_at(before)} and {_at(after)} by {printable(before.best_metric)}"


def _at(curve: Curve) -> str:
    return "none yet" if curve.best_updates is None else f"at {curve.best_updates:,}"
