"""A result of train without training: a small model with random weights, on a vocabulary of a few words."""

from __future__ import annotations

from pathlib import Path

import torch
from preprocess_jobs import TASK, WHITESPACE, make_job, parallel, prepared
from pydantic import JsonValue

from specforge.execution.job import CorpusJob, Job
from specforge.steps.model_folder import model_context, read_vocabularies, write_model_folder
from specforge.steps.parts import make_model
from specforge.training.weights import module_weights

SEARCH: JsonValue = {"use": "specforge/beam", "beam": 2, "max_length": [1.0, 2]}


def train_result(folder: Path, model: dict[str, JsonValue] | None = None, tokenizer: JsonValue = WHITESPACE) -> Path:
    """Write what train would, with one checkpoint, `best`; return the folder.

    Args:
        folder: an empty one.
        model: fields to change.
        tokenizer: its table; the training text is `a b c`.
    """
    corpora = [parallel(folder, "train/0", "a b c\n", "u v w x\n"), parallel(folder, "valid", "a\n", "u\n")]
    data, _ = prepared(make_job(folder / "data", corpora, tokenizer=tokenizer))
    table: dict[str, JsonValue] = {
        "use": "specforge/transformer",
        "encoder_layers": 1,
        "decoder_layers": 1,
        "embed_dim": 8,
        "ffn_dim": 16,
        "attention_heads": 2,
        "share_embeddings": "none",
    }
    table |= model or {}
    torch.manual_seed(3)
    built = make_model(table, model_context(read_vocabularies(data, ["source", "target"]), joined=False))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(3.0)  # as initialised it prefers nothing
    settings: dict[str, JsonValue] = {"task": TASK, "tokenizer": tokenizer, "model": table}
    (folder / "trained").mkdir()
    write_model_folder(folder / "trained" / "best", module_weights(built), settings, data, {"update": 0})
    return folder / "trained"


def decoding_job(kind: str, trained: Path, corpora: list[CorpusJob], output: Path | None, device: str = "cpu") -> Job:
    """Return a generate or translate job as the runner makes it."""
    settings: dict[str, JsonValue] = {
        "task": TASK,
        "search": SEARCH,
        "generate": {"checkpoint": "best", "batch_tokens": 64},
        "run": {"device": device},
        "seed": 1,
    }
    needs: JsonValue = {"train": str(trained)}
    where = None if output is None else str(output)
    job = Job.model_validate(
        {"id": f"{kind}.test", "kind": kind, "settings": settings, "needs": needs, "output": where}
    )
    return job.model_copy(update={"corpora": corpora})
