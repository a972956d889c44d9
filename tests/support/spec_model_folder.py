"""What a spec looks at of a model folder, without the weights."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import JsonValue

from specforge.foundation.canonical import digest_bytes

WHITESPACE: dict[str, JsonValue] = {"use": "specforge/whitespace", "remove_bpe": None}


def spec_model_folder(
    folder: Path, model: str = "transformer", tokenizer: JsonValue = None, vocabularies: dict[str, str] | None = None
) -> Path:
    """Write a folder.

    Args:
        folder: where.
        model: a built-in one.
        tokenizer: its table; default: white space.
        vocabularies: role → the file's text.
    """
    folder.mkdir(parents=True)
    described = {"model": {"use": f"specforge/{model}"}, "tokenizer": tokenizer or WHITESPACE}
    (folder / "model.json").write_text(json.dumps(described))
    for role, text in (vocabularies or {}).items():
        (folder / f"vocabulary.{role}.txt").write_text(text)
    names = sorted(path.name for path in folder.iterdir())
    sums = "".join(f"{digest_bytes((folder / name).read_bytes())}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text(sums)
    return folder
