"""A file that is written group by group: whatever happens in between, it ends up the same, and nothing wrong is taken up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from specforge.foundation.errors import CorruptStateError, RefusedError
from specforge.generation.resumable import resumable_file
from specforge.generation.streaming import RawLine, full_groups

MADE_BY: Mapping[str, JsonValue] = {"model": ["1f"], "nbest": None}


class Power(Exception):  # noqa: N818  # it fails
    """The power fails."""


def groups(lines: int = 10, size: int = 3) -> Iterator[Sequence[RawLine]]:
    texts = [f"line {number}".encode() for number in range(lines)]
    return full_groups((RawLine(raw, Path("in"), number) for number, raw in enumerate(texts, start=1)), size)


def write(
    path: Path,
    given: Iterator[Sequence[RawLine]],
    *,
    resume: bool,
    made_by: Mapping[str, JsonValue] = MADE_BY,
    fail_after: int = 99,
) -> int:
    """Write each line twice as long; return how many groups were left to do. After `fail_after` groups the power fails."""
    done = 0
    with resumable_file(path, made_by, resume=resume) as output:
        for group in output.rest(given):
            if done == fail_after:
                raise Power
            output.append(group, "".join(f"{line.raw.decode() * 2}\n" for line in group))
            done += 1
    return done


WHOLE = "".join(f"line {number}line {number}\n" for number in range(10))


def test_the_file_appears_when_it_is_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")

    with pytest.raises(Power):
        write(tmp_path / "out", groups(), resume=False, fail_after=2)
    assert "before" == (tmp_path / "out").read_text()
    assert {"out", "out.partial", "out.partial.json"} == {path.name for path in tmp_path.iterdir()}

    assert 2 == write(tmp_path / "out", groups(), resume=True)
    assert WHOLE == (tmp_path / "out").read_text()
    assert ["out"] == [path.name for path in tmp_path.iterdir()]


def test_without_resume_it_starts_over(tmp_path: Path) -> None:
    with pytest.raises(Power):
        write(tmp_path / "out", groups(), resume=False, fail_after=2)

    assert 4 == write(tmp_path / "out", groups(), resume=False)
    assert WHOLE == (tmp_path / "out").read_text()


def test_with_nothing_to_resume_it_starts(tmp_path: Path) -> None:
    assert 4 == write(tmp_path / "out", groups(), resume=True)
    assert 0 == write(tmp_path / "empty", groups(0), resume=True)
    assert (WHOLE, "") == ((tmp_path / "out").read_text(), (tmp_path / "empty").read_text())


def test_all_done_but_the_name_is_done_at_once(tmp_path: Path) -> None:
    def before_the_end() -> Iterator[Sequence[RawLine]]:
        yield from groups()
        raise Power

    with pytest.raises(Power):
        write(tmp_path / "out", before_the_end(), resume=False)

    assert 0 == write(tmp_path / "out", groups(), resume=True)
    assert WHOLE == (tmp_path / "out").read_text()


def test_what_stands_behind_the_record_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(Power):
        write(tmp_path / "out", groups(), resume=False, fail_after=2)
    with (tmp_path / "out.partial").open("ab") as file:
        file.write(b"half of a gro")  # killed before the record was replaced

    write(tmp_path / "out", groups(), resume=True)

    assert WHOLE == (tmp_path / "out").read_text()


@settings(deadline=None, max_examples=40)  # each example waits for the disk
@given(st.lists(st.integers(0, 4), max_size=4))
def test_however_often_it_fails_it_ends_up_the_same(
    tmp_path_factory: pytest.TempPathFactory, failures: list[int]
) -> None:
    path = tmp_path_factory.mktemp("out") / "out"
    for fail_after in failures:
        try:
            write(path, groups(), resume=True, fail_after=fail_after)
        except Power:
            continue
        break

    write(path, groups(), resume=True)

    assert WHOLE == path.read_text()


def stopped(tmp_path: Path) -> Path:
    with pytest.raises(Power):
        write(tmp_path / "out", groups(), resume=False, fail_after=2)
    return tmp_path / "out"


def test_what_was_made_by_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    path = stopped(tmp_path)

    with pytest.raises(RefusedError) as caught:
        write(path, groups(), resume=True, made_by={"model": ["2f"], "nbest": None, "search": 1})

    assert ("SF723", "what is there was made with another model and search") == (
        caught.value.code,
        caught.value.message,
    )
    assert ('model: ["1f"] then, ["2f"] now', "search: null then, 1 now") == caught.value.notes
    assert 2 == write(path, groups(), resume=True)


def test_what_was_made_with_something_that_is_not_there_any_more_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Power):
        write(tmp_path / "out", groups(), resume=False, made_by={**MADE_BY, "search": 1}, fail_after=2)

    with pytest.raises(RefusedError, match="made with another search") as caught:
        write(tmp_path / "out", groups(), resume=True)

    assert ("search: 1 then, null now",) == caught.value.notes


@pytest.mark.parametrize("lines", [4, 5])
def test_other_lines_than_were_done_are_refused(tmp_path: Path, lines: int) -> None:
    path = stopped(tmp_path)
    others = [RawLine(b"another", Path("in"), 1), *(line for group in groups() for line in group)]

    with pytest.raises(RefusedError) as other:
        write(path, full_groups(others, 3), resume=True)
    with pytest.raises(RefusedError) as shorter:
        write(path, groups(lines), resume=True)

    assert ("SF723", "SF723") == (other.value.code, shorter.value.code)
    assert "the first 6 lines are not those that were translated" == other.value.message == shorter.value.message


def test_a_partial_file_that_is_not_what_was_written_is_refused(tmp_path: Path) -> None:
    path = stopped(tmp_path)
    partial = tmp_path / "out.partial"
    data = partial.read_bytes()

    for damaged in (data[:-1], b"x" + data[1:]):
        partial.write_bytes(damaged)
        with pytest.raises(CorruptStateError) as caught:
            write(path, groups(), resume=True)
        assert "SF613" == caught.value.code


def test_a_record_that_is_none_is_refused(tmp_path: Path) -> None:
    path = stopped(tmp_path)
    record = tmp_path / "out.partial.json"
    values = json.loads(record.read_text())

    for wrong in ("", "{}", json.dumps(values | {"lines": "6"})):
        record.write_text(wrong)
        with pytest.raises(CorruptStateError) as caught:
            write(path, groups(), resume=True)
        assert "SF614" == caught.value.code


def test_two_processes_do_not_write_one_output(tmp_path: Path) -> None:
    with resumable_file(tmp_path / "out", MADE_BY, resume=False), pytest.raises(RefusedError) as caught:
        write(tmp_path / "out", groups(), resume=True)

    assert "SF724" == caught.value.code
