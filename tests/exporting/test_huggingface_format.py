from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from exportables import CLASSIFIER, LANGUAGE_MODEL, TRANSLATION, exportable, sample
from pydantic import JsonValue
from safetensors.torch import load_file, save_file

from specforge.data.vocabulary import EOS, PAD
from specforge.exporting.decoders import native_decoder
from specforge.exporting.exportable import Exportable
from specforge.exporting.huggingface.decoders import HuggingFaceDecoder
from specforge.exporting.huggingface.format import HuggingFaceFormat
from specforge.foundation.errors import RefusedError, WrongInputError
from specforge.models.transformer.model import Transformer

pytest.importorskip("transformers", reason="an extra")

LEARNED: dict[str, JsonValue] = {"positions": "learned", "max_positions": 24}


@pytest.fixture(autouse=True)
def short_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specforge.exporting.decoders.MOST_SYMBOLS", 8)  # random models seldom end by themselves


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({}, "Marian"),
        ({"share_embeddings": "decoder", "activation": "gelu", "scale_embeddings": False}, "Marian"),
        ({"share_embeddings": "all", "activation": "silu"}, "Marian"),
        ({**LEARNED, "encoder_layers": 1, "decoder_layers": 3}, "Marian"),
        ({"norm": "pre"}, "Blenderbot"),
        ({"norm": "pre", "share_embeddings": "decoder"}, "Blenderbot"),
        ({"norm": "pre", "share_embeddings": "all", **LEARNED}, "Blenderbot"),
    ],
    ids=str,
)
def test_every_form_of_a_transformer_gives_the_same_symbols(
    tmp_path: Path, values: dict[str, JsonValue], kind: str
) -> None:
    trained = exportable(TRANSLATION, **values)

    assert_same(trained, tmp_path)

    assert f"# A translation model for Hugging Face transformers ({kind})" in told(trained, tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"share_embeddings": True, "activation": "gelu"},
        {"share_embeddings": True, "scale_embeddings": False},
        {**LEARNED},
    ],
    ids=str,
)
def test_every_form_of_a_language_model_with_norm_before_gives_the_same_symbols(
    tmp_path: Path, values: dict[str, JsonValue]
) -> None:
    assert_same(exportable(LANGUAGE_MODEL, **values), tmp_path)


def assert_same(trained: Exportable, folder: Path) -> None:
    lines = sample(trained)
    HuggingFaceFormat().write(trained, folder)
    verified = HuggingFaceFormat().verify(trained, folder, lines, threads=1)

    outputs = native_decoder(trained).decode(lines.sources, native_decoder(trained).longest())
    assert (40, sum(map(len, outputs)) + 40) == (verified.lines, verified.values)
    assert len({tuple(output) for output in outputs}) >= 2  # or equal outputs would prove nothing


@pytest.mark.parametrize("shared", [True, False])
def test_the_probabilities_of_a_language_model_are_ours(tmp_path: Path, *, shared: bool) -> None:
    """A table that both ends share is scaled at the one and not at the other: greedy outputs alone would not tell."""
    trained = exportable(LANGUAGE_MODEL, share_embeddings=shared, scale_embeddings=True)
    HuggingFaceFormat().write(trained, tmp_path)
    exported = HuggingFaceDecoder(trained, tmp_path, sample(trained, 2))

    with torch.no_grad():
        found = exported._model(torch.tensor([[EOS, 5, 6, 9]])).logits[0, -1].log_softmax(dim=-1)

    expected = native_decoder(trained).next_log_probs([5, 6, 9], [])
    pieces = torch.arange(len(expected)) != PAD
    torch.testing.assert_close(found[pieces], expected[pieces], rtol=0.0, atol=1e-4)


def told(trained: Exportable, folder: Path) -> str:
    verified = HuggingFaceFormat().verify(trained, folder, sample(trained, 2), threads=1)
    return HuggingFaceFormat().readme(trained, verified)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param({**TRANSLATION, "encoder_layers": 1, "decoder_layers": 1}, marks=pytest.mark.slow),
        {**TRANSLATION, "encoder_layers": 1, "decoder_layers": 1, "norm": "pre"},
        {**LANGUAGE_MODEL, "decoder_layers": 1},
    ],
    ids=["marian", "blenderbot", "gpt2"],
)
def test_every_tensor_counts(tmp_path: Path, table: dict[str, JsonValue]) -> None:
    trained = exportable(table)
    lines = sample(trained, 30)
    HuggingFaceFormat().write(trained, tmp_path)
    exported = HuggingFaceDecoder(trained, tmp_path, lines)
    expected = exported.decode(lines.sources, 8)
    noise = torch.Generator().manual_seed(1)
    unnoticed = []
    for name in load_file(tmp_path / "model.safetensors"):
        tensor = exported._model.state_dict()[name]
        right = tensor.clone()
        tensor.copy_(right.roll(1, 0).roll(1, -1) * -2.0 + torch.randn(right.shape, generator=noise))
        if expected == exported.decode(lines.sources, 8):
            unnoticed.append(name)
        tensor.copy_(right)

    # The bias of keys adds the same to every weight of a query: softmax takes it out again. Nothing asks the table that
    # Blenderbot would share between both sides.
    assert {name for name in unnoticed if not name.endswith("k_proj.bias")} <= {"model.shared.weight"}


def test_wrong_positions_are_noticed(tmp_path: Path) -> None:
    trained = exportable(TRANSLATION)
    HuggingFaceFormat().write(trained, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.encoder.embed_positions.weight"] = weights["model.encoder.embed_positions.weight"].roll(1, 0)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})

    with pytest.raises(RefusedError, match="they part at piece"):
        HuggingFaceFormat().verify(trained, tmp_path, sample(trained), threads=1)


def test_padding_never_comes_out(tmp_path: Path) -> None:
    for norm in ("post", "pre"):
        trained = exportable(TRANSLATION, norm=norm)
        assert isinstance(trained.model, Transformer)
        with torch.no_grad():
            trained.model.output_projection.weight[PAD] = 3 * trained.model.output_projection.weight[5]

        folder = tmp_path / norm
        folder.mkdir()
        HuggingFaceFormat().write(trained, folder)

        HuggingFaceFormat().verify(trained, folder, sample(trained), threads=1)


@pytest.mark.slow
def test_its_readme_is_a_program(tmp_path: Path) -> None:
    trained = exportable(TRANSLATION, **{**LEARNED, "max_positions": 12})
    HuggingFaceFormat().write(trained, tmp_path)
    found = re.search(r"```python\n(.*?)```", told(trained, tmp_path), re.DOTALL)
    assert found is not None
    program = "import sys\nsys.modules['specforge'] = None\n" + found[1].replace(
        "model.generate(", "model.generate(num_beams=1, max_length=9, "
    )

    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, input="w1 w2\nw3\n", capture_output=True, text=True, check=False
    )

    vocabulary = trained.vocabularies["source"]
    sources = [vocabulary.encode(line.split()) for line in ("w1 w2", "w3")]
    pieces = trained.vocabularies["target"].pieces
    expected = [" ".join(pieces(output)) for output in native_decoder(trained).decode(sources, 8)]
    assert expected == [line.replace("<unk> ", "") for line in result.stdout.split("\n")[:-1]], result.stderr


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (CLASSIFIER, "the model `specforge/transformer_classifier`"),
        ({"use": "specforge/fconv", "embed_dim": 8}, "the model `specforge/fconv`"),
        ({**LANGUAGE_MODEL, "norm": "post"}, 'a language model with `norm = "post"`'),
    ],
    ids=["classifier", "fconv", "post"],
)
def test_what_it_cannot_hold_is_refused(tmp_path: Path, table: dict[str, JsonValue], what: str) -> None:
    with pytest.raises(WrongInputError) as caught:
        HuggingFaceFormat().write(exportable(table), tmp_path)

    assert ("SF711", f"Hugging Face transformers cannot hold {what}") == (caught.value.code, caught.value.message)
    assert [] == list(tmp_path.iterdir())
