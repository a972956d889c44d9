"""Models, random data and the trainer's own classes for `gpu.py`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from specforge.criterions.cross_entropy.loss import CrossEntropy
from specforge.data.batching import Budget, Items, Measures, UpdatePlan, WeightedSegment
from specforge.foundation.events import SilentReporter
from specforge.models.model import EncoderDecoder, Model
from specforge.models.transformer import architectures as transformers
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.model import Transformer
from specforge.models.transformer_lm import architectures as language_models
from specforge.models.transformer_lm.config import TransformerLMConfig
from specforge.models.transformer_lm.model import TransformerLM
from specforge.modules.recorder import Recorder
from specforge.optimizers.adam.config import AdamConfig
from specforge.optimizers.adam.optimizer import build as build_adam
from specforge.plugin import ModelContext, Preset, Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import BeamSearch
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Sources
from specforge.tasks.language_modeling.config import LanguageModelingConfig
from specforge.tasks.language_modeling.task import LanguageModelingTask
from specforge.tasks.task import Item, Task
from specforge.tasks.translation.task import TranslationTask
from specforge.training.checkpoints import Checkpoints
from specforge.training.layers import checkpoint_layers, compile_layers, compiling
from specforge.training.loading import UpdateLoader
from specforge.training.module import TrainingModule
from specforge.training.optimizer_state import optimizer_state
from specforge.training.parallel.choice import chosen_strategy
from specforge.training.parallel.process import Parallel
from specforge.training.resumable import Resumable
from specforge.training.state import Selection, TrainingState
from specforge.training.updater import Updater

_EOS: Final = 2
_FIRST: Final = 4
_WARM_UP: Final = 3  # updates
_READ_EVERY: Final = 5  # updates, as `run.log_every` would have it


class RandomCorpus:
    """Items of random tokens.

    Args:
        lengths: role → [items], ends of sentence counted.
        task: measures and batches them.
        vocabulary: its size.
    """

    def __init__(self, lengths: Mapping[str, NDArray[np.int64]], task: Task, vocabulary: int) -> None:
        self.lengths = lengths
        self._task = task
        self._vocabulary = vocabulary

    def __len__(self) -> int:
        return len(next(iter(self.lengths.values())))

    def item(self, index: int) -> Item:
        """Return an item, the same every time."""
        generator = np.random.default_rng(index)
        return {role: self._row(generator, int(lengths[index])) for role, lengths in self.lengths.items()}

    def measure(self, items: Items) -> Measures:
        """Return the lengths of some items."""
        lengths = {role: column[items] for role, column in self.lengths.items()}
        return Measures(lengths, self._task.cost(lengths), self._task.width(lengths))

    def _row(self, generator: np.random.Generator, length: int) -> NDArray[np.int64]:
        row = generator.integers(_FIRST, self._vocabulary, length, dtype=np.int64)
        row[-1] = _EOS
        return row


@dataclass(frozen=True, slots=True)
class Size:
    """How much a training takes in at a time.

    Args:
        batch_tokens: target tokens of an update.
        max_tokens: of a micro-batch.
        items: of the corpus.
    """

    batch_tokens: int
    max_tokens: int
    items: int


class Bench:
    """A model to train, and data for it.

    Args:
        task: its task.
        model: with its first weights.
        config: its config.
        corpus: what it is trained on.
        size: how much at a time.
        device: where.
    """

    def __init__(
        self,
        task: Task,
        model: Model,
        config: TransformerConfig | TransformerLMConfig,
        corpus: RandomCorpus,
        size: Size,
        device: str,
    ) -> None:
        self._task = task
        self._model = model
        self._config = config
        self._corpus = corpus
        self._size = size
        self._parallel = Parallel(torch.device(device, 0) if device == "cuda" else torch.device(device))
        self._module = TrainingModule(task, model, CrossEntropy(label_smoothing=0.1)).train()

    @classmethod
    def of_translation(cls, device: str, *, quick: bool) -> Bench:
        """Return the big model of Vaswani et al. with sentences as long as those of WMT: 29 tokens in the mean."""
        vocabulary = 1_000 if quick else 32_768
        small = {"encoder_layers": 1, "decoder_layers": 1, "embed_dim": 32, "ffn_dim": 64, "attention_heads": 2}
        named = _preset(transformers.PRESETS, "transformer_vaswani_wmt_en_de_big")
        config = TransformerConfig.model_validate({**named, "share_embeddings": "all", **(small if quick else {})})
        symbols = dict.fromkeys(("source", "target"), Symbols(vocabulary))
        size = Size(400, 200, 300) if quick else Size(131_072, 32_768, 200_000)
        generator = np.random.default_rng(1)
        source = np.clip(generator.lognormal(3.2, 0.55, size.items), 2, 200).astype(np.int64)
        target = np.clip(source * generator.lognormal(0.0, 0.15, size.items), 2, 200).astype(np.int64)
        task = TranslationTask()
        corpus = RandomCorpus({"source": source, "target": target}, task, vocabulary)
        torch.manual_seed(1)
        return cls(task, Transformer(config, ModelContext(symbols, joined=True)), config, corpus, size, device)

    @classmethod
    def of_language(cls, device: str, *, quick: bool) -> Bench:
        """Return a language model of 124 million weights: 12 layers of 768, learned positions, one table, GELU, no dropout."""
        vocabulary, length = (1_000, 32) if quick else (50_304, 1_024)
        small = {"decoder_layers": 1, "embed_dim": 32, "ffn_dim": 64, "attention_heads": 2}
        named = {**_preset(language_models.PRESETS, "transformer_lm_gpt3_small"), "max_positions": 1_024}
        config = TransformerLMConfig.model_validate({**named, **(small if quick else {})})
        size = Size(400, 200, 100) if quick else Size(524_288, 65_536, 20_000)
        task = LanguageModelingTask(LanguageModelingConfig())
        corpus = RandomCorpus({"text": np.full(size.items, length, np.int64)}, task, vocabulary)
        torch.manual_seed(1)
        model = TransformerLM(config, ModelContext({"text": Symbols(vocabulary)}))
        return cls(task, model, config, corpus, size, device)

    def trained(self, seconds: float, *, backend: str | None, checkpointed: bool) -> dict[str, Any]:
        """Return what updates take.

        Args:
            seconds: how long to count.
            backend: of the compiler; None: nothing is compiled.
            checkpointed: whether layers compute twice.
        """
        with compiling(wanted=backend is not None):
            if backend is not None:
                compile_layers(self._model, backend)
            if checkpointed:
                checkpoint_layers(self._model)
            return self._counted(seconds)

    def _counted(self, seconds: float) -> dict[str, Any]:
        self._strategy = chosen_strategy("ddp", self._module, self._parallel)
        self._optimizer = build_adam(AdamConfig(lr=1e-4), self._strategy.trainable())
        updater = Updater(self._strategy, self._optimizer, self._parallel, seed=1, clip_norm=1.0, precision="bf16")
        loader, began = self._loader(), time.perf_counter()
        updates = loader.updates(1, 0)
        for number in range(_WARM_UP):
            updater.apply(next(updates).pieces, 1e-4, number)
        updater.read()
        warmed, number, waited = time.perf_counter(), _WARM_UP, 0.0
        tokens = real = padded = flop = 0
        while time.perf_counter() - warmed < seconds:
            for _ in range(_READ_EVERY):
                update = next(updates)
                updater.apply(update.pieces, 1e-4, number)
                number, tokens, waited = number + 1, tokens + update.tokens, waited + update.waited
                real, padded = real + update.real, padded + update.padded
                flop += self._flop(update.update.items)
            reading = updater.read()
        took = time.perf_counter() - warmed
        updates.close()
        assert reading.failure is None, reading.failure
        return {
            "model": type(self._model).__name__,
            "parameters": sum(parameter.numel() for parameter in self._model.parameters()),
            "batch_tokens": self._size.batch_tokens,
            "max_tokens": self._size.max_tokens,
            "updates": number - _WARM_UP,
            "seconds": round(took, 2),
            "warm_up_seconds": round(warmed - began, 2),
            "target_tokens_per_second": round(tokens / took),
            "padding_percent": round(100 * (1 - real / padded), 2),
            "data_wait_percent": round(100 * waited / took, 2),
            "flop_per_second": flop / took,
            "gflop_per_target_token": round(flop / tokens / 1e9, 4),
            "loss_per_token": reading.loss / reading.count,
            "peak_memory_gib": self._peak(),
        }

    def saved(self, folder: Path) -> dict[str, Any]:
        """Return how long a checkpoint takes: the copy that training waits for, and the whole of it."""
        tensors, rest = optimizer_state(self._optimizer, self._strategy.trainable())
        resumable = Resumable(TrainingState(updates=1), self._strategy.local_weights(), tensors, rest)
        checkpoints = Checkpoints(folder, Selection("loss", False, 1), SilentReporter())  # lower is better
        checkpoints.prepare()
        began = time.perf_counter()
        copied = resumable.copied()
        stall = time.perf_counter() - began
        checkpoints.save(copied, complete=True)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        took = time.perf_counter() - began
        return {"copy_seconds": round(stall, 3), "seconds": round(took, 2), "gib": round(size / 2**30, 2)}

    @torch.no_grad()
    def decoded(self, seconds: float, recorder: Recorder | None = None) -> dict[str, Any]:
        """Return how quickly sentences are decoded with a beam of 5; random weights never end a sentence by themselves.

        Args:
            seconds: how long, at least.
            recorder: of steps; None for steps that Python leads through.
        """
        assert isinstance(self._model, EncoderDecoder)
        device = self._parallel.device
        model = self._model.to(device, torch.bfloat16).eval()
        if recorder is not None:
            model.record_steps(recorder)
            self.decoded(seconds)  # the same batches, and nearly all that there is to record
        search = BeamSearch(BeamConfig(beam=5, max_length=(1.0, 0)))
        sentences = done = symbols = 0
        began = time.perf_counter()
        while time.perf_counter() - began < seconds or sentences == 0:
            items = [self._corpus.item(done + number) for number in range(4 if device.type == "cpu" else 128)]
            batch = self._task.collate(items).to(device)
            tensors = batch.tensors()
            sources = Sources(tensors["source"], tensors["source_lengths"])
            found = search.search(ModelScorer(model), sources, Symbols(self._vocabulary))
            done = sentences = sentences + len(items)
            symbols += sum(len(best.tokens) for best, *_ in found)
        took = time.perf_counter() - began
        return {
            "beam": 5,
            "sentences_per_second": round(sentences / took, 1),
            "tokens_per_second": round(symbols / took),
            "seconds": round(took, 2),
        }

    @property
    def _vocabulary(self) -> int:
        layer = self._model.output_layer()
        assert layer is not None
        return len(layer.weight)

    def _loader(self) -> UpdateLoader:
        corpus, size = self._corpus, self._size
        plan = UpdatePlan([WeightedSegment(0, len(corpus))], corpus.measure, Budget(tokens=size.batch_tokens), 1)
        return UpdateLoader(plan, corpus, corpus.measure, self._task, size.max_tokens, self._parallel)

    def _peak(self) -> float | None:
        if self._parallel.device.type != "cuda":
            return None
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)

    def _flop(self, items: Items) -> int:
        """Return the operations of an update, by the formula above `gpu.py`."""
        config, lengths = self._config, {role: column[items] for role, column in self._corpus.lengths.items()}
        dim, ffn = config.embed_dim, config.ffn_dim
        layer = 4 * dim * dim + 2 * dim * ffn  # weights of self-attention and feed-forward network
        target = lengths["text"] if isinstance(config, TransformerLMConfig) else lengths["target"]
        of_decoder = config.decoder_layers * layer + self._vocabulary * dim
        pairs = config.decoder_layers * (target * (target + 1) // 2).sum()
        weights = of_decoder * target.sum()
        if isinstance(config, TransformerConfig):
            source = lengths["source"]
            weights += config.encoder_layers * layer * source.sum()
            weights += config.decoder_layers * 2 * dim * dim * (source + target).sum()  # attention to the source
            pairs += config.encoder_layers * (source * source).sum() + config.decoder_layers * (source * target).sum()
        return int(6 * weights + 12 * dim * pairs)


def _preset(presets: Sequence[Preset], name: str) -> dict[str, Any]:
    return dict(next(preset for preset in presets if preset.name == name).values)
