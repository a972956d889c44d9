"""The specs of the repository run as they are; those whose data live elsewhere run where the data are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from digits import specforge

ROOT = Path(__file__).parent.parent.parent
SPECS = ROOT / "specs"
DATA = ROOT.parent / "shared" / "data"

# A few small updates, to see that the whole line up to the published weights works.
BRIEFLY = ("--until", "train", "--set", "train.max_updates=3")

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the corpora lie beside the repository, and are not there")


def data_root(corpus: str) -> tuple[str, str]:
    """Return the arguments that say where a corpus lies."""
    return "--set", f"data.root={json.dumps(str(DATA / corpus))}"


def scores(store: Path, name: str) -> dict[str, float]:
    """Return the scores of the test set `test` by name."""
    found = json.loads((store / "runs" / name / "scores.json").read_text())["scores"]["test"]
    return {score["name"]: score["value"] for score in found}


def test_the_quickstart_learns_to_translate_numbers(tmp_path: Path) -> None:
    spec = SPECS / "quickstart" / "quickstart.toml"

    result = specforge("run", spec, "--store", "store", cwd=tmp_path, environment={"OMP_NUM_THREADS": "2"})

    assert result.returncode == 0, result.stderr
    assert scores(tmp_path / "store", "quickstart")["exact_match"] >= 98
    sources = (SPECS / "quickstart" / "test.en").read_text().split("\n")[:4]
    hypotheses = (tmp_path / "store" / "runs" / "quickstart" / "test" / "hypotheses.txt").read_text().split("\n")[:4]
    translated = specforge("translate", spec, "--store", "store", cwd=tmp_path, stdin="\n\n".join(sources))
    assert "\n\n".join(hypotheses) + "\n" == translated.stdout, translated.stderr


def test_model_criterion_and_schedule_of_plugins_train_and_generate(tmp_path: Path) -> None:
    result = specforge("run", SPECS / "plugins.toml", "--store", "store", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    assert scores(tmp_path / "store", "plugins")["exact_match"] > 50


def test_the_sweep_trains_once_for_both_searches(tmp_path: Path) -> None:
    spec = SPECS / "quickstart" / "quickstart_sweep.toml"
    less = ("--set", "sweep.grid.optimizer.lr=[6e-3]", "--set", "train.max_updates=6")
    valid = ("--set", f"data.test={json.dumps(str(SPECS / 'quickstart' / 'valid'))}")

    result = specforge("run", spec, *less, *valid, "--store", "store", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    store = tmp_path / "store"
    points = json.loads((store / "runs" / "quickstart_sweep" / "sweep.json").read_text())["points"]
    assert [["bleu", "chrf"]] * 2 == [[score["name"] for score in point["scores"]["test"]] for point in points]
    made = {kind: len(list((store / "objects" / kind).iterdir())) for kind in ("preprocess", "train", "generate")}
    assert {"preprocess": 1, "train": 1, "generate": 2} == made


@needs_data
def test_multi30k_begins(tmp_path: Path) -> None:
    spec = SPECS / "multi30k_en_de.toml"
    less = ("--set", "train.batch_tokens=500")

    result = specforge("run", spec, *data_root("multi30k"), *BRIEFLY, *less, "--store", "store", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    prepared = next((tmp_path / "store" / "objects" / "preprocess").iterdir())
    assert 29_000 == json.loads((prepared / "corpus.json").read_text())["splits"]["train"]["items"]


@needs_data
@pytest.mark.parametrize("name", ["multi30k_en_de_10min", "multi30k_en_de_tiny"])
def test_the_other_recipes_for_multi30k_are_right(name: str, tmp_path: Path) -> None:
    result = specforge("validate", SPECS / f"{name}.toml", *data_root("multi30k"), cwd=tmp_path)

    assert result.returncode == 0, result.stderr


@needs_data
def test_tatoeba_is_split_by_distinct_english_sentence(tmp_path: Path) -> None:
    spec = SPECS / "tatoeba_en_fr.toml"
    less = ("--set", "train.batch_tokens=500")

    result = specforge("run", spec, *data_root("tatoeba"), *BRIEFLY, *less, "--store", "store", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    prepared = next((tmp_path / "store" / "objects" / "preprocess").iterdir())
    splits = json.loads((prepared / "corpus.json").read_text())["splits"]
    # 167,130 rows, a hundredth of the 116,830 distinct sentences for valid and as much for test
    assert 1_300 < splits["valid"]["items"] < 2_100
    assert 163_000 < splits["train"]["items"] < 164_500


@needs_data
def test_the_plan_of_the_fconv_spec_counts_the_parameters_that_fairseq_builds(tmp_path: Path) -> None:
    spec = SPECS / "fconv_wmt_en_de.toml"
    where = (*data_root("multi30k"), "--store", "store")

    prepared = specforge("run", spec, *where, "--until", "preprocess", cwd=tmp_path)
    planned = specforge("plan", spec, *where, "--json", cwd=tmp_path)

    assert prepared.returncode == 0, prepared.stderr
    (result,) = (tmp_path / "store" / "objects" / "preprocess").iterdir()
    source, target = (
        len((result / f"vocabulary.{role}.txt").read_text().rstrip("\n").split("\n")) + 4
        for role in ("source", "target")
    )
    # Counted with fairseq 0.12.2 for 8,000 and 10,000 types: 146,533,920. A source type more has a row of embeddings
    # (768); a target type more has a row of embeddings, a row of the output layer with its bias (512 + 1) and, as that
    # layer is weight-normed, one gain.
    expected = 146_533_920 + 768 * (source - 8_000) + (768 + 512 + 1 + 1) * (target - 10_000)
    assert expected == json.loads(planned.stdout)["estimates"]["parameters"], planned.stderr


@needs_data
@pytest.mark.slow
def test_a_few_updates_of_the_fconv_spec(tmp_path: Path) -> None:
    spec = SPECS / "fconv_wmt_en_de.toml"

    less = ("--set", "train.batch_tokens=500")

    result = specforge(
        "run",
        spec,
        *data_root("multi30k"),
        *BRIEFLY,
        *less,
        "--store",
        "store",
        cwd=tmp_path,
        environment={"OMP_NUM_THREADS": "2"},
    )

    assert result.returncode == 0, result.stderr
    (record,) = [
        json.loads(line)
        for line in (tmp_path / "store" / "runs" / "fconv_wmt_en_de" / "logs" / "train.jsonl").read_text().split("\n")
        if '"event": "valid"' in line
    ]
    assert 3 == record["updates"]


SMALL = ("--set", "model.embed_dim=16", "--set", "model.ffn_dim=16")


@needs_data
def test_the_classifier_of_banking77_begins(tmp_path: Path) -> None:
    spec, brief = SPECS / "banking77.toml", ("--set", "train.max_updates=3", "--set", 'allow=["SF411"]')

    result = specforge("run", spec, *data_root("banking77"), *brief, *SMALL, "--store", "store", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    prepared = next((tmp_path / "store" / "objects" / "preprocess").iterdir())
    summary = json.loads((prepared / "summary.json").read_text())
    assert 77 == summary["types"]["label"]
    assert 10_003 == sum(split["kept"] for split in summary["splits"].values())
    assert {"accuracy", "f1"} == scores(tmp_path / "store", "banking77").keys()


@needs_data
@pytest.mark.slow
def test_the_language_model_of_wikitext_begins(tmp_path: Path) -> None:
    spec, words = SPECS / "wikitext2_lm.toml", ("--set", 'tokenizer={use="whitespace"}')

    result = specforge(
        "run", spec, *data_root("wikitext-2"), *BRIEFLY[2:], *SMALL, *words, "--store", "store", cwd=tmp_path
    )

    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "store" / "runs" / "wikitext2_lm" / "scores.json").read_text())["scores"]["test"]
    # 245,569 tokens, as fairseq counts the test of WikiText-2: 241,211 words and 4,358 ends of line.
    assert ["tokens:245569", "words:245569"] == [score["signature"].split("|")[1] for score in found]
    assert found[0]["value"] == pytest.approx(found[1]["value"])
