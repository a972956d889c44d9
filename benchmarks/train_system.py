"""One training system in a process of its own, in rounds (`pacing`): specforge, Hugging Face, or the plain loop.

Started by `train.py` with the job of a train step; all systems train the same model on the same updates of the same data.
Specforge runs as it does in a worker: reading, batching, logging and all. The others get their batches ready made.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Final, cast

import torch
from pacing import Pacer
from plain_loop import SMOOTHING, Sizes, Variant, plain_step
from pydantic import JsonValue

from specforge.data.batch import SequencePairBatch
from specforge.data.batching import UpdatePlan
from specforge.data.vocabulary import EOS, PAD
from specforge.execution.job import Job
from specforge.foundation.events import Scalar
from specforge.language.schema.train import TrainSection
from specforge.steps import train
from specforge.steps.parts import make_task
from specforge.steps.prepared import measure_of, open_prepared, update_budget
from specforge.steps.reporting import PipeReporter

SYSTEMS: Final = ("specforge", "huggingface", "plain", "quick")
_READY: Final = 60
"""Updates that are made ready for systems that read no data; they come round again."""


def batches(job: Job, count: int) -> list[SequencePairBatch]:
    """Return the first updates of specforge's own plan, one batch each."""
    task = make_task(job.settings["task"])
    prepared = open_prepared(Path(job.needs["preprocess"]), task, job.settings["data"])
    budget = update_budget(TrainSection.model_validate(job.settings["train"]), job.settings["task"])
    plan = UpdatePlan(prepared.segments, measure_of(prepared.train, task), budget, int(str(job.settings["seed"])))
    updates = islice(plan.updates(epoch=1), count)
    made = (task.collate([prepared.train.item(int(item)) for item in update.items]) for update in updates)
    return [batch for batch in made if isinstance(batch, SequencePairBatch)]


def sizes(job: Job) -> Sizes:
    """Return the sizes of the job's model."""
    task = make_task(job.settings["task"])
    context = open_prepared(Path(job.needs["preprocess"]), task, job.settings["data"]).context
    model = cast("dict[str, JsonValue]", job.settings["model"])
    assert model["encoder_layers"] == model["decoder_layers"]
    return Sizes(
        vocabulary=context.symbols["target"].size,
        layers=int(str(model["encoder_layers"])),
        embed_dim=int(str(model["embed_dim"])),
        ffn_dim=int(str(model["ffn_dim"])),
        attention_heads=int(str(model["attention_heads"])),
        dropout=float(str(model["dropout"])),
    )


def huggingface_step(of: Sizes, *, bf16: bool) -> Callable[[SequencePairBatch], None]:
    """Return what does one update of a `MarianMTModel` of these sizes, with the library's own loss."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import MarianConfig, MarianMTModel
    from transformers.trainer_pt_utils import LabelSmoother

    config = MarianConfig(
        vocab_size=of.vocabulary,
        decoder_vocab_size=of.vocabulary,
        d_model=of.embed_dim,
        encoder_layers=of.layers,
        decoder_layers=of.layers,
        encoder_ffn_dim=of.ffn_dim,
        decoder_ffn_dim=of.ffn_dim,
        encoder_attention_heads=of.attention_heads,
        decoder_attention_heads=of.attention_heads,
        dropout=of.dropout,
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=0,
        decoder_start_token_id=EOS,
        forced_eos_token_id=None,
        max_position_embeddings=512,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
    )
    model = MarianMTModel(config).train()
    smoother = LabelSmoother(epsilon=SMOOTHING)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), fused=True)

    def step(batch: SequencePairBatch) -> None:
        optimizer.zero_grad(set_to_none=True)
        labels = batch.target_out.masked_fill(batch.target_out == PAD, -100)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found = model(
                input_ids=batch.source,
                attention_mask=(batch.source != PAD).long(),
                decoder_input_ids=batch.target_in,
                use_cache=False,
            )
            loss = smoother({"logits": found.logits}, labels)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


class PacedReporter(PipeReporter):
    """Writes events as a worker does, and ends a round at each record of training.

    Args:
        pacer: counts.
        updates: between two records.
    """

    def __init__(self, pacer: Pacer, updates: int) -> None:
        super().__init__(Path(os.devnull).open("wb", buffering=0))  # noqa: SIM115  # for the life of the process
        self._pacer = pacer
        self._updates = updates

    def record(self, name: str, **values: Scalar) -> None:
        """Write a record; one of training ends a round."""
        super().record(name, **values)
        if name == "train":
            self._pacer.round(float(str(values["tokens_per_update"])) * self._updates, self._updates)


def main() -> None:
    """Train in rounds until nobody asks for another."""
    parser = argparse.ArgumentParser(description="a training system in rounds")
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("job", type=Path)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--updates", type=int, required=True)
    arguments = parser.parse_args()
    job = Job.model_validate_json(arguments.job.read_bytes())
    torch.set_num_threads(job.threads)
    torch.manual_seed(1)
    pacer = Pacer(arguments.updates)
    if arguments.system == "specforge":
        train.run(job, PacedReporter(pacer, arguments.updates))
        sys.exit("training ended before the rounds did")
    if arguments.system == "huggingface":
        step = huggingface_step(sizes(job), bf16=arguments.bf16)
    else:
        step = plain_step(sizes(job), Variant(bf16=arguments.bf16, quick=arguments.system == "quick"))
    for batch in cycle(batches(job, _READY)):
        step(batch)
        pacer.update(batch.target_tokens)


if __name__ == "__main__":
    main()
