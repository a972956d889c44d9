"""The estimate, where its worker fails: what is said must be true once its folder is gone."""

from __future__ import annotations

import pytest
from small_experiment import SmallExperiment

from specforge.execution import estimate as module
from specforge.execution.estimate import estimate
from specforge.execution.prepare import prepare
from specforge.execution.signals import StopRequest
from specforge.execution.workers import Launch
from specforge.foundation import durable
from specforge.foundation.errors import StepFailedError
from specforge.storage.digests import Digests
from specforge.storage.store import Store


def test_a_failed_estimate_names_no_file_that_is_gone(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(small.folder / "store")
    plan = prepare(small.spec(), store, Digests(None))
    preprocess = plan.step("preprocess")
    durable.publish(durable.temporary_folder(store.root / "tmp", "x"), store.result("preprocess", preprocess.key), {})

    def fail(launch: Launch, *_: object) -> None:
        raise StepFailedError("SF632", "unexpected RuntimeError: no", notes=("a", f"it is at the end of {launch.log}"))

    monkeypatch.setattr(module, "run_workers", fail)
    with pytest.raises(StepFailedError) as caught:
        estimate(plan, store, StopRequest())

    assert ("SF632", ("a",)) == (caught.value.code, caught.value.notes)
    assert "unexpected RuntimeError: no" in caught.value.message
    assert "--no-estimates" in str(caught.value.help)
    assert [] == list((store.root / "tmp").iterdir())
