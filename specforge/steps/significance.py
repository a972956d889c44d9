"""The significance of the differences between two specs' scores on one test. Free of torch; no step of a plan.

Its settings hold two score jobs, `a` and `b`, as JSON, and `metrics`: the numbers of the metrics of `a` that both have. The
answer is the record `significance`, whose value `json` is a `specforge.planning.comparison.outcomes.Significance`.
"""

from __future__ import annotations

import json

from specforge.execution.job import Job
from specforge.foundation.events import Reporter
from specforge.metrics.significance import paired_bootstrap
from specforge.planning.comparison.outcomes import FEWEST_SENTENCES, Significance
from specforge.steps.parts import make_metric
from specforge.steps.score import scored_texts


def run(job: Job, reporter: Reporter) -> None:
    """Resample.

    Raises:
        WrongInputError: as `specforge.steps.score.scored_texts`.
    """
    first, second = (Job.model_validate_json(json.dumps(job.settings[side])) for side in ("a", "b"))
    tables, numbers = first.settings["metrics"], job.settings["metrics"]
    assert isinstance(tables, list)
    assert isinstance(numbers, list)
    baseline, system = (scored_texts(side, reporter) for side in (first, second))
    same = baseline.references == system.references
    p_values: list[float | None] = [None] * len(numbers)
    if same and len(baseline.hypotheses) >= FEWEST_SENTENCES:
        metrics = [make_metric(tables[int(str(number))]) for number in numbers]
        if baseline.sources is not None:
            metrics = [metric.with_sources(baseline.sources) for metric in metrics]
        texts = (baseline.hypotheses, system.hypotheses, baseline.references)
        p_values = [paired_bootstrap(metric, *texts) for metric in metrics]
    answer = Significance(sentences=len(baseline.hypotheses), same_references=same, p_values=p_values)
    reporter.record("significance", json=answer.model_dump_json())
