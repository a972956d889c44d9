"""The outcomes of two specs side by side: which tests and scores belong together, and what may be compared at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import BaseModel, ConfigDict, JsonValue

from specforge.planning.plan import Step

LEVEL: Final = 0.05
"""A difference with a smaller p-value is called significant."""

FEWEST_SENTENCES: Final = 30
"""Resamples of fewer sentences hardly differ from each other, so that every difference would look significant."""


class StoredScore(BaseModel):
    """A score as `scores.json` holds it.

    Args:
        name, value, signature, higher_is_better: as in `specforge.metrics.metric.Score`.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    name: str
    value: float
    signature: str
    higher_is_better: bool = True


class Significance(BaseModel):
    """What a worker finds out about the scores of two specs on one test (`specforge.steps.significance`).

    Args:
        sentences: sentences of the test.
        same_references: whether both specs compare with the same text, once each one's tokenizer has joined it its way.
        p_values: one for each metric, in their order; None where the metric has none, and where the test or its references
            do not allow any.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    sentences: int
    same_references: bool
    p_values: list[float | None]


@dataclass(frozen=True, slots=True)
class ScorePair:
    """A score in both specs.

    Args:
        test: name of the test in each of them; None where one has no such test.
        before: the score in the first spec; None where it has none (yet).
        after: the score in the second.
        problem: why the two cannot be compared.
        p_value: significance of the difference.
        remark: why there is none.
    """

    test: tuple[str | None, str | None]
    before: StoredScore | None
    after: StoredScore | None
    problem: str | None = None
    p_value: float | None = None
    remark: str | None = None

    @property
    def metric(self) -> str:
        """What the score is called."""
        score = self.before or self.after
        assert score is not None
        return score.name

    @property
    def difference(self) -> float | None:
        """Second minus first, where they may be compared."""
        if self.before is None or self.after is None or self.problem is not None:
            return None
        return self.after.value - self.before.value

    @property
    def better(self) -> str | None:
        """`a` or `b` where one is significantly better, else None."""
        if not self.difference or self.before is None or self.p_value is None or self.p_value >= LEVEL:
            return None
        return "b" if (self.difference > 0) == self.before.higher_is_better else "a"

    def with_significance(self, found: Significance, p_value: float | None) -> ScorePair:
        """Return the pair with what a worker found out about it."""
        if not found.same_references:
            return replace(self, problem="each side's tokenizer joins the references its own way")
        if found.sentences < FEWEST_SENTENCES:
            return replace(self, remark=f"{found.sentences} sentences are too few to tell")
        if p_value is None:
            return replace(self, remark=f"no significance for {self.metric}: it scores no sentences")
        return replace(self, p_value=p_value)


@dataclass(frozen=True, slots=True)
class PairOfTests:
    """A test in both specs.

    Args:
        before, after: its score step in each of them; None where one has no such test.
        problem: what is different about its data.
    """

    before: Step | None
    after: Step | None
    problem: str | None = None

    @property
    def names(self) -> tuple[str | None, str | None]:
        """The name of the test in each spec."""
        before, after = (None if step is None else _test(step) for step in (self.before, self.after))
        return before, after


def pairs_of_tests(before: Sequence[Step], after: Sequence[Step]) -> Iterator[PairOfTests]:
    """Yield the tests of two plans: those of one name together, then those of equal data under two names, then the rest."""
    first, second = ({_test(step): step for step in steps if step.kind == "score"} for steps in (before, after))
    old, new = ({name: _data(steps, name) for name in tests} for steps, tests in ((before, first), (after, second)))
    others = [name for name in second if name not in first]
    for name, step in first.items():
        if name in second:
            yield PairOfTests(step, second[name], _problem(old[name], new[name]))
            continue
        alike = next((other for other in others if new[other] == old[name]), None)
        if alike is not None:
            others.remove(alike)
        yield PairOfTests(step, None if alike is None else second[alike])
    yield from (PairOfTests(None, second[name]) for name in others)


def _test(step: Step) -> str:
    return step.id.partition(".")[2]


def _data(steps: Sequence[Step], test: str) -> dict[str, JsonValue]:
    """Return what a test consists of: role → digest of its files, and how they are read."""
    found: dict[str, JsonValue] = {}
    for step in steps:
        if _test(step) == test:
            found |= {file.role.rpartition("/")[2]: file.digest for file in step.inputs}
            found |= {name: step.config[name] for name in ("data", "seed") if name in step.config}
    return found


def _problem(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> str | None:
    if before == after:
        return None
    sides = [name for name in before if name not in {"data", "seed"} and before[name] != after.get(name)]
    return f"other test data ({', '.join(sides)})" if sides else "the test data are read otherwise"


def score_pairs(
    pair: PairOfTests, before: Sequence[StoredScore], after: Sequence[StoredScore]
) -> Iterator[tuple[int | None, ScorePair]]:
    """Yield the scores of a test side by side, each with its number in the first spec.

    Scores of one signature belong together; those of one name and two signatures stand together and are not compared.

    Args:
        pair: the test.
        before: its scores in the first spec, in the order of generate.metrics.
        after: those in the second.
    """
    left = list(after)
    for number, score in enumerate(before):
        same = next((other for other in left if (other.name, other.signature) == (score.name, score.signature)), None)
        other = same or next((other for other in left if other.name == score.name and not _in(other, before)), None)
        problem = pair.problem
        if other is not None:
            left.remove(other)
            problem = pair.problem or (None if same is not None else _settings(score, other))
        yield number, ScorePair(pair.names, score, other, problem)
    yield from ((None, ScorePair(pair.names, None, score, pair.problem)) for score in left)


def _settings(score: StoredScore, other: StoredScore) -> str:
    """Say in what two signatures differ: `case:mixed against case:lc`."""
    one, two = (each.signature.split("|") for each in (score, other))
    parts = [" ".join(part for part in mine if part not in yours) for mine, yours in ((one, two), (two, one))]
    return " against ".join(part or "nothing" for part in parts)


def _in(score: StoredScore, others: Sequence[StoredScore]) -> bool:
    return any((score.name, score.signature) == (other.name, other.signature) for other in others)
