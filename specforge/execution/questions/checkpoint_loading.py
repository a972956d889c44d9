"""Whether a checkpoint of one spec loads in another, and which fields are to blame, found by trying each of them alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue, TypeAdapter

from specforge.execution.job import Job
from specforge.execution.questions.answers import answer
from specforge.execution.signals import StopRequest
from specforge.execution.workers import available_threads
from specforge.planning.comparison.compatibility import Loading, Shapes, fit
from specforge.planning.comparison.difference import Compared, FieldChange
from specforge.planning.comparison.variation import Variant, vary
from specforge.planning.estimates import Estimates
from specforge.planning.steps import part_settings

_SHAPES: TypeAdapter[list[dict[str, list[int]] | None]] = TypeAdapter(list[dict[str, list[int]] | None])


@dataclass(frozen=True, slots=True)
class LoadingSide:
    """One of the two specs.

    Args:
        compared: the spec with its data files and steps.
        estimates: what its plan comes to.
    """

    compared: Compared
    estimates: Estimates

    @property
    def joined(self) -> bool:
        """Whether all columns share one vocabulary."""
        preprocess = next(step for step in self.compared.steps if step.kind == "preprocess")
        section = preprocess.settings["preprocess"]
        assert isinstance(section, dict)
        return section["joined_dictionary"] is True

    @property
    def guessed(self) -> bool:
        """Whether the size of the vocabulary is a guess."""
        return not {"vocabulary", "tensors"}.isdisjoint(self.estimates.approximate)


def loading(
    before: LoadingSide,
    after: LoadingSide,
    fields: tuple[FieldChange, ...],
    stop: StopRequest,
    *,
    same_text: bool | None,
) -> Loading:
    """Compare the models of two specs.

    Args:
        before: the spec that has the checkpoint.
        after: the spec that would load it.
        fields: what differs between the two.
        stop: requests to stop.
        same_text: as in `specforge.planning.comparison.compatibility.Loading`.

    Raises:
        SpecforgeError: a worker cannot be started, or died.
    """
    found = fit(before.estimates.tensors, after.estimates.tensors)
    sizes, others = before.estimates.vocabulary, after.estimates.vocabulary
    vocabulary = {role: (sizes[role], others[role]) for role in sizes if sizes[role] != others.get(role, sizes[role])}
    guessed = before.guessed, after.guessed
    if found.loads:
        return Loading(found, vocabulary, 0, (), same_text, guessed)
    by_vocabulary, causes = _causes(before, after, fields, stop)
    return Loading(found, vocabulary, by_vocabulary, causes, same_text, guessed)


def _causes(
    before: LoadingSide, after: LoadingSide, fields: tuple[FieldChange, ...], stop: StopRequest
) -> tuple[int, tuple[FieldChange, ...]]:
    """Return how many tensors the vocabulary alone reshapes, and the fields that do so, each alone."""
    suspects = [field for field in fields if field.path[0] == "model" and field.effect != "nothing"]
    trials = list(_trials(before, after, suspects))
    job = Job(id="shapes", kind="shapes", settings={"models": trials}, threads=available_threads(1))
    one, other, with_vocabulary, *tried = _SHAPES.validate_json(answer(job, stop))
    pairs = list(zip(suspects, tried[: len(suspects)], tried[len(suspects) :], strict=True))
    # a value that does not fit the first model alone is tried the other way round
    moving = [
        field
        for field, there, back in pairs
        if (there != one if there is not None else back is not None and back != other)
    ]
    together = [field for field, there, back in pairs if there is None and back is None]  # they fit only each other
    by_model = moving or together
    by_vocabulary = _moved(one, with_vocabulary)
    blamed = [field for field in fields if by_vocabulary and {"tokenizer", "preprocess"} & {*field.rekeys}]
    causes = {field.path: field for field in (*by_model, *blamed)}
    return by_vocabulary, tuple(causes.values())


def _moved(one: Shapes | None, other: Shapes | None) -> int:
    """Return how many tensors differ, 0 where one of the models cannot be built."""
    if one is None or other is None:
        return 0
    found = fit(one, other)
    return len(found.reshaped) + len(found.only_before) + len(found.only_after)


def _trials(before: LoadingSide, after: LoadingSide, suspects: list[FieldChange]) -> Iterator[JsonValue]:
    """Yield both models, the first one with the other vocabulary, and each with every suspect of the other alone."""
    first, second = before.compared.variant, after.compared.variant
    yield _model(first, before)
    yield _model(second, after)
    yield _model(first, after)
    yield from (_model(vary(field.path, first, second), before) for field in suspects)
    yield from (_model(vary(field.path, second, first), after) for field in suspects)


def _model(variant: Variant, vocabulary_of: LoadingSide) -> JsonValue:
    """Return a model for the worker, with the vocabulary of one of the specs."""
    sizes: dict[str, JsonValue] = {**vocabulary_of.estimates.vocabulary}
    return {
        "model": part_settings(variant.spec.parts["model",]),
        "vocabulary": sizes,
        "joined": vocabulary_of.joined,
    }
