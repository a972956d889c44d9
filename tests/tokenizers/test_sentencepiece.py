"""The sentencepiece tokenizer: the same model for the same text, text that comes back, and errors that name the field."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from specforge.foundation.errors import CorruptStateError, WrongInputError
from specforge.tokenizers.sentencepiece.config import SentencePieceConfig
from specforge.tokenizers.sentencepiece.tokenizer import SentencePieceTokenizer
from specforge.tokenizers.tokenizer import Tokenizer

UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
TEENS = ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand", "and"]
ENGLISH = [" ".join(words) for words in itertools.product([*UNITS, *TEENS, *TENS], repeat=2)]
GERMAN = [line.replace("th", "ß").replace("w", "ü") for line in ENGLISH]


def config(**values: JsonValue) -> SentencePieceConfig:
    return SentencePieceConfig.model_validate({"vocab_size": 50, **values})


def starts(**lines: Sequence[str]) -> dict[str, Callable[[], Iterator[str]]]:
    return {role: partial(iter, text) for role, text in lines.items()}


def trained(*, seed: int = 1, **values: JsonValue) -> tuple[SentencePieceTokenizer, dict[str, bytes]]:
    tokenizer = SentencePieceTokenizer(config(**values))
    return tokenizer, tokenizer.train(starts(source=ENGLISH, target=GERMAN), seed)


def failure(lines: Sequence[str], **values: JsonValue) -> WrongInputError:
    with pytest.raises(WrongInputError) as caught:
        SentencePieceTokenizer(config(**values)).train(starts(source=lines), seed=1)
    return caught.value


def pieces(tokenizer: Tokenizer, *lines: str) -> list[list[str]]:
    return tokenizer.encode("source", lines)


@pytest.mark.parametrize("model_type", ["unigram", "bpe", "char", "word"])
def test_two_trainings_give_equal_bytes(model_type: str) -> None:
    vocab_size = 11 if model_type == "word" else 50

    assert (
        trained(model_type=model_type, vocab_size=vocab_size)[1]
        == trained(model_type=model_type, vocab_size=vocab_size)[1]
    )


def test_one_model_for_all_columns_or_one_for_each() -> None:
    shared, files = trained()
    apart, apart_files = trained(shared=False)

    assert ["shared.model"] == list(files)
    assert ["source.model", "target.model"] == list(apart_files)
    assert shared.encode("source", ["three"]) == shared.encode("target", ["three"])
    assert "<unk>" not in pieces(apart, "three thousand")[0]
    assert "<unk>" in pieces(apart, "ß")[0]
    assert "<unk>" not in apart.encode("target", ["ßree"])[0]


def test_what_was_trained_is_what_is_loaded() -> None:
    tokenizer, files = trained()
    loaded = SentencePieceTokenizer(config())
    loaded.load(files)

    assert tokenizer.encode("source", ENGLISH) == loaded.encode("source", ENGLISH)


LETTERS = st.text(st.sampled_from("adefghilnorstuvwxyüß "), max_size=30).map(lambda text: " ".join(text.split()))


@pytest.mark.parametrize("model_type", ["unigram", "bpe", "char"])
def test_text_of_known_characters_comes_back(model_type: str) -> None:
    tokenizer, _ = trained(model_type=model_type, character_coverage=1.0)

    @settings(max_examples=50, deadline=None)
    @given(LETTERS)
    def comes_back(line: str) -> None:
        assert line == tokenizer.decode("source", pieces(tokenizer, line)[0])

    comes_back()


def test_unknown_characters_are_unknown_and_not_pieces_of_their_own() -> None:
    tokenizer, _ = trained()

    assert ["▁", "<unk>", "▁one"] == pieces(tokenizer, "☃☃ one")[0]
    assert [["▁", "☃☃", "▁one"]] == tokenizer.spelled("source", ["☃☃ one"])
    assert "☃☃ one" == tokenizer.decode("target", ["▁", "☃☃", "▁one"])


def test_with_byte_fallback_nothing_is_unknown() -> None:
    tokenizer, _ = trained(byte_fallback=True, vocab_size=310)

    assert ["<0xE2>", "<0x98>", "<0x83>"] == pieces(tokenizer, "☃")[0][1:]
    assert tokenizer.decode("source", pieces(tokenizer, "one ☃ two")[0]) == "one ☃ two"


def test_empty_lines_have_no_pieces() -> None:
    tokenizer, _ = trained()

    assert [[], []] == pieces(tokenizer, "", "  ")
    assert tokenizer.decode("source", []) == ""


def test_options_do_what_they_say() -> None:
    digits = [f"{number} apples" for number in range(100, 300)]

    def cut(text: str, **values: JsonValue) -> list[str]:
        tokenizer = SentencePieceTokenizer(config(vocab_size=40, hard_vocab_limit=False, **values))
        tokenizer.train(starts(source=digits), seed=1)
        return pieces(tokenizer, text)[0]

    assert cut("12 apples", split_digits=True)[:3] == ["▁", "1", "2"]
    assert "apple" in cut("12apples", user_defined_symbols=["apple"])
    assert max(map(len, cut("12 apples", max_sentencepiece_length=2, split_digits=True))) == 2
    assert cut("ａpples") == cut("apples") != cut("ａpples", normalization_rule_name="identity")
    assert cut("APPLES", normalization_rule_name="nmt_nfkc_cf") == cut("apples")
    assert cut("a  a", remove_extra_whitespaces=False).count("▁") > cut("a  a").count("▁")


def test_pieces_keep_to_their_kind_of_character() -> None:
    lines = ["abcабв123"] * 50

    def longest(**values: JsonValue) -> str:
        tokenizer = SentencePieceTokenizer(config(vocab_size=40, hard_vocab_limit=False, model_type="bpe", **values))
        tokenizer.train(starts(source=lines), seed=1)
        return max(pieces(tokenizer, lines[0])[0], key=len)

    assert longest() == "▁abc"
    assert longest(split_by_number=False) == "абв123"
    assert longest(split_by_unicode_script=False) == "▁abcабв123"


def test_rare_characters_are_left_to_be_unknown() -> None:
    lines = ["a" * 99, "ab"] * 20  # 1 of 102 characters, the marks of spaces counted, is a b

    def cut(coverage: float) -> list[str]:
        tokenizer = SentencePieceTokenizer(config(vocab_size=20, hard_vocab_limit=False, character_coverage=coverage))
        tokenizer.train(starts(source=lines), seed=1)
        return pieces(tokenizer, "b")[0]

    assert cut(1.0)[-1] == "b"
    assert cut(0.98)[-1] == "<unk>"


def test_long_lines_are_learned_from_where_they_are_allowed() -> None:
    tokenizer = SentencePieceTokenizer(
        config(vocab_size=10, hard_vocab_limit=False, max_sentence_length=10_000, character_coverage=1.0)
    )
    tokenizer.train(starts(source=["ab " * 2_000, "c"]), seed=1)

    assert "<unk>" not in pieces(tokenizer, "ab c")[0]
    assert [] == list(tokenizer.remarks())


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_vocabulary_larger_than_the_text_names_the_largest_that_works(model_type: str) -> None:
    error = failure(ENGLISH, model_type=model_type, vocab_size=30_000)

    assert error.code == "SF305"
    assert "`tokenizer.vocab_size` is 30,000, but the training text yields at most" in error.message
    largest = int(error.message.split()[-2].replace(",", ""))
    assert error.help == f"write `vocab_size = {largest:_}` or less, or `hard_vocab_limit = false`"
    SentencePieceTokenizer(config(model_type=model_type, vocab_size=largest)).train(starts(source=ENGLISH), seed=1)
    assert failure(ENGLISH, model_type=model_type, vocab_size=largest + 1).code == "SF305"


def test_a_vocabulary_smaller_than_the_alphabet_names_the_smallest_that_works() -> None:
    # 18 letters, the mark of a space, and <unk>, <s>, </s>
    error = failure(ENGLISH, vocab_size=10)

    assert ("SF305", "`tokenizer.vocab_size` is 10, but the characters of the text alone need 22 pieces") == (
        error.code,
        error.message,
    )
    SentencePieceTokenizer(config(vocab_size=22)).train(starts(source=ENGLISH), seed=1)


def test_without_a_hard_limit_fewer_pieces_will_do() -> None:
    SentencePieceTokenizer(config(vocab_size=30_000, hard_vocab_limit=False)).train(starts(source=ENGLISH), seed=1)


@pytest.mark.parametrize("model_type", ["char", "word"])
def test_characters_and_words_need_no_exact_number(model_type: str) -> None:
    SentencePieceTokenizer(config(model_type=model_type, vocab_size=30_000)).train(starts(source=ENGLISH), seed=1)


def test_text_without_a_line_to_learn_from_is_refused() -> None:
    error = failure(["", "  ", "x" * 5_000])

    assert ("SF504", "none of 3 lines can be learned from: they are empty or too long") == (error.code, error.message)


def test_an_error_of_the_text_comes_through_the_library() -> None:
    def broken() -> Iterator[str]:
        yield "one"
        raise WrongInputError("SF502", "not UTF-8")

    with pytest.raises(WrongInputError, match="not UTF-8"):
        SentencePieceTokenizer(config()).train({"source": broken}, seed=1)


def test_lines_not_learned_from_are_told() -> None:
    tokenizer = SentencePieceTokenizer(config(max_sentence_length=12, input_sentence_size=100))
    tokenizer.train(starts(source=[*ENGLISH, ""]), seed=1)
    short = sum(len(line.encode()) <= 12 for line in ENGLISH)

    assert list(tokenizer.remarks()) == [
        (
            f"sentencepiece did not learn from {len(ENGLISH) - short} of {len(ENGLISH) + 1} lines:"
            " they are longer than max_sentence_length, 12 bytes"
        ),
        f"sentencepiece learned from 100 of {short} lines (input_sentence_size)",
    ]


def test_the_seed_chooses_the_lines_to_learn_from() -> None:
    one, again, other = (trained(input_sentence_size=50, vocab_size=40, seed=seed)[1] for seed in (1, 1, 2))

    assert one == again
    assert one != other


@pytest.mark.parametrize("symbols", [["a b"], [""], ["<unk>"], ["<pad>"], ["x", "x"]])
def test_symbols_that_cannot_be_pieces_are_refused(symbols: list[JsonValue]) -> None:
    with pytest.raises(ValidationError):
        config(user_defined_symbols=symbols)


def test_a_damaged_model_is_corrupt_state() -> None:
    with pytest.raises(CorruptStateError) as caught:
        SentencePieceTokenizer(config()).load({"shared.model": b"no model"})

    assert caught.value.code == "SF614"


def test_lowered_text_is_learned_from_cut_and_joined_in_lower_case() -> None:
    lines = ["Die Straße IST Weiß", "eine Katze AUF der Straße"] * 20
    tokenizer = SentencePieceTokenizer(config(model_type="char", lowercase=True, character_coverage=1.0))
    tokenizer.train({"target": lambda: iter(lines)}, seed=1)

    [pieces] = tokenizer.encode("target", ["DIE Straße"])

    assert "die straße" == tokenizer.decode("target", pieces)  # `ß` stays, which case folding makes `ss` of
    assert [pieces] == tokenizer.encode("target", ["die straße"])
    assert "<unk>" not in pieces


def test_a_symbol_with_capitals_cannot_occur_in_lowered_text() -> None:
    with pytest.raises(ValidationError, match="cannot occur in text"):
        SentencePieceConfig(lowercase=True, user_defined_symbols=["<DE>"])

    assert ["<de>"] == SentencePieceConfig(lowercase=True, user_defined_symbols=["<de>"]).user_defined_symbols
