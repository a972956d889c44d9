"""The plugin's declarations; light, because every listing of components imports this module."""

from __future__ import annotations

from collections.abc import Sequence

from specforge.plugin import Component, Preset, hookimpl


@hookimpl
def specforge_components() -> Sequence[Component | Preset]:
    """Return the trackers."""
    return (
        Component(
            kind="tracker",
            name="wandb",
            config="specforge_trackers.config:WandbConfig",
            factory="specforge_trackers.wandb_tracker:build",
            summary="a run at Weights & Biases (an extra)",
        ),
        Component(
            kind="tracker",
            name="mlflow",
            config="specforge_trackers.config:MlflowConfig",
            factory="specforge_trackers.mlflow_tracker:build",
            summary="a run in an MLflow store (an extra)",
        ),
    )
