"""`[train]`: how long, on how much at a time, and what is kept."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.language.schema.section import RawTable, Section, interval
from specforge.plugin import marked

TEXT_FREE_METRICS: Final = ("loss", "ppl")
"""Values of `train.best_metric` that need no decoding; every other is a metric by name, with its default options."""

DEFAULT_VALID_SEARCH: Final = "greedy"
"""How validation decodes where `train.best_metric` needs text and the spec names no search."""


class NonFinite(Section):
    """What training does about an update whose loss or gradient is not finite, other than to stop."""

    skip: int | None = Field(default=None, ge=1, description="leave out up to this many such updates in all")
    rollback: int | None = Field(
        default=None, ge=1, description="go back at least this many updates, to a checkpoint kept for that"
    )
    leave_out: int | None = Field(
        default=None, ge=1, description="updates of the plan to leave out after going back; default: 2 x rollback"
    )
    at_most: int | None = Field(default=None, ge=1, description="how often to go back; default: 3")

    @model_validator(mode="after")
    def _one_of_two(self) -> NonFinite:
        if self.skip is not None and self.rollback is not None:
            raise PydanticCustomError(
                "exclusive",
                "`skip` and `rollback` exclude each other",
                {"labels": {"skip": "this leaves single updates out", "rollback": "this goes back"}},
            )
        if self.rollback is None:
            for name in ("leave_out", "at_most"):
                if getattr(self, name) is not None:
                    raise PydanticCustomError(
                        "exclusive",
                        "`{name}` says how to go back, and nothing says that training may",
                        {"name": name, "labels": {name: "`rollback` is missing"}},
                    )
        return self


def _stop_is_none(policy: NonFinite | None) -> NonFinite | None:
    # `"stop"` arrives as a table of nothing
    return None if policy == NonFinite() else policy


class TrainSection(Section):
    """`[train]`: the trajectory and its budget."""

    max_updates: Annotated[int | None, marked(continues=True)] = Field(
        default=None, ge=1, description="budget in updates"
    )
    max_epochs: Annotated[int | None, marked(continues=True)] = Field(
        default=None, ge=1, description="budget in epochs"
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=1,
        description="tokens per update, over all devices: of the target, or of the only text; the task has a default",
    )
    batch_sentences: int | None = Field(default=None, ge=1, description="items per update, instead of batch_tokens")
    clip_norm: float = Field(default=0.0, ge=0.0, description="largest gradient norm; 0 leaves gradients alone")
    non_finite: Annotated[NonFinite | None, AfterValidator(_stop_is_none), marked(neutral=None)] = Field(
        default=None,
        description='what to do about a loss or gradient that is not finite: "stop" (the default), { skip = 10 } or '
        "{ rollback = 100 }",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="type of the matrix products; weights stay fp32; fp16 needs CUDA"
    )
    deterministic: Annotated[bool, marked(neutral=False)] = Field(
        default=False, description="equal bits in every run on the same hardware, at some cost, on CUDA too"
    )
    validate_every: Annotated[str, interval(("update", "epoch"))] = Field(
        default="1 epoch", description='"500 updates" or "2 epochs"'
    )
    valid_search: RawTable | None = Field(
        default=None,
        description="how validation decodes; default: greedy where best_metric needs text, else not at all",
    )
    best_metric: str = Field(
        default="loss",
        description="loss, ppl, or a metric of what is predicted for the validation data, like bleu or accuracy",
    )
    patience: Annotated[int | None, marked(continues=True)] = Field(
        default=None, ge=1, description="stop after this many validations without a new best"
    )
    average_last: int = Field(
        default=5, ge=1, description="how many of the last validated checkpoints `average` is made of"
    )
    average_best: Annotated[int | None, marked(neutral=None)] = Field(
        default=None,
        ge=1,
        description="how many of the best validated checkpoints `average_best` is made of; default: there is none",
    )
    ema_decay: Annotated[float | None, marked(neutral=None)] = Field(
        default=None,
        gt=0.0,
        lt=1.0,
        description="validate and publish a moving average of the weights with this decay, such as 0.999; default: none",
    )
    stop_min_lr: float | None = Field(
        default=None, gt=0.0, description="stop when the learning rate falls below, after warm-up"
    )
    checkpoint_every: Annotated[str, interval(("update", "minute")), marked(identity=False)] = Field(
        default="15 minutes", description="for resuming only"
    )
    keep_last: Annotated[int, marked(identity=False)] = Field(
        default=2, ge=2, description="how many of the last checkpoints stay on disk"
    )
    keep_best: Annotated[int, marked(identity=False)] = Field(
        default=1, ge=1, description="weights of how many of the best validations stay on disk"
    )

    @model_validator(mode="after")
    def _one_batch_and_a_budget(self) -> TrainSection:
        if self.batch_tokens is not None and self.batch_sentences is not None:
            raise PydanticCustomError(
                "exclusive",
                "`batch_tokens` and `batch_sentences` exclude each other",
                {"labels": {"batch_tokens": "this counts tokens", "batch_sentences": "this counts sentences"}},
            )
        if self.max_updates is None and self.max_epochs is None:
            raise PydanticCustomError(
                "missing_one_of",
                "training has no end: `max_updates` or `max_epochs` is required",
                {
                    "labels": {},
                    "fields": ["max_updates", "max_epochs"],
                    "help": "write `max_updates = 10_000` or `max_epochs = 20`",
                },
            )
        return self
