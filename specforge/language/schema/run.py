"""`[run]`: where and how; nothing here is part of a result's identity."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from specforge.language.schema.section import RawTable, Section


class Profile(Section):
    """Which updates of a training are profiled; their trace is beside the logs of the run."""

    after: int = Field(default=10, ge=0, description="updates before the first one, from where this run starts")
    updates: int = Field(ge=1, le=1_000, description="how many updates are profiled")


class RunSection(Section):
    """`[run]`: where and how; nothing here is part of a result's identity."""

    identity: ClassVar[bool] = False

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: cuda where there is one")
    devices: int = Field(
        default=1, ge=1, le=1024, description="processes that train or decode together, one device each"
    )
    strategy: Literal["ddp", "fsdp"] = Field(
        default="ddp",
        description="ddp: each device holds the whole model; fsdp: each holds a part of every weight, its gradient and what "
        "the optimizer keeps",
    )
    max_tokens: int = Field(
        default=4_096, ge=1, description="items x longest side per micro-batch; accumulation follows from it"
    )
    compile: bool = Field(default=False, description="train with compiled layers (torch.compile): quicker on a GPU")
    cuda_graphs: bool = Field(
        default=False, description="decode on a GPU by recorded steps, where a model can: no waiting for Python"
    )
    activation_checkpointing: bool = Field(
        default=False,
        description="layers keep only their inputs and compute once more in the backward pass: less memory, more time",
    )
    workers: int = Field(default=2, ge=1, le=256, description="processes that cut text into pieces in preprocess")
    log_every: int = Field(default=50, ge=1, description="updates between two lines of the training log")
    max_restarts: int = Field(
        default=3, ge=0, le=1_000, description="how often a training that lost a process goes on by itself"
    )
    hang_timeout: int = Field(
        default=300, ge=1, description="seconds that a training may stand still before its processes are ended"
    )
    profile: Profile | None = Field(
        default=None, description="updates to profile, such as { updates = 5 }: a trace for browsers; default: none"
    )
    trackers: list[RawTable] = Field(
        default_factory=list, description="what is told the figures of a training while it runs, like tensorboard"
    )
