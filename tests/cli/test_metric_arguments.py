"""`--metric`: names, tables, and what is wrong with them."""

from __future__ import annotations

import pytest

from specforge.cli.metric_arguments import chosen_metrics
from specforge.foundation.errors import WrongInputError


def test_a_metric_is_a_name_or_a_table() -> None:
    metrics = chosen_metrics(["bleu", '{ use = "chrf", word_order = 2 }', "specforge/ter"])

    assert ["bleu", "chrf", "ter"] == [metric.registered.component.name for metric in metrics]
    assert [None, 2, None] == [metric.values().get("word_order") for metric in metrics]


def test_bleu_is_what_is_meant_where_nothing_is_said() -> None:
    assert ["bleu"] == [metric.registered.component.name for metric in chosen_metrics(None)]


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("blue", "SF201", "did you mean `bleu`?"),
        ('{ use = "chrf", word_oder = 2 }', "SF732", "there is no key `word_oder`"),
        ('{ use = "chrf", word_order = "2" }', "SF732", "`word_order`: input should be a valid integer"),
        ('{ use = "bleu", smooth_value = 1.0 }', "SF732", "`smooth_value` means nothing to this `smooth_method`"),
        ("{ use = chrf }", "SF732", "invalid value"),
        ("{ word_order = 2 }", "SF732", "a metric is named by `use`"),
    ],
)
def test_what_is_wrong_is_said(typed: str, code: str, said: str) -> None:
    with pytest.raises(WrongInputError) as caught:
        chosen_metrics([typed])

    assert code == caught.value.code
    assert said in " ".join([caught.value.message, *caught.value.notes, caught.value.help or ""])
