"""Files through the translate step: formats, options, and an output that is killed and taken up."""

from __future__ import annotations

import json
import random
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest
from forked import ended, started
from pydantic import JsonValue
from trained_model import decoding_job, train_result
from translate_jobs import file_job, translate_told, translated

from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.errors import Place, RefusedError, WrongInputError
from specforge.foundation.events import SilentReporter
from specforge.generation.translation import Translation, Wanted
from specforge.steps.decoding import trained_generator

LINES = ["a b c", "", "c zz", "b b", "a c b a", "c", "c b", "a a", "b", "c c a", "a b"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_result(tmp_path_factory.mktemp("trained"), {"positions": "learned", "max_positions": 6})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").write_text("".join(f"{line}\n" for line in LINES))
    return tmp_path / "in"


def expected(trained: Path, wanted: Wanted | None = None, lines: list[str] = LINES) -> list[Translation]:
    return trained_generator(decoding_job("translate", trained, [], None), wanted).translate(lines)


class Listener(SilentReporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)

    def warning(self, text: str) -> None:
        self.said.append(text)


def test_a_file_gives_a_line_for_each_line(trained: Path, source: Path, tmp_path: Path) -> None:
    text = "".join(f"{each.text}\n" for each in expected(trained)).encode()

    assert text == translated(file_job(trained, source, None))
    assert b"" == translated(file_job(trained, source, tmp_path / "out"))
    assert text == (tmp_path / "out").read_bytes()
    assert {"in", "out"} == {path.name for path in tmp_path.iterdir()}


def test_lines_are_numbered_over_all_groups(trained: Path, source: Path) -> None:
    table = translated(file_job(trained, source, None, nbest=1, scores=True)).decode()

    rows = [row.split("\t") for row in table.split("\n")[:-1]]
    assert [[str(number), f"{each.score:.4f}", each.text] for number, each in enumerate(expected(trained), 1)] == rows


def test_an_alignment_is_of_words_or_of_pieces(trained: Path, source: Path) -> None:
    lines = expected(trained, Wanted(alignment="words"))

    table = translated(file_job(trained, source, None, alignment=True)).decode()
    objects = translated(file_job(trained, source, None, alignment=True, format="jsonl")).decode()

    pairs = [" ".join(f"{one}-{other}" for one, other in each.outputs[0].alignment or ()) for each in lines]
    assert pairs == [row.split("\t")[1] for row in table.split("\n")[:-1]]
    found = [json.loads(line)["hypotheses"][0]["alignment"] for line in objects.split("\n")[:-1]]
    assert [
        [list(pair) for pair in each.outputs[0].alignment or ()] for each in lines
    ] == found  # pieces are words here


def test_json_lines_keep_their_ids_and_are_held_to_their_prefixes(trained: Path, tmp_path: Path) -> None:
    lines = [{"text": "a b", "id": "x"}, {"text": "c", "prefix": "v w", "id": 7}]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    output = translated(file_job(trained, tmp_path / "in.jsonl", None, input_format="jsonl", format="jsonl")).decode()

    first, second = (json.loads(line) for line in output.split("\n")[:-1])
    assert ("x", 1, "a b") == (first["id"], first["line"], first["source"])
    assert (7, ["v", "w"]) == (second["id"], second["hypotheses"][0]["pieces"][:2])
    (plain,) = expected(trained, lines=["c"])
    assert ("v", "w") != plain.pieces[:2]


def test_a_wrong_line_is_named_and_what_is_before_it_written(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n{"text": "b", "pre": "c"}\n')

    with pytest.raises(WrongInputError) as caught:
        translated(file_job(trained, tmp_path / "in.jsonl", tmp_path / "out", input_format="jsonl"))

    assert ("SF505", Place(str(tmp_path / "in.jsonl"), 2)) == (caught.value.code, caught.value.place)
    assert not (tmp_path / "out").exists()


def test_lines_that_are_too_long_are_counted(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("a\na b c a b c\nb\na b c a b c a\n")
    listener = Listener()

    with pytest.raises(WrongInputError):
        translated(file_job(trained, tmp_path / "in", None))
    kept = translated(file_job(trained, tmp_path / "in", None, too_long="keep"), reporter=listener)

    a, b = expected(trained, lines=["a", "b"])
    assert f"{a.text}\na b c a b c\n{b.text}\na b c a b c a\n".encode() == kept
    place = tmp_path / "in"
    assert [
        f"2 lines are longer than the model's positions and passed untranslated: {place}:2, {place}:4"
    ] == listener.said


def stopped(job: Job, after: int) -> None:
    """Run a job whose power fails after some groups."""
    append, done = durable.append_synced, 0

    def failing(*arguments: object) -> None:
        nonlocal done
        if done == after:
            raise KeyboardInterrupt
        done += 1
        append(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "append_synced", failing)
        with pytest.raises(KeyboardInterrupt):
            translated(job)


ALL: dict[str, JsonValue] = {"nbest": 2, "scores": True, "alignment": True}


def test_it_goes_on_where_it_was_stopped(trained: Path, source: Path, tmp_path: Path) -> None:
    whole = translated(file_job(trained, source, None, **ALL))
    stopped(file_job(trained, source, tmp_path / "out", **ALL), after=2)
    listener = Listener()

    translated(file_job(trained, source, tmp_path / "out", resume=True, **ALL), reporter=listener)

    assert ["8 lines are done"] == listener.said
    assert whole == (tmp_path / "out").read_bytes()


def test_what_is_started_over_is_told(trained: Path, source: Path, tmp_path: Path) -> None:
    whole = translated(file_job(trained, source, None, **ALL))
    stopped(file_job(trained, source, tmp_path / "out", **ALL), after=2)
    listener = Listener()

    translated(file_job(trained, source, tmp_path / "out", **ALL), reporter=listener)
    translated(file_job(trained, source, tmp_path / "out", **ALL), reporter=listener)  # nothing was left to be told

    assert ["started over: 8 lines of an earlier translation are thrown away, `--resume` would go on"] == listener.said
    assert whole == (tmp_path / "out").read_bytes()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"nbest": 3}, "nbest"),
        ({"format": "jsonl"}, "format"),
        ({"too_long": "split"}, "too long"),
        ({"replace_unk": True}, "replace unk"),
    ],
)
def test_other_options_are_no_reason_to_go_on(
    trained: Path, source: Path, tmp_path: Path, changes: dict[str, JsonValue], what: str
) -> None:
    stopped(file_job(trained, source, tmp_path / "out", **ALL), after=1)

    with pytest.raises(RefusedError) as caught:
        translated(file_job(trained, source, tmp_path / "out", **{**ALL, **changes}, resume=True))

    assert ("SF723", f"what is there was made with another {what}") == (caught.value.code, caught.value.message)


def test_another_model_or_search_is_no_reason_to_go_on(trained: Path, source: Path, tmp_path: Path) -> None:
    stopped(file_job(trained, source, tmp_path / "out"), after=1)
    shutil.copytree(trained, tmp_path / "other")
    sums = tmp_path / "other" / "best" / "SHA256SUMS"
    sums.write_text(sums.read_text().replace("a", "b"))
    job = file_job(trained, source, tmp_path / "out", resume=True)

    with pytest.raises(RefusedError) as model:
        translated(file_job(tmp_path / "other", source, tmp_path / "out", resume=True))
    with pytest.raises(RefusedError) as search:
        translated(job.model_copy(update={"settings": {**job.settings, "search": {"use": "specforge/greedy"}}}))

    assert "what is there was made with another model" == model.value.message
    assert "what is there was made with another search" == search.value.message


def test_killed_at_random_it_comes_to_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    source, output, choices = tmp_path / "in", tmp_path / "out", random.Random(5)
    source.write_text("".join(f"{' '.join(choices.choices('abcz', k=choices.randint(0, 4)))}\n" for _ in range(400)))
    whole = translated(file_job(trained, source, None, **ALL))
    told = file_job(trained, source, output, resume=True, **ALL).model_dump_json()
    stages: set[bytes] = set()

    for _ in range(6):
        process = started(translate_told, told)
        deadline = time.monotonic() + 60
        record, before = tmp_path / "out.partial.json", len(stages)
        while time.monotonic() < deadline and process.exitcode is None and len(stages) == before:
            with suppress(FileNotFoundError):
                stages.add(record.read_bytes())
        process.join(choices.uniform(0, 0.05))
        process.kill()
        process.join()
    if not output.exists():
        assert 0 == ended(started(translate_told, told))

    assert len(stages) > 2, "too little was done between two kills to say anything"
    assert whole == output.read_bytes()
