"""The generate step: a line for each line, the same bytes every time, and errors that name the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from preprocess_jobs import parallel
from pydantic import JsonValue
from trained_model import decoding_job, train_result

from specforge.execution.job import CorpusJob, Job
from specforge.foundation.errors import CorruptStateError, EnvironmentFaultError, Place, WrongInputError
from specforge.foundation.events import Scalar, SilentReporter
from specforge.generation.formats import Columns, render_fairseq, render_jsonl, render_text
from specforge.generation.translation import Wanted
from specforge.steps import generate
from specforge.steps.decoding import trained_generator


class Listener(SilentReporter):
    """Keeps progress and records."""

    def __init__(self) -> None:
        self.bar: list[tuple[int, int | None, str]] = []
        self.records: dict[str, dict[str, Scalar]] = {}
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def progress(self, done: int, total: int | None, unit: str, **values: Scalar) -> None:
        del values
        self.bar.append((done, total, unit))

    def record(self, name: str, **values: Scalar) -> None:
        self.records[name] = values


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_result(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_result(tmp_path_factory.mktemp("short"), {"positions": "learned", "max_positions": 4})


def test_a_line_for_each_line_and_its_summary(trained: Path, tmp_path: Path) -> None:
    lines = ["a b c", "", "c c", "  ", "b zz zz", "a b c"]
    job = decoding_job("generate", trained, [parallel(tmp_path, "test", "\n".join(lines) + "\n", "")], tmp_path)
    listener = Listener()

    generate.run(job, listener)

    expected = trained_generator(job).translate(lines)
    hypotheses = (tmp_path / "hypotheses.txt").read_bytes()
    assert "".join(f"{each.text}\n" for each in expected).encode() == hypotheses
    texts = hypotheses.decode().split("\n")
    assert ["", "", ""] == [texts[1], texts[3], texts[6]]
    assert texts[0] == texts[5] != texts[2]
    pieces = sum(len(text.split()) for text in texts)
    empty = sum(not text for text in texts[:-1])
    assert {
        "sentences": 6,
        "blank": 2,
        "empty": empty,
        "pieces": pieces,
        "unknown_source_pieces": 2,
        "too_long": {"policy": "error", "lines": 0, "first": []},
    } == json.loads((tmp_path / "summary.json").read_bytes())
    assert (6, 6, "sentences") == listener.bar[-1]
    assert {"sentences", "seconds", "sentences_per_second"} == set(listener.records["summary"])


def with_generate(job: Job, **values: JsonValue) -> Job:
    generate_table = job.settings["generate"]
    assert isinstance(generate_table, dict)
    return job.model_copy(update={"settings": {**job.settings, "generate": {**generate_table, **values}}})


@pytest.mark.parametrize(
    ("format", "name"),
    [("text", "hypotheses.tsv"), ("jsonl", "hypotheses.jsonl"), ("fairseq", "hypotheses.fairseq")],
)
def test_more_than_the_best_output_stands_in_a_file_of_its_own(
    trained: Path, tmp_path: Path, format: str, name: str
) -> None:
    lines = ["a b c", "", "c c"]
    job = decoding_job(
        "generate", trained, [parallel(tmp_path, "test", "\n".join(lines) + "\n", "u v\n\nx\n")], tmp_path
    )
    both = trained_generator(job, Wanted(2)).translate(lines)

    generate.run(with_generate(job, nbest=2, format=format), SilentReporter())

    assert {"hypotheses.txt", name, "summary.json"} <= {path.name for path in tmp_path.iterdir()}
    assert "".join(f"{each.text}\n" for each in both) == (tmp_path / "hypotheses.txt").read_text()
    references = [["u", "v"], [], ["x"]]
    expected = {
        "text": [render_text(Columns(line=True, score=True))(number, each) for number, each in enumerate(both)],
        "jsonl": [render_jsonl(number, each) for number, each in enumerate(both)],
        "fairseq": [render_fairseq(number, each, references[number]) for number, each in enumerate(both)],
    }
    assert "".join(expected[format]) == (tmp_path / name).read_text()


def test_lines_that_are_too_long_are_dealt_with_and_reported(short: Path, tmp_path: Path) -> None:
    lines = ["a b c", "a b c a", "c", "c b a c b a", "a b c b", "a a a a"]
    job = decoding_job("generate", short, [parallel(tmp_path, "test", "\n".join(lines) + "\n", "")], tmp_path)
    listener = Listener()

    generate.run(with_generate(job, too_long="truncate"), listener)

    expected = trained_generator(job).translate(["a b c", "a b c", "c", "c b a", "a b c", "a a a"])
    assert "".join(f"{each.text}\n" for each in expected) == (tmp_path / "hypotheses.txt").read_text()
    summary = json.loads((tmp_path / "summary.json").read_bytes())
    assert {"policy": "truncate", "lines": 4, "first": [2, 4, 5]} == summary["too_long"]
    place = job.corpora[0].files["source"]
    assert [
        f"4 lines are longer than the model's positions and were cut off there: {place}:2, {place}:4, {place}:5, …"
    ] == listener.warnings


def test_equal_jobs_write_equal_bytes(trained: Path, tmp_path: Path) -> None:
    corpus = parallel(tmp_path, "test", "a b c\nb\nc a\n" * 20, "")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        generate.run(decoding_job("generate", trained, [corpus], tmp_path / name), SilentReporter())

    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert {"hypotheses.txt", "summary.json"} == set(one)
    assert one == two


def test_a_held_out_test_is_found_in_the_training_corpora(trained: Path, tmp_path: Path) -> None:
    share: dict[str, JsonValue] = {"test": 0.5}
    corpora = [
        parallel(tmp_path, f"train/{number}", "a\nb\nc\na b\nb c\nc a\n", "u\n" * 6, share) for number in range(2)
    ]

    generate.run(decoding_job("generate", trained, corpora, tmp_path), SilentReporter())

    assert 0 < (tmp_path / "hypotheses.txt").read_bytes().count(b"\n") < 12


def test_a_line_over_the_models_positions_is_named_in_its_file(short: Path, tmp_path: Path) -> None:
    table = tmp_path / "test.tsv"
    table.write_text("de\ten\nu\ta b c\nu\ta b c a\n")
    corpus = CorpusJob(role="test", format="tsv", files={"": str(table)}, header=True)

    with pytest.raises(WrongInputError) as caught:
        generate.run(decoding_job("generate", short, [corpus], tmp_path), SilentReporter())

    assert ("SF506", Place(str(table), 3)) == (caught.value.code, caught.value.place)
    assert not (tmp_path / "hypotheses.txt").exists()


def test_a_line_is_named_in_its_own_file_when_there_are_several(short: Path, tmp_path: Path) -> None:
    share: dict[str, JsonValue] = {"test": 0.999}
    corpora = [
        parallel(tmp_path, f"train/{number}", line * 9, "u\n" * 9, share)
        for number, line in enumerate(["a\n", "a b c a\n"])
    ]

    with pytest.raises(WrongInputError) as caught:
        generate.run(decoding_job("generate", short, corpora, tmp_path), SilentReporter())

    assert caught.value.place is not None
    assert corpora[1].files["source"] == caught.value.place.path


def test_the_checkpoint_is_the_one_that_the_spec_names(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "last").symlink_to(trained / "best")
    job = decoding_job("generate", tmp_path, [parallel(tmp_path, "test", "a\n", "")], tmp_path)
    last = job.model_copy(update={"settings": {**job.settings, "generate": {"checkpoint": "last"}}})

    generate.run(last, SilentReporter())
    with pytest.raises(CorruptStateError):
        generate.run(job, SilentReporter())


def test_no_output_is_longer_than_the_models_positions(short: Path, tmp_path: Path) -> None:
    generate.run(
        decoding_job("generate", short, [parallel(tmp_path, "test", "a b c\nc b a\n", "")], tmp_path), SilentReporter()
    )

    # 1.0 x 4 + 2 symbols are allowed by the search, 3 and the end by the model
    assert all(len(line.split()) <= 3 for line in (tmp_path / "hypotheses.txt").read_text().split("\n"))


def test_an_empty_test_is_wrong_input(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongInputError) as caught:
        generate.run(
            decoding_job("generate", trained, [parallel(tmp_path, "test", "", "")], tmp_path), SilentReporter()
        )

    assert "SF504" == caught.value.code


def test_a_checkpoint_that_is_not_there_is_corrupt_state(trained: Path, tmp_path: Path) -> None:
    job = decoding_job("generate", trained / "nowhere", [parallel(tmp_path, "test", "a\n", "")], tmp_path)

    with pytest.raises(CorruptStateError) as caught:
        generate.run(job, SilentReporter())

    assert "SF614" == caught.value.code


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_the_environments_fault(trained: Path, tmp_path: Path) -> None:
    corpora = [parallel(tmp_path, "test", "a\n", "")]

    with pytest.raises(EnvironmentFaultError) as caught:
        generate.run(decoding_job("generate", trained, corpora, tmp_path, device="cuda"), SilentReporter())

    assert "SF604" == caught.value.code
    generate.run(decoding_job("generate", trained, corpora, tmp_path, device="auto"), SilentReporter())
