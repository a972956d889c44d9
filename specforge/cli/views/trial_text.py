"""What `specforge test` found out, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, assert_never

from specforge.cli.views.output import columns
from specforge.execution.questions.decoding_findings import Decoded, MetricFindings, SearchFindings
from specforge.execution.questions.text_findings import DataFindings, DataSource, RoundTrip, TokenizerFindings
from specforge.execution.questions.training_findings import (
    BatchFigures,
    CriterionFindings,
    ModelFindings,
    ModelPart,
    OptimizerFindings,
    SchedulerFindings,
)
from specforge.execution.questions.trial_results import Findings, Trial
from specforge.foundation.quantities import counted
from specforge.foundation.terminal import printable
from specforge.planning.estimates import Spread

Cells: TypeAlias = tuple[str, ...]

_BEFORE_DIFFERENCE: Final = 30
_TEXT: Final = 160  # characters of a line of text that are shown
_REASONS: Final = {"empty": "an empty side", "too_long": "over max_length", "ratio": "over max_ratio"}


def trial_lines(trial: Trial) -> Iterator[str]:
    """Yield what was found out."""
    found = trial.findings
    rows = [("task" if trial.component == "data" else trial.component, ", ".join(trial.identity))]
    if trial.data is not None:
        rows.append(("data", _source(trial.data)))
    if isinstance(found, ModelFindings | CriterionFindings | OptimizerFindings):
        rows.append(("batch", _batch(found.batch)))
    yield from columns([*rows, *_facts(found)], indent="")
    for block in _blocks(found):
        if block:
            yield ""
            yield from columns(block, indent="")


def _source(data: DataSource) -> str:
    if data.prepared:
        return "the result of preprocess"
    of = "" if data.lines is None else f"of {data.lines:,} "
    whole = "all of the training text" if data.whole else f"a sample: {data.rows:,} {of}training lines; figures are ≈"
    learned = {
        "result": "; cut by the tokenizer's result",
        "sample": "; the tokenizer learned from them",
        "untrained": "",
    }
    return f"{whole}{learned[data.tokenizer]}"


def _batch(batch: BatchFigures) -> str:
    sides = ", ".join(f"{role} {length:,}" for role, length in batch.lengths.items())
    return f"{counted(batch.items, 'item')}, padded to {sides}; {batch.target_tokens:,} {batch.unit}; on {batch.device}"


def _facts(found: Findings) -> list[Cells]:
    """Return a name and a figure each."""
    match found:
        case TokenizerFindings():
            return _tokenizer_facts(found)
        case DataFindings():
            return _data_facts(found)
        case ModelFindings():
            return _model_facts(found)
        case CriterionFindings():
            return _criterion_facts(found)
        case OptimizerFindings():
            return _optimizer_facts(found)
        case SchedulerFindings():
            return _scheduler_facts(found)
        case SearchFindings():
            return _search_facts(found)
        case MetricFindings():
            return [("texts", f"{counted(found.lines, 'reference')} of the validation data")]
        case _:
            assert_never(found)


def _blocks(found: Findings) -> list[list[Cells]]:
    """Return tables and texts that follow, each set apart by an empty line."""
    match found:
        case TokenizerFindings():
            return [_tokenizer_table(found), _cuts(found), *map(_round_trip, found.changed)]
        case DataFindings():
            examples: list[list[Cells]] = [
                [(role, _pieces(pieces)) for role, pieces in one.pieces.items()] for one in found.examples
            ]
            return [_length_table(found), *examples]
        case ModelFindings():
            return [_part_table(found), [("no gradient", printable(name)) for name in found.idle]]
        case SchedulerFindings():
            return [_rate_table(found)]
        case SearchFindings():
            return [_decoded(line) for line in found.lines]
        case MetricFindings():
            return [_score_table(found)]
        case CriterionFindings() | OptimizerFindings():
            return []
        case _:
            assert_never(found)


def _tokenizer_facts(found: TokenizerFindings) -> list[Cells]:
    types = " and ".join(sorted({f"{count:,}" for count in found.types.values()}))
    whose = "as preprocess made it" if found.vocabulary == "preprocess" else "counted in the lines read here"
    return [("vocabulary", f"{types} types, {whose}")]


def _tokenizer_table(found: TokenizerFindings) -> list[Cells]:
    heads = ("", "lines", "pieces/word", "characters/piece", "unknown", "not given back", "longest")
    rows = [
        (
            f"{side.split} {side.role}",
            f"{side.lines:,}",
            _ratio(side.tokens, side.words),
            _ratio(side.characters, side.tokens),
            _percent(side.unknown, side.tokens),
            f"{side.changed:,}",
            f"{side.longest:,} pieces, line {side.longest_line:,}",
        )
        for side in found.sides
    ]
    return [heads, *rows]


def _cuts(found: TokenizerFindings) -> list[Cells]:
    return [(f"{cut.split} {cut.role}", _pieces(cut.pieces)) for cut in found.cuts]


def _round_trip(trip: RoundTrip) -> list[Cells]:
    """Return a line and what it comes back as, from a little before the first difference on."""
    pairs = enumerate(zip(trip.text, trip.back, strict=False))
    same = next((place for place, (one, other) in pairs if one != other), min(len(trip.text), len(trip.back)))
    start = max(0, same - _BEFORE_DIFFERENCE)
    lead = "…" if start else ""
    what = f"{trip.split} {trip.role}, line {trip.line:,}"
    return [(what, lead + _spaces_shown(trip.text[start:])), ("comes back as", lead + _spaces_shown(trip.back[start:]))]


def _spaces_shown(text: str) -> str:
    """Return text in which no two spaces look alike: all but the common one are escaped."""
    shown = (repr(character)[1:-1] if character.isspace() and character != " " else character for character in text)
    return _text("".join(shown))


def _data_facts(found: DataFindings) -> list[Cells]:
    left_out = [f"{count:,} {_REASONS.get(reason, printable(reason))}" for reason, count in found.left_out.items()]
    whole = "an epoch of these data" if found.epoch else "the beginning of an epoch"
    tokens_pace = f"{found.target_tokens_per_second:,.0f} {found.unit}/s"
    items, tokens = _spread(found.items_per_update), _spread(found.target_tokens_per_update)
    lines = found.read - sum(found.left_out.values())
    # Items are lines, unless the task cuts text in another way.
    source = f"of {found.read:,}" if found.kept == lines else f"from {lines:,} lines"
    return [
        ("items", f"{found.kept:,} {source} to train on, {found.valid:,} to validate with"),
        ("left out", "; ".join(left_out) or "none"),
        ("updates", f"{found.updates:,}: {whole}"),
        (
            "an update",
            f"{items} items, {tokens} {found.unit}, {_spread(found.micro_batches_per_update)} micro-batches",
        ),
        ("padding", f"{found.padding:.1%} of the places in batches"),
        ("reading", f"{found.rows_per_second:,.0f} lines/s from the text"),
        ("cutting", f"{found.cut_rows_per_second:,.0f} lines/s in each of the `run.workers` of preprocess"),
        (
            "batching",
            f"{found.batches_per_second:,.0f} batches/s, {found.items_per_second:,.0f} items/s, {tokens_pace}",
        ),
    ]


def _length_table(found: DataFindings) -> list[Cells]:
    roles = list(found.lengths[0].items)
    rows = [
        (f"{bucket.shortest:,}–{bucket.longest:,}", *(_percent(bucket.items[role], found.kept) for role in roles))
        for bucket in found.lengths
    ]
    return [("tokens", *roles), *rows]


def _decoding(found: ModelFindings) -> Iterator[Cells]:
    if found.decoding_difference is not None:
        difference = f"{found.decoding_difference:.1g}"
        yield "decoding", f"step by step as in training: log-probabilities differ by {difference} at most"


def _model_facts(found: ModelFindings) -> list[Cells]:
    medians = f" (medians of {found.repeats})" if found.repeats > 1 else ""
    loss = f"{found.loss:.3f}; {found.nll:.3f} without smoothing; a uniform guess has {found.uniform:.3f}"
    return [
        ("first loss", loss),
        ("forward", f"{found.forward_ms:,.1f} ms"),
        ("backward", f"{found.backward_ms:,.1f} ms{medians}"),
        ("speed", f"{found.target_tokens_per_second:,.0f} {found.batch.unit}/s, without the optimizer"),
        ("memory", f"{_bytes(found.memory)} more at most"),
        *_decoding(found),
        (
            "neighbours",
            f"in a batch change nothing: log-probabilities differ by {found.padding_difference:.1g} at most",
        ),
    ]


def _part_table(found: ModelFindings) -> list[Cells]:
    total = sum(part.parameters for part in found.parts)
    rows = [(part.name, f"{part.parameters:,}", _gradient(part)) for part in found.parts]
    return [("part", "parameters", "gradient norm"), *rows, ("in all", f"{total:,}", "")]


def _gradient(part: ModelPart) -> str:
    frozen = part.parameters - part.trainable
    norm = [] if part.gradient is None else [f"{part.gradient:.3g}"]
    return "; ".join([*norm, *([f"{frozen:,} frozen"] if frozen else [])])


def _criterion_facts(found: CriterionFindings) -> list[Cells]:
    return [
        ("value", f"{found.loss:.3f} for each of {found.count:,} targets"),
        ("likelihood", f"{found.nll:.3f}; a uniform guess has {found.uniform:.3f}"),
        ("gradient", f"norm {found.gradient:.3g}"),
        ("halves", f"of the batch add up to the whole, within {found.halves_difference:.1g} of it"),
    ]


def _optimizer_facts(found: OptimizerFindings) -> list[Cells]:
    return [
        ("rate", f"{found.lr:g} throughout, without the schedule"),
        ("loss", " ".join(f"{loss:.3f}" for loss in found.losses)),
        ("first update", f"changes {found.moved:.1%} of the weights, by {found.change:.2g} of their norm"),
        ("state", f"{_bytes(found.state)}"),
        ("step", f"{found.update_ms:,.1f} ms"),
    ]


def _scheduler_facts(found: SchedulerFindings) -> list[Cells]:
    facts: list[Cells] = [("budget", counted(found.updates, "update"))]
    if found.plateau is not None:
        row = counted(found.plateau.validations, "validation")
        facts += [
            (
                "plateau",
                f"{row} in a row without a better `train.best_metric`: the rate is multiplied by {found.plateau.factor:g}",
            ),
            ("below", "the rates where every validation is better than the one before"),
        ]
    return facts


def _rate_table(found: SchedulerFindings) -> list[Cells]:
    epochs = all(point.epoch is not None for point in found.points)
    heads = ("update", *(("epoch",) if epochs else ()), "rate", "of optimizer.lr", "")
    rows = [
        (
            f"{point.update:,}",
            *((f"{point.epoch:,}",) if epochs else ()),
            f"{point.rate:.3g}",
            f"{point.rate / found.peak:.1%}",
            point.what,
        )
        for point in found.points
    ]
    return [heads, *rows]


def _search_facts(found: SearchFindings) -> list[Cells]:
    trained = found.weights == "trained"
    pace = f"{found.sentences_per_second:,.1f} sentences/s, {_ratio(found.pieces, len(found.lines))} pieces each"
    return [
        ("weights", "the run's checkpoint" if trained else "the first ones, untrained: what comes out means nothing"),
        ("speed", pace),
    ]


def _decoded(line: Decoded) -> list[Cells]:
    return [
        ("source", _text(line.source)),
        ("output", _text(line.hypothesis)),
        ("reference", _text(line.reference)),
        ("score", f"{line.score:.3f}"),
    ]


def _score_table(found: MetricFindings) -> list[Cells]:
    texts = all(score.halved is not None for score in found.scores)
    heads = (
        "against",
        "themselves",
        *(("half of their words",) if texts else ()),
        "each other",
        "better is",
        "signature",
    )
    rows = [
        (
            printable(score.name),
            f"{score.itself:.2f}",
            *(() if score.halved is None else (f"{score.halved:.2f}",)),
            f"{score.shuffled:.2f}",
            "higher" if score.higher_is_better else "lower",
            printable(score.signature),
        )
        for score in found.scores
    ]
    return [heads, *rows]


def _spread(spread: Spread) -> str:
    return f"{spread.mean:,.1f} (at most {spread.most:,})"


def _pieces(pieces: Sequence[str]) -> str:
    return _text(" ".join(pieces))


def _text(text: str) -> str:
    return printable(text, longest=_TEXT)


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "none"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "none"


def _bytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
