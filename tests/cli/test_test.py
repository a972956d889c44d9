"""`specforge test` as a user types it: what it takes, what it prints, where it points when a component is at fault."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.cli.main import main
from specforge.cli.test import WHAT
from specforge.execution.questions.trial import TRIED
from specforge.foundation.errors import ExitCode

PLUGIN = {
    "acme_worn-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme-worn\nVersion: 1.0\n",
    "acme_worn-1.0.dist-info/entry_points.txt": "[specforge]\nworn = acme_worn\n",
    "acme_worn.py": """
from specforge.plugin import Component, ComponentConfig, hookimpl

class Config(ComponentConfig):
    '''Nothing to set.'''

@hookimpl
def specforge_components():
    return [Component("metric", "worn", "acme_worn:Config", "acme_worn_metric:build")]
""",
    "acme_worn_metric.py": """
from specforge.metrics.metric import Metric

class Worn(Metric):
    def score(self, hypotheses, references):
        return hypotheses.total  # line 6

def build(config):
    return Worn()
""",
}


@pytest.mark.parametrize(
    ("typed", "code", "hint"),
    [
        ("modle", "SF140", "did you mean `model`?"),
        ("generate.metric", "SF140", "did you mean `generate.metrics`?"),
        ("whitespace", "SF140", "`whitespace` stands in the table `tokenizer`: test that"),
        ("specforge/transformer", "SF140", "`specforge/transformer` stands in the table `model`: test that"),
        ("1\x1b[2J", "SF140", "what can be tested: tokenizer, data, model"),
        ("task", "SF141", "`data` shows the batches that it makes"),
        ("train.valid_search", "SF141", "would have it decode"),
        ("valid_search", "SF141", "would have it decode"),
    ],
)
def test_what_cannot_be_tested(
    small: SmallExperiment, capsys: pytest.CaptureFixture[str], typed: str, code: str, hint: str
) -> None:
    assert ExitCode.WRONG_INPUT == main(["test", str(small.folder / "small.toml"), typed])

    shown = capsys.readouterr()
    assert "" == shown.out
    assert f"error[{code}]" in shown.err
    assert hint in shown.err
    assert "\x1b[2J" not in shown.err


def test_a_wrong_spec_is_told_first(small: SmallExperiment, capsys: pytest.CaptureFixture[str]) -> None:
    path = small.write_spec(SMALL_SPEC.replace("embed_dim", "embedd_dim"))

    assert ExitCode.WRONG_INPUT == main(["test", str(path), "model"])
    assert "error[SF101]" in capsys.readouterr().err


def test_the_help_names_all_that_can_be_tested(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["test", "--help"])

    assert list(TRIED) == list(WHAT)
    assert list(WHAT) == re.findall(
        r"^  ([a-z_.]+)  ", capsys.readouterr().out.partition("components:")[2], re.MULTILINE
    )


def test_the_metrics_for_people_and_for_programs(small: SmallExperiment, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["test", str(small.folder / "small.toml"), "metrics", "--set", "generate.metrics=['exact_match']"]

    assert ExitCode.DONE == main(words)
    assert """\
generate.metrics   specforge/exact_match@1
texts              4 references of the validation data

against       themselves   half of their words   each other   better is   signature
exact_match   100.00       0.00                  0.00         higher      """ == capsys.readouterr().out.rpartition(
        "exact_match|"
    )[0]
    assert ExitCode.DONE == main([*words, "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert (1, "generate.metrics", ["specforge/exact_match@1"], None, []) == tuple(
        printed[name] for name in ("format", "component", "identity", "data", "warnings")
    )
    assert ("metrics", 4) == (printed["findings"]["kind"], printed["findings"]["lines"])
    assert not (small.folder / ".specforge").exists()  # a test leaves nothing behind


def test_a_tokenizer_that_learns_becomes_a_result(small: SmallExperiment, capsys: pytest.CaptureFixture[str]) -> None:
    table = "tokenizer={use='sentencepiece', vocab_size=30, model_type='bpe'}"
    words = ["test", str(small.folder / "small.toml"), "tokenizer", "--store", "store", "--set", table]

    assert ExitCode.DONE == main(words)
    first = capsys.readouterr()
    assert ExitCode.DONE == main(words)
    second = capsys.readouterr()

    assert first.out == second.out
    assert "tokenizer    specforge/sentencepiece@1" in first.out
    assert "all of the training text; cut by the tokenizer's result" in first.out
    assert "run" not in second.err
    assert 1 == len(list(Path("store/objects/tokenizer").iterdir()))


def test_a_component_at_fault_is_shown_where_the_spec_chose_it(
    small: SmallExperiment,
) -> None:
    for name, text in PLUGIN.items():
        path = small.folder / "plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    text = f'{SMALL_SPEC}\n[[generate.metrics]]\nuse = "exact_match"\n[[generate.metrics]]\nuse = "acme-worn/worn"\n'
    small.write_spec(text)

    done = subprocess.run(
        [sys.executable, "-m", "specforge", "test", "small.toml", "generate.metrics"],
        env={**os.environ, "PYTHONPATH": str(small.folder / "plugins")},
        capture_output=True,
        text=True,
        check=False,
    )

    shown = done.stderr
    assert ExitCode.STEP_FAILED == done.returncode
    assert "error[SF142]: the metric `acme-worn/worn` fails in `score`" in shown
    assert f'\n{text.count(chr(10))} | use = "acme-worn/worn"\n   |       ^^^^^^^^^^^^^^^^ this metric\n' in shown
    assert "note: AttributeError: 'list' object has no attribute 'total'" in shown
    assert "raised in `Worn.score`, " in shown
    assert "acme_worn_metric.py:6" in shown
