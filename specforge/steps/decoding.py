"""What generate and translate have in common: the generator that a job describes."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.foundation.errors import CorruptStateError, Place
from specforge.foundation.events import Reporter
from specforge.generation.batches import CPU_BATCH_TOKENS
from specforge.generation.generator import Generator
from specforge.generation.sharing import Elsewhere
from specforge.generation.translation import Wanted
from specforge.language.schema.generate import GenerateSection
from specforge.language.schema.run import RunSection
from specforge.models.model import LanguageModel
from specforge.searches.scorer import Scorer
from specforge.steps.combining import combined_models, scorer_of
from specforge.steps.ctranslate2_engine import ctranslate2_generator
from specforge.steps.decoding_precision import prepare_for_decoding
from specforge.steps.devices import chosen_device, several_gpus
from specforge.steps.model_folder import SPEC, TrainedModel, open_model_folder, other_packages
from specforge.steps.parts import make_search, task_config
from specforge.steps.reranking import reranked
from specforge.tokenizers.one_text import OneTextTokenizer


def generate_section(job: Job) -> GenerateSection:
    """Return the table `[generate]` that a job decodes by: its own, or that of the spec in its model folder.

    Raises:
        CorruptStateError: SF614, the spec in the folder is none.
    """
    if "generate" in job.settings:
        return GenerateSection.model_validate(job.settings["generate"])
    return _folder_section(Path(job.needs["model"]) / SPEC)


def folder_generator(job: Job, reporter: Reporter, wanted: Wanted | None = None) -> Generator:
    """Load a model folder on its own, and return what decodes with it as the spec in it says.

    Args:
        job: names the folder.
        reporter: told what may make a difference.
        wanted: what is to be known of each line.

    Raises:
        WrongInputError: SF523, the model turns no text into text.
        RefusedError, CorruptStateError: as `open_model_folder`; SF614, the spec in it is none.
        WrongInputError: as `prepare_for_decoding`.
        EnvironmentFaultError: SF604, there is no such device.
    """
    folder = Path(job.needs["model"])
    device = chosen_device(job.settings)
    trained = open_model_folder(folder, device)
    for line in other_packages(trained.settings):
        reporter.message(f"{line}: lines may differ")
    section = generate_section(job)
    if len(section.checkpoints) > 1 or section.ensemble or section.language_model is not None:
        reporter.message("the spec in this folder has several models answer together: this one answers alone")
    if section.rerank is not None and section.rerank.path is not None:
        reporter.message("the spec in this folder has a second model rerank: this one answers alone")
        section = section.model_copy(update={"rerank": None})
    search = section.search or {"use": task_config(trained.settings["task"]).defaults["search"]}
    if section.engine == "ctranslate2":
        return ctranslate2_generator(job, trained, search, section, device, wanted)
    return _generator(job, scorer_of(trained, folder), trained, search, section, device, wanted)


def _folder_section(path: Path) -> GenerateSection:
    """Return the table `[generate]` of a resolved spec."""
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
        return GenerateSection.model_validate(tree["generate"])
    except FileNotFoundError:
        raise CorruptStateError("SF614", "a file is missing", place=Place(str(path))) from None
    except (ValueError, KeyError) as error:  # what pydantic and tomllib raise are values
        raise CorruptStateError("SF614", "not a resolved spec", place=Place(str(path))) from error


def trained_generator(job: Job, wanted: Wanted | None = None) -> Generator:
    """Load the models that [generate] names and return what decodes with them.

    Args:
        job: names the result of train.
        wanted: what is to be known of each line.

    Raises:
        WrongInputError, RefusedError, CorruptStateError: as `combined_models`.
        EnvironmentFaultError: SF604, there is no such device.
    """
    section = generate_section(job)
    search = job.settings["search"]
    if section.engine == "ctranslate2":
        device = chosen_device(job.settings)
        combined = combined_models(job, section, device)
        return ctranslate2_generator(job, combined.first, search, section, device, wanted)

    def made(device: torch.device, elsewhere: Elsewhere | None) -> Generator:
        combined = combined_models(job, section, device)
        return _generator(job, combined.scorer, combined.first, search, section, device, wanted, elsewhere)

    return _spread(job, made)


def _spread(job: Job, made: Callable[[torch.device, Elsewhere | None], Generator]) -> Generator:
    """Return what decodes on the device of a job; on several GPUs, where each has a process that loads the models for itself.

    Those processes are forked from this one, which therefore keeps away from the GPUs: nobody can use them who was forked from
    somebody who does.

    Args:
        job: says which devices, and how many.
        made: makes the generator that computes on a device, or the one that leaves that to others.

    Raises:
        EnvironmentFaultError: SF604, there is no such device.
    """
    devices = several_gpus(job.settings)
    if not devices:
        return made(chosen_device(job.settings), None)
    return made(torch.device("cpu"), lambda number: made(devices[number], None).decode)


def _generator(
    job: Job,
    scorer: Scorer,
    trained: TrainedModel,
    search: JsonValue,
    section: GenerateSection,
    device: torch.device,
    wanted: Wanted | None,
    elsewhere: Elsewhere | None = None,
) -> Generator:
    """Return what decodes with a scorer.

    Args:
        job: says how many processes and threads.
        scorer: says what comes next.
        trained: its tokenizer and vocabularies.
        search: the table of the search.
        section: the table [generate].
        device: where to compute.
        wanted: what is to be known of each line.
        elsewhere: what decodes on several GPUs; None where this process decodes, or forks of it.

    Raises:
        WrongInputError: as `prepare_for_decoding`.
    """
    run = RunSection.model_validate(job.settings["run"])
    if elsewhere is None:
        prepare_for_decoding(scorer.models(), section.precision, device, recorded=run.cuda_graphs)
    vocabularies, tokenizer = trained.vocabularies, trained.tokenizer
    if isinstance(trained.model, LanguageModel):  # a line and what follows are one text
        ((role, vocabulary),) = vocabularies.items()
        vocabularies, tokenizer = dict.fromkeys(("source", "target"), vocabulary), OneTextTokenizer(tokenizer, role)
        wanted = replace(wanted or Wanted(), continued=True)
    asked = reranked(make_search(search), section, vocabularies, tokenizer, device)
    if elsewhere is not None:
        return Generator(
            scorer,
            asked,
            vocabularies,
            tokenizer,
            section.batch_tokens,
            device,
            wanted,
            run.devices,
            elsewhere=elsewhere,
        )
    processes, batch_tokens, on_cpu = 1, section.batch_tokens, device.type == "cpu"
    if on_cpu:
        # Two processes of one thread decode more than one of two, and what fits into a cache more than all at once.
        processes = max(job.threads, run.devices)
        batch_tokens = min(batch_tokens, max(1, CPU_BATCH_TOKENS // asked.prefixes))
        if processes > 1:
            torch.set_num_threads(1)
    return Generator(scorer, asked, vocabularies, tokenizer, batch_tokens, device, wanted, processes, shared=on_cpu)
