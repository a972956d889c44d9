"""`specforge evaluate` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

from digits import specforge

FILES = {
    "out.txt": "the cat sat on the mat\nit rained all day\n",
    "other.txt": "the cat sat on a mat\nit rained all day\n",
    "ref.txt": "the cat sat on the mat\nit rained the whole day\n",
}


def write(folder: Path) -> None:
    for name, text in FILES.items():
        (folder / name).write_text(text)


def test_scores_have_signature_interval_and_comparison(tmp_path: Path) -> None:
    write(tmp_path)
    words = ("evaluate", "--hypotheses", "out.txt", "--references", "ref.txt", "--compare", "other.txt")
    metrics = ("--metric", "exact_match", "--metric", '{ use = "ter", case_sensitive = true }')

    shown = specforge(*words, *metrics, "--bootstrap", "40", cwd=tmp_path)
    found = json.loads(specforge(*words, *metrics, "--bootstrap", "0", "--json", cwd=tmp_path).stdout)

    assert (0, "") == (shown.returncode, shown.stderr)
    exact, interval, signature, compared, ter, _, ter_signature, ter_compared = shown.stdout.splitlines()
    assert "exact_match = 50.00 (1/2)" == exact
    assert "at 95 % confidence (40 resamples, seed 12345)" in interval
    assert "  exact_match|nrefs:1|version:1" == signature
    assert "  0.00 in other.txt: +50.00, better (p = " in compared
    # two edits in eleven words, and three
    assert "TER = 18.18" == ter
    assert "|case:mixed|" in ter_signature
    assert "  27.27 in other.txt: -9.09, better (p = " in ter_compared
    assert [1, 2, 2] == [found["format"], found["lines"], len(found["scores"])]
    assert [None, None] == [score["interval"] for score in found["scores"]]


def test_mistakes_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "short.txt").write_text("one line\n")

    result = specforge("evaluate", "--hypotheses", "out.txt", "--references", "ref.txt", "short.txt", cwd=tmp_path)

    assert (2, "") == (result.returncode, result.stdout)
    assert "error[SF503]: 1 line here, and 2 lines in `out.txt`" in result.stderr
    assert "short.txt" in result.stderr


def test_too_few_resamples_for_an_interval_are_refused(tmp_path: Path) -> None:
    write(tmp_path)

    result = specforge(
        "evaluate", "--hypotheses", "out.txt", "--references", "ref.txt", "--bootstrap", "39", cwd=tmp_path
    )

    assert (2, "") == (result.returncode, result.stdout)
    assert "`39` is not 0 and not a number from 40 to 1,000,000" in " ".join(result.stderr.split())
