"""A training small enough to watch: a model of a few hundred weights that learns to copy, and all that a trainer needs.

The model has what is hard for a trainer: tied weights, dropout, and a loss whose value depends on how a batch is padded
only if somebody is careless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from specforge.criterions.criterion import Criterion, Loss
from specforge.criterions.cross_entropy.loss import CrossEntropy
from specforge.data.batch import Batch
from specforge.data.batching import Budget, Items, Measures, UpdatePlan, WeightedSegment
from specforge.foundation.events import Reporter, Scalar
from specforge.foundation.seeds import derived_seed
from specforge.models.fconv.config import FConvConfig
from specforge.models.fconv.model import build as build_fconv
from specforge.models.model import DecodingState, EncoderDecoder
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.model import build as build_transformer
from specforge.optimizers.adam.config import AdamConfig
from specforge.optimizers.adam.optimizer import build as build_adam
from specforge.plugin import ModelContext, Progress, Symbols
from specforge.tasks.task import Task
from specforge.tasks.translation.task import TranslationTask
from specforge.training.checkpoints import Checkpoints
from specforge.training.loading import UpdateLoader
from specforge.training.parallel import Parallel, TrainingModule
from specforge.training.precision import Precision
from specforge.training.state import Limits, Selection
from specforge.training.stopping import StopRequest
from specforge.training.trainer import Every, Trainer, TrainerSettings
from specforge.training.validation import TextScore, Validator

PAD, EOS = 1, 2
VOCABULARY = 12
_FIRST_WORD = 4
_FIVE_UPDATES = Every(5, "update")
_SIX_UPDATES = Every(6, "update")


class TinyTask(Task):
    """Sequence to sequence, as the translation task counts."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def cost(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        return lengths["target"]

    def width(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.maximum(lengths["source"], lengths["target"])

    def collate(self, items: Sequence[Mapping[str, NDArray[np.integer]]]) -> Batch:
        sources = [torch.tensor(item["source"].tolist()) for item in items]
        targets = [torch.tensor(item["target"].tolist()) for item in items]
        shifted = [torch.cat([torch.tensor([EOS]), target[:-1]]) for target in targets]
        return Batch(
            _padded(sources),
            torch.tensor([len(source) for source in sources]),
            _padded(shifted),
            _padded(targets),
            torch.tensor([len(target) for target in targets]),
            sum(len(target) for target in targets),
        )

    def train_step(self, model: EncoderDecoder, criterion: Criterion, batch: Batch) -> Loss:
        loss = criterion(model, batch)
        assert isinstance(loss, Loss)
        return loss

    def valid_step(self, model: EncoderDecoder, criterion: Criterion, batch: Batch) -> Loss:
        return self.train_step(model, criterion, batch)

    def set_num_updates(self, updates: int) -> None:
        self.told.append(updates)


def _padded(rows: list[Tensor]) -> Tensor:
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


class TinyModel(EncoderDecoder):
    """The mean of the source embeddings and the last target symbol, through one hidden layer; embeddings are tied."""

    def __init__(self, dropout: float, nan_at: int | None = None) -> None:
        super().__init__()
        self._nan_at = nan_at
        self.embedding = nn.Embedding(VOCABULARY, 6, padding_idx=PAD)
        self.hidden = nn.Linear(12, 6)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(6, VOCABULARY, bias=False)
        self.output.weight = self.embedding.weight
        self.told: list[int] = []

    def features(self, batch: Batch) -> Tensor:
        source = self.embedding(batch.source).sum(1) / batch.source_lengths[:, None]
        target = self.embedding(batch.target_in)
        both = torch.cat([source[:, None].expand(-1, target.shape[1], -1), target], dim=-1)
        hidden: Tensor = self.dropout(torch.tanh(self.hidden(both)))
        return hidden * float("nan") if self.training and self.told[-1:] == [self._nan_at] else hidden

    def project(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(features)
        return logits

    def start(self, source: Tensor, lengths: Tensor, beam: int) -> DecodingState:
        raise NotImplementedError

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        raise NotImplementedError

    def set_num_updates(self, updates: int) -> None:
        self.told.append(updates)


class SummedCrossEntropy(Criterion):
    """Cross entropy in the type of the model; counts targets."""

    def forward(self, model: EncoderDecoder, batch: Batch) -> Loss:
        logits = model.project(model.features(batch))
        total = functional.cross_entropy(
            logits.flatten(0, 1), batch.target_out.flatten(), ignore_index=PAD, reduction="sum"
        )
        return Loss(total, total.detach(), batch.target_tokens)


class ListCorpus:
    """Items in memory; `even` ones are 7 or 8 wide, so that a cut puts equally many into each micro-batch."""

    def __init__(self, items: int, seed: int, *, even: bool = False) -> None:
        generator = np.random.default_rng(seed)
        self.items = []
        for _ in range(items):
            words = generator.integers(_FIRST_WORD, VOCABULARY, size=generator.integers(6 if even else 1, 8))
            # A target that is shorter or longer than its source, so that cost and width differ.
            kept = words[: generator.integers(1, len(words) + 1)]
            self.items.append({"source": np.array([*words, EOS]), "target": np.array([*kept, EOS])})

    def item(self, index: int) -> Mapping[str, NDArray[np.integer]]:
        return self.items[index]

    def measure(self, items: Items) -> Measures:
        lengths = {
            role: np.array([len(self.items[item][role]) for item in items], dtype=np.int64)
            for role in ("source", "target")
        }
        task = TinyTask()
        return Measures(lengths, task.cost(lengths), task.width(lengths))


@dataclass
class Recorder:
    """A reporter that remembers."""

    records: list[tuple[str, dict[str, Scalar]]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    bars: list[tuple[int, int | None]] = field(default_factory=list)

    def progress(self, done: int, total: int | None, unit: str, **values: Scalar) -> None:
        del unit, values
        self.bars.append((done, total))

    def record(self, name: str, **values: Scalar) -> None:
        self.records.append((name, values))

    def message(self, text: str) -> None:
        self.messages.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def named(self, name: str) -> list[dict[str, Scalar]]:
        return [values for kind, values in self.records if kind == name]


@dataclass
class Recipe:
    """What a test may vary about a training; 40 items make 6 updates an epoch."""

    items: int = 40
    batch_tokens: int = 24
    max_tokens: int = 16
    dropout: float = 0.3
    dtype: torch.dtype = torch.float32
    seed: int = 3
    lr: float = 0.02
    max_updates: int | None = None
    max_epochs: int | None = None
    patience: int | None = None
    average_last: int = 2
    clip_norm: float = 0.5
    stop_min_lr: float | None = None
    validate_every: Every = _FIVE_UPDATES
    checkpoint_every: Every = _SIX_UPDATES
    metric: str = "loss"
    text_score: TextScore | None = None
    log_every: int = 1
    precision: Precision = "fp32"
    plain: bool = False  # gradient descent instead of Adam, so that a step shows its gradient
    nan_at: int | None = None  # number of the update whose loss is not a number
    family: Literal["tiny", "transformer", "fconv"] = "tiny"  # the others with the translation task and its loss
    even: bool = False  # all items about equally wide


ONE_UPDATE = Recipe(
    items=8, batch_tokens=1_000, dtype=torch.float64, dropout=0.0, plain=True, lr=1.0, clip_norm=0.0, max_updates=1
)
"""All of eight items in one step of plain gradient descent with rate 1, which shows its gradient."""


def tiny_task(recipe: Recipe) -> Task:
    return TinyTask() if recipe.family == "tiny" else TranslationTask()


def tiny_module(recipe: Recipe) -> TrainingModule:
    torch.manual_seed(derived_seed(recipe.seed, "first weights"))
    criterion = SummedCrossEntropy() if recipe.family == "tiny" else CrossEntropy(PAD, label_smoothing=0.1)
    return TrainingModule(tiny_task(recipe), _model(recipe), criterion).to(recipe.dtype).train()


def _model(recipe: Recipe) -> EncoderDecoder:
    context = ModelContext(dict.fromkeys(("source", "target"), Symbols(VOCABULARY)), joined=True)
    match recipe.family:
        case "tiny":
            return TinyModel(recipe.dropout, recipe.nan_at)
        case "transformer":
            sizes = {"encoder_layers": 1, "decoder_layers": 1, "embed_dim": 8, "ffn_dim": 12, "attention_heads": 2}
            rest = {"dropout": recipe.dropout, "share_embeddings": "all"}
            return build_transformer(TransformerConfig.model_validate({**sizes, **rest}), context)
        case "fconv":
            layers = ((6, 3), (8, 2))
            config = FConvConfig(
                embed_dim=6, encoder_layers=layers, decoder_layers=layers, out_embed_dim=5, dropout=recipe.dropout
            )
            return build_fconv(config, context)


def tiny_loader(recipe: Recipe, parallel: Parallel) -> UpdateLoader:
    corpus = ListCorpus(recipe.items, seed=1, even=recipe.even)
    plan = UpdatePlan(
        [WeightedSegment(0, recipe.items)], corpus.measure, Budget(tokens=recipe.batch_tokens), recipe.seed
    )
    return UpdateLoader(plan, corpus, corpus.measure, tiny_task(recipe), recipe.max_tokens, parallel)


def tiny_optimizer(recipe: Recipe, module: TrainingModule) -> Optimizer:
    if recipe.plain:
        return SGD(module.trainable(), lr=recipe.lr)
    return build_adam(AdamConfig(lr=recipe.lr), module.trainable())


def falling(progress: Progress) -> float:
    """A rate that changes with every update, as a factor of the recipe's."""
    return 1.0 / (1.0 + 0.05 * progress.updates)


def tiny_trainer(
    recipe: Recipe,
    work: Path,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
    parallel: Parallel | None = None,
    optimizer: Callable[[TrainingModule], Optimizer] | None = None,
) -> tuple[Trainer, TrainingModule]:
    """Build a trainer as the train step does, and return it with its module."""
    parallel = parallel or Parallel(torch.device("cpu"))
    reporter = reporter or Recorder()
    module = tiny_module(recipe)
    valid = ListCorpus(15, seed=2)
    higher_is_better = recipe.text_score is not None and recipe.text_score.higher_is_better
    selection = Selection(recipe.metric, higher_is_better, recipe.average_last)
    trainer = Trainer(
        module,
        tiny_optimizer(recipe, module) if optimizer is None else optimizer(module),
        lambda progress: recipe.lr * falling(progress),
        tiny_loader(recipe, parallel),
        Validator(
            15, valid, valid.measure, TinyTask(), recipe.max_tokens, recipe.precision, parallel, recipe.text_score
        ),
        Checkpoints(work, selection, reporter),
        parallel,
        TrainerSettings(
            seed=recipe.seed,
            limits=Limits(recipe.max_updates, recipe.max_epochs, recipe.patience),
            selection=selection,
            clip_norm=recipe.clip_norm,
            precision=recipe.precision,
            validate_every=recipe.validate_every,
            checkpoint_every=recipe.checkpoint_every,
            stop_min_lr=recipe.stop_min_lr,
            log_every=recipe.log_every,
            environment={"torch": torch.__version__, "max_tokens": recipe.max_tokens},
        ),
        reporter,
        stop or StopRequest(),
    )
    return trainer, module
