"""Which phrases an output holds so far, and how far it has come into others: an automaton that reads symbol by symbol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Phrase: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _State:
    """What matters of the symbols read.

    Args:
        held: numbers of the phrases that stand there.
        begun: the longest end of what was read that a phrase which is looked for begins with.
    """

    held: frozenset[int]
    begun: Phrase


@dataclass(frozen=True, slots=True)
class Standing:
    """What a search asks of a state.

    Args:
        met: symbols of phrases that count as said: of those held, and of the one begun.
        kept: those that still count if the next symbol leads nowhere.
        wanted: symbol → the state that it leads to, for all that go on with a phrase.
        otherwise: the state that any other symbol leads to.
    """

    met: int
    kept: int
    wanted: dict[int, int]
    otherwise: int


class Phrases:
    """The automaton of one sentence (Aho and Corasick 1975, with a note of the phrases held).

    An output is accepted exactly if every phrase is a run of its symbols; runs may overlap unless the order counts.

    Args:
        phrases: none empty.
        ordered: whether each begins after the end of the one before it.
    """

    def __init__(self, phrases: Sequence[Phrase], *, ordered: bool) -> None:
        self._phrases = tuple(phrases) if ordered else _without_parts(phrases)
        self._ordered = ordered
        self.total = sum(len(phrase) for phrase in self._phrases)
        self._numbers: dict[_State, int] = {}
        self._states: list[_State] = []
        self._standings: dict[int, Standing] = {}
        self.start = self._number(_State(frozenset(), ()))

    def standing(self, number: int) -> Standing:
        """Return where a state stands."""
        found = self._standings.get(number)
        if found is None:
            found = self._standings[number] = self._standing(self._states[number])
        return found

    def after(self, number: int, symbol: int) -> int:
        """Return the state that a symbol leads to."""
        standing = self.standing(number)
        return standing.wanted.get(symbol, standing.otherwise)

    def missing(self, number: int) -> int:
        """Return how many symbols suffice to say what is missing; 0 where nothing is."""
        return self.total - self.standing(number).met

    def _standing(self, state: _State) -> Standing:
        kept = sum(len(self._phrases[number]) for number in state.held)
        wanted = {
            phrase[length]
            for phrase in self._open(state.held)
            for length in range(len(phrase))
            if length <= len(state.begun) and state.begun[len(state.begun) - length :] == phrase[:length]
        }
        return Standing(
            met=kept + len(state.begun),
            kept=kept,
            wanted={symbol: self._number(self._read(state, symbol)) for symbol in sorted(wanted)},
            otherwise=self._number(_State(state.held, ())),
        )

    def _read(self, state: _State, symbol: int) -> _State:
        text = (*state.begun, symbol)
        numbers = self._open_numbers(state.held)
        said = {number for number in numbers if text[-len(self._phrases[number]) :] == self._phrases[number]}
        held = state.held | said
        if said and self._ordered:
            return _State(held, ())
        longest = max(
            (
                length
                for phrase in self._open(held)
                for length in range(len(phrase))
                if _ends_with(text, phrase[:length])
            ),
            default=0,
        )
        return _State(held, text[len(text) - longest :])

    def _open(self, held: frozenset[int]) -> list[Phrase]:
        return [self._phrases[number] for number in self._open_numbers(held)]

    def _open_numbers(self, held: frozenset[int]) -> list[int]:
        """Return the phrases that are looked for."""
        open_now = [number for number in range(len(self._phrases)) if number not in held]
        return open_now[:1] if self._ordered else open_now

    def _number(self, state: _State) -> int:
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
        return number


def _ends_with(text: Phrase, end: Phrase) -> bool:
    return len(end) <= len(text) and text[len(text) - len(end) :] == end


def _without_parts(phrases: Sequence[Phrase]) -> tuple[Phrase, ...]:
    """Return phrases without those that stand inside of others, and each once."""
    longest_first = sorted(dict.fromkeys(phrases), key=len, reverse=True)
    kept: list[Phrase] = []
    for phrase in longest_first:
        if not any(_stands_in(phrase, other) for other in kept):
            kept.append(phrase)
    return tuple(kept)


def _stands_in(phrase: Phrase, text: Phrase) -> bool:
    return any(text[start : start + len(phrase)] == phrase for start in range(len(text) - len(phrase) + 1))
