"""BLEU, chrF and TER: small numbers by hand, and sacrebleu's own functions on the same lines."""

from __future__ import annotations

import gzip
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest
import sacrebleu
from pydantic import ValidationError

from specforge.metrics.bleu.config import BleuConfig
from specforge.metrics.bleu.metric import build as build_bleu
from specforge.metrics.chrf.config import ChrfConfig
from specforge.metrics.chrf.metric import build as build_chrf
from specforge.metrics.metric import Metric
from specforge.metrics.ter.config import TerConfig
from specforge.metrics.ter.metric import build as build_ter

VERSION: Final = sacrebleu.__version__
HYPOTHESES: Final = ["The cat sat on the mat.", "Er sah, wie er ging.", "", "a b  c", "日本 の 猫"]
REFERENCES: Final = ["the cat sat on a mat.", "Er sah ihn gehen.", "Nothing here", "a b c", "日本 の 犬"]


def test_bleu_by_hand() -> None:
    score = build_bleu(BleuConfig()).score(["a b c d e"], [["a b c d f"]])

    # precisions 4/5, 3/4, 2/3, 1/2, no brevity penalty: the fourth root of 1/5
    assert 100 * 0.2**0.25 == pytest.approx(score.value)
    assert "bleu" == score.name
    assert score.higher_is_better
    assert f"BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{VERSION}" == score.signature
    assert "BLEU = 66.87 80.0/75.0/66.7/50.0 (BP = 1.000 ratio = 1.000 hyp_len = 5 ref_len = 5)" == score.text


def test_chrf_by_hand() -> None:
    score = build_chrf(ChrfConfig(char_order=1, beta=3)).score(["ab"], [["abcd"]])

    # characters: precision 1, recall 1/2; F_β = (1 + β²) P R / (β² P + R) = 10 x 0.5 / 9.5
    assert 100 * 5 / 9.5 == pytest.approx(score.value)
    assert f"chrF3|nrefs:1|case:mixed|eff:yes|nc:1|nw:0|space:no|version:{VERSION}" == score.signature


def test_chrf_may_be_smoothed_as_its_script_does() -> None:
    # of two n-gram orders the text has one: with eps the other counts as nothing, without it is left out
    plain, smoothed = (build_chrf(ChrfConfig(char_order=2, eps_smoothing=eps)) for eps in (False, True))

    assert 100.0 == pytest.approx(plain.score(["a"], [["a"]]).value)
    assert 50.0 == pytest.approx(smoothed.score(["a"], [["a"]]).value)
    assert "|eff:no|" in smoothed.score(["a"], [["a"]]).signature


def test_ter_by_hand() -> None:
    metric = build_ter(TerConfig())
    score = metric.score(["a b c d"], [["a b x d e"]])

    assert 100 * 2 / 5 == pytest.approx(score.value)  # c for x, and e: 2 edits over 5 words
    assert not score.higher_is_better
    assert not metric.higher_is_better
    assert f"TER|nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:{VERSION}" == score.signature


@pytest.mark.parametrize("tokenize", ["13a", "intl", "zh", "char", "none"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_bleu_is_sacrebleus(tokenize: str, lowercase: bool) -> None:  # noqa: FBT001  # a value of the list above
    config = BleuConfig.model_validate({"tokenize": tokenize, "lowercase": lowercase})

    score = build_bleu(config).score(HYPOTHESES, [REFERENCES])

    expected = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], tokenize=tokenize, lowercase=lowercase)
    assert (expected.score, str(expected)) == (score.value, score.text)
    case = "lc" if lowercase else "mixed"
    assert f"BLEU|nrefs:1|case:{case}|eff:no|tok:{tokenize}|smooth:exp|version:{VERSION}" == score.signature


@pytest.mark.parametrize(
    ("method", "value", "shown"),
    [
        ("floor", None, "floor[0.10]"),
        ("floor", 0.3, "floor[0.30]"),
        ("add-k", 2.0, "add-k[2.00]"),
        ("none", None, "none"),
    ],
)
def test_smoothing_is_sacrebleus(method: str, value: float | None, shown: str) -> None:
    config = BleuConfig.model_validate({"smooth_method": method, "smooth_value": value})

    score = build_bleu(config).score(["a b x"], [["a b c"]])

    expected = sacrebleu.corpus_bleu(["a b x"], [["a b c"]], smooth_method=method, smooth_value=value)
    assert expected.score == score.value
    assert f"|smooth:{shown}|" in score.signature


def test_chrf_plus_plus_is_sacrebleus() -> None:
    score = build_chrf(ChrfConfig(word_order=2, lowercase=True, whitespace=True)).score(HYPOTHESES, [REFERENCES])

    expected = sacrebleu.CHRF(word_order=2, lowercase=True, whitespace=True).corpus_score(HYPOTHESES, [REFERENCES])
    assert (expected.score, str(expected)) == (score.value, score.text)
    assert f"chrF2++|nrefs:1|case:lc|eff:yes|nc:6|nw:2|space:yes|version:{VERSION}" == score.signature


def test_ter_is_sacrebleus() -> None:
    config = TerConfig(case_sensitive=True, normalized=True, no_punct=True, asian_support=True)

    score = build_ter(config).score(HYPOTHESES, [REFERENCES])

    expected = sacrebleu.corpus_ter(
        HYPOTHESES, [REFERENCES], case_sensitive=True, normalized=True, no_punct=True, asian_support=True
    )
    assert (expected.score, str(expected)) == (score.value, score.text)
    assert f"TER|nrefs:1|case:mixed|tok:tercom|norm:yes|punct:no|asian:yes|version:{VERSION}" == score.signature


@pytest.mark.parametrize("metric", [build_bleu(BleuConfig()), build_chrf(ChrfConfig()), build_ter(TerConfig())])
def test_two_sets_of_references_are_two_in_the_signature(metric: Metric) -> None:
    score = metric.score(["a b c d"], [["a b c d"], ["x"]])

    assert "|nrefs:2|" in score.signature


@pytest.mark.parametrize("references", [[], [["a"]], [["a", "b"], ["a"]]])
def test_lines_without_a_partner_are_not_scored(references: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="2 hypotheses"):
        build_bleu(BleuConfig()).score(["a", "b"], references)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (BleuConfig, '{"tokenize": "spm"}'),  # needs a download
        (BleuConfig, '{"smooth_value": 0.1}'),
        (BleuConfig, '{"tokenize": "moses"}'),  # of which language?
        (BleuConfig, '{"language": "de"}'),
        (ChrfConfig, '{"beta": 0}'),
        (TerConfig, '{"asian_support": true}'),
    ],
)
def test_options_that_do_nothing_are_refused(config: type[BleuConfig | ChrfConfig | TerConfig], text: str) -> None:
    with pytest.raises(ValidationError):
        config.model_validate_json(text)


def test_the_library_is_imported_when_something_is_scored_and_not_before() -> None:
    program = (
        "import sys; from specforge.metrics.bleu.config import BleuConfig; from specforge.metrics.bleu.metric import build;"
        "metric = build(BleuConfig()); print([name in sys.modules for name in ('sacrebleu', 'torch')]);"
        "metric.score(['a'], [['a']]); print([name in sys.modules for name in ('sacrebleu', 'torch')])"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[False, False]\n[True, False]\n" == result.stdout


def test_moses_tokens_by_hand() -> None:
    config = BleuConfig(tokenize="moses", language="de", lowercase=True)

    score = build_bleu(config).score(["„Geht’s“, fragt z.b. der mann."], [["Geht's, fragt z.B. der Mann."]])

    # lowered, then straight quotation marks: " geht ' s " , fragt z.b. der mann . and the same without quotation marks
    signature = f"tok:moses-de-sacremoses-{version('sacremoses')}|smooth:exp|version:{VERSION}"
    assert f"BLEU|nrefs:1|case:lc|eff:no|{signature}" == score.signature
    assert score.text.endswith("hyp_len = 11 ref_len = 9)")


@pytest.mark.parametrize(("test", "words"), [("test_2016_flickr", 12_103), ("test_2017_flickr", 10_758)])
def test_moses_tokens_count_as_the_papers_on_multi30k_do(test: str, words: int) -> None:
    path = Path(__file__).parents[3] / "shared" / "data" / "multi30k" / f"{test}.de.gz"
    if not path.exists():
        pytest.skip("needs ../shared/data/multi30k")
    lines = gzip.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")

    score = build_bleu(BleuConfig(tokenize="moses", language="de", lowercase=True)).score(lines, [lines])

    assert score.text.endswith(f"ref_len = {words})")
