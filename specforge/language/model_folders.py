"""The model folders that [generate] names: whether they are there, and whether their models can answer together."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.foundation.errors import SpecforgeError, WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.messages.diagnostics import Diagnostic
from specforge.language.messages.suggest import nearest
from specforge.language.registry import config_class, load_registry
from specforge.language.task_checks import family_name
from specforge.plugin import ModelConfig

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.merge import Merged
    from specforge.language.schema.generate import Checkpoint, GenerateSection
    from specforge.language.spec import ValuePath

CONTENTS: Final = "SHA256SUMS"
"""The file of a model folder that tells what is in it: its digest stands for the folder in keys."""

ENSEMBLE: Final[ValuePath] = ("generate", "ensemble")
LANGUAGE_MODEL: Final[ValuePath] = ("generate", "language_model", "path")
RERANK: Final[ValuePath] = ("generate", "rerank", "path")
VOCABULARY: Final[ValuePath] = ("preprocess", "vocabulary", "path")

DESCRIPTION: Final = "model.json"
"""The file of a model folder that says what the model is."""

_MOST_NAMES: Final = 1_000  # of a folder, looked through for a name that is near


@dataclass(slots=True)
class ModelFolders:
    """The model folders of a spec.

    Args:
        ensemble: those that answer together with the checkpoint, absolute.
        language_model: that of the language model, absolute; None where there is none.
        rerank: that of the model that outputs are reranked by, too.
        diagnostics: what is wrong with them.
    """

    ensemble: list[Path] = field(default_factory=list)
    language_model: Path | None = None
    rerank: Path | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def placed(self, generate: GenerateSection) -> GenerateSection:
        """Return the section with the folders as they are called from anywhere."""
        language_model = generate.language_model
        if language_model is not None and self.language_model is not None:
            language_model = language_model.model_copy(update={"path": str(self.language_model)})
        folders = [str(folder) for folder in self.ensemble]
        rerank = generate.rerank
        if rerank is not None and self.rerank is not None:
            rerank = rerank.model_copy(update={"path": str(self.rerank)})
        return generate.model_copy(update={"ensemble": folders, "language_model": language_model, "rerank": rerank})


def checkpoint_alone(section: GenerateSection) -> Checkpoint:
    """Return the checkpoint that [generate] names, for what asks one model alone.

    Raises:
        WrongInputError: SF701, it names several models.
    """
    if len(section.checkpoints) > 1 or section.ensemble or section.language_model is not None:
        raise WrongInputError(
            "SF701",
            "this asks one model alone, and [generate] names several that answer together",
            help="--set 'generate.checkpoint=\"best\"', and no `ensemble` or `language_model`, or name a model folder",
        )
    return section.checkpoints[0]


def check_model_folders(
    generate: GenerateSection, family: str | None, merged: Merged, intact: Callable[[ValuePath], bool]
) -> ModelFolders:
    """Find the model folders of a spec and check what they hold, as far as their descriptions tell.

    Args:
        generate: the checked section.
        family: of the models that the spec trains; None where that is not known.
        merged: for places, and the folders that paths start from.
        intact: whether nothing was left out of the section at, above or below a path, because it is wrong.
    """
    found = ModelFolders()
    if intact(ENSEMBLE[1:]):
        for number, typed in enumerate(generate.ensemble):
            folder = folder_start(merged, ENSEMBLE) / typed
            found.ensemble.append(folder)
            found.diagnostics += folder_faults(folder, (*ENSEMBLE, number), typed, family, merged)
    if generate.language_model is not None and intact(LANGUAGE_MODEL[1:]):
        typed = generate.language_model.path
        found.language_model = folder_start(merged, LANGUAGE_MODEL) / typed
        found.diagnostics += folder_faults(found.language_model, LANGUAGE_MODEL, typed, "language_model", merged)
    if generate.rerank is not None and generate.rerank.path is not None and intact(RERANK[1:]):
        typed = generate.rerank.path
        found.rerank = folder_start(merged, RERANK) / typed
        found.diagnostics += folder_faults(found.rerank, RERANK, typed, "encoder_decoder", merged)
    return found


def folder_start(merged: Merged, path: ValuePath) -> Path:
    """Return the folder that a path starts from: that of the file that says it."""
    layer = merged.layer_of(path)
    return (Path.cwd() if layer is None else layer.source.folder).absolute()


def folder_faults(
    folder: Path, path: ValuePath, typed: str, family: str | None, merged: Merged
) -> Iterator[Diagnostic]:
    """Yield what is wrong with a folder.

    Args:
        folder: where it is.
        path: where the spec names it.
        typed: what stands there.
        family: of the model that is expected in it, where that is known.
        merged: for places.
    """

    def fault(code: str, message: str, words: str, help_text: str | None = None) -> Diagnostic:
        label = merged.label(path, words)
        return Diagnostic(code, message, () if label is None else (label,), help=help_text)

    if not folder.is_dir():
        yield fault("SF501", f"no such folder: `{printable(typed)}`", _advice(folder, typed))
        return
    missing = next((name for name in (DESCRIPTION, CONTENTS) if not (folder / name).is_file()), None)
    model = None if missing else described(folder, "model").get("use")
    if not isinstance(model, str):
        inside = sorted(one.parent.name for one in folder.glob(f"*/{DESCRIPTION}"))
        lacks = f"has no `{missing}`" if missing else f"has a `{DESCRIPTION}` that describes no model"
        example = inside[0] if inside else ""
        help_text = f'write `"{printable(os.path.join(typed, example))}"`' if inside else None  # noqa: PTH118  # as typed
        words = f"there are model folders in it: {', '.join(inside)}" if inside else ""
        yield fault("SF672", f"`{printable(typed)}` is no model folder: it {lacks}", words, help_text)
        return
    holds = _family(model)
    if None not in {holds, family} and holds != family:
        what = family_name(str(holds))
        needed = {LANGUAGE_MODEL: "`language_model` needs", RERANK: "`rerank` needs"}.get(path, "the spec trains")
        message = f"`{printable(typed)}` holds {what}, and {needed} {family_name(str(family))}"
        yield fault("SF701", message, f"this is {what}")


def _advice(folder: Path, typed: str) -> str:
    if typed.startswith("~"):
        return "`~` is not expanded"
    try:
        names = [entry.name for entry, _ in zip(os.scandir(folder.parent), range(_MOST_NAMES), strict=False)]
    except OSError:
        return f"there is no `{printable(str(folder.parent), longest=200)}` either"
    near = nearest(folder.name, names)
    return "not found" if near is None else f"did you mean `{printable(os.path.join(os.path.dirname(typed), near))}`?"  # noqa: PTH118, PTH120  # as typed


def described(folder: Path, table: str) -> dict[str, JsonValue]:
    """Return a table of the description of a model folder, an empty one where it has none."""
    try:
        found = json.loads((folder / DESCRIPTION).read_bytes())[table]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _family(model: str) -> str | None:
    """Return the family of a model, or None where it is not installed, which loading it will say."""
    try:
        config = config_class(load_registry().find("model", model).registered)
    except SpecforgeError:
        return None
    return config.family if issubclass(config, ModelConfig) else ModelConfig.family
