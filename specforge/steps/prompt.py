"""The prompt of `translate`: a person types a line and sees how it was cut, what was found, and how it ranks."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from specforge.execution.translate_options import TranslateOptions
from specforge.foundation.errors import Place, SpecforgeError, WrongInputError
from specforge.foundation.quantities import counted
from specforge.foundation.terminal import printable
from specforge.generation.formats import pharaoh
from specforge.generation.lines import Line
from specforge.generation.streaming import Translator
from specforge.generation.translation import Translation

OUTPUTS_SHOWN: Final = 5
"""Outputs shown of each line where nobody says how many, if the search finds as many."""

_STDIN: Final = 0
_STDOUT: Final = 1
_PROMPT: Final = "> "
_LONGEST: Final = 20_000  # characters of anything shown
_WELCOME: Final = "type a line and press Enter; Ctrl-D ends"


def is_conversation(options: TranslateOptions) -> bool:
    """Return whether a person types the lines and reads the answers, and asked for no format of their own."""
    plain = options == TranslateOptions(
        nbest=options.nbest,
        scores=options.scores,
        alignment=options.alignment,
        replace_unk=options.replace_unk,
        too_long=options.too_long,
    )
    return plain and os.isatty(_STDIN) and os.isatty(_STDOUT)


def converse(translator: Translator) -> None:
    """Answer each line that is typed, until Ctrl-D; Ctrl-C ends it too, and leaves the terminal as it was."""
    with suppress(ImportError):
        import readline  # noqa: F401  # `input` then knows the arrow keys, and what was typed before
    _say(_WELCOME)
    with _restored_terminal():
        for text in _typed():
            try:
                (translation,) = translator.translate_lines([_line(text)], where=lambda _: Place("this line"))
            except WrongInputError as error:
                _say(_complaint(error))
            else:
                for row in rows(translation):
                    _say(row)


def rows(translation: Translation) -> Iterator[str]:
    """Yield what is shown of a line: its pieces, then each output with its rank, score and pieces."""
    unknown = f"   ({counted(translation.unknown, 'unknown piece')})" if translation.unknown else ""
    yield f"   {' '.join(translation.source_pieces)}{unknown}"
    scores = [f"{output.score:.4f}" for output in translation.outputs]
    width = max(map(len, scores))
    for rank, (output, score) in enumerate(zip(translation.outputs, scores, strict=True), start=1):
        margin = " " * (len(f"{rank}") + width + 4)
        yield f"{rank}  {score:>{width}}  {output.text}"
        yield f"{margin}{' '.join(output.pieces)}"
        if output.alignment is not None:
            yield f"{margin}{pharaoh(output.alignment)}"


def _typed() -> Iterator[str]:
    ask: Callable[[str], str] = input
    while True:
        try:
            text = ask(_PROMPT)
        except EOFError:
            _say("")
            return
        except KeyboardInterrupt:
            _say("")
            raise
        if text.strip():
            yield text


def _line(text: str) -> Line:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise WrongInputError("SF502", "not UTF-8") from error
    return Line(text)


def _complaint(error: SpecforgeError) -> str:
    return f"error[{error.code}]: {error.message}" + (f"\n  = help: {error.help}" if error.help else "")


def _say(text: str) -> None:
    """Print a line; what others wrote may not move the cursor."""
    sys.stdout.write("\n".join(printable(row, longest=_LONGEST) for row in text.split("\n")) + "\n")
    sys.stdout.flush()


@contextmanager
def _restored_terminal() -> Iterator[None]:
    """Leave the terminal as it was, however the block ends: who waits for us passes a Ctrl-C on as SIGTERM."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    attributes = termios.tcgetattr(_STDIN)
    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, attributes)
