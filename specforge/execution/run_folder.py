"""The folder of a run: links and logs for people, in one place under the run's name.

- `plan.json`: the last plan that was started; a plan file, which `run` takes in place of a spec
- `best`, `last`, `average`, and `average_best` where it is asked for: links to the model folders of the train result
- `<test>/hypotheses.txt`, and `.tsv`, `.jsonl` or `.fairseq` where asked for: links to the result of generate
- `scores.json`: the scores of all tests
- `logs/<step>.jsonl`: the records of a step, all attempts one after the other; `logs/<step>.stderr`: what its workers printed
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError, Place, RefusedError
from specforge.foundation.terminal import printable
from specforge.planning.plan import Plan, Step
from specforge.planning.plan_json import steps_by_id
from specforge.storage.store import Store

CHECKPOINTS: Final = ("best", "last", "average", "average_best")
HYPOTHESES: Final = "hypotheses.txt"
OUTPUTS: Final = (HYPOTHESES, "hypotheses.tsv", "hypotheses.jsonl", "hypotheses.fairseq")
"""What generate writes; after the first, what `generate.nbest`, `format` and `alignment` ask for."""

SCORES: Final = "scores.json"
_PLAN: Final = "plan.json"
_FACTS: Final = frozenset({"name", "value", "signature"})


class RunFolder:
    """The folder of one run.

    Args:
        store: the store that it lies in.
        name: the run's name.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.path = store.run_folder(name)

    def previous_steps(self) -> dict[str, Mapping[str, JsonValue]]:
        """Return the steps of the last plan that was started, as JSON, by id."""
        return steps_by_id(self._last_plan())

    def claim(self, plan: Plan, document: Mapping[str, JsonValue]) -> None:
        """Make the folder this plan's: check whose it is, keep the plan, and let links show its results only.

        Args:
            plan: the plan.
            document: what to keep of it, as JSON: a plan file, which can be run again.

        Raises:
            RefusedError: SF622, the name is held by another spec that is still there.
        """
        last = self._last_plan()
        holder = last.get("spec") if isinstance(last, dict) else None
        if isinstance(holder, str) and Path(holder) != plan.spec and Path(holder).is_file():
            raise RefusedError(
                "SF622",
                f"the run name `{plan.name}` is held by {printable(holder)}",
                help=f'give this spec a name of its own (`name = "{plan.name}-2"`), or use another store',
            )
        durable.make_folder(self.path / "logs")
        durable.replace_file(self.path / _PLAN, durable.json_text(dict(document)))
        self._clear_tests(plan)
        durable.remove_file(self.path / SCORES)
        for link, target in (pair for step in plan.steps for pair in self._links(step).items()):
            if link.is_symlink() and not _points_to(link, target):
                durable.remove_file(link)

    def _last_plan(self) -> JsonValue:
        try:
            plan: JsonValue = json.loads((self.path / _PLAN).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return plan

    def _clear_tests(self, plan: Plan) -> None:
        """Remove the links of tests that the plan no longer has."""
        kept = {_test(step) for step in plan.steps if step.kind == "generate"}
        for link in (link for name in OUTPUTS for link in self.path.glob(f"*/{name}")):
            if link.is_symlink() and link.parent.name not in kept and link.parent.name not in CHECKPOINTS:
                durable.remove_file(link)

    def _links(self, step: Step) -> dict[Path, Path]:
        """Return link → target of what a step's result shows here."""
        result = self._store.result(step.kind, step.key)
        if step.kind == "train":
            return {self.path / name: result / name for name in CHECKPOINTS}
        return {self.path / _test(step) / name: result / name for name in OUTPUTS} if step.kind == "generate" else {}

    def link(self, step: Step) -> None:
        """Show the result of a step, which is there."""
        for link, target in self._links(step).items():
            if target.exists() and not _points_to(link, target):  # not every step makes every file
                durable.replace_link(durable.make_folder(link.parent) / link.name, target)

    def write_scores(self, plan: Plan) -> dict[str, list[Mapping[str, JsonValue]]]:
        """Gather the scores of all tests that have been scored into one file, and return them by test.

        Raises:
            CorruptStateError: SF614, a result of score holds none.
        """
        scores: dict[str, list[Mapping[str, JsonValue]]] = {}
        for step in plan.steps:
            if step.kind == "score" and self._store.manifest(step.kind, step.key) is not None:
                scores[_test(step)] = _scores(self._store.result(step.kind, step.key) / SCORES)
        if scores:
            listed: JsonValue = {test: [dict(score) for score in found] for test, found in scores.items()}
            durable.replace_file(self.path / SCORES, durable.json_text({"scores": listed}))
        return scores

    def log(self, step: Step, suffix: str) -> Path:
        """Return the log of a step with this suffix."""
        return self.path / "logs" / f"{step.id}{suffix}"


def _scores(path: Path) -> list[Mapping[str, JsonValue]]:
    try:
        scores: list[Mapping[str, JsonValue]] = [dict(score) for score in json.loads(path.read_bytes())["scores"]]
    except FileNotFoundError:
        raise CorruptStateError("SF614", "a file is missing", place=Place(str(path))) from None
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptStateError("SF614", "a file of scores holds none", place=Place(str(path))) from error
    if not all(score.keys() >= _FACTS for score in scores):
        raise CorruptStateError("SF614", "a score has no name, value or signature", place=Place(str(path)))
    return scores


def _test(step: Step) -> str:
    return step.id.partition(".")[2]


def _points_to(link: Path, target: Path) -> bool:
    return link.is_symlink() and (link.parent / link.readlink()).resolve() == target.resolve()
