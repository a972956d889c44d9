"""Beam search once more, for one sentence, over lists: the rules as prose would have them, and no trick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log

from prefix_model import Attention, Distribution, Prefix

from specforge.searches.beam.config import BeamConfig, PrefixesConfig

PAD, EOS, UNK = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished output."""

    tokens: Prefix
    score: float


def repeats(prefix: Prefix, symbol: int, n: int) -> bool:
    """Return whether a symbol completes a run of n symbols that stands there already."""
    run = (*prefix, symbol)[-n:]
    return n > 0 and len(run) == n and any(prefix[start : start + n] == run for start in range(len(prefix) - n + 1))


def values(
    distribution: Distribution,
    source: Prefix,
    prefix: Prefix,
    config: PrefixesConfig,
    longest: int,
    forced: Prefix = (),
) -> dict[int, float]:
    """Return what may come after a prefix and what each symbol counts."""
    chances = [chance ** (1.0 / config.temperature) for chance in distribution(source, prefix)]
    all_of_them = {symbol: log(chance / sum(chances)) if chance else -inf for symbol, chance in enumerate(chances)}
    all_of_them[UNK] -= config.unkpen
    length = len(prefix)
    if length < len(forced):
        return {forced[length]: all_of_them[forced[length]]}
    if length >= longest:
        return {EOS: all_of_them[EOS]}
    shortest = config.shortest(len(source) + 1)
    return {
        symbol: value
        for symbol, value in all_of_them.items()
        if symbol != PAD
        and not (symbol == EOS and length < shortest)
        and not repeats(prefix, symbol, config.no_repeat_ngram)
    }


def ranked(chances: dict[int, float]) -> list[tuple[int, float]]:
    """Return what is possible, best first."""
    return sorted(((symbol, value) for symbol, value in chances.items() if value > -inf), key=lambda each: -each[1])


def final_score(
    total: float, output: Prefix, source: Prefix, config: PrefixesConfig, attention: Attention | None = None
) -> float:
    """Return what an output is ranked by."""
    length = len(output) + 1
    divisor = ((5 + length) / 6 if config.lenpen_form == "gnmt" else length) ** config.lenpen
    score = total / divisor if config.normalize else total
    if not config.coverage_penalty:
        return score
    assert attention is not None
    looked = [attention(source, output[:step]) for step in range(length)]
    covered = [sum(each[place] for each in looked) for place in range(len(source) + 1)]
    return score + config.coverage_penalty * sum(log(min(each, 1.0)) for each in covered)


def slow_beam(
    distribution: Distribution,
    source: Prefix,
    config: BeamConfig,
    longest: int,
    *,
    forced: Prefix = (),
    attention: Attention | None = None,
) -> list[Ended]:
    """Return what a search finds, best first; with `finish = "best"` it goes on to the greatest length, whatever it finds."""
    prefixes: list[tuple[Prefix, float]] = [((), 0.0)]
    finished: list[Ended] = []
    longest = max(longest, len(forced) - (EOS in forced))
    for _ in range(longest + 1):
        continuations = [
            (prefix, symbol, total + value - rank * config.sibling_penalty)
            for prefix, total in prefixes
            for rank, (symbol, value) in enumerate(
                ranked(values(distribution, source, prefix, config, longest, forced))
            )
        ]
        candidates = sorted(continuations, key=lambda each: -each[2])[: 2 * config.beam]
        for prefix, symbol, total in candidates[: config.beam]:
            if symbol == EOS and (config.finish == "best" or len(finished) < config.beam):
                finished.append(Ended(prefix, final_score(total, prefix, source, config, attention)))
        if config.finish == "beam" and len(finished) == config.beam:
            break
        going_on = [((*prefix, symbol), total) for prefix, symbol, total in candidates if symbol != EOS]
        prefixes = going_on[: config.beam]
    return sorted(finished, key=lambda each: -each.score)[: config.beam]


def chance(distribution: Distribution, source: Prefix, output: Prefix) -> float:
    """Return the probability of an output with its end."""
    prefixes: Sequence[Prefix] = [output[:length] for length in range(len(output) + 1)]
    return exp(
        sum(log(distribution(source, each)[symbol]) for each, symbol in zip(prefixes, (*output, EOS), strict=True))
    )
