"""What `specforge test` finds out about a part of an experiment. A worker fills it in (`specforge.steps.test`)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Split: TypeAlias = Literal["train", "valid"]
TokenizerOrigin: TypeAlias = Literal["result", "sample", "untrained"]


class _Figures(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class DataSource(_Figures):
    """Which data a trial used.

    Args:
        prepared: whether they are the result of preprocess; if not, a sample was prepared for the trial alone.
        rows: training rows of the text that were read for the sample; 0 where the data are prepared.
        lines: of all training corpora, held-out ones counted; None where that is not known.
        whole: whether nothing is left out: the data are prepared, or the sample is all of the text.
        tokenizer: where the pieces come from: a tokenizer `result`, a tokenizer that learned from the `sample`, or one that
            needs no learning (`untrained`).
    """

    prepared: bool
    rows: int
    lines: int | None
    whole: bool
    tokenizer: TokenizerOrigin


class Spread(_Figures):
    """A number that differs from one to the next: its mean and its maximum."""

    mean: float
    most: int


class Cut(_Figures):
    """A line of the text in pieces."""

    split: Split
    role: str
    text: str
    pieces: list[str]


class RoundTrip(_Figures):
    """A line that its pieces do not give back.

    Args:
        line: its line in its corpus, from 1.
        text: as it stands in the file.
        back: what its pieces are joined to.
    """

    split: Split
    role: str
    line: int
    text: str
    back: str


class SideFigures(_Figures):
    """A tokenizer on one side of one split.

    Args:
        lines: that were cut.
        words: in them, between white space.
        tokens: pieces of all lines, without ends of sentence.
        characters: of all lines, spaces counted.
        unknown: pieces that are not in the vocabulary.
        changed: lines that do not come back from their pieces.
        longest: pieces of the longest line.
        longest_line: its line in its corpus, from 1.
    """

    split: Split
    role: str
    lines: int
    words: int
    tokens: int
    characters: int
    unknown: int
    changed: int
    longest: int
    longest_line: int


class TokenizerFindings(_Figures):
    """How a tokenizer cuts.

    Args:
        types: role → size of the vocabulary, special symbols and fillers counted.
        vocabulary: whether `types` and unknown pieces are those of preprocess, or are counted in the lines read here.
        sides: one entry for each split and role.
        cuts: a few lines.
        changed: the first line of each side that does not come back.
    """

    kind: Literal["tokenizer"] = "tokenizer"
    types: dict[str, int]
    vocabulary: Literal["preprocess", "sample"]
    sides: list[SideFigures]
    cuts: list[Cut]
    changed: list[RoundTrip]


class LengthBucket(_Figures):
    """How many items have a length.

    Args:
        shortest, longest: in tokens, the end of sentence counted, both included.
        items: role → how many items.
    """

    shortest: int
    longest: int
    items: dict[str, int]


class Example(_Figures):
    """An item as the model gets it: role → pieces, what is not in the vocabulary as `<unk>`."""

    pieces: dict[str, list[str]]


class DataFindings(_Figures):
    """How data are read and batched.

    Args:
        read, kept: training items in the text, and after the filters of preprocess.
        left_out: reason → training items left out.
        valid: validation items.
        rows_per_second: items of the text read in one process.
        cut_rows_per_second: items of the text read and cut in one process; None where it was not tried.
        updates: how many updates the figures below are about.
        epoch: whether they are a whole epoch.
        items_per_update, target_tokens_per_update, micro_batches_per_update: of an update.
        padding: share of the places of all batches that are padding, 0 to 1.
        batches_per_second, items_per_second, target_tokens_per_second: padded batches made in one process.
        lengths: a histogram.
        examples: a few items.
    """

    kind: Literal["data"] = "data"
    read: int
    kept: int
    left_out: dict[str, int]
    valid: int
    rows_per_second: float
    cut_rows_per_second: float | None
    updates: int
    epoch: bool
    items_per_update: Spread
    target_tokens_per_update: Spread
    micro_batches_per_update: Spread
    padding: float
    batches_per_second: float
    items_per_second: float
    target_tokens_per_second: float
    lengths: list[LengthBucket]
    examples: list[Example]


class BatchFigures(_Figures):
    """The batch that something was tried on.

    Args:
        items: in it.
        lengths: role → length that the batch is padded to.
        target_tokens: symbols to predict.
        device: where it was computed: `cpu`, `cuda`.
    """

    items: int
    lengths: dict[str, int]
    target_tokens: int
    device: str


class ModelPart(_Figures):
    """A top-level module of a model.

    Args:
        name: as the model calls it.
        parameters: shared ones with the first part that has them.
        trainable: how many of them are trained.
        gradient: norm of the gradient of the mean loss; None where nothing is trained.
    """

    name: str
    parameters: int
    trainable: int
    gradient: float | None


class ModelFindings(_Figures):
    """A model with its first weights on one batch.

    Args:
        batch: the batch.
        parts: the top-level modules.
        idle: trained parameters that the loss gives no gradient.
        loss: mean loss of a target symbol as the criterion says, in nats.
        nll: mean negative log-likelihood of a target symbol, in nats.
        uniform: the same for a model that holds every symbol equally likely: ln(types).
        forward_ms, backward_ms: median milliseconds.
        repeats: how often both were timed.
        target_tokens_per_second: forward and backward.
        memory: bytes by which the process (on a GPU: the device) grew at most, for weights, gradients and activations.
        decoding_difference: largest difference between the log-probabilities of training and of step-by-step decoding.
        padding_difference: largest difference between those of an item alone and in a batch.
    """

    kind: Literal["model"] = "model"
    batch: BatchFigures
    parts: list[ModelPart]
    idle: list[str]
    loss: float
    nll: float
    uniform: float
    forward_ms: float
    backward_ms: float
    repeats: int
    target_tokens_per_second: float
    memory: int
    decoding_difference: float
    padding_difference: float


class CriterionFindings(_Figures):
    """A criterion on one batch, with the model's first weights.

    Args:
        batch: the batch.
        loss, nll: means for a target symbol, in nats.
        uniform: negative log-likelihood where every symbol is equally likely.
        count: what the criterion divides by.
        gradient: norm of the gradient of the mean loss.
        halves_difference: how far the losses of both halves of the batch are from that of the whole, as a share of it.
    """

    kind: Literal["criterion"] = "criterion"
    batch: BatchFigures
    loss: float
    nll: float
    uniform: float
    count: int
    gradient: float
    halves_difference: float


class OptimizerFindings(_Figures):
    """An optimizer on one batch, again and again, at the full learning rate.

    Args:
        batch: the batch.
        lr: learning rate.
        losses: mean loss of a target symbol before each update and after the last.
        moved: share of the trained parameters that differ after the first update.
        change: norm of the first update's change, as a share of the norm of the weights.
        state: bytes that the optimizer keeps.
        update_ms: median milliseconds of the optimizer's step.
    """

    kind: Literal["optimizer"] = "optimizer"
    batch: BatchFigures
    lr: float
    losses: list[float]
    moved: float
    change: float
    state: int
    update_ms: float


class RatePoint(_Figures):
    """The learning rate of an update; `update` counts from 1, `epoch` is None where the data are not known."""

    update: int
    epoch: int | None
    rate: float
    what: str


class Plateau(_Figures):
    """What validations that get no better do to the learning rate.

    Args:
        validations: how many of them in a row, after the best one.
        factor: the rate that follows, as a factor of the one before.
    """

    validations: int
    factor: float


class SchedulerFindings(_Figures):
    """A learning-rate schedule over the budget.

    Args:
        updates: how many updates it was asked for.
        peak: `optimizer.lr`.
        highest: the largest rate.
        points: telling updates, in order.
        stops: the update before which `train.stop_min_lr` ends training, or None.
        plateau: what validation does to the rates, which are shown as if it got better each time; None: nothing.
    """

    kind: Literal["lr_scheduler"] = "lr_scheduler"
    updates: int
    peak: float
    highest: float
    points: list[RatePoint]
    stops: int | None
    plateau: Plateau | None = None


class Decoded(_Figures):
    """A line that was decoded: source, what came out, the reference, and the search's score in nats."""

    source: str
    hypothesis: str
    reference: str
    score: float


class SearchFindings(_Figures):
    """A search on a few lines of the validation data.

    Args:
        weights: `trained` (the checkpoint that `generate.checkpoint` names) or `first` (random).
        lines: the lines.
        sentences_per_second: how fast.
        pieces: pieces of all outputs.
    """

    kind: Literal["search"] = "search"
    weights: Literal["trained", "first"]
    lines: list[Decoded]
    sentences_per_second: float
    pieces: int


class MetricScores(_Figures):
    """A metric on texts whose order of merit is known.

    Args:
        name, signature: as in `scores.json`.
        itself: the references against themselves: the best there is.
        halved: the references without every second word.
        shuffled: each reference against another one.
    """

    name: str
    signature: str
    higher_is_better: bool
    itself: float
    halved: float
    shuffled: float


class MetricFindings(_Figures):
    """Metrics on the validation references.

    Args:
        lines: how many.
        scores: one entry for each metric.
    """

    kind: Literal["metrics"] = "metrics"
    lines: int
    scores: list[MetricScores]


Findings: TypeAlias = (
    TokenizerFindings
    | DataFindings
    | ModelFindings
    | CriterionFindings
    | OptimizerFindings
    | SchedulerFindings
    | SearchFindings
    | MetricFindings
)


class Trial(_Figures):
    """A trial as the worker reports it.

    Args:
        component: path of the table in the spec, `data`, or `generate.metrics`.
        identity: `distribution/name@version` of what was tried; for metrics all of them, for data the task.
        data: which data it used; None where it needs no training data.
        warnings: what is odd, one sentence each.
        findings: what was found.
    """

    component: str
    identity: list[str]
    data: DataSource | None
    warnings: list[str]
    findings: Annotated[Findings, Field(discriminator="kind")]
