"""Durable files under every fault that can be made: what is published is whole or not there at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError

OPERATIONS = ("rename", "fsync", "open")


class FaultError(BaseException):
    """Stands for a process that is killed: nothing catches it."""


def filled(folder: Path) -> Path:
    temporary = durable.temporary_folder(folder, "result")
    durable.write_file(temporary / "weights", b"weights")
    durable.make_folder(temporary / "tokenizer")
    durable.write_file(temporary / "tokenizer" / "model", b"pieces")
    return temporary


def fail_at(
    monkeypatch: pytest.MonkeyPatch, operation: str, count: int, error: BaseException, *, after: bool
) -> list[int]:
    """Let the count-th call of a system call fail, before or after it is done; return a list that says whether it fired."""
    real: Callable[..., object] = getattr(os, operation)
    calls: list[int] = []
    fired: list[int] = []

    def faulty(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) != count:
            return real(*arguments, **options)
        fired.append(count)
        if after:
            real(*arguments, **options)
        raise error

    monkeypatch.setattr(os, operation, faulty)
    return fired


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("error", [FaultError(), OSError(errno.ENOSPC, "full")], ids=["killed", "disk full"])
def test_publishing_fails_at_every_operation_and_is_whole_or_nothing(
    tmp_path: Path,
    operation: str,
    moment: str,
    error: BaseException,
) -> None:
    points = 0
    for count in range(1, 100):
        folder = tmp_path / str(count)
        temporary, final = filled(folder / "tmp"), folder / "objects" / "key"
        with pytest.MonkeyPatch.context() as patch:
            fired = fail_at(patch, operation, count, error, after=moment == "after")
            with contextlib.suppress(FaultError, OSError):
                durable.publish(temporary, final, {"kind": "train"})
        if not fired:
            break
        points += 1
        if final.exists():
            durable.verify(final)
        else:  # the rerun publishes as if nothing had been
            durable.publish(filled(folder / "tmp"), final, {"kind": "train"})
            durable.verify(final)

    assert points >= 1, "the fault never fired"


def test_everything_is_on_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary, final = filled(tmp_path / "tmp"), tmp_path / "objects" / "key"
    log: list[str] = []
    rename, fsync = os.rename, os.fsync

    def synced(descriptor: int) -> None:
        names = {path.stat().st_ino: path.name for path in (tmp_path, *tmp_path.rglob("*"))}
        log.append(names[os.fstat(descriptor).st_ino])
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        log.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    durable.publish(temporary, final, {})

    before, after = log[: log.index("rename")], log[log.index("rename") + 1 :]
    # the files were synced when they were written; then folders from the inside out, the manifest between them
    assert ["tokenizer", "manifest.json", temporary.name] == [name for name in before if name != tmp_path.name]
    assert "objects" in after


def test_who_comes_second_keeps_the_first_result(tmp_path: Path) -> None:
    final = tmp_path / "objects" / "key"
    durable.publish(filled(tmp_path / "tmp"), final, {"by": "first"})
    durable.publish(filled(tmp_path / "tmp"), final, {"by": "second"})

    assert "first" == json.loads((final / durable.MANIFEST).read_text())["by"]
    assert [] == list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "extra", "manifest"])
def test_damage_is_found_and_named(tmp_path: Path, damage: str) -> None:
    final = tmp_path / "key"
    durable.publish(filled(tmp_path / "tmp"), final, {})
    match damage:
        case "flip":
            (final / "weights").write_bytes(b"weighuts"[:7])
        case "cut":
            (final / "weights").write_bytes(b"weight")
        case "missing":
            (final / "weights").unlink()
        case "extra":
            (final / "another").write_bytes(b"")
        case "manifest":
            (final / durable.MANIFEST).write_bytes(b"{}")

    with pytest.raises(CorruptStateError) as caught:
        durable.verify(final)

    assert caught.value.place is not None


def test_a_log_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'{"a": 1}\n{"b": 2}\n{"half')
    with durable.open_log(path) as log:
        durable.append_line(log, '{"c": 3}')

    assert b'{"a": 1}\n{"b": 2}\n{"c": 3}\n' == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"whole\n"])
def test_a_log_that_is_whole_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    with durable.open_log(path) as log:
        assert len(content) == log.tell()

    assert content == path.read_bytes()


def test_a_replaced_file_is_never_half_new(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    durable.replace_file(path, b"old")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
        with pytest.raises(OSError, match="broken"):
            durable.replace_file(path, b"new")

    assert b"old" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_removed_folder_is_out_of_sight_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doomed = tmp_path / "train-aa.1.2"
    durable.make_folder(doomed)
    monkeypatch.setattr("shutil.rmtree", lambda _: None)  # killed before anything in it was removed

    durable.remove_folder(doomed)

    (left,) = tmp_path.iterdir()
    assert left.name.startswith(f"{durable.REMOVED}train-aa.1.2.")


def test_linked_files_are_the_same_files_without_the_manifest(tmp_path: Path) -> None:
    final = tmp_path / "key"
    durable.publish(filled(tmp_path / "tmp"), final, {})
    target = durable.make_folder(tmp_path / "other")
    durable.link_files(final, target)

    assert {"weights", "tokenizer/model"} == set(durable.digest_folder(target))
    assert not (target / durable.MANIFEST).exists()
    assert (final / "tokenizer" / "model").samefile(target / "tokenizer" / "model")


def test_a_path_that_is_no_text_survives_in_json(tmp_path: Path) -> None:
    path = os.fsdecode(b"/data/l\xe9")

    durable.write_json(tmp_path / "plan.json", {"path": path})

    assert {"path": path} == json.loads((tmp_path / "plan.json").read_bytes())


def test_a_file_that_is_known_is_not_read_again_and_a_slip_of_the_disk_is_found(tmp_path: Path) -> None:
    """The digest is that of the bytes in memory: what the disk makes of them is compared with it."""
    for name, written in (("right", b"weights"), ("wrong", b"we1ghts")):
        folder = durable.temporary_folder(tmp_path, name)
        known = {"weights": durable.write_digested(folder / "weights", b"weights")}
        assert durable.digest_folder(folder) == known
        (folder / "weights").write_bytes(written)
        durable.publish(folder, tmp_path / name, {}, known)

    durable.verify(tmp_path / "right")
    with pytest.raises(CorruptStateError, match="`weights` does not match its manifest"):
        durable.verify(tmp_path / "wrong")


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        durable.write_file(tmp_path / "weights", b"weights")

    assert str(tmp_path / "weights") == caught.value.filename
