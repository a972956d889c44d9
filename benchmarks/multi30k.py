"""Multi30k, English to German, through the command line: curve, time and scores of a committed spec.

    python benchmarks/multi30k.py [multi30k_en_de_10min] --data ../shared/data/multi30k [--store FOLDER] [--set PATH=VALUE …]

Without `--store` the run starts in an empty store that is thrown away. With one it goes on from what is there: the times of
the steps are read from their own logs, which say how long each took when it was made.
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

import torch
from hardware import write_result
from pydantic import JsonValue

ROOT: Final = Path(__file__).parent.parent
# Quoted, not measured here, for each spec.
QUOTED: Final[dict[str, JsonValue]] = {
    # A model of the same size on another machine with two cores (277 GFLOP/s in fp32, where `matmul_gflops` of the result
    # says what this one does).
    "multi30k_en_de": {
        "system": "fairseq 0.12.2",
        "train_seconds": 1_624,
        "bleu_test_2016_flickr": 33.77,
        "matmul_gflops": 277,
    },
    # The same fairseq run: the model is the same, the budget is not.
    "multi30k_en_de_10min": {
        "system": "fairseq 0.12.2",
        "train_seconds": 1_624,
        "bleu_test_2016_flickr": 33.77,
        "matmul_gflops": 277,
    },
    # Wu et al. 2021, text only; lower-cased Moses tokens.
    "multi30k_en_de_tiny": {"system": "fairseq, transformer_tiny", "bleu_test_2016_flickr": 41.02},
}

Record: TypeAlias = dict[str, Any]


def read_records(log: Path) -> list[Record]:
    """Return the records of a step's log."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").split("\n") if line]


def learning_curve(records: Sequence[Record]) -> list[JsonValue]:
    """Return the validations of a training, each with the wall time since the step's start, start-up included."""
    start = next(record["time"] for record in records if record["event"] == "start")
    return [
        {
            "seconds": round(record["time"] - start, 1),
            **{name: value for name, value in record.items() if name not in {"time", "event"}},
        }
        for record in records
        if record["event"] == "valid"
    ]


def run_spec(spec: str, data: Path, store: Path, settings: list[str]) -> None:
    """Run a spec into a store."""
    specforge = Path(sys.executable).parent / "specforge"
    words = [str(specforge), "run", spec, "--store", str(store), "--set", f"data.root={json.dumps(str(data))}"]
    subprocess.run([*words, *(word for setting in settings for word in ("--set", setting))], cwd=ROOT, check=True)


def step_seconds(logs: Path) -> dict[str, JsonValue]:
    """Return the wall time of each step, worker start included, summed over its attempts; a killed one lasts to its last record."""
    seconds: dict[str, JsonValue] = {}
    for log in sorted(logs.glob("*.jsonl")):
        total, last = 0.0, None
        for record in read_records(log):
            if record["event"] != "start" and last is not None:
                total += record["time"] - last
            last = record["time"]
        seconds[log.stem] = round(total, 1)
    return seconds


def matmul_gflops() -> float:
    """Return this machine's fp32 matrix product rate, the median of five products of 2,048 x 2,048."""
    matrix = torch.randn(2_048, 2_048)
    rates = []
    for _ in range(6):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        rates.append(2 * 2_048**3 / (time.perf_counter() - start) / 1e9)
    return round(median(rates[1:]), 1)


def measure(name: str, data: Path, store: Path, settings: list[str]) -> dict[str, JsonValue]:
    """Run a spec by its name, and return what the run left."""
    spec = f"specs/{name}.toml"
    run_spec(spec, data, store, settings)
    run = store / "runs" / name
    records = read_records(run / "logs" / "train.jsonl")
    trained = [record for record in records if record["event"] == "train"]
    return {
        "spec": spec,
        "set": list(settings),
        "seconds": step_seconds(run / "logs"),
        "tokens_per_second": median(record["tokens_per_second"] for record in trained),
        "padding_percent": median(record["padding_percent"] for record in trained),
        "matmul_gflops": matmul_gflops(),
        "quoted": QUOTED[name],
        "scores": json.loads((run / "scores.json").read_text(encoding="utf-8"))["scores"],
        "curve": learning_curve(records),
    }


def main() -> None:
    """Run, read what the run left, and write `results/NAME.json`."""
    parser = argparse.ArgumentParser(description="a committed Multi30k spec, timed and scored")
    parser.add_argument("name", nargs="?", choices=sorted(QUOTED), default="multi30k_en_de", help="the spec's name")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "multi30k")
    parser.add_argument("--store", type=Path, help="go on in this store")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="PATH=VALUE")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        store = arguments.store.resolve() if arguments.store else Path(folder)
        figures = measure(arguments.name, arguments.data.resolve(), store, arguments.settings)
    path = write_result(arguments.name, figures)
    print(f"figures in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
