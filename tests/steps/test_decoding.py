"""Decoding on several GPUs: each has a process of its own that loads the models; CPUs stand for the GPUs here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from pydantic import JsonValue
from trained_model import decoding_job, train_result

from specforge.execution.job import Job
from specforge.foundation.errors import EnvironmentFaultError, WrongInputError
from specforge.foundation.events import SilentReporter
from specforge.generation.generator import Generator
from specforge.language.schema.generate import GenerateSection
from specforge.steps import decoding
from specforge.steps.combining import Combined, combined_models
from specforge.steps.decoding import folder_generator, trained_generator
from specforge.steps.devices import several_gpus
from specforge.steps.model_folder import TrainedModel, open_model_folder

LINES = ["a b c", "c a", "b", "a a a a b", "c c"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_result(tmp_path_factory.mktemp("results"))


def job(trained: Path, devices: int, **generate: JsonValue) -> Job:
    made = decoding_job("generate", trained, [], None)
    run: JsonValue = {"device": "cpu", "devices": devices}
    return made.model_copy(
        update={"settings": {**made.settings, "generate": {"batch_tokens": 32, **generate}, "run": run}}
    )


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Have the machine look as if it had so many GPUs; nothing can be done with them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def cpus_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "several_gpus", lambda _: [torch.device("cpu", number) for number in range(2)])


def loads(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Return where it is written down who loads models, and for which device."""
    log = folder / "loads"
    log.write_text("")
    real = combined_models

    def noted(job: Job, section: GenerateSection, device: torch.device) -> Combined:
        with log.open("a") as file:
            file.write(f"{os.getpid()} {device}\n")
        return real(job, section, device)

    monkeypatch.setattr(decoding, "combined_models", noted)
    return log


def texts(generator: Generator) -> list[tuple[str, float | None]]:
    found = generator.translate(LINES)
    return [(each.text, None if each.score is None else round(each.score, 4)) for each in found]


def test_every_gpu_decodes_what_one_device_would(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = texts(trained_generator(job(trained, 1)))
    log = loads(monkeypatch, tmp_path)
    cpus_for_gpus(monkeypatch)

    spread = trained_generator(job(trained, 2))
    found = texts(spread)
    again = texts(spread)

    assert expected == found == again
    loaded = [line.split() for line in log.read_text().split("\n")[:-1]]
    assert [str(os.getpid()), "cpu"] == loaded[0], "the front, which needs vocabularies"
    assert ["cpu:0", "cpu:1"] == sorted(device for _, device in loaded[1:])
    assert 3 == len({process for process, _ in loaded})


def test_a_single_batch_goes_to_a_gpu_too(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = loads(monkeypatch, tmp_path)
    cpus_for_gpus(monkeypatch)

    trained_generator(job(trained, 2)).translate(["a b"])

    assert ["cpu", "cpu:0"] == [line.split()[1] for line in log.read_text().split("\n")[:-1]]


def test_a_folder_by_itself_is_opened_once(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def noted(folder: Path, device: torch.device) -> TrainedModel:
        opened.append(folder)
        return open_model_folder(folder, device)

    monkeypatch.setattr(decoding, "open_model_folder", noted)
    made = job(trained, 1)

    folder_generator(
        made.model_copy(update={"needs": {**made.needs, "model": str(trained / "best")}}), SilentReporter()
    )

    assert [trained / "best"] == opened


def test_a_process_computes_though_the_front_did_with_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights so large that the threads share the work on them: a fork that did so, too, would wait for good."""
    wide = train_result(tmp_path, {"embed_dim": 256, "ffn_dim": 1024})
    cpus_for_gpus(monkeypatch)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        spread = trained_generator(job(wide, 2))
        torch.ones(1_000, 1_000).add(1.0)  # by two threads, whatever loading did
        found = spread.translate(LINES)
    finally:
        torch.set_num_threads(threads)

    assert len(LINES) == len(found)


def test_what_goes_wrong_on_a_gpu_is_said(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpus_for_gpus(monkeypatch)
    spread = trained_generator(job(trained, 2))

    def refuse(*_: object, **__: object) -> None:
        raise WrongInputError("SF745", "not on this device")

    monkeypatch.setattr(decoding, "prepare_for_decoding", refuse)
    with pytest.raises(WrongInputError, match="not on this device"):
        spread.translate(LINES)


@pytest.mark.parametrize("wanted", [True, False])
def test_recordings_are_those_of_the_spec(trained: Path, monkeypatch: pytest.MonkeyPatch, *, wanted: bool) -> None:
    asked = []
    monkeypatch.setattr(decoding, "prepare_for_decoding", lambda *_, recorded: asked.append(recorded))
    made = job(trained, 1)
    run = {"device": "cpu", "cuda_graphs": wanted}

    trained_generator(made.model_copy(update={"settings": {**made.settings, "run": run}}))

    assert [wanted] == asked


def test_the_gpus_are_those_of_the_spec(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on(device: str, devices: int) -> list[torch.device]:
        return several_gpus({**job(trained, devices).settings, "run": {"device": device, "devices": devices}})

    gpus(monkeypatch, 0)
    assert [] == on("auto", 2)
    gpus(monkeypatch, 2)
    assert [torch.device("cuda", 0), torch.device("cuda", 1)] == on("auto", 2)
    assert [] == on("cpu", 2) == on("cuda", 1)
    assert 2 == len(on("cuda", 8)), "as many as there are"
    gpus(monkeypatch, 1)
    assert [] == on("auto", 8)
    gpus(monkeypatch, 0)
    with pytest.raises(EnvironmentFaultError, match="no CUDA device"):
        on("cuda", 3)
