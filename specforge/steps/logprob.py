"""Log-probabilities of given targets, line by line to standard output; no step of a plan, and no result.

Text: sum, mean per token and mean per word of a line between tabs, in nats. JSONL: an object with the score of every piece.
The end of a line counts as a token and as a word, as in the perplexity of a test. The record `logprob` sums it all up.
"""

from __future__ import annotations

import json

from specforge.execution.job import Job
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Reporter
from specforge.steps.line_scores import LineScores, Request, ScoredLine, Total
from specforge.steps.streams import standard_output


def run(job: Job, reporter: Reporter) -> None:
    """Score the lines of a request.

    Raises:
        WrongInputError: SF504, no lines; others as `LineScores`.
        RefusedError, CorruptStateError, EnvironmentFaultError: as `LineScores`.
    """
    request = Request.model_validate(job.settings["logprob"])
    with standard_output() as write:
        lines, total = LineScores(job, request, reporter), Total()
        for scored in lines:
            total.add(scored)
            if not request.silent:
                show = _as_json if request.jsonl else _as_text
                write("".join(f"{show(each)}\n" for each in scored).encode())
        if not total.lines:
            raise WrongInputError("SF504", "there are no lines to score", place=Place("<stdin>"))
        reporter.record("logprob", json=json.dumps(total.summary()))


def _as_text(line: ScoredLine) -> str:
    return f"{line.total:.6f}\t{line.per_token:.6f}\t{line.per_word:.6f}"


def _as_json(line: ScoredLine) -> str:
    found = {
        "logprob": line.total,
        "per_token": line.per_token,
        "per_word": line.per_word,
        "words": line.words,
        "pieces": [*line.pieces],
        "token_scores": line.scores.tolist(),
    }
    return json.dumps(found, ensure_ascii=False)
