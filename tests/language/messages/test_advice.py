"""What an unknown key was meant to be, and what is not said because of that."""

from __future__ import annotations

import pytest
from spec_folder import MINIMAL, SpecFolder

from specforge.language.component_places import COMPONENT_TABLES
from specforge.language.messages.advice import Advisor
from specforge.language.messages.synonyms import NAMES_OF_USE, OUR_PATHS
from specforge.language.registry import config_class, load_registry
from specforge.language.schema.document import SpecDocument


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_updates", "max_update", "did you mean `max_updates`?"),
        ("max_updates", "Max-Updates", "did you mean `max_updates`?"),
        ("max_updates", "steps", "here it is called `max_updates`"),
        ("max_updates = 10", "max_epochs = 1, lr = 1e-3", "belongs in [optimizer]"),
        ("max_updates = 10", "max_epochs = 1, learning_rate = 1e-3", "here it is `lr` in [optimizer]"),
        ("max_updates = 10", "max_epochs = 1, droput = 0.1", "did you mean `dropout` in [model]?"),
        (
            "max_updates = 10",
            "max_epochs = 1, optimizer = 'adam'",
            "belongs at the top of the file, above the first `[table]`",
        ),
        ("max_updates = 10", "max_epochs = 1, zzz = 1", ""),
        ("max_updates = 10", "max_epochs = 1, " + "max_updates" * 9 + " = 1", ""),
        ("\ntrain =", "\ntrainer =", "here it is called `train`"),
        (" valid =", " dev =", "here it is called `valid`"),
        ('"transformer"', '{ arch = "transformer" }', "here it is called `use`"),
        ('"transformer"', '{ --use = "transformer" }', "here it is called `use`"),
        ('"transformer"', '{ use = "transformer", type = 1 }', "here it is called `use`"),
        ('source = "en"', 'src = "en"', "here it is called `source`"),
    ],
)
def test_one_diagnostic_says_what_was_meant(specs: SpecFolder, old: str, new: str, words: str) -> None:
    """Nothing is called missing beside it: the key that was meant is."""
    assert [("SF101", words)] == [(code, text) for code, _, text in specs.brief(MINIMAL.replace(old, new))]


def test_what_is_missing_for_another_reason_is_still_told(specs: SpecFolder) -> None:
    found = specs.brief(MINIMAL.replace("max_updates = 10", "max_epoc_s = 10").replace('model = "transformer"\n', ""))

    assert sorted(code for code, _, _ in found) == ["SF101", "SF102"]


def test_advice_is_for_the_first_keys_only() -> None:
    advisor = Advisor([((), SpecDocument)])
    words = [advisor.advice(("seeed",), ["seed"], takes_use=False) for _ in range(101)]

    assert words == [*["did you mean `seed`?"] * 100, ""]


def test_our_names_are_fields() -> None:
    """Every path that a name of another tool leads to is a field of a table or of a component of its kind."""
    configs = [(registered.component.kind, config_class(registered)) for registered in load_registry().components()]
    wrong = []
    for name, path in OUR_PATHS.items():
        kind = COMPONENT_TABLES.get(path[:-1])
        if kind is not None:
            fields = {field for of, model in configs if of == kind for field in model.model_fields}
        else:
            model = SpecDocument if len(path) == 1 else SpecDocument.model_fields[path[0]].annotation
            fields = set(getattr(model, "model_fields", {}))
            default = SpecDocument.model_fields[path[0]].default
            fields |= set(getattr(type(default), "model_fields", {}))
        if path[-1] not in fields or name in fields:
            wrong.append((name, path))

    assert [] == wrong


def test_no_component_has_a_field_that_is_another_name_of_use() -> None:
    assert not {
        field
        for registered in load_registry().components()
        for field in config_class(registered).model_fields
        if field in NAMES_OF_USE
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tokenizer = 'bpe'", "here it is called `sentencepiece`"),
        ("tokenizer = 'moses'", "no tokenizer has this name"),
        ("model_ = 'noam'", "did you mean `model`?"),
    ],
)
def test_a_component_is_known_by_what_others_call_it(specs: SpecFolder, line: str, words: str) -> None:
    assert [words] == [text for _, _, text in specs.brief(f"{MINIMAL}{line}\n")]


def test_a_choice_is_known_by_what_others_call_it(specs: SpecFolder) -> None:
    (found,) = specs.diagnostics(MINIMAL, "run.device='gpu'")

    assert found.help == 'did you mean `"cuda"`?'
