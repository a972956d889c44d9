"""A training small enough to watch: a model of a few hundred weights that learns to copy, and all that a trainer needs.

The model has what is hard for a trainer: tied weights, dropout, and a loss whose value depends on how a batch is padded
only if somebody is careless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from specforge.criterions.criterion import Criterion, Loss
from specforge.criterions.cross_entropy.loss import CrossEntropy
from specforge.data.batch import Batch, SequencePairBatch
from specforge.data.batching import Budget, Items, Measures, UpdatePlan, WeightedSegment
from specforge.foundation.events import Reporter, Scalar
from specforge.foundation.seeds import derived_seed
from specforge.models.fconv.config import FConvConfig
from specforge.models.fconv.model import build as build_fconv
from specforge.models.model import DecodingState, EncoderDecoder, Model
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.model import build as build_transformer
from specforge.models.transformer_classifier.config import TransformerClassifierConfig
from specforge.models.transformer_classifier.model import build as build_transformer_classifier
from specforge.models.transformer_lm.config import TransformerLMConfig
from specforge.models.transformer_lm.model import build as build_transformer_lm
from specforge.optimizers.adam.config import AdamConfig
from specforge.optimizers.adam.optimizer import build as build_adam
from specforge.plugin import ModelContext, Progress, Symbols
from specforge.tasks.language_modeling.config import LanguageModelingConfig
from specforge.tasks.language_modeling.task import LanguageModelingTask
from specforge.tasks.sentence_classification.task import SentenceClassificationTask
from specforge.tasks.task import Task
from specforge.tasks.translation.task import TranslationTask
from specforge.training.checkpoints import Checkpoints
from specforge.training.incidents import Incidents
from specforge.training.layers import checkpoint_layers, compile_layers
from specforge.training.loading import UpdateLoader
from specforge.training.module import TrainingModule
from specforge.training.non_finite import NonFinitePolicy
from specforge.training.parallel.choice import StrategyName, chosen_strategy
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Strategy
from specforge.training.precision import Precision
from specforge.training.profiling import Profiler, Window
from specforge.training.settings import Every, TrainerSettings
from specforge.training.state import Limits, Selection
from specforge.training.stopping import StopRequest
from specforge.training.trainer import Trainer
from specforge.training.validation import TextScore, Validator

PAD, EOS = 1, 2
VOCABULARY = 12
LABELS = 3
POISON = 3  # a source with this symbol makes a training loss no number
_FIRST_WORD = 4
_STOPPING = NonFinitePolicy()
_FIVE_UPDATES = Every(5, "update")
_SIX_UPDATES = Every(6, "update")


Family: TypeAlias = Literal["tiny", "transformer", "fconv", "transformer_lm", "transformer_classifier"]
"""Which model a recipe trains, with the task of its family."""


class TinyTask(Task):
    """Sequence to sequence, as the translation task counts."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def cost(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        return lengths["target"]

    def width(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.maximum(lengths["source"], lengths["target"])

    def collate(self, items: Sequence[Mapping[str, NDArray[np.integer]]]) -> SequencePairBatch:
        sources = [torch.tensor(item["source"].tolist()) for item in items]
        targets = [torch.tensor(item["target"].tolist()) for item in items]
        shifted = [torch.cat([torch.tensor([EOS]), target[:-1]]) for target in targets]
        return SequencePairBatch(
            _padded(sources),
            torch.tensor([len(source) for source in sources]),
            _padded(shifted),
            _padded(targets),
            torch.tensor([len(target) for target in targets]),
            target_tokens=sum(len(target) for target in targets),
        )

    def train_step(self, model: Model, criterion: Criterion, batch: Batch) -> Loss:
        loss = criterion(model, batch)
        assert isinstance(loss, Loss)
        return loss

    def valid_step(self, model: Model, criterion: Criterion, batch: Batch) -> Loss:
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
        assert isinstance(batch, SequencePairBatch)
        source = self.embedding(batch.source).sum(1) / batch.source_lengths[:, None]
        target = self.embedding(batch.target_in)
        both = torch.cat([source[:, None].expand(-1, target.shape[1], -1), target], dim=-1)
        hidden: Tensor = self.dropout(torch.tanh(self.hidden(both)))
        if self.training:
            hidden = hidden * torch.where((batch.source == POISON).any(), float("nan"), 1.0)
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

    def forward(self, model: Model, batch: Batch) -> Loss:
        logits = model.project(model.features(batch))
        total = functional.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), ignore_index=PAD, reduction="sum"
        )
        return Loss(total, total.detach(), batch.target_tokens)


_TASKS: Mapping[Family, Task] = {
    "tiny": TinyTask(),
    "transformer": TranslationTask(),
    "fconv": TranslationTask(),
    "transformer_lm": LanguageModelingTask(LanguageModelingConfig()),
    "transformer_classifier": SentenceClassificationTask(),
}


class ListCorpus:
    """Items in memory; `even` ones are 7 or 8 wide, so that a cut puts equally many into each micro-batch.

    A language model reads the sources as text; a classifier labels them by the length of the target.
    """

    def __init__(
        self, items: int, seed: int, *, even: bool = False, poisoned: Sequence[int] = (), family: Family = "tiny"
    ) -> None:
        self._task = _TASKS[family]
        generator = np.random.default_rng(seed)
        self.items = []
        for _ in range(items):
            words = generator.integers(_FIRST_WORD, VOCABULARY, size=generator.integers(6 if even else 1, 8))
            # A target that is shorter or longer than its source, so that cost and width differ.
            kept = words[: generator.integers(1, len(words) + 1)]
            self.items.append({"source": np.array([*words, EOS]), "target": np.array([*kept, EOS])})
        for item in poisoned:
            self.items[item]["source"][0] = POISON
        if family == "transformer_lm":
            self.items = [{"text": item["source"]} for item in self.items]
        if family == "transformer_classifier":
            self.items = [
                {"text": item["source"], "label": np.array([len(item["target"]) % LABELS])} for item in self.items
            ]

    def item(self, index: int) -> Mapping[str, NDArray[np.integer]]:
        return self.items[index]

    def measure(self, items: Items) -> Measures:
        lengths = {
            role: np.array([len(self.items[item][role]) for item in items], dtype=np.int64) for role in self.items[0]
        }
        return Measures(lengths, self._task.cost(lengths), self._task.width(lengths))


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
    ema_decay: float | None = None
    clip_norm: float = 0.5
    stop_min_lr: float | None = None
    validate_every: Every = _FIVE_UPDATES
    checkpoint_every: Every = _SIX_UPDATES
    metric: str = "loss"
    text_score: TextScore | None = None
    log_every: int = 1
    precision: Precision = "fp32"
    profile: Window | None = None
    plain: bool = False  # gradient descent instead of Adam, so that a step shows its gradient
    nan_at: int | None = None  # number of the update whose loss is not a number
    poisoned: tuple[int, ...] = ()  # items that make a loss no number
    family: Family = "tiny"  # the others with the task of their family and its loss
    non_finite: NonFinitePolicy = _STOPPING
    even: bool = False  # all items about equally wide
    strategy: StrategyName = "ddp"
    compiler: str | None = None  # backend of torch.compile; None: nothing is compiled
    embed_dim: int = 8  # of the transformers; half of it is the width of a head
    checkpointing: bool = False  # layers compute once more in the backward pass


ONE_UPDATE = Recipe(
    items=8, batch_tokens=1_000, dtype=torch.float64, dropout=0.0, plain=True, lr=1.0, clip_norm=0.0, max_updates=1
)
"""All of eight items in one step of plain gradient descent with rate 1, which shows its gradient."""


def tiny_task(recipe: Recipe) -> Task:
    return TinyTask() if recipe.family == "tiny" else _TASKS[recipe.family]


def tiny_module(recipe: Recipe) -> TrainingModule:
    torch.manual_seed(derived_seed(recipe.seed, "first weights"))
    criterion = SummedCrossEntropy() if recipe.family == "tiny" else CrossEntropy(label_smoothing=0.1)
    model = _model(recipe)
    if recipe.compiler is not None:
        compile_layers(model, recipe.compiler)
    if recipe.checkpointing:
        checkpoint_layers(model)
    return TrainingModule(tiny_task(recipe), model, criterion).to(recipe.dtype).train()


def _model(recipe: Recipe) -> Model:
    symbols = dict.fromkeys(("source", "target", "text"), Symbols(VOCABULARY))
    context = ModelContext(symbols, joined=True, labels={"label": LABELS})
    match recipe.family:
        case "tiny":
            return TinyModel(recipe.dropout, recipe.nan_at)
        case "transformer":
            sizes = {
                "encoder_layers": 1,
                "decoder_layers": 1,
                "embed_dim": recipe.embed_dim,
                "ffn_dim": 12,
                "attention_heads": 2,
            }
            rest = {"dropout": recipe.dropout, "share_embeddings": "all"}
            return build_transformer(TransformerConfig.model_validate({**sizes, **rest}), context)
        case "transformer_lm":
            small = {"decoder_layers": 1, "embed_dim": recipe.embed_dim, "ffn_dim": 12, "attention_heads": 2}
            lm = {**small, "dropout": recipe.dropout, "share_embeddings": True}
            return build_transformer_lm(TransformerLMConfig.model_validate(lm), context)
        case "transformer_classifier":
            small = {"encoder_layers": 1, "embed_dim": recipe.embed_dim, "ffn_dim": 12, "attention_heads": 2}
            classifier = {**small, "dropout": recipe.dropout, "pooler_dropout": recipe.dropout}
            return build_transformer_classifier(TransformerClassifierConfig.model_validate(classifier), context)
        case "fconv":
            layers = ((6, 3), (8, 2))
            config = FConvConfig(
                embed_dim=6, encoder_layers=layers, decoder_layers=layers, out_embed_dim=5, dropout=recipe.dropout
            )
            return build_fconv(config, context)


def tiny_loader(recipe: Recipe, parallel: Parallel) -> UpdateLoader:
    corpus = ListCorpus(recipe.items, seed=1, even=recipe.even, poisoned=recipe.poisoned, family=recipe.family)
    plan = UpdatePlan(
        [WeightedSegment(0, recipe.items)], corpus.measure, Budget(tokens=recipe.batch_tokens), recipe.seed
    )
    return UpdateLoader(plan, corpus, corpus.measure, tiny_task(recipe), recipe.max_tokens, parallel)


def tiny_optimizer(recipe: Recipe, module: TrainingModule | Strategy) -> Optimizer:
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
    optimizer: Callable[[TrainingModule | Strategy], Optimizer] | None = None,
) -> tuple[Trainer, TrainingModule]:
    """Build a trainer as the train step does, and return it with its module."""
    parallel = parallel or Parallel(torch.device("cpu"))
    reporter = reporter or Recorder()
    strategy = chosen_strategy(recipe.strategy, tiny_module(recipe), parallel)
    valid = ListCorpus(15, seed=2, family=recipe.family)
    higher_is_better = recipe.text_score is not None and recipe.text_score.higher_is_better
    selection = Selection(recipe.metric, higher_is_better, recipe.average_last)
    trainer = Trainer(
        strategy,
        tiny_optimizer(recipe, strategy) if optimizer is None else optimizer(strategy),
        lambda progress: recipe.lr * falling(progress),
        tiny_loader(recipe, parallel),
        Validator(
            15,
            valid,
            valid.measure,
            tiny_task(recipe),
            recipe.max_tokens,
            recipe.precision,
            parallel,
            recipe.text_score,
        ),
        Checkpoints(work, selection, reporter, recipe.non_finite.needs),
        Incidents(work, lambda item: {"text": f"item {item}"}),
        parallel,
        TrainerSettings(
            seed=recipe.seed,
            limits=Limits(recipe.max_updates, recipe.max_epochs, recipe.patience),
            selection=selection,
            clip_norm=recipe.clip_norm,
            non_finite=recipe.non_finite,
            precision=recipe.precision,
            validate_every=recipe.validate_every,
            checkpoint_every=recipe.checkpoint_every,
            stop_min_lr=recipe.stop_min_lr,
            log_every=recipe.log_every,
            environment={"torch": torch.__version__, "max_tokens": recipe.max_tokens},
            ema_decay=recipe.ema_decay,
        ),
        reporter,
        stop or StopRequest(),
        Profiler(recipe.profile, work / "trace.0.json.gz", reporter),
    )
    return trainer, strategy.module
