"""No safeguard of the storage module can be taken out without a test that fails: proof that the tests can see."""

from __future__ import annotations

import pytest
from forked import ended, started
from mutants import caught, mutants

MUTANTS = dict(mutants())


def test_the_safeguards_are_found() -> None:
    text = " ".join(MUTANTS)
    assert 15 <= len(MUTANTS)
    for safeguard in ("os.fsync", "sync_folder", "os.rename", "digest.update", "the comparison"):
        assert safeguard in text


@pytest.mark.parametrize("missing", MUTANTS)
def test_a_missing_safeguard_is_noticed(missing: str) -> None:
    assert 1 == ended(started(caught, MUTANTS[missing]))
