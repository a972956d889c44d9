"""Sentencepiece models in a Hugging Face folder: its own tokenizer cuts lines as ours does, and the export is verified so."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from exportables import TRANSLATION

from specforge.data.vocabulary import Vocabulary
from specforge.exporting.exportable import Exportable, Sample
from specforge.exporting.huggingface.format import HuggingFaceFormat
from specforge.foundation.errors import Place, RefusedError
from specforge.steps.model_folder import model_context
from specforge.steps.parts import configured, make_model
from specforge.tokenizers.sentencepiece.config import SentencePieceConfig
from specforge.tokenizers.sentencepiece.tokenizer import SentencePieceTokenizer

pytest.importorskip("transformers", reason="an extra")

ENGLISH = [f"{one} {ten} and {other}" for one in ("One", "two", "six") for ten in ("Ten", "ninety") for other in "abC"]
GERMAN = [line.replace("n", "ü").replace("w", "ß") for line in ENGLISH]
UNSEEN = ["and ninety two", "Six qqq ten", "aaa Ten", "C", "two <unk> and </s> Ten"]


@pytest.fixture(autouse=True)
def short_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specforge.exporting.decoders.MOST_SYMBOLS", 8)  # random models seldom end by themselves


def translator(*, shared: bool, lowercase: bool, joined: bool) -> tuple[Exportable, Sample]:
    """Return a random model with a tokenizer learned from a few lines, and lines cut by it."""
    config = SentencePieceConfig(vocab_size=32, shared=shared, lowercase=lowercase, hard_vocab_limit=False)
    tokenizer = SentencePieceTokenizer(config)
    files = tokenizer.train({"source": partial(iter, ENGLISH), "target": partial(iter, GERMAN)}, 1)
    counts = {
        role: Counter(piece for line in tokenizer.encode(role, text) for piece in line)
        for role, text in (("source", ENGLISH), ("target", GERMAN))
    }
    if joined:
        counts = dict.fromkeys(counts, counts["source"] + counts["target"])
    vocabularies = {role: Vocabulary(count) for role, count in counts.items()}
    torch.manual_seed(5)
    model = make_model(TRANSLATION, model_context(vocabularies, {}, joined=joined)).eval()
    _, model_config = configured("model", TRANSLATION)
    lines = [*ENGLISH, *UNSEEN]
    sources = [vocabularies["source"].encode(pieces) for pieces in tokenizer.encode("source", lines)]
    trained = Exportable("specforge/transformer", model, model_config, vocabularies, {}, config, files)
    return trained, Sample(lines, sources, [Place("lines.txt", number + 1) for number in range(len(lines))])


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize(("shared", "joined"), [(True, True), (True, False), (False, False)])
def test_its_own_tokenizer_cuts_and_joins_lines_as_ours_does(
    tmp_path: Path, *, shared: bool, joined: bool, lowercase: bool
) -> None:
    from transformers import AutoTokenizer

    trained, lines = translator(shared=shared, lowercase=lowercase, joined=joined)
    HuggingFaceFormat().write(trained, tmp_path)

    theirs = AutoTokenizer.from_pretrained(tmp_path)
    texts = [line.lower() if lowercase else line for line in lines.lines]

    assert [[*source, 2] for source in lines.sources] == [theirs(text)["input_ids"] for text in texts]
    assert isinstance(trained.tokenizer, SentencePieceConfig)
    ours = SentencePieceTokenizer(trained.tokenizer)
    ours.load(trained.tokenizer_files)
    outputs = [trained.vocabularies["target"].encode(pieces) for pieces in ours.encode("target", GERMAN)]
    expected = [line.lower() if lowercase else line for line in GERMAN]
    assert expected == theirs.batch_decode([[2, *output, 2] for output in outputs], skip_special_tokens=True)


@pytest.mark.parametrize("lowercase", [False, True])
def test_an_export_is_verified_by_the_text_of_the_lines(tmp_path: Path, *, lowercase: bool) -> None:
    trained, lines = translator(shared=True, lowercase=lowercase, joined=True)
    HuggingFaceFormat().write(trained, tmp_path)

    verified = HuggingFaceFormat().verify(trained, tmp_path, lines, threads=1)

    assert len(lines) == verified.lines
    program = HuggingFaceFormat().readme(trained, verified)
    assert lowercase == ("lines = [line.rstrip().lower() for line in sys.stdin]" in program)
    others = Sample(["b a" for _ in lines.lines], lines.sources, lines.places)
    with pytest.raises(RefusedError, match="the export does not give what the model gives"):
        HuggingFaceFormat().verify(trained, tmp_path, others, threads=1)
