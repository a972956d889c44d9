"""What one GPU makes of specforge: throughput, memory, checkpoints, decoding, and the tests that need a GPU.

    python benchmarks/gpu.py                        on a machine with a GPU, eight minutes at most
    python benchmarks/gpu.py --quick --device cpu   shows that the program works, with models of no size

Each part runs in a process of its own within a part of the time; what becomes of it (figures, or what went wrong) is written
before the next one begins. Models train in bf16 through the trainer's own loader, strategy and updater on random tokens, which
take as long as real ones; what is measured are whole updates, data and optimizer counted.

For a machine without a network: `--packages FOLDER` takes pydantic and whatever else is missing there from a folder, made by
`pip install --target FOLDER --only-binary=:all: --python-version 3.12 pydantic pluggy safetensors pytest hypothesis`.

Floating-point operations of the model, of symbols alone (padding and what is computed twice do not count):
6 x weights of the matrix products x symbols that pass them + 12 x dim x pairs of a query and a key it looks at, for each attention.
MFU is these operations per second over the peak of dense bf16 products that the maker states; beside it stands the share of
the peak that a product of two matrices of 8,192 x 8,192 reaches on the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
RESULT: Final = Path(__file__).parent / "results" / "gpu.json"
BUDGET: Final = 470.0
STATED_PEAK: Final = {"H100": 989e12, "H200": 989e12, "GH200": 989e12, "A100": 312e12}
"""Dense bf16 products per second, SXM modules; from NVIDIA's data sheets."""

LIMITS: Final = {
    "matmul": 40.0,
    "big_eager": 75.0,
    "big_compiled": 120.0,
    "gpt_eager": 60.0,
    "gpt_compiled": 100.0,
    "big_checkpointed": 60.0,
    "decode": 60.0,
    "tests": 150.0,
}
"""Parts, in order, and the seconds that each may take; the whole takes no more than the budget."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large everything is.

    Args:
        device: where.
        quick: whether only to show that it works.
    """

    device: str
    quick: bool

    @property
    def seconds(self) -> float:
        """How long updates are counted."""
        return 1.0 if self.quick else 12.0

    @property
    def backend(self) -> str:
        """Who compiles."""
        return "eager" if self.quick else "inductor"


def main() -> int:
    """Measure, and return the exit code."""
    parser = argparse.ArgumentParser(description="Measures what a GPU makes of specforge.")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--quick", action="store_true", help="models of no size; nothing is written to results/")
    parser.add_argument("--packages", type=Path, help="folder of packages that this machine lacks")
    parser.add_argument(
        "--output", type=Path, help="where to write the figures; default results/gpu.json, if not --quick"
    )
    parser.add_argument("--only", nargs="*", default=list(LIMITS), choices=tuple(LIMITS), help="some of the parts")
    parser.add_argument("--part", choices=tuple(LIMITS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    scale = Scale(arguments.device, arguments.quick)
    if arguments.part is not None:
        print(json.dumps(PARTS[arguments.part](scale)))
        return 0
    output = arguments.output or (None if scale.quick or scale.device == "cpu" else RESULT)
    environment = {**os.environ, "PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    paths = [str(path) for path in (ROOT, arguments.packages and arguments.packages.resolve()) if path]
    environment["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    return _measure(scale, arguments.only, output, environment)


def _measure(scale: Scale, parts: list[str], output: Path | None, environment: Mapping[str, str]) -> int:
    began = time.monotonic()
    figures: dict[str, Any] = {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "device": scale.device,
        "quick": scale.quick,
    }
    figures["parts"] = {}
    for part in parts:
        left = BUDGET - (time.monotonic() - began)
        figures["parts"][part] = _in_a_process(part, scale, min(LIMITS[part], left), environment)
        _derive(figures)
        figures["seconds"] = round(time.monotonic() - began, 1)
        print(part, json.dumps(figures["parts"][part]), flush=True)
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2) if output is None else f"written to {output}")
    return int(any("error" in found for found in figures["parts"].values()))


def _in_a_process(part: str, scale: Scale, limit: float, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what a part found, or why it found nothing."""
    if limit <= 0:
        return {"error": "no time left"}
    began = time.monotonic()
    command = [sys.executable, str(Path(__file__)), "--part", part, "--device", scale.device]
    try:
        done = subprocess.run(
            [*command, *(["--quick"] if scale.quick else [])],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {limit:.0f} s"}
    lines = done.stdout.strip().split("\n")
    if done.returncode != 0 or not lines[-1].startswith("{"):
        said = [line for line in done.stderr.strip().split("\n") if line][-3:]
        return {"error": " | ".join(said)[-600:] or f"ended with {done.returncode}"}
    found: dict[str, Any] = json.loads(lines[-1])
    return {**found, "part_seconds": round(time.monotonic() - began, 1)}


def _derive(figures: dict[str, Any]) -> None:
    """Add to each training what share of the peaks it reaches."""
    matmul = figures["parts"].get("matmul", {})
    stated, measured = matmul.get("stated_peak"), matmul.get("measured_peak")
    for found in figures["parts"].values():
        if "flop_per_second" in found:
            for name, peak in (("mfu", stated), ("share_of_measured_peak", measured)):
                found[name] = None if not peak else round(found["flop_per_second"] / peak, 4)


def matmul(scale: Scale) -> dict[str, Any]:
    """Return the machine, the versions, and what products of large matrices reach."""
    import torch

    device, size = torch.device(scale.device), 256 if scale.quick else 8_192
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    _wait(device)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < min(scale.seconds, 3.0):
        for _ in range(10):
            left @ right
        _wait(device)
        count += 10
    peak = 2 * size**3 * count / (time.perf_counter() - began)
    name = torch.cuda.get_device_name() if scale.device == "cuda" else platform.processor() or platform.machine()
    stated = next((peak for model, peak in STATED_PEAK.items() if model in name.replace("-", " ").split()), None)
    return {
        "hardware": name,
        "memory_gib": round(torch.cuda.mem_get_info()[1] / 2**30, 1) if scale.device == "cuda" else None,
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in ("torch", "numpy", "pydantic", "triton")},
        "cuda": torch.version.cuda,
        "stated_peak": stated,
        "measured_peak": peak,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def big(scale: Scale, *, compiled: bool = False, checkpointed: bool = False) -> dict[str, Any]:
    """Return what training transformer_vaswani_wmt_en_de_big takes; without either, what a checkpoint takes, too."""
    from gpu_training import Bench

    bench = Bench.of_translation(scale.device, quick=scale.quick)
    return _trained(bench, scale, compiled=compiled, checkpointed=checkpointed, saves=not compiled and not checkpointed)


def gpt(scale: Scale, *, compiled: bool) -> dict[str, Any]:
    """Return what training a language model as large as GPT-2 small takes, on blocks of 1,024 tokens."""
    from gpu_training import Bench

    return _trained(Bench.of_language(scale.device, quick=scale.quick), scale, compiled=compiled)


def _trained(
    bench: Any, scale: Scale, *, compiled: bool, checkpointed: bool = False, saves: bool = False
) -> dict[str, Any]:
    found: dict[str, Any] = bench.trained(
        scale.seconds, backend=scale.backend if compiled else None, checkpointed=checkpointed
    )
    if saves:
        with tempfile.TemporaryDirectory(prefix="specforge-gpu-") as folder:
            try:
                found["checkpoint"] = bench.saved(Path(folder))
            except Exception:  # noqa: BLE001  # the figures before it are not to be lost
                found["checkpoint"] = {"error": traceback.format_exc(limit=1)}
    return found


def decode(scale: Scale) -> dict[str, Any]:
    """Return how quickly the big model decodes with a beam of 5, led by Python and by replaying recorded steps."""
    import torch
    from gpu_training import Bench

    from specforge.modules.recorder import CudaGraphs

    bench = Bench.of_translation(scale.device, quick=scale.quick)
    found: dict[str, Any] = {"eager": bench.decoded(scale.seconds)}
    if scale.device == "cuda":
        try:
            found["recorded"] = bench.decoded(scale.seconds, CudaGraphs(torch.device("cuda")))
        except Exception:  # noqa: BLE001  # the figures before it are not to be lost
            found["recorded"] = {"error": traceback.format_exc(limit=1)}
    return found


def tests(scale: Scale) -> dict[str, Any]:
    """Return what became of the tests that need a GPU."""
    # Only the files that hold some: others import packages that the machine may not have.
    files = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text("utf-8")]
    what = ["--collect-only", *files] if scale.quick else files
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", *what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in (done.stdout + done.stderr).split("\n") if line.strip()]
    failed = [line[:300] for line in lines if line.startswith(("FAILED", "ERROR", "E  "))]
    return {"exit_code": done.returncode, "summary": lines[-1] if lines else "", "failed": failed[:40]}


PARTS: Final[Mapping[str, Callable[[Scale], dict[str, Any]]]] = {
    "matmul": matmul,
    "big_eager": big,
    "big_compiled": lambda scale: big(scale, compiled=True),
    "gpt_eager": lambda scale: gpt(scale, compiled=False),
    "gpt_compiled": lambda scale: gpt(scale, compiled=True),
    "big_checkpointed": lambda scale: big(scale, checkpointed=True),
    "decode": decode,
    "tests": tests,
}

if __name__ == "__main__":
    sys.exit(main())
