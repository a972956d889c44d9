"""Multi30k, English to German, through the command line: curve, time and scores of the committed spec.

    python benchmarks/multi30k.py --data ../shared/data/multi30k [--set PATH=VALUE …]

The run starts in an empty store, so that nothing is reused, and every step is timed from its own log.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

from hardware import write_result
from pydantic import JsonValue

ROOT: Final = Path(__file__).parent.parent
SPEC: Final = "specs/multi30k_en_de.toml"
NAME: Final = "multi30k_en_de"
# fairseq 0.12.2 with the same model and data on a machine with two cores: wall time of training and beam-5 score
PEER: Final[dict[str, JsonValue]] = {"fairseq_train_seconds": 1_624, "fairseq_bleu_test_2016_flickr": 33.77}

Record: TypeAlias = dict[str, Any]


def read_records(log: Path) -> list[Record]:
    """Return the records of a step's log."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").split("\n") if line]


def step_seconds(records: Sequence[Record]) -> float:
    """Return the wall time of a step, as its log says it."""
    (seconds,) = (float(record["seconds"]) for record in records if record["event"] == "done")
    return seconds


def learning_curve(records: Sequence[Record]) -> list[JsonValue]:
    """Return the validations of a training, each with the wall time since the step's start, start-up included."""
    (start,) = (record["time"] for record in records if record["event"] == "start")
    return [
        {
            "seconds": round(record["time"] - start, 1),
            **{name: value for name, value in record.items() if name not in {"time", "event"}},
        }
        for record in records
        if record["event"] == "valid"
    ]


def run_spec(data: Path, store: Path, settings: list[str]) -> float:
    """Run the spec into a store and return the wall time of the whole command in seconds."""
    specforge = Path(sys.executable).parent / "specforge"
    words = [str(specforge), "run", SPEC, "--store", str(store), "--set", f"data.root={json.dumps(str(data))}"]
    start = time.perf_counter()
    subprocess.run([*words, *(word for setting in settings for word in ("--set", setting))], cwd=ROOT, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Run, read what the run left, and write `results/multi30k_en_de.json`."""
    parser = argparse.ArgumentParser(description="the committed Multi30k spec, timed and scored")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "multi30k")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="PATH=VALUE")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        wall_seconds = run_spec(arguments.data.resolve(), store, arguments.settings)
        run = store / "runs" / NAME
        logs = {log.stem: read_records(log) for log in sorted((run / "logs").glob("*.jsonl"))}
        scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))["scores"]

    rates = [record["tokens_per_second"] for record in logs["train"] if record["event"] == "train"]
    path = write_result(
        NAME,
        {
            "spec": SPEC,
            "set": arguments.settings,
            "wall_seconds": round(wall_seconds, 1),
            "step_seconds": {step: round(step_seconds(records), 1) for step, records in logs.items()},
            "median_target_tokens_per_second": round(median(rates)),
            "scores": scores,
            "curve": learning_curve(logs["train"]),
            "peer": PEER,
        },
    )
    for test, results in scores.items():
        print(test, *(f"{score['name']} {score['value']:.2f}" for score in results))
    print(f"{wall_seconds:.0f} s; figures in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
