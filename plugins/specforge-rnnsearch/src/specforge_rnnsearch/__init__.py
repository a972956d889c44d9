"""The plugin's declarations; light, because every listing of components imports this module."""

from __future__ import annotations

from collections.abc import Sequence

from specforge.plugin import Component, Preset, hookimpl


@hookimpl
def specforge_components() -> Sequence[Component | Preset]:
    """Return the model and its named architectures."""
    return (
        Component(
            kind="model",
            name="rnnsearch",
            config="specforge_rnnsearch.config:RNNSearchConfig",
            factory="specforge_rnnsearch.model:build",
            summary="GRU encoder-decoder with additive attention (Bahdanau et al. 2015)",
        ),
        Preset(
            kind="model",
            name="rnnsearch_small",
            of="rnnsearch",
            values={"embed_dim": 256, "hidden_dim": 256, "attention_dim": 256, "readout_dim": 256},
            summary="for tens of thousands of sentence pairs",
        ),
        Preset(
            kind="model",
            name="rnnsearch_base",
            of="rnnsearch",
            values={"embed_dim": 620, "hidden_dim": 1000, "attention_dim": 1000, "readout_dim": 500, "dropout": 0.0},
            summary="the sizes of the paper, appendix A.2",
        ),
    )
