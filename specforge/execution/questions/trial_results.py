"""The answer of `specforge test`: what a worker found out about a part of an experiment (`specforge.steps.test`)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from specforge.execution.questions.decoding_findings import MetricFindings, SearchFindings
from specforge.execution.questions.text_findings import DataFindings, DataSource, TokenizerFindings
from specforge.execution.questions.training_findings import (
    CriterionFindings,
    ModelFindings,
    OptimizerFindings,
    SchedulerFindings,
)
from specforge.planning.estimates import Figures

Findings: TypeAlias = (
    TokenizerFindings
    | DataFindings
    | ModelFindings
    | CriterionFindings
    | OptimizerFindings
    | SchedulerFindings
    | SearchFindings
    | MetricFindings
)


class Trial(Figures):
    """A trial as the worker reports it.

    Args:
        component: path of the table in the spec, `data`, or `generate.metrics`.
        identity: `distribution/name@version` of what was tried; for metrics all of them, for data the task.
        data: which data it used; None where it needs no training data.
        warnings: what is odd, one sentence each.
        findings: what was found.
    """

    component: str
    identity: list[str]
    data: DataSource | None
    warnings: list[str]
    findings: Annotated[Findings, Field(discriminator="kind")]
