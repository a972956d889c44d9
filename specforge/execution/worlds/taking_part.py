"""Taking part in the world that a launcher gives: rank 0 leads, the others follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from specforge.execution.progress import Display
from specforge.execution.signals import stop_requests
from specforge.execution.worlds.board import Board
from specforge.execution.worlds.follower import Follower
from specforge.execution.worlds.given import GivenWorld
from specforge.execution.worlds.leader import Leader
from specforge.foundation.errors import ExitCode, SpecforgeError


@contextmanager
def leading(world: GivenWorld | None, devices: int, display: Display) -> Iterator[Leader | None]:
    """Lead the other processes during the block, and end them with what it ends with.

    Args:
        world: this process among all; None where no launcher gives a world.
        devices: what the spec says of their number.
        display: where it is said that they are as many as the launcher started.
    """
    if world is None:
        yield None
        return
    counted = "" if devices == world.size else f"; `run.devices = {devices}` does not count here"
    display.line(f"  training with the {world.size} processes that {world.launcher} started{counted}")
    leader = Leader(world, Board(world))
    code: int = ExitCode.STEP_FAILED  # for what nobody foresaw
    try:
        yield leader
        code = ExitCode.DONE
    except SpecforgeError as error:
        code = error.exit_code
        raise
    finally:
        leader.end(code)


def take_part(world: GivenWorld) -> int:
    """Follow rank 0 and return the exit code that it names.

    Args:
        world: this process among all.
    """
    with stop_requests() as stop, closing(Board(world)) as board:
        return Follower(world, board, stop).follow()
