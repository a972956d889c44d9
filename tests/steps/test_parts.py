"""From tables to objects: whose fault a failure is, and that what comes out is what was asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from pydantic import Field, JsonValue

from specforge.foundation.errors import RefusedError, StepFailedError, WrongInputError
from specforge.language.registry import Match, UnknownComponentError
from specforge.language.spec import Registered
from specforge.plugin import (
    Component,
    ComponentConfig,
    Kind,
    LRSchedulerConfig,
    OptimizerConfig,
    Preset,
    TaskConfig,
    TokenizerConfig,
)
from specforge.steps import parts
from specforge.tasks.translation.task import TranslationTask
from specforge.tokenizers.whitespace.tokenizer import WhitespaceTokenizer

WHITESPACE: JsonValue = {"use": "specforge/whitespace", "remove_bpe": "@@ "}


class StrangerConfig(ComponentConfig):
    scale: float = Field(default=1.0, gt=0.0)


class StrangerTaskConfig(StrangerConfig, TaskConfig):
    pass


class StrangerTokenizerConfig(StrangerConfig, TokenizerConfig):
    pass


class StrangerOptimizerConfig(StrangerConfig, OptimizerConfig):
    lr: float = 1.0


class StrangerSchedulerConfig(StrangerConfig, LRSchedulerConfig):
    pass


CONFIGS: dict[Kind, type[StrangerConfig]] = {
    "task": StrangerTaskConfig,
    "tokenizer": StrangerTokenizerConfig,
    "optimizer": StrangerOptimizerConfig,
    "lr_scheduler": StrangerSchedulerConfig,
}


class OfferStranger:
    """Makes the registry offer a component of a distribution `acme`, with a factory of the test's choice."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, kind: Kind, build: Callable[..., object], preset: Preset | None = None) -> None:
        module = ModuleType("acme_stranger")
        vars(module).update(Config=CONFIGS.get(kind, StrangerConfig), build=build)
        self._monkeypatch.setitem(sys.modules, "acme_stranger", module)
        component = Component(kind=kind, name="strange", config="acme_stranger:Config", factory="acme_stranger:build")
        match = Match(Registered("acme", "1.2", component), preset)
        self._monkeypatch.setattr(parts, "load_registry", lambda: OneMatch(match))


class OneMatch:
    def __init__(self, match: Match) -> None:
        self._match = match

    def find(self, kind: Kind, name: str) -> Match:
        assert (self._match.registered.component.kind, "acme/strange") == (kind, name)
        return self._match


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> OfferStranger:
    return OfferStranger(monkeypatch)


def test_a_table_becomes_its_object() -> None:
    tokenizer = parts.make_tokenizer(WHITESPACE)

    assert isinstance(tokenizer, WhitespaceTokenizer)
    assert tokenizer.decode("target", ["a@@", "b"]) == "ab"
    assert isinstance(
        parts.make_task({"use": "specforge/translation", "source": "en", "target": "de"}), TranslationTask
    )


def test_an_unknown_name_is_an_error_of_its_own() -> None:
    with pytest.raises(UnknownComponentError):
        parts.make_tokenizer({"use": "specforge/whitespaces"})


def test_values_that_do_not_fit_the_installed_version_are_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        parts.make_tokenizer({"use": "specforge/whitespace", "remove_bpe": 1, "gone": True})

    assert caught.value.code == "SF211"
    assert "specforge/whitespace@1" in caught.value.message
    assert ["remove_bpe", "gone"] == [note.partition(":")[0] for note in caught.value.notes]


def test_values_are_checked_as_in_the_spec() -> None:
    with pytest.raises(RefusedError):
        parts.configured("task", {"use": "specforge/translation", "source": "en", "target": "en"})


def test_an_exception_of_a_plugins_factory_names_the_plugin(offer: OfferStranger) -> None:
    def build(config: StrangerConfig) -> object:
        message = f"no idea\n of {config.scale}"
        raise ValueError(message)

    offer("metric", build)
    with pytest.raises(StepFailedError) as caught:
        parts.make_metric({"use": "acme/strange", "scale": 2.0})

    error = caught.value
    assert ("SF210", "the metric `acme/strange` cannot be built") == (error.code, error.message)
    assert error.notes == ("ValueError: no idea of 2.0",)
    assert error.help == "this is a fault of acme 1.2, tell its authors"


@pytest.mark.parametrize(
    ("kind", "make", "expected"),
    [
        ("task", parts.make_task, "Task"),
        ("tokenizer", parts.make_tokenizer, "Tokenizer"),
        ("search", parts.make_search, "Search"),
        ("metric", parts.make_metric, "Metric"),
        ("lr_scheduler", lambda table: parts.make_schedule(table, 1.0), "Schedule"),
        ("optimizer", lambda table: parts.make_optimizer(table, []), "Optimizer"),
    ],
)
def test_a_factory_must_return_what_its_kind_promises(
    offer: OfferStranger, kind: Kind, make: Callable[[JsonValue], object], expected: str
) -> None:
    offer(kind, lambda *_: 3)
    with pytest.raises(StepFailedError) as caught:
        make({"use": "acme/strange"})

    assert caught.value.notes == (f"its factory returned an object of type `int`, not `{expected}`",)


def test_an_error_of_ours_passes_through_a_factory(offer: OfferStranger) -> None:
    def build(_: StrangerConfig) -> object:
        raise WrongInputError("SF404", "the shapes do not fit")

    offer("metric", build)
    with pytest.raises(WrongInputError, match="the shapes do not fit"):
        parts.make_metric({"use": "acme/strange"})


def test_a_schedule_gets_the_peak_rate(offer: OfferStranger) -> None:
    offer("lr_scheduler", lambda config, peak_lr: lambda _: config.scale * peak_lr)

    schedule = parts.make_schedule({"use": "acme/strange", "scale": 3.0}, 0.5)

    assert schedule(None) == 1.5  # type: ignore[arg-type]  # this one does not look at the progress


def test_values_of_a_preset_are_weaker_than_the_table(offer: OfferStranger) -> None:
    seen: list[float] = []
    preset = Preset(kind="search", name="strange", of="stranger", values={"scale": 4.0})
    offer("search", lambda config: seen.append(config.scale), preset)

    for table in ({"use": "acme/strange"}, {"use": "acme/strange", "scale": 5.0}):
        with pytest.raises(StepFailedError):
            parts.make_search(table)  # type: ignore[arg-type]  # invariant dict

    assert [4.0, 5.0] == seen
