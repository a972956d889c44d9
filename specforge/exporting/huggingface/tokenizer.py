"""Our tokenizers in a form that `transformers.AutoTokenizer` loads: sentencepiece as Marian has it, words as a fast tokenizer.

Marian's holds the sentencepiece models as they are and our vocabulary beside them, so that its pieces and numbers are ours.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from specforge.data.vocabulary import BOS, EOS, PAD, SPECIAL_SYMBOLS, UNK, Vocabulary
from specforge.exporting.exportable import Exportable, all_pieces, cannot_hold
from specforge.foundation import durable
from specforge.tokenizers.sentencepiece.config import SentencePieceConfig
from specforge.tokenizers.whitespace.config import WhitespaceConfig

NAME: Final = "Hugging Face transformers"

_HELD: Final = "it holds `sentencepiece` and `whitespace`; `--to ctranslate2` needs no tokenizer"

TARGET: Final = "target_tokenizer"
"""Folder of the tokenizer of outputs, where it is another one and one object cannot hold both."""


def write_tokenizer(trained: Exportable, folder: Path, positions: int) -> None:
    """Write the tokenizer's files.

    Args:
        trained: the model.
        folder: of the model.
        positions: the longest text, end counted.

    Raises:
        WrongInputError: SF711, it is neither sentencepiece nor whitespace.
    """
    match trained.tokenizer:
        case SentencePieceConfig():
            _write_marian(trained, folder, positions, shared=trained.tokenizer.shared)
        case WhitespaceConfig():
            roles = list(trained.vocabularies)
            _write_words(trained.vocabularies[roles[0]], folder, positions)
            if has_target_folder(trained):
                _write_words(trained.vocabularies[roles[1]], durable.make_folder(folder / TARGET), positions)
        case _:
            raise cannot_hold(NAME, "the tokenizer of this model", _HELD)


def has_target_folder(trained: Exportable) -> bool:
    """Return whether outputs have a tokenizer in a folder of its own."""
    first, *others = trained.vocabularies.values()
    return isinstance(trained.tokenizer, WhitespaceConfig) and any(other != first for other in others)


def _write_marian(trained: Exportable, folder: Path, positions: int, *, shared: bool) -> None:
    roles = list(trained.vocabularies)
    source, target = roles[0], roles[-1]
    for name, role in (("source.spm", source), ("target.spm", target)):
        data = trained.tokenizer_files["shared.model" if shared else f"{role}.model"]
        durable.write_file(folder / name, data)
    separate = trained.vocabularies[source] != trained.vocabularies[target] or not shared
    _write_numbers(folder / "vocab.json", trained.vocabularies[source])
    if separate:
        _write_numbers(folder / "target_vocab.json", trained.vocabularies[target])
    settings: dict[str, JsonValue] = {
        "tokenizer_class": "MarianTokenizer",
        "separate_vocabs": separate,
        "bos_token": SPECIAL_SYMBOLS[BOS],
        "eos_token": SPECIAL_SYMBOLS[EOS],
        "pad_token": SPECIAL_SYMBOLS[PAD],
        "unk_token": SPECIAL_SYMBOLS[UNK],
        "model_max_length": positions,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,  # what reads `<unk>` in a text is text
    }
    durable.write_json(folder / "tokenizer_config.json", settings)


def _write_numbers(path: Path, vocabulary: Vocabulary) -> None:
    numbers = {piece: index for index, piece in enumerate(all_pieces(vocabulary))}
    durable.write_file(path, json.dumps(numbers, ensure_ascii=False, indent=0).encode())


def _write_words(vocabulary: Vocabulary, folder: Path, positions: int) -> None:
    """Write a tokenizer of words, which stand between white space; `</s>` is put at the end."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = {piece: index for index, piece in enumerate(all_pieces(vocabulary))}
    tokenizer = Tokenizer(models.WordLevel(pieces, unk_token=SPECIAL_SYMBOLS[UNK]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    end = SPECIAL_SYMBOLS[EOS]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, EOS)])
    durable.write_file(folder / "tokenizer.json", tokenizer.to_str(pretty=True).encode())
    settings: dict[str, JsonValue] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL_SYMBOLS[BOS],
        "eos_token": end,
        "pad_token": SPECIAL_SYMBOLS[PAD],
        "unk_token": SPECIAL_SYMBOLS[UNK],
        "model_max_length": positions,
        "clean_up_tokenization_spaces": False,
    }
    durable.write_json(folder / "tokenizer_config.json", settings)
