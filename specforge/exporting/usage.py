"""How an export is used by people who have neither specforge nor the spec: the README.md in its folder.

The program in it is whole: with the packages that it names, in the folder, it runs as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from specforge.exporting.exportable import Exportable, Verified
from specforge.foundation.quantities import counted
from specforge.tokenizers.sentencepiece.config import SentencePieceConfig
from specforge.tokenizers.whitespace.config import WhitespaceConfig

TOKENIZER: Final = "tokenizer"
"""Folder of the tokenizer's files in an export."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """How a program without specforge cuts lines into pieces and joins them.

    Args:
        imports: packages that it imports.
        setup: lines that are run once.
        cut: expression of the pieces of each of `lines`, a list of lists.
        join: expression of the text of `pieces`, a list.
    """

    imports: tuple[str, ...]
    setup: tuple[str, ...]
    cut: str
    join: str


def cutting(trained: Exportable, role: str) -> Cutting:
    """Return how the lines of a column are cut and joined.

    Args:
        trained: the model.
        role: the column.
    """
    config = trained.tokenizer
    match config:
        case SentencePieceConfig():
            name = "shared" if config.shared else role
            lines = "[line.lower() for line in lines]" if config.lowercase else "lines"
            setup = f'{role}_pieces = sentencepiece.SentencePieceProcessor(model_file="{TOKENIZER}/{name}.model")'
            return Cutting(
                ("sentencepiece",),
                (setup,),
                f"{role}_pieces.encode({lines}, out_type=str, emit_unk_piece=True)",
                f"{role}_pieces.decode(pieces)",
            )
        case WhitespaceConfig(remove_bpe=str() as mark):
            join = f'(" ".join(pieces) + " ").replace({mark!r}, "").rstrip()'
            return Cutting((), (), "[line.split() for line in lines]", join)
        case _:  # the pieces of another tokenizer, too, are given and shown with spaces between them
            return Cutting((), (), "[line.split() for line in lines]", '" ".join(pieces)')


def readme(
    title: str,
    packages: Sequence[str],
    program: Sequence[str],
    facts: Sequence[str],
    trained: Exportable,
    verified: Verified,
) -> str:
    """Return the text of README.md.

    Args:
        title: what is in the folder.
        packages: what to install.
        program: lines of a whole program.
        facts: what else there is to know, a sentence each.
        trained: the model.
        verified: how it was compared.
    """
    known = isinstance(trained.tokenizer, SentencePieceConfig | WhitespaceConfig)
    foreign = () if known else ("The lines are to be cut by the tokenizer that the model was trained with.",)
    checked = (
        f"When it was written, {counted(verified.lines, 'line')} were given to the model and to this folder: "
        f"{verified.how} are the same."
    )
    return "\n".join(
        [
            f"# {title}",
            "",
            f"Written by `specforge export`. {' '.join((checked, *(_sentence(each) for each in verified.further)))}",
            "",
            "```sh",
            f"pip install {' '.join(packages)}",
            "```",
            "",
            "```python",
            *program,
            "```",
            "",
            *(f"- {fact}" for fact in (*facts, *foreign)),
            "",
        ]
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
