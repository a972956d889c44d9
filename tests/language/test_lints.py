"""What is legal and odd draws a warning at its line, and `allow` silences it."""

from __future__ import annotations

from pathlib import Path

import pytest

from specforge.language.messages.diagnostics import Diagnostic, SpecError
from specforge.language.resolve import load_spec

PLAIN = """\
specforge = 1
task = { use = "translation", source = "en", target = "de" }
model = "transformer"
data = { train = "train", valid = "valid", test = "test" }
lr_scheduler = { use = "inverse_sqrt", warmup_updates = 99 }
train = { max_updates = 100 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with text for three corpora, which `--set` starts from."""
    monkeypatch.chdir(tmp_path)
    for name in ("train", "valid", "test"):
        for language in ("en", "de"):
            (tmp_path / f"{name}.{language}").write_text("a b\n")
    return tmp_path


def warnings(folder: Path, text: str, *assignments: str) -> list[Diagnostic]:
    """Return the warnings of a spec with this text."""
    (folder / "spec.toml").write_text(text)
    return list(load_spec(folder / "spec.toml", assignments).warnings)


def codes(folder: Path, *lines: str, text: str = PLAIN) -> list[str]:
    """Return the codes of the warnings of a plain spec with some `--set`."""
    return [warning.code for warning in warnings(folder, text, *lines)]


def places(diagnostic: Diagnostic) -> list[tuple[int | None, int | None]]:
    return [(label.place.line, label.place.column) for label in diagnostic.labels]


def test_a_plain_spec_draws_none(folder: Path) -> None:
    assert [] == codes(folder)


@pytest.mark.parametrize(
    ("code", "assignments"),
    [
        ("SF411", ["lr_scheduler.warmup_updates=100"]),
        ("SF411", ["lr_scheduler={use='fixed', warmup_updates=5}", "train.max_updates=5"]),
        ("SF412", ["criterion.label_smoothing=0.51"]),
        ("SF413", ["preprocess.padding_factor=4"]),
        ("SF414", ["generate.search={use='beam', beam=1, lenpen=0.6}"]),
        ("SF414", ["train.best_metric='bleu'", "train.valid_search={use='beam', beam=1, lenpen=0.6}"]),
        ("SF415", ["data.valid='train'"]),
        ("SF415", ["data.test='./train'"]),
        ("SF417", ["unset=['data.test']", "generate.metrics='bleu'"]),
        ("SF418", ["train.validate_every='101 updates'"]),
        ("SF418", ["train.max_epochs=1", "train.validate_every='2 epochs'"]),
    ],
)
def test_each_oddity_has_a_code(folder: Path, code: str, assignments: list[str]) -> None:
    assert [code] == codes(folder, *assignments)


def test_a_link_to_the_training_data_is_the_training_data(folder: Path) -> None:
    for language in ("en", "de"):
        (folder / f"link.{language}").symlink_to(folder / f"train.{language}")

    assert ["SF415"] == codes(folder, "data.valid='link'")


def test_rows_held_out_as_a_test_are_scored(folder: Path) -> None:
    held_out = "data.train={path = 'train', hold_out = {test = 0.1}}"

    assert [] == codes(folder, "unset=['data.test']", held_out, "generate.metrics='bleu'")


@pytest.mark.parametrize(
    "assignment",
    [
        "lr_scheduler.warmup_updates=99",
        "lr_scheduler={use='fixed', warmup_updates=0}",
        "criterion.label_smoothing=0.5",
        "preprocess.padding_factor=16",
        "generate.search={use='beam', beam=1}",
        "generate.search={use='beam', beam=2, lenpen=0.6}",
        "generate.metrics='bleu'",
        "train.validate_every='100 updates'",
        "train.validate_every='1 epoch'",
    ],
)
def test_the_ordinary_draws_none(folder: Path, assignment: str) -> None:
    assert [] == codes(folder, assignment)


def test_on_a_cpu_any_vocabulary_will_do(folder: Path) -> None:
    assert [] == codes(folder, "preprocess.padding_factor=4", "run.device='cpu'")


def test_a_root_is_for_relative_paths(folder: Path) -> None:
    absolute = [f"data.{name}='{folder / name}'" for name in ("train", "valid", "test")]

    assert ["SF417"] == codes(folder, "data.root='elsewhere'", *absolute)
    assert [] == codes(folder, f"data.root='{folder}'", *absolute[:2])  # the test starts from it


def test_both_lines_of_a_disagreement_are_shown(folder: Path) -> None:
    text = PLAIN.replace("warmup_updates = 99", "warmup_updates = 4_000")

    (found,) = warnings(folder, text)

    assert "warning" == found.severity
    assert [(5, 57), (6, 25)] == places(found)
    assert [True, False] == [label.primary for label in found.labels]


def test_a_default_has_no_line_and_is_called_one(folder: Path) -> None:
    text = PLAIN.replace(", warmup_updates = 99", "")

    (found,) = warnings(folder, text)

    assert "the warm-up of 4,000 updates (the default) does not end before training does" == found.message
    assert [(6, 25)] == places(found)
    assert found.labels[0].primary


def test_a_value_of_an_extended_file_is_shown_there(folder: Path) -> None:
    (folder / "base.toml").write_text(
        PLAIN + "criterion = { use = 'label_smoothed_cross_entropy', label_smoothing = 1 }\n"
    )

    (found,) = warnings(folder, 'extends = "base.toml"\n')

    assert str(folder / "base.toml") == found.labels[0].source.name


def test_allow_silences_by_code(folder: Path) -> None:
    both = ["data.valid='train'", "criterion.label_smoothing=1"]

    assert ["SF415", "SF412"] == sorted(codes(folder, *both), reverse=True)
    assert ["SF415"] == codes(folder, *both, text='allow = ["SF412"]\n' + PLAIN)
    assert [] == codes(folder, *both, text='allow = ["SF412", "SF415"]\n' + PLAIN)


@pytest.mark.parametrize("code", ["SF101", "SF999", "sf412"])
def test_only_warnings_can_be_allowed(folder: Path, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        warnings(folder, f'allow = ["{code}"]\n{PLAIN}')

    (found,) = caught.value.diagnostics
    assert "SF103" == found.code
    assert [(1, 10)] == places(found)


def test_a_plugin_s_faulty_check_is_its_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from specforge.searches.beam.config import BeamConfig

    def broken(_: BeamConfig) -> None:
        message = "no such attribute"
        raise AttributeError(message)

    monkeypatch.setattr(BeamConfig, "oddities", broken)
    with pytest.raises(SpecError) as caught:
        warnings(folder, PLAIN)

    assert ["SF210"] == [found.code for found in caught.value.diagnostics]
    assert "no such attribute" in caught.value.message
