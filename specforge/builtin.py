"""The components that come with specforge, declared through the same hook as a stranger's.

Strings only: reading this list imports neither torch nor any component. Named architectures are values, kept beside the
model they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from specforge.metrics.rouge.variants import PRESETS as ROUGE_PRESETS
from specforge.models.fconv.architectures import PRESETS as FCONV_PRESETS
from specforge.models.transformer.architectures import PRESETS as TRANSFORMER_PRESETS
from specforge.models.transformer_lm.architectures import PRESETS as TRANSFORMER_LM_PRESETS
from specforge.plugin import Component, Preset, hookimpl

_TASKS: Final = (
    Component(
        kind="task",
        name="translation",
        config="specforge.tasks.translation.config:TranslationConfig",
        factory="specforge.tasks.translation.task:build",
        summary="from text in one language to text in another",
    ),
    Component(
        kind="task",
        name="language_modeling",
        config="specforge.tasks.language_modeling.config:LanguageModelingConfig",
        factory="specforge.tasks.language_modeling.task:build",
        summary="every symbol of a text from those before it; a test says the perplexity",
    ),
    Component(
        kind="task",
        name="sentence_classification",
        config="specforge.tasks.sentence_classification.config:SentenceClassificationConfig",
        factory="specforge.tasks.sentence_classification.task:build",
        summary="a label for each text",
    ),
)

_TOKENIZERS: Final = (
    Component(
        kind="tokenizer",
        name="sentencepiece",
        config="specforge.tokenizers.sentencepiece.config:SentencePieceConfig",
        factory="specforge.tokenizers.sentencepiece.tokenizer:build",
        summary="subword pieces learned from the training text (Kudo & Richardson 2018)",
    ),
    Component(
        kind="tokenizer",
        name="whitespace",
        config="specforge.tokenizers.whitespace.config:WhitespaceConfig",
        factory="specforge.tokenizers.whitespace.tokenizer:build",
        summary="pieces as they stand in the text, between spaces",
    ),
)

_MODELS: Final = (
    Component(
        kind="model",
        name="transformer",
        config="specforge.models.transformer.config:TransformerConfig",
        factory="specforge.models.transformer.model:build",
        summary="self-attention encoder-decoder (Vaswani et al. 2017)",
    ),
    Component(
        kind="model",
        name="fconv",
        config="specforge.models.fconv.config:FConvConfig",
        factory="specforge.models.fconv.model:build",
        summary="convolutional encoder-decoder (Gehring et al. 2017)",
    ),
    Component(
        kind="model",
        name="transformer_lm",
        config="specforge.models.transformer_lm.config:TransformerLMConfig",
        factory="specforge.models.transformer_lm.model:build",
        summary="decoder-only transformer, for language modelling",
    ),
    Component(
        kind="model",
        name="transformer_classifier",
        config="specforge.models.transformer_classifier.config:TransformerClassifierConfig",
        factory="specforge.models.transformer_classifier.model:build",
        summary="encoder-only transformer with a head for labels",
    ),
)

_CRITERIONS: Final = (
    Component(
        kind="criterion",
        name="cross_entropy",
        config="specforge.criterions.cross_entropy.config:CrossEntropyConfig",
        factory="specforge.criterions.cross_entropy.loss:build",
        summary="negative log-likelihood of the target",
    ),
    Component(
        kind="criterion",
        name="label_smoothed_cross_entropy",
        config="specforge.criterions.label_smoothed_cross_entropy.config:LabelSmoothedCrossEntropyConfig",
        factory="specforge.criterions.label_smoothed_cross_entropy.loss:build",
        summary="cross entropy with a share of the target spread over the other types (Szegedy et al. 2016)",
    ),
)

_OPTIMIZERS: Final = (
    Component(
        kind="optimizer",
        name="adam",
        config="specforge.optimizers.adam.config:AdamConfig",
        factory="specforge.optimizers.adam.optimizer:build",
        summary="Adam with decoupled weight decay (Kingma & Ba 2015, Loshchilov & Hutter 2019)",
    ),
    Component(
        kind="optimizer",
        name="adamw",
        config="specforge.optimizers.adamw.config:AdamWConfig",
        factory="specforge.optimizers.adamw.optimizer:build",
        summary="Adam with decoupled weight decay, PyTorch's defaults, amsgrad and a choice of kernels",
    ),
    Component(
        kind="optimizer",
        name="sgd",
        config="specforge.optimizers.sgd.config:SgdConfig",
        factory="specforge.optimizers.sgd.optimizer:build",
        summary="stochastic gradient descent, with momentum where asked",
    ),
    Component(
        kind="optimizer",
        name="nag",
        config="specforge.optimizers.nag.config:NagConfig",
        factory="specforge.optimizers.nag.optimizer:build",
        summary="Nesterov's accelerated gradient, in fairseq's form",
    ),
    Component(
        kind="optimizer",
        name="adafactor",
        config="specforge.optimizers.adafactor.config:AdafactorConfig",
        factory="specforge.optimizers.adafactor.optimizer:build",
        summary="adaptive steps with little memory, in fairseq's form (Shazeer & Stern 2018)",
    ),
)

_LR_SCHEDULERS: Final = (
    Component(
        kind="lr_scheduler",
        name="inverse_sqrt",
        config="specforge.lr_schedulers.inverse_sqrt:InverseSqrtConfig",
        factory="specforge.lr_schedulers.inverse_sqrt:build",
        summary="linear warm-up, then decay with the inverse square root of the update number",
    ),
    Component(
        kind="lr_scheduler",
        name="fixed",
        config="specforge.lr_schedulers.fixed:FixedConfig",
        factory="specforge.lr_schedulers.fixed:build",
        summary="constant, then shrunk at every epoch from a given one on",
    ),
    Component(
        kind="lr_scheduler",
        name="cosine",
        config="specforge.lr_schedulers.cosine:CosineConfig",
        factory="specforge.lr_schedulers.cosine:build",
        summary="linear warm-up, then half a cosine to the end of training, or one after the other (SGDR)",
    ),
    Component(
        kind="lr_scheduler",
        name="polynomial_decay",
        config="specforge.lr_schedulers.polynomial_decay:PolynomialDecayConfig",
        factory="specforge.lr_schedulers.polynomial_decay:build",
        summary="linear warm-up, then down to a given rate along a line or another power",
    ),
    Component(
        kind="lr_scheduler",
        name="tri_stage",
        config="specforge.lr_schedulers.tri_stage:TriStageConfig",
        factory="specforge.lr_schedulers.tri_stage:build",
        summary="linear warm-up, a constant stage, then exponential decay (Park et al. 2019)",
    ),
    Component(
        kind="lr_scheduler",
        name="reduce_lr_on_plateau",
        config="specforge.lr_schedulers.reduce_lr_on_plateau:ReduceLROnPlateauConfig",
        factory="specforge.lr_schedulers.reduce_lr_on_plateau:build",
        summary="constant, then shrunk whenever validation has got no better for a while",
    ),
)

_SEARCHES: Final = (
    Component(
        kind="search",
        name="beam",
        config="specforge.searches.beam.config:BeamConfig",
        factory="specforge.searches.beam.search:build",
        summary="beam search with a length penalty",
    ),
    Component(
        kind="search",
        name="greedy",
        config="specforge.searches.greedy.config:GreedyConfig",
        factory="specforge.searches.greedy.search:build",
        summary="the most probable symbol at every step",
    ),
    Component(
        kind="search",
        name="sampling",
        config="specforge.searches.sampling.config:SamplingConfig",
        factory="specforge.searches.sampling.search:build",
        summary="symbols drawn by their probability, of all or of the likeliest (top-k, top-p)",
    ),
    Component(
        kind="search",
        name="diverse_beam",
        config="specforge.searches.diverse_beam.config:DiverseBeamConfig",
        factory="specforge.searches.diverse_beam.search:build",
        summary="several beams that keep away from each other (Vijayakumar et al. 2016)",
    ),
    Component(
        kind="search",
        name="constrained",
        config="specforge.searches.constrained.config:ConstrainedConfig",
        factory="specforge.searches.constrained.search:build",
        summary="beam search whose outputs hold given phrases (Post & Vilar 2018)",
    ),
)

_METRICS: Final = (
    Component(
        kind="metric",
        name="bleu",
        config="specforge.metrics.bleu.config:BleuConfig",
        factory="specforge.metrics.bleu.metric:build",
        summary="BLEU by sacrebleu (Papineni et al. 2002, Post 2018)",
    ),
    Component(
        kind="metric",
        name="chrf",
        config="specforge.metrics.chrf.config:ChrfConfig",
        factory="specforge.metrics.chrf.metric:build",
        summary="character n-gram F-score by sacrebleu (Popović 2015)",
    ),
    Component(
        kind="metric",
        name="ter",
        config="specforge.metrics.ter.config:TerConfig",
        factory="specforge.metrics.ter.metric:build",
        summary="translation edit rate by sacrebleu (Snover et al. 2006)",
    ),
    Component(
        kind="metric",
        name="rouge",
        config="specforge.metrics.rouge.config:RougeConfig",
        factory="specforge.metrics.rouge.metric:build",
        summary="overlap of summaries by rouge-score, F1 (Lin 2004; an extra)",
    ),
    Component(
        kind="metric",
        name="exact_match",
        config="specforge.metrics.exact_match.config:ExactMatchConfig",
        factory="specforge.metrics.exact_match.metric:build",
        summary="percentage of outputs that equal their reference",
    ),
    Component(
        kind="metric",
        name="accuracy",
        config="specforge.metrics.accuracy.config:AccuracyConfig",
        factory="specforge.metrics.accuracy.metric:build",
        summary="percentage of labels that are right",
    ),
    Component(
        kind="metric",
        name="f1",
        config="specforge.metrics.f1.config:F1Config",
        factory="specforge.metrics.f1.metric:build",
        summary="F1 of the labels, averaged over labels (macro)",
    ),
)

_TRACKERS: Final = (
    Component(
        kind="tracker",
        name="tensorboard",
        config="specforge.trackers.tensorboard.config:TensorBoardConfig",
        factory="specforge.trackers.tensorboard.tracker:build",
        summary="event files for TensorBoard, in the run's folder (an extra)",
    ),
)


@hookimpl
def specforge_components() -> Sequence[Component | Preset]:
    """Return all built-in components and the named architectures of the models."""
    return (
        *_TASKS,
        *_TOKENIZERS,
        *_MODELS,
        *_CRITERIONS,
        *_OPTIMIZERS,
        *_LR_SCHEDULERS,
        *_SEARCHES,
        *_METRICS,
        *_TRACKERS,
        *TRANSFORMER_PRESETS,
        *TRANSFORMER_LM_PRESETS,
        *FCONV_PRESETS,
        *ROUGE_PRESETS,
    )
