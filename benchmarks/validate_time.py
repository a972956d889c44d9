"""How long `specforge validate` takes as a whole process, and whether it loads torch.

    python benchmarks/validate_time.py [--runs 21] [SPEC]

Runs of an empty Python program are interleaved, because machines drift: their median is what no program can beat.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Final

from hardware import write_result

ROOT: Final = Path(__file__).parent.parent
SPEC: Final = "specs/multi30k_en_de.toml"
LIMIT_SECONDS: Final = 0.3

_LOADED = """
import sys
from specforge.cli.main import main
code = main(["validate", *sys.argv[1:]])
print(code, "torch" in sys.modules, file=sys.stderr)
"""


def seconds(command: list[str]) -> float:
    """Return the wall time of a process, start-up and end included."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return time.perf_counter() - start


def loads_torch(words: list[str]) -> bool:
    """Return whether torch is among the modules loaded when `validate` is done."""
    result = subprocess.run(
        [sys.executable, "-c", _LOADED, *words],
        cwd=ROOT,
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    code, loaded = result.stderr.split()[-2:]
    if code != "0":
        message = f"validate ended with {code}: {result.stderr}"
        raise RuntimeError(message)
    return loaded == "True"


def main() -> None:
    """Measure, print the medians and write `results/validate_time.json`."""
    parser = argparse.ArgumentParser(description="wall time of `specforge validate`")
    parser.add_argument("spec", nargs="?", default=SPEC)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "multi30k", help="its data.root")
    parser.add_argument("--runs", type=int, default=21)
    arguments = parser.parse_args()

    words = [arguments.spec, "--set", f"data.root={json.dumps(str(arguments.data.resolve()))}"]
    validate = [str(Path(sys.executable).parent / "specforge"), "validate", *words]
    empty = [sys.executable, "-c", ""]
    seconds(validate)  # the first run compiles modules and fills the page cache
    pairs = [(seconds(validate), seconds(empty)) for _ in range(arguments.runs)]
    validate_seconds, python_seconds = (median(times) for times in zip(*pairs, strict=True))
    torch_loaded = loads_torch(words)

    path = write_result(
        "validate_time",
        {
            "spec": arguments.spec,
            "runs": arguments.runs,
            "median_seconds": round(validate_seconds, 4),
            "slowest_seconds": round(max(validate for validate, _ in pairs), 4),
            "empty_python_median_seconds": round(python_seconds, 4),
            "torch_loaded": torch_loaded,
            "limit_seconds": LIMIT_SECONDS,
        },
    )
    print(
        f"validate {validate_seconds:.3f} s, {validate_seconds / python_seconds:.1f} x an empty python; torch: {torch_loaded}"
    )
    print(f"figures in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
