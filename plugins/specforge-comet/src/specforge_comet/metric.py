"""COMET by unbabel-comet, imported when something is scored: it brings torch, transformers and Lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import file_digest
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol, Self, TypeAlias, cast

import numpy as np

from specforge.foundation.errors import Place, WrongInputError
from specforge.metrics.metric import Metric, Score
from specforge_comet.config import CometConfig

_DIGITS = 12

_Texts: TypeAlias = tuple[tuple[str, ...], ...]


class _Prediction(Protocol):
    """What a model returns: a score for each sample."""

    scores: Sequence[float]


class _Model(Protocol):
    """A COMET model, as far as it is used here."""

    def requires_references(self) -> bool:
        """Return whether samples must have a reference."""

    def predict(
        self, samples: list[Mapping[str, str]], *, batch_size: int, gpus: int, progress_bar: bool
    ) -> _Prediction:
        """Score samples with `src`, `mt` and `ref`."""


class _Loaded:
    """A model, loaded when it is first asked, and what it said of texts: a confidence interval asks again.

    Args:
        config: which model.
    """

    def __init__(self, config: CometConfig) -> None:
        self._config = config
        self._answers: dict[_Texts, list[float]] = {}

    @cached_property
    def checkpoint(self) -> Path:
        """The model's file.

        Raises:
            WrongInputError: SF501, there is no such file.
        """
        from comet import download_model

        given = self._config.checkpoint
        path = Path(download_model(self._config.model) if given is None else given)
        if not path.is_file():
            raise WrongInputError("SF501", "no such checkpoint of a COMET model", place=Place(str(path)))
        return path

    @cached_property
    def digest(self) -> str:
        """First digits of the SHA-256 of the model's file: what the score was computed by, whatever it is called."""
        with self.checkpoint.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()[:_DIGITS]

    @cached_property
    def _model(self) -> _Model:
        from comet import load_from_checkpoint

        return cast("_Model", load_from_checkpoint(str(self.checkpoint)))

    def scores(self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
        """Return the score of each line."""
        asked = (tuple(sources), tuple(hypotheses), tuple(references))
        if asked not in self._answers:
            self._answers[asked] = self._predicted(*asked)
        return self._answers[asked]

    def _predicted(self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
        rows = zip(sources, hypotheses, references, strict=True)
        samples: list[Mapping[str, str]] = [
            {"src": source, "mt": hypothesis, "ref": reference} for source, hypothesis, reference in rows
        ]
        if not self._model.requires_references():
            samples = [{name: sample[name] for name in ("src", "mt")} for sample in samples]
        config = self._config
        found = self._model.predict(samples, batch_size=config.batch_size, gpus=config.gpus, progress_bar=False)
        return [100.0 * float(score) for score in found.scores]


class Comet(Metric):
    """The mean over lines; of several references each is asked by itself, and their mean counts.

    Args:
        config: which model.
        loaded: the model, where there is one already.
        sources: what was translated; None before that is known.
    """

    def __init__(
        self, config: CometConfig, loaded: _Loaded | None = None, sources: Sequence[str] | None = None
    ) -> None:
        self._config = config
        self._loaded = loaded or _Loaded(config)
        self._sources = sources

    def with_sources(self, sources: Sequence[str]) -> Self:
        """Return the metric for outputs of these sources, with the same model."""
        return type(self)(self._config, self._loaded, sources)

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Return the score.

        Raises:
            ValueError: nothing to score, no sources, or another number of lines.
            WrongInputError: SF501, there is no such checkpoint.
        """
        value = float(np.mean(self.sentence_scores(hypotheses, references)))
        config = self._config
        parts = (f"model:{config.model}", f"sha256:{self._loaded.digest}", f"nrefs:{len(references)}", _library())
        return Score(
            name="comet",
            value=value,
            signature="|".join(("comet", *parts)),
            higher_is_better=self.higher_is_better,
            text=f"COMET = {value:.2f} ({config.model})",
        )

    def sentence_scores(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Sequence[float]:
        """Return the score of each line x 100."""
        if self._sources is None or not hypotheses or not references:
            message = "COMET needs sources, outputs and references"
            raise ValueError(message)
        by_reference = [self._loaded.scores(self._sources, hypotheses, lines) for lines in references]
        return [float(score) for score in np.mean(by_reference, axis=0)]


def _library() -> str:
    try:
        return f"unbabel-comet:{version('unbabel-comet')}"
    except PackageNotFoundError:  # a module of that name that is no distribution
        return "unbabel-comet:unknown"


def build(config: CometConfig) -> Comet:
    """Return the metric; its values are the model's scores x 100."""
    return Comet(config)
