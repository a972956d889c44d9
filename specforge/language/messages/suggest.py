"""The nearest right name for a wrong one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like `name`, or None when none is near.

    Args:
        name: what was typed.
        known: the right names.
        cutoff: how alike they must be, from 0 (anything) to 1 (equal).
    """
    from difflib import get_close_matches  # only where something is wrong

    exact = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    folded = name.lower().replace("-", "_")
    if folded in exact:
        return exact[folded]
    near = get_close_matches(folded, exact, n=1, cutoff=cutoff)
    if near:
        return exact[near[0]]
    longer = [candidate for candidate in exact if len(folded) > 3 and candidate.startswith(folded)]  # noqa: PLR2004  # `warmup`
    return exact[longer[0]] if len(longer) == 1 else None
