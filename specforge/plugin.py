"""All that a plugin author imports: what a component is, how it is declared, what its config may say.

A plugin is a distribution with an entry point in the group `specforge` that names a light module. The module implements
`specforge_components` and returns declarations whose `config` and `factory` are import *strings*, so that listing and
validating never import torch. The built-in components come through the same hook (`specforge.builtin`).

What the factory of each kind is called with, and what it returns:

| kind | call | returns |
|---|---|---|
| task | `factory(config)` | `specforge.tasks.task.Task` |
| tokenizer | `factory(config)` | `specforge.tokenizers.tokenizer.Tokenizer` |
| model | `factory(config, context: ModelContext)` | `specforge.models.model.Model`, of the family that its config names |
| criterion | `factory(config, context: ModelContext)` | `specforge.criterions.criterion.Criterion` |
| optimizer | `factory(config, parameters)` with `(name, parameter)` pairs | `torch.optim.Optimizer` |
| lr_scheduler | `factory(config, peak_lr)` | `Schedule`: `Progress` → learning rate |
| search | `factory(config)` | `specforge.searches.search.Search` |
| metric | `factory(config)` | `specforge.metrics.metric.Metric` |
| tracker | `factory(config)` | `specforge.trackers.tracker.Tracker`; called in the process that people see, without torch |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Final, Literal, TypeAlias

import pluggy
from pydantic import BaseModel, ConfigDict, Field, JsonValue

Kind: TypeAlias = Literal[
    "task", "tokenizer", "model", "criterion", "optimizer", "lr_scheduler", "search", "metric", "tracker"
]
KINDS: Final[tuple[Kind, ...]] = (
    "task",
    "tokenizer",
    "model",
    "criterion",
    "optimizer",
    "lr_scheduler",
    "search",
    "metric",
    "tracker",
)

KEYLESS_KINDS: Final[frozenset[Kind]] = frozenset({"tracker"})
"""Kinds of components that change no result and so stand in no key."""

hookspec = pluggy.HookspecMarker("specforge")
hookimpl = pluggy.HookimplMarker("specforge")


@dataclass(frozen=True, slots=True)
class Component:
    """A named part of an experiment: what a spec may write after `use =`.

    Args:
        kind: the table it may stand in.
        name: what the spec writes; the field's standard term.
        config: `"package.config:ClassName"` of its `ComponentConfig`; that module must not import torch.
        factory: `"package.model:build"`; may import torch. Called as the table in this module's docstring says.
        version: raised by its author whenever equal configs give other results; part of the keys.
        summary: one line for lists and help pages.
    """

    kind: Kind
    name: str
    config: str
    factory: str
    version: int = 1
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named set of values for a component (an architecture, when it is a model's).

    Args:
        kind: the kind of the component.
        name: what the spec writes after `use =`.
        of: name of the component that the values are for: one declared beside the preset, else qualified with its
            distribution (`specforge/transformer`).
        values: field → value, weaker than what the spec says, stronger than the config's defaults.
        summary: one line for lists and help pages.
    """

    kind: Kind
    name: str
    of: str
    values: Mapping[str, JsonValue] = field(default_factory=lambda: MappingProxyType({}))
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Migration:
    """What specs say now in place of fields that a component used to have; `specforge migrate` edits them accordingly.

    A spec does not say which version of a component it was written for. That it holds a field which the component no
    longer has is the evidence, so the fields named here are former ones, and a field that comes to mean something else
    must get another name. Values and names are plain: this is data, but for the functions that `edited` names.

    Args:
        kind: the kind of the component.
        name: its name; it is declared beside the migration.
        to_version: the first version of the component without these fields.
        renamed: former field → the field that takes its value as it is.
        removed: former field → the value that said what the component does now in any case; another one cannot be said.
        edited: former field → `"package.module:function"`; called with the former value, it returns the fields that say
            the same now, or raises ValueError where nothing does.
    """

    kind: Kind
    name: str
    to_version: int
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    removed: Mapping[str, JsonValue] = field(default_factory=lambda: MappingProxyType({}))
    edited: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def former(self) -> tuple[str, ...]:
        """All fields that the component no longer has by then."""
        return *self.renamed, *self.removed, *self.edited


class Hooks:
    """The hooks that a plugin may implement."""

    @hookspec
    def specforge_components(self) -> Sequence[Component | Preset]:  # type: ignore[empty-body]
        """Return the components and presets that this plugin offers."""

    @hookspec
    def specforge_migrations(self) -> Sequence[Migration]:  # type: ignore[empty-body]
        """Return what became of the fields that this plugin's components used to have; may be left out."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What a config field means for the identity of a result; see `marked`."""

    identity: bool = True
    continues: bool = False
    has_neutral: bool = False
    neutral: JsonValue = None


_NO_NEUTRAL: Final = object()


def marked(*, identity: bool = True, continues: bool = False, neutral: object = _NO_NEUTRAL) -> Marker:
    """Say how a field counts in keys.

    A field carries it as an annotation: `Annotated[int, marked(identity=False)]`.

    Args:
        identity: False for a field that changes no result (where to run, how often to log).
        continues: True for a field that may grow without starting over (a budget).
        neutral: the value at which the field is left out of the key, so that adding the field to a component that
            already has results invalidates none of them. It must be the field's default.

    Returns:
        A marker for `typing.Annotated`.
    """
    if neutral is _NO_NEUTRAL:
        return Marker(identity=identity, continues=continues)
    value: JsonValue = neutral  # type: ignore[assignment]  # JSON is checked when the key is made
    return Marker(identity=identity, continues=continues, has_neutral=True, neutral=value)


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something about a config that is legal and probably not meant: users are warned of it.

    Args:
        key: name of the field that is odd.
        message: one lower-case sentence without a final stop that can be read alone.
        label: a few words to stand under the value.
        others: further fields that have to do with it → a few words for each.
        help: what to write instead.
        code: what `allow` silences it by; a plugin leaves it alone.
    """

    key: str
    message: str
    label: str = ""
    others: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    help: str | None = None
    code: str = "SF419"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package that a component needs and that may not be installed: an extra. A spec that uses it is told so at once.

    Args:
        module: what is imported, its first name.
        install: what to type where it is missing.
    """

    module: str
    install: str


class ComponentConfig(BaseModel):
    """Base of every component's config: strict, closed, frozen, and free of torch."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    requires: ClassVar[Sequence[Requirement]] = ()
    """Packages that it needs and that may be missing."""

    def oddities(self) -> Sequence[Oddity]:
        """Return what is legal and odd about these values; nothing, unless a component says otherwise."""
        return ()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a task's data.

    Args:
        role: what the column is to the task: `source`, `target`, `text`, `label`.
        name: what it is called in files: the suffix of parallel text (`en`), the column of a table.
        labels: whether a line of it is one label, kept whole: no tokenizer sees it, its vocabulary has no special symbols,
            and a label that the training data do not have is an error.
    """

    role: str
    name: str
    labels: bool = False


class TaskConfig(ComponentConfig):
    """Base of a task's config: what the planner must know about a task without importing torch."""

    defaults: ClassVar[Mapping[Kind, str]] = MappingProxyType({})
    """Component used for a kind whose table the spec leaves out."""

    batch_tokens: ClassVar[int] = 4_096
    """`train.batch_tokens` where the spec gives neither that nor `train.batch_sentences`."""

    unit: ClassVar[str] = "target tokens"
    """What `train.batch_tokens` counts, in words."""

    family: ClassVar[str] = "encoder_decoder"
    """Family of the models that it trains, one of `specforge.models.model.FAMILIES`."""

    predicted: ClassVar[str] = "target"
    """Role of the column that a model predicts."""

    test_steps: ClassVar[tuple[Literal["generate", "score"], ...]] = ("generate", "score")
    """Steps of a test: generate makes a line of output for each line, which metrics score; without it, score measures the
    model itself (`Task.measured`)."""

    searches: ClassVar[bool] = True
    """Whether texts are searched for symbol by symbol; else a model predicts outputs at once (`Task.predict`)."""

    continues: ClassVar[bool] = False
    """Whether its models go on with what they are given: `data.prompts` then has a generate step, and `translate` continues
    lines."""

    keeps_blank_lines: ClassVar[bool] = False
    """Whether an item with an empty side is trained on as well."""

    read_by: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """Field → the kinds of step whose results depend on it; a field that is not named here counts for all that know the
    task."""

    def columns(self) -> tuple[Column, ...]:
        """Return the columns of a line of data, in the order in which files hold them.

        Text files are named by a stem and the name of each column; the only column of a task is a file as it stands.
        """
        raise NotImplementedError

    def longest_items(self) -> Mapping[str, int]:
        """Return how long its items can be, by column role, where the task itself cuts them.

        The model's positions are held against it.
        """
        return {}


@dataclass(frozen=True, slots=True)
class LearnedPieces:
    """What a tokenizer that is still to be trained will cut text into, for estimates.

    Args:
        unit: what its pieces are.
        most: how many different ones it learns, for all columns that it joins together; None where the text decides.
    """

    unit: Literal["subword", "word", "character"] = "word"
    most: int | None = None


class TokenizerConfig(ComponentConfig):
    """Base of a tokenizer's config."""

    trained: ClassVar[bool] = False
    """Whether the tokenizer learns from the training text, and so has a step of its own."""

    def joined(self) -> bool:
        """Return whether all columns share one set of pieces (and so, by default, one vocabulary)."""
        return False

    def learned_pieces(self) -> LearnedPieces:
        """Return what a trained tokenizer will cut text into; only estimates depend on it."""
        return LearnedPieces()


class ModelConfig(ComponentConfig):
    """Base of a model's config: what must be known of a model before its data are read."""

    family: ClassVar[str] = "encoder_decoder"
    """What it is, one of `specforge.models.model.FAMILIES`: a task trains models of its own family."""

    def longest_items(self) -> Mapping[str, int]:
        """Return the longest item that the model can take, end of sentence counted, by column role.

        A role that is not named has no limit. The spec's `preprocess.max_length` is held against it.
        """
        return {}

    def needs_joined_vocabulary(self) -> str | None:
        """Return the field whose value asks for one vocabulary of all columns, or None where each may have its own."""
        return None


class MetricConfig(ComponentConfig):
    """Base of a metric's config, where it is not made for whatever stands on a line."""

    judges: ClassVar[Literal["texts", "labels"] | None] = None
    """What it compares: texts, or labels, each of which is right or wrong as a whole; None for either."""

    needs_sources: ClassVar[bool] = False
    """Whether it looks at what outputs were made of: it is given the sources before it scores (`Metric.with_sources`)."""


class OptimizerConfig(ComponentConfig):
    """Base of an optimizer's config: every optimizer has a learning rate, which the scheduler starts from."""

    elementwise: ClassVar[bool] = False
    """Whether the step of a weight depends on nothing but its own gradients, so that parts of a tensor can be stepped by
    themselves: `run.strategy = "fsdp"` needs that. The state that it keeps of a tensor has the tensor's form, or no dimensions.
    """

    lr: float = Field(gt=0.0, description="peak learning rate; the lr_scheduler says the rate of each update")


class LRSchedulerConfig(ComponentConfig):
    """Base of a learning-rate scheduler's config."""

    @property
    def horizon_free(self) -> bool:
        """Whether the rate of update n is independent of max_updates and max_epochs, so that a run may go on past them."""
        return True


@dataclass(frozen=True, slots=True)
class Validated:
    """What a validation found, for a schedule.

    Args:
        updates: updates done before it.
        value: its figure of `train.best_metric`, negated where higher is better: a smaller value is always the better one.
    """

    updates: int
    value: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training has come, for a schedule.

    Args:
        updates: updates done so far (0 before the first).
        epoch: number of the epoch that the next update belongs to, from 1.
        max_updates: budget in updates, None when only epochs bound the run; only for schedules that are not horizon-free.
        validations: all validations on the grid of `train.validate_every` so far, oldest first. They are kept with the
            state of training, so that a schedule that looks at them needs no memory of its own.
    """

    updates: int
    epoch: int
    max_updates: int | None = None
    validations: tuple[Validated, ...] = ()


Schedule: TypeAlias = Callable[[Progress], float]
"""Learning rate of the next update as a pure function of progress."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """What a model must know of a vocabulary.

    Args:
        size: number of types, special symbols and padding-to-a-multiple included.
        pad: index of the padding symbol.
        bos: index of `<s>`.
        eos: index of `</s>`.
        unk: index of the unknown symbol.
    """

    size: int
    bos: int = 0
    pad: int = 1
    eos: int = 2
    unk: int = 3


@dataclass(frozen=True, slots=True)
class ModelContext:
    """What a model or criterion is built for, beyond its own config.

    Args:
        symbols: the vocabulary of each text column by role (`source`, `target`).
        joined: whether all roles share one vocabulary, so that embeddings may be shared.
        labels: how many labels each column of labels has, by role.
    """

    symbols: Mapping[str, Symbols]
    joined: bool = False
    labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
