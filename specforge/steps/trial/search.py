"""`test SPEC generate.search`: a search on a few lines, with the run's checkpoint where there is one."""

from __future__ import annotations

import time
from itertools import islice
from typing import Final

import torch
from pydantic import JsonValue

from specforge.execution.questions.decoding_findings import Decoded, SearchFindings
from specforge.foundation.text_files import read_lines
from specforge.generation.generator import Generator
from specforge.language.schema.generate import GenerateSection
from specforge.models.model import EncoderDecoder
from specforge.searches.scorer import ModelScorer
from specforge.steps.decoding import trained_generator
from specforge.steps.parts import configured, make_search
from specforge.steps.trial.blame import blame
from specforge.steps.trial.workbench import Workbench

_LINES: Final = 4


def try_search(bench: Workbench, setting: str, warnings: list[str]) -> SearchFindings:
    """Decode validation lines.

    Args:
        bench: has data and model.
        setting: which search: `search` or `valid_search`.
        warnings: takes what is odd.

    Raises:
        StepFailedError: SF142, the search raised.
        WrongInputError: SF506, a line is longer than the model's positions.
        CorruptStateError: SF614, the checkpoint is not what train wrote.
    """
    table = bench.table(setting)
    registered, _ = configured("search", table)
    sources = list(islice(read_lines(bench.prepared.folder / "valid.source.txt"), _LINES))
    references = list(islice(read_lines(bench.prepared.folder / "valid.target.txt"), _LINES))
    trained = "train" in bench.job.needs
    with blame(registered, "where it is built"):
        generator = _trained(bench, table) if trained else _untrained(bench, table)
    began = time.perf_counter()
    with blame(registered, "where it decodes"), torch.inference_mode():
        found = generator.translate(sources)
    seconds = time.perf_counter() - began
    empty = sum(not translation.text for translation in found)
    if empty:
        warnings.append(f"{empty} of {len(found)} outputs are empty")
    return SearchFindings(
        weights="trained" if trained else "first",
        lines=[
            Decoded(source=line.source, hypothesis=line.text, reference=reference, score=line.score)
            for line, reference in zip(found, references, strict=True)
        ],
        sentences_per_second=len(found) / seconds,
        pieces=sum(len(line.pieces) for line in found),
    )


def _trained(bench: Workbench, table: JsonValue) -> Generator:
    run = bench.settings["run"]
    assert isinstance(run, dict)
    settings = {**bench.settings, "search": table, "run": {**run, "devices": 1}}  # where the trial itself computes
    return trained_generator(bench.job.model_copy(update={"settings": settings}))


def _untrained(bench: Workbench, table: JsonValue) -> Generator:
    section = GenerateSection.model_validate(bench.settings["generate"])
    model = bench.module().model.eval()
    assert isinstance(model, EncoderDecoder), "only tasks of such models search"
    vocabularies = bench.prepared.vocabularies
    return Generator(
        ModelScorer(model), make_search(table), vocabularies, bench.tokenizer, section.batch_tokens, bench.device
    )
