"""From a loaded model to what is exported: the configs of its components beside it."""

from __future__ import annotations

from collections.abc import Mapping

from specforge.exporting.exportable import Exportable
from specforge.steps.model_folder import TrainedModel
from specforge.steps.parts import configured


def exportable(trained: TrainedModel, tokenizer_files: Mapping[str, bytes]) -> Exportable:
    """Return a model ready to be written in another format.

    Args:
        trained: the model.
        tokenizer_files: what its tokenizer keeps, where that is to be written, too.
    """
    registered, config = configured("model", trained.settings["model"])
    _, tokenizer = configured("tokenizer", trained.settings["tokenizer"])
    return Exportable(
        registered.qualified,
        trained.model,
        config,
        trained.vocabularies,
        trained.labels,
        tokenizer,
        tokenizer_files,
    )
