"""The records that a real run writes are those that docs/reference/json.md lists, field by field."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from digits import specforge
from small_experiment import SmallExperiment

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is an extra"
)

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "reference" / "json.md").read_text().partition("\n## Records\n")[2]
DOCUMENTED = {
    event: set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    for event, section in re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
ELSEWHERE = {"train": {"loss_scale", "overflows"}, "start": {"trajectory"}}
"""Fields that these records need not have."""


def records(small: SmallExperiment) -> list[dict[str, object]]:
    """Return all records of a run, without what each has."""
    logs = sorted((small.folder / "store" / "runs" / "small" / "logs").glob("*.jsonl"))
    found = [json.loads(line) for log in logs for line in log.read_text().split("\n") if line]
    assert all(isinstance(record.pop("time"), float) for record in found)
    return found


def run(small: SmallExperiment, *assignments: str) -> int:
    words = [word for assignment in assignments for word in ("--set", assignment)]
    return specforge("run", "small.toml", "--store", "store", *words, cwd=small.folder).returncode


def in_tensorboard(small: SmallExperiment) -> dict[tuple[str, int], float]:
    """Return (tag, updates) → value of all scalars, as TensorBoard reads them."""
    (folder,) = (path for path in (small.folder / "store").glob("runs/small/logs/tensorboard/*") if path.is_dir())
    events = accumulators.EventAccumulator(str(folder), {"scalars": 0})
    events.Reload()
    return {(tag, event.step): event.value for tag in events.Tags()["scalars"] for event in events.Scalars(tag)}


def check(found: list[dict[str, object]]) -> set[str]:
    """Compare records with the page, and return their events."""
    for record in found:
        event = str(record.pop("event"))
        fields = record.keys() - ({"bleu"} if event == "valid" else set())
        assert fields <= DOCUMENTED[event], event
        assert DOCUMENTED[event] - fields <= ELSEWHERE.get(event, set()), event
        record["event"] = event
    return {str(record["event"]) for record in found}


def test_a_run_writes_what_the_page_lists(small: SmallExperiment) -> None:
    assert run(small, "run.log_every=1", 'train.best_metric="bleu"', 'run.trackers="tensorboard"') == 0

    found = records(small)
    assert in_tensorboard(small) == {
        (f"{record['event']}/{name}", record["updates"]): pytest.approx(value)
        for record in found
        for name, value in record.items()
        if record["event"] in {"train", "valid"} and name not in {"event", "updates", "best"}
    }

    assert check(found) == {"start", "done", "message", "train", "valid", "summary", "score"}
    assert [sorted(record.keys() & {"bleu"}) for record in found if record["event"] == "valid"] == [["bleu"]] * 2
    assert [record["updates"] for record in found if record["event"] == "train"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("module", "event"),
    [("steps/pace.py", "PACE"), ("training/trainer.py", "non_finite"), ("execution/runner.py", "failed")],
)
def test_what_seldom_comes_has_the_fields_of_the_call_that_writes_it(module: str, event: str) -> None:
    tree = ast.parse((ROOT / "specforge" / module).read_text())
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args and named(node.args[0]) == event
    ]

    assert [fields(call) for call in calls] == [DOCUMENTED[event.lower()]]


def named(node: ast.expr) -> str | None:
    return str(node.value) if isinstance(node, ast.Constant) else node.id if isinstance(node, ast.Name) else None


def fields(call: ast.Call) -> set[str | None]:
    tables = [argument for argument in call.args if isinstance(argument, ast.Dict)]
    return {word.arg for word in call.keywords} | {named(key) for table in tables for key in table.keys if key}


@pytest.mark.parametrize("event", ["train", "valid"])
def test_figures_for_people_have_a_meaning(event: str) -> None:
    assert {"updates", "epoch", "loss", "nll", "ppl"} <= DOCUMENTED[event]
