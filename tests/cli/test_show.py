"""`specforge show`: what it prints loads to the same spec, however the spec was written."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from random_specs import specs, written

from specforge.cli.main import main
from specforge.language.resolve import load_spec
from specforge.language.spec import Spec
from specforge.language.text.toml_text import toml_key, toml_value

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib

SPEC = """\
specforge = 1
task = { use = "translation", source = "en", target = "de" }
data = { train = ["train", { path = "train", weight = 2 }], valid = "train", test = "train" }
model = { use = "transformer_tiny", dropout = 0.5 }
train = { max_updates = 12_000 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("specs")
    for stem, language in itertools.product(("train", "sub/train"), ("en", "de")):
        (folder / stem).parent.mkdir(exist_ok=True)
        (folder / f"{stem}.{language}").write_text("a\n", encoding="utf-8")
    (folder / "table.tsv").write_text("a\ta\n", encoding="utf-8")
    return folder


def show(path: Path, *words: str) -> str:
    """Return what `specforge show` prints."""
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("specforge.cli.show.result", printed.append)
        assert main(["show", str(path), *words]) == 0
    return "\n".join(printed) + "\n"


def same(first: Spec, second: Spec) -> bool:
    """Whether two specs are equal in all that a plan is made from."""
    corpora = [
        [
            (one.files, one.columns, one.weight, one.hold_out)
            for one in (*spec.train_corpora, *spec.test_corpora.values())
        ]
        for spec in (first, second)
    ]
    return first.tree == second.tree and first.parts == second.parts and corpora[0] == corpora[1]


def test_it_prints_what_the_spec_says(folder: Path) -> None:
    path = folder / "spec.toml"
    path.write_text(SPEC, encoding="utf-8")

    assert (
        show(path, "--set", "generate.metrics=['bleu', 'ter']", "--set", 'name="a"')
        == f"""\
specforge = 1
name = "a"

[task]
use = "translation"
source = "en"
target = "de"

[[data.train]]
path = "{folder}/train"

[[data.train]]
path = "{folder}/train"
weight = 2.0

[data.valid]
path = "{folder}/train"

[data.test.test]
path = "{folder}/train"

[model]
use = "transformer_tiny"
dropout = 0.5

[train]
max_updates = 12_000

[[generate.metrics]]
use = "bleu"

[[generate.metrics]]
use = "ter"
"""
    )


def test_defaults_say_what_every_field_is_and_where_it_comes_from(folder: Path) -> None:
    path = folder / "spec.toml"
    path.write_text(SPEC, encoding="utf-8")

    text = show(path, "--defaults", "--set", "train.patience=3")

    for expected in (
        'name = "spec"  # default: the file\'s stem\n',
        f"# on embeddings and the output of every sublayer (float, >= 0.0, < 1.0)\ndropout = 0.5  # {path}:4:47\n",
        "encoder_layers = 2  # preset transformer_tiny\n",
        "eps = 1e-08  # default: specforge/adam@1\n",
        "patience = 3  # --set train.patience=3\n",
        "batch_tokens = 4096  # default: specforge/translation@1\n",
        "# largest ratio of the lengths of the two sides (float, >= 1.0)\n# max_ratio =\n",
    ):
        assert expected in text
    keys = re.findall(r"(?m)^(?:# )?([a-z_]+) =", text)
    assert {"root", "hold_out", "stop_min_lr", "log_every", "joined_dictionary", "smooth_value"} <= set(keys)


laws = settings(max_examples=25, deadline=None)


@laws
@given(specs)
def test_what_is_shown_loads_to_the_same_spec(folder: Path, values: dict[str, JsonValue]) -> None:
    path = folder / "law.toml"
    path.write_text("specforge = 1\n" + written(values), encoding="utf-8")
    spec = load_spec(path)

    for number, words in enumerate(((), ("--defaults",))):
        shown = folder / "sub" / f"shown-{number}.toml"  # elsewhere, under another name
        text = show(path, *words)
        shown.write_text(text, encoding="utf-8")
        assert same(spec, load_spec(shown))
        assert words or text == show(shown)  # and shows as itself


@laws
@given(specs, st.randoms(use_true_random=False))
def test_order_files_and_arguments_change_nothing(folder: Path, values: dict[str, JsonValue], random: Random) -> None:
    path = folder / "law.toml"
    path.write_text("specforge = 1\n" + written(values), encoding="utf-8")
    expected = load_spec(path)
    shuffled = list(values.items())
    random.shuffle(shuffled)
    parts: list[dict[str, JsonValue]] = [{}, {}, {}, {}]
    for key, value in shuffled:  # a name is of its own file, and a path of the folder where it is written
        parts[0 if key == "name" else random.randrange(4)][key] = value
    own, near, far, typed = parts
    (folder / "near.toml").write_text(written(near) + 'extends = "far.toml"\n', encoding="utf-8")
    (folder / "far.toml").write_text("# comment\n" + written(far), encoding="utf-8")
    path.write_text(written(own) + 'extends = "near.toml"\nspecforge = 1\n', encoding="utf-8")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        spec = load_spec(path, [written({key: value}) for key, value in typed.items()])

    assert same(expected, spec)


texts = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(texts, values)
def test_written_values_are_read_back(key: str, value: JsonValue) -> None:
    assert {key: value} == tomllib.loads(f"{toml_key(key)} = {toml_value(value)}")


def test_what_could_deceive_on_a_screen_is_escaped() -> None:
    assert toml_value("a\x7fb\x9bc\u202ed\U000e0001") == r'"a\u007fb\u009bc\u202ed\U000e0001"'


def test_null_is_not_written() -> None:
    assert toml_value({"a": None, "b": 1}) == "{ b = 1 }"
    with pytest.raises(ValueError, match="TOML has no null"):
        toml_value(None)
