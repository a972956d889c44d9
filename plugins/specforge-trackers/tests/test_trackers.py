"""Both trackers offline, read back from the files that they leave; each where its package is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue
from specforge_trackers.config import MlflowConfig, WandbConfig
from specforge_trackers.memory import Memory

from specforge.cli.main import main
from specforge.language.registry import config_class, load_registry
from specforge.trackers.tracker import Point, TrackedRun, Tracker

needs_wandb = pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is an extra of the plugin")
needs_mlflow = pytest.mark.skipif(
    find_spec("mlflow") is None or find_spec("sqlalchemy") is None, reason="mlflow is an extra of the plugin"
)

SPEC = """
specforge = 1
task = { use = "translation", source = "en", target = "de" }
data = { train = "train", valid = "train" }
model = "transformer"
train = { max_updates = 10_000 }
"""
FIRST = (Point("train", 50, {"loss": 4.5, "lr": 0.25}, 10.0), Point("valid", 50, {"bleu": 12.5}, 11.0))
SECOND = (Point("train", 100, {"loss": 4.0, "lr": 0.5}, 12.0),)


def run_in(folder: Path) -> TrackedRun:
    spec: dict[str, JsonValue] = {
        "seed": 1,
        "model": {"use": "transformer"},
        "data": {"train": [{"path": "a"}]},
        "betas": [0.9, 0.98],
        "no": None,
    }
    return TrackedRun("small", "abc", folder, spec, "seed = 1\n")


def tell(tracker: Tracker, folder: Path, *points: Point, done: bool = True) -> None:
    tracker.start(run_in(folder))
    for point in points:
        tracker.record(point)
    tracker.close(done=done)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_both_are_declared(name: str) -> None:
    registered = load_registry().find("tracker", name).registered

    assert registered.distribution == "specforge-trackers"
    assert [required.module for required in config_class(registered).requires] == [name]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_spec_is_told_of_a_missing_package_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in ("en", "de"):
        (tmp_path / f"train.{suffix}").write_text("a\n")
    (tmp_path / "spec.toml").write_text(f'{SPEC}run.trackers = "{name}"\n')
    monkeypatch.setattr("specforge.language.components.find_spec", lambda _: None)

    assert main(["validate", str(tmp_path / "spec.toml")]) == 2

    assert f"pip install 'specforge-trackers[{name}]'" in capsys.readouterr().err


def test_the_declarations_are_light() -> None:
    code = "import sys, specforge_trackers.config; assert not {'wandb', 'mlflow', 'torch'} & sys.modules.keys()"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_is_remembered_for_one_training(tmp_path: Path) -> None:
    Memory(tmp_path, "abc").keep("far away")

    assert Memory(tmp_path, "abc").recall() == "far away"
    assert Memory(tmp_path, "abd").recall() is None


@needs_wandb
def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own: the package leaves threads and handlers behind."""
    program = tmp_path / "tell.py"
    program.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from test_trackers import FIRST, SECOND, tell\n"
        "from specforge_trackers.config import WandbConfig\n"
        "from specforge_trackers.wandb_tracker import build\n"
        "folder = Path(sys.argv[1])\n"
        "tell(build(WandbConfig(project='tests')), folder, *FIRST, done=False)\n"
        "tell(build(WandbConfig(project='tests')), folder, *SECOND)\n"
    )
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "wandb-tracker"
    folder.mkdir()

    ended = subprocess.run([sys.executable, str(program), str(folder)], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    logs = sorted(folder.rglob("run-*.wandb"))
    assert {log.name for log in logs} == {f"run-{(folder / 'abc.id').read_text().strip()}.wandb"}
    found = sorted(
        (step, name, value)
        for log in logs
        for step, row in history(log)
        for name, value in row.items()
        if name[0] != "_"
    )
    assert found == [
        (50, "train/loss", 4.5),
        (50, "train/lr", 0.25),
        (50, "valid/bleu", 12.5),
        (100, "train/loss", 4.0),
        (100, "train/lr", 0.5),
    ]


def history(log: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield step and figures of each row in an offline run's log.

    The log is in LevelDB's format: blocks of 32 KiB with chunks of crc (4 bytes), length (2), type (1: whole, 2: first,
    3: middle, 4: last) and data; 7 bytes of W&B's own come first.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = log.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32_768 - at % 32_768 < 7:  # no room for a header: the rest of the block is padding
            at += 32_768 - at % 32_768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts = (parts if kind in {3, 4} else b"") + data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:
            record = Record.FromString(parts)
            if record.WhichOneof("record_type") == "history":
                row = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
                }
                yield record.history.step.num, row


@needs_mlflow
def test_mlflow_with_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the artifacts of a database lie in the working directory
    program = (
        "import sys, json\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from test_trackers import FIRST, SECOND, tell\n"
        "from mlflow import MlflowClient\n"
        "from specforge_trackers.config import MlflowConfig\n"
        "from specforge_trackers.mlflow_tracker import build\n"
        "config = MlflowConfig(tracking_uri='sqlite:///mlflow.db', experiment='tests')\n"
        "tell(build(config), Path.cwd(), *FIRST, done=False)\n"
        "client = MlflowClient('sqlite:///mlflow.db')\n"
        "run_id = Path('abc.id').read_text().strip()\n"
        "assert client.get_run(run_id).info.status == 'KILLED'\n"
        "tell(build(config), Path.cwd(), *SECOND)\n"
        "run = client.get_run(run_id)\n"
        "points = {n: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, n)]\n"
        "          for n in run.data.metrics}\n"
        "print(json.dumps([run.info.run_name, run.info.status, run.data.params, points]))\n"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == [
        "small",
        "FINISHED",
        {"seed": "1", "model.use": "transformer", "data.train.0.path": "a", "betas": "[0.9, 0.98]"},
        {
            "train/loss": [[50, 4.5, 10_000], [100, 4.0, 12_000]],
            "train/lr": [[50, 0.25, 10_000], [100, 0.5, 12_000]],
            "valid/bleu": [[50, 12.5, 11_000]],
        },
    ]
    assert [path.read_text() for path in tmp_path.rglob("spec.toml")] == ["seed = 1\n"]


def test_the_defaults() -> None:
    assert WandbConfig().model_dump() == {"project": "specforge", "entity": None, "mode": None}
    assert MlflowConfig().model_dump() == {"tracking_uri": None, "experiment": "specforge"}
