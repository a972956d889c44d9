"""Decoding: sentences and tokens a second of specforge and of CTranslate2, same weights, same sentences, side by side.

    python benchmarks/generate.py MODEL_FOLDER [--data ../shared/data/multi30k] [--rounds 5] [--quick]

MODEL_FOLDER is what train published, of `specs/multi30k_en_de.toml` or its like. Every system is a process of its own; they
take turns, and each ratio is of medians. Batched, all use as many workers of one thread as there are cores; single sentences
are decoded one after the other by one worker of one thread, which is quicker than one of two in every system here.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Final, cast

from hardware import write_result
from pydantic import JsonValue

from specforge.execution.processes.local import WORKER_ENVIRONMENT

HERE: Final = Path(__file__).parent
DATA: Final = HERE.parent.parent / "shared" / "data" / "multi30k"
THREADS: Final = len(os.sched_getaffinity(0))
NATIVE: Final = ("native-fp32", "native-bf16", "native-int8")
PEERS: Final = ("ctranslate2-float32", "ctranslate2-int8_float32")
ENGINE: Final = "engine-int8_float32"
RATIOS: Final = (
    ("native-fp32", "ctranslate2-float32"),
    ("native-bf16", "ctranslate2-int8_float32"),
    ("native-int8", "ctranslate2-int8_float32"),
    (ENGINE, "ctranslate2-int8_float32"),
)


@dataclass
class System:
    """A system that decodes in rounds."""

    name: str
    process: subprocess.Popen[str]
    rounds: list[Mapping[str, float]] = field(default_factory=list)

    def turn(self) -> Mapping[str, float]:
        """Let it decode once."""
        pipe = cast("IO[str]", self.process.stdin)
        pipe.write("\n")
        pipe.flush()
        line = cast("IO[str]", self.process.stdout).readline()
        if not line:
            sys.exit(f"{self.name} ended early; its words are above")
        return cast("Mapping[str, float]", json.loads(line))

    def speed(self, what: str) -> float:
        """Return `sentences` or `tokens` a second, the median of the rounds."""
        return median(each[what] / each["seconds"] for each in self.rounds)

    def figures(self) -> dict[str, JsonValue]:
        """Return what goes into the result."""
        return {
            "sentences_per_second": round(self.speed("sentences"), 1),
            "tokens_per_second": round(self.speed("tokens")),
            "seconds": [round(each["seconds"], 3) for each in self.rounds],
            "memory_mib": round(max(each["memory_mib"] for each in self.rounds)),
        }


def measured(
    names: Sequence[str], model: Path, lines: Path, beam: int, rounds: int, *, single: bool
) -> dict[str, System]:
    """Let systems decode the lines by turns; the first round of each warms up and does not count."""
    systems = {}
    for name in names:
        command = [sys.executable, str(HERE / "generate_system.py"), name, str(model), str(lines), "--beam", str(beam)]
        command += ["--threads", str(THREADS), *(["--single"] if single else [])]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**WORKER_ENVIRONMENT, **os.environ}
        )
        systems[name] = System(name, process)
        systems[name].turn()
    for _ in range(rounds):
        for system in systems.values():
            system.rounds.append(system.turn())
    for system in systems.values():
        cast("IO[str]", system.process.stdin).close()
        system.process.wait()
    return systems


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description="decoding, side by side")
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of few sentences: does it run at all?")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    text = gzip.decompress((arguments.data / "test_2016_flickr.en.gz").read_bytes()).decode().split("\n")
    result: dict[str, JsonValue] = {"threads": THREADS, "rounds": rounds}
    with tempfile.TemporaryDirectory() as folder:
        for single in (False, True):
            count = (100 if arguments.quick else 1_000) if not single else (20 if arguments.quick else 100)
            lines = Path(folder) / f"{count}.en"
            lines.write_text("".join(f"{line}\n" for line in text[:count]), encoding="utf-8")
            for beam in (1, 5):
                names = [*NATIVE, *PEERS, *([] if single else [ENGINE])]
                systems = measured(names, arguments.model, lines, beam, rounds, single=single)
                title = f"beam {beam}, {'single sentences' if single else 'batched'}"
                ratios = {
                    f"{one} / {other}": round(systems[one].speed("tokens") / systems[other].speed("tokens"), 3)
                    for one, other in RATIOS
                    if one in systems
                }
                figures: dict[str, JsonValue] = {name: system.figures() for name, system in systems.items()}
                result[title] = {**figures, "ratios": {**ratios}}
                print(f"\n{title}, {count} sentences")
                for name, system in systems.items():
                    memory = max(each["memory_mib"] for each in system.rounds)
                    print(
                        f"  {name:26} {system.speed('sentences'):8.1f} sentences/s {system.speed('tokens'):8.0f} tokens/s "
                        f"{memory:6.0f} MiB"
                    )
                for name, ratio in ratios.items():
                    print(f"  {name:52} {ratio:.2f} x")
    if not arguments.quick:
        print(f"figures in {write_result('generate', result)}")


if __name__ == "__main__":
    main()
