"""`[generate]`: how the test sets are decoded and scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from specforge.language.schema.section import RawTable, Section
from specforge.plugin import marked

Checkpoint: TypeAlias = Literal["best", "last", "average", "average_best"]
"""Weights that train publishes."""


class LanguageModelSection(Section):
    """A language model that has a say in what is generated."""

    path: Annotated[str, marked(identity=False)] = Field(
        min_length=1,
        description="its model folder; what is in it is part of the result's identity, and not where it is",
    )
    weight: float = Field(
        ge=0.0,
        le=1e6,
        allow_inf_nan=False,
        description="what its log-probabilities count, beside 1 for those of the model",
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
        le=1e6,
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


FEWEST_RESAMPLES: Final = 40
"""With fewer, the outermost fortieths that an interval leaves out would be nothing."""


def _some_resamples(number: int) -> int:
    if 0 < number < FEWEST_RESAMPLES:
        raise PydanticCustomError(
            "resamples", "no interval comes of fewer than {least} resamples", {"least": FEWEST_RESAMPLES}
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
        json_schema_extra={
            "anyOf": [{"const": 0}, {"type": "integer", "minimum": FEWEST_RESAMPLES, "maximum": 1_000_000}]
        },
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
