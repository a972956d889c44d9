"""The fixed tables of a spec: fields, types, ranges, defaults and what each counts for.

Tables that name a component (`use`) stay raw here: the component's own config checks them in the second phase. The values
arrive normalised (`specforge.language.normalise`): a corpus is always a table, a list of corpora always a list, tests
always a table of named corpora, a component always a table with `use`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag, model_validator
from pydantic_core import PydanticCustomError

from specforge.language.component_places import COMPONENT_LISTS, COMPONENT_TABLES
from specforge.plugin import marked

LANGUAGE_VERSION: Final = 1

RawTable: TypeAlias = dict[str, JsonValue]


NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What may name a run or a test: it becomes the name of a folder."""


class Section(BaseModel):
    """Base of the fixed tables: strict, closed and frozen, as component configs are."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


_COUNT: Final = r"[1-9](?:_?[0-9]){0,17}"
_INTERVAL: Final = re.compile(rf"\s*({_COUNT})\s*([a-z]+?)s?\s*")


def _interval(units: tuple[str, ...]) -> AfterValidator:
    def canonical(text: str) -> str:
        found = _INTERVAL.fullmatch(text)
        if found is None or found[2] not in units:
            raise PydanticCustomError(
                "interval",
                "expected a count of {units}, like {example}",
                {
                    "units": " or ".join(f"{unit}s" for unit in units),
                    "example": " or ".join(
                        f'"{number} {unit}s"' for number, unit in zip((500, 2), units, strict=False)
                    ),
                },
            )
        count = int(found[1])
        return f"{count} {found[2]}" if count == 1 else f"{count} {found[2]}s"

    return AfterValidator(canonical)


def interval_pattern(*units: str) -> str:
    """Return the regular expression of an interval in some units, as JSON Schema has them."""
    return rf"^\s*{_COUNT}\s*(?:{'|'.join(units)})s?\s*$"


def interval_parts(text: str) -> tuple[int, str]:
    """Split a checked interval into its count and its unit in the singular: `"2500 updates"` → `(2500, "update")`."""
    count, unit = text.split()
    return int(count), unit.removesuffix("s")


class HoldOut(Section):
    """Rows of the training data set aside, chosen by (seed, row), or by (seed, text) with `distinct`."""

    valid: float | None = Field(default=None, gt=0.0, lt=1.0, description="share of the rows for validation")
    test: float | None = Field(default=None, gt=0.0, lt=1.0, description="share of the rows for a test named `test`")
    distinct: str | None = Field(
        default=None, description="a column; rows that are equal there stay on one side of the split"
    )


class Corpus(Section):
    """One source of data: parallel text files by stem, or one table."""

    path: str = Field(
        min_length=1, description="a stem (`train` for train.en and train.de) or a file; .gz .zst .xz .bz2 too"
    )
    format: Literal["text", "tsv", "jsonl"] = Field(default="text", description="text: one file a column, by stem")
    header: bool = Field(default=False, description="tsv: whether the first line names the columns")
    columns: list[str] | None = Field(
        default=None, description="tsv without header: the name of each column, in order; default: the task's columns"
    )
    weight: float = Field(
        default=1.0, gt=0.0, description="how often an epoch passes over this corpus; fractions by chance"
    )
    hold_out: HoldOut | None = Field(
        default=None, description="rows set aside for valid and test (a number: for valid)"
    )
    references: list[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None,
        min_length=1,
        description="tests: columns that outputs are scored against, alternatives of each other; default: the task's",
    )


class DataSection(Section):
    """`[data]`: what is trained on, validated on and tested on."""

    root: str | None = Field(default=None, description="folder that all data paths start from")
    train: list[Corpus] = Field(min_length=1, description="training data: a path, a table, or a list of these")
    valid: Corpus | None = Field(default=None, description="validation data, unless train has a hold_out")
    test: dict[str, Corpus] = Field(default_factory=dict, description="test data: one, or several by name")
    prompts: Corpus | None = Field(
        default=None, description="beginnings of texts, a line each, which a language model continues"
    )


class VocabularySection(Section):
    """Tokenizer and vocabulary that another training has learned."""

    path: Annotated[str, marked(identity=False)] = Field(
        min_length=1,
        description="a model folder; what is in it is part of the result's identity, and not where it is",
    )
    role: str | None = Field(
        default=None,
        description="which vocabulary of it all texts have, like target; default: each column that of its own role",
    )


class PreprocessSection(Section):
    """`[preprocess]`: from text to vocabulary and indexed binary corpus."""

    vocabulary: Annotated[VocabularySection | None, marked(neutral=None)] = Field(
        default=None,
        description='take tokenizer and vocabulary from a model folder, such as { path = "runs/a/best", role = "target" }; '
        "default: learn them",
    )
    max_length: int | None = Field(
        default=None, ge=1, description="longest training item in tokens, either side, end included"
    )
    max_ratio: float | None = Field(default=None, ge=1.0, description="largest ratio of the lengths of the two sides")
    joined_dictionary: bool | None = Field(
        default=None, description="one vocabulary for both sides; default: where the tokenizer is shared"
    )
    threshold_source: int = Field(
        default=0, ge=0, description="types seen less often become unknown (joined: for both)"
    )
    threshold_target: int = Field(default=0, ge=0, description="types seen less often become unknown")
    nwords_source: int | None = Field(
        default=None, ge=5, description="size limit, special symbols counted (joined: for both)"
    )
    nwords_target: int | None = Field(default=None, ge=5, description="size limit, special symbols counted")
    padding_factor: int = Field(default=8, ge=1, description="vocabulary sizes are filled up to a multiple of this")


TEXT_FREE_METRICS: Final = ("loss", "ppl")
"""Values of `train.best_metric` that need no decoding; every other is a metric by name, with its default options."""

DEFAULT_VALID_SEARCH: Final = "greedy"
"""How validation decodes where `train.best_metric` needs text and the spec names no search."""


class NonFinite(Section):
    """What training does about an update whose loss or gradient is not finite, other than to stop."""

    skip: int | None = Field(default=None, ge=1, description="leave out up to this many such updates in all")
    rollback: int | None = Field(
        default=None, ge=1, description="go back at least this many updates, to a checkpoint kept for that"
    )
    leave_out: int | None = Field(
        default=None, ge=1, description="updates of the plan to leave out after going back; default: 2 x rollback"
    )
    at_most: int | None = Field(default=None, ge=1, description="how often to go back; default: 3")

    @model_validator(mode="after")
    def _one_of_two(self) -> NonFinite:
        if self.skip is not None and self.rollback is not None:
            raise PydanticCustomError(
                "exclusive",
                "`skip` and `rollback` exclude each other",
                {"labels": {"skip": "this leaves single updates out", "rollback": "this goes back"}},
            )
        if self.rollback is None:
            for name in ("leave_out", "at_most"):
                if getattr(self, name) is not None:
                    raise PydanticCustomError(
                        "exclusive",
                        "`{name}` says how to go back, and nothing says that training may",
                        {"name": name, "labels": {name: "`rollback` is missing"}},
                    )
        return self


def _stop_is_none(policy: NonFinite | None) -> NonFinite | None:
    # `"stop"` arrives as a table of nothing
    return None if policy == NonFinite() else policy


class TrainSection(Section):
    """`[train]`: the trajectory and its budget."""

    max_updates: Annotated[int | None, marked(continues=True)] = Field(
        default=None, ge=1, description="budget in updates"
    )
    max_epochs: Annotated[int | None, marked(continues=True)] = Field(
        default=None, ge=1, description="budget in epochs"
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=1,
        description="tokens per update, over all devices: of the target, or of the only text; the task has a default",
    )
    batch_sentences: int | None = Field(default=None, ge=1, description="items per update, instead of batch_tokens")
    clip_norm: float = Field(default=0.0, ge=0.0, description="largest gradient norm; 0 leaves gradients alone")
    non_finite: Annotated[NonFinite | None, AfterValidator(_stop_is_none), marked(neutral=None)] = Field(
        default=None,
        description='what to do about a loss or gradient that is not finite: "stop" (the default), { skip = 10 } or '
        "{ rollback = 100 }",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="type of the matrix products; weights stay fp32; fp16 needs CUDA"
    )
    deterministic: Annotated[bool, marked(neutral=False)] = Field(
        default=False, description="equal bits in every run on the same hardware, at some cost, on CUDA too"
    )
    validate_every: Annotated[str, _interval(("update", "epoch"))] = Field(
        default="1 epoch", description='"500 updates" or "2 epochs"'
    )
    valid_search: RawTable | None = Field(
        default=None,
        description="how validation decodes; default: greedy where best_metric needs text, else not at all",
    )
    best_metric: str = Field(
        default="loss",
        description="loss, ppl, or a metric of what is predicted for the validation data, like bleu or accuracy",
    )
    patience: Annotated[int | None, marked(continues=True)] = Field(
        default=None, ge=1, description="stop after this many validations without a new best"
    )
    average_last: int = Field(
        default=5, ge=1, description="how many of the last validated checkpoints `average` is made of"
    )
    average_best: Annotated[int | None, marked(neutral=None)] = Field(
        default=None,
        ge=1,
        description="how many of the best validated checkpoints `average_best` is made of; default: there is none",
    )
    ema_decay: Annotated[float | None, marked(neutral=None)] = Field(
        default=None,
        gt=0.0,
        lt=1.0,
        description="validate and publish a moving average of the weights with this decay, such as 0.999; default: none",
    )
    stop_min_lr: float | None = Field(
        default=None, gt=0.0, description="stop when the learning rate falls below, after warm-up"
    )
    checkpoint_every: Annotated[str, _interval(("update", "minute")), marked(identity=False)] = Field(
        default="15 minutes", description="for resuming only"
    )
    keep_last: Annotated[int, marked(identity=False)] = Field(
        default=2, ge=2, description="how many of the last checkpoints stay on disk"
    )
    keep_best: Annotated[int, marked(identity=False)] = Field(
        default=1, ge=1, description="weights of how many of the best validations stay on disk"
    )

    @model_validator(mode="after")
    def _one_batch_and_a_budget(self) -> TrainSection:
        if self.batch_tokens is not None and self.batch_sentences is not None:
            raise PydanticCustomError(
                "exclusive",
                "`batch_tokens` and `batch_sentences` exclude each other",
                {"labels": {"batch_tokens": "this counts tokens", "batch_sentences": "this counts sentences"}},
            )
        if self.max_updates is None and self.max_epochs is None:
            raise PydanticCustomError(
                "missing_one_of",
                "training has no end: `max_updates` or `max_epochs` is required",
                {
                    "labels": {},
                    "fields": ["max_updates", "max_epochs"],
                    "help": "write `max_updates = 10_000` or `max_epochs = 20`",
                },
            )
        return self


Checkpoint: TypeAlias = Literal["best", "last", "average", "average_best"]
"""Weights that train publishes."""


class LanguageModelSection(Section):
    """A language model that has a say in what is generated."""

    path: Annotated[str, marked(identity=False)] = Field(
        min_length=1,
        description="its model folder; what is in it is part of the result's identity, and not where it is",
    )
    weight: float = Field(
        ge=0.0, allow_inf_nan=False, description="what its log-probabilities count, beside 1 for those of the model"
    )


class RerankSection(Section):
    """What puts the outputs of a search into another order: a second model, or what they have in common."""

    path: Annotated[str | None, marked(identity=False)] = Field(
        default=None,
        min_length=1,
        description="model folder of a second model; what is in it is part of the result's identity, and not where it is",
    )
    direction: Literal["forward", "reverse"] = Field(
        default="forward", description="forward: it scores outputs; reverse: it translates back, and scores sources"
    )
    weight: float = Field(
        default=1.0,
        ge=0.0,
        allow_inf_nan=False,
        description="what its mean log-probability per token counts, beside the score of the search",
    )
    utility: Literal["chrf", "bleu", "ter"] | None = Field(
        default=None,
        description="minimum Bayes risk: the output wins that scores best against all outputs by this metric",
    )
    weigh_by: Literal["count", "probability"] = Field(
        default="count",
        description="minimum Bayes risk: each output counts once (samples), or by its probability (the best of a beam)",
    )

    @model_validator(mode="after")
    def _one_way(self) -> RerankSection:
        if (self.path is None) == (self.utility is None):
            both = self.path is not None
            raise PydanticCustomError(
                "exclusive" if both else "missing_one_of",
                "`path` and `utility` exclude each other"
                if both
                else "nothing says how to rerank: `path` or `utility`",
                {
                    "labels": {"path": "this asks a second model", "utility": "this asks none"} if both else {},
                    "fields": ["path", "utility"],
                    "help": 'write `rerank = { utility = "chrf" }`, or the `path` of a model folder',
                },
            )
        idle = ("direction", "weight") if self.path is None else ("weigh_by",)
        for name in idle:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise PydanticCustomError(
                    "exclusive",
                    "`{name}` does nothing here",
                    {"name": name, "labels": {name: f"goes with `{'path' if self.path is None else 'utility'}`"}},
                )
        return self


def _one_is_itself(checkpoints: Checkpoint | list[Checkpoint]) -> Checkpoint | list[Checkpoint]:
    if isinstance(checkpoints, str):
        return checkpoints
    twice = next((name for name in checkpoints if checkpoints.count(name) > 1), None)
    if twice is not None:
        raise PydanticCustomError("twice", "`{name}` stands there twice", {"name": twice})
    return checkpoints if len(checkpoints) > 1 else checkpoints[0]


_FEWEST_RESAMPLES: Final = 40
"""With fewer, the outermost fortieths that an interval leaves out would be nothing."""


def _some_resamples(number: int) -> int:
    if 0 < number < _FEWEST_RESAMPLES:
        raise PydanticCustomError(
            "resamples", "no interval comes of fewer than {least} resamples", {"least": _FEWEST_RESAMPLES}
        )
    return number


class GenerateSection(Section):
    """`[generate]`: how the test sets are decoded and scored."""

    checkpoint: Annotated[
        Annotated[Checkpoint, Tag("one")] | Annotated[list[Checkpoint], Field(min_length=1), Tag("several")],
        Discriminator(lambda value: "several" if isinstance(value, list) else "one"),  # or both would complain
        AfterValidator(_one_is_itself),
    ] = Field(
        default="best",
        description="which weights of train, or several that answer together; average_best: where `train.average_best` is given",
    )
    ensemble: Annotated[list[Annotated[str, Field(min_length=1)]], marked(identity=False)] = Field(
        default_factory=list,
        description="model folders that answer together with the checkpoint; what is in them is part of the result's identity",
    )
    language_model: Annotated[LanguageModelSection | None, marked(neutral=None)] = Field(
        default=None, description='shallow fusion, such as { path = "runs/lm/best", weight = 0.3 }; default: none'
    )
    rerank: Annotated[RerankSection | None, marked(neutral=None)] = Field(
        default=None,
        description='what orders the outputs of a search anew, such as { utility = "chrf" } or { path = "runs/b/best" }; '
        "default: nothing",
    )
    precision: Annotated[Literal["fp32", "bf16", "int8"], marked(neutral="fp32")] = Field(
        default="fp32", description="of weights while decoding; int8, on a CPU: of weights and of what they multiply"
    )
    batch_tokens: Annotated[int, marked(identity=False)] = Field(
        default=8_192, ge=1, description="tokens decoded or measured at once, of the source or the only text"
    )
    engine: Annotated[Literal["native", "ctranslate2"], marked(neutral="native")] = Field(
        default="native", description="what decodes: specforge itself, or CTranslate2 with the model in its format"
    )
    search: RawTable | None = Field(default=None, description="the search; default: the task's (beam)")
    metrics: list[RawTable] | None = Field(
        default=None, min_length=1, description="the scores; default: the task's (bleu, accuracy)"
    )
    bootstrap: Annotated[int, AfterValidator(_some_resamples), marked(neutral=0)] = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="resamples for the confidence interval of each score, such as 1_000; 0: no intervals",
    )
    too_long: Annotated[Literal["error", "keep", "truncate", "split"], marked(neutral="error")] = Field(
        default="error",
        description="a line with more tokens than the model has positions is an error, passes as it is, is cut at the "
        "model's end, or is split into parts",
    )
    replace_unk: Annotated[bool, marked(neutral=False)] = Field(
        default=False, description="an unknown piece of an output becomes the source piece that it looks at most"
    )
    nbest: Annotated[int, marked(neutral=1)] = Field(
        default=1, ge=1, le=1_000, description="outputs of each line that are written beside hypotheses.txt, at most"
    )
    format: Annotated[Literal["text", "jsonl", "fairseq"], marked(neutral="text")] = Field(
        default="text",
        description="how outputs are written beside hypotheses.txt: text between tabs, JSON, or fairseq's S-, T-, H-, D-, P- lines",
    )
    alignment: Annotated[bool, marked(neutral=False)] = Field(
        default=False, description="write beside hypotheses.txt what each output looks at: pairs of source and target"
    )

    @property
    def checkpoints(self) -> Sequence[Checkpoint]:
        """The weights of train that answer together; most often one."""
        return (self.checkpoint,) if isinstance(self.checkpoint, str) else self.checkpoint


class Profile(Section):
    """Which updates of a training are profiled; their trace is beside the logs of the run."""

    after: int = Field(default=10, ge=0, description="updates before the first one, from where this run starts")
    updates: int = Field(ge=1, le=1_000, description="how many updates are profiled")


class RunSection(Section):
    """`[run]`: where and how; nothing here is part of a result's identity."""

    identity: ClassVar[bool] = False

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: cuda where there is one")
    devices: int = Field(default=1, ge=1, le=1024, description="processes that train together, one device each")
    strategy: Literal["ddp", "fsdp"] = Field(
        default="ddp",
        description="ddp: each device holds the whole model; fsdp: each holds a part of every weight, its gradient and what "
        "the optimizer keeps",
    )
    max_tokens: int = Field(
        default=4_096, ge=1, description="items x longest side per micro-batch; accumulation follows from it"
    )
    compile: bool = Field(default=False, description="train with compiled layers (torch.compile): quicker on a GPU")
    activation_checkpointing: bool = Field(
        default=False,
        description="layers keep only their inputs and compute once more in the backward pass: less memory, more time",
    )
    workers: int = Field(default=2, ge=1, le=256, description="processes that cut text into pieces in preprocess")
    log_every: int = Field(default=50, ge=1, description="updates between two lines of the training log")
    max_restarts: int = Field(
        default=3, ge=0, le=1_000, description="how often a training that lost a process goes on by itself"
    )
    hang_timeout: int = Field(
        default=300, ge=1, description="seconds that a training may stand still before its processes are ended"
    )
    profile: Profile | None = Field(
        default=None, description="updates to profile, such as { updates = 5 }: a trace for browsers; default: none"
    )
    trackers: list[RawTable] = Field(
        default_factory=list, description="what is told the figures of a training while it runs, like tensorboard"
    )


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
