"""Parameters counted without memory, against a count by hand."""

from __future__ import annotations

import json
from pathlib import Path

from preprocess_jobs import make_job, parallel, prepared
from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.foundation.events import SilentReporter
from specforge.steps import estimate
from specforge.steps.model_folder import model_context, read_vocabularies
from specforge.steps.parts import make_model


def estimate_of(folder: Path, data: Path, model: JsonValue) -> dict[str, JsonValue]:
    output = folder / "estimate"
    output.mkdir()
    settings = {"model": model}
    job = Job(id="estimate", kind="estimate", settings=settings, needs={"preprocess": str(data)}, output=str(output))
    estimate.run(job, SilentReporter())
    result: dict[str, JsonValue] = json.loads((output / "estimate.json").read_bytes())
    return result


def estimated(folder: Path, model: JsonValue, *, joined: bool) -> tuple[dict[str, JsonValue], int]:
    """Return the estimate, and the number of parameters of the model as it is really built."""
    corpora = [parallel(folder, "train/0", "a b c\n", "x y\n"), parallel(folder, "valid", "a\n", "x\n")]
    data, _ = prepared(make_job(folder / "data", corpora, section={"joined_dictionary": joined}))
    built = make_model(model, model_context(read_vocabularies(data, ["source", "target"]), joined=joined))
    return estimate_of(folder, data, model), sum(parameter.numel() for parameter in built.parameters())


SMALL: dict[str, JsonValue] = {
    "use": "specforge/transformer",
    "encoder_layers": 1,
    "decoder_layers": 1,
    "embed_dim": 8,
    "ffn_dim": 16,
    "attention_heads": 2,
    "norm": "post",
}

# An attention has four 8 x 8 matrices with biases, 288 parameters; a feed-forward network 8 x 16 and 16 x 8 with biases,
# 280; a norm 16. So the encoder's layer has 288 + 280 + 2 * 16 and the decoder's 2 * 288 + 280 + 3 * 16.
LAYERS = 600 + 904


def test_parameters_by_hand(tmp_path: Path) -> None:
    found, built = estimated(tmp_path, {**SMALL, "share_embeddings": "none"}, joined=False)

    # 7 source types, 6 target types with an input and an output each
    assert LAYERS + 7 * 8 + 2 * 6 * 8 == found["parameters"] == found["trainable"] == built
    assert isinstance(found["by_part"], dict)
    assert found["parameters"] == sum(int(str(count)) for count in found["by_part"].values())


def test_shared_embeddings_are_counted_once(tmp_path: Path) -> None:
    found, built = estimated(tmp_path, {**SMALL, "share_embeddings": "all"}, joined=True)

    assert LAYERS + 9 * 8 == found["parameters"] == built


def test_no_memory_is_needed_for_the_weights(tmp_path: Path) -> None:
    width = 2**38  # a single matrix would take 8 TiB

    corpora = [parallel(tmp_path, "train/0", "a b c\n", "x y\n"), parallel(tmp_path, "valid", "a\n", "x\n")]
    data, _ = prepared(make_job(tmp_path / "data", corpora))
    found = estimate_of(tmp_path, data, {**SMALL, "ffn_dim": width})

    assert int(str(found["parameters"])) > 2 * (2 * 8 * width + width)
