"""`specforge lock` and `run --locked`: what is written, what is refused, and what is said."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from digits import specforge
from shell import Shell
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.cli.spec_arguments import lock_file


def test_a_lock_lies_beside_its_spec() -> None:
    assert Path("a/wmt.lock") == lock_file(Path("a/wmt.toml"))
    assert Path("a/wmt.v2.lock") == lock_file(Path("a/wmt.v2.toml"))
    assert Path("wmt.lock.lock") == lock_file(Path("wmt.lock"))  # never the spec itself


def test_a_lock_is_written_once(shell: Shell) -> None:
    assert "small.lock written: 8 components, 6 data files, 4 steps\n" == shell("lock", "small.toml")
    before = Path("small.lock").read_bytes()

    assert "small.lock is up to date\n" == shell("lock", "small.toml")
    assert before == Path("small.lock").read_bytes()
    assert not Path(".specforge").exists()


def test_what_is_renewed_is_said(shell: Shell) -> None:
    shell("lock", "small.toml")

    said = shell("lock", "small.toml", "--set", "model.dropout=0.5", "--set", "run.devices=2")

    assert [
        "small.lock renewed",
        "  model.dropout: 0.1 → 0.5 (--set model.dropout=0.5)",
        "  run.devices: 1 → 2 (--set run.devices=2), changes no result",
        "",
    ] == said.split("\n")
    assert "small.lock is up to date\n" == shell(
        "lock", "small.toml", "--set", "model.dropout=0.5", "--set", "run.devices=2"
    )


def test_json_says_what_differed(shell: Shell) -> None:
    shell("lock", "small.toml")

    document = json.loads(shell("lock", "small.toml", "--json", "--set", "seed=2"))

    difference = {
        "cause": "spec",
        "what": "seed",
        "before": "1",
        "after": "2",
        "where": "--set seed=2",
        "changes_results": True,
    }
    assert {
        "format": 1,
        "file": "small.lock",
        "written": True,
        "up_to_date": True,
        "differences": [difference],
    } == document


def test_how_a_spec_is_written_is_no_difference(shell: Shell, small: SmallExperiment) -> None:
    shell("lock", "small.toml")
    small.write_spec(SMALL_SPEC.replace("[train]\n", "[train]\n# as before\npatience = 0x3\n"), "base.toml")
    small.write_spec('specforge = 1\nextends = "base.toml"\nunset = ["train.patience"]\n')

    assert "small.lock is up to date\n" == shell("lock", "small.toml")


def test_one_part_is_renewed_alone(shell: Shell, small: SmallExperiment) -> None:
    shell("lock", "small.toml")
    small.write_text("test", [("one", "eins")])

    said = shell("lock", "small.toml", "--update", "data")

    assert 3 == said.count("\n")
    assert "data test/source (test.en): 3 lines" in said


def test_one_part_hides_no_other(shell: Shell, small: SmallExperiment) -> None:
    shell("lock", "small.toml")
    before = Path("small.lock").read_bytes()
    small.write_text("test", [("one", "eins")])

    shell("lock", "small.toml", "--update", "plugins", code=3)
    assert "error[SF654]: not only the plugins differ" in shell.errors
    assert "data test/source" in shell.errors
    shell("lock", "small.toml", "--update", "data", "--set", "seed=2", code=3)
    assert "seed: 1 → 2" in shell.errors
    assert "data test/source" not in shell.errors
    assert before == Path("small.lock").read_bytes()


def test_there_must_be_a_lock_to_update_or_to_obey(shell: Shell) -> None:
    shell("lock", "small.toml", "--update", "data", code=3)
    assert "error[SF652]: there is no lock file to update" in shell.errors
    shell("run", "small.toml", "--locked", code=3)
    assert "`specforge lock small.toml` writes it" in shell.errors
    shell("run", "none.toml", "--locked", code=2)
    assert "error[SF501]" in shell.errors


def test_the_lock_of_another_tool_is_left_alone(shell: Shell) -> None:
    Path("small.lock").write_text("version = 1\n")

    shell("lock", "small.toml", code=2)

    assert "error[SF114]" in shell.errors
    assert "version = 1\n" == Path("small.lock").read_text()


def test_a_plan_is_told_beside_a_lock_that_cannot_be_read(shell: Shell) -> None:
    Path("small.lock").write_text("version = 1\n")

    printed = shell("plan", "small.toml", "--no-estimates")

    assert "error[SF114]" in shell.errors
    assert "score.test" in printed


def test_what_is_locked_runs(shell: Shell) -> None:
    shell("lock", "small.toml")

    assert "bleu" in shell("run", "small.toml", "--locked", "--set", "run.log_every=1")


def test_what_is_not_locked_does_not_run(shell: Shell, small: SmallExperiment) -> None:
    shell("lock", "small.toml")
    small.write_text("train", [("one", "eins"), ("two", "zwei")])
    small.write_spec(SMALL_SPEC.replace("embed_dim = 8", "embed_dim = 16"))

    shell("run", "small.toml", "--locked", code=3)

    line = SMALL_SPEC.split("\n").index("embed_dim = 8") + 1
    assert "error[SF651]: what would run is not what is locked\n --> small.lock\n" in shell.errors
    assert "data train/0/source (train.en): 5 lines" in shell.errors
    assert f"model.embed_dim: 8 → 16 (small.toml:{line}:13)" in shell.errors
    assert "if this is meant, `specforge lock small.toml` renews the lock" in shell.errors
    assert not Path(".specforge").exists()


def test_the_help_names_the_part_that_differs(shell: Shell, small: SmallExperiment) -> None:
    shell("lock", "small.toml")
    small.write_text("train", [("one", "eins")])

    shell("run", "small.toml", "--locked", "--store", "s", code=3)

    assert "`specforge lock small.toml --store s --update data`" in shell.errors


def test_a_plan_says_whether_the_lock_holds(shell: Shell) -> None:
    assert "lock" not in shell("plan", "small.toml", "--no-estimates")
    shell("lock", "small.toml")

    assert "\n  lock    up to date\n" in shell("plan", "small.toml", "--no-estimates", "--set", "run.devices=2")
    said = shell("plan", "small.toml", "--no-estimates", "--set", "seed=2", "--set", "model.dropout=0.5")
    assert said.endswith(
        "\n  lock    differs: seed: 1 → 2 (--set seed=2)\n"
        "                   model.dropout: 0.1 → 0.5 (--set model.dropout=0.5)\n"
    )
    document = json.loads(shell("plan", "small.toml", "--no-estimates", "--json", "--set", "seed=2"))
    assert ("small.lock", False, ["seed"]) == (
        document["lock"]["file"],
        document["lock"]["up_to_date"],
        [row["what"] for row in document["lock"]["differences"]],
    )


def test_the_json_is_what_its_page_says(shell: Shell) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "json.md").read_text()
    document: dict[str, Any] = json.loads(shell("lock", "small.toml", "--json"))
    differing: dict[str, Any] = json.loads(shell("lock", "small.toml", "--json", "--set", "seed=2"))

    names = {*document, *differing["differences"][0]}
    assert [] == [name for name in sorted(names) if f"`{name}`" not in page]


SWEEP = '\n[sweep.grid]\n"optimizer.lr" = [1e-3, 2e-3]\n'


def test_a_sweep_has_one_lock_for_all_points(shell: Shell, small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC + SWEEP)
    assert "8 components, 6 data files, 8 steps" in shell("lock", "small.toml")

    assert "lock    up to date" in shell("plan", "small.toml", "--no-estimates")
    assert "lock    up to date" in shell("plan", "small.toml", "--no-estimates", "--point", "2")
    shell("run", "small.toml", "--locked", "--point", "2")
    assert ["small.lr-0.002"] == [path.name for path in Path(".specforge/runs").iterdir()]
    small.write_spec(SMALL_SPEC + SWEEP.replace("2e-3", "3e-3"))
    shell("run", "small.toml", "--locked", "--point", "1", code=3)
    assert "sweep.grid.optimizer.lr: [0.001, 0.002] → [0.001, 0.003]" in shell.errors


PLUGIN = """
from specforge.plugin import Component, LRSchedulerConfig, Preset, hookimpl

class SteadyConfig(LRSchedulerConfig):
    pass

@hookimpl
def specforge_components():
    return [
        Component("lr_scheduler", "steady", "acme_steady:SteadyConfig", "acme_steady:build", summary="steady"),
        Preset("model", "acme_flat", of="specforge/transformer", values={"encoder_layers": 1}),
    ]
"""


def install(folder: Path, version: str, text: str = PLUGIN, *, editable: bool = False) -> None:
    """Lay a plugin out as an installer does, in place of a former version."""
    (folder / "acme_steady.py").write_text(text)
    for former in folder.glob("*.dist-info"):
        for path in former.iterdir():
            path.unlink()
        former.rmdir()
    metadata = folder / f"acme_steady-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-steady\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text("[specforge]\nmain = acme_steady\n")
    if editable:
        (metadata / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')


def locked_run(folder: Path, words: Sequence[str] = ()) -> tuple[int, str]:
    environment = {"PYTHONPATH": os.pathsep.join([str(folder / "site"), *sys.path])}
    done = specforge(*(words or ["run", "small.toml", "--locked"]), cwd=folder, environment=environment)
    return done.returncode, done.stderr + done.stdout


def test_who_offers_a_preset_is_locked_too(small: SmallExperiment) -> None:
    (small.folder / "site").mkdir()
    install(small.folder / "site", "1.0")
    words = ["lock", "small.toml", "--set", "model.use='acme_flat'"]

    assert (0, "small.lock written: 8 components, 1 plugin, 6 data files, 4 steps\n") == locked_run(small.folder, words)


def test_a_changed_plugin_is_refused_before_it_is_imported(small: SmallExperiment) -> None:
    site = small.folder / "site"
    site.mkdir()
    install(site, "1.0")
    small.write_spec(SMALL_SPEC + '\n[lr_scheduler]\nuse = "steady"\n')
    assert (0, "small.lock written: 8 components, 1 plugin, 6 data files, 4 steps\n") == locked_run(
        small.folder, ["lock", "small.toml"]
    )

    install(site, "2.0", "raise SystemExit('imported')")
    code, said = locked_run(small.folder)
    assert 3 == code
    assert "note: plugin acme-steady: 1.0 → 2.0\n" in said
    assert "`specforge lock small.toml --update plugins`" in said

    install(
        site, "1.0", PLUGIN.replace("pass", "x: int = 1"), editable=True
    )  # the version is the same, its code is not
    code, said = locked_run(small.folder)
    assert 3 == code
    assert "note: plugin acme-steady: 1.0 → 1.0, code " in said
