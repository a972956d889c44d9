"""`specforge test`: one part of an experiment alone; no step of a plan, and no result.

What is found out is `trial.json`, a `specforge.execution.questions.trial_results.Trial`.
"""

from __future__ import annotations

import json
from pathlib import Path

from specforge.execution.job import Job
from specforge.execution.questions.text_findings import DataSource
from specforge.execution.questions.trial_results import Findings, Trial
from specforge.foundation import durable
from specforge.foundation.events import Reporter


def run(job: Job, reporter: Reporter) -> None:
    """Try the part that the job's setting `component` names.

    Raises:
        StepFailedError: SF142, SF143, SF633: the component is at fault.
        WrongInputError: the data or the settings are.
    """
    assert job.output is not None
    output = Path(job.output)
    component = job.settings["component"]
    identity = job.settings["identity"]
    assert isinstance(component, str)
    assert isinstance(identity, list)
    warnings: list[str] = []
    findings, source = _tried(component, job, output, reporter, warnings)
    trial = Trial(
        component=component,
        identity=[str(one) for one in identity],
        data=source,
        warnings=warnings,
        findings=findings,
    )
    durable.write_json(output / "trial.json", json.loads(trial.model_dump_json()))


def _tried(
    component: str, job: Job, output: Path, reporter: Reporter, warnings: list[str]
) -> tuple[Findings, DataSource | None]:
    """Try a part; its module, and with it torch, is imported only when it is wanted."""
    match component:
        case "tokenizer":
            from specforge.steps.trial.tokenizer import try_tokenizer

            return try_tokenizer(job, warnings)
        case "lr_scheduler":
            from specforge.steps.trial.lr_scheduler import try_lr_scheduler

            return try_lr_scheduler(job, output, reporter, warnings)
        case "generate.metrics":
            from specforge.steps.trial.metrics import try_metrics

            return try_metrics(job, warnings), None
        case _:
            return _tried_on_a_batch(component, job, output, reporter, warnings)


def _tried_on_a_batch(
    component: str, job: Job, output: Path, reporter: Reporter, warnings: list[str]
) -> tuple[Findings, DataSource | None]:
    """Try a part that works on batches of prepared data."""
    from specforge.steps.trial.data import try_data
    from specforge.steps.trial.learning import try_criterion, try_optimizer
    from specforge.steps.trial.model import try_model
    from specforge.steps.trial.search import try_search
    from specforge.steps.trial.workbench import Workbench

    bench = Workbench(job, output, reporter)
    findings: Findings
    match component:
        case "data":
            findings = try_data(bench, warnings)
        case "model":
            findings = try_model(bench, warnings)
        case "criterion":
            findings = try_criterion(bench, warnings)
        case "optimizer":
            findings = try_optimizer(bench, warnings)
        case "generate.search" | "train.valid_search":
            findings = try_search(bench, component.partition(".")[2], warnings)
        case _:
            message = f"no part of an experiment: {component}"
            raise AssertionError(message)
    return findings, bench.source
