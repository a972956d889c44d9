"""The nearest right name."""

from __future__ import annotations

import pytest

from specforge.language.messages.suggest import nearest

KNOWN = ("dropout", "attention_dropout", "warmup_updates", "lr", "max_updates", "max_epochs", "Adam")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("droput", "dropout"),
        ("attention-dropout", "attention_dropout"),
        ("LR", "lr"),
        ("adam", "Adam"),
        ("warmup", "warmup_updates"),
        ("maxupdates", "max_updates"),
        ("atten", "attention_dropout"),
        ("beam", None),
        ("", None),
    ],
)
def test_the_nearest_name(typed: str, expected: str | None) -> None:
    assert expected == nearest(typed, KNOWN)


def test_case_and_hyphens_make_no_difference_however_short_the_name() -> None:
    assert nearest("T-A", ["t_a", "tan"]) == "t_a"


def test_what_begins_several_names_is_no_hint() -> None:
    assert nearest("drop", ["dropout_of_the_encoder", "dropout_of_the_decoder"]) is None
