"""How long the commands take that people wait for at every edit, as whole processes, and whether they load torch.

    python benchmarks/validate_time.py [--runs 21] [SPEC]

Three commands: `validate` of a spec that is right, `validate` of 500 lines with 20 mistakes, and `plan --no-estimates`. They
are interleaved with runs of an empty Python program, because machines drift: that is what no program can beat.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from hardware import write_result
from pydantic import JsonValue

ROOT: Final = Path(__file__).parent.parent
SPEC: Final = "specs/multi30k_en_de.toml"
LIMITS: Final[Mapping[str, float]] = {"validate": 0.2, "validate_500_lines_20_errors": 0.3, "plan_no_estimates": 0.5}
"""What each may take, in seconds, at the median."""

_LINES: Final = 500
_ERRORS: Final = 20

_LOADED: Final = """
import sys
from specforge.cli.main import main
code = main(sys.argv[1:])
print(code, "torch" in sys.modules, file=sys.stderr)
"""


def broken_spec(data: Path) -> str:
    """Return a spec of 500 lines with 20 mistakes of four kinds: an unknown key, a type, a range, a missing file.

    Args:
        data: folder with `train` and `val` in English and German.
    """
    lines = [
        "specforge = 1",
        "",
        "[task]",
        'use = "translation"',
        'source = "en"',
        'target = "de"',
        "",
        "[model]",
        'use = "transformer"',
        "dropout = 1.5",
        'embed_dim = "512"',
        *(f"droput_{number} = 0.1" for number in range(9)),
        "",
        "[train]",
        "max_updates = 0",
        "clip_norm = -1.0",
        "batch_token = 4_096",
        "",
        "[data]",
        f'root = "{data}"',
        'train = "train"',
        'valid = "val"',
        "",
    ]
    wrong = 6
    right = (_LINES - len(lines)) // 5
    for number in range(right):
        stem = "absent" if number < wrong else "val"
        lines += [f"[data.test.test_{number}]", f'path = "{stem}"', 'format = "text"', "weight = 1.0", ""]
    lines += ["# the end"] * (_LINES - len(lines))
    return "\n".join(lines) + "\n"


def seconds(command: Sequence[str], code: int) -> float:
    """Return the wall time of a process that ends with this exit code, start-up and end included."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    elapsed = time.perf_counter() - start
    if done.returncode != code:
        message = f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode()[-500:]}"
        raise RuntimeError(message)
    return elapsed


def loads_torch(words: Sequence[str]) -> bool:
    """Return whether torch is among the modules loaded when a command is done."""
    command = [sys.executable, "-c", _LOADED, *words]
    done = subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stderr.split()[-1] == "True"


def errors_told(words: Sequence[str]) -> int:
    """Return how many errors `validate` finds."""
    command = [sys.executable, "-m", "specforge", *words, "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    return len(json.loads(done.stdout)["specs"][0]["diagnostics"])


def main() -> None:
    """Measure, print the medians and write `results/validate_time.json`."""
    parser = argparse.ArgumentParser(description="wall time of validate and plan --no-estimates")
    parser.add_argument("spec", nargs="?", default=SPEC)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "multi30k", help="its data.root")
    parser.add_argument("--runs", type=int, default=21)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data.resolve()
        broken = Path(folder) / "broken.toml"
        broken.write_text(broken_spec(data), encoding="utf-8")
        right = [arguments.spec, "--set", f"data.root={json.dumps(str(data))}"]
        commands = {
            "validate": (["validate", *right], 0),
            "validate_500_lines_20_errors": (["validate", str(broken)], 2),
            "plan_no_estimates": (["plan", *right, "--store", str(Path(folder) / "store"), "--no-estimates"], 0),
        }
        told = errors_told(commands["validate_500_lines_20_errors"][0])
        if told != _ERRORS:
            message = f"the broken spec has {told} errors, not {_ERRORS}"
            raise RuntimeError(message)
        figures = measure(commands, arguments.runs)
    path = write_result("validate_time", {"spec": arguments.spec, "runs": arguments.runs, **figures})
    print(f"figures in {path.relative_to(ROOT)}")


def measure(commands: Mapping[str, tuple[list[str], int]], runs: int) -> dict[str, JsonValue]:
    """Return the figures of some commands, and print them.

    Args:
        commands: name → words behind `specforge`, and the exit code.
        runs: how often each is run.
    """
    program = str(Path(sys.executable).parent / "specforge")
    times: dict[str, list[float]] = {name: [] for name in ("empty_python", *commands)}
    for round_ in range(runs + 1):
        for name, (words, code) in commands.items():
            times[name].append(seconds([program, *words], code))
        times["empty_python"].append(seconds([sys.executable, "-c", ""], 0))
        if round_ == 0:  # it compiled modules, remembered digests and filled the page cache
            times = {name: [] for name in times}
    empty = median(times["empty_python"])
    figures: dict[str, JsonValue] = {"empty_python_median_seconds": round(empty, 4)}
    for name, (words, _) in commands.items():
        middle, torch_loaded = median(times[name]), loads_torch(words)
        figures[name] = {
            "median_seconds": round(middle, 4),
            "slowest_seconds": round(max(times[name]), 4),
            "limit_seconds": LIMITS[name],
            "torch_loaded": torch_loaded,
        }
        print(
            f"{name} {middle:.3f} s (limit {LIMITS[name]} s), {middle / empty:.1f} x an empty python; torch: {torch_loaded}"
        )
    return figures


if __name__ == "__main__":
    main()
