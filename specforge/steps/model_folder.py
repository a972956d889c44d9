"""The model folder: all that is needed to use trained weights elsewhere.

- `model.safetensors`: the weights, tied ones once;
- `model.json`: what they are, the task, tokenizer and model tables, and how they came to be;
- `vocabulary.<role>.txt`: the vocabulary of each text column; `labels.<role>.txt`: the labels of a column of labels;
- `tokenizer/`: the files that the tokenizer keeps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from torch import Tensor

from specforge.data.corpus import read_facts
from specforge.data.labels import Labels
from specforge.data.vocabulary import Vocabulary
from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError, Place
from specforge.models.model import Model
from specforge.plugin import ModelContext
from specforge.steps.parts import make_model, make_task, make_tokenizer
from specforge.steps.tokenizer import tokenizer_files
from specforge.tasks.task import Task
from specforge.tokenizers.tokenizer import Tokenizer
from specforge.training.weights import load_weights, read_weights, weight_bytes

WEIGHTS: Final = "model.safetensors"
DESCRIPTION: Final = "model.json"
_COMPONENTS: Final = ("task", "tokenizer", "model")


class _Description(BaseModel):
    """What `model.json` must hold; it may hold more."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    task: dict[str, JsonValue]
    tokenizer: dict[str, JsonValue]
    model: dict[str, JsonValue]
    roles: list[str]
    joined: bool


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model ready for use, with all that goes with it.

    Args:
        task: the task it was trained for.
        model: the weights in place, in evaluation mode, on the device asked for.
        tokenizer: trained.
        vocabularies: role of each text column → vocabulary.
        labels: role of each column of labels → labels.
        settings: `model.json`, whole.
    """

    task: Task
    model: Model
    tokenizer: Tokenizer
    vocabularies: Mapping[str, Vocabulary]
    labels: Mapping[str, Labels]
    settings: Mapping[str, JsonValue]


def write_model_folder(
    folder: Path,
    weights: Mapping[str, Tensor],
    settings: Mapping[str, JsonValue],
    preprocess_folder: Path,
    facts: Mapping[str, JsonValue],
) -> None:
    """Fill a new model folder.

    Args:
        folder: created; it must not exist yet.
        weights: as `specforge.training.weights.module_weights` takes them from the model.
        settings: the train step's settings, of which the `task`, `tokenizer` and `model` tables are kept.
        preprocess_folder: result of the preprocess step: vocabularies and the tokenizer's files.
        facts: further entries of `model.json`: the update, validation figures.
    """
    durable.make_folder(folder)
    prepared = read_facts(preprocess_folder)
    description = {name: settings[name] for name in _COMPONENTS}
    description |= {"roles": [*prepared.roles], "joined": prepared.joined, **facts}
    durable.write_file(folder / WEIGHTS, weight_bytes(weights))
    durable.write_json(folder / DESCRIPTION, description)
    for path in sorted((*preprocess_folder.glob("vocabulary.*.txt"), *preprocess_folder.glob("labels.*.txt"))):
        durable.write_file(folder / path.name, path.read_bytes())
    kept = durable.make_folder(folder / "tokenizer")
    for name, data in tokenizer_files(preprocess_folder).items():
        durable.write_file(kept / name, data)
    durable.sync_folder(folder)


def load_model(folder: Path, device: torch.device) -> TrainedModel:
    """Build the model that a folder describes and give it its weights.

    Raises:
        CorruptStateError: SF614, a file is missing or is not what it should be.
    """
    settings = _json_object(folder / DESCRIPTION)
    try:
        described = _Description.model_validate(settings)
    except ValidationError as error:
        message = f"not the description of a model: {error.errors()[0]['msg'].lower()}"
        raise CorruptStateError("SF614", message, place=Place(str(folder / DESCRIPTION))) from error
    vocabularies, labels = read_vocabularies(folder, described.roles), read_labels(folder, described.roles)
    tokenizer = make_tokenizer(described.tokenizer)
    tokenizer.load(tokenizer_files(folder))
    model = make_model(described.model, model_context(vocabularies, labels, joined=described.joined))
    load_weights(model, read_weights(folder / WEIGHTS), folder / WEIGHTS)
    return TrainedModel(make_task(described.task), model.to(device).eval(), tokenizer, vocabularies, labels, settings)


def read_vocabularies(folder: Path, roles: list[str]) -> dict[str, Vocabulary]:
    """Return the vocabulary of each text column of a preprocess result or a model folder."""
    texts = [role for role in roles if not _labels_file(folder, role).is_file()]
    return {role: _vocabulary(folder / f"vocabulary.{role}.txt") for role in texts}


def read_labels(folder: Path, roles: list[str]) -> dict[str, Labels]:
    """Return the labels of each column of labels of a preprocess result or a model folder."""
    paths = {role: _labels_file(folder, role) for role in roles}
    return {role: Labels.from_bytes(_read(path), Place(str(path))) for role, path in paths.items() if path.is_file()}


def model_context(
    vocabularies: Mapping[str, Vocabulary], labels: Mapping[str, Labels] | None = None, *, joined: bool
) -> ModelContext:
    """Return what a model is built for."""
    symbols = {role: vocabulary.symbols for role, vocabulary in vocabularies.items()}
    return ModelContext(symbols, joined, {role: len(known) for role, known in (labels or {}).items()})


def _labels_file(folder: Path, role: str) -> Path:
    return folder / f"labels.{role}.txt"


def _vocabulary(path: Path) -> Vocabulary:
    return Vocabulary.from_bytes(_read(path), Place(str(path)))


def _json_object(path: Path) -> dict[str, JsonValue]:
    try:
        data = json.loads(_read(path))
    except ValueError as error:
        raise CorruptStateError("SF614", "not JSON", place=Place(str(path))) from error
    if not isinstance(data, dict):
        raise CorruptStateError("SF614", "not a JSON object", place=Place(str(path)))
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CorruptStateError("SF614", "a file is missing", place=Place(str(path))) from None
