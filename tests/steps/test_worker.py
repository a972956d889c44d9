"""The worker process: how a job comes in, how its end goes out, and what it does not import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from preprocess_jobs import make_job, parallel
from pydantic import JsonValue
from worker_process import ROOT, run_worker

from specforge.execution.job import Job
from specforge.foundation.errors import (
    EnvironmentFaultError,
    ExitCode,
    Place,
    StepFailedError,
    WrongInputError,
)
from specforge.foundation.events import ErrorEvent, MessageEvent, ProgressEvent
from specforge.steps.worker import as_specforge_error

RAISING = "import specforge.steps.preprocess as step\ndef run(job, reporter): {}\nstep.run = run"


def finished_job(folder: Path) -> Job:
    corpora = [parallel(folder, "train/0", "a b\n", "x y\n"), parallel(folder, "valid", "a\n", "x\n")]
    return make_job(folder / "result", corpora)


def test_a_job_comes_in_and_its_events_go_out(tmp_path: Path) -> None:
    ended = run_worker(finished_job(tmp_path))

    assert (ExitCode.DONE, "") == (ended.code, ended.stderr)
    assert ProgressEvent(2, 2, "lines", {}) in ended.events
    assert MessageEvent("info", "1 item to train on, 1 to validate with, vocabulary of 6 types") in ended.events
    assert (tmp_path / "result" / "corpus.json").is_file()


@pytest.mark.parametrize(
    ("statement", "code", "exit_code"),
    [
        ("raise ValueError('no\\nidea')", "SF632", ExitCode.STEP_FAILED),
        ("raise SystemExit(0)", "SF632", ExitCode.STEP_FAILED),
        ("raise MemoryError", "SF605", ExitCode.ENVIRONMENT),
        ("open('/dev/full', 'w').write('x' * 100_000)", "SF602", ExitCode.ENVIRONMENT),
        (
            "import specforge.foundation.errors as e; raise e.StepFailedError('SF142', 'm') from KeyError('k')",
            "SF142",
            ExitCode.STEP_FAILED,
        ),
        ("import specforge.foundation.errors as e; raise e.CorruptStateError('SF614', 'm')", "SF614", ExitCode.CORRUPT),
        ("import specforge.foundation.errors as e; raise e.StoppedRunError('SF640', 'm')", "SF640", ExitCode.STOPPED),
    ],
)
def test_whatever_is_raised_becomes_an_error_and_an_exit_code(
    tmp_path: Path, statement: str, code: str, exit_code: ExitCode
) -> None:
    ended = run_worker(finished_job(tmp_path), prelude=RAISING.format(statement))

    (event,) = ended.events
    assert isinstance(event, ErrorEvent)
    assert (code, exit_code, exit_code) == (event.error["code"], event.error["exit_code"], ended.code)
    assert ("Traceback" in ended.stderr) == (exit_code is ExitCode.STEP_FAILED)


def test_where_we_said_that_a_step_fails_helps_nobody(tmp_path: Path) -> None:
    raised = "import specforge.foundation.errors as e; raise e.StepFailedError('SF633', 'a weight is not finite')"

    ended = run_worker(finished_job(tmp_path), prelude=RAISING.format(raised))

    (event,) = ended.events
    assert isinstance(event, ErrorEvent)
    assert ("SF633", ExitCode.STEP_FAILED, "") == (event.error["code"], ended.code, ended.stderr)


def test_an_error_names_its_place_to_the_runner(tmp_path: Path) -> None:
    job = finished_job(tmp_path)
    Path(job.corpora[0].files["source"]).write_bytes(b"caf\xe9\n")

    ended = run_worker(job)

    assert ended.code == ExitCode.WRONG_INPUT
    (error,) = (event.error for event in ended.events if isinstance(event, ErrorEvent))
    assert (job.corpora[0].files["source"], 1, 4) == tuple(error["place"] or ())


def test_exceptions_are_told_apart() -> None:
    ours = WrongInputError("SF501", "no such file", place=Place("x"))

    assert as_specforge_error(ours) is ours
    assert isinstance(as_specforge_error(MemoryError()), EnvironmentFaultError)
    assert isinstance(as_specforge_error(PermissionError(13, "Permission denied", "x")), EnvironmentFaultError)
    other = as_specforge_error(KeyError("name"))
    assert (StepFailedError, "unexpected KeyError: 'name'") == (type(other), other.message)


def test_tokenizer_preprocess_and_score_do_without_torch(tmp_path: Path) -> None:
    corpora = [parallel(tmp_path, "train/0", "a b\n" * 50, "x y\n" * 50), parallel(tmp_path, "valid", "a\n", "x\n")]
    sentencepiece: JsonValue = {"use": "specforge/sentencepiece", "vocab_size": 9, "hard_vocab_limit": False}
    prelude = (
        "import atexit, sys\natexit.register(lambda: print(sorted({'torch'} & set(sys.modules)), file=sys.stderr))"
    )
    learn = make_job(tmp_path / "tokenizer", corpora, kind="tokenizer", tokenizer=sentencepiece)
    cut = make_job(
        tmp_path / "result", corpora, tokenizer=sentencepiece, needs={"tokenizer": str(tmp_path / "tokenizer")}
    )

    (tmp_path / "generate").mkdir()
    (tmp_path / "generate" / "hypotheses.txt").write_text("x\n")
    score = make_job(
        tmp_path / "score",
        [parallel(tmp_path, "test", "a\n", "x\n")],
        kind="score",
        needs={"generate": str(tmp_path / "generate")},
    )
    metrics: list[JsonValue] = [{"use": "specforge/bleu"}, {"use": "specforge/exact_match"}]
    score = score.model_copy(update={"settings": {**score.settings, "metrics": metrics}})

    for job in (learn, cut, score):
        ended = run_worker(job, prelude=prelude)
        assert (ExitCode.DONE, "[]\n") == (ended.code, ended.stderr)


def test_the_libraries_get_the_threads_of_the_job(tmp_path: Path) -> None:
    statement = "import os; reporter.message(os.environ['OMP_NUM_THREADS'] + os.environ['OPENBLAS_NUM_THREADS'])"
    job = finished_job(tmp_path).model_copy(update={"threads": 3})

    ended = run_worker(job, {"OMP_NUM_THREADS": "7"}, RAISING.format(statement))

    assert [MessageEvent("info", "33")] == ended.events


def test_a_step_other_than_train_ends_at_once_on_sigterm(tmp_path: Path) -> None:
    prelude = RAISING.format("import time; print('ready', flush=True); time.sleep(60)")
    job_end, job_source = os.pipe()
    with os.fdopen(job_source, "w", encoding="utf-8") as file:
        file.write(finished_job(tmp_path).model_dump_json())
    program = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{prelude}\nfrom specforge.steps.worker import main\nmain()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "--job-fd", str(job_end)], pass_fds=(job_end,), stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        os.close(job_end)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)

        assert process.wait() == -signal.SIGTERM


def test_a_worker_dies_with_its_runner(tmp_path: Path) -> None:
    statement = "import ctypes; signal = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(signal)); reporter.message(str(signal.value))"
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process of its parent's end")

    ended = run_worker(finished_job(tmp_path), prelude=RAISING.format(statement))

    assert [MessageEvent("info", str(int(signal.SIGKILL)))] == ended.events
