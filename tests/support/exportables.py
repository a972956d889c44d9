"""Models to export without training: random weights, large enough to prefer something, on a vocabulary of a few words."""

from __future__ import annotations

import json

import torch
from pydantic import JsonValue

from specforge.data.labels import Labels
from specforge.data.vocabulary import Vocabulary
from specforge.exporting.exportable import Exportable, Sample
from specforge.foundation.errors import Place
from specforge.steps.model_folder import model_context
from specforge.steps.parts import configured, make_model

SMALL: dict[str, JsonValue] = {"embed_dim": 16, "ffn_dim": 24, "attention_heads": 4}
TRANSLATION: dict[str, JsonValue] = {**SMALL, "use": "specforge/transformer", "encoder_layers": 2, "decoder_layers": 2}
LANGUAGE_MODEL: dict[str, JsonValue] = {**SMALL, "use": "specforge/transformer_lm", "decoder_layers": 2}
CLASSIFIER: dict[str, JsonValue] = {**SMALL, "use": "specforge/transformer_classifier", "encoder_layers": 2}

_ROLES = {
    "specforge/transformer_lm": {"text": 20},
    "specforge/transformer_classifier": {"text": 20},
}


def words(number: int) -> Vocabulary:
    """Return a vocabulary of so many words, `w0` and so on."""
    return Vocabulary({f"w{index}": number - index for index in range(number)})


def exportable(table: dict[str, JsonValue], **values: JsonValue) -> Exportable:
    """Return a model ready to be exported.

    Args:
        table: one of the tables above, or another with `use`.
        values: fields to change.
    """
    table = {**table, **values}
    use = str(table["use"])
    joined = table.get("share_embeddings") == "all"
    sizes = _ROLES.get(use, {"source": 20, "target": 20 if joined else 13})
    vocabularies = {role: words(size) for role, size in sizes.items()}
    labels = {"label": Labels(["yes", "no", "perhaps"])} if "classifier" in use else {}
    torch.manual_seed(5)
    model = make_model(table, model_context(vocabularies, labels, joined=joined)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:  # biases begin as zeros and norms as ones: nothing would tell them apart
                parameter.add_(torch.randn_like(parameter) * 0.1)
            elif "table" not in name and "output_projection" not in name:
                parameter.mul_(4.0)
            else:
                parameter[4:].mul_(1.5)
    _, config = configured("model", table)
    _, tokenizer = configured("tokenizer", json.loads('{"use": "specforge/whitespace"}'))
    return Exportable(use, model, config, vocabularies, labels, tokenizer, {})


def sample(trained: Exportable, lines: int = 40, longest: int = 9) -> Sample:
    """Return lines of random words, one to `longest` of them."""
    generator = torch.Generator().manual_seed(7)
    vocabulary = next(iter(trained.vocabularies.values()))
    sources = [
        torch.randint(4, len(vocabulary), (1 + number % longest,), generator=generator).tolist()
        for number in range(lines)
    ]
    texts = [" ".join(vocabulary.pieces(source)) for source in sources]
    return Sample(texts, sources, [Place("lines.txt", number + 1) for number in range(lines)])
