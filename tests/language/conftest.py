"""A folder with a little parallel text and the built-in components only, whatever is installed beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from spec_folder import MINIMAL, SpecFolder, registry_with

from specforge.language import resolve


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpecFolder:
    """A folder to write specs into; it is the working directory."""
    for stem in ("train", "valid", "test"):
        for language in ("en", "de"):
            (tmp_path / f"{stem}.{language}").write_text("a b\n", encoding="utf-8")
    registry = registry_with()
    monkeypatch.setattr(resolve, "load_registry", lambda: registry)
    monkeypatch.chdir(tmp_path)
    return SpecFolder(tmp_path)


@pytest.fixture
def minimal() -> str:
    """The smallest spec that is right in that folder."""
    return MINIMAL
