"""What generate and translate have in common: the generator that a job describes."""

from __future__ import annotations

from pathlib import Path

from specforge.execution.job import Job
from specforge.generation.generator import Generator
from specforge.language.schema import GenerateSection
from specforge.models.model import EncoderDecoder
from specforge.steps.devices import chosen_device
from specforge.steps.model_folder import load_model
from specforge.steps.parts import make_search


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
    return Generator(trained.model, search, trained.vocabularies, trained.tokenizer, section.batch_tokens, device)
