"""Model folders in a spec: found from the file that names them, checked before anything runs, kept in the resolved spec."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_experiment import SMALL_SPEC, SmallExperiment
from spec_model_folder import spec_model_folder

from specforge.foundation.errors import WrongInputError
from specforge.language.messages.diagnostics import Diagnostic, SpecError
from specforge.language.model_folders import checkpoint_alone
from specforge.language.resolve import load_spec
from specforge.language.schema.generate import GenerateSection
from specforge.language.text.tree_text import resolved_text

ENSEMBLE = "generate.ensemble=['models/a', 'models/b']"


@pytest.fixture
def small_with_models(small: SmallExperiment) -> SmallExperiment:
    spec_model_folder(small.folder / "models" / "a")
    spec_model_folder(small.folder / "models" / "b", "fconv")
    spec_model_folder(small.folder / "models" / "lm", "transformer_lm")
    return small


def fault(small: SmallExperiment, *assignments: str) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        small.spec(*assignments)
    (found,) = caught.value.diagnostics
    return found


def test_folders_are_called_from_where_they_are_named(small_with_models: SmallExperiment) -> None:
    small = small_with_models
    (small.folder / "deep").mkdir()
    text = SMALL_SPEC.replace('"train"', '"../train"').replace('"valid"', '"../valid"').replace('"test"', '"../test"')
    models = '[generate]\nensemble = ["../models/a"]\nlanguage_model = { path = "../models/lm", weight = 0.5 }\n'
    small.write_spec(f"{text}\n{models}", "deep/small.toml")

    generate = small.spec(name="deep/small.toml").generate

    assert [(small.folder / "models" / "a").resolve()] == [Path(each).resolve() for each in generate.ensemble]
    assert generate.language_model is not None
    assert Path(generate.language_model.path).is_absolute()
    assert Path(small.spec(ENSEMBLE).generate.ensemble[1]) == small.folder / "models" / "b"


def test_a_resolved_spec_loads_to_the_same(small_with_models: SmallExperiment) -> None:
    small = small_with_models
    spec = small.spec(ENSEMBLE, "generate.language_model={path='models/lm', weight=1}", "generate.checkpoint=['last']")

    again = load_spec(small.folder / "other.toml", text=resolved_text(spec))

    for name in ("checkpoint", "ensemble", "language_model"):
        assert getattr(spec.generate, name) == getattr(again.generate, name)
    assert "last" == again.generate.checkpoint


@pytest.mark.parametrize(
    ("assignment", "code", "words"),
    [
        ("generate.ensemble=['models/c']", "SF501", "no such folder: `models/c`"),
        ("generate.ensemble=['models/a', 'models']", "SF672", "`models` is no model folder: it has no `model.json`"),
        ("generate.ensemble=['models/lm']", "SF701", "holds a language model, and the spec trains an encoder-decoder"),
        (
            "generate.language_model={path='models/a', weight=0.3}",
            "SF701",
            "holds an encoder-decoder, and `language_model` needs a language model",
        ),
        ("generate.checkpoint=['best', 'best']", "SF103", "`best` stands there twice"),
        ("generate.checkpoint=['best', 'average_best']", "SF301", "training makes no `average_best`"),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(
    small_with_models: SmallExperiment, assignment: str, code: str, words: str
) -> None:
    found = fault(small_with_models, assignment)

    assert code == found.code
    assert words in found.message
    assert [True] == [label.primary for label in found.labels]


@pytest.mark.parametrize("text", ["{", "[]", '{"model": "transformer"}', "{}"])
def test_a_description_that_describes_no_model(small_with_models: SmallExperiment, text: str) -> None:
    (small_with_models.folder / "models" / "a" / "model.json").write_text(text)

    found = fault(small_with_models, ENSEMBLE)

    assert ("SF672", True) == (found.code, "describes no model" in found.message)


def test_a_model_that_is_not_installed_is_left_to_loading(small_with_models: SmallExperiment) -> None:
    spec_model_folder(small_with_models.folder / "models" / "c", "mega")

    assert small_with_models.spec("generate.ensemble=['models/c']").generate.ensemble


def test_one_checkpoint_where_one_is_asked() -> None:
    section = GenerateSection.model_validate({"checkpoint": "last"})
    several = [{"checkpoint": ["best", "last"]}, {"ensemble": ["a"]}, {"language_model": {"path": "a", "weight": 0.1}}]

    assert "last" == checkpoint_alone(section)
    for values in several:
        with pytest.raises(WrongInputError) as caught:
            checkpoint_alone(GenerateSection.model_validate(values))
        assert "SF701" == caught.value.code
