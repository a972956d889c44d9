"""Positions: numbers from the formula, no end for sinusoids, and rows that fairseq's weights mean."""

from __future__ import annotations

from math import cos, sin

import pytest
import torch

from specforge.modules.positions import LearnedPositions, SinusoidalPositions, sinusoids


def test_sines_then_cosines() -> None:
    # width 4: two frequencies, 10,000 ** 0 = 1 and 10,000 ** -1 = 0.0001
    table = sinusoids(4, 4)

    assert table[0].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert table[3].tolist() == pytest.approx([sin(3), sin(0.0003), cos(3), cos(0.0003)])


def test_counting_starts_after_the_padding_index() -> None:
    positions = SinusoidalPositions(4, first=2)

    added = positions(torch.zeros(1, 3, 4, dtype=torch.float64))

    assert torch.equal(added[0], sinusoids(5, 4)[2:])


def test_a_later_start_continues_the_same_positions() -> None:
    positions = SinusoidalPositions(6, first=2)
    whole = positions(torch.zeros(50, 6))

    assert torch.equal(positions(torch.zeros(1, 6), start=49), whole[49:])
    assert torch.equal(SinusoidalPositions(6, first=2)(torch.zeros(1, 6), start=49), whole[49:])


def test_sinusoids_follow_the_type_and_leave_no_trace_in_the_weights() -> None:
    positions = SinusoidalPositions(4, first=2)

    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert positions(torch.zeros(2, 4, dtype=dtype)).dtype == dtype
    assert positions.state_dict() == {}
    assert positions(torch.zeros(2, 4, device="meta")).device.type == "meta"


def test_the_narrowest_width() -> None:
    assert sinusoids(2, 2)[1].tolist() == pytest.approx([sin(1), cos(1)])


def test_learned_positions_are_rows_of_the_table() -> None:
    positions = LearnedPositions(longest=5, dim=3, first=2, deviation=0.1)

    assert positions.weight.shape == (7, 3)
    assert torch.equal(positions(torch.zeros(2, 4, 3))[1], positions.weight[2:6])
    assert torch.equal(positions(torch.zeros(1, 3), start=4), positions.weight[6:])
