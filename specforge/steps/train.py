"""The train step: builds what the job describes, trains it, and publishes `best/`, `last/`, `average/`, and `average_best/` where asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import torch

from specforge.data.batching import (
    Items,
    Measure,
    UpdatePlan,
    check_items,
    micro_batches,
)
from specforge.execution.job import Job
from specforge.foundation.errors import EnvironmentFaultError, WrongInputError
from specforge.foundation.events import Reporter, SilentReporter
from specforge.foundation.heartbeat import Heart
from specforge.foundation.seeds import derived_seed
from specforge.foundation.text_files import read_lines
from specforge.generation.generator import Generator
from specforge.language.schema.run import RunSection
from specforge.language.schema.section import interval_parts
from specforge.language.schema.train import NonFinite, TrainSection
from specforge.models.model import EncoderDecoder, Model
from specforge.plugin import OptimizerConfig
from specforge.searches.scorer import ModelScorer
from specforge.steps.devices import chosen_device
from specforge.steps.parts import (
    configured,
    make_criterion,
    make_metric,
    make_model,
    make_optimizer,
    make_schedule,
    make_search,
    make_task,
    make_tokenizer,
    task_config,
)
from specforge.steps.predicting import Predictor
from specforge.steps.prepared import described, measure_of, open_prepared, positions_of, update_budget
from specforge.steps.tokenizer import tokenizer_files
from specforge.steps.training_result import TrainingResult
from specforge.training.checkpoints import Checkpoints
from specforge.training.determinism import deterministic
from specforge.training.incidents import Incidents
from specforge.training.layers import checkpoint_layers, compile_layers, compiling
from specforge.training.loading import UpdateLoader
from specforge.training.memory_probe import MemoryProbe
from specforge.training.module import TrainingModule
from specforge.training.non_finite import NonFinitePolicy
from specforge.training.parallel.choice import chosen_strategy
from specforge.training.parallel.joining import joined
from specforge.training.parallel.process import Parallel
from specforge.training.precision import Precision
from specforge.training.profiling import Profiler, Window
from specforge.training.rendezvous import Store, file_store, master_store
from specforge.training.settings import Every, Outcome, TrainerSettings
from specforge.training.state import Limits, Selection
from specforge.training.stopping import StopRequest, stop_on_sigterm
from specforge.training.trainer import Trainer
from specforge.training.validation import TextScore, Validator

_LEAST_PATIENCE: Final = 600  # seconds

_LOSSES: Final = frozenset({"loss", "ppl"})
_ROLLBACKS: Final = 3  # as the schema says


def run(job: Job, reporter: Reporter) -> None:
    """Train, and fill the job's output with a folder for each kind of weights, and `history.json`.

    Raises:
        WrongInputError: SF506, an item is longer than an update, a micro-batch or the model's positions; SF504, nothing
            to train on.
        EnvironmentFaultError: SF604, there is no such device; SF677, fp16 needs another one; SF678, SF679, out of memory;
            SF685, the layers cannot be compiled.
        StoppedRunError, StepFailedError, CorruptStateError: as `Trainer.train`.
    """
    assert job.work is not None
    assert job.output is not None
    where = RunSection.model_validate(job.settings["run"])
    device = chosen_device(job.settings, job.local_rank)
    # Who hangs is to be found by its heartbeat, before the others are tired of waiting for it.
    patience = timedelta(seconds=max(_LEAST_PATIENCE, 2 * where.hang_timeout))
    meeting = joined(device, job.rank, job.world, _meeting_place(job), Heart(job.beats), patience)
    wanted = TrainSection.model_validate(job.settings["train"])
    _refuse_fp16_without_cuda(wanted.precision, device)
    with (
        deterministic(wanted=wanted.deterministic),
        compiling(wanted=where.compile),
        stop_on_sigterm() as stop,
        meeting as parallel,
    ):
        training = _Training(job, where, parallel, reporter if parallel.main else SilentReporter(), stop)
        training.check_memory()
        with closing(training.profiler):
            outcome = training.trainer.train()
        training.result.say_ending(outcome)
        training.publish(outcome, Path(str(job.output)))


def _meeting_place(job: Job) -> Callable[[], Store] | None:
    """Return what opens the store where the processes meet, or None where there is one alone."""
    if job.master is not None:
        return partial(master_store, job.master, job.attempt)
    return None if job.rendezvous is None else partial(file_store, Path(job.rendezvous), job.world)


class _Training:
    """Everything that a job builds.

    Args:
        job: the job.
        where: its `run` table.
        parallel: this process among those that train.
        reporter: hears what happens.
        stop: whether somebody asks for a stop.
    """

    def __init__(self, job: Job, where: RunSection, parallel: Parallel, reporter: Reporter, stop: StopRequest) -> None:
        assert job.work is not None
        self._job = job
        self._settings = job.settings
        self._train = TrainSection.model_validate(job.settings["train"])
        self._where = where
        self._parallel = parallel
        self._reporter = reporter
        self._task = make_task(job.settings["task"])
        self._prepared = open_prepared(Path(job.needs["preprocess"]), self._task, job.settings["data"])
        self._module = self._build_module()
        self._strategy = chosen_strategy(where.strategy, self._module, parallel)
        text_score = self._text_score()
        selection = self._selection(text_score)
        policy = _non_finite_policy(self._train.non_finite)
        self._checkpoints = Checkpoints(
            Path(job.work),
            selection,
            reporter,
            policy.needs,
            keep_last=self._train.keep_last,
            at_work=parallel.heart.at_work,
        )
        incidents = Incidents(Path(job.work), partial(described, self._prepared))
        self.result = TrainingResult(
            job, selection, self._checkpoints, self._prepared.folder, reporter, parallel.heart.at_work
        )
        _, optimizer_config = configured("optimizer", job.settings["optimizer"])
        assert isinstance(optimizer_config, OptimizerConfig)
        if self._strategy.together and not optimizer_config.elementwise:
            # Under a launcher the spec does not say how many devices there are, and could not be refused before.
            raise WrongInputError(
                "SF301",
                f"the optimizer looks at whole tensors, and with `fsdp` on {parallel.world} devices each has a part",
                help='write `run.strategy = "ddp"`, or take another optimizer',
            )
        self._optimizer = make_optimizer(job.settings["optimizer"], self._strategy.trainable())
        loader = self._loader()
        self.profiler = self._profiler()
        self.trainer = Trainer(
            self._strategy,
            self._optimizer,
            make_schedule(job.settings["lr_scheduler"], optimizer_config.lr),
            loader,
            self._validator(text_score),
            self._checkpoints,
            incidents,
            parallel,
            self._trainer_settings(selection, policy),
            reporter,
            stop,
            self.profiler,
        )

    @property
    def _seed(self) -> int:
        seed = self._settings["seed"]
        assert isinstance(seed, int)
        return seed

    def _build_module(self) -> TrainingModule:
        context = self._prepared.context
        torch.manual_seed(derived_seed(self._seed, "first weights"))
        model = make_model(self._settings["model"], context)
        criterion = make_criterion(self._settings["criterion"], context)
        self._prepare_layers(model)
        return TrainingModule(self._task, model, criterion).train()

    def _prepare_layers(self, model: Model) -> None:
        where = self._where
        asked = [key for key in ("compile", "activation_checkpointing") if getattr(where, key)]
        if asked and not model.blocks():
            keys = " and ".join(f"`run.{key}`" for key in asked)
            self._reporter.warning(f"{keys}: this model does not name its layers, so nothing comes of it")
        if where.compile and model.blocks():
            self._reporter.message("layers are compiled when they first compute: the first updates take longer")
            compile_layers(model)
        if where.activation_checkpointing:
            checkpoint_layers(model)

    def _loader(self) -> UpdateLoader:
        train, prepared = self._train, self._prepared
        measure = measure_of(prepared.train, self._task)
        budget = update_budget(train, self._settings["task"])
        longest = positions_of(prepared.train, self._module.model)
        check_items(len(prepared.train), measure, "training data", self._where.max_tokens, budget, longest)
        plan = UpdatePlan(prepared.segments, measure, budget, self._seed)
        self._warn_of_idle_devices(next(plan.updates(epoch=1)).items, measure)
        return UpdateLoader(plan, prepared.train, measure, self._task, self._where.max_tokens, self._parallel)

    def _warn_of_idle_devices(self, items: Items, measure: Measure) -> None:
        widths, world = measure(items).width, self._parallel.world
        pieces = len(micro_batches(items, widths, self._where.max_tokens))
        if pieces < world:
            enough = max(int(widths.max()), int(widths.sum()) // world)
            self._reporter.warning(
                f"{world - pieces} of {world} devices have nothing to do, since `run.max_tokens` cuts an update into "
                f"{pieces} micro-batch{'es' * (pieces > 1)}; {enough:,} would give work to all"
            )

    def _profiler(self) -> Profiler:
        wanted, folder = self._where.profile, self._job.traces
        if wanted is None or folder is None:
            return Profiler(None, Path(), self._reporter)
        trace = Path(folder) / f"trace.{self._parallel.rank}.json.gz"
        return Profiler(Window(wanted.after, wanted.updates), trace, self._reporter)

    def _validator(self, text_score: TextScore | None) -> Validator:
        valid, limit = self._prepared.valid, self._where.max_tokens
        measure = measure_of(valid, self._task)
        check_items(len(valid), measure, "validation data", limit, None, positions_of(valid, self._module.model))
        return Validator(
            len(valid), valid, measure, self._task, limit, self._train.precision, self._parallel, text_score
        )

    def _text_score(self) -> TextScore | None:
        """Return how validation judges outputs: by `best_metric`, else by the task's own metric."""
        task = task_config(self._settings["task"])
        if "generate" not in task.test_steps or (task.searches and self._settings.get("valid_search") is None):
            return None
        table = self._settings.get("valid_metric")
        name = self._train.best_metric
        if table is None:
            name = task.defaults["metric"]
            table = {"use": name}
        metric = make_metric(table)
        references = list(read_lines(self._prepared.folder / f"valid.{task.predicted}.txt"))
        decode = self._decoder(task.columns()[0].role) if task.searches else self._predictor(task.predicted)

        def score(lines: Sequence[str]) -> float:
            return metric.score(lines, [references]).value

        return TextScore(name, metric.higher_is_better, decode, score)

    def _predictor(self, role: str) -> Callable[[Sequence[int]], list[str]]:
        """Return what predicts the labels of validation items."""
        valid, labels = self._prepared.valid, self._prepared.labels[role]
        predictor = Predictor(self._task, self._module.model, labels, self._parallel.device)
        return lambda numbers: predictor.labels([valid.item(number) for number in numbers])

    def _decoder(self, role: str) -> Callable[[Sequence[int]], list[str]]:
        """Return what decodes validation items."""
        folder, valid, model = self._prepared.folder, self._prepared.valid, self._module.model
        assert isinstance(model, EncoderDecoder), "only tasks of such models search"
        tokenizer = make_tokenizer(self._settings["tokenizer"])
        tokenizer.load(tokenizer_files(folder))
        generator = Generator(
            ModelScorer(model),
            make_search(self._settings["valid_search"]),
            self._prepared.vocabularies,
            tokenizer,
            self._where.max_tokens,
            self._parallel.device,
        )

        def decode(numbers: Sequence[int]) -> list[str]:
            found = generator.generate([valid.item(number)[role] for number in numbers])
            return [generator.text(hypotheses[0]) for hypotheses in found]

        return decode

    def _selection(self, text_score: TextScore | None) -> Selection:
        metric = self._train.best_metric
        higher_is_better = metric not in _LOSSES and text_score is not None and text_score.higher_is_better
        train = self._train
        return Selection(metric, higher_is_better, train.average_last, train.average_best or 0, train.keep_best)

    def _trainer_settings(self, selection: Selection, policy: NonFinitePolicy) -> TrainerSettings:
        train, where = self._train, self._where
        return TrainerSettings(
            seed=self._seed,
            limits=Limits(train.max_updates, train.max_epochs, train.patience),
            selection=selection,
            clip_norm=train.clip_norm,
            non_finite=policy,
            precision=train.precision,
            validate_every=_every(train.validate_every),
            checkpoint_every=_every(train.checkpoint_every),
            stop_min_lr=train.stop_min_lr,
            log_every=where.log_every,
            environment={
                "torch": torch.__version__,
                "device": self._parallel.device.type,
                "devices": self._parallel.world,
                "strategy": where.strategy if self._parallel.world > 1 else "ddp",
                "threads": torch.get_num_threads(),
                "processor": torch.backends.cpu.get_cpu_capability(),
                "max_tokens": where.max_tokens,
                "precision": train.precision,
                "kernels": "compiled" if where.compile else "eager",
            },
            ema_decay=train.ema_decay,
        )

    def check_memory(self) -> None:
        """Try the largest micro-batch that may come.

        Raises:
            EnvironmentFaultError: SF678, it does not fit.
        """
        corpus = self._prepared.train
        probed = MemoryProbe(
            self._strategy,
            self._optimizer,
            self._task,
            corpus,
            measure_of(corpus, self._task),
            len(corpus),
            update_budget(self._train, self._settings["task"]),
            self._train.precision,
            self._parallel,
        ).check(self._where.max_tokens)
        if probed is not None:
            self._reporter.message(
                f"the largest micro-batch needs {probed.peak / 2**30:.1f} GiB of the {probed.total / 2**30:.1f} GiB of "
                f"{self._parallel.device}"
            )

    def publish(self, outcome: Outcome, output: Path) -> None:
        """Fill the output folder; all processes do this together.

        Args:
            outcome: what training came to.
            output: the private folder of the result.
        """
        with self.trainer.published_weights():
            last = self._strategy.whole_weights(self._module.model)
            self._parallel.on_main(lambda: self.result.write(outcome, last, output))


def _refuse_fp16_without_cuda(precision: Precision, device: torch.device) -> None:
    if precision == "fp16" and device.type != "cuda":
        raise EnvironmentFaultError(
            "SF677",
            f'`train.precision = "fp16"` needs a CUDA device, and training is on {device.type}',
            help='write `precision = "bf16"` or `"fp32"`',
        )


def _non_finite_policy(section: NonFinite | None) -> NonFinitePolicy:
    if section is None or section.rollback is None:
        return NonFinitePolicy(skip=section.skip or 0 if section else 0)
    leave_out = section.leave_out or 2 * section.rollback
    return NonFinitePolicy(rollback=section.rollback, leave_out=leave_out, at_most=section.at_most or _ROLLBACKS)


def _every(interval: str) -> Every:
    count, unit = interval_parts(interval)
    assert unit in {"update", "epoch", "minute"}
    return Every(count, unit)  # type: ignore[arg-type]
