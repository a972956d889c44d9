"""The plan: what every command is a view of. Steps with keys, states and reasons, in an order that can be run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import JsonValue

StepKind: TypeAlias = Literal["tokenizer", "preprocess", "train", "generate", "score"]


class State(StrEnum):
    """What `run` will do with a step."""

    REUSE = "reuse"
    RESUME = "resume"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class InputFile:
    """A data file that a step reads.

    Args:
        role: what it is to the step, independent of its name: `train/0/source`, `valid/target`, `test/source`; a table is
            `train/0`.
        path: absolute path; not part of any key.
        digest: SHA-256 of the decompressed bytes.
        lines: number of lines.
        crlf: how many of them end in CR LF; for people, since the CR is no part of the text.
    """

    role: str
    path: Path
    digest: str
    lines: int
    crlf: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the plan.

    Args:
        id: `tokenizer`, `preprocess`, `train`, `generate.<test>`, `score.<test>`.
        kind: which code runs it.
        key: SHA-256 over identity config, input digests by role, the keys of its needs, and component versions.
        state: what `run` will do.
        reason: why, in a few words.
        needs: ids of the steps whose results it reads.
        components: table path (`model`, `generate.metrics.0`) → `distribution/name@version`.
        inputs: the data files it reads.
        config: the identity config: what, besides the inputs, its result depends on.
        settings: all values its code gets: `config` and the fields that change no result; components as
            `{"use": "distribution/name", …}`.
        trajectory: for train, the key without the fields that may grow; names its working folder.
    """

    id: str
    kind: StepKind
    key: str
    state: State
    reason: str
    needs: tuple[str, ...]
    components: Mapping[str, str]
    inputs: tuple[InputFile, ...]
    config: Mapping[str, JsonValue]
    settings: Mapping[str, JsonValue]
    trajectory: str | None = None

    def with_state(self, state: State, reason: str) -> Step:
        """Return the step with another state and the reason for it."""
        return replace(self, state=state, reason=reason)


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps of a spec.

    Args:
        name: the run's name.
        spec: the spec file, absolute.
        steps: in an order in which every step comes after its needs.
    """

    name: str
    spec: Path
    steps: tuple[Step, ...]

    def step(self, identifier: str) -> Step:
        """Return the step with this id."""
        return next(step for step in self.steps if step.id == identifier)
