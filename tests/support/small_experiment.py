"""A small experiment on disk: a few lines of parallel text and a spec, for tests of what is done with specs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from specforge.language.resolve import load_spec
from specforge.language.spec import Spec

SMALL_SPEC = """
specforge = 1
allow = ["SF411"]  # a budget of a few updates ends in the warm-up

[task]
use = "translation"
source = "en"
target = "de"

[data]
train = "train"
valid = "valid"
test = "test"

[tokenizer]
use = "whitespace"

[model]
use = "transformer"
encoder_layers = 1
decoder_layers = 1
embed_dim = 8
ffn_dim = 16
attention_heads = 2

[train]
max_updates = 4
batch_sentences = 4
validate_every = "2 updates"
"""

_WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}


class SmallExperiment:
    """The experiment in a folder of its own.

    Args:
        folder: where it is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, shift in (("train", 0), ("valid", 1), ("test", 2)):
            self.write_text(name, [(f"{en} {name}", f"{de} {name}") for en, de in list(_WORDS.items())[shift:]])
        self.write_spec(SMALL_SPEC)

    def write_text(self, stem: str, rows: Sequence[tuple[str, str]]) -> None:
        """Write `stem.en` and `stem.de`."""
        for suffix, column in (("en", 0), ("de", 1)):
            (self.folder / f"{stem}.{suffix}").write_text("".join(row[column] + "\n" for row in rows))

    def write_spec(self, text: str, name: str = "small.toml") -> Path:
        """Write a spec and return its path."""
        path = self.folder / name
        path.write_text(text)
        return path

    def spec(self, *assignments: str, name: str = "small.toml") -> Spec:
        """Load a spec of the folder."""
        return load_spec(self.folder / name, assignments)
