"""The heartbeat: what counts as moving, and what is compared between ranks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from specforge.foundation.heartbeat import Heart, Pulse


@pytest.fixture
def ends() -> Iterator[tuple[Heart, Pulse]]:
    """A heart and who listens to it."""
    read, write = os.pipe()
    pulse = Pulse(read)
    yield Heart(write), pulse
    pulse.close()
    with suppress(OSError):
        os.close(write)


def test_beats_and_updates_are_counted(ends: tuple[Heart, Pulse]) -> None:
    heart, pulse = ends
    heart.beat()
    heart.beat()
    heart.update_done()

    assert pulse.listen()
    assert (3, 1) == (pulse.beats, pulse.updates)
    assert not pulse.listen()


def test_work_of_one_rank_alone_is_heard_and_makes_it_no_further_than_the_others(ends: tuple[Heart, Pulse]) -> None:
    """The rank with the fewest beats is the one that the others wait for: one that saves for all has no more of them."""
    heart, pulse = ends
    heart.beat()
    pulse.listen()
    heart.at_work()

    assert pulse.listen()
    assert (1, 0) == (pulse.beats, pulse.updates)


def test_a_heart_without_a_listener_waits_for_nobody(ends: tuple[Heart, Pulse]) -> None:
    Heart().at_work()
    heart, pulse = ends
    for _ in range(1 << 17):  # more than a pipe holds
        heart.beat()
    assert pulse.listen()
