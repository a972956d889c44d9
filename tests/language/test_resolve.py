"""Layers folded into a spec: what extends, unset, --set and presets do, and the history of every value."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import JsonValue

from specforge.language.naming import default_name
from specforge.language.spec import Spec, ValuePath

if TYPE_CHECKING:
    from spec_folder import SpecFolder


def value(spec: Spec, *path: str | int) -> JsonValue:
    found: JsonValue = dict(spec.tree)
    for part in path:
        if isinstance(found, list):
            assert isinstance(part, int)
            found = found[part]
        else:
            assert isinstance(found, dict)
            found = found[str(part)]
    return found


def history(spec: Spec, *path: str | int) -> list[tuple[str, JsonValue, str]]:
    """Return layer, value and place or source of each origin."""
    return [(one.layer, one.value, str(one.place or one.source)) for one in spec.origins[path]]


def test_the_smallest_spec_has_every_component_and_default(specs: SpecFolder, minimal: str) -> None:
    spec = specs.load(minimal)

    assert {path: part.registered.qualified for path, part in spec.parts.items()} == {
        ("task",): "specforge/translation",
        ("tokenizer",): "specforge/sentencepiece",
        ("model",): "specforge/transformer",
        ("criterion",): "specforge/label_smoothed_cross_entropy",
        ("optimizer",): "specforge/adam",
        ("lr_scheduler",): "specforge/inverse_sqrt",
        ("generate", "search"): "specforge/beam",
        ("generate", "metrics", 0): "specforge/bleu",
    }
    assert (spec.name, spec.seed, spec.path) == ("spec", 1, Path("spec.toml"))
    assert [column.name for column in spec.task.columns()] == ["en", "de"]
    assert spec.tokenizer.trained
    assert spec.train.batch_tokens == 4_096
    assert spec.held_out_test is False


def test_every_leaf_has_a_history_that_ends_with_what_is_in_force(specs: SpecFolder, minimal: str) -> None:
    spec = specs.load(minimal, "generate.search.beam=7", 'model="transformer_wmt_en_de_big"')

    pending: list[tuple[ValuePath, JsonValue]] = [((), dict(spec.tree))]
    count = 0
    while pending:
        path, found = pending.pop()
        if isinstance(found, dict):
            pending += [((*path, key), child) for key, child in found.items()]
        elif isinstance(found, list) and found and isinstance(found[0], dict):
            pending += [((*path, index), child) for index, child in enumerate(found)]
        else:
            count += 1
            last = spec.origins[path][-1]
            if path[-1] != "path":  # made absolute
                assert found == last.value, path
            assert (last.place is not None) == (last.layer in {"spec", "set"})
    assert count == len(spec.origins) > 80


def test_layers_from_default_to_set(specs: SpecFolder, minimal: str) -> None:
    specs.write("[model]\ndropout = 0.2\n", "base.toml")
    text = f'extends = "base.toml"\n{minimal}'.replace(
        '"transformer"', '{ use = "transformer_wmt_en_de_big", dropout = 0.4 }'
    )

    spec = specs.load(text, "model.dropout=0.5")

    assert history(spec, "model", "dropout") == [
        ("default", 0.1, "specforge/transformer@1"),
        ("preset", 0.3, "preset transformer_wmt_en_de_big"),
        ("spec", 0.2, "base.toml:2:11"),
        ("spec", 0.4, "spec.toml:5:56"),
        ("set", 0.5, "--set:1:15"),
    ]
    assert value(spec, "model", "dropout") == 0.5
    assert spec.parts["model",].preset == "transformer_wmt_en_de_big"


def test_defaults_say_whose_they_are(specs: SpecFolder, minimal: str) -> None:
    spec = specs.load(minimal)

    assert history(spec, "optimizer", "use") == [("default", "adam", "specforge/translation@1")]
    assert history(specs.load(minimal, 'optimizer="nag"'), "optimizer", "use") == [
        ("default", "adam", "specforge/translation@1"),
        ("set", "nag", "--set:1:11"),
    ]
    assert history(spec, "optimizer", "eps") == [("default", 1e-8, "specforge/adam@1")]
    assert history(spec, "train", "clip_norm") == [("default", 0.0, "specforge")]
    assert history(spec, "train", "batch_tokens") == [("default", 4_096, "specforge/translation@1")]
    assert history(spec, "name") == [("default", "spec", "the file's stem")]
    assert history(spec, "data", "valid", "weight") == [("default", 1.0, "specforge")]
    assert history(spec, "task", "source") == [("spec", "en", "spec.toml:2:40")]


def test_the_batch_default_is_the_tasks(specs: SpecFolder, minimal: str) -> None:
    assert history(specs.load(minimal, "train.batch_tokens=9"), "train", "batch_tokens") == [
        ("default", 4_096, "specforge/translation@1"),
        ("set", 9, "--set:1:20"),
    ]


def test_no_batch_default_beside_batch_sentences(specs: SpecFolder, minimal: str) -> None:
    spec = specs.load(minimal, "train.batch_sentences=32")

    assert (spec.train.batch_tokens, value(spec, "train", "batch_tokens")) == (None, None)


def test_tables_merge_and_arrays_replace(specs: SpecFolder, minimal: str) -> None:
    specs.write(
        f"{minimal}[optimizer]\nlr = 0.1\nbetas = [0.5, 0.5]\n[generate]\nmetrics = ['bleu', 'ter']\n", "base.toml"
    )

    spec = specs.load('extends = "base.toml"\noptimizer.betas = [0.9, 0.98]\ngenerate.metrics = ["chrf"]\n')

    assert value(spec, "optimizer", "lr") == 0.1
    assert value(spec, "optimizer", "betas") == [0.9, 0.98]
    assert [
        part.registered.component.name for path, part in spec.parts.items() if path[:2] == ("generate", "metrics")
    ] == ["chrf"]


def test_another_component_replaces_the_whole_table(specs: SpecFolder, minimal: str) -> None:
    specs.write(minimal.replace('"transformer"', '{ use = "transformer", dropout = 0.4 }'), "base.toml")

    same = specs.load('extends = "base.toml"\nmodel = "transformer"\n')
    other = specs.load('extends = "base.toml"\nmodel = "fconv"\n')

    assert value(same, "model", "dropout") == 0.4
    assert value(other, "model", "dropout") == 0.1
    assert history(other, "model", "dropout") == [("default", 0.1, "specforge/fconv@1")]
    assert history(other, "model", "use") == [
        ("spec", "transformer", "base.toml:4:17"),
        ("spec", "fconv", "spec.toml:2:9"),
    ]


def test_a_table_that_names_no_component_merges_with_what_is_named_elsewhere(specs: SpecFolder, minimal: str) -> None:
    specs.write(f"{minimal}[optimizer]\nlr = 0.1\n", "base.toml")

    spec = specs.load('extends = "base.toml"\noptimizer.use = "nag"\n')

    assert (value(spec, "optimizer", "use"), value(spec, "optimizer", "lr")) == ("nag", 0.1)


def test_a_path_replaces_the_whole_corpus_and_a_table_merges_with_it(specs: SpecFolder, minimal: str) -> None:
    corpus = '{ path = "valid.tsv", format = "tsv" }'
    specs.write(minimal.replace('valid = "valid"', f"valid = {corpus}"), "base.toml")
    for name in ("valid.tsv", "other.tsv"):
        specs.write("a\tb\n", name)

    replaced = specs.load('extends = "base.toml"\ndata.valid = "valid"\n')
    merged = specs.load('extends = "base.toml"\ndata.valid.path = "other.tsv"\n')

    assert value(replaced, "data", "valid", "format") == "text"
    assert value(merged, "data", "valid", "format") == "tsv"


def test_a_table_merges_with_the_only_training_corpus(specs: SpecFolder, minimal: str) -> None:
    one = specs.load(minimal, "data.train.weight=2.0")
    two = specs.brief(minimal.replace('train = "train"', 'train = ["train", "valid"]'), "data.train.weight=2.0")

    assert [corpus.weight for corpus in one.train_corpora] == [2.0]
    assert two == [("SF102", "--set:1:6", "`path` is required")]


def test_unset_brings_back_what_lies_below(specs: SpecFolder, minimal: str) -> None:
    specs.write(f"{minimal}[preprocess]\nmax_length = 9\nmax_ratio = 2\n[optimizer]\nuse = 'nag'\n", "base.toml")

    spec = specs.load(
        'extends = "base.toml"\nunset = ["preprocess.max_length", "optimizer"]\n', 'unset=["preprocess.max_ratio"]'
    )

    assert spec.preprocess.max_length is None
    assert spec.preprocess.max_ratio is None
    assert value(spec, "optimizer", "use") == "adam"
    assert history(spec, "preprocess", "max_length") == [("default", None, "specforge")]


def test_unset_comes_before_the_files_own_values(specs: SpecFolder, minimal: str) -> None:
    specs.write(f"{minimal}[optimizer]\nuse = 'adam'\neps = 0.5\n", "base.toml")

    spec = specs.load('extends = "base.toml"\nunset = ["optimizer"]\n[optimizer]\nlr = 0.1\n')

    assert (value(spec, "optimizer", "eps"), value(spec, "optimizer", "lr")) == (1e-8, 0.1)


def test_a_file_that_is_reached_twice_counts_once(specs: SpecFolder, minimal: str) -> None:
    specs.write(f"seed = 1\n{minimal}", "base.toml")
    specs.write('extends = "base.toml"\nseed = 2\n', "left.toml")
    specs.write('extends = "./base.toml"\ntrain.patience = 3\n', "right.toml")

    spec = specs.load('extends = ["left.toml", "right.toml"]\n')

    assert (spec.seed, spec.train.patience) == (2, 3)


def test_a_name_is_of_one_file(specs: SpecFolder, minimal: str) -> None:
    specs.write(f'name = "base"\n{minimal}', "base.toml")

    assert specs.load('extends = "base.toml"\n').name == "spec"
    assert specs.load('extends = "base.toml"\nname = "mine"\n').name == "mine"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("specs/wmt.toml", "wmt"),
        ("my spec.v2.toml", "my-spec.v2"),
        (".toml", "toml"),
        ("中.toml", "spec-" + sha256("中".encode()).hexdigest()[:8]),
        ("wmt-é.toml", "wmt-" + sha256("wmt-é".encode()).hexdigest()[:8]),
        ("-.toml", "spec"),
    ],
)
def test_a_spec_without_a_name_is_called_after_its_file(path: str, expected: str) -> None:
    assert expected == default_name(Path(path))


def test_paths_start_from_the_file_that_says_them(specs: SpecFolder, minimal: str) -> None:
    for language in ("en", "de"):
        specs.write("x\n", f"shared/corpora/valid.{language}")
    specs.write('data.valid = "corpora/valid"\n', "shared/base.toml")

    spec = specs.load(
        f'extends = "shared/base.toml"\n{minimal.replace(", valid = " + chr(34) + "valid" + chr(34), "")}'
    )

    assert spec.valid_corpus is not None
    assert spec.valid_corpus.files["en"] == specs.path / "shared" / "corpora" / "valid.en"
    assert spec.train_corpora[0].files["de"] == specs.path / "train.de"
    assert str(spec.valid_corpus.place) == "shared/base.toml:1:14"


def test_root_moves_all_data_paths_and_starts_where_it_is_said(
    specs: SpecFolder, minimal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stem in ("train", "valid", "test"):
        for language in ("en", "de"):
            specs.write("x\n", f"here/corpora/{stem}.{language}")
    specs.write(f"{minimal}[extra]\n".replace("[extra]\n", ""), "elsewhere/spec.toml")
    monkeypatch.chdir(specs.path / "here")

    from specforge.language.resolve import load_spec  # as patched by the fixture

    spec = load_spec(Path("../elsewhere/spec.toml"), ['data.root="corpora"'])

    assert spec.train_corpora[0].files["en"] == specs.path / "here" / "corpora" / "train.en"
    assert value(spec, "data", "root") == str(specs.path / "here" / "corpora")
    assert value(spec, "data", "train", 0, "path") == "train"


def test_validation_decodes_where_its_metric_needs_text(specs: SpecFolder, minimal: str) -> None:
    by_loss = specs.load(minimal)
    by_bleu = specs.load(minimal, 'train.best_metric="bleu"')
    by_beam = specs.load(minimal, 'train.best_metric="specforge/chrf"', 'train.valid_search={use="beam", beam=2}')

    path = ("train", "valid_search")
    assert path not in by_loss.parts
    assert value(by_loss, *path) is None
    assert by_bleu.parts[path].registered.component.name == "greedy"
    assert history(by_bleu, *path, "use") == [("default", "greedy", "specforge")]
    assert value(by_beam, *path, "beam") == 2


def test_values_that_say_nothing_new_are_the_same_spec(specs: SpecFolder, minimal: str) -> None:
    reordered = "\n".join(reversed(minimal.rstrip().split("\n"))) + "\n# a comment\n"

    assert specs.load(minimal).tree == specs.load(reordered).tree
    assert specs.load(minimal).tree == specs.load(minimal, "train.max_updates=0xA", "seed=1").tree


def test_set_takes_any_toml_value(specs: SpecFolder, minimal: str) -> None:
    spec = specs.load(
        minimal,
        "optimizer.betas = [0.5, 0.6]",
        'model={use="fconv"}',
        "'seed'=3",
        'data."valid" = "test"',
        "train.patience=2",
    )

    assert value(spec, "optimizer", "betas") == [0.5, 0.6]
    assert value(spec, "model", "use") == "fconv"
    assert (spec.seed, spec.train.patience) == (3, 2)
    assert spec.data.valid is not None
    assert spec.data.valid.path == "test"


@pytest.mark.parametrize(
    ("argument", "place", "help_text"),
    [
        ("train.max_updates", "--set:1:1", "write --set 'train.max_updates=500'"),
        ("model=fconv", "--set:1:7", """text needs quotes, and the shell needs its own: --set 'model="fconv"'"""),
        (
            "data.root = it's here",
            "--set:1:13",
            """text needs quotes, and the shell needs its own: --set 'data.root="it'"'"'s here"'""",
        ),
        ("seed=1\nname='x'", "--set:1:1", None),
        ("seed=1 # why", "--set:1:1", None),
        ("[train]\nseed=1", "--set:1:1", "write --set 'train.max_updates=500'"),
        ("=1", "--set:1:1", "write --set 'train.max_updates=500'"),
        ("seed= ", "--set:1:7", "write --set 'path=value'"),
        ("model='fconv", "--set:1:7", None),
        ("train.valid_search=True", "--set:1:20", "write `true`"),
        (
            'data.root="C:\\q"',
            "--set:1:14",
            r"write `\\` for a backslash, or put the text in single quotes: `'C:\q'`",
        ),
        ("optimizer.betas=[0.9", "--set:1:17", None),
        ('extends="base.toml"', "--set:1:1", None),
    ],
)
def test_a_wrong_assignment_is_told_what_to_type(
    specs: SpecFolder, minimal: str, argument: str, place: str, help_text: str | None
) -> None:
    (diagnostic,) = specs.diagnostics(minimal, argument)

    assert ("SF108", place, help_text) == (diagnostic.code, str(diagnostic.place), diagnostic.help)


def test_a_value_of_set_is_shown_where_it_was_typed(specs: SpecFolder, minimal: str) -> None:
    assert specs.brief(minimal, "train.max_updates=1.5", "run.devices=0", "run.device='tpu'") == [  # in this order
        ("SF103", "--set:1:19", "this is a floating-point number"),
        ("SF103", "--set:1:13", ""),
        ("SF103", "--set:1:12", ""),
    ]


def test_a_table_in_place_of_a_value_is_shown_where_it_was_typed(specs: SpecFolder, minimal: str) -> None:
    found = specs.brief(minimal, "train.max_updates.x=1", "data.valid.path.x=1")

    assert found == [("SF103", "--set:1:7", "this is a table"), ("SF103", "--set:1:12", "this is a table")]


@pytest.mark.parametrize(
    "argument", ["train.max_updates=nan", "train=nan", "data.valid=1979-05-27", "data={train='train', valid=inf}"]
)
def test_a_value_that_no_spec_has_is_not_missing_too(specs: SpecFolder, minimal: str, argument: str) -> None:
    assert ["SF103"] == [found.code for found in specs.diagnostics(minimal, argument)]


def test_a_value_that_no_spec_has_hides_no_other_mistake(specs: SpecFolder, minimal: str) -> None:
    found = specs.brief(minimal, "train={max_updates=nan, max_epoch=3}", "optimizer={lr=nan, betas=[1, 2, 3], eps='x'}")

    assert found == [
        ("SF103", "--set:1:20", "not allowed here"),
        ("SF101", "--set:1:25", "did you mean `max_epochs`?"),
        ("SF103", "--set:1:15", "not allowed here"),
        ("SF103", "--set:1:26", ""),
        ("SF103", "--set:1:41", "this is a string"),
    ]


@pytest.mark.parametrize("array", ["[]", "[0.9]", "[0.9, 0.9, 0.9]"])
def test_an_array_of_the_wrong_length_is_told_its_length(specs: SpecFolder, minimal: str, array: str) -> None:
    (found,) = specs.diagnostics(minimal, f"optimizer.betas={array}")

    assert ("SF103", "--set:1:17") == (found.code, str(found.place))
    assert found.message.startswith("`optimizer.betas` must be ")
    assert found.message.endswith("2 elements long")


def test_an_array_that_is_too_short_is_told_so_once_where_a_number_may_stand_too(
    specs: SpecFolder, minimal: str
) -> None:
    (found,) = specs.diagnostics(minimal, "generate.search={use='beam',min_length=[0.5]}")

    assert ("SF103", "--set:1:40") == (found.code, str(found.place))
    assert "`generate.search.min_length` must be 2 elements long" == found.message


@pytest.mark.parametrize("section", ["language_model", "rerank"])
def test_a_weight_leaves_scores_that_are_numbers(specs: SpecFolder, minimal: str, section: str) -> None:
    found = specs.diagnostics(minimal, f"generate.{section}={{path='lm',weight=1e300}}")

    message = f"`generate.{section}.weight` must be at most 1000000"
    assert [message] == [each.message for each in found if each.code == "SF103"]


def test_what_is_missing_is_not_asked_for_while_a_file_cannot_be_read(specs: SpecFolder) -> None:
    text = 'extends = "absent.toml"\ntokenizer = "sentencpiece"\n[model]\ndropout = 0.1\n[data]\ntrain = "train"\n'

    assert specs.brief(text) == [
        ("SF106", "spec.toml:1:11", ""),
        ("SF201", "spec.toml:2:13", "did you mean `sentencepiece`?"),
    ]


def test_errors_of_an_extended_file_are_shown_there(specs: SpecFolder, minimal: str) -> None:
    specs.write("[run]\ndevices = 'two'\n", "base.toml")

    assert specs.brief(f'extends = "base.toml"\n{minimal}', "seed=-1") == [
        ("SF103", "base.toml:2:11", "this is a string"),
        ("SF103", "--set:1:6", ""),
    ]


@pytest.mark.parametrize(("key", "number"), [("extends", 3), ("unset", 3), ("extends", ["base.toml", 3])])
def test_extends_and_unset_take_strings(specs: SpecFolder, minimal: str, key: str, number: object) -> None:
    specs.write("", "base.toml")

    found = specs.brief(f"{key} = {number}\n{minimal}".replace("'", '"'))

    assert [code for code, _, _ in found] == ["SF103"]


def test_a_spec_of_too_many_files_is_refused(specs: SpecFolder, minimal: str) -> None:
    for number in range(40):
        specs.write(f'extends = "{number + 1}.toml"\n' if number < 39 else minimal, f"{number}.toml")

    assert [code for code, _, _ in specs.brief('extends = "0.toml"\n')] == ["SF105"]


def test_an_extended_file_of_another_version_is_told(specs: SpecFolder, minimal: str) -> None:
    specs.write("specforge = 2\n", "base.toml")

    assert specs.brief(f'extends = "base.toml"\n{minimal}') == [
        ("SF103", "base.toml:1:13", "this specforge knows version 1")
    ]


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2", "`specforge`: this specforge knows version 1 of the language"),
        ("true", "`specforge` must be a whole number"),
        ("1.0", "`specforge` must be a whole number"),
        ('"1"', "`specforge` must be a whole number"),
    ],
)
def test_a_spec_of_another_version_is_told(specs: SpecFolder, minimal: str, version: str, message: str) -> None:
    (diagnostic,) = specs.diagnostics(minimal.replace("specforge = 1", f"specforge = {version}"))

    assert (diagnostic.code, diagnostic.message, str(diagnostic.place)) == ("SF103", message, "spec.toml:1:13")
