"""What `specforge translate` is asked on its command line, as its worker gets it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TranslateOptions(BaseModel):
    """The table `translate` in the settings of a job of that kind.

    Args:
        files: what is read, in order; standard input where there are none.
        input_format: how lines are written there.
        output: file that is written; None for standard output.
        resume: whether the output of an earlier process is taken up.
        format: how translations are written.
        nbest: outputs of each line at most.
        scores: whether format `text` says the score of each output.
        alignment: whether alignments are written.
        replace_unk: whether unknown pieces are replaced; None for what [generate] says.
        too_long: what is done about lines that are too long; None for what [generate] says.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    files: list[str] = Field(default_factory=list)
    input_format: Literal["text", "jsonl"] = "text"
    output: str | None = None
    resume: bool = False
    format: Literal["text", "jsonl", "fairseq"] | None = None
    nbest: int | None = None
    scores: bool = False
    alignment: bool = False
    replace_unk: bool | None = None
    too_long: Literal["error", "keep", "truncate", "split"] | None = None
