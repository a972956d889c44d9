"""The names and shapes of the tensors of several models, built on the meta device; no step of a plan.

Its settings hold `models`, a list of `{"model": table, "vocabulary": {role: types}, "joined": bool}`. The answer is the
record `shapes`, whose value `json` is a list with an entry for each of them: name → shape, as the weights are saved, or null
where the model cannot be built like this.
"""

from __future__ import annotations

import json

import torch
from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.foundation.errors import SpecforgeError
from specforge.foundation.events import Reporter
from specforge.plugin import ModelContext, Symbols
from specforge.steps.parts import make_model
from specforge.training.weights import module_weights


def run(job: Job, reporter: Reporter) -> None:
    """Build the models."""
    models = job.settings["models"]
    assert isinstance(models, list)
    reporter.record("shapes", json=json.dumps([_shapes(model) for model in models]))


def _shapes(described: JsonValue) -> dict[str, list[int]] | None:
    assert isinstance(described, dict)
    vocabulary = described["vocabulary"]
    assert isinstance(vocabulary, dict)
    symbols = {role: Symbols(int(str(types))) for role, types in vocabulary.items()}
    try:
        with torch.device("meta"):
            model = make_model(described["model"], ModelContext(symbols, described["joined"] is True))
    except (SpecforgeError, ValueError, RuntimeError, TypeError):
        return None  # one value of another model need not fit this one: there may be no such model
    return {name: list(tensor.shape) for name, tensor in module_weights(model).items()}
