"""`specforge evaluate`: the scores of finished text, with their signatures and confidence intervals; or of two systems."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from specforge.cli.main import COMMANDS
from specforge.cli.metric_arguments import add_metrics, chosen_metrics
from specforge.cli.views.output import result
from specforge.foundation.errors import EnvironmentFaultError, ExitCode, WrongInputError
from specforge.foundation.quantities import counted
from specforge.foundation.terminal import printable
from specforge.plugin import MetricConfig

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.cli.main import Subparsers
    from specforge.execution.questions.evaluation import FoundInterval, FoundScore
    from specforge.language.spec import Part

_RESAMPLES: Final = 1_000
_MOST_RESAMPLES: Final = 1_000_000


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help=COMMANDS["evaluate"],
        description=(
            "Score finished text, whoever wrote it, with the metrics that specs name. The lines of all files belong "
            "together; compressed files are read, too."
        ),
    )
    parser.add_argument("--hypotheses", metavar="FILE", required=True, help="what is scored")
    parser.add_argument(
        "--references",
        metavar="FILE",
        nargs="+",
        required=True,
        help="what it should read; several files are alternatives",
    )
    parser.add_argument("--source", metavar="FILE", help="what was translated, for metrics that look at it")
    parser.add_argument(
        "--compare", metavar="FILE", help="hypotheses of another system: is the difference more than luck?"
    )
    add_metrics(parser)
    parser.add_argument(
        "--bootstrap",
        metavar="N",
        type=_resamples,
        default=_RESAMPLES,
        help="resamples for confidence intervals, 0 for none (default: 1000)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print the scores")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def _resamples(word: str) -> int:
    from specforge.language.schema.generate import FEWEST_RESAMPLES

    if not word.isdecimal() or 0 < int(word) < FEWEST_RESAMPLES or int(word) > _MOST_RESAMPLES:
        message = f"`{printable(word)}` is not 0 and not a number from {FEWEST_RESAMPLES} to {_MOST_RESAMPLES:,}"
        raise argparse.ArgumentTypeError(message)
    return int(word)


def run(arguments: argparse.Namespace) -> int:
    """Score the files."""
    from specforge.execution.job import Job
    from specforge.execution.questions.answers import answer
    from specforge.execution.questions.evaluation import Evaluation, TextFiles
    from specforge.execution.signals import stop_requests
    from specforge.execution.workers import available_threads
    from specforge.planning.steps import part_settings

    if sys.platform == "win32":
        message = "`evaluate` needs Linux or macOS; validate, show, plan and diff work here"
        raise EnvironmentFaultError("SF606", message)
    metrics = chosen_metrics(arguments.metrics)
    if arguments.source is None:
        _refuse_without_source(metrics)
    files = TextFiles(
        hypotheses=arguments.hypotheses,
        references=arguments.references,
        source=arguments.source,
        compare=arguments.compare,
        bootstrap=arguments.bootstrap,
    )
    tables: list[JsonValue] = [part_settings(metric) for metric in metrics]
    settings: dict[str, JsonValue] = {"evaluate": files.model_dump(mode="json"), "metrics": tables}
    job = Job(id="evaluate", kind="evaluate", settings=settings, threads=available_threads(1))
    with stop_requests() as stop:
        found = Evaluation.model_validate_json(answer(job, stop))
    if arguments.format == "json":
        result(found.model_dump_json(indent=2))
        return ExitCode.DONE
    for score in found.scores:
        for line in _lines(score, arguments.compare):
            result(line)
    return ExitCode.DONE


def _refuse_without_source(metrics: list[Part]) -> None:
    for metric in metrics:
        if isinstance(metric.config, MetricConfig) and metric.config.needs_sources:
            message = f"the metric `{metric.registered.component.name}` looks at what was translated"
            raise WrongInputError("SF732", message, help="add `--source FILE`")


def _lines(score: FoundScore, other: str | None) -> Iterator[str]:
    """Yield what is said of one score."""
    yield printable(score.text, longest=1_000)
    if score.interval is not None:
        yield f"  {_interval(score.interval)}"
    yield f"  {printable(score.signature, longest=1_000)}"
    if score.compare is None or other is None:
        return
    difference = score.value - score.compare.value
    better = (difference > 0) == score.higher_is_better
    words = "there is no difference" if difference == 0 else f"{difference:+.2f}, {'better' if better else 'worse'}"
    p_value = "no test for this metric" if score.compare.p_value is None else f"p = {score.compare.p_value:.3f}"
    yield f"  {score.compare.value:.2f} in {printable(other)}: {words} ({p_value})"


def _interval(interval: FoundInterval) -> str:
    drawn = f"{counted(interval.resamples, 'resample')}, seed {interval.seed}"
    return f"{interval.mean:.2f} ± {interval.margin:.2f} at {100 * interval.confidence:.0f} % confidence ({drawn})"
