"""Estimates as people read them."""

from __future__ import annotations

from specforge.cli.views.estimates import estimate_lines
from specforge.planning.estimates import Estimates, Memory, Spread

FOUND = Estimates(
    parameters=7_524_352,
    trainable=7_524_352,
    by_part={"source_embedder": 1_994_752, "encoder_layers": 2_369_280, "decoder_layers": 3_160_320},
    vocabulary={"source": 7_792, "target": 7_792},
    updates_per_epoch=230.0,
    items_per_update=Spread(mean=126.1, most=281),
    target_tokens_per_update=Spread(mean=1_988.4, most=2_000),
    micro_batches_per_update=Spread(mean=1.0, most=1),
    padding=0.0199,
    memory=Memory(device="cpu", state=120_390_020, activations=3 * 2**30),
    flop_per_update=85.24e9,
    updates=2_100,
)


def lines(**changes: object) -> dict[str, str]:
    """Return what stands behind each name."""
    shown = estimate_lines(FOUND.model_copy(update=changes), devices=1)
    return {name: text.strip() for name, text in (line.strip().split(" ", 1) for line in shown)}


def test_what_is_exact_has_no_mark() -> None:
    assert {
        "model": "7,524,352 parameters: source_embedder 1.99 M, encoder_layers 2.37 M, decoder_layers 3.16 M; "
        "vocabulary 7,792",
        "batch": "1,988 target tokens (at most 2,000) and 126 items an update, 1 micro-batch, 2.0 % padding",
        "memory": "115 MiB state + 3.0 GiB activations on cpu, at the peak",
        "training": "2,100 updates, 9.1 epochs of 230; no earlier training on this host says how long they take",
        "work": "85.2 GFLOP an update, 179 TFLOP in all",
    } == lines()


def test_each_guess_has_a_mark() -> None:
    guesses = [name for name in Estimates.model_fields if name not in {"approximate", "notes"}]

    found = lines(approximate=guesses, seconds=7_300.0)

    assert "≈7,524,352 parameters" in found["model"]
    assert "vocabulary ≈7,792" in found["model"]
    assert "≈1,988 target tokens" in found["batch"]
    assert "≈1 micro-batch, ≈2.0 %" in found["batch"]
    assert "≈115 MiB state + ≈3.0 GiB" in found["memory"]
    assert "≈2,100 updates, ≈9.1 epochs of ≈230; ≈2 h 02 min, at the pace of" in found["training"]
    assert "≈85.2 GFLOP" in found["work"]


def test_several_devices_share_and_each_has_its_memory() -> None:
    found = FOUND.model_copy(update={"micro_batches_per_update": Spread(mean=7.5, most=9)})

    text = "\n".join(estimate_lines(found, devices=4))

    assert "7.5 micro-batches (at most 9) over 4 devices" in text
    assert "on each of 4 devices (cpu)" in text


def test_how_far_training_is() -> None:
    assert "; 500 are done; ≈8.0 s left, at" in lines(updates_done=500, seconds=8.0)["training"]
    assert lines(updates_done=2_100, seconds=0.0)["training"].endswith("230; all of them are done")


def test_what_is_not_known_has_no_line() -> None:
    found = lines(memory=None, flop_per_update=None, updates=None, items_per_update=None, notes=["why"])

    assert ["model", "note"] == list(found)
    assert "why" == found["note"]


def test_parts_that_are_frozen_or_many_are_counted() -> None:
    found = lines(trainable=5, by_part={f"part{number}": 1_000 for number in range(9)})

    assert "7,524,352 parameters, 5 of them trained: part0 1 k" in found["model"]
    assert "part5 1 k, 3 more" in found["model"]
    assert "decoder 38.7 B;" in lines(by_part={"decoder": 38_655_000_000})["model"]
