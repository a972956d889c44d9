"""Documents that we write: they read back as what was written, under headers that people expect."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from specforge.language.text.toml_text import toml_document

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib

keys = st.text('ab-é."\n', max_size=4)
plain = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('a"\\\n\x7f\u202e', max_size=4)
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, min_size=1, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(keys, values, max_size=4))
def test_a_document_reads_back_as_what_was_written(table: dict[str, JsonValue]) -> None:
    assert table == tomllib.loads(toml_document(table))


def test_values_come_first_and_tables_under_headers() -> None:
    table: dict[str, JsonValue] = {
        "data": {"train": [{"path": "a", "hold_out": {"valid": 0.5}}, {"path": "b"}], "root": None},
        "train": {"max_updates": 12_000},
        "outer": {"inner": {"x": 1}},
        "empty": {},
        "seed": 1,
    }

    assert (
        toml_document(table)
        == """\
seed = 1

[[data.train]]
path = "a"

[data.train.hold_out]
valid = 0.5

[[data.train]]
path = "b"

[train]
max_updates = 12_000

[outer.inner]
x = 1
"""
    )
