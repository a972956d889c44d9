"""On what, with which versions and when a figure was measured: part of every result file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pydantic import JsonValue

VERSIONS_OF: Final = ("specforge-compiler", "torch", "numpy", "sentencepiece", "sacrebleu", "pydantic")
VERSIONS_IF_INSTALLED: Final = ("ctranslate2", "numba")
RESULTS: Final = Path(__file__).parent / "results"
_GIB: Final = 2**30


def cpu_model() -> str:
    """Return the processor's name, as exactly as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    rows = cpuinfo.read_text().split("\n") if cpuinfo.exists() else []
    names = (row.partition(":")[2].strip() for row in rows if row.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def memory_bytes() -> int:
    """Return the size of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def surroundings() -> dict[str, JsonValue]:
    """Return hardware, versions and date of this measurement."""
    return {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "hardware": {
            "cpu": cpu_model(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_gib": round(memory_bytes() / _GIB, 1),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in VERSIONS_OF},
            **{name: metadata.version(name) for name in VERSIONS_IF_INSTALLED if find_spec(name)},
        },
    }


def write_result(name: str, figures: Mapping[str, JsonValue]) -> Path:
    """Write the figures with their surroundings to `results/<name>.json` and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    text = json.dumps({**surroundings(), **figures}, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")
    return path
