"""`specforge explain`, as it reads: values, steps and codes, and what it says to a mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge import __version__
from specforge.cli.main import main
from specforge.cli.views.explain_step import difference_lines
from specforge.foundation import durable
from specforge.planning.compile import compile_plan
from specforge.planning.keys import outputs_digest
from specforge.planning.material import ComponentDifference, size_on_disk
from specforge.planning.plan import Plan, Step
from specforge.planning.states import origin_digest
from specforge.storage.digests import Digests
from specforge.storage.store import Store

ROOT = Path(__file__).parents[2]

Explain = Callable[..., str]


def line(text: str) -> int:
    """Return the number of a line of the small experiment's spec."""
    return SMALL_SPEC.split("\n").index(text) + 1


NEXT_LINE = SMALL_SPEC.count("\n") + 1
"""Number of the line behind that spec."""


@pytest.fixture
def explain(small: SmallExperiment, capsys: pytest.CaptureFixture[str]) -> Explain:
    """Run `specforge explain` in the small experiment's folder; return what it prints, or complains of if it is to fail."""

    def run(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert code == main(["explain", *words])
        printed = capsys.readouterr()
        return printed.err if code else printed.out.replace(f"{small.folder}/", "")

    return run


def publish(small: SmallExperiment, *assignments: str, content: str = "output") -> Plan:
    """Put the results of a spec into its store, as a run does, without running it."""
    store = Store(small.folder / ".specforge")
    store.create()
    plan = compile_plan(small.spec(*assignments), Digests(None), store)
    outputs: dict[str, str | None] = {}
    for step in plan.steps:
        scratch = store.scratch("test")
        folder = durable.make_folder(scratch / "result")
        (folder / "file").write_text(f"{content} of {step.id}")
        durable.publish(folder, store.result(step.kind, step.key), facts(plan, step, outputs))
        manifest = store.manifest(step.kind, step.key)
        assert manifest is not None
        outputs[step.id] = outputs_digest(manifest)
        durable.remove_folder(scratch)
    return plan


def facts(plan: Plan, step: Step, outputs: dict[str, str | None]) -> dict[str, JsonValue]:
    inputs: JsonValue = [
        {
            "role": file.role,
            "digest": file.digest,
            "lines": file.lines,
            "size": size_on_disk(file.path),
            "path": str(file.path),
        }
        for file in step.inputs
    ]
    return {
        "format": 1,
        "kind": step.kind,
        "key": step.key,
        "made_from": origin_digest(step, outputs),
        "components": dict(step.components),
        "config": dict(step.config),
        "inputs": inputs,
        "needs": {need: plan.step(need).key for need in step.needs},
        "made": {
            "at": "2026-05-04T10:20:30+0000",
            "run": "small",
            "host": "tower",
            "seconds": 61.25,
            "specforge": "0.1.0",
        },
    }


def test_a_value_with_its_history_its_field_and_its_keys(small: SmallExperiment, explain: Explain) -> None:
    small.write_spec(
        'specforge = 1\nextends = "small.toml"\nunset = ["model.ffn_dim"]\noptimizer = { lr = 7e-4 }\n', "top.toml"
    )

    assert (
        "optimizer.lr = 0.001   peak learning rate; the lr_scheduler says the rate of each update\n"
        "\n"
        "  0.001    --set optimizer.lr=1e-3                         in force\n"
        "  0.0007   top.toml:4:20                                   overruled\n"
        f"  0.0005   default of specforge/adam@1 (specforge {__version__})   overruled\n"
        "\n"
        "  float, > 0.0\n"
        "  in the key of train; generate.test and score.test follow\n"
        "  read by specforge/adam@1\n"
    ) == explain("top.toml", "optimizer.lr", "--set", "optimizer.lr=1e-3")
    removed, default = explain("top.toml", "model.ffn_dim").split("\n")[2:4]
    where = f"small.toml:{line('ffn_dim = 16')}:11 (extended at top.toml:2:11)"
    assert f"  16     {where}" == removed.partition("   removed")[0].rstrip()
    assert removed.endswith("   removed by `unset` at top.toml:3:10")
    assert (
        f"  2048   default of specforge/transformer@1 (specforge {__version__})"
        == default.partition("   in force")[0].rstrip()
    )


def test_a_value_that_changes_no_result(explain: Explain) -> None:
    assert "\n  in no key: it changes no result\n" in explain("small.toml", "run.devices")
    assert "\n  in no key: no step of this spec reads it\n" in explain("small.toml", "data.train.header")


def test_a_budget_says_whether_it_may_grow(small: SmallExperiment, explain: Explain) -> None:
    assert "\n  may grow: training goes on where it stopped\n" in explain("small.toml", "train.max_updates")
    small.write_spec(SMALL_SPEC + "[lr_scheduler]\nuse = 'cosine'\n")
    assert (
        "\n  another value starts training over: the rates of specforge/cosine@1 depend on the budget\n"
    ) in explain("small.toml", "train.max_updates")


def test_a_table_lists_its_values(explain: Explain) -> None:
    printed = explain("small.toml", "tokenizer").split("\n")

    assert ["tokenizer is specforge/whitespace@1", ""] == printed[:2]
    assert ["use", '"whitespace"', f"small.toml:{line('[tokenizer]') + 1}:7"] == printed[2].split()
    assert "  in the keys of preprocess, train and score.test; generate.test follows" == printed[-2]


def test_a_name_that_is_a_step_and_a_table(small: SmallExperiment, explain: Explain) -> None:
    publish(small)

    assert explain("small.toml", "train").startswith("train is reused: result ")
    assert explain("small.toml", "[train]").startswith("train\n\n  max_updates ")
    assert explain("small.toml", "tokenizer").startswith("tokenizer is specforge/whitespace@1\n")  # no step of its own


def test_the_path_of_a_corpus_shows_its_files(small: SmallExperiment, explain: Explain) -> None:
    printed = explain("small.toml", "data.test.path")

    source, target = (step.inputs[0].digest[:8] for step in publish(small).steps[2:])
    assert f"  test/source   test.en   3 lines   {source}   read by generate.test\n" in printed
    assert f"  test/target   test.de   3 lines   {target}   read by score.test\n" in printed
    assert "by what the files hold: equal files elsewhere have the same keys" in printed


def test_several_tests_are_told_together(small: SmallExperiment, explain: Explain) -> None:
    small.write_spec(SMALL_SPEC.replace('test = "test"', 'test = { one = "test", two = "valid" }'))

    assert "in the key of train; generate.* and score.* follow" in explain("small.toml", "model.dropout")
    printed = explain("small.toml", "generate")
    assert printed.startswith("generate.one will run")
    assert "\n\ngenerate.two will run" in printed


def test_a_step_without_any_earlier_result(explain: Explain) -> None:
    first, second = explain("small.toml", "train", "--store", "nowhere").rstrip().split("\n")

    assert first.startswith("train will run: no result has key ")
    assert "there is no earlier result of kind train in nowhere" == second


def test_a_step_that_is_reused(small: SmallExperiment, explain: Explain) -> None:
    key = publish(small).step("train").key[:8]

    assert (
        f"train is reused: result {key}\nmade by small, 2026-05-04 10:20, on tower, in 61.2 s, with specforge 0.1.0\n"
    ) == explain("small.toml", "train")


def test_a_step_that_runs_is_followed_to_the_lines(small: SmallExperiment, explain: Explain) -> None:
    old = publish(small)
    small.write_spec(
        SMALL_SPEC.replace("attention_heads = 2", "attention_heads = 4") + "[preprocess]\nmax_ratio = 2.0\n"
    )
    new = compile_plan(small.spec(), Digests(None), Store(small.folder / ".specforge"))
    was, now = ({step.id: step.key[:8] for step in plan.steps} for plan in (old, new))

    assert (
        f"generate.test will run: no result has key {now['generate.test']}\n"
        "\n"
        f"nearest is {was['generate.test']}, made by small, 2026-05-04 10:20\n"
        f"~ train                      {was['train']} → {now['train']}   its result\n"
        f"  ~ model.attention_heads    2 → 4                 small.toml:{line('attention_heads = 2')}:19\n"
        f"  ~ preprocess               {was['preprocess']} → {now['preprocess']}   its result\n"
        f"    ~ preprocess.max_ratio   unset → 2.0           small.toml:{NEXT_LINE + 1}:13\n"
        "\n"
        f"to keep {was['generate.test']}, undo both\n"
    ) == explain("small.toml", "generate")


def test_a_file_that_was_changed_in_place(small: SmallExperiment, explain: Explain) -> None:
    old = publish(small).step("score.test").inputs[0]
    (small.folder / "test.de").write_text("a\nb\nc\n")
    new = compile_plan(small.spec(), Digests(None), Store(small.folder / ".specforge")).step("score.test").inputs[0]

    printed = explain("small.toml", "score").split("\n")

    assert [
        f"~ test/target   sha256 {old.digest[:8]} → {new.digest[:8]}   test.de",
        "                31 bytes → 6 bytes",
        "                3 lines → 3 lines",
        "",
    ] == printed[3:7]
    assert printed[7].endswith(", undo it")


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        ("specforge/adam@1", "specforge/adam@0", "another version is installed"),
        ("my-plugin/lion@1+00ff", "my-plugin/lion@1+11ee", "its code was edited"),
        ("my-plugin/lion@1", "specforge/adam@1", "--set optimizer='adam'"),
    ],
)
def test_another_component_says_how_it_came_to_be_another(
    small: SmallExperiment, now: str, before: str, words: str
) -> None:
    spec = small.spec("optimizer='adam'")
    difference = ComponentDifference("changed", ("optimizer",), before, now)

    (row,) = difference_lines([difference], spec)

    assert f"~ optimizer   {before} → {now}   {words}" == row


def test_what_several_steps_read_is_told_in_full_once(small: SmallExperiment, explain: Explain) -> None:
    tokenizer = ("--set", "tokenizer={use = 'sentencepiece', vocab_size = 20}")
    publish(small, tokenizer[1])
    (small.folder / "train.en").write_text("a\nb\nc\nd\ne\n")

    printed = explain("small.toml", "train", *tokenizer, "--set", "seed=2").split("\n")

    rows = {" ".join(row.split()[:2]): row for row in printed if "train/0/source" in row or "seed" in row}
    assert 1 == len([row for row in printed if "sha256" in row])
    assert rows["train/0/source as"].endswith("as above")
    assert rows["seed as"].endswith("as above")


def test_training_that_cannot_go_on_says_why(small: SmallExperiment, explain: Explain) -> None:
    small.write_spec(SMALL_SPEC + "[lr_scheduler]\nuse = 'cosine'\n")
    key = publish(small).step("train").key[:8]

    printed = explain("small.toml", "train", "--set", "train.max_updates=8")

    assert (
        f"\ntraining cannot go on from {key}: the rates of specforge/cosine@1 depend on where training ends, "
        f"so those so far would have been others\nto keep {key}, undo it\n"
    ) in printed


def test_early_cut_off_names_the_equal_result_and_what_gave_it_another_key(
    small: SmallExperiment, explain: Explain
) -> None:
    key = publish(small).step("train").key
    other = publish(small, "preprocess.max_ratio=9.0").step("train").key
    durable.remove_folder(small.folder / ".specforge" / "objects" / "train" / other)

    printed = explain("small.toml", "train", "--set", "preprocess.max_ratio=9.0").split("\n")

    assert f"train is reused: no result has key {other[:8]}" == printed[0]
    assert printed[1].startswith(f"{key[:8]} is equal: ")
    assert printed[5].startswith("~ preprocess ")
    assert printed[5].endswith("   came out the same")
    assert "  ~ preprocess.max_ratio   unset → 9.0           --set preprocess.max_ratio=9.0" == printed[6]


def test_a_sweep_is_set_aside_and_a_point_is_a_spec(
    small: SmallExperiment, explain: Explain, capsys: pytest.CaptureFixture[str]
) -> None:
    small.write_spec(SMALL_SPEC + "[sweep.grid]\nmodel.dropout = [0.2, 0.3]\n")

    assert f"\n  swept   small.toml:{NEXT_LINE + 1}:17 " in explain("small.toml", "model.dropout")
    assert explain("small.toml", "model.dropout", "--point", "2").startswith("model.dropout = 0.3 ")
    assert 0 == main(["explain", "small.toml", "train"])
    assert "this is the spec without its sweep; --point N explains one of its 2 points\n" == capsys.readouterr().err


@pytest.mark.parametrize("code", ["SF110", "sf110"])
def test_a_code_shows_its_page(explain: Explain, code: str) -> None:
    assert explain(code).startswith("# SF110: ")
    assert {"format", "code", "page"} == json.loads(explain(code, "--json")).keys()


@pytest.mark.parametrize(
    ("words", "code", "help_text"),
    [
        (["SF019"], "SF112", "did you mean `SF"),
        (["XY1"], "SF112", "docs/reference/errors.md"),
        (["small.toml"], "SF111", "the steps `preprocess`, `train`, `generate.test`, `score.test`"),
        (["model.dropout"], "SF111", "`specforge explain SPEC model.dropout`"),
        (["train", "small.toml"], "SF111", "`specforge explain small.toml train`"),
        (["small.toml", "dropout"], "SF110", "`dropout` stands in `model.dropout`"),
        (["small.toml", "score.tset"], "SF110", "did you mean `score.test`?"),
        (["nowhere.toml", "train"], "SF501", ""),
        (["SF110", "train"], "SF501", ""),
        (["small.toml", "train", "--set", "model.dropuot=1"], "SF101", ""),
    ],
)
def test_a_mistake_is_told_with_what_to_type(explain: Explain, words: list[str], code: str, help_text: str) -> None:
    said = explain(*words, code=2)

    assert f"error[{code}]" in said
    assert help_text in said
    assert "Traceback" not in said


def keys_of(value: Any) -> set[str]:
    """Return the names of all fields of a JSON document."""
    if isinstance(value, list):
        return {name for item in value for name in keys_of(item)}
    return {*value, *(name for item in value.values() for name in keys_of(item))} if isinstance(value, dict) else set()


def test_the_json_is_what_its_page_says(small: SmallExperiment, explain: Explain) -> None:
    page = (ROOT / "docs" / "reference" / "json.md").read_text().partition("## `specforge explain --json`")[2]
    publish(small)
    (small.folder / "test.de").write_text("a\nb\nc\n")

    asked: list[tuple[str, ...]] = [
        ("train.max_updates",),
        ("model",),
        ("data.train.path",),
        ("train",),
        ("score.test",),
    ]
    asked += [("score.test", "--set", "model='fconv'"), ("train", "--set", "train.max_updates=3")]
    documents = [json.loads(explain("small.toml", *words, "--json")) for words in asked]
    names = {name for document in documents for name in keys_of(document)}

    assert [] == [name for name in sorted(names) if f"`{name}`" not in page]
    assert {1} == {document["format"] for document in documents}


def test_json_and_text_tell_the_same(small: SmallExperiment, explain: Explain) -> None:
    publish(small)
    words = ("score.test", "--set", "model.dropout=0.3", "--set", "preprocess.max_ratio=2.0")

    (step,) = json.loads(explain("small.toml", *words, "--json"))["steps"]

    (generate,) = step["nearest"]["differences"]
    (train,) = generate["causes"]
    dropout, preprocess = train["causes"]
    assert ("field", ["model", "dropout"], 0.1, 0.3, "set") == tuple(
        dropout[name] for name in ("what", "path", "before", "after", "layer")
    )
    assert [["preprocess", "max_ratio"]] == [cause["path"] for cause in preprocess["causes"]]
    assert 2 == step["nearest"]["causes"]


@pytest.mark.parametrize("what", ["model.dropout", "train", "data.train.path"])
def test_explaining_imports_no_torch(small: SmallExperiment, what: str) -> None:
    program = (
        "import sys\n"
        "from specforge.cli.main import main\n"
        "code = main(['explain', 'small.toml', sys.argv[1]])\n"
        "heavy = {'torch', 'numpy', 'sentencepiece', 'sacrebleu', 'rich'} & set(sys.modules)\n"
        "print(code, sorted(heavy), file=sys.stderr)\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", program, what], cwd=small.folder, capture_output=True, text=True, check=False
    )

    assert result.stderr.rstrip().endswith("0 []"), result.stderr
