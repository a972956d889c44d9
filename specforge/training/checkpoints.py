"""Checkpoints: what training goes on from after a stop, a crash or a raised budget.

In the working folder of a trajectory:

- `checkpoints/<updates>/`: weights, optimizer and state after so many updates. The newest one that is whole and within
  the present budget wins; a damaged one is put aside and named. Names are for people, the order comes from the manifests;
- `validated/<updates>-<digest>/`: weights that were validated and may be published as the best or averaged;
- `tmp/`: what is being written.

Everything is published whole and never changed, and what a kept checkpoint refers to is kept. Only rank 0 writes, but for the
parts of a checkpoint that is cut.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError
from torch import Tensor

from specforge.foundation import durable
from specforge.foundation.canonical import digest_bytes
from specforge.foundation.durable import FileDigest
from specforge.foundation.errors import CorruptStateError, Place, SpecforgeError, StepFailedError
from specforge.foundation.events import Reporter
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Part
from specforge.training.resumable import Resumable
from specforge.training.shards import INDEX, index_of, optimizer_parts, read_part, write_part
from specforge.training.state import Selection, TrainingState
from specforge.training.weights import all_finite, weight_bytes

_MODEL: Final = "model"
_OPTIMIZER: Final = "optimizer"
_EMA: Final = "ema"
WEIGHTS: Final = f"{_MODEL}.safetensors"
_STATE: Final = "state.json"
_WHOLE: Final[Mapping[str, Part]] = {}
_UNKNOWN: Final[Mapping[str, FileDigest]] = {}
_JSON_OBJECT: Final = TypeAdapter(dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    updates: int
    validations: int
    rollbacks: int = 0


def _never(updates: int, state: TrainingState) -> bool:
    del updates, state
    return False


def _unheard() -> None:
    """Nobody waits."""


class Checkpoints:
    """The checkpoints and validated weights of one trajectory.

    Args:
        work: its working folder.
        selection: which validated weights are needed.
        reporter: hears of damage and of saves.
        still_needed: whether training may have to go back to a checkpoint of so many updates, from a state on; one that
            is needed is not removed.
        keep_last: how many checkpoints stay, at least two: the one before the last is what a damaged last one falls back on.
        at_work: told of each file of a checkpoint that is on disk: others may wait, and must know that something moves.
    """

    def __init__(
        self,
        work: Path,
        selection: Selection,
        reporter: Reporter,
        still_needed: Callable[[int, TrainingState], bool] = _never,
        *,
        keep_last: int = 2,
        at_work: Callable[[], None] = _unheard,
    ) -> None:
        self._checkpoints = work / "checkpoints"
        self._validated = work / "validated"
        self._temporary = work / "tmp"
        self._selection = selection
        self._reporter = reporter
        self._still_needed = still_needed
        self._keep_last = keep_last
        self._at_work = at_work

    def prepare(self) -> None:
        """Make the folders and remove what a killed process left half-written."""
        for folder in (self._checkpoints, self._validated, self._temporary):
            durable.make_folder(folder)
        for path in (
            *durable.folders(self._temporary),
            *durable.folders(self._checkpoints),
            *durable.folders(self._validated),
        ):
            if path.parent == self._temporary or path.name.startswith(durable.REMOVED):
                durable.remove_folder(path)

    def newest(self, usable: Callable[[TrainingState], bool]) -> Path | None:
        """Return the newest whole checkpoint that may be used, or None to begin at the beginning.

        Args:
            usable: whether training may go on from a state, within the present budget.

        Raises:
            CorruptStateError: SF615, there are checkpoints and all of them are damaged.
        """
        whole = False
        for found in self._all():
            state = self._whole(found)
            if state is not None:
                whole = True
                if usable(state):
                    return found.path
        damaged = [path for path in self._checkpoints.iterdir() if path.name.startswith(durable.CORRUPT)]
        if damaged and not whole:
            raise CorruptStateError(
                "SF615",
                "every checkpoint of this training is damaged",
                place=Place(str(self._checkpoints)),
                help=f"remove `{self._checkpoints}` to train from the beginning",
            )
        return None

    def read(self, path: Path, parts: Mapping[str, Part] = _WHOLE, *, with_ema: bool = False) -> Resumable:
        """Return what a checkpoint holds.

        Args:
            path: of the checkpoint.
            parts: which rows this process needs, for each parameter of which it does not need all.
            with_ema: whether to read averages, which must be there.

        Raises:
            CorruptStateError: SF614, a file is missing or is not what it should be.
        """
        data = _JSON_OBJECT.validate_json((path / _STATE).read_bytes())
        rest = _JSON_OBJECT.validate_python(data["optimizer"])
        state = TrainingState.model_validate(data["training"])
        ema = read_part(path, _EMA, parts) if with_ema else None
        return Resumable(state, read_part(path, _MODEL, parts), read_part(path, _OPTIMIZER, parts), rest, ema)

    def save(self, resumable: Resumable, *, complete: bool) -> None:
        """Publish a checkpoint, read it back, and remove those that are no longer needed.

        Args:
            resumable: what to save.
            complete: False when the validation that is due at this update was cut short.

        Raises:
            StepFailedError: SF633, a weight is not finite; nothing is written.
        """
        _refuse_not_finite(resumable)

        groups = {_MODEL: resumable.weights, _OPTIMIZER: resumable.optimizer}
        if resumable.ema is not None:
            groups[_EMA] = resumable.ema

        def write(folder: Path) -> dict[str, FileDigest]:
            written = {}
            for group, tensors in groups.items():
                name = f"{group}.safetensors"
                written[name] = durable.write_digested(folder / name, weight_bytes(tensors))
                self._at_work()
            return written

        self._save(resumable, write, complete=complete)

    def save_parts(
        self, resumable: Resumable, parts: Mapping[str, Part], parallel: Parallel, *, complete: bool
    ) -> None:
        """Publish a checkpoint that all processes write together; as `save`, and nothing is published if one fails.

        Args:
            resumable: what this process holds.
            parts: which rows these are, for each parameter that is cut.
            parallel: this process among all.
            complete: as in `save`.

        Raises:
            StepFailedError: SF633, a weight of any process is not finite.
            EnvironmentFaultError: a process cannot write.
        """
        folder = Path(str(parallel.on_main(lambda: str(durable.temporary_folder(self._temporary, "parts")))))

        def write_mine() -> JsonValue:
            _refuse_not_finite(resumable)
            groups = {_MODEL: (resumable.weights, parts)}
            groups[_OPTIMIZER] = resumable.optimizer, optimizer_parts(resumable.optimizer, parts)
            if resumable.ema is not None:
                groups[_EMA] = resumable.ema, parts
            written: list[JsonValue] = []
            for group, (tensors, cut) in groups.items():
                written.append(write_part(folder, group, parallel.rank, tensors, cut))
                self._at_work()
            return written

        try:
            written = parallel.everywhere(write_mine)
        except SpecforgeError:
            if parallel.main:
                durable.remove_folder(folder)
            raise

        def write_index(folder: Path) -> dict[str, FileDigest]:
            groups = (_MODEL, _OPTIMIZER) if resumable.ema is None else (_MODEL, _OPTIMIZER, _EMA)
            durable.write_json(folder / INDEX, index_of(groups, written))
            return {}

        parallel.on_main(lambda: self._save(resumable, write_index, folder, complete=complete))

    def _save(
        self,
        resumable: Resumable,
        write: Callable[[Path], Mapping[str, FileDigest]],
        begun: Path | None = None,
        *,
        complete: bool,
    ) -> None:
        """Publish a checkpoint.

        Args:
            resumable: what to save.
            write: writes its tensors into a folder, and returns the digests of the files that it knows.
            begun: the folder, where it holds something already.
            complete: False when the validation that is due at this update was cut short.
        """
        state = resumable.state
        # A return to an earlier state comes to other weights after as many updates.
        turn = f"-rollback-{len(state.rollbacks)}" if state.rollbacks else ""
        final = self._checkpoints / f"{state.updates}{turn}{'' if complete else '-validating'}"
        known: dict[str, FileDigest] = {}
        with self._publishing(final, _facts(state), begun, known) as folder:
            known |= write(folder)
            described: dict[str, JsonValue] = {
                "training": state.model_dump(mode="json"),
                "optimizer": dict(resumable.optimizer_rest),
            }
            durable.write_json(folder / _STATE, described)
        self._at_work()
        durable.verify(final)
        self.prune(state)

    def snapshot(self, updates: int, weights: Mapping[str, Tensor]) -> str:
        """Publish validated weights and return the name to find them by.

        Raises:
            StepFailedError: SF633, a weight is not finite.
        """
        if not all_finite(weights):
            raise StepFailedError("SF633", f"after {updates:,} updates a weight is not finite")
        data = weight_bytes(weights)
        # The digest in the name keeps apart what two attempts on a device that is not exact came to at one update.
        name = f"{updates}-{digest_bytes(data)[:12]}"
        with self._publishing(self._validated / name, {"format": 1, "kind": "validated", "updates": updates}) as folder:
            durable.write_file(folder / WEIGHTS, data)
        return name

    def snapshot_path(self, name: str) -> Path:
        """Return the file with the weights of a snapshot."""
        return self._validated / name / WEIGHTS

    def prune(self, state: TrainingState) -> None:
        """Remove all but the last checkpoints, and validated weights that neither they nor the present state need.

        Checkpoints beyond the present state are those of a larger budget; they stay. Done after every validation too:
        many may lie between two checkpoints.
        """
        try:
            everything = self._all()
            for old in [one for one in everything if one.updates <= state.updates][self._keep_last :]:
                if not self._still_needed(old.updates, state):
                    durable.remove_folder(old.path)
                    everything.remove(old)
            states = [state, *(self._state(one) for one in everything)]
            kept = {name for one in states if one for name in self._selection.kept(one.validations)}
            for path in durable.folders(self._validated):
                if path.name not in kept and not path.name.startswith(durable.CORRUPT):
                    durable.remove_folder(path)
        except OSError as error:
            self._reporter.warning(f"old checkpoints could not be removed: {error}")

    @contextmanager
    def _publishing(
        self,
        final: Path,
        facts: Mapping[str, JsonValue],
        begun: Path | None = None,
        known: Mapping[str, FileDigest] = _UNKNOWN,
    ) -> Iterator[Path]:
        temporary = begun or durable.temporary_folder(self._temporary, final.name)
        try:
            yield temporary
            if final.exists() and not self._verified(final):
                self._put_aside(final)
            durable.publish(temporary, final, facts, known)
        except BaseException:
            if temporary.exists():
                durable.remove_folder(temporary)
            raise

    def _all(self) -> list[_Found]:
        """Return the checkpoints as their manifests describe them, newest first; put aside those that have none."""
        found = []
        for path in durable.folders(self._checkpoints):
            if not path.name.startswith((durable.CORRUPT, durable.REMOVED)):
                try:
                    facts = durable.read_manifest(path) or {}
                except CorruptStateError:
                    facts = {}
                updates, validations = facts.get("updates"), facts.get("validations")
                rollbacks = facts.get("rollbacks", 0)
                if isinstance(updates, int) and isinstance(validations, int) and isinstance(rollbacks, int):
                    found.append(_Found(path, updates, validations, rollbacks))
                else:
                    self._put_aside(path)
        return sorted(found, key=lambda one: (one.rollbacks, one.updates, one.validations), reverse=True)

    def _whole(self, found: _Found) -> TrainingState | None:
        """Return the state of a checkpoint that is whole in all it refers to, or None."""
        state = self._state(found) if self._verified(found.path) else None
        if state is None:
            self._put_aside(found.path)
            return None
        for name in sorted(self._selection.needed(state.validations)):
            folder = self._validated / name
            if not self._verified(folder):
                if folder.exists():
                    self._put_aside(folder)
                self._reporter.warning(f"checkpoint {found.path.name} cannot be used without `{folder}`")
                self._put_aside(found.path)
                return None
        return state

    def _state(self, found: _Found) -> TrainingState | None:
        try:
            data = _JSON_OBJECT.validate_json((found.path / _STATE).read_bytes())
            state = TrainingState.model_validate(data["training"])
        except (OSError, KeyError, ValidationError):
            return None
        # The manifest is not covered by its own digests.
        return state if (state.updates, len(state.validations)) == (found.updates, found.validations) else None

    def _verified(self, folder: Path) -> bool:
        try:
            durable.verify(folder)
        except CorruptStateError as error:
            place = "" if error.place is None else f" ({error.place})"
            self._reporter.warning(f"{error.message}{place}")
            return False
        return True

    def _put_aside(self, folder: Path) -> None:
        aside = durable.quarantine(folder)
        self._reporter.warning(f"`{folder}` is damaged; it is kept as `{aside.name}`")


def _refuse_not_finite(resumable: Resumable) -> None:
    if not all_finite(resumable.weights):
        raise StepFailedError("SF633", f"after {resumable.state.updates:,} updates a weight is not finite")


def _facts(state: TrainingState) -> dict[str, JsonValue]:
    """Return what the manifest of a checkpoint says of it."""
    return {
        "format": 1,
        "kind": "checkpoint",
        "updates": state.updates,
        "epoch": state.last_epoch,
        "validations": len(state.validations),
        "rollbacks": len(state.rollbacks),
        # how fast it was, for estimates of what is left
        "seconds": round(state.seconds, 3),
        "host": socket.gethostname(),
        "device": state.environment.get("device"),
        "devices": state.environment.get("devices"),
    }
