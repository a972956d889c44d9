from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from exportables import CLASSIFIER, TRANSLATION, exportable, sample
from pydantic import JsonValue

from specforge.exporting.onnx.format import OnnxFormat
from specforge.foundation.errors import RefusedError, WrongInputError
from specforge.models.transformer_classifier.model import TransformerClassifier

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="an extra")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"norm": "post", "activation": "gelu", "pooling": "cls"}, marks=pytest.mark.slow),
        {
            "positions": "learned",
            "max_positions": 24,
            "scale_embeddings": False,
            "activation": "silu",
            "pooling": "cls",
        },
    ],
    ids=str,
)
def test_every_form_of_a_classifier_gives_the_same_labels(tmp_path: Path, values: dict[str, JsonValue]) -> None:
    trained = exportable(CLASSIFIER, **values)

    OnnxFormat().write(trained, tmp_path)
    verified = OnnxFormat().verify(trained, tmp_path, sample(trained, longest=20), threads=1)

    assert (40, 40, "label") == (verified.lines, verified.values, verified.unit)
    assert verified.how.startswith("labels, and logits within 0.0001 (the farthest ")


def test_another_model_is_noticed_and_its_readme_is_a_program(tmp_path: Path) -> None:
    trained = exportable(CLASSIFIER)
    OnnxFormat().write(trained, tmp_path)
    verified = OnnxFormat().verify(trained, tmp_path, sample(trained), threads=1)
    found = re.search(r"```python\n(.*?)```", OnnxFormat().readme(trained, verified), re.DOTALL)
    assert found is not None
    program = "import sys\nsys.modules['specforge'] = None\n" + found[1]
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, input="w1 w2\nw3\n", capture_output=True, text=True, check=False
    )
    assert 2 == len(result.stdout.split()), result.stderr
    assert {"yes", "no", "perhaps"} >= set(result.stdout.split())
    assert isinstance(trained.model, TransformerClassifier)

    with torch.no_grad():
        trained.model.output_projection.bias[0] += 0.25

    with pytest.raises(RefusedError) as caught:
        OnnxFormat().verify(trained, tmp_path, sample(trained), threads=1)
    assert "SF712" == caught.value.code
    assert caught.value.place == sample(trained).places[0]
    assert re.search(r"the model says `\w+` and the export `\w+`; their logits are 0.25 apart", caught.value.notes[0])


def test_what_it_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="ONNX cannot hold the model `specforge/transformer`"):
        OnnxFormat().write(exportable(TRANSLATION), tmp_path)
