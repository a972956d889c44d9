"""The model folder: all that is needed to use trained weights elsewhere.

- `model.safetensors`: the weights, tied ones once;
- `model.json`: what they are, the task, tokenizer and model tables, and how they came to be;
- `vocabulary.<role>.txt`: the vocabulary of each text column; `labels.<role>.txt`: the labels of a column of labels;
- `tokenizer/`: the files that the tokenizer keeps;
- `spec.toml`: the resolved spec that it was trained with, every default written out;
- `SHA256SUMS`: digests of all these files, as `sha256sum --check` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor

from specforge.data.corpus import read_facts
from specforge.data.labels import Labels
from specforge.data.vocabulary import Vocabulary
from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError, Place, RefusedError
from specforge.language.model_folders import CONTENTS, DESCRIPTION
from specforge.language.registry import UnknownComponentError, load_registry
from specforge.models.model import Model
from specforge.plugin import Kind, ModelContext
from specforge.steps.folder_digests import changed_file, folder_digests, read_file
from specforge.steps.parts import make_model, make_task, make_tokenizer
from specforge.steps.tokenizer import tokenizer_files
from specforge.tasks.task import Task
from specforge.tokenizers.tokenizer import Tokenizer
from specforge.training.weights import load_weights, read_weights, weight_bytes

WEIGHTS: Final = "model.safetensors"
SPEC: Final = "spec.toml"
_OTHERS: Final = (SPEC, "vocabulary.*.txt", "labels.*.txt", "tokenizer/*")
_COMPONENTS: Final[tuple[Kind, ...]] = ("task", "tokenizer", "model")
_OF_TRAINING: Final[Mapping[str, Kind]] = {
    **{kind: kind for kind in _COMPONENTS},
    "criterion": "criterion",
    "optimizer": "optimizer",
    "lr_scheduler": "lr_scheduler",
    "valid_search": "search",
    "valid_metric": "metric",
}
"""Tables of the train step's settings that name a component → its kind."""


class _Description(BaseModel):
    """What `model.json` must hold; it may hold more."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    task: dict[str, JsonValue]
    tokenizer: dict[str, JsonValue]
    model: dict[str, JsonValue]
    roles: list[str]
    joined: bool
    components: dict[str, str] = Field(default_factory=dict)
    packages: dict[str, str] = Field(default_factory=dict)


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

    def encoded(self, role: str, lines: Sequence[str]) -> list[list[int]]:
        """Return the token indices of lines of a text column, EOS at the end of each."""
        vocabulary = self.vocabularies[role]
        return [[*vocabulary.encode(pieces), vocabulary.symbols.eos] for pieces in self.tokenizer.encode(role, lines)]

    def words(self, role: str, lines: Sequence[str]) -> list[int]:
        """Return how many words between white space each line has, read as people read it."""
        return [len(self.tokenizer.surface(role, line).split()) for line in lines]


def write_model_folder(
    folder: Path,
    weights: Mapping[str, Tensor],
    settings: Mapping[str, JsonValue],
    preprocess_folder: Path,
    facts: Mapping[str, JsonValue],
    spec: str | None = None,
) -> None:
    """Fill a new model folder.

    Args:
        folder: created; it must not exist yet.
        weights: as `specforge.training.weights.module_weights` takes them from the model.
        settings: the train step's settings, of which the `task`, `tokenizer` and `model` tables are kept.
        preprocess_folder: result of the preprocess step: vocabularies and the tokenizer's files.
        facts: further entries of `model.json`: the update, validation figures.
        spec: the resolved spec as TOML.
    """
    durable.make_folder(folder)
    prepared = read_facts(preprocess_folder)
    description: dict[str, JsonValue] = {name: settings[name] for name in _COMPONENTS}
    description |= {"roles": [*prepared.roles], "joined": prepared.joined, **_made_with(settings), **facts}
    durable.write_file(folder / WEIGHTS, weight_bytes(weights))
    durable.write_json(folder / DESCRIPTION, description)
    for path in sorted((*preprocess_folder.glob("vocabulary.*.txt"), *preprocess_folder.glob("labels.*.txt"))):
        durable.write_file(folder / path.name, path.read_bytes())
    kept = durable.make_folder(folder / "tokenizer")
    for name, data in tokenizer_files(preprocess_folder).items():
        durable.write_file(kept / name, data)
    if spec is not None:
        durable.write_file(folder / SPEC, spec.encode())
    sums = [f"{entry.sha256}  {name}\n" for name, entry in durable.digest_folder(folder).items()]
    durable.write_file(folder / CONTENTS, "".join(sums).encode())
    durable.sync_folder(folder)


def _made_with(settings: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return which versions of which components, and of the packages that offer them, a training uses."""
    components: dict[str, JsonValue] = {}
    packages: dict[str, JsonValue] = {}
    for name, kind in _OF_TRAINING.items():
        table = settings.get(name)
        if isinstance(table, dict):
            registered = load_registry().find(kind, str(table["use"])).registered
            components[name] = registered.identity
            packages[registered.distribution] = registered.distribution_version
    return {"components": components, "packages": dict(sorted(packages.items()))}


def open_model_folder(folder: Path, device: torch.device) -> TrainedModel:
    """Load the model of a folder that may have come from elsewhere.

    Raises:
        RefusedError: SF671, a component is not installed here in the version that the model needs.
        CorruptStateError: SF613, a file has changed; SF614, one is missing or is not what it should be.
    """
    _verify(folder)
    described = _description(folder)
    for kind in _COMPONENTS:
        if kind in described.components:
            _refuse_another(kind, described.components[kind], described.packages)
    return load_model(folder, device)


def other_packages(settings: Mapping[str, JsonValue]) -> list[str]:
    """Say which packages are installed in another version than the one that a model was trained with.

    Args:
        settings: `model.json`, whole.
    """
    here = {one.distribution: one.distribution_version for one in load_registry().components()}
    packages = settings.get("packages")
    known = packages if isinstance(packages, dict) else {}
    return [
        f"trained with {name} {version}, and here is {name} {here[name]}"
        for name, version in known.items()
        if here.get(name, version) != version
    ]


def _refuse_another(kind: Kind, identity: str, packages: Mapping[str, str]) -> None:
    qualified = identity.partition("@")[0]
    package = qualified.partition("/")[0]
    wanted = f"{package} {packages.get(package, '')}".strip()
    try:
        found = load_registry().find(kind, qualified).registered.identity
    except UnknownComponentError as error:
        message = f"the {kind} of this model is `{qualified}`, which is not installed here"
        raise RefusedError("SF671", message, notes=error.notes, help=f"install {wanted}") from error
    if found != identity:
        message = f"the {kind} of this model is `{identity}`, and installed is `{found}`"
        raise RefusedError("SF671", message, help=f"install {wanted}, with which it was trained")


def _verify(folder: Path) -> None:
    digests = folder_digests(folder)
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if name not in digests:
            raise CorruptStateError(
                "SF613",
                f"`{CONTENTS}` does not list `{name}`",
                place=Place(str(folder / CONTENTS)),
                help="copy the whole folder anew; a file that was put there later has to go",
            )
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            raise CorruptStateError("SF614", "a file is missing", place=Place(str(path)))
        if durable.digest_file(path).sha256 != digest:
            raise changed_file(path, name)


def _files(folder: Path) -> list[Path]:
    """Return the files that a model is made of."""
    found = [path for pattern in _OTHERS for path in sorted(folder.glob(pattern))]
    return [folder / WEIGHTS, folder / DESCRIPTION, *found]


def load_model(folder: Path, device: torch.device) -> TrainedModel:
    """Build the model that a folder describes and give it its weights.

    Raises:
        CorruptStateError: SF614, a file is missing or is not what it should be.
    """
    described = _description(folder)
    vocabularies, labels = read_vocabularies(folder, described.roles), read_labels(folder, described.roles)
    tokenizer = make_tokenizer(described.tokenizer)
    tokenizer.load(tokenizer_files(folder))
    model = make_model(described.model, model_context(vocabularies, labels, joined=described.joined))
    load_weights(model, read_weights(folder / WEIGHTS), folder / WEIGHTS)
    settings = described.model_dump(mode="json")
    return TrainedModel(make_task(described.task), model.to(device).eval(), tokenizer, vocabularies, labels, settings)


def _description(folder: Path) -> _Description:
    try:
        return _Description.model_validate(_json_object(folder / DESCRIPTION))
    except ValidationError as error:
        message = f"not the description of a model: {error.errors()[0]['msg'].lower()}"
        raise CorruptStateError("SF614", message, place=Place(str(folder / DESCRIPTION))) from error


def read_vocabularies(folder: Path, roles: list[str]) -> dict[str, Vocabulary]:
    """Return the vocabulary of each text column of a preprocess result or a model folder."""
    texts = [role for role in roles if not _labels_file(folder, role).is_file()]
    return {role: _vocabulary(folder / f"vocabulary.{role}.txt") for role in texts}


def read_labels(folder: Path, roles: list[str]) -> dict[str, Labels]:
    """Return the labels of each column of labels of a preprocess result or a model folder."""
    paths = {role: _labels_file(folder, role) for role in roles}
    return {
        role: Labels.from_bytes(read_file(path), Place(str(path))) for role, path in paths.items() if path.is_file()
    }


def model_context(
    vocabularies: Mapping[str, Vocabulary], labels: Mapping[str, Labels] | None = None, *, joined: bool
) -> ModelContext:
    """Return what a model is built for."""
    symbols = {role: vocabulary.symbols for role, vocabulary in vocabularies.items()}
    return ModelContext(symbols, joined, {role: len(known) for role, known in (labels or {}).items()})


def _labels_file(folder: Path, role: str) -> Path:
    return folder / f"labels.{role}.txt"


def _vocabulary(path: Path) -> Vocabulary:
    return Vocabulary.from_bytes(read_file(path), Place(str(path)))


def _json_object(path: Path) -> dict[str, JsonValue]:
    try:
        data = json.loads(read_file(path))
    except ValueError as error:
        raise CorruptStateError("SF614", "not JSON", place=Place(str(path))) from error
    if not isinstance(data, dict):
        raise CorruptStateError("SF614", "not a JSON object", place=Place(str(path)))
    return data
