"""What a generator makes of lines where more is wanted than the best text: n-best, alignment, unknown and long lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from specforge.data.vocabulary import Vocabulary
from specforge.foundation.errors import Place, WrongInputError
from specforge.generation.generator import Generator
from specforge.generation.lines import Line
from specforge.generation.translation import Translation, Wanted
from specforge.models.model import EncoderDecoder
from specforge.plugin import Symbols
from specforge.searches.scorer import ModelScorer, Scorer
from specforge.searches.search import Constraints, Hypothesis, Search, Sources
from specforge.tokenizers.tokenizer import Tokenizer
from specforge.tokenizers.whitespace.config import WhitespaceConfig
from specforge.tokenizers.whitespace.tokenizer import WhitespaceTokenizer

EOS, UNK = 2, 3
WORDS = Vocabulary({"a": 3, "b": 2, "c": 1})  # 4, 5, 6


class Positions(EncoderDecoder):
    """A model that takes sources of at most four symbols, the end counted; nobody asks it anything."""

    def max_positions(self) -> dict[str, int]:
        return {"source": 4}

    features = project = start = step = None  # type: ignore[assignment]


class Backwards(Search):
    """Turns sources around, symbol by symbol, each looking at where it comes from; then with `a` in front, and so on."""

    def __init__(self, *, attends: bool = True) -> None:
        self.attends = attends
        self.seen: list[Sources] = []

    def search(
        self, scorer: Scorer, sources: Sources, symbols: Symbols, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        del scorer, symbols
        self.seen.append(sources)
        found = []
        for row, length in zip(sources.tokens.tolist(), sources.lengths.tolist(), strict=True):
            best = tuple(reversed(row[: length - 1]))
            weights = np.eye(length, dtype=np.float32)[[*reversed(range(length - 1)), length - 1]]
            looked = weights if attention and self.attends else None
            scores = tuple(-0.5 for _ in range(length))
            padded = None if looked is None else np.concatenate([weights[:1], weights])
            found.append(
                [Hypothesis(best, -0.5, scores, looked), Hypothesis((4, *best), -1.0, (-2.0, *scores), padded)]
            )
        return found


def generator(
    wanted: Wanted, search: Search | None = None, tokenizer: Tokenizer | None = None, batch_tokens: int = 64
) -> Generator:
    return Generator(
        ModelScorer(Positions()),
        search or Backwards(),
        {"source": WORDS, "target": WORDS},
        tokenizer or WhitespaceTokenizer(WhitespaceConfig()),
        batch_tokens,
        torch.device("cpu"),
        wanted,
    )


def only(translations: Sequence[Translation]) -> Translation:
    (translation,) = translations
    return translation


def test_as_many_outputs_as_are_wanted_and_found() -> None:
    one, two, three = (only(generator(Wanted(nbest)).translate(["b c"])) for nbest in (1, 2, 3))

    assert ["c b"] == [each.text for each in one.outputs]
    assert [("c b", -0.5), ("a c b", -1.0)] == [(each.text, each.score) for each in two.outputs]
    assert (-2.0, -0.5, -0.5, -0.5) == two.outputs[1].token_scores
    assert two == three
    assert (one.text, one.pieces, one.score) == ("c b", ("c", "b"), -0.5)


def test_a_blank_line_has_one_empty_output_however_many_are_wanted() -> None:
    for wanted in (Wanted(3), Wanted(3, alignment="words", replace_unk=True), Wanted(3, alignment="pieces")):
        translation = only(generator(wanted).translate([" "]))
        assert [("", (), ())] == [(each.text, each.pieces, each.token_scores) for each in translation.outputs]


def test_an_alignment_says_where_each_piece_comes_from() -> None:
    translation = only(generator(Wanted(2, alignment="pieces")).translate(["b c a"]))

    assert [((2, 0), (1, 1), (0, 2)), ((2, 0), (2, 1), (1, 2), (0, 3))] == [
        each.alignment for each in translation.outputs
    ]
    assert ("b", "c", "a") == translation.source_pieces


class Continued(WhitespaceTokenizer):
    """`b` and what comes after it are one word."""

    def decode(self, role: str, pieces: Sequence[str]) -> str:
        return super().decode(role, pieces).replace("b ", "b")


def test_words_are_aligned_where_words_are_asked_for() -> None:
    tokenizer = Continued(WhitespaceConfig())

    # source words: a, bc; output: c, ba
    assert ((1, 0), (0, 1)) == only(
        generator(Wanted(alignment="words"), tokenizer=tokenizer).translate(["a b c"])
    ).outputs[0].alignment or ()


def test_an_unknown_piece_becomes_the_source_piece_that_it_looks_at() -> None:
    plain = only(generator(Wanted()).translate(["a X b"]))
    replaced = only(generator(Wanted(2, replace_unk=True)).translate(["a X Yz"]))

    assert ("b <unk> a", 1) == (plain.text, plain.unknown)
    assert ["Yz X a", "a Yz X a"] == [each.text for each in replaced.outputs]
    assert ("Yz", "X", "a") == replaced.pieces
    assert 2 == replaced.unknown


@pytest.mark.parametrize("wanted", [Wanted(alignment="pieces"), Wanted(replace_unk=True)])
def test_without_attention_nothing_can_be_aligned(wanted: Wanted) -> None:
    with pytest.raises(WrongInputError) as caught:
        generator(wanted, Backwards(attends=False)).translate(["a b"])

    assert "SF721" == caught.value.code


def test_a_symbol_that_is_no_piece_has_no_place_in_scores_and_alignment() -> None:
    class Begins(Search):
        """Puts `<s>` first."""

        def search(
            self, scorer: Scorer, sources: Sources, symbols: Symbols, *, attention: bool = False
        ) -> list[list[Hypothesis]]:
            del scorer, attention
            weights = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
            return [[Hypothesis((symbols.bos, 5), -1.0, (-3.0, -1.0, -2.0), weights)] for _ in range(len(sources))]

    (output,) = only(generator(Wanted(alignment="pieces"), Begins()).translate(["a b"])).outputs

    assert (("b",), (-1.0, -2.0), ((0, 0),)) == (output.pieces, output.token_scores, output.alignment)


LONG = "a b c b a c b"  # eight tokens, the end counted, where four are possible


def test_a_long_line_is_an_error_unless_something_else_is_said() -> None:
    with pytest.raises(WrongInputError) as caught:
        generator(Wanted()).translate(["a", "", LONG, LONG])

    assert ("SF506", Place("input", 3)) == (caught.value.code, caught.value.place)


def test_a_long_line_may_pass_as_it_is() -> None:
    search = Backwards()
    lines = generator(Wanted(2, "pieces", too_long="keep"), search).translate(["a b", f" {LONG}", "c"])

    assert ["b a", f" {LONG}", "c"] == [each.text for each in lines]
    assert [False, True, False] == [each.too_long for each in lines]
    (output,) = lines[1].outputs
    assert (tuple(LONG.split()), 0.0, ()) == (output.pieces, output.score, output.token_scores)
    assert [2] == [len(sources) for sources in search.seen]


def test_a_long_line_may_be_cut_off() -> None:
    lines = generator(Wanted(too_long="truncate")).translate(["a b c", LONG, "c"])

    assert ["c b a", "c b a", "c"] == [each.text for each in lines]
    assert [False, True, False] == [each.too_long for each in lines]
    assert LONG.split() == [*lines[1].source_pieces]


def test_a_long_line_may_be_split_and_each_part_gets_what_it_would_get_alone() -> None:
    lines = generator(Wanted(2, "pieces", too_long="split")).translate(["a b", "a b, c b a c b", "c"])

    assert ["b a", "<unk> a a b c b c", "c"] == [each.text for each in lines]
    parts = [only(generator(Wanted(2)).translate([part])).outputs for part in ("a b,", "c b a", "c b")]
    for rank, output in enumerate(lines[1].outputs):
        assert " ".join(part[rank].text for part in parts) == output.text
        assert sum((part[rank].pieces for part in parts), ()) == output.pieces
        assert len(output.pieces) + 1 == len(output.token_scores)
        assert output.alignment is not None
        assert len(output.pieces) == len(output.alignment)
    assert ((1, 0), (0, 1), (4, 2), (3, 3), (2, 4), (6, 5), (5, 6)) == lines[1].outputs[0].alignment


def test_words_of_a_split_line_are_counted_over_its_parts() -> None:
    tokenizer = Continued(WhitespaceConfig())

    (output,) = only(
        generator(Wanted(1, "words", too_long="split"), tokenizer=tokenizer).translate(["a b c a b c"])
    ).outputs

    # parts `a b c` and `a b c`: words a and bc each, outputs c and ba
    assert "c ba c ba" == output.text
    assert ((1, 0), (0, 1), (3, 2), (2, 3)) == output.alignment


def test_what_is_asked_of_an_output_reaches_the_search() -> None:
    search = Backwards()
    lines = [Line("a b"), Line("c", prefix="b c", constraints=("a", "a b"))]

    generator(Wanted(), search, batch_tokens=1).translate_lines(lines)

    assert [(Constraints(),), (Constraints((5, 6), ((4,), (4, 5))),)] == [
        tuple(sources.constraints) for sources in search.seen
    ]
    generator(Wanted(), search).translate(["a"])
    assert () == tuple(search.seen[-1].constraints)


def test_what_no_output_can_hold_is_named() -> None:
    for line in (Line("c", prefix="b x"), Line("c", constraints=("a", "b x"))):
        with pytest.raises(WrongInputError) as caught:
            generator(Wanted()).translate_lines([Line("a"), line])
        assert ("SF725", Place("input", 2)) == (caught.value.code, caught.value.place)
        assert "an output cannot hold `b x`: the model cannot write `x`" == caught.value.message


def test_a_split_line_begins_with_its_prefix_and_takes_no_phrases() -> None:
    search = Backwards()
    generator(Wanted(too_long="split"), search, batch_tokens=99).translate_lines([Line("a b c a", prefix="c")])
    with pytest.raises(WrongInputError) as caught:
        generator(Wanted(too_long="split")).translate_lines([Line("a"), Line("a b c a", constraints=("c",))])

    assert (Constraints((6,)), Constraints()) == tuple(search.seen[0].constraints)
    assert ("SF725", Place("input", 2)) == (caught.value.code, caught.value.place)


def test_what_a_search_cannot_keep_is_said_of_the_first_line_that_asks_for_it() -> None:
    class Refuses(Search):
        def search(
            self, scorer: Scorer, sources: Sources, symbols: Symbols, *, attention: bool = False
        ) -> list[list[Hypothesis]]:
            del scorer, sources, symbols, attention
            raise WrongInputError("SF686", "no phrases here", help="use another search")

    lines = [Line("a a a"), Line("b", prefix="a"), Line("a a", prefix="a")]
    with pytest.raises(WrongInputError) as caught:
        generator(Wanted(), Refuses()).translate_lines(lines)
    with pytest.raises(WrongInputError) as unplaced:
        generator(Wanted(), Refuses()).translate(["a"])

    assert ("SF686", Place("input", 2), "use another search") == (
        caught.value.code,
        caught.value.place,
        caught.value.help,
    )
    assert unplaced.value.place is None
    with pytest.raises(WrongInputError) as phrases:
        generator(Wanted(), Refuses()).translate_lines([*lines, Line("c", constraints=("a",))])
    assert Place("input", 4) == phrases.value.place  # more searches can keep a prefix
