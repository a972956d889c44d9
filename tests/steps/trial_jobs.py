"""Trials as `specforge test` makes them, run in the test's own process."""

from __future__ import annotations

from pathlib import Path

from small_experiment import SmallExperiment

from specforge.execution.job import Job
from specforge.execution.prepare import prepare
from specforge.execution.questions.trial import _job as make_job
from specforge.execution.questions.trial import tried_parts
from specforge.execution.questions.trial_results import Trial
from specforge.foundation.events import SilentReporter
from specforge.steps import test as trial_step
from specforge.storage.digests import Digests
from specforge.storage.store import Store


def trial_job(small: SmallExperiment, component: str, *assignments: str) -> Job:
    """Return the job of a trial on a small experiment; its folder is empty."""
    spec, store = small.spec(*assignments), Store(small.folder / "store")
    output = small.folder / "trial"
    output.mkdir()
    tried = [part.registered for part in tried_parts(spec, component).values()]
    return make_job(spec, prepare(spec, store, Digests(None)), store, component, tried, output)


def trial(small: SmallExperiment, component: str, *assignments: str) -> Trial:
    """Run a trial."""
    return trial_of(trial_job(small, component, *assignments))


def trial_of(job: Job) -> Trial:
    """Run the trial of a job."""
    trial_step.run(job, SilentReporter())
    return Trial.model_validate_json((Path(str(job.output)) / "trial.json").read_bytes())
