"""Checkpoints are whole or put aside, two are kept, and what they refer to is there."""

from __future__ import annotations

import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import JsonValue
from tiny_training import Recorder

from specforge.foundation import durable
from specforge.foundation.durable import FileDigest
from specforge.foundation.errors import CorruptStateError, ExitCode, StepFailedError
from specforge.training.checkpoints import Checkpoints
from specforge.training.resumable import Resumable
from specforge.training.state import Selection, TrainingState, Validation

_SELECTION = Selection("loss", higher_is_better=False, average_last=1)


def _checkpoints(work: Path, reporter: Recorder | None = None, keep_last: int = 2) -> Checkpoints:
    checkpoints = Checkpoints(work, _SELECTION, reporter or Recorder(), keep_last=keep_last)
    checkpoints.prepare()
    return checkpoints


def _resumable(updates: int, validations: list[Validation] | None = None) -> Resumable:
    state = TrainingState(updates=updates, epoch=2, position=1, seconds=0.1, validations=validations or [])
    weights = {"model.weight": torch.full((3,), float(updates))}
    return Resumable(state, weights, {"model.weight/exp_avg": torch.ones(3)}, {"numbers": {}, "groups": []})


def _save(checkpoints: Checkpoints, updates: int, validations: list[Validation] | None = None) -> None:
    checkpoints.save(_resumable(updates, validations), complete=True)


def _validated(checkpoints: Checkpoints, updates: int, loss: float) -> Validation:
    name = checkpoints.snapshot(updates, {"weight": torch.full((3,), float(updates))})
    return Validation(updates=updates, epoch=1, values={"loss": loss}, snapshot=name)


def _names(work: Path, folder: str = "checkpoints") -> list[str]:
    return sorted(path.name for path in (work / folder).iterdir())


def _anything(_: TrainingState) -> bool:
    return True


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoints, saved = _checkpoints(tmp_path), _resumable(7)
    checkpoints.save(saved, complete=True)

    path = checkpoints.newest(_anything)

    assert tmp_path / "checkpoints" / "7" == path
    assert path is not None
    found = checkpoints.read(path)
    assert saved.state == found.state
    assert torch.equal(saved.weights["model.weight"], found.weights["model.weight"])
    assert torch.equal(saved.optimizer["model.weight/exp_avg"], found.optimizer["model.weight/exp_avg"])
    assert saved.optimizer_rest == found.optimizer_rest
    manifest = durable.read_manifest(path)
    assert manifest is not None
    facts = {name: manifest[name] for name in manifest if name != "files"}
    counts: dict[str, JsonValue] = {
        "format": 1,
        "kind": "checkpoint",
        "updates": 7,
        "epoch": 2,
        "validations": 0,
        "rollbacks": 0,
    }
    pace: dict[str, JsonValue] = {
        "seconds": saved.state.seconds,
        "host": socket.gethostname(),
        "device": None,
        "devices": None,
    }
    assert {**counts, **pace} == facts


def test_the_newest_is_the_one_with_most_updates_not_the_last_name(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    for updates in (9, 10):
        _save(checkpoints, updates)

    assert tmp_path / "checkpoints" / "10" == checkpoints.newest(_anything)


def test_two_are_kept(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    for updates in (4, 8, 12, 16):
        _save(checkpoints, updates)

    assert ["12", "16"] == _names(tmp_path)


def test_as_many_are_kept_as_asked_for_and_fewer_after_the_next_save(tmp_path: Path) -> None:
    for updates in range(1, 6):
        _save(_checkpoints(tmp_path, keep_last=4), updates)
    assert ["2", "3", "4", "5"] == _names(tmp_path)

    _save(_checkpoints(tmp_path, keep_last=2), 6)

    assert ["5", "6"] == _names(tmp_path)


def test_those_of_a_larger_budget_are_neither_used_nor_removed(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    for updates in (80, 90, 2, 4, 6):
        _save(checkpoints, updates)

    assert ["4", "6", "80", "90"] == _names(tmp_path)
    assert tmp_path / "checkpoints" / "6" == checkpoints.newest(lambda state: state.updates <= 50)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove"])
def test_a_damaged_one_is_put_aside_and_the_one_before_is_used(file: str, damage: str, tmp_path: Path) -> None:
    recorder = Recorder()
    checkpoints = _checkpoints(tmp_path, recorder)
    for updates in (4, 8):
        _save(checkpoints, updates)
    path = tmp_path / "checkpoints" / "8" / file
    data = bytearray(path.read_bytes())
    match damage:
        case "flip":
            data[data.index(b"8") if file == "manifest.json" else len(data) // 2] ^= 0x10
            path.write_bytes(data)
        case "cut":
            path.write_bytes(data[:-1] if file != "manifest.json" else data[:-3])
        case "empty":
            path.write_bytes(b"")
        case _:
            path.unlink()

    assert tmp_path / "checkpoints" / "4" == checkpoints.newest(_anything)
    assert any("8` is damaged; it is kept as `corrupt-8." in warning for warning in recorder.warnings)
    assert 1 == sum(name.startswith("corrupt-8.") for name in _names(tmp_path))


def test_a_manifest_that_disagrees_with_its_state_is_damage(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    for updates in (4, 8):
        _save(checkpoints, updates)
    manifest = tmp_path / "checkpoints" / "8" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"updates": 8', '"updates": 9'))

    assert tmp_path / "checkpoints" / "4" == checkpoints.newest(_anything)


def test_a_file_too_many_is_damage(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    for updates in (4, 8):
        _save(checkpoints, updates)
    (tmp_path / "checkpoints" / "8" / "more").write_bytes(b"")

    assert tmp_path / "checkpoints" / "4" == checkpoints.newest(_anything)


def test_when_all_are_damaged_nothing_starts_afresh_not_even_the_second_time(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    for updates in (4, 8):
        _save(checkpoints, updates)
        (tmp_path / "checkpoints" / str(updates) / "model.safetensors").write_bytes(b"")

    for _ in range(2):
        with pytest.raises(CorruptStateError, match="every checkpoint of this training is damaged") as caught:
            checkpoints.newest(_anything)
        assert (ExitCode.CORRUPT, "SF615") == (caught.value.exit_code, caught.value.code)
    assert 2 == len(_names(tmp_path)), "nothing is deleted"


def test_without_checkpoints_training_begins_at_the_beginning(tmp_path: Path) -> None:
    assert _checkpoints(tmp_path).newest(_anything) is None


def test_whole_checkpoints_beyond_the_budget_are_no_reason_to_refuse(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    for updates in (4, 8):
        _save(checkpoints, updates)
    (tmp_path / "checkpoints" / "4" / "model.safetensors").write_bytes(b"")

    assert checkpoints.newest(lambda state: state.updates < 5) is None


def test_a_checkpoint_without_its_validated_weights_is_not_used(tmp_path: Path) -> None:
    recorder = Recorder()
    checkpoints = _checkpoints(tmp_path, recorder)
    _save(checkpoints, 4)
    validation = _validated(checkpoints, 6, loss=1.0)
    _save(checkpoints, 8, [validation])
    shutil.rmtree(tmp_path / "validated" / validation.snapshot)

    assert tmp_path / "checkpoints" / "4" == checkpoints.newest(_anything)
    assert any("cannot be used without" in warning for warning in recorder.warnings)


def test_validated_weights_stay_as_long_as_a_kept_checkpoint_needs_them(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    validations: list[Validation] = []
    for updates, loss in ((1, 2.0), (2, 1.0), (3, 5.0), (4, 6.0)):
        validations = [*validations, _validated(checkpoints, updates, loss)]
        _save(checkpoints, updates, validations)

    # Kept are 3 and 4. Both need the best, which is 2, and the last of their own.
    assert ["2", "3", "4"] == [name.partition("-")[0] for name in _names(tmp_path, "validated")]


def test_validated_weights_do_not_pile_up_between_two_checkpoints(tmp_path: Path) -> None:
    checkpoints, state = _checkpoints(tmp_path), TrainingState()
    for updates, loss in ((1, 2.0), (2, 1.0)):
        state.validations.append(_validated(checkpoints, updates, loss))
    checkpoints.save(_resumable(2, state.validations), complete=True)
    for updates, loss in ((3, 5.0), (4, 0.5), (5, 7.0), (6, 8.0)):
        state.validations.append(_validated(checkpoints, updates, loss))
        checkpoints.prune(state)

    # Here the best is 4 and the last 6; to the checkpoint, which a crash would go back to, 2 is both.
    assert ["2", "4", "6"] == [name.partition("-")[0] for name in _names(tmp_path, "validated")]
    assert tmp_path / "checkpoints" / "2" == checkpoints.newest(_anything)


def test_validated_weights_that_two_attempts_came_to_do_not_mix(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)

    first = checkpoints.snapshot(5, {"weight": torch.ones(2)})
    second = checkpoints.snapshot(5, {"weight": torch.zeros(2)})

    assert first != second
    assert first == checkpoints.snapshot(5, {"weight": torch.ones(2)})
    assert checkpoints.snapshot_path(first).read_bytes() != checkpoints.snapshot_path(second).read_bytes()


def test_damaged_validated_weights_are_written_again(tmp_path: Path) -> None:
    recorder = Recorder()
    checkpoints = _checkpoints(tmp_path, recorder)
    name = checkpoints.snapshot(5, {"weight": torch.ones(2)})
    whole = checkpoints.snapshot_path(name).read_bytes()
    checkpoints.snapshot_path(name).write_bytes(b"")

    assert name == checkpoints.snapshot(5, {"weight": torch.ones(2)})

    assert whole == checkpoints.snapshot_path(name).read_bytes()
    assert recorder.warnings


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    _save(checkpoints, 4)
    for left in ("tmp/8.123.abc", "checkpoints/.removed.2.abc", "validated/.removed.3-1.abc"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "model.safetensors").write_bytes(b"half")

    _checkpoints(tmp_path)

    assert ([], ["4"], []) == (_names(tmp_path, "tmp"), _names(tmp_path), _names(tmp_path, "validated"))


def test_each_file_of_a_checkpoint_is_told(tmp_path: Path) -> None:
    """Or a disk that takes minutes for a checkpoint would pass for a training that hangs."""
    heard: list[list[str]] = []
    selection = Selection("loss", higher_is_better=False, average_last=2)

    def hear() -> None:
        heard.append(sorted(path.name for path in tmp_path.rglob("*.safetensors")))

    checkpoints = Checkpoints(tmp_path, selection, Recorder(), at_work=hear)
    checkpoints.prepare()
    checkpoints.save(replace(_resumable(4), ema={"model.weight": torch.ones(3)}), complete=True)

    model, optimizer, ema = "model.safetensors", "optimizer.safetensors", "ema.safetensors"
    everything = [ema, model, optimizer]
    assert [[model], [model, optimizer], everything, everything] == heard  # at last, before all of it is read back


def test_a_save_that_the_disk_did_not_keep_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests are of what was to be written: only reading back compares the disk with them."""
    publish = durable.publish

    def slipping(temporary: Path, final: Path, facts: dict[str, JsonValue], known: dict[str, FileDigest]) -> None:
        publish(temporary, final, facts, known)
        data = bytearray((final / "model.safetensors").read_bytes())
        data[-1] ^= 1
        (final / "model.safetensors").write_bytes(data)

    checkpoints = _checkpoints(tmp_path)
    monkeypatch.setattr(durable, "publish", slipping)
    with pytest.raises(CorruptStateError, match=r"`model\.safetensors` does not match its manifest"):
        _save(checkpoints, 4)


def test_validated_weights_that_were_put_aside_stay_to_be_looked_at(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    aside = tmp_path / "validated" / "corrupt-4-abc.1234"
    aside.mkdir()
    checkpoints.prune(TrainingState(updates=9))

    assert aside.is_dir()


def test_files_of_others_are_in_nobodys_way(tmp_path: Path) -> None:
    """A file manager leaves `.DS_Store` where it looks, and NFS what is removed while it is open."""
    checkpoints, recorder = _checkpoints(tmp_path), Recorder()
    strange = [tmp_path / folder / ".DS_Store" for folder in ("tmp", "checkpoints", "validated")]
    for file in strange:
        file.touch()
    _save(checkpoints, 4, [_validated(checkpoints, 4, 0.5)])

    assert tmp_path / "checkpoints" / "4" == _checkpoints(tmp_path, recorder).newest(_anything)
    assert [] == recorder.warnings
    assert all(file.exists() for file in strange)


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = _checkpoints(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        _save(checkpoints, 4)

    assert ([], []) == (_names(tmp_path), _names(tmp_path, "tmp"))


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    spoilt = {"model.weight": torch.tensor([1.0, float("nan")])}

    with pytest.raises(StepFailedError, match="after 3 updates a weight is not finite"):
        checkpoints.snapshot(3, spoilt)
    with pytest.raises(StepFailedError, match="after 3 updates a weight is not finite"):
        checkpoints.save(Resumable(TrainingState(updates=3), spoilt, {}, {}), complete=True)

    assert ([], []) == (_names(tmp_path), _names(tmp_path, "validated"))


def test_of_one_update_the_checkpoint_with_its_validation_is_newer(tmp_path: Path) -> None:
    checkpoints = _checkpoints(tmp_path)
    checkpoints.save(_resumable(6), complete=False)
    _save(checkpoints, 6, [_validated(checkpoints, 6, loss=1.0)])

    assert ["6", "6-validating"] == _names(tmp_path)
    assert tmp_path / "checkpoints" / "6" == checkpoints.newest(_anything)


def test_what_cannot_be_removed_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    checkpoints = _checkpoints(tmp_path, recorder)
    for updates in (4, 8):
        _save(checkpoints, updates)

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(durable, "remove_folder", refused)
    _save(checkpoints, 12)

    assert ["12", "4", "8"] == _names(tmp_path)
    assert any("old checkpoints could not be removed" in warning for warning in recorder.warnings)


def test_weights_of_the_best_stay_where_they_are_asked_for_and_more_can_be_asked_for_later(tmp_path: Path) -> None:
    recorder, losses = Recorder(), {1: 5.0, 2: 3.0, 3: 4.0, 4: 9.0, 5: 2.0}
    validations: list[Validation] = []

    def kept(updates: int, keep_best: int) -> set[str]:
        selection = Selection("loss", higher_is_better=False, average_last=1, keep_best=keep_best)
        checkpoints = Checkpoints(tmp_path, selection, recorder)
        checkpoints.prepare()
        assert (updates == 1) == (checkpoints.newest(_anything) is None)
        validations.append(_validated(checkpoints, updates, losses[updates]))
        _save(checkpoints, updates, list(validations))
        return {name.partition("-")[0] for name in _names(tmp_path, "validated")}

    # the weights of each last validation, and of those of the checkpoint before
    assert [{"1"}, {"1", "2"}, {"2", "3"}] == [kept(updates, 1) for updates in (1, 2, 3)]
    # those after update 1 are gone, which nothing needs
    assert [{"2", "3", "4"}, {"2", "3", "4", "5"}] == [kept(updates, 3) for updates in (4, 5)]
    assert [] == recorder.warnings
