"""The plugin's declarations; light, because every listing of components imports this module."""

from __future__ import annotations

from collections.abc import Sequence

from specforge.plugin import Component, Preset, hookimpl


@hookimpl
def specforge_components() -> Sequence[Component | Preset]:
    """Return the metric."""
    return (
        Component(
            kind="metric",
            name="comet",
            config="specforge_comet.config:CometConfig",
            factory="specforge_comet.metric:build",
            summary="COMET by unbabel-comet, which looks at sources, too (Rei et al. 2020; an extra)",
        ),
    )
