"""The three lists of dependencies agree: what is declared, what is pinned, what has a reason."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"].values()
DECLARED = [Requirement(line) for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS for line in extra)]]
BACKEND = [Requirement("hatchling"), Requirement("editables"), Requirement("setuptools")]
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().split("\n") if line[:1] not in {"", "#"}]


def pulled_in(requirements: list[Requirement]) -> dict[str, str]:
    """Return name → version of everything that these requirements install on this platform."""
    found: dict[str, str] = {}
    waiting = [
        requirement for requirement in requirements if requirement.marker is None or requirement.marker.evaluate()
    ]
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name not in found:
            found[name] = metadata.version(name).partition("+")[0]
            needs = [Requirement(line) for line in metadata.requires(name) or []]
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def test_constraints_pin_everything_that_is_installed() -> None:
    pinned = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in PINS}

    # an indirect dependency of another platform or Python may be pinned too; a missing pin may not be
    assert pulled_in(DECLARED + BACKEND).items() <= pinned.items()


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda requirement: str(requirement.name))
def test_a_pin_satisfies_what_is_declared(requirement: Requirement) -> None:
    (pin,) = (pin for pin in PINS if pin.name == requirement.name)

    assert str(pin.specifier).removeprefix("==") in requirement.specifier


def test_every_dependency_has_a_reason() -> None:
    page = (ROOT / "docs" / "decisions" / "dependencies.md").read_text()
    reasons = re.findall(r"^\| ([a-z0-9-]+) \|", page, flags=re.MULTILINE)

    assert {requirement.name for requirement in DECLARED + BACKEND} == set(reasons) - {"distribution"}
