from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exportables import CLASSIFIER, LANGUAGE_MODEL, TRANSLATION, exportable, sample
from pydantic import JsonValue

from specforge.data.vocabulary import PAD
from specforge.exporting.ctranslate2.decoders import exported_decoder
from specforge.exporting.ctranslate2.format import CTranslate2Format
from specforge.exporting.ctranslate2.specification import specification
from specforge.exporting.decoders import native_decoder
from specforge.exporting.exportable import Exportable
from specforge.exporting.verification import verify_outputs
from specforge.foundation.errors import RefusedError, WrongInputError
from specforge.models.transformer.model import Transformer

pytest.importorskip("ctranslate2", reason="an extra")


@pytest.fixture(autouse=True)
def short_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specforge.exporting.decoders.MOST_SYMBOLS", 20)  # random models seldom end by themselves


LEARNED: dict[str, JsonValue] = {"positions": "learned", "max_positions": 12}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"norm": "pre"},
        {"norm": "pre", "activation": "gelu", "share_embeddings": "all"},
        {"activation": "silu", "share_embeddings": "decoder", "scale_embeddings": False},
        {**LEARNED, "share_embeddings": "all"},
        {**LEARNED, "norm": "pre", "encoder_layers": 1, "decoder_layers": 3},
    ],
    ids=lambda values: ",".join(f"{name}={value}" for name, value in values.items()) or "defaults",
)
def test_every_form_of_a_transformer_gives_the_same_symbols(tmp_path: Path, values: dict[str, JsonValue]) -> None:
    trained = exportable(TRANSLATION, **values)

    assert_same(trained, tmp_path)


@pytest.mark.parametrize(
    "values", [{}, {"norm": "post", "share_embeddings": True, "activation": "gelu"}, {**LEARNED, "max_positions": 24}]
)
def test_every_form_of_a_language_model_gives_the_same_symbols(tmp_path: Path, values: dict[str, JsonValue]) -> None:
    assert_same(exportable(LANGUAGE_MODEL, **values), tmp_path)


def assert_same(trained: Exportable, folder: Path) -> None:
    lines = sample(trained)
    CTranslate2Format().write(trained, folder)
    verified = CTranslate2Format().verify(trained, folder, lines, threads=1)

    outputs = native_decoder(trained).decode(lines.sources, native_decoder(trained).longest())
    assert 40 == verified.lines
    assert sum(map(len, outputs)) + 40 == verified.values
    assert len({tuple(output) for output in outputs}) >= 3  # or equal outputs would prove nothing


PRE: dict[str, JsonValue] = {"norm": "pre", "encoder_layers": 1, "decoder_layers": 1}
VARIABLES = sorted(
    name
    for name, value in specification(exportable(TRANSLATION, **PRE)).variables().items()
    if isinstance(value, np.ndarray) and value.size > 1
)


@pytest.mark.parametrize("name", VARIABLES)
def test_a_wrong_variable_is_noticed(tmp_path: Path, name: str) -> None:
    trained = exportable(TRANSLATION, **PRE)

    def wrong(value: Any) -> Any:
        return np.roll(value, 1, axis=0) * -1.5

    with pytest.raises(RefusedError) as caught:
        verify_broken(trained, tmp_path, name, wrong)

    assert "SF712" == caught.value.code
    assert caught.value.place is not None
    assert "lines.txt" == caught.value.place.path


@pytest.mark.parametrize(
    ("name", "value"),
    [("encoder/scale_embeddings", 1.0), ("decoder/scale_embeddings", 1.0), ("encoder/activation", np.int8(2))],
)
def test_a_wrong_option_is_noticed(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(RefusedError, match="they part at piece"):
        verify_broken(exportable(TRANSLATION), tmp_path, name, lambda _: value)


def verify_broken(trained: Exportable, folder: Path, name: str, change: Any) -> None:
    from ctranslate2.specs.model_spec import index_spec

    spec = specification(trained)
    scope, _, attribute = name.rpartition("/")
    owner = index_spec(spec, scope)
    setattr(owner, attribute, change(getattr(owner, attribute)))
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    verify_outputs(native_decoder(trained), exported_decoder(trained, folder, "float32", 1), sample(trained, 100))


def test_where_they_part_is_told_with_both_pieces(tmp_path: Path) -> None:
    trained = exportable(TRANSLATION)
    lines = sample(trained)
    CTranslate2Format().write(trained, tmp_path)
    assert isinstance(trained.model, Transformer)
    before = native_decoder(trained).decode(lines.sources, 20)
    with torch.no_grad():
        trained.model.output_projection.weight[before[0][1]].neg_()  # the second piece of the first line
    after = native_decoder(trained).decode(lines.sources, 20)

    with pytest.raises(RefusedError) as caught:
        CTranslate2Format().verify(trained, tmp_path, lines, threads=1)

    pieces = trained.vocabularies["target"].pieces
    wrong = next(place for place in range(9) if before[0][place] != after[0][place])
    told = f"`{pieces([after[0][wrong]])[0]}` and the export `{pieces([before[0][wrong]])[0]}`"
    assert f"the export does not give what the model gives: they part at piece {wrong + 1}" == caught.value.message
    assert caught.value.place == lines.places[0]
    assert told in caught.value.notes[0]


def test_the_readme_of_a_language_model_is_a_program(tmp_path: Path) -> None:
    trained = exportable(LANGUAGE_MODEL)
    CTranslate2Format().write(trained, tmp_path)
    verified = CTranslate2Format().verify(trained, tmp_path, sample(trained, 2), threads=1)
    found = re.search(r"```python\n(.*?)```", CTranslate2Format().readme(trained, verified), re.DOTALL)
    assert found is not None
    program = "import sys\nsys.modules['specforge'] = None\n" + found[1].replace("max_length=50", "max_length=5")

    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, input="w1 w2\nw3\n", capture_output=True, text=True, check=False
    )

    vocabulary = trained.vocabularies["text"]
    prompts = [vocabulary.encode(line.split()) for line in ("w1 w2", "w3")]
    outputs = native_decoder(trained).decode(prompts, 5)
    expected = [
        " ".join(vocabulary.pieces([*prompt, *output])) for prompt, output in zip(prompts, outputs, strict=True)
    ]
    assert expected == result.stdout.split("\n")[:-1], result.stderr


def test_padding_never_comes_out(tmp_path: Path) -> None:
    trained = exportable(TRANSLATION)
    assert isinstance(trained.model, Transformer)
    with torch.no_grad():  # were it allowed, nothing else would ever be said
        trained.model.output_projection.weight[PAD] = 3 * trained.model.output_projection.weight[5]

    CTranslate2Format().write(trained, tmp_path)

    CTranslate2Format().verify(trained, tmp_path, sample(trained), threads=1)


def test_quantized_weights_leave_the_model_alone_and_say_how_much_is_the_same(tmp_path: Path) -> None:
    trained = exportable(TRANSLATION)
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}

    CTranslate2Format("int8").write(trained, tmp_path)
    verified = CTranslate2Format("int8").verify(trained, tmp_path, sample(trained), threads=1)

    assert all(torch.equal(value, before[name]) for name, value in trained.model.state_dict().items())
    assert not (tmp_path / "float32").exists()
    (said,) = verified.further
    assert said.startswith("with the weights in int8, ")
    same = int(said.split()[5])
    assert 0 < same <= 40


@pytest.mark.parametrize("table", [CLASSIFIER, {"use": "specforge/fconv", "embed_dim": 8}])
def test_what_it_cannot_hold_is_refused(tmp_path: Path, table: dict[str, JsonValue]) -> None:
    with pytest.raises(WrongInputError) as caught:
        CTranslate2Format().write(exportable(table), tmp_path)

    assert "SF711" == caught.value.code
    assert f"CTranslate2 cannot hold the model `{table['use']}`" == caught.value.message
    assert [] == list(tmp_path.iterdir())


def test_without_the_package_the_command_to_install_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specforge.exporting.exportable.find_spec", lambda _: None)

    with pytest.raises(WrongInputError) as caught:
        CTranslate2Format().write(exportable(TRANSLATION), tmp_path)

    assert "SF681" == caught.value.code
    assert "type `pip install 'specforge-compiler[ctranslate2]'`" == caught.value.help
