"""`[data]` and `[preprocess]`: which text, and what becomes of it before training."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field

from specforge.language.schema.section import Section
from specforge.plugin import marked

NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What may name a run or a test: it becomes the name of a folder."""


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
