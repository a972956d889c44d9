"""From a spec to a plan, in the world as it is: the user's memory of digests, the store, the run's last plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from specforge.execution.run_folder import RunFolder
from specforge.language.spec import Spec
from specforge.planning.compile import compile_plan
from specforge.planning.plan import Plan
from specforge.storage.digests import Digests, cache_path
from specforge.storage.store import Store


def open_digests(
    announce: Callable[[Path], None] = lambda _: None,
    complain: Callable[[str], None] = lambda _: None,
    *,
    verify: bool = False,
) -> Digests:
    """Return the data files' digests, with the user's memory of them.

    Args:
        announce: told what is read.
        complain: told why nothing can be remembered.
        verify: whether to read every file, whatever is remembered of it.
    """
    return Digests(cache_path(), announce, complain=complain, verify=verify)


def prepare(spec: Spec, store: Store, digests: Digests) -> Plan:
    """Compile a spec against a store.

    Raises:
        WrongInputError: a data file is wrong.
    """
    return compile_plan(spec, digests, store, RunFolder(store, spec.name).previous_steps())
