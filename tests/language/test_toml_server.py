"""What an editor shows of a spec: a real TOML language server reads our JSON Schema.

`python tests/language/test_toml_server.py` writes the golden files in `editor/` anew; look at the difference.
"""

from __future__ import annotations

import re
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from toml_server import TomlServer

from specforge import builtin
from specforge.foundation.durable import json_text
from specforge.language.json_schema.document import spec_schema
from specforge.language.plugins import Plugins, declared
from specforge.language.registry import Registry

FOLDER = Path(__file__).parent / "editor"
COMMAND = Path(sysconfig.get_path("scripts")) / "tombi"

BEGINNING = """\
#:schema .specforge/schema.json
specforge = 1
task = { use = "translation", source = "en", target = "de" }
data = { train = "train", valid = "valid" }
"""
ENDING = "train = { max_updates = 10 }\n"

COMPLETIONS = {
    "names": '[model]\nuse = "┃"\n',
    "names_in_short": 'generate.metrics = ["bleu", "┃"]\n',
    "fields_of_a_model": '[model]\nuse = "fconv_wmt_en_de"\n┃\n',
    "fields_of_a_qualified_model": '[model]\nuse = "specforge/transformer"\ndropout = 0.1\nenc┃\n',
    "fields_of_an_inline_table": 'generate.search = { use = "greedy", ┃ }\n',
    "fields_of_a_list_element": '[[generate.metrics]]\nuse = "chrf"\n┃\n',
    "fields_of_the_default": "[optimizer]\nlr = 1e-3\n┃\n",
    "values": '[model]\nuse = "transformer"\nnorm = "┃"\n',
    "corpus": '[data.test.newstest]\npath = "newstest"\n┃\n',
    "root": "┃\n",
}
HOVERS = {
    "field": '[model]\nuse = "transformer"\ndrop┃out = 0.1\n',
    "name": '[model]\nuse = "trans┃former"\n',
    "field_of_a_section": "[preprocess]\nmax_le┃ngth = 100\n",
}


def document(name: str, text: str) -> str:
    """Return a whole spec around a text."""
    beginning = BEGINNING if "data" not in text else BEGINNING[: BEGINNING.index("data")]
    return beginning + (ENDING if name != "root" else "") + text


def written(folder: Path) -> None:
    """Write the schema of the built-in components."""
    schema = spec_schema(Registry(declared(builtin), "0.1.0", Plugins(lambda: ()))).schema
    (folder / ".specforge").mkdir()
    (folder / ".specforge" / "schema.json").write_bytes(json_text(schema))


def shown(server: TomlServer, kind: str, name: str) -> str:
    """Return what the server offers or says, without the link to the schema."""
    if kind == "hover":
        return _without_link(server.hover(f"{kind}-{name}.toml", document(name, HOVERS[name]))) + "\n"
    items = server.completions(f"{kind}-{name}.toml", document(name, COMPLETIONS[name]))
    lines = [f"{item['label']}: {_without_link(item['documentation']['value'])}" for item in items]
    return "\n".join(" ".join(line.split()) for line in lines) + "\n"


def _without_link(text: str) -> str:
    return re.sub(r"\s*Schema: \[schema\.json\]\([^)]*\)\s*", "", text)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TomlServer]:
    """A server in a folder with the schema."""
    if not COMMAND.exists():
        pytest.skip("the language server is not installed: pip install tombi")
    folder = tmp_path_factory.mktemp("editor")
    written(folder)
    server = TomlServer(COMMAND, folder)
    yield server
    server.close()


@pytest.mark.parametrize("name", COMPLETIONS)
def test_what_is_offered(server: TomlServer, name: str) -> None:
    assert (FOLDER / f"completion-{name}.txt").read_text(encoding="utf-8") == shown(server, "completion", name)


@pytest.mark.parametrize("name", HOVERS)
def test_what_is_shown_of_what_stands_there(server: TomlServer, name: str) -> None:
    assert (FOLDER / f"hover-{name}.txt").read_text(encoding="utf-8") == shown(server, "hover", name)


def test_only_fields_of_the_chosen_component_are_offered(server: TomlServer) -> None:
    items = server.completions("only.toml", BEGINNING + ENDING + '[lr_scheduler]\nuse = "fixed"\n┃\n')

    assert {"warmup_updates", "force_anneal", "lr_shrink"} == {item["label"] for item in items}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('[model]\nuse = "transformer"\nkernel = 3\n', 8, '"kernel" is not allowed'),
        ('[model]\nuse = "transformer"\nembed_dim = 8.5\n', 8, "expected a value of type Integer, but found Float"),
        ('[model]\nuse = "transformer"\ndropout = 1.5\n', 8, "the value must be < 1, but found 1.5"),
        ("model = 'fconv'\n[optimizer]\nmomentum = 0.9\n", 8, '"momentum" is not allowed'),
        ("[model]\ndropout = 0.1\n", 6, '"use" is required'),
        ("model = 'fconv'\n[generate]\nbeam = 4\n", 8, '"beam" is not allowed'),
    ],
)
def test_a_mistake_is_marked_on_its_line_and_nothing_else_is(
    server: TomlServer, text: str, line: int, message: str
) -> None:
    name = f"mistake-{line}-{len(text)}.toml"

    assert [(line, message)] == server.diagnostics(name, BEGINNING + ENDING + text)


def test_a_spec_that_is_right_has_no_mark(server: TomlServer) -> None:
    text = (Path(__file__).parent.parent.parent / "specs" / "multi30k_en_de.toml").read_text(encoding="utf-8")

    assert [] == server.diagnostics("right.toml", f"#:schema .specforge/schema.json\n{text}")


def main() -> None:
    """Write the golden files."""
    with tempfile.TemporaryDirectory() as name:
        written(Path(name))
        server = TomlServer(COMMAND, Path(name))
        FOLDER.mkdir(exist_ok=True)
        for kind, cases in (("completion", COMPLETIONS), ("hover", HOVERS)):
            for case in cases:
                (FOLDER / f"{kind}-{case}.txt").write_text(shown(server, kind, case), encoding="utf-8")
        server.close()


if __name__ == "__main__":
    main()
