"""Is an export the model? Native, CTranslate2 and Hugging Face on the same lines: greedy symbols, and BLEU with a beam of 5.

    python benchmarks/export.py MODEL_FOLDER --source test.en.gz --reference test.de.gz

Prints the figures and writes them to results/export.json. At beam 1 in fp32 all three must give the same symbols; at beam 5 they must agree within
0.1 BLEU. For CTranslate2 several settings are scored: its rules of when a sentence is done are fairseq's, up to its options.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import sacrebleu
import torch
from hardware import write_result

from specforge.exporting.ctranslate2.format import CTranslate2Format
from specforge.exporting.ctranslate2.search import CTranslate2Search, Workers, load_translator
from specforge.exporting.exportable import Exportable, Sample
from specforge.exporting.format import Format
from specforge.exporting.huggingface.format import HuggingFaceFormat
from specforge.foundation.errors import Place
from specforge.generation.generator import Generator
from specforge.models.model import EncoderDecoder
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import BeamSearch
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import GreedySearch
from specforge.searches.scorer import ModelScorer
from specforge.steps.exportables import exportable
from specforge.steps.model_folder import TrainedModel, load_model
from specforge.steps.tokenizer import tokenizer_files

CPU: Final = torch.device("cpu")
LONGEST: Final = 200
SETTINGS: Final[Mapping[str, Mapping[str, object]]] = {
    "length_penalty=1 (its default)": {"length_penalty": 1},
    "length_penalty=0, which stops early": {"length_penalty": 0},
    "length_penalty=1, patience=2": {"length_penalty": 1, "patience": 2},
}
"""Options of CTranslate2 to compare with the native beam search, `lenpen = 1`."""


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a model folder of a translation model with sentencepiece")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines, references = (read(path)[: arguments.lines] for path in (arguments.source, arguments.reference))
    trained = load_model(arguments.folder, CPU)
    figures = compared(
        trained, exportable(trained, tokenizer_files(arguments.folder)), lines, references, arguments.threads
    )
    report = {
        "model": trained.settings["model"],
        "lines": len(lines),
        "source": arguments.source.name,
        "threads": arguments.threads,
        **figures,
    }
    print(write_result("export", report))


def read(path: Path) -> list[str]:
    """Return the lines of a file, compressed or not."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.decode().removesuffix("\n").split("\n")


def compared(
    trained: TrainedModel, source: Exportable, lines: list[str], references: list[str], threads: int
) -> dict[str, Any]:
    """Return the figures of all three, and print them."""
    model, tokenizer, vocabularies = trained.model, trained.tokenizer, trained.vocabularies
    assert isinstance(model, EncoderDecoder)
    figures: dict[str, Any] = {"greedy_symbols": {}, "greedy": {}, "beam_5": {}, "ctranslate2_options": {}}
    greedy, beam = GreedyConfig(max_length=(0.0, LONGEST)), BeamConfig(beam=5, max_length=(0.0, LONGEST))
    with tempfile.TemporaryDirectory() as scratch:
        ours = load_translator(source, Path(scratch), Workers("cpu", threads, "float32"))
        engines: dict[str, Callable[[int], list[str]]] = {
            "native": lambda size: texts(
                Generator(
                    ModelScorer(model),
                    GreedySearch(greedy) if size == 1 else BeamSearch(beam),
                    vocabularies,
                    tokenizer,
                    8_192,
                    CPU,
                ),
                lines,
            ),
            "engine = ctranslate2": lambda size: texts(
                Generator(
                    ours,
                    CTranslate2Search(greedy if size == 1 else beam, 1_024, nbest=1),
                    vocabularies,
                    tokenizer,
                    65_536,
                    CPU,
                ),
                lines,
            ),
            **exported(trained, source, lines, Path(scratch), threads),
        }
        figures["greedy_symbols"] = same_symbols(trained, source, lines, Path(scratch), threads)
        for size, name in ((1, "greedy"), (5, "beam_5")):
            expected: list[str] = []
            for engine, translate in engines.items():
                begun = time.perf_counter()
                found = translate(size)
                seconds = time.perf_counter() - begun
                expected = expected or found
                figures[name][engine] = figure(found, expected, references, seconds)
                print(name, engine, figures[name][engine], flush=True)
        native = engines["native"](5)
        for setting, options in SETTINGS.items():
            found = bare(trained, lines, Path(scratch) / "ctranslate2", threads, beam_size=5, **options)
            figures["ctranslate2_options"][setting] = figure(found, native, references, None)
            print("beam_5 bare CTranslate2,", setting, figures["ctranslate2_options"][setting], flush=True)
    return figures


def exported(
    trained: TrainedModel, source: Exportable, lines: list[str], scratch: Path, threads: int
) -> dict[str, Callable[[int], list[str]]]:
    """Write both exports and return what translates with them, given a beam, as their own users do it."""
    folders = {name: scratch / name for name in ("ctranslate2", "huggingface")}
    for folder in folders.values():
        folder.mkdir()
    CTranslate2Format().write(source, folders["ctranslate2"])
    HuggingFaceFormat().write(source, folders["huggingface"])
    return {
        "exported to ctranslate2": lambda size: bare(trained, lines, folders["ctranslate2"], threads, beam_size=size),
        "exported to huggingface": lambda size: transformers(lines, folders["huggingface"], size),
    }


def same_symbols(
    trained: TrainedModel, source: Exportable, lines: list[str], scratch: Path, threads: int
) -> dict[str, int]:
    """Compare the greedy outputs of both exports with the model's, symbol by symbol, and return how many were the same.

    Raises:
        RefusedError: SF712, one is not.
    """
    pieces = trained.tokenizer.encode("source", lines)
    places = [Place("source", number) for number in range(1, len(lines) + 1)]
    sample = Sample(lines, [trained.vocabularies["source"].encode(each) for each in pieces], places)
    formats: dict[str, Format] = {"ctranslate2": CTranslate2Format(), "huggingface": HuggingFaceFormat()}
    return {name: each.verify(source, scratch / name, sample, threads).values for name, each in formats.items()}


def bare(trained: TrainedModel, lines: list[str], folder: Path, threads: int, **options: object) -> list[str]:
    """Translate with CTranslate2 alone."""
    import ctranslate2

    translator = ctranslate2.Translator(str(folder), compute_type="float32", inter_threads=threads, intra_threads=1)
    pieces = trained.tokenizer.encode("source", lines)
    options = {"max_input_length": 0, "max_decoding_length": LONGEST, **options}
    results = translator.translate_batch(pieces, max_batch_size=1_024, batch_type="tokens", **options)
    return [trained.tokenizer.decode("target", result.hypotheses[0]) for result in results]


def transformers(lines: list[str], folder: Path, beam: int) -> list[str]:
    """Translate with Hugging Face transformers alone."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging as theirs

    theirs.set_verbosity(logging.ERROR)
    theirs.disable_progress_bar()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    order = sorted(range(len(lines)), key=lambda number: len(lines[number]))
    found = [""] * len(lines)
    for start in range(0, len(order), 50):
        numbers = order[start : start + 50]
        batch = tokenizer([lines[number] for number in numbers], return_tensors="pt", padding=True)
        outputs = model.generate(**batch, num_beams=beam, do_sample=False, max_length=LONGEST + 1)
        for number, text in zip(numbers, tokenizer.batch_decode(outputs, skip_special_tokens=True), strict=True):
            found[number] = text
    return found


def texts(generator: Generator, lines: list[str]) -> list[str]:
    """Translate with a generator of ours."""
    return [each.text for each in generator.translate(lines)]


def figure(found: list[str], expected: list[str], references: list[str], seconds: float | None) -> dict[str, Any]:
    """Return what there is to say of translations."""
    score = sacrebleu.corpus_bleu(found, [references]).score
    same = int(np.sum([one == other for one, other in zip(found, expected, strict=True)]))
    timed = {} if seconds is None else {"seconds_with_loading": round(seconds, 2)}
    return {"bleu": round(score, 2), "same_as_native": same, **timed}


if __name__ == "__main__":
    main()
