"""What becomes of a line, in each format, to the character."""

from __future__ import annotations

import json
from math import log

from specforge.generation.formats import Columns, aligned_units, render_fairseq, render_jsonl, render_text, renderer
from specforge.generation.lines import Line
from specforge.generation.translation import Output, Translation, joined

# in bits: -1 a piece and -2 at the end, -4/3 on average
BEST = Output("Zwei.", ("▁Zwei", "."), -4 / 3 * log(2), (-log(2), -log(2), -2 * log(2)), ((0, 0), (1, 1)))
SECOND = Output("Z\tw", ("▁Z\tw",), -2.0, (-1.5, -2.5), ((0, 0),))
TRANSLATION = Translation(Line("Two.", id="x7"), (BEST, SECOND), ("▁Two", "."))


def test_text_is_the_output_alone_and_a_tab_in_it_is_text() -> None:
    assert "Zwei.\nZ\tw\n" == render_text(Columns())(4, TRANSLATION)


def test_columns_stand_between_tabs_and_lines_are_counted_from_one() -> None:
    assert "5\t-0.9242\tZwei.\t0-0 1-1\n5\t-2.0000\tZ w\t0-0\n" == render_text(Columns(True, True, True))(
        4, TRANSLATION
    )
    assert "-0.9242\tZwei.\n-2.0000\tZ w\n" == render_text(Columns(score=True))(4, TRANSLATION)
    assert "Zwei.\t0-0 1-1\nZ w\t0-0\n" == render_text(Columns(alignment=True))(4, TRANSLATION)


def test_a_json_line_holds_all_that_is_known() -> None:
    text = render_jsonl(4, TRANSLATION)

    assert text.count("\n") == 1
    assert {
        "line": 5,
        "id": "x7",
        "source": "Two.",
        "source_pieces": ["▁Two", "."],
        "hypotheses": [
            {
                "text": "Zwei.",
                "pieces": ["▁Zwei", "."],
                "score": -0.924196,
                "token_scores": [-0.693147, -0.693147, -1.386294],
                "alignment": [[0, 0], [1, 1]],
            },
            {
                "text": "Z\tw",
                "pieces": ["▁Z\tw"],
                "score": -2.0,
                "token_scores": [-1.5, -2.5],
                "alignment": [[0, 0]],
            },
        ],
    } == json.loads(text)


def test_a_json_line_says_what_it_does_not_know_by_leaving_it_out() -> None:
    values = json.loads(render_jsonl(0, Translation(Line(""), (Output(""),), too_long=True)))

    assert {
        "line": 1,
        "source": "",
        "source_pieces": [],
        "too_long": True,
        "hypotheses": [{"text": "", "pieces": [], "score": 0.0, "token_scores": []}],
    } == values


def test_what_some_take_for_a_line_end_and_a_terminal_for_a_command_is_escaped_in_json() -> None:
    text = render_jsonl(0, Translation(Line("a\u2028b\x85c\u2029d\x7fe\x9bf\x80"), (Output("ä\xa0"),)))

    assert r'"a\u2028b\u0085c\u2029d\u007fe\u009bf\u0080"' in text
    assert '"ä\xa0"' in text


def test_fairseqs_lines_have_pieces_and_scores_to_base_two_and_count_from_zero() -> None:
    assert (
        "S-4\t▁Two .\n"
        "T-4\t▁Zwei !\n"
        "H-4\t-1.333333\t▁Zwei .\n"
        "D-4\t-1.333333\tZwei.\n"
        "P-4\t-1.0000 -1.0000 -2.0000\n"
        "A-4\t0-0 1-1\n"
        "H-4\t-2.885390\t▁Z w\n"
        "D-4\t-2.885390\tZ w\n"
        "P-4\t-2.1640 -3.6067\n"
        "A-4\t0-0\n"
    ) == render_fairseq(4, TRANSLATION, ["▁Zwei", "!"])


def test_fairseqs_lines_without_reference_and_alignment() -> None:
    blank = Translation(Line(""), (Output(""),))

    assert "S-0\t\nH-0\t0.000000\t\nD-0\t0.000000\t\nP-0\t\n" == render_fairseq(0, blank)
    assert render_fairseq(0, blank) == renderer("fairseq", Columns())(0, blank)


def test_alignments_count_what_stands_beside_them() -> None:
    assert ["words", "pieces", "pieces"] == [aligned_units(name) for name in ("text", "jsonl", "fairseq")]


def test_the_parts_of_a_line_are_one_output() -> None:
    one = Output("a b", ("a", "b"), -1.0, (-0.5, -0.5, -2.0), ((1, 0), (0, 1)))
    other = Output("c", ("c",), -3.0, (-2.0, -4.0), ((2, 0),))

    both = joined([one, other], [3, 4], [2, 1])

    assert ("a b c", ("a", "b", "c")) == (both.text, both.pieces)
    assert (-1.0 * 3 - 3.0 * 2) / 5 == both.score  # three tokens and two, the ends counted
    assert (-0.5, -0.5, -2.0, -4.0) == both.token_scores  # a score for each piece, and that of the last end
    assert ((1, 0), (0, 1), (5, 2)) == both.alignment  # the first has three units and two


def test_a_part_that_became_nothing_adds_no_space() -> None:
    one, nothing, other = Output("a b", ("a", "b")), Output("", (), -1.0, (-1.0,)), Output("c", ("c",))

    assert "a b c" == joined([one, nothing, other], [1, 1, 1], [2, 0, 1]).text
