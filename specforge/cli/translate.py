"""`specforge translate`: lines through a trained model, from standard input or files to standard output or a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from specforge.cli.main import COMMANDS
from specforge.cli.model_argument import add_model_argument, chosen_model
from specforge.cli.one_worker import run_worker
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.terminal import printable

if TYPE_CHECKING:
    from typing import Literal

    from specforge.cli.main import Subparsers
    from specforge.execution.translate_options import TranslateOptions
    from specforge.language.spec import Spec


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `translate`."""
    parser = subparsers.add_parser(
        "translate",
        help=COMMANDS["translate"],
        description=(
            "Translate files, or standard input, line by line with what the spec trained, as its [generate] says; or with "
            "a model folder alone, as the spec in it says. "
            "A line ends at LF only; a blank line gives an empty one. On a terminal it shows pieces, scores and "
            "alternatives of each line that you type."
        ),
    )
    parser.mixed = True
    add_model_argument(parser)
    parser.add_argument(
        "files", metavar="FILE", nargs="*", type=Path, help="what to translate, in order (default: standard input)"
    )
    parser.add_argument(
        "--input-format",
        choices=("text", "jsonl"),
        help="text, or JSON objects with text and perhaps prefix, constraints and id (default: jsonl for *.jsonl)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="write this file, which appears when it is whole, not standard output",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the --output that a killed command left unfinished"
    )
    _add_what_is_written(parser)


def _add_what_is_written(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=("text", "jsonl", "fairseq"),
        help="a line of text, a JSON object, or fairseq's S-, H-, D- and P- lines for each line (default: text)",
    )
    parser.add_argument(
        "--nbest", metavar="N", type=_count, help="the N best outputs of each line, each after the line's number"
    )
    parser.add_argument("--scores", action="store_true", help="the score of each output before it (in format text)")
    parser.add_argument(
        "--alignment",
        action="store_true",
        help="what each output looks at, as pairs 0-0 of source and target: words in format text, else pieces",
    )
    parser.add_argument(
        "--replace-unk",
        action="store_true",
        default=None,
        help="in place of an unknown piece the source piece that it looks at most (default: generate.replace_unk)",
    )
    parser.add_argument(
        "--too-long",
        choices=("error", "keep", "truncate", "split"),
        help="what becomes of a line with more tokens than the model has positions (default: generate.too_long)",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        message = f"`{printable(text)}` is not a number from 1"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Translate until the input ends."""
    from specforge.execution.job import Job
    from specforge.execution.workers import available_threads

    _check_files(arguments)
    options = _options(arguments)
    model = chosen_model(arguments, "translate", _check_task)
    return run_worker(
        Job(
            id="translate",
            kind="translate",
            settings={**model.settings, "translate": options.model_dump(mode="json")},
            needs=model.needs,
            threads=available_threads(1),
        )
    )


def _check_files(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be read or written before anything is loaded.

    Raises:
        WrongInputError: SF501, SF507, a file that cannot be read; SF722, arguments that do not go together.
    """
    from specforge.foundation.text_files import open_bytes

    for path in arguments.files:
        with open_bytes(path):
            pass
    output = arguments.output
    if output is None:
        if arguments.resume:
            raise WrongInputError(
                "SF722", "`--resume` goes on with a file, and there is none", help="name it with `--output`"
            )
        return
    if output.exists() and not output.is_file():
        raise WrongInputError(
            "SF722", "`--output` is not a regular file", place=Place(str(output)), help="write to standard output"
        )
    if not output.parent.is_dir():
        raise WrongInputError("SF722", "there is no such folder to write to", place=Place(str(output.parent)))
    if any(path.samefile(output) for path in arguments.files if output.exists()):
        raise WrongInputError("SF722", "`--output` is what is to be translated", place=Place(str(output)))


def _options(arguments: argparse.Namespace) -> TranslateOptions:
    from specforge.execution.translate_options import TranslateOptions

    return TranslateOptions(
        files=[str(path) for path in arguments.files],
        input_format=arguments.input_format or _input_format(arguments.files),
        output=None if arguments.output is None else str(arguments.output),
        resume=arguments.resume,
        format=arguments.format,
        nbest=arguments.nbest,
        scores=arguments.scores,
        alignment=arguments.alignment,
        replace_unk=arguments.replace_unk,
        too_long=arguments.too_long,
    )


def _input_format(files: list[Path]) -> Literal["text", "jsonl"]:
    """Return how lines are written, by the names of the files.

    Raises:
        WrongInputError: SF722, some are named as JSON lines and some are not.
    """
    jsonl = [".jsonl" in path.suffixes[-2:] for path in files]
    if any(jsonl) and not all(jsonl):
        raise WrongInputError(
            "SF722",
            "some of the files are named *.jsonl and some are not",
            help="say how they are written with `--input-format`, or translate them one by one",
        )
    return "jsonl" if jsonl and all(jsonl) else "text"


def _check_task(spec: Spec) -> None:
    """Refuse a spec whose model turns no text into text.

    Raises:
        WrongInputError: SF523.
    """
    if spec.task.searches:
        return
    name = spec.parts["task",].registered.component.name
    if "generate" in spec.task.test_steps:
        instead = "its labels for a test stand in the test's `hypotheses.txt`: give the lines as a test in [data]"
    else:
        instead = "what it finds of a text is the score of a test: give the text as a test in [data]"
    raise WrongInputError(
        "SF523",
        f"`translate` is for tasks that turn a text into another one, and `{name}` does not",
        help=f"{instead}, and `specforge run`",
    )
