"""What `run` says at its end: a few translations, where everything is, and what to try next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from specforge.cli.spec_arguments import Experiment, is_plan_file
from specforge.cli.views.output import columns
from specforge.execution.run_folder import CHECKPOINTS, HYPOTHESES, RunFolder
from specforge.foundation.terminal import printable
from specforge.foundation.text_files import read_lines
from specforge.language.spec import CorpusFiles
from specforge.planning.inputs import TABLE

_SAMPLES: Final = 3


def summary(experiment: Experiment, folder: RunFolder) -> Iterator[str]:
    """Yield the lines.

    Args:
        experiment: what was run.
        folder: its run folder.
    """
    for test, corpus in experiment.spec.test_corpora.items():
        hypotheses = folder.path / test / HYPOTHESES
        if hypotheses.is_file():
            yield from _samples(experiment, test, corpus, hypotheses)
    yield ""
    yield from columns(_places(folder), indent="")
    yield ""
    for purpose, command in _next(experiment, folder):
        yield f"{purpose}:\n  {command}"


def _samples(experiment: Experiment, test: str, corpus: CorpusFiles, hypotheses: Path) -> Iterator[str]:
    task = experiment.spec.task
    names = {column.role: column.name for column in task.columns()}
    role = next(iter(names))
    scored = corpus.references[0] if corpus.references else names[task.predicted]
    sources, references = (_column(corpus, column) for column in (names[role], scored))
    filled = (row for row in zip(sources, read_lines(hypotheses), references, strict=False) if (row[0] or "").strip())
    for source, hypothesis, reference in islice(filled, _SAMPLES):
        texts = zip((role, "hypothesis", "reference"), (source, hypothesis, reference), strict=True)
        yield ""
        yield from columns([(test, name, printable(text)) for name, text in texts if text is not None], indent="")


def _column(corpus: CorpusFiles, name: str) -> Iterator[str | None]:
    """Yield the texts of one column of a test, None where a table has no such column.

    Every line has been read by the steps before; the column that is predicted has not, where score did not run.
    """
    if corpus.format == "text":
        yield from read_lines(corpus.files[name])
        return
    lines = read_lines(corpus.files[TABLE])
    if corpus.format == "jsonl":
        yield from (json.loads(line).get(name) for line in lines)
        return
    names = next(lines).split("\t") if corpus.header else corpus.columns
    position = list(names).index(name) if name in names else None
    yield from (None if position is None else line.split("\t")[position] for line in lines)


def _places(folder: RunFolder) -> Iterator[tuple[str, str]]:
    yield "run", str(folder.path)
    for hypotheses in sorted(folder.path.glob(f"*/{HYPOTHESES}")):
        yield "hypotheses", str(hypotheses)
    links = [name for name in CHECKPOINTS if (folder.path / name).exists()]
    if links:
        yield "checkpoints", f"{folder.path}/{{{','.join(links)}}}"
    yield "logs", str(folder.path / "logs")


def _next(experiment: Experiment, folder: RunFolder) -> Iterator[tuple[str, str]]:
    typed = shlex.join(experiment.typed)
    if (folder.path / CHECKPOINTS[0]).exists() and experiment.spec.task.searches:
        verb = "continue" if experiment.spec.task.continues else "translate"
        yield f"{verb} lines from standard input", f"specforge translate {typed}"
    if not is_plan_file(Path(experiment.typed[0])):  # which takes no `--set`
        yield "see what a change would run again", f"specforge plan {typed} --set seed=2"
