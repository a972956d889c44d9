"""Training speed on a CPU, one run: specforge beside Hugging Face, fairseq and the bare loop, by turns.

    python benchmarks/train.py [--quick] [--fairseq PYTHON]

All train the model of `specs/multi30k_en_de.toml` on the same data in updates of equal size, each in a process of its own;
one computes while the others wait. A figure is the median of the rounds, in target tokens a second, padding not counted.
Specforge reads, batches and logs as in `specforge run`; Hugging Face and the bare loop get their batches ready made.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Final, cast

import numpy as np
import torch
from hardware import RESULTS, write_result
from pydantic import JsonValue
from train_system import sizes

from specforge.cli.spec_arguments import load_experiment
from specforge.execution.job import Job
from specforge.execution.jobs import step_jobs
from specforge.execution.processes.local import WORKER_ENVIRONMENT
from specforge.execution.workers import available_threads
from specforge.steps.parts import make_task
from specforge.steps.prepared import Prepared, open_prepared

HERE: Final = Path(__file__).parent
SPEC: Final = HERE.parent / "specs" / "multi30k_en_de.toml"
DATA: Final = HERE.parent.parent / "shared" / "data" / "multi30k"
TOKENS: Final = 3_400  # fairseq's batches of at most 4,000 padded tokens hold 3,388 targets in the mean
PADDED: Final = 8_000  # so that an update is one batch for all systems
FAIRSEQ_PADDED: Final = 4_000
PRECISIONS: Final = ("fp32", "bf16")


@dataclass(slots=True)
class System:
    """A process that trains in rounds.

    Args:
        name: of the system, with its precision.
        process: it.
        rounds: what each round took, the first excepted: that one warms up.
    """

    name: str
    process: subprocess.Popen[str]
    rounds: list[Mapping[str, float]] = field(default_factory=list)

    def read(self) -> Mapping[str, float]:
        """Wait for the end of a round and return its figures."""
        line = cast("IO[str]", self.process.stdout).readline()
        if not line:
            sys.exit(f"{self.name} ended early; its words are above")
        return cast("Mapping[str, float]", json.loads(line))

    def turn(self) -> None:
        """Let it do one round."""
        pipe = cast("IO[str]", self.process.stdin)
        pipe.write("\n")
        pipe.flush()
        self.rounds.append(self.read())

    def speed(self) -> float:
        """Return target tokens a second, the median of the rounds."""
        return median(each["tokens"] / each["seconds"] for each in self.rounds)

    def figures(self) -> dict[str, JsonValue]:
        """Return what goes into the result."""
        speeds = [each["tokens"] / each["seconds"] for each in self.rounds]
        return {
            "tokens_per_second": round(self.speed()),
            "slowest": round(min(speeds)),
            "fastest": round(max(speeds)),
            "tokens_per_cpu_second": round(median(each["tokens"] / each["cpu_seconds"] for each in self.rounds)),
            "tokens_per_update": round(median(each["tokens"] / each["updates"] for each in self.rounds)),
        }


def train_jobs(folder: Path, data: Path, updates: int) -> dict[str, Job]:
    """Prepare the data with `specforge run` and return the job of training by precision."""
    jobs = {}
    for precision in PRECISIONS:
        sets = {
            "data.root": str(data),
            "train.precision": precision,
            "train.batch_tokens": TOKENS,
            "train.max_updates": 1_000_000,
            "train.validate_every": "1_000_000 updates",
            "run.max_tokens": PADDED,
            "run.log_every": updates,
        }
        words = [f"{name}={json.dumps(value)}" for name, value in sets.items()]
        store = folder / "store"
        command = [sys.executable, "-m", "specforge", "run", str(SPEC), "--until", "preprocess", "--store", str(store)]
        subprocess.run([*command, *(part for word in words for part in ("--set", word))], check=True)
        experiment = load_experiment(SPEC, words, str(store))
        step = experiment.plan.step("train")
        needs: dict[str, Path] = {
            one.kind: experiment.store.result(one.kind, one.key) for one in map(experiment.plan.step, step.needs)
        }
        work, output = folder / f"work-{precision}", folder / f"output-{precision}"
        work.mkdir()
        output.mkdir()
        (jobs[precision],) = step_jobs(experiment.spec, step, needs, folder, work, output)
    return jobs


def opened(job: Job) -> Prepared:
    """Return the prepared data of a job."""
    return open_prepared(Path(job.needs["preprocess"]), make_task(job.settings["task"]), job.settings["data"])


def started(name: str, command: Sequence[str]) -> System:
    """Start a system, specforge with the environment of its workers; it trains its first round, which warms up."""
    environment = {**WORKER_ENVIRONMENT, **os.environ} if name.startswith("specforge") else None
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE, env=environment
    )
    system = System(name, process)
    system.read()
    return system


def own_systems(jobs: Mapping[str, Job], folder: Path, updates: int) -> list[System]:
    """Start what runs in this interpreter: specforge, Hugging Face, and both bare loops."""
    systems = []
    for system in ("specforge", "huggingface", "plain", "quick"):
        for precision, job in jobs.items():
            path = folder / f"job-{precision}.json"
            path.write_text(job.model_dump_json(), encoding="utf-8")
            command = [sys.executable, str(HERE / "train_system.py"), system, str(path), "--updates", str(updates)]
            command += ["--bf16"] if precision == "bf16" else []
            systems.append(started(f"{system} {precision}", command))
    return systems


def fairseq_system(python: str, job: Job, folder: Path, updates: int) -> System:
    """Let fairseq prepare the same pieces, and start it."""
    texts, binary = folder / "pieces", folder / "binary"
    texts.mkdir()
    prepared = opened(job)
    for split, items in (("train", prepared.train), ("valid", prepared.valid)):
        for role in ("source", "target"):
            pieces = prepared.vocabularies[role].pieces
            with (texts / f"{split}.{role}").open("w", encoding="utf-8") as file:
                for number in range(len(items)):
                    file.write(" ".join(pieces(items.item(number)[role].tolist()[:-1])) + "\n")  # without its end
    launcher = [python, str(HERE / "train_fairseq.py")]
    sides = ["--source-lang", "source", "--target-lang", "target"]
    files = ["--trainpref", str(texts / "train"), "--validpref", str(texts / "valid"), "--destdir", str(binary)]
    subprocess.run([*launcher, "preprocess", *sides, *files, "--joined-dictionary"], check=True, stdout=sys.stderr)
    of = sizes(job)
    model = ["--arch", "transformer_iwslt_de_en", "--share-all-embeddings", "--dropout", str(of.dropout)]
    for side in ("encoder", "decoder"):
        model += [f"--{side}-layers", str(of.layers), f"--{side}-embed-dim", str(of.embed_dim)]
        model += [f"--{side}-ffn-embed-dim", str(of.ffn_dim), f"--{side}-attention-heads", str(of.attention_heads)]
    recipe = ["--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1", "--optimizer", "adam"]
    recipe += ["--adam-betas", "(0.9, 0.98)", "--lr", "7e-4", "--lr-scheduler", "inverse_sqrt"]
    recipe += ["--warmup-updates", "400", "--clip-norm", "0", "--max-tokens", str(FAIRSEQ_PADDED)]
    quiet = ["--no-save", "--disable-validation", "--num-workers", "0", "--log-format", "none", "--cpu"]
    return started("fairseq fp32", [*launcher, "train", str(updates), str(binary), *sides, *model, *recipe, *quiet])


def flop_per_token(job: Job) -> float:
    """Return the operations of the matrix products, forward and backward, for one target token without padding."""
    of, items = sizes(job), opened(job).train
    lengths = items.lengths(np.arange(len(items)))
    source, target = (lengths[role].astype(np.float64) for role in ("source", "target"))
    dim, feed = of.embed_dim, 2 * of.embed_dim * of.ffn_dim
    # A product with a d x d matrix is 2·d² operations a token; scores and mixing are 2·d each for a pair of tokens.
    encoder = 2 * source.sum() * (4 * dim**2 + feed) + 4 * dim * (source**2).sum()
    decoder = 2 * target.sum() * (6 * dim**2 + feed) + 4 * dim**2 * source.sum()
    decoder += 4 * dim * ((target**2).sum() / 2 + (source * target).sum())
    forward = of.layers * (encoder + decoder) + 2 * target.sum() * dim * of.vocabulary
    return float(3 * forward / target.sum())  # the backward pass is two products for each


def peak(precision: str, threads: int) -> float:
    """Return the operations a second of a large matrix product."""
    torch.set_num_threads(threads)
    size, kind = 2_048, torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size).to(kind) for _ in range(2))
    left @ right
    began = time.perf_counter()
    for _ in range(4):
        left @ right
    return 4 * 2 * size**3 / (time.perf_counter() - began)


def ratios(systems: Mapping[str, System]) -> dict[str, JsonValue]:
    """Return specforge's better precision over each other system's better one."""
    best: dict[str, float] = {}
    for name, system in systems.items():
        family = name.split()[0]
        best[family] = max(best.get(family, 0.0), system.speed())
    ours = best.pop("specforge")
    return {f"specforge / {family}": round(ours / theirs, 2) for family, theirs in best.items()}


def main() -> None:
    """Measure by turns, print the table and write `results/train.json`; with `--quick` nothing is written."""
    parser = argparse.ArgumentParser(description="training speed beside other systems")
    parser.add_argument("--quick", action="store_true", help="short rounds, to see that it works; writes no result")
    parser.add_argument("--fairseq", metavar="PYTHON", help="an interpreter that has fairseq 0.12.2")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    rounds, updates = (1, 1) if arguments.quick else (5, 6)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        jobs = train_jobs(folder, arguments.data.resolve(), updates)
        started_systems = own_systems(jobs, folder, updates)
        if arguments.fairseq:
            started_systems.append(fairseq_system(arguments.fairseq, jobs["fp32"], folder, updates))
        peaks: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        for number in range(rounds):
            for precision, found in peaks.items():
                found.append(peak(precision, available_threads(1)))
            for system in started_systems:
                system.turn()
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for system in started_systems:
            system.process.kill()
            system.process.communicate()
        flop = flop_per_token(jobs["fp32"])
    systems = {system.name: system for system in started_systems}
    figures: dict[str, JsonValue] = {}
    for name, system in systems.items():
        share = 100 * system.speed() * flop / median(peaks[name.split()[1]])
        figures[name] = {**system.figures(), "percent_of_peak": round(share, 1)}
        print(f"{name:20} {system.speed():8,.0f} target tokens/s  {share:5.1f} % of the peak")
    for name, ratio in ratios(systems).items():
        print(f"{name:32} {ratio}")
    result: dict[str, JsonValue] = {
        "rounds": rounds,
        "updates_per_round": updates,
        "threads": available_threads(1),
        "gflop_per_target_token": round(flop / 1e9, 4),
        "peak_gflop_per_second": {precision: round(median(found) / 1e9) for precision, found in peaks.items()},
        "systems": figures,
        "ratios": ratios(systems),
    }
    if not arguments.quick:
        print(f"figures in {write_result('train', result).relative_to(RESULTS.parent.parent)}")


if __name__ == "__main__":
    main()
