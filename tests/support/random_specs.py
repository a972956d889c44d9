"""Random specs that are right, for laws: a strategy of values, and two ways to write them down.

They name `train`, `sub/train` (text) and `table.tsv`, which whoever loads them has to provide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

from hypothesis import strategies as st
from pydantic import JsonValue

from specforge.language.text.toml_text import toml_key, toml_value

tables: Mapping[str, st.SearchStrategy[JsonValue]] = {
    "name": st.sampled_from(["run-1", "b"]),
    "seed": st.integers(0, 2**63 - 1),
    "task.use": st.just("translation"),
    "task.source": st.just("en"),
    "task.target": st.just("de"),
    "data.train": st.sampled_from(
        ["train", {"path": "sub/train", "weight": 0.25}, ["train", {"path": "table.tsv", "format": "tsv"}]]
    ),
    "data.valid": st.sampled_from(["train", {"path": "table.tsv", "format": "tsv", "columns": ["de", "en"]}]),
    "data.test": st.sampled_from(["sub/train", {"old": "train", "a.b": {"path": "train"}}]),
    "tokenizer": st.sampled_from(["sentencepiece", {"use": "whitespace", "remove_bpe": "@@ "}]),
    "preprocess.max_length": st.integers(1, 1_000),
    "preprocess.max_ratio": st.floats(1.0, 1e300),
    "model": st.sampled_from(
        ["transformer", "fconv_iwslt_de_en", {"use": "specforge/transformer_tiny", "norm": "pre"}]
    ),
    "criterion": st.sampled_from(["cross_entropy", {"use": "label_smoothed_cross_entropy", "label_smoothing": 0.2}]),
    "optimizer.use": st.just("adam"),
    "optimizer.betas": st.lists(st.floats(0.0, 0.999), min_size=2, max_size=2),
    "optimizer.eps": st.floats(1e-300, 1.0),
    "lr_scheduler": st.just({"warmup_updates": 7}),
    "train.max_epochs": st.integers(1, 99),
    "train.batch_sentences": st.integers(1, 99),
    "train.validate_every": st.sampled_from(["1 epoch", "2 epochs", "500 updates", "1_000 update"]),
    "train.best_metric": st.sampled_from(["loss", "bleu", "specforge/chrf"]),
    "generate.search": st.sampled_from(["greedy", {"use": "beam", "beam": 3, "max_length": [1.5, 10]}]),
    "generate.metrics": st.sampled_from(["ter", ["bleu", {"use": "chrf"}], [{"use": "exact_match"}]]),
    "run.devices": st.integers(1, 4),
}
REQUIRED = ("task.use", "task.source", "task.target", "data.train", "data.valid", "model", "train.max_epochs")

specs = st.fixed_dictionaries(
    {key: tables[key] for key in REQUIRED}, optional={key: tables[key] for key in tables if key not in REQUIRED}
)


def written(values: Mapping[str, JsonValue]) -> str:
    """Write values with dotted keys, in the order given."""
    return "".join(
        f"{'.'.join(toml_key(part) for part in path.split('.'))} = {toml_value(value)}\n"
        for path, value in values.items()
    )


def respelled(values: Mapping[str, JsonValue], random: Random) -> str:
    """Write the same values otherwise: another order, headers and inline tables, comments, other numbers and quotes."""
    tree: dict[str, JsonValue] = {}
    for path, value in values.items():
        name, _, key = path.partition(".")
        if key:
            inner = tree.setdefault(name, {})
            assert isinstance(inner, dict)
            inner[key] = value
        else:
            tree[name] = value
    items = list(tree.items())
    random.shuffle(items)
    headed = [item for item in items if isinstance(item[1], dict) and random.random() < 0.5]
    lines = [f"{toml_key(key)} = {_other(value, random)}" for key, value in items if (key, value) not in headed]
    for key, value in headed:
        lines += ["", f"[ {toml_key(key)} ]", *_shuffled_lines(value, random)]
    return "".join(f"{line}{_comment(random)}\n" for line in lines)


def _shuffled_lines(table: JsonValue, random: Random) -> Iterator[str]:
    assert isinstance(table, dict)
    keys = list(table)
    random.shuffle(keys)
    return (f"  {toml_key(key)}={_other(table[key], random)}" for key in keys)


def _other(value: JsonValue, random: Random) -> str:
    """Write a value in one of the ways that TOML has for it."""
    match value:
        case bool():
            return toml_value(value)
        case int() if value >= 0:
            return random.choice([str(value), f"{value:_}", f"+{value}", hex(value), f"0b{value:b}"])
        case float() if value.is_integer() and value < 2**53:
            return random.choice([str(int(value)), f"{int(value)}.0", repr(value), f"{value:.17e}"])
        case float():
            return random.choice([repr(value), f"+{value!r}", f"{value:.17e}", f"{value:.17E}"])
        case str():
            return random.choice([toml_value(value), f"'{value}'", f'"""{value}"""'])
        case list():
            return f"[{', '.join(_other(item, random) for item in value)},]"
        case dict():
            keys = list(value)
            random.shuffle(keys)
            return f"{{{', '.join(f'{toml_key(key)} = {_other(value[key], random)}' for key in keys)}}}"
    return toml_value(value)


def _comment(random: Random) -> str:
    return random.choice(["", "", "  # a = 1", "\t# [table]"])
