"""The estimate for a plan: the model built without memory, on the meta device, and its parameters counted.

The result is `estimate.json`: `parameters` and `trainable` (shared ones once), and `by_part`, the parameters of each
top-level module of the model; one that several parts share is counted with the first.
"""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import JsonValue

from specforge.data.corpus import read_facts
from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.events import Reporter
from specforge.steps.model_folder import model_context, read_vocabularies
from specforge.steps.parts import make_model


def run(job: Job, reporter: Reporter) -> None:
    """Estimate the model of a job from the vocabularies of its preprocess result."""
    del reporter
    assert job.output is not None
    prepared = Path(job.needs["preprocess"])
    facts = read_facts(prepared)
    context = model_context(read_vocabularies(prepared, facts.roles), joined=facts.joined)
    with torch.device("meta"):
        model = make_model(job.settings["model"], context)
    by_part: dict[str, JsonValue] = {}
    trainable = total = 0
    for name, parameter in model.named_parameters():  # yields a shared parameter once
        part = name.partition(".")[0]
        counted = by_part.get(part, 0)
        assert isinstance(counted, int)
        by_part[part] = counted + parameter.numel()
        total += parameter.numel()
        trainable += parameter.numel() if parameter.requires_grad else 0
    durable.write_json(
        Path(job.output) / "estimate.json", {"parameters": total, "trainable": trainable, "by_part": by_part}
    )
