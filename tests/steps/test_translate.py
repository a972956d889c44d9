"""The translate worker, as a process: its input, its output, and what else it may say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from trained_model import decoding_job, train_result
from worker_process import ROOT

from specforge.steps.decoding import trained_generator

NOISE = "import specforge.steps.decoding as d; f = d.trained_generator; d.trained_generator = lambda *a: (print('!'), f(*a))[1]"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_result(tmp_path_factory.mktemp("trained"), {"positions": "learned", "max_positions": 6})


@contextmanager
def worker(trained: Path, prelude: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Start a translate worker; standard input, output and error are pipes."""
    program = f"{prelude}\nimport sys\nfrom specforge.steps.worker import main\nsys.exit(main())"
    job_end, job_source = os.pipe()
    with os.fdopen(job_source, "w") as file:
        file.write(decoding_job("translate", trained, [], None).model_dump_json())
    with subprocess.Popen(
        [sys.executable, "-c", program, "--job-fd", str(job_end)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(job_end,),
        cwd=ROOT,
    ) as process:
        os.close(job_end)
        try:
            yield process
        finally:
            process.kill()


def translated(trained: Path, lines: list[str]) -> list[str]:
    return [each.text for each in trained_generator(decoding_job("translate", trained, [], None)).translate(lines)]


def test_each_line_is_answered_while_the_input_stays_open(trained: Path) -> None:
    first, second, third = translated(trained, ["a b c", "c", "b b"])
    with worker(trained, NOISE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a b c\n")
        process.stdin.flush()
        assert f"{first}\n".encode() == process.stdout.readline()
        process.stdin.write(b"\n\nc\nb b")
        output, error = process.communicate()

    assert f"\n\n{second}\n{third}\n".encode() == output
    assert b"!\n" == error  # what others print is no translation
    assert 0 == process.returncode


def test_a_wrong_line_ends_it_after_the_lines_before(trained: Path) -> None:
    with worker(trained) as process:
        output, _ = process.communicate(b"a\nc\n\xff\nb\n")

    assert "".join(f"{text}\n" for text in translated(trained, ["a", "c"])).encode() == output
    assert 2 == process.returncode


def test_a_reader_who_has_seen_enough_is_no_error(trained: Path) -> None:
    with worker(trained) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"a\n")
        process.stdin.close()
        assert process.stderr is not None
        assert b"" == process.stderr.read()

    assert 0 == process.wait()
