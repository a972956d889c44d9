"""The plugin's declarations; light, because every listing of components imports this module."""

from __future__ import annotations

from collections.abc import Sequence

from specforge.plugin import Component, Migration, Preset, hookimpl


@hookimpl
def specforge_components() -> Sequence[Component | Preset]:
    """Return the criterion and the schedule."""
    return (
        Component(
            kind="criterion",
            name="focal",
            config="specforge_focal.config:FocalConfig",
            factory="specforge_focal.loss:build",
            version=2,
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


@hookimpl
def specforge_migrations() -> Sequence[Migration]:
    """Return what became of former fields."""
    return (
        Migration(
            kind="criterion",
            name="focal",
            to_version=2,
            renamed={"focusing": "gamma"},  # as the paper and every other implementation call it
            removed={"reduction": "sum"},  # the trainer divides by what it counts, so a mean was divided twice
        ),
    )
