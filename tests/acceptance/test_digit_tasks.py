"""The digit-copy and digit-sort tasks end to end, with Sockeye's thresholds and a fresh training seed every time."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from digits import ascending, copy, specforge, write_split

SPEC = """
specforge = 1
seed = {seed}
task = {{ use = "translation", source = "src", target = "tgt" }}
data = {{ train = "train", valid = "valid", test = "test" }}
tokenizer = "whitespace"
preprocess = {{ joined_dictionary = true }}
criterion = "cross_entropy"
optimizer = {{ use = "adam", lr = 1e-3 }}
lr_scheduler = {{ use = "fixed" }}

[model]
use = "transformer"
encoder_layers = 2
decoder_layers = 2
embed_dim = 32
ffn_dim = 64
attention_heads = {heads}
dropout = 0.0
share_embeddings = "all"

[train]
max_updates = {updates}
{batch}
validate_every = "1000 updates"

[generate]
search = {{ use = "beam", beam = 1 }}
metrics = [{{ use = "bleu", tokenize = "none" }}]
"""


@pytest.mark.parametrize(
    ("target", "train_seed", "heads", "updates", "batch", "worst_ppl", "least_bleu"),
    [
        pytest.param(copy, 13, 4, 5000, "batch_sentences = 16", 1.02, 98.0, id="copy"),
        pytest.param(ascending, 13, 2, 6000, "batch_tokens = 90", 1.03, 97.0, id="sort"),
    ],
)
def test_a_digit_task_is_learned(
    tmp_path: Path,
    target: Callable[[Sequence[str]], list[str]],
    train_seed: int,
    heads: int,
    updates: int,
    batch: str,
    worst_ppl: float,
    least_bleu: float,
) -> None:
    write_split(tmp_path, "train", 10_000, 100, target, train_seed)
    write_split(tmp_path, "valid", 100, 0, target, 17)
    write_split(tmp_path, "test", 110, 10, target, 18)
    # a new seed each time keeps the thresholds honest bounds; it is printed when they are missed
    seed = random.SystemRandom().randrange(1000)
    (tmp_path / "digits.toml").write_text(SPEC.format(seed=seed, heads=heads, updates=updates, batch=batch))

    result = specforge("run", "digits.toml", "--store", "store", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    run = tmp_path / "store" / "runs" / "digits"
    (bleu,) = json.loads((run / "scores.json").read_text())["scores"]["test"]
    assert bleu["value"] >= least_bleu, f"seed {seed}"
    records = [json.loads(line) for line in (run / "logs" / "train.jsonl").read_text().split("\n") if line]
    assert min(record["ppl"] for record in records if record["event"] == "valid") <= worst_ppl, f"seed {seed}"
    sources = (tmp_path / "test.src").read_text().split("\n")
    hypotheses = (run / "test" / "hypotheses.txt").read_text().split("\n")
    assert len(sources) == len(hypotheses)
    assert {index for index, line in enumerate(sources) if not line} == {
        index for index, line in enumerate(hypotheses) if not line
    }
