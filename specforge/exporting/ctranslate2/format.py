"""Export to CTranslate2."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from specforge.exporting.ctranslate2.decoders import exported_decoder
from specforge.exporting.ctranslate2.specification import NAME, specification
from specforge.exporting.decoders import native_decoder
from specforge.exporting.exportable import Exportable, Sample, Verified, require
from specforge.exporting.format import Format
from specforge.exporting.positions import written_positions
from specforge.exporting.usage import Cutting, cutting, readme
from specforge.exporting.verification import agreement, verify_outputs
from specforge.foundation import durable
from specforge.models.model import EncoderDecoder
from specforge.models.transformer.layers_config import TransformerLayersConfig

_EXACT: Final = "float32"


class CTranslate2Format(Format):
    """A folder that `ctranslate2.Translator` or, of a language model, `ctranslate2.Generator` reads.

    Args:
        quantization: what weights are written as, in CTranslate2's names, like `int8`; None for float32.
    """

    def __init__(self, quantization: str | None = None) -> None:
        self._quantization = quantization

    def write(self, trained: Exportable, folder: Path) -> None:
        """Write the model; see the base class."""
        write_model(trained, folder, self._quantization)

    def verify(self, trained: Exportable, folder: Path, sample: Sample, threads: int) -> Verified:
        """Compare greedy outputs in fp32; those of quantized weights are compared, too, and may differ."""
        native = native_decoder(trained)
        if self._quantization is None:
            return verify_outputs(native, exported_decoder(trained, folder, _EXACT, threads), sample)
        exact = durable.make_folder(folder / _EXACT)
        try:
            write_model(trained, exact)
            verified = verify_outputs(native, exported_decoder(trained, exact, _EXACT, threads), sample)
        finally:
            durable.remove_folder(exact)
        most = native.longest()
        found = exported_decoder(trained, folder, "default", threads).decode(sample.sources, most)
        same = agreement(native.decode(sample.sources, most), found)
        said = f"with the weights in {self._quantization}, {same} of {len(sample)} outputs are the same"
        return replace(verified, further=(said,))

    def readme(self, trained: Exportable, verified: Verified) -> str:
        """Return a program that translates, or continues, lines."""
        translates = isinstance(trained.model, EncoderDecoder)
        title = f"A {'translation' if translates else 'language'} model for {NAME}"
        source = cutting(trained, "source" if translates else "text")
        target = cutting(trained, "target") if translates else source
        packages = ("ctranslate2", *source.imports)
        program = _translating(source, target) if translates else _continuing(source)
        return readme(title, packages, program, _facts(trained, translates=translates), trained, verified)


def write_model(trained: Exportable, folder: Path, quantization: str | None = None) -> None:
    """Write the files that CTranslate2 reads into a folder that is there.

    Raises:
        WrongInputError: SF711, CTranslate2 has no such model; SF681, it is not installed.
    """
    require("ctranslate2", "ctranslate2", NAME)
    spec = specification(trained)
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))


def _translating(source: Cutting, target: Cutting) -> list[str]:
    return [
        "import sys",
        "",
        *(f"import {package}" for package in sorted({"ctranslate2", *source.imports})),
        "",
        *dict.fromkeys((*source.setup, *target.setup)),
        'translator = ctranslate2.Translator(".", device="cpu")',
        "",
        "lines = [line.rstrip() for line in sys.stdin]",
        f"results = translator.translate_batch({source.cut}, beam_size=5, max_input_length=0)",
        "for result in results:",
        "    pieces = result.hypotheses[0]",
        f"    print({target.join})",
    ]


def _continuing(text: Cutting) -> list[str]:
    return [
        "import sys",
        "",
        *(f"import {package}" for package in sorted({"ctranslate2", *text.imports})),
        "",
        *text.setup,
        'generator = ctranslate2.Generator(".", device="cpu")',
        "",
        "lines = [line.rstrip() for line in sys.stdin]",
        f'prompts = [["</s>", *pieces] for pieces in {text.cut}]',
        "results = generator.generate_batch(prompts, max_length=50, include_prompt_in_result=False)",
        "for prompt, result in zip(prompts, results):",
        "    pieces = [*prompt[1:], *result.sequences[0]]",
        f"    print({text.join})",
    ]


def _facts(trained: Exportable, *, translates: bool) -> list[str]:
    config = trained.config
    assert isinstance(config, TransformerLayersConfig), "the specification holds no other model"
    end = (
        "`</s>` is put after every source and before every output by CTranslate2 itself (`config.json`)."
        if translates
        else "A text begins after `</s>`, the end of the one before it: every prompt starts with it."
    )
    cut = ["`max_input_length=0`: by itself CTranslate2 cuts a source off after 1,024 pieces, and says nothing."]
    return [
        end,
        f"There are {written_positions(config):,} positions; a longer line is an error.",
        *(cut if translates else []),
        "`<pad>` never comes out: its logit is lowered. Unknown pieces are `<unk>`.",
    ]
