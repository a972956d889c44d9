from __future__ import annotations

import hashlib

from specforge.foundation.seeds import derived_seed


def test_a_seed_is_the_beginning_of_a_digest() -> None:
    digest = hashlib.sha256(b'[7,"dropout",12,3]').hexdigest()

    assert int(digest[:16], 16) // 2 == derived_seed(7, "dropout", 12, 3)


def test_purposes_do_not_run_together() -> None:
    seeds = {derived_seed(1, "a", 1, 2), derived_seed(1, "a", 12), derived_seed(1, "a1", 2), derived_seed(1, "a", "12")}

    assert 4 == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
