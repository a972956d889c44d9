"""The root of a spec, and the forms that people may type.

The fixed tables stand beside it, one module each: fields, types, ranges, defaults and what each counts for.

Tables that name a component (`use`) stay raw here: the component's own config checks them in the second phase. The values
arrive normalised (`specforge.language.normalise`): a corpus is always a table, a list of corpora always a list, tests
always a table of named corpora, a component always a table with `use`.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from specforge.language.component_places import COMPONENT_LISTS, COMPONENT_TABLES
from specforge.language.schema.data import NAME_PATTERN, DataSection, PreprocessSection
from specforge.language.schema.generate import GenerateSection
from specforge.language.schema.run import RunSection
from specforge.language.schema.section import RawTable, Section
from specforge.language.schema.train import TrainSection
from specforge.plugin import marked

LANGUAGE_VERSION: Final = 1


class SweepSection(Section):
    """`[sweep]`: the fields that an experiment varies, as dotted paths; each point is a run of its own."""

    grid: RawTable = Field(default_factory=dict, description="path to a list of values; every combination is a point")
    zip: RawTable = Field(default_factory=dict, description="path to a list of values; the lists advance together")
    case: list[RawTable] = Field(
        default_factory=list, description="tables of path to value, each a point; may have a `name`"
    )


_PART: Final = "a name or a table with `use`"
_CORPUS: Final = "a path or a table with `path`"

SHAPES: Final[dict[tuple[str, ...], str]] = {
    ("name",): "letters, digits, `.`, `_` and `-`, a letter or digit first",
    **dict.fromkeys(COMPONENT_TABLES, _PART),
    ("data", "train"): "a path, a table with `path`, or a list of these",
    ("data", "train", "*"): _CORPUS,
    ("data", "train", "*", "hold_out"): "a share like 0.1 or a table",
    ("data", "valid"): _CORPUS,
    ("data", "prompts"): _CORPUS,
    ("data", "test"): "a path, a table with `path`, or a table of several by name",
    ("data", "test", "*"): _CORPUS,
    **dict.fromkeys(COMPONENT_LISTS, "a name, a table with `use`, or a list of these"),
    **{(*path, "*"): _PART for path in COMPONENT_LISTS},
    ("train", "non_finite"): '"stop", { skip = 10 } or { rollback = 100 }',
    ("generate", "checkpoint"): '"best", "last", "average", "average_best" or an array of these',
    ("preprocess", "vocabulary"): 'a model folder, or a table like { path = "runs/a/best", role = "target" }',
    ("generate", "ensemble"): 'an array of model folders, like ["runs/b/best"]',
    ("generate", "language_model"): 'a table like { path = "runs/lm/best", weight = 0.3 }',
    ("generate", "rerank"): 'a table like { utility = "chrf" } or { path = "runs/b/best", weight = 0.5 }',
    ("train", "validate_every"): 'a count of updates or epochs, like "500 updates" or "2 epochs"',
    ("train", "checkpoint_every"): 'a count of updates or minutes, like "500 updates" or "15 minutes"',
    ("sweep", "case"): "an array of tables: `[[sweep.case]]`",
}
"""Path of each value that has a short form or a pattern → what it may be; `*` is an index or the name of a test."""

ROOT_VALUES: Final = frozenset({"specforge", "name", "allow", "seed"})
"""Keys of the root that are no tables."""

EXAMPLES: Final[dict[tuple[str | int, ...], str]] = {
    ("specforge",): "write `specforge = 1` as the first line",
    ("task",): 'write `task = { use = "translation", source = "en", target = "de" }`',
    ("data",): 'write `data = { train = "train", valid = "valid", test = "test" }`',
    ("data", "train"): 'write `train = "train"` for the files train.en and train.de',
    ("model",): 'write `model = "transformer"`; `specforge components model` lists what there is',
    ("train",): "write `train = { max_updates = 10_000 }`",
}
"""Path of each required key → what to type."""


def _known_version(version: int) -> int:
    # Not a `Literal[1]`: that takes `true` and `1.0` for 1.
    if version != LANGUAGE_VERSION:
        message = "this specforge knows version {known} of the language"
        raise PydanticCustomError("version", message, {"known": LANGUAGE_VERSION})
    return version


WARNINGS: Final = ("SF411", "SF412", "SF413", "SF414", "SF415", "SF416", "SF417", "SF418", "SF419")
"""Codes of what is legal and odd: what `allow` may name."""


def _warning(code: str) -> str:
    if code not in WARNINGS:
        raise PydanticCustomError(
            "warning_code", "expected the code of a warning: {known}", {"known": ", ".join(WARNINGS)}
        )
    return code


class SpecDocument(Section):
    """The root of a spec. Component tables are raw; `extends` and `unset` are gone by now."""

    specforge: Annotated[int, AfterValidator(_known_version)] = Field(
        description="version of the language", json_schema_extra={"const": LANGUAGE_VERSION}
    )
    name: Annotated[str | None, marked(identity=False)] = Field(
        default=None, pattern=f"^{NAME_PATTERN.pattern}$", description="a label for people; default: the file's stem"
    )
    allow: Annotated[list[Annotated[str, AfterValidator(_warning)]], marked(identity=False)] = Field(
        default_factory=list, description="codes of warnings that are not to be shown"
    )
    seed: int = Field(default=1, ge=0, lt=2**63, description="seed of everything random")
    task: RawTable = Field(description="what is learned")
    data: DataSection
    tokenizer: RawTable | None = None
    preprocess: PreprocessSection = PreprocessSection()
    model: RawTable
    criterion: RawTable | None = None
    optimizer: RawTable | None = None
    lr_scheduler: RawTable | None = None
    train: TrainSection
    generate: GenerateSection = GenerateSection()
    run: RunSection = RunSection()
    sweep: SweepSection | None = Field(default=None, description="the fields that the experiment varies")
