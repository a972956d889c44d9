"""The estimate as the front asks for it: where its worker fails, where results are, what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from digits import specforge
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.execution.job import Job
from specforge.execution.prepare import prepare
from specforge.execution.questions import answers as module
from specforge.execution.questions.estimate import estimate
from specforge.execution.signals import StopRequest
from specforge.execution.workers import Launch
from specforge.foundation import durable
from specforge.foundation.errors import SpecforgeError, StepFailedError, WrongInputError
from specforge.foundation.events import Event, RecordEvent
from specforge.language.messages.diagnostics import SpecError, render_error
from specforge.planning.estimates import Estimates
from specforge.planning.keys import made_from, outputs_digest
from specforge.storage.digests import Digests
from specforge.storage.store import Store

FOUND = Estimates(parameters=3, trainable=3, by_part={"all": 3})


def asked(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Job], Event], *words: str
) -> tuple[Estimates, Job]:
    """Ask for the estimates of the small experiment with a worker that answers at once."""
    jobs: list[Job] = []

    def run(launch: Launch, on_event: Callable[[Event], None], _: StopRequest) -> None:
        jobs.extend(launch.jobs)
        on_event(answer(launch.jobs[0]))

    monkeypatch.setattr(module, "run_workers", run)
    store = Store(small.folder / "store")
    spec = small.spec(*words)
    found = estimate(spec, prepare(spec, store, Digests(None)), store, StopRequest())
    return found, jobs[0]


def right(_: Job) -> Event:
    return RecordEvent("estimate", {"json": FOUND.model_dump_json()})


def refusing(error: SpecforgeError) -> Callable[[Job], Event]:
    def fail(_: Job) -> Event:
        raise error

    return fail


def test_the_worker_gets_the_settings_of_training_and_the_training_text(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, job = asked(small, monkeypatch, right)

    assert found == FOUND
    assert {"train", "model", "optimizer", "criterion", "preprocess", "run", "seed"} <= set(job.settings)
    assert [("train/0", 5)] == [(corpus.role, corpus.lines) for corpus in job.corpora]
    assert {} == job.needs
    assert job.output is None


def test_the_result_of_preprocess_is_used_where_it_is_there(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(small.folder / "store")
    spec = small.spec()
    preprocess = prepare(spec, store, Digests(None)).step("preprocess")
    origin = made_from("preprocess", preprocess.config, preprocess.components, preprocess.inputs, {})
    folder = durable.temporary_folder(store.root / "tmp", "x")
    durable.publish(folder, store.result("preprocess", preprocess.key), {"made_from": origin})
    manifest = store.manifest("preprocess", preprocess.key)
    assert manifest is not None
    assert outputs_digest(manifest)

    _, job = asked(small, monkeypatch, right)

    assert {"preprocess": str(store.result("preprocess", preprocess.key))} == job.needs


def test_nothing_is_written(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(small, monkeypatch, right)

    assert not (small.folder / "store").exists()


def test_a_failed_estimate_names_no_log_that_nobody_kept(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = StepFailedError(
        "SF632", "unexpected RuntimeError: no", notes=("a", "its traceback is at the end of /dev/null")
    )

    with pytest.raises(StepFailedError) as caught:
        asked(small, monkeypatch, refusing(said))

    assert ("SF632", ("a",)) == (caught.value.code, caught.value.notes)
    assert "--no-estimates" in str(caught.value.help)


def test_a_worker_that_says_nothing_is_told(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StepFailedError) as caught:
        asked(small, monkeypatch, lambda _: RecordEvent("another", {}))

    assert "SF634" == caught.value.code


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ((), f"small.toml:{SMALL_SPEC.split(chr(10)).index('[model]') + 2}:7"),
        (("model.use='transformer'",), "--set:1:11"),
    ],
)
def test_a_model_that_does_not_compute_stands_at_its_line(
    words: tuple[str, ...], place: str, small: SmallExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = WrongInputError("SF402", "the model does not compute", notes=("mat1 and mat2",), help="look")
    monkeypatch.chdir(small.folder)

    with pytest.raises(SpecError) as caught:
        asked(small, monkeypatch, refusing(said), *words)

    text = render_error(caught.value)
    assert "error[SF402]: the model does not compute\n" in text
    assert f"--> {place}" in text.replace(f"{small.folder}/", "")
    assert "^^^^^^^^^^^^^" in text
    assert "= note: mat1 and mat2" in text
    assert "= help: look" in text


def test_a_spec_that_changed_in_between_gets_no_wrong_line(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change_and_fail(_: Job) -> Event:
        small.write_spec("# another file\n")
        raise WrongInputError("SF402", "the model does not compute")

    with pytest.raises(SpecError) as caught:
        asked(small, monkeypatch, change_and_fail)

    assert () == caught.value.diagnostics[0].labels


BROKEN = '''
import torch
from torch import nn
from specforge.models.model import EncoderDecoder
from specforge.plugin import Component, ModelConfig, hookimpl

class Config(ModelConfig):
    """A width that fits nothing."""

    how: str = "forward"

class Broken(EncoderDecoder):
    def __init__(self, how):
        super().__init__()
        self.how = how
        self.table = nn.Embedding(50, 8)
        self.layer = nn.Linear(9 if how == "forward" else 8, 8)

    def features(self, batch):
        values = self.table(batch.target_in)
        if self.how == "values":
            values = values + float(values.detach().numpy().mean())
        return self.layer(values)  # the line

    def project(self, features): return features
    def start(self, source, lengths, beam): raise NotImplementedError
    def step(self, tokens, state): raise NotImplementedError

def build(config, context):
    if config.how == "factory":
        torch.zeros(3, 4) @ torch.zeros(3, 4)
    if config.how == "built with values":
        torch.zeros(3).numpy()
    return Broken(config.how)
'''
LIGHT = """
from specforge.plugin import Component, hookimpl

@hookimpl
def specforge_components():
    return [Component("model", "broken", "broken_model:Config", "broken_model:build")]
"""
WITH_BROKEN = SMALL_SPEC[: SMALL_SPEC.index("[model]")] + '[model]\nuse = "broken"\n\n[train]\nmax_updates = 1\n'


@pytest.fixture
def broken(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> SmallExperiment:
    """The small experiment with the model of a plugin that computes what cannot be computed."""
    site = small.folder / "site"
    (site / "broken-1.0.dist-info").mkdir(parents=True)
    (site / "broken-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (site / "broken-1.0.dist-info" / "entry_points.txt").write_text("[specforge]\nbroken = broken_light\n")
    (site / "broken_light.py").write_text(LIGHT)
    (site / "broken_model.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(site))
    small.write_spec(WITH_BROKEN)
    return small


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("forward", 2, ["error[SF402]: the model does not compute", "in `features`", "X [9, 8]"]),
        ("factory", 2, ["error[SF402]: the model cannot be built", "in `build`", "3x4 and 3x4"]),
        ("values", 0, []),
        ("built with values", 0, []),
    ],
)
def test_a_plugin_whose_shapes_do_not_fit(how: str, code: int, said: list[str], broken: SmallExperiment) -> None:
    done = specforge("plan", "small.toml", "--store", "store", "--set", f"model.how='{how}'", cwd=broken.folder)

    assert code == done.returncode, done.stderr
    assert [] == [words for words in said if words not in done.stderr]
    assert (f"small.toml:{WITH_BROKEN[: WITH_BROKEN.index('broken')].count(chr(10)) + 1}:7" in done.stderr) == bool(
        said
    )
    assert "Traceback" not in done.stderr
    assert ("cannot be told" in done.stdout) == ("values" in how)
