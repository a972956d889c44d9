"""`specforge translate` as a user types it: a small experiment, trained once for this file."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from digits import specforge
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.cli.main import main

_GENERATE = '\n[generate]\ncheckpoint = "last"\nsearch = { use = "beam", beam = 2, max_length = [0, 5] }\n'


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SmallExperiment:
    """The small experiment, trained and generated from; tests only read its store."""
    small = SmallExperiment(tmp_path_factory.mktemp("small"))
    small.write_spec(SMALL_SPEC + _GENERATE)
    result = specforge("run", "small.toml", "--store", "a store", "--until", "generate", cwd=small.folder)
    assert result.returncode == 0, result.stderr
    return small


def translate(folder: Path, text: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "specforge", "translate", "small.toml", "--store", "a store", *words]
    return subprocess.run(command, cwd=folder, input=text, capture_output=True, check=False)


def test_gives_what_the_generate_step_gave(trained: SmallExperiment) -> None:
    source = (trained.folder / "test.en").read_bytes()

    result = translate(trained.folder, source.removesuffix(b"\n"))

    hypotheses = trained.folder / "a store" / "runs" / "small" / "test" / "hypotheses.txt"
    assert (0, b"") == (result.returncode, result.stderr)
    assert hypotheses.read_bytes() == result.stdout
    assert 3 == result.stdout.count(b"\n")


def in_folder(folder: Path, text: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "specforge", "translate", *words]
    return subprocess.run(command, cwd=folder, input=text, capture_output=True, check=False)


def test_a_model_folder_alone_gives_the_same_lines(trained: SmallExperiment, tmp_path: Path) -> None:
    expected = translate(trained.folder, (trained.folder / "test.en").read_bytes()).stdout
    shutil.copytree(trained.folder / "a store" / "runs" / "small" / "last", tmp_path / "moved")
    away = trained.folder.rename(trained.folder.with_name("away"))  # neither store nor data are there

    result = in_folder(tmp_path, (away / "test.en").read_bytes(), "moved")
    away.rename(trained.folder)

    assert (0, b"") == (result.returncode, result.stderr)
    assert expected == result.stdout
    sums = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path / "moved", capture_output=True, check=False
    )
    assert 0 == sums.returncode, sums.stderr
    spec = specforge("validate", "moved/spec.toml", cwd=tmp_path)
    assert spec.returncode == 0, spec.stderr


def test_a_folder_that_is_no_model_folder_is_told(trained: SmallExperiment) -> None:
    result = in_folder(trained.folder, b"", "a store/runs/small")

    assert 2 == result.returncode
    assert b"error[SF672]: `a store/runs/small` is no model folder: it has no `model.json`" in result.stderr
    assert b"there are model folders in it: average, best, last" in result.stderr


def test_a_model_folder_has_no_spec_to_set_anything_in(trained: SmallExperiment) -> None:
    result = in_folder(trained.folder, b"", "a store/runs/small/last", "--set", "seed=2")

    assert 2 == result.returncode
    assert b"error[SF672]" in result.stderr


def test_a_line_that_is_not_utf_8_is_named(trained: SmallExperiment) -> None:
    result = translate(trained.folder, b"one\n\ntwo \xfe\nthree\n")

    assert 2 == result.returncode
    assert 2 == result.stdout.count(b"\n")
    assert b"error[SF502]" in result.stderr
    assert b"<stdin>:3:5" in result.stderr
    assert b"Traceback" not in result.stderr


def test_another_search_needs_no_other_training(trained: SmallExperiment) -> None:
    result = translate(trained.folder, b"one two\n", "--set", "generate.search={use='greedy', max_length=[0, 1]}")

    assert (0, 1) == (result.returncode, result.stdout.count(b"\n"))
    assert 1 >= len(result.stdout.split())


def test_what_is_not_trained_is_refused_with_the_command_to_type(trained: SmallExperiment) -> None:
    result = translate(trained.folder, b"one\n", "--set", "seed=2")

    assert (3, b"") == (result.returncode, result.stdout)
    assert b"error[SF624]: this spec has not been trained" in result.stderr
    command = result.stderr.decode().split("`")[-2]
    assert [
        "specforge",
        "run",
        "small.toml",
        "--until",
        "train",
        "--set",
        "seed=2",
        "--store",
        "a store",
    ] == shlex.split(command)


def test_at_a_terminal_it_says_once_what_to_do(trained: SmallExperiment) -> None:
    ours, terminal = os.openpty()
    command = [sys.executable, "-m", "specforge", "translate", "small.toml", "--store", "a store"]
    try:
        os.write(ours, b"one\ntwo\n\x04")  # Ctrl-D
        result = subprocess.run(command, cwd=trained.folder, stdin=terminal, capture_output=True, check=False)
    finally:
        os.close(terminal)
        os.close(ours)

    assert (0, 2) == (result.returncode, result.stdout.count(b"\n"))
    assert b"type a line and press Enter; Ctrl-D ends\n" == result.stderr


def conversation(trained: SmallExperiment, *answers: tuple[bytes, bytes]) -> tuple[int, str]:
    """Type at a terminal what is to be typed after something is seen; return the exit code and all that was seen."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(trained.folder)
        command = [sys.executable, "-m", "specforge", "translate", "small.toml", "--store", "a store"]
        os.execv(sys.executable, command)  # noqa: S606  # there is no shell to go without
    seen, asked = b"", 0
    for awaited, typed in [*answers, (b"never said", b"")]:
        while awaited not in seen[asked:]:
            try:
                data = os.read(terminal, 4_096)
            except OSError:  # the other side has ended
                data = b""
            if not data:
                break
            seen += data
        asked = len(seen)
        if typed:
            os.write(terminal, typed)
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), seen.decode().replace("\r\n", "\n")


def test_at_a_terminal_each_line_is_answered_with_pieces_scores_and_alternatives(trained: SmallExperiment) -> None:
    code, seen = conversation(trained, (b"> ", b"one two\n"), (b"> ", b" \n"), (b"> ", b"\x04"))

    table = translate(trained.folder, b"one two\n", "--nbest", "2", "--scores").stdout.decode()
    rows = [row.split("\t") for row in table.split("\n")[:-1]]
    assert 0 == code
    assert 1 == seen.count("type a line and press Enter; Ctrl-D ends\n")
    assert "\n   one two" in seen
    for rank, (_, score, text) in enumerate(rows, start=1):
        assert f"\n{rank}  {score}  {text}" in seen
    assert 3 == seen.count("> ")


def test_ctrl_c_at_the_prompt_ends_it(trained: SmallExperiment) -> None:
    code, seen = conversation(trained, (b"> ", b"one"), (b"one", b"\x03"))

    assert 130 == code
    assert "Traceback" not in seen
    assert "error" not in seen


def test_a_file_that_appears_when_it_is_whole(trained: SmallExperiment) -> None:
    source = trained.folder / "test.en"
    expected = translate(trained.folder, source.read_bytes(), "--format", "fairseq", "--nbest", "2").stdout

    words = ("--format", "fairseq", "--nbest", "2", "--output", "out.txt", "--resume")
    result = translate(trained.folder, b"", "test.en", *words)

    assert (0, b"", b"") == (result.returncode, result.stdout, result.stderr)
    assert expected == (trained.folder / "out.txt").read_bytes()
    assert [b"S-0", b"H-0", b"D-0", b"P-0"] == [line.split(b"\t")[0] for line in expected.split(b"\n")[:4]]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["gone.en"], 2, "error[SF501]: no such file"),
        (["--resume"], 2, "error[SF722]: `--resume` goes on with a file, and there is none"),
        (["test.en", "--output", "test.en"], 2, "error[SF722]: `--output` is what is to be translated"),
        (["test.en", "--output", "gone/out"], 2, "error[SF722]: there is no such folder to write to"),
        (["test.en", "--output", "."], 2, "error[SF722]: `--output` is not a regular file"),
        (["--nbest", "none"], 2, "argument --nbest: `none` is not a number from 1"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_loaded(
    trained: SmallExperiment,
    words: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(trained.folder)
    try:
        found = main(["translate", "small.toml", *words])
    except SystemExit as ended:
        found = int(str(ended.code))

    assert code == found
    assert message in capsys.readouterr().err


def test_files_are_all_text_or_all_json_lines(
    trained: SmallExperiment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.folder)
    (trained.folder / "more.jsonl").write_text('{"text": "one"}\n')

    assert 2 == main(["translate", "small.toml", "test.en", "more.jsonl"])
    assert "error[SF722]: some of the files are named *.jsonl and some are not" in capsys.readouterr().err


def test_ctrl_c_ends_it_without_a_word(trained: SmallExperiment) -> None:
    command = [sys.executable, "-m", "specforge", "translate", "small.toml", "--store", "a store"]
    with subprocess.Popen(
        command,
        cwd=trained.folder,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"one\n")
        process.stdin.flush()
        process.stdout.readline()  # it is at work
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and to its worker
        output, error = process.communicate(timeout=120)

    assert (130, b"", b"") == (process.returncode, output, error)
