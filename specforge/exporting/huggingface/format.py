"""Export to Hugging Face transformers: Marian, Blenderbot or GPT-2, with a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from specforge.data.vocabulary import BOS, EOS, PAD
from specforge.exporting.decoders import native_decoder
from specforge.exporting.exportable import Exportable, Sample, Verified, cannot_hold, require
from specforge.exporting.format import Format
from specforge.exporting.huggingface.decoders import HuggingFaceDecoder
from specforge.exporting.huggingface.language_model import language_model_config, language_model_weights
from specforge.exporting.huggingface.tokenizer import NAME, TARGET, has_target_folder, write_tokenizer
from specforge.exporting.huggingface.translation import translation_config, translation_weights
from specforge.exporting.positions import written_positions
from specforge.exporting.usage import readme
from specforge.exporting.verification import verify_outputs
from specforge.foundation import durable
from specforge.models.model import EncoderDecoder
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.layers_config import TransformerLayersConfig
from specforge.models.transformer.model import Transformer
from specforge.models.transformer_lm.config import TransformerLMConfig
from specforge.models.transformer_lm.model import TransformerLM
from specforge.tokenizers.sentencepiece.config import SentencePieceConfig
from specforge.tokenizers.whitespace.config import WhitespaceConfig


class HuggingFaceFormat(Format):
    """A folder that `AutoModelForSeq2SeqLM` or `AutoModelForCausalLM`, and `AutoTokenizer` load."""

    def write(self, trained: Exportable, folder: Path) -> None:
        """Write the model; see the base class."""
        require("transformers", "huggingface", NAME)
        config, weights = _held(trained)
        assert isinstance(trained.config, TransformerLayersConfig), "only such models are held"
        write_tokenizer(trained, folder, written_positions(trained.config))
        config.save_pretrained(folder)
        _generation_config(trained).save_pretrained(folder)
        own = {name: tensor.detach().clone().contiguous() for name, tensor in weights.items()}
        durable.write_file(folder / "model.safetensors", save(own, {"format": "pt"}))

    def verify(self, trained: Exportable, folder: Path, sample: Sample, threads: int) -> Verified:
        """Compare greedy outputs of the lines' text, so that the tokenizer is compared, too."""
        del threads  # torch has them already
        return verify_outputs(native_decoder(trained), HuggingFaceDecoder(trained, folder, sample), sample)

    def readme(self, trained: Exportable, verified: Verified) -> str:
        """Return a program that translates, or continues, lines."""
        translates = isinstance(trained.model, EncoderDecoder)
        kind = type(_held(trained)[0]).__name__.removesuffix("Config")
        title = f"A {'translation' if translates else 'language'} model for {NAME} ({kind})"
        packages = ["torch", "transformers"]
        packages += ["sentencepiece"] if isinstance(trained.tokenizer, SentencePieceConfig) else []
        return readme(title, packages, _program(trained), _facts(trained, kind), trained, verified)


def _held(trained: Exportable) -> tuple[Any, dict[str, Tensor]]:
    """Return config and weights in the format that holds a model.

    Raises:
        WrongInputError: SF711, none does.
    """
    model, config = trained.model, trained.config
    if type(model) is Transformer and isinstance(config, TransformerConfig):
        return translation_config(trained, config), translation_weights(trained, model, config)
    if type(model) is TransformerLM and isinstance(config, TransformerLMConfig):
        if config.norm == "post":
            raise cannot_hold(
                NAME,
                'a language model with `norm = "post"`',
                'the nearest is `norm = "pre"`, the default; `--to ctranslate2` holds this one',
                "GPT-2 has layer norm before each sublayer",
            )
        return language_model_config(trained, config), language_model_weights(model, config)
    help_text = "it holds `specforge/transformer` and `specforge/transformer_lm`"
    raise cannot_hold(NAME, f"the model `{trained.use}`", help_text)


def _generation_config(trained: Exportable) -> Any:
    from transformers import GenerationConfig

    if isinstance(trained.model, EncoderDecoder):
        return GenerationConfig(
            bos_token_id=BOS,
            pad_token_id=PAD,
            eos_token_id=EOS,
            decoder_start_token_id=EOS,
            max_length=201,
            num_beams=5,
        )
    return GenerationConfig(bos_token_id=EOS, pad_token_id=PAD, eos_token_id=EOS, suppress_tokens=[PAD])


def _program(trained: Exportable) -> list[str]:
    lowercase = isinstance(trained.tokenizer, SentencePieceConfig) and trained.tokenizer.lowercase
    lines = f"lines = [line.rstrip(){'.lower()' if lowercase else ''} for line in sys.stdin]"
    mark = trained.tokenizer.remove_bpe if isinstance(trained.tokenizer, WhitespaceConfig) else None
    text = "text" if mark is None else f'(text + " ").replace({mark!r}, "").rstrip()'
    if isinstance(trained.model, EncoderDecoder):
        target = f'AutoTokenizer.from_pretrained("{TARGET}")' if has_target_folder(trained) else "tokenizer"
        return [
            "import sys",
            "",
            "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer",
            "",
            'tokenizer = AutoTokenizer.from_pretrained(".")',
            f"target_tokenizer = {target}",
            'model = AutoModelForSeq2SeqLM.from_pretrained(".")',
            "",
            lines,
            'outputs = model.generate(**tokenizer(lines, return_tensors="pt", padding=True, return_token_type_ids=False))',
            "for text in target_tokenizer.batch_decode(outputs, skip_special_tokens=True):",
            f"    print({text})",
        ]
    return [
        "import sys",
        "",
        "import torch",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        'model = AutoModelForCausalLM.from_pretrained(".")',
        "",
        lines,
        "for line in lines:",
        "    prompt = [tokenizer.eos_token_id, *tokenizer(line, add_special_tokens=False).input_ids]",
        "    output = model.generate(torch.tensor([prompt]), max_new_tokens=50)[0]",
        "    text = tokenizer.decode(output, skip_special_tokens=True)",
        f"    print({text})",
    ]


def _facts(trained: Exportable, kind: str) -> list[str]:
    config = trained.config
    assert isinstance(config, TransformerLayersConfig), "only such models are held"
    facts = [f"There are {written_positions(config):,} positions."]
    if kind == "Marian":
        facts.append(
            "Keep `model.safetensors` as it is: it holds the positions that the model was trained with, and "
            "`save_pretrained` of a Marian model leaves them out, whereupon Marian's own take their place."
        )
    if kind == "GPT2":
        facts.append("A text begins after `</s>`, the end of the one before it: every prompt starts with it.")
    else:
        facts.append("`</s>` stands after every source and before every output.")
    return facts
