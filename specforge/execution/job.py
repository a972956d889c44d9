"""The job: all that a worker process is told, as JSON on its standard input.

The runner (front) writes it, `specforge.steps.worker` reads it. Components are named by their qualified names and looked
up in the registry by the worker, so that no import string ever travels.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class CorpusJob(BaseModel):
    """A corpus with its files, as a worker gets it (`specforge.language.spec.CorpusFiles` without its place).

    Args:
        role: `train/0`, `valid`, `test`.
        files: column *role* (`source`) → absolute path for text; `{"": path}` for a table.
        columns: for a table, the name of each column of the file, in order.
        hold_out: `{"valid": share, "test": share, "distinct": column}` or None.
        lines: how many lines its files have, where that is known; only for progress.
        references: names of the columns of a test that outputs are scored against, where those are not the task's; their
            roles are `reference-0`, `reference-1`, …
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    role: str
    format: Literal["text", "tsv", "jsonl"]
    files: dict[str, str]
    header: bool = False
    columns: list[str] = Field(default_factory=list)
    weight: float = 1.0
    hold_out: dict[str, JsonValue] | None = None
    lines: int | None = None
    references: list[str] = Field(default_factory=list)


class Job(BaseModel):
    """One step, or one rank of a step.

    Args:
        id, kind: as in `specforge.planning.plan.Step`. Some kinds are no steps of a plan: `translate` reads standard input
            or files, as its settings `translate` say (`specforge.execution.translate_options`), `logprob` and `evaluate` read the files that their settings of the same names say, `export` writes the `model`
            that it needs as its settings `export` say, and `estimate`, with the settings of train and the table
            `preprocess`, says what training comes to. `diff` has two more, with settings of their own: `shapes` and
            `significance` (`specforge.steps`). `test` tries one part alone: the settings of all steps, the part's path as
            `component`, who it is as `identity` (a list).
        settings: the step's settings: `task`, `tokenizer`, `model`, `criterion`, `optimizer`, `lr_scheduler`, `search`,
            `valid_search`, `valid_metric`, `metrics` (list) as `{"use": "distribution/name", …}` where the step has them
            (train has `valid_search` where validation decodes and `valid_metric` where `train.best_metric` is one);
            `preprocess`, `train`, `generate` as tables; `seed`; `run`; for train
            `data = {"train": [{"weight": 1.0}, …]}`, a weight for each training corpus.
        corpora: the corpora that the step reads: train for tokenizer, train and valid for preprocess, the test for
            generate and score (where the test is held out: the training corpora with a share for it, in their roles).
        needs: id of each needed step (`generate` for generate.<test>) → folder of its result.
        output: the private folder to write the result into; None for translate.
        work: folder of the trajectory (train only).
        rank, world: number of this process and of all processes of the step.
        rendezvous: file for the processes to meet at; None when world is 1.
        master: `host:port` of the store for processes of several machines to meet at, in place of a file; None on one.
        attempt: number of this attempt, from 0; processes of two attempts never meet.
        local_rank: number of this process on its machine.
        threads: threads that this process may use for arithmetic.
        spec: the resolved spec as TOML, which is kept beside the weights (train only).
        traces: folder for traces of profiled updates, where `run.profile` asks for some; else None.
        events: file descriptor for events (`specforge.foundation.events`), or None.
        beats: file descriptor for the heartbeat (`specforge.foundation.heartbeat`), or None.
        stacks: file descriptor for the stacks of all threads, written on SIGUSR1, or None.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    id: str
    kind: Literal[
        "tokenizer",
        "preprocess",
        "train",
        "generate",
        "score",
        "translate",
        "logprob",
        "evaluate",
        "export",
        "estimate",
        "shapes",
        "significance",
        "test",
    ]
    settings: dict[str, JsonValue]
    corpora: list[CorpusJob] = Field(default_factory=list)
    needs: dict[str, str] = Field(default_factory=dict)
    output: str | None = None
    work: str | None = None
    rank: int = 0
    world: int = 1
    rendezvous: str | None = None
    master: str | None = None
    attempt: int = 0
    local_rank: int = 0
    threads: int = 1
    spec: str | None = None
    traces: str | None = None
    events: int | None = None
    beats: int | None = None
    stacks: int | None = None
