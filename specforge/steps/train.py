"""The train step: builds what the job describes, trains it, and publishes `best/`, `last/` and `average/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from pydantic import JsonValue
from torch import Tensor

from specforge.data.batching import (
    Items,
    Measure,
    UpdatePlan,
    check_items,
    micro_batches,
)
from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.events import Reporter, SilentReporter
from specforge.foundation.seeds import derived_seed
from specforge.foundation.text_files import read_lines
from specforge.generation.generator import Generator
from specforge.language.schema import RunSection, TrainSection, interval_parts
from specforge.plugin import OptimizerConfig
from specforge.steps.devices import chosen_device
from specforge.steps.model_folder import model_context, write_model_folder
from specforge.steps.pace import report_pace
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
from specforge.steps.prepared import measure_of, open_prepared, positions_of, update_budget
from specforge.steps.tokenizer import tokenizer_files
from specforge.training.checkpoints import Checkpoints
from specforge.training.loading import UpdateLoader
from specforge.training.parallel import Parallel, TrainingModule, joined
from specforge.training.state import Limits, Selection, Validation
from specforge.training.stopping import StopRequest, stop_on_sigterm
from specforge.training.trainer import Every, Outcome, Trainer, TrainerSettings
from specforge.training.validation import TextScore, Validator
from specforge.training.weights import average_weights, module_weights, read_weights

_LOSSES: Final = frozenset({"loss", "ppl"})


def run(job: Job, reporter: Reporter) -> None:
    """Train, and fill the job's output with `best/`, `last/`, `average/` and `history.json`.

    Raises:
        WrongInputError: SF506, an item is longer than an update, a micro-batch or the model's positions; SF504, nothing
            to train on.
        EnvironmentFaultError: SF604, there is no such device.
        StoppedRunError, StepFailedError, CorruptStateError: as `Trainer.train`.
    """
    assert job.work is not None
    assert job.output is not None
    where = RunSection.model_validate(job.settings["run"])
    device = chosen_device(job.settings, job.rank)
    rendezvous = None if job.rendezvous is None else Path(job.rendezvous)
    with stop_on_sigterm() as stop, joined(device, job.rank, job.world, rendezvous) as parallel:
        training = _Training(job, where, parallel, reporter if parallel.main else SilentReporter(), stop)
        outcome = training.trainer.train()
        parallel.on_main(lambda: training.publish(outcome, Path(str(job.output))))


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
        self._prepared = open_prepared(Path(job.needs["preprocess"]), job.settings["data"])
        self._task = make_task(job.settings["task"])
        self._module = self._build_module()
        text_score = self._text_score()
        selection = self._selection(text_score)
        self._checkpoints = Checkpoints(Path(job.work), selection, reporter)
        self._selected = selection
        parameters = self._module.trainable()
        _, optimizer_config = configured("optimizer", job.settings["optimizer"])
        assert isinstance(optimizer_config, OptimizerConfig)
        loader = self._loader()
        self.trainer = Trainer(
            self._module,
            make_optimizer(job.settings["optimizer"], parameters),
            make_schedule(job.settings["lr_scheduler"], optimizer_config.lr),
            loader,
            self._validator(text_score),
            self._checkpoints,
            parallel,
            self._trainer_settings(selection),
            reporter,
            stop,
        )

    @property
    def _seed(self) -> int:
        seed = self._settings["seed"]
        assert isinstance(seed, int)
        return seed

    def _build_module(self) -> TrainingModule:
        context = model_context(self._prepared.vocabularies, joined=self._prepared.joined)
        torch.manual_seed(derived_seed(self._seed, "first weights"))
        model = make_model(self._settings["model"], context)
        criterion = make_criterion(self._settings["criterion"], context)
        return TrainingModule(self._task, model, criterion).to(self._parallel.device).train()

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
                f"{pieces} micro-batches; {enough:,} would give work to all"
            )

    def _validator(self, text_score: TextScore | None) -> Validator:
        valid, limit = self._prepared.valid, self._where.max_tokens
        measure = measure_of(valid, self._task)
        check_items(len(valid), measure, "validation data", limit, None, positions_of(valid, self._module.model))
        return Validator(
            len(valid), valid, measure, self._task, limit, self._train.precision, self._parallel, text_score
        )

    def _text_score(self) -> TextScore | None:
        """Return how validation judges decoded text: by `best_metric`, else by the task's own metric."""
        if self._settings.get("valid_search") is None:
            return None
        table = self._settings.get("valid_metric")
        name = self._train.best_metric
        if table is None:
            name = task_config(self._settings["task"]).defaults["metric"]
            table = {"use": name}
        metric = make_metric(table)
        folder, valid = self._prepared.folder, self._prepared.valid
        tokenizer = make_tokenizer(self._settings["tokenizer"])
        tokenizer.load(tokenizer_files(folder))
        generator = Generator(
            self._module.model,
            make_search(self._settings["valid_search"]),
            self._prepared.vocabularies,
            tokenizer,
            self._where.max_tokens,
            self._parallel.device,
        )
        references = list(read_lines(folder / "valid.target.txt"))

        def decode(numbers: Sequence[int]) -> list[str]:
            found = generator.generate([valid.item(number)["source"] for number in numbers])
            return [generator.text(hypotheses[0]) for hypotheses in found]

        def score(lines: Sequence[str]) -> float:
            return metric.score(lines, [references]).value

        return TextScore(name, metric.higher_is_better, decode, score)

    def _selection(self, text_score: TextScore | None) -> Selection:
        metric = self._train.best_metric
        higher_is_better = metric not in _LOSSES and text_score is not None and text_score.higher_is_better
        return Selection(metric, higher_is_better, self._train.average_last)

    def _trainer_settings(self, selection: Selection) -> TrainerSettings:
        train, where = self._train, self._where
        return TrainerSettings(
            seed=self._seed,
            limits=Limits(train.max_updates, train.max_epochs, train.patience),
            selection=selection,
            clip_norm=train.clip_norm,
            precision=train.precision,
            validate_every=_every(train.validate_every),
            checkpoint_every=_every(train.checkpoint_every),
            stop_min_lr=train.stop_min_lr,
            log_every=where.log_every,
            environment={
                "torch": torch.__version__,
                "device": self._parallel.device.type,
                "devices": self._parallel.world,
                "threads": torch.get_num_threads(),
                "processor": torch.backends.cpu.get_cpu_capability(),
                "max_tokens": where.max_tokens,
            },
        )

    def publish(self, outcome: Outcome, output: Path) -> None:
        """Fill the output folder.

        Args:
            outcome: what training came to.
            output: the private folder of the result.
        """
        state, selected = outcome.state, self._selected
        last = module_weights(self._module.model)
        best = selected.best(state.validations)
        averaged = selected.averaged(state.validations)
        end: dict[str, JsonValue] = {
            "updates": state.updates,
            "epoch": state.last_epoch,
            "valid": {**outcome.last_values},
        }
        self._write(output / "last", last, end)
        if best is None:
            self._reporter.message(
                "nothing was validated on the way: the last weights are also the best and the average"
            )
            self._write(output / "best", last, end)
            self._write(output / "average", last, end)
        else:
            self._write(output / "best", read_weights(self._checkpoints.snapshot_path(best.snapshot)), _facts(best))
            mean = average_weights(self._checkpoints.snapshot_path(one.snapshot) for one in averaged)
            self._write(output / "average", mean, {"averaged_updates": [one.updates for one in averaged]})
        history: dict[str, JsonValue] = {
            "format": 1,
            "best_metric": selected.metric,
            "best_updates": None if best is None else best.updates,
            "ending": outcome.ending,
            "last": end,
            "tokens": state.tokens,
            "validations": [_facts(validation) for validation in state.validations],
        }
        durable.write_json(output / "history.json", history)
        report_pace(self._job, state, self._reporter)

    def _write(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, JsonValue]) -> None:
        write_model_folder(folder, weights, self._settings, self._prepared.folder, facts)


def _every(interval: str) -> Every:
    count, unit = interval_parts(interval)
    assert unit in {"update", "epoch", "minute"}
    return Every(count, unit)  # type: ignore[arg-type]


def _facts(validation: Validation) -> dict[str, JsonValue]:
    return {"updates": validation.updates, "epoch": validation.epoch, "valid": {**validation.values}}
