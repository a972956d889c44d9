"""`generate.engine = "ctranslate2"`: the generator whose model and search are CTranslate2's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch
from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.exporting.ctranslate2.search import (
    AT_ONCE,
    CPU_BATCH_TOKENS,
    CTranslate2Search,
    Workers,
    load_translator,
)
from specforge.generation.generator import Generator
from specforge.generation.translation import Wanted
from specforge.language.schema.generate import GenerateSection
from specforge.searches.beam.config import BeamConfig
from specforge.searches.greedy.config import GreedyConfig
from specforge.steps.devices import several_gpus
from specforge.steps.exportables import exportable
from specforge.steps.model_folder import TrainedModel
from specforge.steps.parts import configured

_COMPUTE_TYPES: Final = MappingProxyType({"fp32": "float32", "int8": "int8_float32"})
"""`generate.precision` → what CTranslate2 computes in; it has no bfloat16 on a CPU."""


def ctranslate2_generator(
    job: Job,
    trained: TrainedModel,
    search: JsonValue,
    section: GenerateSection,
    device: torch.device,
    wanted: Wanted | None,
) -> Generator:
    """Hand a model over to CTranslate2 and return what decodes with it.

    Args:
        job: knows where there is room to write, and how many threads may be used.
        trained: the model.
        search: its table.
        section: the table [generate]; what CTranslate2 cannot do is not asked for (`specforge.language.engine_checks`).
        device: where to compute.
        wanted: what is to be known of each line.

    Raises:
        WrongInputError: SF711, CTranslate2 has no such model; SF681, it is not installed.
    """
    scratch = Path(tempfile.gettempdir()) if job.output is None else Path(job.output).parent
    workers = Workers(
        device.type, job.threads, _COMPUTE_TYPES[section.precision], max(1, len(several_gpus(job.settings)))
    )
    scorer = load_translator(exportable(trained, {}), scratch, workers)
    _, config = configured("search", search)
    assert isinstance(config, BeamConfig | GreedyConfig), "the checks of the language let no other pass"
    batch = min(section.batch_tokens, CPU_BATCH_TOKENS) if device.type == "cpu" else section.batch_tokens
    return Generator(
        scorer,
        CTranslate2Search(config, batch, (wanted or Wanted()).nbest),
        trained.vocabularies,
        trained.tokenizer,
        batch * AT_ONCE * max(job.threads, workers.gpus),
        torch.device("cpu"),  # CTranslate2 is given lists of pieces
        wanted,
    )
