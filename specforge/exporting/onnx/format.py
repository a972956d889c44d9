"""Export to ONNX: encoder-only models, one call for a batch of texts of any length."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specforge.data.batch import ClassificationBatch
from specforge.data.vocabulary import EOS, PAD
from specforge.exporting.exportable import Exportable, Sample, Verified, all_pieces, cannot_hold, require
from specforge.exporting.format import Format
from specforge.exporting.onnx.graph import ClassifierGraph
from specforge.exporting.positions import written_positions
from specforge.exporting.usage import cutting, readme
from specforge.foundation import durable
from specforge.foundation.errors import RefusedError
from specforge.foundation.terminal import printable
from specforge.models.transformer_classifier.config import TransformerClassifierConfig
from specforge.models.transformer_classifier.model import TransformerClassifier

NAME: Final = "ONNX"
MODEL: Final = "model.onnx"
VOCABULARY: Final = "vocabulary.json"
LABELS: Final = "labels.json"

NEAR: Final = 1e-4
"""How far a logit may be from ours."""

_AT_ONCE: Final = 16


class OnnxFormat(Format):
    """`model.onnx`, the vocabulary as a list of pieces and the labels as a list."""

    def write(self, trained: Exportable, folder: Path) -> None:
        """Write the model; see the base class."""
        for package in ("onnx", "onnxscript", "onnxruntime"):
            require(package, "onnx", NAME)
        graph = _graph(trained)
        config = trained.config
        assert isinstance(config, TransformerClassifierConfig), "the graph is made of no other model"
        program = _traced(graph, written_positions(config))
        program.save(str(folder / MODEL), external_data=False)
        pieces = all_pieces(trained.vocabularies["text"])
        durable.write_file(folder / VOCABULARY, json.dumps(pieces, ensure_ascii=False, indent=0).encode())
        labels = list(trained.labels["label"])
        durable.write_file(folder / LABELS, json.dumps(labels, ensure_ascii=False, indent=0).encode())

    def verify(self, trained: Exportable, folder: Path, sample: Sample, threads: int) -> Verified:
        """Compare the label and the logits of each line."""
        exported = _Session(folder / MODEL, threads)
        labels = list(trained.labels["label"])
        worst = 0.0
        for start in range(0, len(sample), _AT_ONCE):
            tokens, mask = _padded(sample.sources[start : start + _AT_ONCE])
            expected, found = _native(trained, tokens, mask), exported(tokens, mask)
            apart = np.abs(expected - found).max(axis=1)
            worst = max(worst, float(apart.max()))
            wrong = (expected.argmax(axis=1) != found.argmax(axis=1)) | ~(apart <= NEAR)
            if wrong.any():
                row = int(wrong.argmax())
                names = [printable(labels[int(each[row].argmax())]) for each in (expected, found)]
                raise _parted(sample, start + row, names, float(apart[row]))
        return Verified(
            len(sample), len(sample), "label", f"labels, and logits within {NEAR:g} (the farthest {worst:.1g}),"
        )

    def readme(self, trained: Exportable, verified: Verified) -> str:
        """Return a program that labels lines."""
        config = trained.config
        assert isinstance(config, TransformerClassifierConfig), "the graph is made of no other model"
        cut = cutting(trained, "text")
        facts = [
            "`input_ids` are the numbers of the pieces, `</s>` at the end of each text, `<pad>` after it.",
            "`attention_mask` is 1 where there is a piece and 0 where there is padding; `logits` are [batch, labels].",
            f"There are {written_positions(config):,} positions, the end counted.",
        ]
        packages = ("numpy", "onnxruntime", *cut.imports)
        program = [
            "import json",
            "import sys",
            "",
            *(f"import {package}" for package in sorted({"onnxruntime", *cut.imports})),
            "import numpy",
            "",
            *cut.setup,
            f'numbers = {{piece: index for index, piece in enumerate(json.load(open("{VOCABULARY}", encoding="utf-8")))}}',
            f'labels = json.load(open("{LABELS}", encoding="utf-8"))',
            f'session = onnxruntime.InferenceSession("{MODEL}")',
            "",
            "lines = [line.rstrip() for line in sys.stdin]",
            'unknown, end, pad = numbers["<unk>"], numbers["</s>"], numbers["<pad>"]',
            f"texts = [[*(numbers.get(piece, unknown) for piece in pieces), end] for pieces in {cut.cut}]",
            "ids = numpy.full((len(texts), max(map(len, texts))), pad)",
            "for row, text in zip(ids, texts):",
            "    row[: len(text)] = text",
            'inputs = {"input_ids": ids, "attention_mask": (ids != pad).astype("int64")}',
            "for best in session.run(None, inputs)[0].argmax(axis=1):",
            "    print(labels[best])",
        ]
        return readme(f"A classifier for {NAME} runtimes", packages, program, facts, trained, verified)


def _graph(trained: Exportable) -> ClassifierGraph:
    model, config = trained.model, trained.config
    if type(model) is TransformerClassifier and isinstance(config, TransformerClassifierConfig):
        return ClassifierGraph(model, config).eval()
    help_text = "it holds `specforge/transformer_classifier`; models that search for outputs go `--to ctranslate2`"
    raise cannot_hold(NAME, f"the model `{trained.use}`", help_text)


def _traced(graph: ClassifierGraph, positions: int) -> Any:
    """Return the graph as ONNX, for any number of texts of any length."""
    from torch.export import Dim

    batch, length = Dim("batch"), Dim("length", max=positions)
    example = torch.full((2, min(5, positions)), EOS)
    with _quiet():
        return torch.onnx.export(
            graph,
            (example, torch.ones_like(example)),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes={"input_ids": {0: batch, 1: length}, "attention_mask": {0: batch, 1: length}},
            dynamo=True,
            verbose=False,
        )


def _native(trained: Exportable, tokens: Tensor, mask: Tensor) -> NDArray[np.float32]:
    """Return the logits [batch, labels] of the model as it is trained and asked, and not of the graph."""
    lengths = mask.sum(dim=1)
    batch = ClassificationBatch(tokens, lengths, torch.zeros_like(lengths), target_tokens=len(tokens))
    with torch.inference_mode():
        logits: NDArray[np.float32] = trained.model.project(trained.model.features(batch)).float().numpy()
    return logits


class _Session:
    """The exported model.

    Args:
        path: the file.
        threads: that may be used.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, tokens: Tensor, mask: Tensor) -> NDArray[np.float32]:
        """Return logits [batch, labels]."""
        logits: NDArray[np.float32] = self._session.run(
            None, {"input_ids": tokens.numpy(), "attention_mask": mask.numpy()}
        )[0]
        return logits


def _padded(sources: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return texts with their ends as [batch, length], and where they stand."""
    tokens = torch.full((len(sources), max(map(len, sources)) + 1), PAD)
    for row, source in zip(tokens, sources, strict=True):
        row[: len(source) + 1] = torch.tensor([*source, EOS])
    return tokens, (tokens != PAD).long()


def _parted(sample: Sample, number: int, labels: Sequence[str], apart: float) -> RefusedError:
    return RefusedError(
        "SF712",
        "the export does not give what the model gives",
        place=sample.places[number],
        notes=(f"the model says `{labels[0]}` and the export `{labels[1]}`; their logits are {apart:.2g} apart",),
        help="nothing was kept; this is a fault of specforge: tell its authors",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the exporter work without its own account of how it goes."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
