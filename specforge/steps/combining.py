"""From what [generate] names to what answers: one checkpoint, or several models together, with a language model beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from specforge.data.vocabulary import Vocabulary
from specforge.execution.job import Job
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.terminal import printable
from specforge.generation.scorers.continuation import ContinuationScorer
from specforge.generation.scorers.ensemble import EnsembleScorer
from specforge.generation.scorers.fusion import FusionScorer
from specforge.language.schema.generate import GenerateSection
from specforge.models.model import EncoderDecoder, LanguageModel
from specforge.searches.scorer import ModelScorer, Scorer
from specforge.steps.model_folder import TrainedModel, load_model, open_model_folder


@dataclass(frozen=True, slots=True)
class Combined:
    """What answers.

    Args:
        scorer: one model, or several together.
        first: the checkpoint whose tokenizer and vocabularies hold for all.
    """

    scorer: Scorer
    first: TrainedModel


def combined_models(job: Job, section: GenerateSection, device: torch.device) -> Combined:
    """Load all models that [generate] names.

    Args:
        job: knows the result of train.
        section: the table, the paths in it absolute.
        device: where to compute.

    Raises:
        WrongInputError: SF701, a folder holds a model of another family; SF702, one has another vocabulary.
        RefusedError, CorruptStateError: as `open_model_folder`; SF614, a checkpoint is not what train wrote.
    """
    result = Path(job.needs["train"])
    own = [load_model(result / name, device) for name in section.checkpoints]
    first = own[0]
    scorers = [scorer_of(each, result) for each in own]
    for folder in map(Path, section.ensemble):
        other = open_model_folder(folder, device)
        scorers.append(scorer_of(other, folder))
        if other.vocabularies.keys() != first.vocabularies.keys():
            raise _another_family(folder, "of the family that the spec trains")
        for role, vocabulary in first.vocabularies.items():
            _check_vocabulary(vocabulary, other.vocabularies[role], folder, role)
    scorer = scorers[0] if len(scorers) == 1 else EnsembleScorer(scorers)
    fused = section.language_model
    if fused is not None and fused.weight > 0.0:
        model = _language_model(Path(fused.path), first.vocabularies["target"], device)
        scorer = FusionScorer(scorer, model, fused.weight)
    return Combined(scorer, first)


def _language_model(folder: Path, target: Vocabulary, device: torch.device) -> LanguageModel:
    opened = open_model_folder(folder, device)
    if not isinstance(opened.model, LanguageModel):
        raise _another_family(folder, "a language model")
    (role,) = opened.vocabularies
    _check_vocabulary(target, opened.vocabularies[role], folder, role)
    return opened.model


def scorer_of(trained: TrainedModel, folder: Path) -> Scorer:
    """Return what says how the outputs of a model go on.

    Raises:
        WrongInputError: SF523, it makes no text.
    """
    match trained.model:
        case EncoderDecoder():
            return ModelScorer(trained.model)
        case LanguageModel():
            return ContinuationScorer(trained.model)
        case _:
            raise WrongInputError("SF523", "this model turns no text into text", place=Place(str(folder)))


def _another_family(folder: Path, needed: str) -> WrongInputError:
    return WrongInputError("SF701", f"the model in this folder is not {needed}", place=Place(str(folder)))


def _check_vocabulary(expected: Vocabulary, found: Vocabulary, folder: Path, role: str) -> None:
    """Refuse a model that means other pieces by its symbols.

    Raises:
        WrongInputError: SF702, it names the first symbol that differs.
    """
    index = expected.first_difference(found)
    if index is None:
        return
    here, there = (_piece(vocabulary, index) for vocabulary in (expected, found))
    raise WrongInputError(
        "SF702",
        f"this model has another vocabulary than the checkpoint that it is to answer with: its symbol {index:,} is {there}, "
        f"the checkpoint's is {here}",
        place=Place(str(folder / f"vocabulary.{role}.txt"), Vocabulary.line(index)),
        notes=(f"it has {len(found):,} symbols, and the checkpoint {len(expected):,}",),
        help="models that answer together are trained on the same prepared data, or with the same vocabulary",
    )


def _piece(vocabulary: Vocabulary, index: int) -> str:
    return f"`{printable(vocabulary.pieces([index])[0])}`" if index < len(vocabulary) else "missing"
