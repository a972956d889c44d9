"""A plugin's criterion whose loss is not a number for some sentences, as a user meets it: stop, or go on without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.foundation.errors import ExitCode

PLUGIN = {
    "acme_brittle-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme-brittle\nVersion: 1.0\n",
    "acme_brittle-1.0.dist-info/entry_points.txt": "[specforge]\nbrittle = acme_brittle\n",
    "acme_brittle.py": """
from specforge.plugin import Component, ComponentConfig, hookimpl

class Config(ComponentConfig):
    '''Nothing to set.'''

@hookimpl
def specforge_components():
    return [Component("criterion", "brittle", "acme_brittle:Config", "acme_brittle_loss:build")]
""",
    "acme_brittle_loss.py": """
from dataclasses import replace

from specforge.criterions.cross_entropy.loss import CrossEntropy

class Brittle(CrossEntropy):
    def forward(self, model, batch):
        loss = super().forward(model, batch)
        wrong = self.training and bool((batch.counted.sum(1) == 4).any())
        return replace(loss, total=loss.total * float("nan")) if wrong else loss

def build(config, context):
    return Brittle()
""",
}

# Sentences of two words but one of three: with its end that has four targets. An update holds four of twelve sentences.
_SENTENCES = [("one two", "eins zwei"), ("three four", "drei vier"), ("five one", "fünf eins")] * 4
_SPEC = (
    SMALL_SPEC.replace("max_updates = 4", "max_updates = 9").replace('validate_every = "2 updates"', "")
    + """
[criterion]
use = "acme-brittle/brittle"

[run]
log_every = 1
max_tokens = 8
"""
)


@pytest.fixture
def brittle(tmp_path: Path) -> SmallExperiment:
    experiment = SmallExperiment(tmp_path)
    for name, text in PLUGIN.items():
        path = tmp_path / "plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    experiment.write_text("train", [*_SENTENCES[:-1], ("one two three", "eins zwei drei")])
    experiment.write_spec(_SPEC)
    return experiment


def _run(experiment: SmallExperiment, store: str, *assignments: str) -> subprocess.CompletedProcess[str]:
    changes = [word for assignment in assignments for word in ("--set", assignment)]
    return subprocess.run(
        [sys.executable, "-m", "specforge", "run", "small.toml", "--until", "train", "--store", store, *changes],
        env={**os.environ, "PYTHONPATH": str(experiment.folder / "plugins")},
        cwd=experiment.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def _written(store: Path) -> list[Path]:
    return sorted(store.glob("work/train/*/non-finite/*/batch.json"))


def test_training_stops_and_names_the_sentence_whichever_process_had_it(brittle: SmallExperiment) -> None:
    done = _run(brittle, "store", "run.devices=2")

    assert ExitCode.STEP_FAILED == done.returncode
    assert "error[SF633]: update" in done.stderr
    assert "Traceback" not in done.stderr
    [path] = _written(brittle.folder / "store")
    assert f"what it is made of is in `{path}`" in done.stderr
    found = json.loads(path.read_text())
    assert {0, 1} == {piece["rank"] for piece in found["micro_batches"]}
    [wrong] = [piece for piece in found["micro_batches"] if piece["loss"] == "nan"]
    assert f"micro-batch {wrong['micro_batch']} (rank {wrong['rank']}, " in done.stderr
    blamed = [item for item in wrong["items"] if item["target"] == "eins zwei drei"]
    assert [(1, 12, "one two three")] == [(item["corpus"], item["number_in_corpus"], item["source"]) for item in blamed]


def test_training_goes_on_without_it_and_does_so_again_after_a_larger_budget(brittle: SmallExperiment) -> None:
    skip = "train.non_finite={skip=9}"
    whole = _run(brittle, "whole", skip)
    parts = [_run(brittle, "parts", skip, f"train.max_updates={updates}") for updates in (4, 9)]

    assert [0, 0, 0] == [done.returncode for done in (whole, *parts)]
    assert 3 == len(_written(brittle.folder / "whole"))
    assert 3 == whole.stderr.count("of at most 9; ")
    assert "training goes on after 4 updates" in parts[1].stderr
    weights = [
        path.read_bytes()
        for store in ("whole", "parts")
        for path in (brittle.folder / store).glob("objects/train/*/last/model.safetensors")
    ]
    assert 3 == len(weights)
    assert weights[0] in weights[1:]
    refused = _run(brittle, "whole", "train.non_finite={skip=2}")
    assert ExitCode.STEP_FAILED == refused.returncode
    assert "2 updates were left out before, as many as `train.non_finite` allows" in refused.stderr
