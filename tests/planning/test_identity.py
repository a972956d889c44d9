"""Who a component is: its version, and for an editable distribution what its code says."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from specforge.language.spec import Registered
from specforge.planning import identity
from specforge.planning.identity import component_identity, distribution_digest, package_digest
from specforge.plugin import Component

SOURCE = '''
"""A module."""

def double(value):
    """Return twice the value."""
    return 2 * value  # or value + value
'''


class Plugin:
    """A plugin as pip leaves it: a package and a folder of metadata."""

    def __init__(self, folder: Path) -> None:
        self.package = folder / "mega_plugin"
        self.package.mkdir()
        self.metadata = folder / "mega_plugin-1.0.dist-info"
        self.metadata.mkdir()
        (self.metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mega-plugin\nVersion: 1.0\n")
        self.write(SOURCE)

    def write(self, source: str) -> None:
        (self.package / "__init__.py").write_text(source)
        package_digest.cache_clear()

    def install(self, **dir_info: bool) -> None:
        (self.metadata / "direct_url.json").write_text(json.dumps({"url": "file:///x", "dir_info": dir_info}))
        identity._is_editable.cache_clear()

    @property
    def component(self) -> str:
        registered = Registered(
            "mega-plugin", "1.0", Component("model", "mega", "mega_plugin.config:Config", "mega_plugin.model:build", 3)
        )
        return component_identity(registered)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    monkeypatch.syspath_prepend(str(tmp_path))
    identity._is_editable.cache_clear()
    return Plugin(tmp_path)


def test_an_installed_plugin_is_its_version(plugin: Plugin) -> None:
    assert "mega-plugin/mega@3" == plugin.component
    plugin.install()
    assert "mega-plugin/mega@3" == plugin.component


def test_an_editable_plugin_is_its_code_too(plugin: Plugin) -> None:
    plugin.install(editable=True)
    before = plugin.component
    plugin.write(SOURCE.replace("2 *", "3 *"))

    assert before.startswith("mega-plugin/mega@3+")
    assert before != plugin.component


def test_comments_docstrings_and_layout_are_no_code(plugin: Plugin) -> None:
    plugin.install(editable=True)
    before = plugin.component
    plugin.write("def double(value):\n\n    return (2\n        * value)\n")

    assert before == plugin.component


def test_a_new_module_is_code(plugin: Plugin) -> None:
    plugin.install(editable=True)
    before = plugin.component
    (plugin.package / "more.py").write_text("")
    package_digest.cache_clear()

    assert before != plugin.component


def test_nothing_is_imported(plugin: Plugin) -> None:
    plugin.write("raise SystemExit")
    plugin.install(editable=True)

    assert plugin.component.startswith("mega-plugin/mega@3+")
    assert "mega_plugin" not in sys.modules


def test_a_distribution_under_edit_is_the_code_that_its_entry_points_name(plugin: Plugin) -> None:
    (plugin.metadata / "entry_points.txt").write_text("[specforge]\nmain = mega_plugin.hooks\n")
    assert distribution_digest("mega-plugin") is None

    plugin.install(editable=True)
    before = distribution_digest("mega-plugin")
    plugin.write(SOURCE.replace("2 *", "3 *"))

    assert before != distribution_digest("mega-plugin")
    assert "mega_plugin" not in sys.modules


def test_our_own_components_are_their_versions() -> None:
    registered = Registered("specforge", "0.1", Component("model", "m", "specforge.a:B", "specforge.c:d"))

    assert "specforge/m@1" == component_identity(registered)


def test_a_tree_keeps_what_tells_values_apart() -> None:
    # in an assignment, since a string that stands alone is a docstring
    values = ("1", "True", "'1'", "1.0", "'1.0'", "b'1'", "None", "...")
    trees = [json.dumps(identity._tree(ast.parse(f"x = {value}"))) for value in values]

    assert len(trees) == len(set(trees))
