"""What has come of a plan, read from a store: damaged files are named, unfinished trainings are read from their log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import JsonValue
from small_experiment import SmallExperiment

from specforge.execution.prepare import prepare
from specforge.execution.stored_outcomes import stored_scores, training_curve
from specforge.foundation.errors import CorruptStateError
from specforge.planning.comparison.curves import Curve, Validated
from specforge.storage.digests import Digests
from specforge.storage.store import Store

SCORE = {"name": "bleu", "value": 1.5, "signature": "s", "higher_is_better": False, "text": "BLEU = 1.50"}


def test_scores_are_read_as_they_are_stored(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(json.dumps({"scores": [SCORE], "sentences": 4}))

    (score,) = stored_scores(tmp_path)
    assert ("bleu", 1.5, "s", False) == (score.name, score.value, score.signature, score.higher_is_better)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"scores": 4}', '{"scores": [{"name": "bleu"}]}'])
def test_damaged_scores_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "scores.json").write_text(text)

    with pytest.raises(CorruptStateError) as caught:
        stored_scores(tmp_path)
    assert "SF614" == caught.value.code


def test_scores_that_are_gone_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptStateError, match="a file is missing"):
        stored_scores(tmp_path)


def curve(small: SmallExperiment, history: JsonValue = None, log: list[JsonValue] | None = None) -> Curve | None:
    """Return the curve of the small experiment with this history in its result, or with this log."""
    store = Store(small.folder / "store")
    plan = prepare(small.spec(), store, Digests(None))
    folder = small.folder / "result"
    folder.mkdir(exist_ok=True)
    if history is not None:
        (folder / "history.json").write_text(json.dumps(history))
        return training_curve(plan, store, {"train": folder})
    records = [
        {**record, "key": plan.step("train").key} if record == {"event": "start"} else record for record in log or []
    ]
    logs = store.run_folder("small") / "logs"
    logs.mkdir(parents=True)
    # a last line that is being written, and one that is no text
    text = "".join(json.dumps(record) + "\n" for record in records).encode()
    (logs / "train.jsonl").write_bytes(b"\xff\n" + text + b'{"event": "val')
    return training_curve(plan, store, {})


def test_a_result_keeps_its_validations_and_the_last_weights_own(small: SmallExperiment) -> None:
    history: JsonValue = {
        "best_metric": "loss",
        "best_updates": 2,
        "validations": [{"updates": 2, "valid": {"loss": 1.0}}, {"updates": 4, "valid": {"loss": 2.0}}],
        "last": {"updates": 5, "valid": {"loss": 3.0}},
    }

    expected = tuple(Validated(updates, {"loss": loss}) for updates, loss in ((2, 1.0), (4, 2.0), (5, 3.0)))
    assert Curve("loss", 2, expected) == curve(small, history)


def test_a_damaged_history_is_named(small: SmallExperiment) -> None:
    with pytest.raises(CorruptStateError, match="not the history"):
        curve(small, {"best_metric": "loss"})


def test_a_training_that_is_not_done_is_read_from_the_log_of_its_own_attempts(small: SmallExperiment) -> None:
    found = curve(
        small,
        log=[
            {"event": "start", "key": "another"},
            {"event": "valid", "updates": 1, "loss": 9.0, "best": True},
            {"event": "start"},
            {"event": "valid", "updates": 2, "time": 1.5, "epoch": 1, "loss": 8.0, "best": True},
            {"event": "train", "updates": 3, "loss": 7.5},
            {"event": "valid", "updates": 4, "loss": 7.0, "best": True},
            {"event": "start"},  # it was stopped, and does update 4 again
            {"event": "valid", "updates": 4, "loss": 7.0, "best": True},
            {"event": "valid", "updates": 6, "loss": 8.5, "best": False},
        ],
    )

    losses = ((2, 8.0), (4, 7.0), (6, 8.5))
    assert Curve("loss", 4, tuple(Validated(updates, {"loss": loss}) for updates, loss in losses), done=False) == found


def test_a_training_that_has_not_begun_has_no_curve(small: SmallExperiment) -> None:
    assert curve(small, log=[]) is None
