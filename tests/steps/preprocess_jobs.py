"""Jobs of the tokenizer and preprocess steps over small texts."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from specforge.execution.job import CorpusJob, Job
from specforge.foundation.events import Scalar, SilentReporter
from specforge.steps import preprocess, tokenizer

TASK: JsonValue = {"use": "specforge/translation", "source": "en", "target": "de"}
WHITESPACE: JsonValue = {"use": "specforge/whitespace"}
PREPROCESS: dict[str, JsonValue] = {"padding_factor": 1}


class Messages(SilentReporter):
    """Keeps what the step tells the user."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.bar: list[tuple[int, int | None]] = []
        self.warnings: list[str] = []

    def progress(self, done: int, total: int | None, unit: str, **values: Scalar) -> None:
        assert ("lines", {}) == (unit, values)
        self.bar.append((done, total))

    def message(self, text: str) -> None:
        self.messages.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def parallel(
    folder: Path, role: str, source: str, target: str, hold_out: dict[str, JsonValue] | None = None
) -> CorpusJob:
    """Write parallel text and return it as a corpus."""
    stem = role.replace("/", "-")
    files = {"source": folder / f"{stem}.en", "target": folder / f"{stem}.de"}
    files["source"].write_text(source, encoding="utf-8", newline="")
    files["target"].write_text(target, encoding="utf-8", newline="")
    return CorpusJob(
        role=role, format="text", files={name: str(path) for name, path in files.items()}, hold_out=hold_out
    )


def make_job(
    output: Path,
    corpora: list[CorpusJob],
    *,
    kind: str = "preprocess",
    tokenizer: JsonValue = WHITESPACE,
    section: dict[str, JsonValue] | None = None,
    workers: int = 1,
    needs: dict[str, str] | None = None,
) -> Job:
    """Return a job as the runner makes it."""
    output.mkdir(parents=True, exist_ok=True)
    settings: dict[str, JsonValue] = {
        "task": TASK,
        "tokenizer": tokenizer,
        "preprocess": {**PREPROCESS, **(section or {})},
        "run": {"workers": workers},
        "seed": 1,
    }
    return Job.model_validate(
        {"id": kind, "kind": kind, "settings": settings, "output": str(output), "needs": needs or {}}
    ).model_copy(update={"corpora": corpora})


def prepared(job: Job) -> tuple[Path, Messages]:
    """Run a preprocess job; return the folder of its result and what the user was told."""
    reporter = Messages()
    preprocess.run(job, reporter)
    assert job.output is not None
    return Path(job.output), reporter


def learned(job: Job) -> tuple[Path, Messages]:
    """Run a tokenizer job; return the folder of its result and what the user was told."""
    reporter = Messages()
    tokenizer.run(job, reporter)
    assert job.output is not None
    return Path(job.output), reporter
