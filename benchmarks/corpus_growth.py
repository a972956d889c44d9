"""Time and memory of preprocess and train on Multi30k as it is and on the same text many times over.

    python benchmarks/corpus_growth.py [--quick] [--factor 200]

The model is small, so that nothing hides what grows: one layer of width 64, 40 updates. Memory is the anonymous resident memory
(`RssAnon`) of the largest process of each command, sampled while it runs; mapped files are not part of it, since the
system takes them back when it wants. The tokenizer learns from 10,000 lines in both cases.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from hardware import RESULTS, write_result
from multi30k import read_records
from pydantic import JsonValue

ROOT: Final = Path(__file__).parent.parent
DATA: Final = ROOT.parent / "shared" / "data" / "multi30k"
SPEC: Final = ROOT / "specs" / "multi30k_en_de.toml"
COMMANDS: Final = ("preprocess", "train")
UPDATES: Final = 40
SETS: Final[dict[str, JsonValue]] = {
    "tokenizer.input_sentence_size": 10_000,
    "model.encoder_layers": 1,
    "model.decoder_layers": 1,
    "model.embed_dim": 64,
    "model.ffn_dim": 64,
    "train.max_updates": UPDATES,
    "train.validate_every": "1_000_000 updates",
    "run.log_every": 1,
}
_SAMPLE_SECONDS: Final = 0.05
_MIB: Final = 1024


def repeated(folder: Path, factor: int) -> Path:
    """Write the corpus with its training text `factor` times over, and return its folder."""
    target = folder / f"times-{factor}"
    target.mkdir()
    for source in sorted([*DATA.glob("*.en.gz"), *DATA.glob("*.de.gz")]):
        text = gzip.decompress(source.read_bytes())
        with (target / source.stem).open("wb") as file:
            for _ in range(factor if source.name.startswith("train.") else 1):
                file.write(text)
    return target


def family(process: int) -> Iterator[int]:
    """Yield a process and all that came from it."""
    yield process
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                yield from family(int(child))


def anonymous_kib(process: int) -> int:
    """Return the anonymous resident memory of a process; 0 once it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().split("\n"):
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
    return 0


def watched(command: list[str]) -> dict[str, JsonValue]:
    """Run a command and return its wall time and the memory of its largest processes."""
    began = time.monotonic()
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    parent = worker = 0
    while running.poll() is None:
        parent = max(parent, anonymous_kib(running.pid))
        worker = max([worker, *(anonymous_kib(one) for one in family(running.pid) if one != running.pid)])
        time.sleep(_SAMPLE_SECONDS)
    if running.returncode:
        sys.exit(f"exit {running.returncode}: {' '.join(command)}")
    return {
        "seconds": round(time.monotonic() - began, 1),
        "command_mib": round(parent / _MIB, 1),
        "largest_worker_mib": round(worker / _MIB, 1),
    }


def measured(folder: Path, factor: int) -> dict[str, JsonValue]:
    """Return the figures of one size."""
    data, store = repeated(folder, factor), folder / f"store-{factor}"
    specforge = [str(Path(sys.executable).parent / "specforge"), "run", str(SPEC), "--store", str(store)]
    words = [f"{name}={json.dumps(value)}" for name, value in {"data.root": str(data), **SETS}.items()]
    command = [*specforge, *(part for word in words for part in ("--set", word))]
    watched([*command, "--until", "tokenizer"])
    figures: dict[str, JsonValue] = {until: watched([*command, "--until", until]) for until in COMMANDS}
    records = read_records(store / "runs" / SPEC.stem / "logs" / "train.jsonl")
    start = next(record["time"] for record in records if record["event"] == "start")
    updates = [record["time"] for record in records if record["event"] == "train"]
    figures["first_update_after_seconds"] = round(updates[0] - start, 2)
    figures["updates_per_second"] = round((len(updates) - 1) / (updates[-1] - updates[0]), 2)
    return figures


def number(figures: JsonValue, *path: str) -> float:
    """Return one figure."""
    for name in path:
        assert isinstance(figures, dict)
        figures = figures[name]
    return float(str(figures))


def main() -> None:
    """Measure both sizes, print the growth, and write `results/corpus_growth.json`."""
    parser = argparse.ArgumentParser(description="time and memory as the corpus grows")
    parser.add_argument("--quick", action="store_true", help="four times only; writes no result")
    parser.add_argument("--factor", type=int, default=200)
    arguments = parser.parse_args()
    factor = 4 if arguments.quick else arguments.factor
    with tempfile.TemporaryDirectory() as scratch:
        sizes = {times: measured(Path(scratch), times) for times in (1, factor)}
    growth: dict[str, JsonValue] = {}
    for until in COMMANDS:
        for name in ("seconds", "command_mib", "largest_worker_mib"):
            before, after = (number(sizes[times], until, name) for times in (1, factor))
            growth[f"{until} {name}"] = round(after / before, 3)
            print(f"{until:12}{name:22}{before:10,.1f}{after:10,.1f}   x {after / before:.2f}")
    for name in ("first_update_after_seconds", "updates_per_second"):
        print(f"{'train':12}{name:30}{number(sizes[1], name):8,.2f}{number(sizes[factor], name):10,.2f}")
    result: dict[str, JsonValue] = {
        "pairs": {"once": 29_000, "repeated": 29_000 * factor},
        "set": SETS,
        "once": sizes[1],
        "repeated": sizes[factor],
        "growth": growth,
    }
    if not arguments.quick:
        print(f"figures in {write_result('corpus_growth', result).relative_to(RESULTS.parent.parent)}")


if __name__ == "__main__":
    main()
