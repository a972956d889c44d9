"""One decoding system in a process of its own: it decodes when a line comes on standard input, and says how it went.

Started by `generate.py`. All systems decode the same model's sentences, given as symbols: nothing is cut into pieces or joined.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from specforge.exporting.ctranslate2 import search as ctranslate2_search
from specforge.exporting.ctranslate2.format import write_model
from specforge.exporting.ctranslate2.search import AT_ONCE, CTranslate2Search, Workers, load_translator
from specforge.exporting.exportable import all_pieces
from specforge.generation.batches import CPU_BATCH_TOKENS
from specforge.generation.generator import Generator
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as beam_search
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build as greedy_search
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Search
from specforge.steps.decoding_precision import prepare_for_decoding
from specforge.steps.exportables import exportable
from specforge.steps.model_folder import TrainedModel, load_model

Sentences: TypeAlias = Sequence[NDArray[np.int64]]
Decode: TypeAlias = Callable[[Sentences], list[tuple[int, ...]]]
"""From sources with their ends to the best output of each, without its end."""

_CPU: Final = torch.device("cpu")
_LONGEST: Final = 200


def search_of(beam: int) -> Search:
    """Return the search."""
    if beam == 1:
        return greedy_search(GreedyConfig(max_length=(0.0, _LONGEST)))
    return beam_search(BeamConfig(beam=beam, max_length=(0.0, _LONGEST)))


def native(trained: TrainedModel, precision: str, beam: int, threads: int, *, single: bool) -> Decode:
    """Return what specforge's own search does: a process of one thread for each core, or for single sentences one."""
    assert precision in {"fp32", "bf16", "int8"}
    scorer = ModelScorer(trained.model)  # type: ignore[arg-type]
    prepare_for_decoding(scorer.models(), precision, _CPU)  # type: ignore[arg-type]
    torch.set_num_threads(1)
    search = search_of(beam)
    generator = Generator(
        scorer,
        search,
        trained.vocabularies,
        trained.tokenizer,
        CPU_BATCH_TOKENS // search.prefixes,
        _CPU,
        processes=1 if single else threads,
        shared=True,
    )
    return lambda sources: [best[0].tokens for best in generator.generate(sources)]


def engine(trained: TrainedModel, compute_type: str, beam: int, threads: int) -> Decode:
    """Return what `generate.engine = "ctranslate2"` does."""
    scorer = load_translator(
        exportable(trained, {}), Path(tempfile.gettempdir()), Workers("cpu", threads, compute_type)
    )
    config = GreedyConfig() if beam == 1 else BeamConfig(beam=beam)
    generator = Generator(
        scorer,
        CTranslate2Search(config, ctranslate2_search.CPU_BATCH_TOKENS, nbest=1),
        trained.vocabularies,
        trained.tokenizer,
        ctranslate2_search.CPU_BATCH_TOKENS * AT_ONCE * threads,
        _CPU,
    )
    return lambda sources: [best[0].tokens for best in generator.generate(sources)]


def bare(trained: TrainedModel, compute_type: str, beam: int, threads: int, *, single: bool) -> Decode:
    """Return what CTranslate2 does by itself: a translator of one thread for each core, or for single sentences one."""
    import ctranslate2

    with tempfile.TemporaryDirectory() as folder:
        write_model(exportable(trained, {}), Path(folder))
        translator = ctranslate2.Translator(
            folder,
            device="cpu",
            compute_type=compute_type,
            inter_threads=1 if single else threads,
            intra_threads=1,
        )
    pieces = all_pieces(trained.vocabularies["source"])
    numbers = {piece: number for number, piece in enumerate(all_pieces(trained.vocabularies["target"]))}

    def decode(sources: Sentences) -> list[tuple[int, ...]]:
        found = translator.translate_batch(
            [[pieces[symbol] for symbol in source[:-1]] for source in sources],
            beam_size=beam,
            max_batch_size=ctranslate2_search.CPU_BATCH_TOKENS,
            batch_type="tokens",
            max_decoding_length=_LONGEST,
            return_scores=True,  # as all others find them
        )
        return [tuple(numbers[piece] for piece in each.hypotheses[0]) for each in found]

    return decode


def memory_mib() -> float:
    """Return the memory of this process and those it forked, what they share counted once (proportional set size)."""
    processes = [Path("/proc/self"), *_children()]
    total = 0
    for process in processes:
        rows = (process / "smaps_rollup").read_text().split("\n")
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total / 1024


def _children() -> list[Path]:
    numbers = Path("/proc/self/task").glob("*/children")
    return [Path("/proc") / number for listing in numbers for number in listing.read_text().split()]


def main() -> None:
    """Decode whenever a line comes, until no more do."""
    parser = argparse.ArgumentParser(description="a decoding system in rounds")
    parser.add_argument("system", help="native-PRECISION, engine-TYPE or ctranslate2-TYPE")
    parser.add_argument("model", type=Path)
    parser.add_argument("lines", type=Path)
    parser.add_argument("--beam", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--single", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    trained = load_model(arguments.model, _CPU)
    system, _, numbers = arguments.system.partition("-")
    beam, threads, single = arguments.beam, arguments.threads, arguments.single
    if system == "native":
        decode = native(trained, numbers, beam, threads, single=single)
    elif system == "engine":
        decode = engine(trained, numbers, beam, threads)
    else:
        decode = bare(trained, numbers, beam, threads, single=single)
    lines = arguments.lines.read_text(encoding="utf-8").split("\n")[:-1]
    vocabulary = trained.vocabularies["source"]
    sources = [
        np.array([*vocabulary.encode(pieces), vocabulary.symbols.eos])
        for pieces in trained.tokenizer.encode("source", lines)
    ]
    for _ in sys.stdin:
        began = time.perf_counter()
        with torch.inference_mode():
            found = [decode([source])[0] for source in sources] if single else decode(sources)
        seconds = time.perf_counter() - began
        tokens = sum(len(each) + 1 for each in found)
        record = {"sentences": len(found), "tokens": tokens, "seconds": seconds, "memory_mib": memory_mib()}
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
