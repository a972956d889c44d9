"""The store: where it is, what is in it, and what a sweep may touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError, EnvironmentFaultError
from specforge.storage.locks import hold
from specforge.storage.store import Store, locate


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.create()
    return made


def published(store: Store, kind: str, key: str) -> Path:
    folder = store.scratch("label")
    durable.write_file(folder / "file", b"content")
    durable.publish(folder, store.result(kind, key), {"kind": kind})
    return store.result(kind, key)


def test_a_store_that_is_a_file_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")

    with pytest.raises(EnvironmentFaultError) as caught:
        locate(tmp_path / "a.toml", str(tmp_path / "results"), {})

    assert ("SF601", str(tmp_path / "results")) == (caught.value.code, str(caught.value.place))


def test_the_option_is_stronger_than_the_variable(tmp_path: Path) -> None:
    spec, environment = tmp_path / "a.toml", {"SPECFORGE_STORE": "/variable"}

    assert Path("/option") == locate(spec, "/option", environment)
    assert Path("/variable") == locate(spec, None, environment)


def test_the_nearest_store_or_repository_above_the_spec_is_taken(tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "specs" / "deep"
    inner.mkdir(parents=True)
    spec = inner / "a.toml"
    assert inner / ".specforge" == locate(spec, None, {})  # nothing above: beside the spec

    (tmp_path / "repository" / ".git").mkdir()
    assert tmp_path / "repository" / ".specforge" == locate(spec, None, {})

    (tmp_path / "repository" / "specs" / ".specforge").mkdir()
    assert tmp_path / "repository" / "specs" / ".specforge" == locate(spec, None, {})


def test_a_relative_store_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert tmp_path / "results" == locate(tmp_path / "a.toml", "results", {})


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    store = Store(tmp_path / "nothing")

    assert None is store.manifest("train", "key")
    assert [] == list(store.manifests("train"))
    assert [] == store.checkpoints("trajectory")


def test_git_leaves_a_store_alone(store: Store) -> None:
    store.create()

    assert "*\n" == (store.root / ".gitignore").read_text()


def test_a_folder_without_a_manifest_is_no_result(store: Store) -> None:
    store.result("train", "half").mkdir(parents=True)
    published(store, "train", "whole")

    assert None is store.manifest("train", "half")
    assert ["whole"] == [key for key, _ in store.manifests("train")]


def test_a_broken_manifest_is_told_and_not_hidden(store: Store) -> None:
    folder = published(store, "train", "key")
    (folder / "manifest.json").write_text("{")

    with pytest.raises(CorruptStateError):
        store.manifest("train", "key")
    assert [] == list(store.manifests("train"))  # who looks for another result is not kept from it


def test_files_of_others_are_no_results_and_stay(store: Store) -> None:
    """A file manager leaves `.DS_Store` where it looks, and NFS what is removed while it is open."""
    published(store, "train", "key")
    checkpoints = durable.make_folder(store.work("trajectory") / "checkpoints")
    strange = [folder / ".DS_Store" for folder in (store.root / "objects" / "train", checkpoints, store.root / "tmp")]
    for file in strange:
        file.touch()

    assert ["key"] == [key for key, _ in store.manifests("train")]
    assert [] == store.checkpoints("trajectory")
    store.sweep()
    assert all(file.exists() for file in strange)


def test_checkpoints_are_ordered_by_updates_and_not_by_name(store: Store) -> None:
    folder = store.work("trajectory") / "checkpoints"
    for updates in (1_000, 20, 300):
        path = folder / str(updates)
        path.mkdir(parents=True)
        (path / "manifest.json").write_text(f'{{"updates": {updates}, "epoch": 1}}')
    (folder / "400").mkdir()  # never published
    (folder / "500").mkdir()
    (folder / "500" / "manifest.json").write_text("broken")
    (folder / "corrupt-600").mkdir()
    (folder / "corrupt-600" / "manifest.json").write_text('{"updates": 600, "epoch": 1}')

    assert [20, 300, 1_000] == [manifest["updates"] for manifest in store.checkpoints("trajectory")]


def test_a_sweep_removes_what_belongs_to_nobody(store: Store) -> None:
    left = [store.scratch("train-aa"), store.scratch("score-bb")]
    (left[0] / "result").mkdir()
    half_removed = store.root / "tmp" / f"{durable.REMOVED}train-aa.1.2.3"
    half_removed.mkdir()

    store.sweep()

    assert [] == list((store.root / "tmp").iterdir())


def test_a_sweep_leaves_what_is_being_made(store: Store) -> None:
    with hold(store.lock("train-aa"), "x", wait=False, announce=print):
        kept = store.scratch("train-aa")
        half_removed = store.root / "tmp" / f"{durable.REMOVED}{kept.name}.x"
        half_removed.mkdir()
        gone = store.scratch("train-bb")
        store.sweep()

    assert kept.is_dir()
    assert half_removed.is_dir()
    assert not gone.exists()


def test_a_scratch_folder_is_private(store: Store) -> None:
    assert 0o700 == store.scratch("train-aa").stat().st_mode & 0o777
