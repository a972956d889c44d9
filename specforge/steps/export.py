"""Export of a trained model into another tool's format; no step of a plan, and no result.

The folder that is written holds the format's own files and

- `tokenizer/`: the files that the tokenizer keeps
- `README.md`: how it is used without specforge
- `export.json`: what it was made from, and how it was verified
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from pydantic import JsonValue

from specforge import __version__
from specforge.data.readers import RowRemarks
from specforge.execution.job import CorpusJob, Job
from specforge.exporting.ctranslate2.format import CTranslate2Format
from specforge.exporting.exportable import Sample, Verified
from specforge.exporting.format import Format
from specforge.exporting.huggingface.format import HuggingFaceFormat
from specforge.exporting.onnx.format import OnnxFormat
from specforge.exporting.usage import TOKENIZER
from specforge.foundation import durable
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Reporter
from specforge.models.model import LanguageModel
from specforge.steps.corpora import sided_rows
from specforge.steps.exportables import exportable
from specforge.steps.model_folder import TrainedModel, load_model, open_model_folder
from specforge.steps.parts import task_config
from specforge.steps.tokenizer import tokenizer_files

DESCRIPTION: Final = "export.json"
README: Final = "README.md"

LINES: Final = 200
"""How many lines an export is verified on."""


def run(job: Job, reporter: Reporter) -> None:
    """Write a model into the folder `job.output`, which is there and empty, and verify it.

    Raises:
        WrongInputError: SF711, the format cannot hold the model; SF713, there is no line to verify with; SF681, a package
            is not installed.
        RefusedError: SF712, the export does not give what the model gives.
        CorruptStateError, RefusedError: as `open_model_folder`.
    """
    assert job.output is not None
    output = Path(job.output)
    wanted = job.settings["export"]
    assert isinstance(wanted, dict)
    folder = Path(job.needs["model"])
    cpu = torch.device("cpu")
    trained = open_model_folder(folder, cpu) if wanted["whole"] else load_model(folder, cpu)
    source = exportable(trained, tokenizer_files(folder))
    chosen = _format(wanted)
    kept = durable.make_folder(output / TOKENIZER)
    for name, data in source.tokenizer_files.items():
        durable.write_file(kept / name, data)
    chosen.write(source, output)
    sample = _sample(job, trained)
    reporter.message(f"written; both answer {len(sample):,} lines now")
    verified = chosen.verify(source, output, sample, job.threads)
    durable.write_file(output / README, chosen.readme(source, verified).encode())
    durable.write_json(output / DESCRIPTION, _description(wanted, trained, verified, sample))
    durable.sync_folder(output)


def _format(wanted: dict[str, JsonValue]) -> Format:
    match wanted["to"]:
        case "ctranslate2":
            quantization = wanted["quantization"]
            return CTranslate2Format(quantization if isinstance(quantization, str) else None)
        case "huggingface":
            return HuggingFaceFormat()
        case "onnx":
            return OnnxFormat()
        case _:
            message = f"no format is called {wanted['to']}"
            raise AssertionError(message)


def _sample(job: Job, trained: TrainedModel) -> Sample:
    """Return the first lines that the model can take.

    Raises:
        WrongInputError: SF713, there is none; others as `specforge.data.readers.read_rows`.
    """
    role = task_config(trained.settings["task"]).columns()[0].role
    vocabulary, longest = trained.vocabularies[role], trained.model.max_positions().get(role)
    job = job.model_copy(update={"settings": {**job.settings, "task": trained.settings["task"]}})
    lines: list[str] = []
    sources: list[list[int]] = []
    places: list[Place] = []
    for corpus in job.corpora:
        rows = enumerate(sided_rows(job, corpus, RowRemarks(), [role]), start=1 + corpus.header)
        valid = ((number, row[0]) for number, (side, row) in rows if side == "valid" and row[0].strip())
        for number, line in valid:
            source = vocabulary.encode(trained.tokenizer.encode(role, [line])[0])
            if isinstance(trained.model, LanguageModel):
                source = source[: (len(source) + 1) // 2]
            if source and (longest is None or len(source) < longest):
                lines.append(line)
                sources.append(source)
                places.append(_place(corpus, role, number))
            if len(sources) == LINES:
                return Sample(lines, sources, places)
    if not sources:
        raise WrongInputError(
            "SF713", "there is no line to verify the export with", help="give lines of its source with `--verify FILE`"
        )
    return Sample(lines, sources, places)


def _place(corpus: CorpusJob, role: str, row: int) -> Place:
    return Place(corpus.files.get(role, corpus.files.get("", "")), row)


def _description(
    wanted: dict[str, JsonValue], trained: TrainedModel, verified: Verified, sample: Sample
) -> dict[str, JsonValue]:
    return {
        "format": wanted["to"],
        "quantization": wanted["quantization"],
        "specforge": __version__,
        "verified": {
            "lines": verified.lines,
            "values": verified.values,
            "unit": verified.unit,
            "how": verified.how,
            "further": list(verified.further),
            "first": str(sample.places[0]),
        },
        "model": dict(trained.settings),
    }
