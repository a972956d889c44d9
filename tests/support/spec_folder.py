"""A folder to write specs into, and a registry without what happens to be installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from specforge import builtin
from specforge.language import resolve
from specforge.language.messages.diagnostics import Diagnostic, SpecError
from specforge.language.plugins import Plugins, PluginSource, declared
from specforge.language.registry import Registry
from specforge.language.spec import Spec

MINIMAL = """\
specforge = 1
task = { use = "translation", source = "en", target = "de" }
data = { train = "train", valid = "valid", test = "test" }
model = "transformer"
train = { max_updates = 10 }
"""


@dataclass(frozen=True)
class SpecFolder:
    """A working directory with `train`, `valid` and `test` in English and German."""

    path: Path

    def write(self, text: str, name: str = "spec.toml") -> Path:
        """Write a file; return its name as a user would type it."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text, encoding="utf-8", newline="")
        return Path(name)

    def load(self, text: str, *assignments: str) -> Spec:
        """Write and load a spec."""
        return resolve.load_spec(self.write(text), assignments)

    def diagnostics(self, text: str, *assignments: str) -> tuple[Diagnostic, ...]:
        """Write a spec that is wrong and return what is wrong with it."""
        with pytest.raises(SpecError) as caught:
            self.load(text, *assignments)
        return caught.value.diagnostics

    def brief(self, text: str, *assignments: str) -> list[tuple[str, str, str]]:
        """Write a spec that is wrong and return code, place and first label of each diagnostic."""
        found = self.diagnostics(text, *assignments)
        return [(one.code, str(one.place), one.labels[0].text if one.labels else "") for one in found]


def registry_with(sources: Sequence[PluginSource] = ()) -> Registry:
    """Return a registry of the built-ins and some plugins that are not installed."""
    return Registry(declared(builtin), "0.1.0", Plugins(lambda: sources))
