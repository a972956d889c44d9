"""What the language hands to planning: a checked spec, every value typed, every value with its history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import JsonValue

from specforge.foundation.errors import Place
from specforge.language.messages.diagnostics import Diagnostic
from specforge.language.schema.data import DataSection, PreprocessSection
from specforge.language.schema.generate import GenerateSection
from specforge.language.schema.run import RunSection
from specforge.language.schema.train import TrainSection
from specforge.plugin import Component, ComponentConfig, TaskConfig, TokenizerConfig

ValuePath: TypeAlias = tuple[str | int, ...]
"""Path of a value in the normalised tree: `("model", "dropout")`, `("generate", "metrics", 0, "use")`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was set.

    Args:
        layer: what kind of place set it, weakest first: default, preset, spec (an extended file or the spec itself), set.
        value: what it was set to there.
        place: file, line and column of the value; None for a default or a preset.
        source: for a default or a preset who says so (`specforge/transformer@1`, `preset transformer_iwslt_de_en`), for
            `--set` the argument as typed, else the file as typed.
        base: folder that a relative path written there starts from; None for defaults and presets.
    """

    layer: Literal["default", "preset", "spec", "set"]
    value: JsonValue
    place: Place | None
    source: str
    base: Path | None = None


Origins: TypeAlias = Mapping[ValuePath, tuple[Origin, ...]]
"""Every leaf of the resolved tree → its history, weakest first; the last one is in force."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A component and the distribution that offers it."""

    distribution: str
    distribution_version: str
    component: Component

    @property
    def qualified(self) -> str:
        """The unambiguous name, as `use` may write it: `specforge/transformer`."""
        return f"{self.distribution}/{self.component.name}"

    @property
    def identity(self) -> str:
        """The name with its declared version, as keys hold it: `specforge/transformer@1`."""
        return f"{self.qualified}@{self.component.version}"


@dataclass(frozen=True, slots=True)
class Part:
    """A component table of a spec, resolved.

    Args:
        registered: the component.
        config: its checked config, presets and defaults filled in.
        preset: name of the preset it was asked for by, if any.
    """

    registered: Registered
    config: ComponentConfig
    preset: str | None = None

    def values(self) -> dict[str, JsonValue]:
        """Return the config as JSON values, `use` excluded."""
        return self.config.model_dump(mode="json")


REFERENCE: Final = "reference-"
"""What the roles of a test's references begin with; a number follows, from 0."""


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """A corpus with its files found.

    Args:
        format: text, tsv or jsonl.
        files: column name → file for text; `{"": file}` for a table. Absolute paths.
        header, columns, weight: as in `schema.Corpus`; columns filled in.
        hold_out: valid and test share and the distinct column, or None.
        place: where the spec names it, for diagnostics.
        references: columns that outputs are scored against, where those are not the task's.
    """

    format: Literal["text", "tsv", "jsonl"]
    files: Mapping[str, Path]
    header: bool
    columns: tuple[str, ...]
    weight: float
    hold_out: Mapping[str, JsonValue] | None
    place: Place | None
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Swept:
    """A field that a sweep varies.

    Args:
        path: the field.
        values: what it takes, in order.
        place: where the list of values stands (of a case: its value there).
    """

    path: ValuePath
    values: tuple[JsonValue, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a sweep.

    Args:
        number: from 1, in the order in which points run.
        name: what the run of this point is called.
        values: the value of each field that the sweep varies.
    """

    number: int
    name: str
    values: Mapping[ValuePath, JsonValue]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as a spec declares it.

    Args:
        fields: what it varies, in the order in which they are written.
        points: all points.
        table: what it says: `grid` and `zip` with dotted path → values, `case` with dotted path → value and its `name`;
            data paths absolute.
    """

    fields: tuple[Swept, ...]
    points: tuple[Point, ...]
    table: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Spec:
    """A valid spec.

    Args:
        path: the file as typed; the identity of the spec as a file is `path.resolve()`.
        name: the label (`name`, else the file's stem).
        parts: component table path → part: `("model",)`, `("generate", "search")`, `("generate", "metrics", 0)`,
            `("train", "valid_search")` (only where validation decodes). All kinds are filled in, defaults included.
        data: the section as written (normalised).
        train_corpora, valid_corpus, test_corpora: files found. `valid_corpus` None means train's hold_out; a test that
            comes from hold_out is in `held_out_test`.
        prompt_corpus: beginnings of texts that the model is to continue; None where there are none.
        tree: the resolved tree as JSON (what `show` prints), defaults of fixed sections and components filled in.
        origins: history of every leaf in `tree`.
        warnings: what is legal and odd, without what the spec allows by `allow`.
        sweep: the sweep that the spec declares; None where it has none, and in a spec that is a point of one.
        point: the point of a sweep that this spec is.
    """

    path: Path
    name: str
    seed: int
    parts: Mapping[ValuePath, Part]
    data: DataSection
    preprocess: PreprocessSection
    train: TrainSection
    generate: GenerateSection
    run: RunSection
    train_corpora: tuple[CorpusFiles, ...]
    valid_corpus: CorpusFiles | None
    test_corpora: Mapping[str, CorpusFiles]
    held_out_test: bool
    tree: Mapping[str, JsonValue]
    origins: Origins
    warnings: tuple[Diagnostic, ...] = ()
    prompt_corpus: CorpusFiles | None = None
    sweep: Sweep | None = None
    point: Point | None = None

    @property
    def task(self) -> TaskConfig:
        """The task's config."""
        config = self.parts["task",].config
        assert isinstance(config, TaskConfig)
        return config

    @property
    def learns_tokenizer(self) -> bool:
        """Whether the tokenizer has a step of its own."""
        return self.tokenizer.trained and self.preprocess.vocabulary is None

    @property
    def tokenizer(self) -> TokenizerConfig:
        """The tokenizer's config."""
        config = self.parts["tokenizer",].config
        assert isinstance(config, TokenizerConfig)
        return config
