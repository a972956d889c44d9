"""The plugin's declarations; light, because every listing of components imports this module."""

from __future__ import annotations

from collections.abc import Sequence

from specforge.plugin import Component, Preset, hookimpl


@hookimpl
def specforge_components() -> Sequence[Component | Preset]:
    """Return the criterion and the schedule."""
    return (
        Component(
            kind="criterion",
            name="focal",
            config="specforge_focal.config:FocalConfig",
            factory="specforge_focal.loss:build",
            summary="cross entropy that counts well-predicted targets less (Lin et al. 2017)",
        ),
        Component(
            kind="lr_scheduler",
            name="linear_decay",
            config="specforge_focal.linear_decay:LinearDecayConfig",
            factory="specforge_focal.linear_decay:build",
            summary="linear warm-up, then linear decay to zero at the end of training",
        ),
    )
