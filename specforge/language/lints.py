"""Lints: what is legal in a spec and probably not meant. Each has a code, and `allow = ["SF411"]` silences it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.foundation.terminal import printable
from specforge.language.messages.diagnostics import Diagnostic, SpecError
from specforge.language.schema.section import interval_parts
from specforge.language.schema.train import TrainSection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from specforge.language.merge import Merged
    from specforge.language.spec import CorpusFiles, Part, Spec, ValuePath
    from specforge.plugin import Oddity

_TENSOR_CORES: Final = 8


def lint(spec: Spec, merged: Merged) -> tuple[Diagnostic, ...]:
    """Return the warnings of a spec, without those that it allows.

    Args:
        spec: a spec that is right.
        merged: for places.

    Raises:
        SpecError: SF210, a plugin's own check failed.
    """
    linter = _Linter(merged)
    found = [
        *linter.same_data(spec),
        *linter.unused_data(spec),
        *linter.vocabulary(spec),
        *linter.components(spec.parts),
        *linter.warmup(spec.train, spec.parts),
        *linter.validation(spec.train),
    ]
    allowed = merged.at(("allow",)) or []
    assert isinstance(allowed, list)
    return tuple(warning for warning in found if warning.code not in allowed)


class _Linter:
    def __init__(self, merged: Merged) -> None:
        self._merged = merged

    def _warning(
        self,
        code: str,
        message: str,
        *labels: tuple[ValuePath, str],
        notes: tuple[str, ...] = (),
        help_text: str | None,
    ) -> Diagnostic:
        drawn = (self._merged.label(path, text, primary=False) for path, text in labels)
        placed = [label for label in drawn if label is not None]  # nobody typed a default
        first = [replace(label, primary=True) for label in placed[:1]]
        return Diagnostic(code, message, (*first, *placed[1:]), notes, help_text, severity="warning")

    def same_data(self, spec: Spec) -> Iterator[Diagnostic]:
        """Yield the corpora that are to be unseen and are trained on."""
        trained = {file: number for number, corpus in enumerate(spec.train_corpora) for file in _files(corpus)}
        unseen: list[tuple[ValuePath, str, CorpusFiles]] = []
        if spec.valid_corpus is not None:
            unseen.append((("data", "valid"), "`valid`", spec.valid_corpus))
        unseen += [(("data", "test", name), f"test `{name}`", corpus) for name, corpus in spec.test_corpora.items()]
        for path, name, corpus in unseen:
            number = next((trained[file] for file in _files(corpus) if file in trained), None)
            if number is not None:
                yield self._warning(
                    "SF415",
                    f"{name} reads a file that is trained on",
                    (path, "this is not unseen"),
                    (("data", "train", number), "trained on here"),
                    help_text="use other data, or set rows aside with `hold_out`",
                )

    def unused_data(self, spec: Spec) -> Iterator[Diagnostic]:
        """Yield tables and keys that no step reads."""
        metrics = ("generate", "metrics")
        if self._merged.holds(metrics) and not spec.test_corpora and not spec.held_out_test:
            yield self._warning(
                "SF417", "there is no test to score", (metrics, "this does nothing"), help_text="give `data.test`"
            )
        corpora = (*spec.data.train, spec.data.valid, *spec.data.test.values())
        absolute = (Path(corpus.path).is_absolute() for corpus in corpora if corpus is not None)
        if spec.data.root is not None and all(absolute):
            yield self._warning(
                "SF417",
                "every data path is absolute, so none starts from `root`",
                (("data", "root"), "this does nothing"),
                help_text="leave `root` out, or make the paths relative to it",
            )

    def vocabulary(self, spec: Spec) -> Iterator[Diagnostic]:
        """Yield a vocabulary size that a GPU is slow with."""
        if spec.preprocess.padding_factor % _TENSOR_CORES and spec.run.device != "cpu":
            yield self._warning(
                "SF413",
                "the size of the vocabulary need not be a multiple of 8",
                (("preprocess", "padding_factor"), "sizes are filled up to a multiple of this"),
                notes=("a GPU multiplies matrices fastest where every side is a multiple of 8",),
                help_text='write `padding_factor = 8`, or `device = "cpu"` in [run] where no GPU is meant',
            )

    def components(self, parts: Mapping[ValuePath, Part]) -> Iterator[Diagnostic]:
        """Yield what the components themselves find odd."""
        for path, part in parts.items():
            for oddity in self._oddities(path, part):
                labels = [((*path, name), text) for name, text in oddity.others.items()]
                yield self._warning(
                    oddity.code,
                    oddity.message,
                    ((*path, oddity.key), oddity.label),
                    *labels,
                    notes=() if part.preset is None else (f"the preset is `{part.preset}`",),
                    help_text=oddity.help,
                )

    def _oddities(self, path: ValuePath, part: Part) -> Sequence[Oddity]:
        try:
            return part.config.oddities()
        except Exception as error:  # a stranger's check may raise anything
            label = self._merged.label((*path, "use"))
            cause = printable(" ".join(f"{type(error).__name__}: {error}".split()))
            message = f"`{part.registered.qualified}` failed while it looked at its config: {cause}"
            raise SpecError([Diagnostic("SF210", message, () if label is None else (label,))]) from error

    def warmup(self, train: TrainSection, parts: Mapping[ValuePath, Part]) -> Iterator[Diagnostic]:
        """Yield a warm-up that training does not outlast."""
        warmup = getattr(parts["lr_scheduler",].config, "warmup_updates", None)
        if isinstance(warmup, int) and train.max_updates is not None and 0 < warmup >= train.max_updates:
            default = "" if self._merged.holds(("lr_scheduler", "warmup_updates")) else " (the default)"
            yield self._warning(
                "SF411",
                f"the warm-up of {warmup:,} updates{default} does not end before training does",
                (("lr_scheduler", "warmup_updates"), "the learning rate rises until here"),
                (("train", "max_updates"), "training ends here"),
                help_text="set `lr_scheduler.warmup_updates` to a tenth of `max_updates` or less",
            )

    def validation(self, train: TrainSection) -> Iterator[Diagnostic]:
        """Yield an interval between validations that training does not last."""
        count, unit = interval_parts(train.validate_every)
        budget = train.max_updates if unit == "update" else train.max_epochs
        if budget is not None and count > budget:
            yield self._warning(
                "SF418",
                f"training ends after {budget:,} {unit}{'' if budget == 1 else 's'}, before the first validation",
                (("train", "validate_every"), "validated this often"),
                (("train", f"max_{unit}s"), "training ends here"),
                help_text="without a validation `best` and `average` are the last weights",
            )


def _files(corpus: CorpusFiles) -> list[str]:
    return [os.path.realpath(file) for file in corpus.files.values()]
