"""What generate and translate have in common: the generator that a job describes."""

from __future__ import annotations

import tomllib
from pathlib import Path

from specforge.execution.job import Job
from specforge.foundation.errors import CorruptStateError, Place, WrongInputError
from specforge.foundation.events import Reporter
from specforge.generation.generator import Generator
from specforge.language.schema import GenerateSection
from specforge.models.model import EncoderDecoder
from specforge.searches.scorer import ModelScorer
from specforge.steps.devices import chosen_device
from specforge.steps.model_folder import SPEC, load_model, open_model_folder, other_packages
from specforge.steps.parts import make_search


def folder_generator(job: Job, reporter: Reporter) -> Generator:
    """Load a model folder on its own, and return what decodes with it as the spec in it says.

    Raises:
        WrongInputError: SF523, the model turns no text into text.
        RefusedError, CorruptStateError: as `open_model_folder`; SF614, the spec in it is none.
        EnvironmentFaultError: SF604, there is no such device.
    """
    folder = Path(job.needs["model"])
    device = chosen_device(job.settings)
    trained = open_model_folder(folder, device)
    for line in other_packages(trained.settings):
        reporter.message(f"{line}: lines may differ")
    if not isinstance(trained.model, EncoderDecoder):
        raise WrongInputError(
            "SF523", "`translate` is for models that turn a text into another one", place=Place(str(folder))
        )
    section = _generate_section(folder / SPEC)
    search = make_search(section.search)
    return Generator(
        ModelScorer(trained.model), search, trained.vocabularies, trained.tokenizer, section.batch_tokens, device
    )


def _generate_section(path: Path) -> GenerateSection:
    """Return the table `[generate]` of a resolved spec."""
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
        return GenerateSection.model_validate(tree["generate"])
    except FileNotFoundError:
        raise CorruptStateError("SF614", "a file is missing", place=Place(str(path))) from None
    except (ValueError, KeyError) as error:  # what pydantic and tomllib raise are values
        raise CorruptStateError("SF614", "not a resolved spec", place=Place(str(path))) from error


def trained_generator(job: Job) -> Generator:
    """Load the checkpoint that `generate.checkpoint` names and return what decodes with it.

    Raises:
        CorruptStateError: SF614, the checkpoint is not what train wrote.
        EnvironmentFaultError: SF604, there is no such device.
    """
    section = GenerateSection.model_validate(job.settings["generate"])
    device = chosen_device(job.settings)
    trained = load_model(Path(job.needs["train"]) / section.checkpoint, device)
    assert isinstance(trained.model, EncoderDecoder), "only tasks of such models search"
    search = make_search(job.settings["search"])
    return Generator(
        ModelScorer(trained.model), search, trained.vocabularies, trained.tokenizer, section.batch_tokens, device
    )
