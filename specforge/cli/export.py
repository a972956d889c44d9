"""`specforge export`: a trained model in the format of another tool, compared with itself before it is handed over."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.cli.main import COMMANDS
from specforge.cli.model_argument import trained_experiment
from specforge.cli.one_worker import run_worker
from specforge.cli.spec_arguments import add_assignments, add_point, add_store
from specforge.cli.views.output import result
from specforge.foundation.errors import (
    EnvironmentFaultError,
    ExitCode,
    Place,
    WrongInputError,
)
from specforge.foundation.quantities import counted
from specforge.foundation.terminal import printable

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.cli.main import Subparsers
    from specforge.execution.job import CorpusJob, Job

FORMATS: Final = ("ctranslate2", "huggingface", "onnx")
"""What `--to` takes."""

QUANTIZATIONS: Final = ("int8", "int16", "float16", "bfloat16", "int8_float16", "int8_bfloat16")
"""What `--quantization` takes, in CTranslate2's own names."""

_CHECKPOINTS: Final = ("best", "last", "average", "average_best")
_DESCRIPTION: Final = "export.json"


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `export`."""
    parser = subparsers.add_parser(
        "export",
        help=COMMANDS["export"],
        description=(
            "Write what a spec trained, or a model folder, in the format of another tool. The model and what was written "
            "then answer 200 lines of the validation data; where they do not agree, nothing is kept."
        ),
    )
    parser.add_argument(
        "spec",
        metavar="SPEC",
        type=Path,
        help="the spec file, the folder of a run, or a model folder, such as RUN/best",
    )
    parser.add_argument("--to", required=True, choices=FORMATS, help="whose format")
    parser.add_argument("--output", required=True, metavar="DIR", type=Path, help="the folder to make")
    parser.add_argument(
        "--checkpoint", choices=_CHECKPOINTS, help="which weights of a run (default: generate.checkpoint of its spec)"
    )
    parser.add_argument(
        "--quantization", choices=QUANTIZATIONS, help="what CTranslate2's weights are written as (default: float32)"
    )
    parser.add_argument(
        "--verify",
        metavar="FILE",
        type=Path,
        help="lines of its source to compare on (default: the validation data of the spec)",
    )
    parser.add_argument("--json", action="store_true", help="print the description of what was written")
    add_point(parser)
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export, and say what was written."""
    if sys.platform == "win32":
        raise EnvironmentFaultError("SF606", "`export` needs Linux or macOS; validate, show, plan and diff work here")
    if arguments.quantization is not None and arguments.to != "ctranslate2":
        raise WrongInputError(
            "SF714",
            f"`--quantization` is for CTranslate2, and `--to {arguments.to}` writes weights as they are",
            help="leave it out",
        )
    output = arguments.output.absolute()
    if output.exists() or output.is_symlink():
        raise WrongInputError(
            "SF714",
            f"`{printable(str(arguments.output))}` is there already",
            help="name a folder that is not there: nothing is written over",
        )
    model_folder = arguments.spec.is_dir() and not (arguments.spec / "plan.json").is_file()
    job = _job_of_folder(arguments) if model_folder else _job_of_spec(arguments)
    return _export(job, output, arguments)


def _export(job: Job, output: Path, arguments: argparse.Namespace) -> int:
    """Run the worker in a folder of its own, which gets its name when all is well and is removed otherwise."""
    from specforge.foundation import durable

    scratch = durable.temporary_folder(output.parent, f".{output.name}")
    try:
        job = job.model_copy(update={"output": str(durable.make_folder(scratch / output.name))})
        code = run_worker(job)
        if code != ExitCode.DONE:
            return code
        durable.move_folder(scratch / output.name, output)
    finally:
        durable.remove_folder(scratch)
    _report(output, arguments)
    return ExitCode.DONE


def _report(output: Path, arguments: argparse.Namespace) -> None:
    import json

    text = (output / _DESCRIPTION).read_text("utf-8")
    if arguments.json:
        result(text.rstrip("\n"))
        return
    verified = json.loads(text)["verified"]
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    result(f"{printable(str(arguments.output))}: {size / 1e6:.1f} MB for {_name(arguments.to)}")
    result(
        f"verified on {counted(verified['lines'], 'line')} from {printable(verified['first'])} on: "
        f"{verified['how']} are the same ({counted(verified['values'], verified['unit'])})"
    )
    for each in verified["further"]:
        result(each)
    result("its README.md says how it is used")


def _name(format: str) -> str:
    return {"ctranslate2": "CTranslate2", "huggingface": "Hugging Face transformers", "onnx": "ONNX"}[format]


def _job_of_spec(arguments: argparse.Namespace) -> Job:
    """Return the job of a spec, or of the plan in the folder of a run."""
    from specforge.execution.jobs import valid_corpora
    from specforge.language.model_folders import checkpoint_alone

    path = arguments.spec / "plan.json" if arguments.spec.is_dir() else arguments.spec
    experiment, trained = trained_experiment(path, arguments)
    checkpoint: str = arguments.checkpoint or checkpoint_alone(experiment.spec.generate)
    folder = trained / checkpoint
    if not folder.is_dir():
        raise WrongInputError(
            "SF714",
            f"this training published no `{checkpoint}`",
            help=f"there are {', '.join(sorted(each.parent.name for each in trained.glob('*/model.json')))}",
        )
    corpora = valid_corpora(experiment.spec) if arguments.verify is None else (_lines_of(arguments.verify),)
    return _job(arguments, folder, corpora, seed=experiment.spec.seed, whole=False)


def _job_of_folder(arguments: argparse.Namespace) -> Job:
    folder = arguments.spec
    shown = printable(str(folder))
    if not (folder / "model.json").is_file():
        raise WrongInputError(
            "SF672",
            f"`{shown}` is no model folder and no folder of a run: it has neither `model.json` nor `plan.json`",
            help="name a spec, the folder of a run, or a model folder",
        )
    given = (arguments.assignments, arguments.store, arguments.point, arguments.checkpoint)
    if any(each not in (None, []) for each in given):
        raise WrongInputError(
            "SF672",
            f"`{shown}` is a model folder, which is exported as it is",
            help="leave `--set`, `--store`, `--point` and `--checkpoint` out, or name a spec",
        )
    if arguments.verify is None:
        raise WrongInputError(
            "SF713",
            f"there is no line to verify the export with: `{shown}` holds a model and no text",
            help="give lines of its source with `--verify FILE`, or name the spec or the folder of the run",
        )
    return _job(arguments, folder.resolve(), (_lines_of(arguments.verify),), seed=1, whole=True)


def _lines_of(path: Path) -> CorpusJob:
    from specforge.execution.job import CorpusJob

    if not path.is_file():
        raise WrongInputError("SF501", "there is no such file", place=Place(str(path)))
    return CorpusJob(role="valid", format="text", files={"": str(path)})


def _job(arguments: argparse.Namespace, folder: Path, corpora: tuple[CorpusJob, ...], *, seed: int, whole: bool) -> Job:
    """Return the job of an export.

    Args:
        arguments: what was typed.
        folder: the model folder.
        corpora: what holds lines to verify with.
        seed: which of them are held out, where they are those of training.
        whole: whether the folder may have come from elsewhere, and is looked at as such.
    """
    from specforge.execution.job import Job
    from specforge.execution.workers import available_threads

    wanted: dict[str, JsonValue] = {"to": arguments.to, "quantization": arguments.quantization, "whole": whole}
    return Job(
        id="export",
        kind="export",
        settings={"export": wanted, "seed": seed},
        corpora=list(corpora),
        needs={"model": str(folder)},
        threads=available_threads(1),
    )
