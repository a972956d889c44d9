"""`specforge logprob`: how probable a trained model finds given targets, line by line; the perplexity of them all."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Final

from specforge.cli.main import COMMANDS
from specforge.cli.model_argument import add_model_argument, chosen_model
from specforge.cli.one_worker import run_worker
from specforge.cli.views.output import note, result
from specforge.foundation.errors import WrongInputError
from specforge.foundation.events import RecordEvent
from specforge.foundation.quantities import counted

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.cli.main import Subparsers

_STDIN: Final = "-"


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `logprob`."""
    parser = subparsers.add_parser(
        "logprob",
        help=COMMANDS["logprob"],
        description=(
            "Print how probable a trained model finds given text, a line for each line: the sum of its "
            "log-probabilities, their mean per token and their mean per word, in nats, between tabs. The end of the line "
            "counts as a token and as a word. What it comes to is printed to standard error at the end."
        ),
    )
    add_model_argument(parser)
    parser.add_argument("--source", metavar="FILE", help="what was translated (`-`: standard input)")
    parser.add_argument(
        "--target",
        metavar="FILE",
        default=_STDIN,
        help="what is scored; for a language model its text (default: standard input)",
    )
    parser.add_argument(
        "--format",
        choices=("text", "jsonl"),
        default="text",
        help="jsonl: an object a line, with the score of every piece",
    )
    parser.add_argument("--json", action="store_true", help="print what it comes to, as JSON, and no lines")
    parser.add_argument(
        "--context-window",
        metavar="N",
        type=_tokens,
        help="language models: tokens before a block that are looked at again (default: the task's)",
    )
    parser.add_argument(
        "--line-by-line",
        action="store_true",
        help="language models: predict each line from its own beginning, not from the lines before it",
    )


def _tokens(word: str) -> int:
    if not word.isdecimal():
        message = f"not a number of tokens: {word!r}"
        raise argparse.ArgumentTypeError(message)
    return int(word)


def run(arguments: argparse.Namespace) -> int:
    """Score the lines."""
    from specforge.execution.job import Job
    from specforge.execution.workers import available_threads

    if arguments.source == arguments.target == _STDIN:
        raise WrongInputError(
            "SF731", "standard input cannot be source and target at once", help="name a file with `--target`"
        )
    model = chosen_model(arguments, "logprob")
    request: dict[str, JsonValue] = {
        "target": arguments.target,
        "source": arguments.source,
        "jsonl": arguments.format == "jsonl",
        "silent": arguments.json,
        "context_window": arguments.context_window,
        "line_by_line": arguments.line_by_line,
    }
    job = Job(
        id="logprob",
        kind="logprob",
        settings={**model.settings, "logprob": request},
        needs=model.needs,
        threads=available_threads(1),
    )

    def on_record(record: RecordEvent) -> None:
        if record.name == "logprob":
            _show(json.loads(str(record.values["json"])), as_json=arguments.json)

    return run_worker(job, on_record)


def _show(found: dict[str, float], *, as_json: bool) -> None:
    if as_json:
        result(json.dumps({"format": 1, **found}, indent=2))
        return
    lines, tokens, words, unknown = (int(found[name]) for name in ("lines", "tokens", "words", "unknown"))
    note(f"{counted(lines, 'line')}, {counted(tokens, 'token')}, {counted(words, 'word')}")
    if unknown:
        note(f"{counted(unknown, 'token')} unknown to the vocabulary")
    note(f"per token {found['per_token']:.4f} nats, ppl {found['ppl']:.2f}")
    note(f"per word {found['per_word']:.4f} nats, ppl {found['word_ppl']:.2f}")
