"""Which steps a spec has, and what each of them reads: the one place that says what a result depends on.

The identity config of a step follows the tree of the spec (`model.dropout` stands at `config["model"]["dropout"]`), so that
differences can be named as the user wrote them. The settings are what the step's code gets: everything in the identity
config and what changes no result, with each component as `{"use": "distribution/name", …}`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from specforge.foundation.canonical import canonical_json
from specforge.language.normalise import SINGLE_TEST
from specforge.language.registry import config_class, load_registry
from specforge.language.schema.section import Section
from specforge.language.schema.train import TEXT_FREE_METRICS
from specforge.language.spec import CorpusFiles, Part, Spec, ValuePath
from specforge.planning.identity import component_identity
from specforge.planning.inputs import PROMPTS, TABLE, VOCABULARY, Inputs
from specforge.planning.keys import Values, identity_values
from specforge.planning.plan import InputFile, StepKind
from specforge.plugin import LRSchedulerConfig, MetricConfig

KINDS: Final[tuple[StepKind, ...]] = ("tokenizer", "preprocess", "train", "generate", "score")
"""The kinds in the order in which they run."""

_TRAIN_TABLES: Final = ("task", "tokenizer", "model", "criterion", "optimizer", "lr_scheduler")


@dataclass(frozen=True, slots=True)
class Draft:
    """A step before it has a key and a state.

    Args:
        id, kind, needs, components, inputs, config, settings: as in `specforge.planning.plan.Step`.
        steady: for train, the config without the fields that may grow; its key names the trajectory.
    """

    id: str
    kind: StepKind
    needs: tuple[str, ...]
    components: Mapping[str, str]
    inputs: tuple[InputFile, ...]
    config: Values
    settings: Values
    steady: Values | None = None


def draft_steps(spec: Spec, inputs: Inputs) -> tuple[Draft, ...]:
    """Return the steps of a spec in an order in which each comes after its needs."""
    trained = spec.learns_tokenizer
    tests = [*spec.test_corpora, *([SINGLE_TEST] if spec.held_out_test else [])]
    generates = "generate" in spec.task.test_steps
    return (
        *([_tokenizer(spec, inputs)] if trained else []),
        _preprocess(spec, inputs),
        _train(spec),
        *(_generate(spec, inputs, test) for test in tests if generates),
        *([_continue(spec, inputs)] if spec.prompt_corpus is not None else []),
        *(_score(spec, inputs, test) if generates else _measure(spec, inputs, test) for test in tests),
    )


def _tokenizer(spec: Spec, inputs: Inputs) -> Draft:
    tables = _tables(spec, ["task", "tokenizer"], "tokenizer")
    corpora: JsonValue = [_identity_of(corpus) for corpus in spec.train_corpora]
    config: Values = {"seed": spec.seed, **tables.config, "data": {"train": corpora}}
    return Draft(
        "tokenizer",
        "tokenizer",
        (),
        tables.components,
        tuple(_all_files(inputs.train)),
        config,
        {"seed": spec.seed, **tables.settings, "run": _run(spec)},
    )


def _preprocess(spec: Spec, inputs: Inputs) -> Draft:
    tables = _tables(spec, ["task", "tokenizer"], "preprocess")
    section = spec.preprocess
    if section.joined_dictionary is None:
        section = section.model_copy(update={"joined_dictionary": spec.tokenizer.joined()})
    data: Values = {"train": [_identity_of(corpus) for corpus in spec.train_corpora]}
    if spec.valid_corpus is not None:
        data["valid"] = _identity_of(spec.valid_corpus)
    config: Values = {**tables.config, "preprocess": identity_values(section), "data": data}
    if any(corpus.hold_out for corpus in spec.train_corpora):
        config["seed"] = spec.seed
    taken = [file for role, file in inputs.folders.items() if role == VOCABULARY]
    return Draft(
        "preprocess",
        "preprocess",
        ("tokenizer",) if spec.learns_tokenizer else (),
        tables.components,
        (*_all_files(inputs.train), *_all_files([] if inputs.valid is None else [inputs.valid]), *taken),
        config,
        {"seed": spec.seed, **tables.settings, "preprocess": _dumped(section), "run": _run(spec)},
    )


def _train(spec: Spec) -> Draft:
    tables = _tables(spec, _TRAIN_TABLES, "train")
    validation = _validation(spec)
    data: Values = {"train": [{"weight": corpus.weight} for corpus in spec.train_corpora]}
    shared: Values = {"seed": spec.seed, **tables.config, "data": data}
    scheduler = spec.parts["lr_scheduler",].config
    free = isinstance(scheduler, LRSchedulerConfig) and scheduler.horizon_free
    section = spec.train
    if section.batch_tokens is None and section.batch_sentences is None:
        section = section.model_copy(update={"batch_tokens": spec.task.batch_tokens})
    settings: Values = {"seed": spec.seed, **tables.settings, **validation.settings, "data": data}
    return Draft(
        "train",
        "train",
        ("preprocess",),
        tables.components | validation.components,
        (),
        {**shared, "train": identity_values(section) | validation.config},
        {**settings, "train": _dumped(section) | {"valid_search": None}, "run": _run(spec)},
        {**shared, "train": identity_values(section, growing=not free) | validation.config},
    )


def _generate(spec: Spec, inputs: Inputs, test: str) -> Draft:
    # fairseq's lines show the reference too
    roles = {spec.task.columns()[0].role, *([spec.task.predicted] if spec.generate.format == "fairseq" else [])}
    return _decode(spec, inputs, test, *_test(spec, inputs, test, roles))


def _continue(spec: Spec, inputs: Inputs) -> Draft:
    """Return the generate step of the prompts; nothing is scored after it."""
    assert spec.prompt_corpus is not None
    assert inputs.prompts is not None
    data: Values = {"data": {PROMPTS: _identity_of(spec.prompt_corpus)}}
    return _decode(spec, inputs, PROMPTS, data, tuple(_all_files([inputs.prompts])))


def _decode(spec: Spec, inputs: Inputs, name: str, data: Values, files: tuple[InputFile, ...]) -> Draft:
    tables = _tables(spec, ["task"], "generate")
    search = _tables(spec, [("generate", "search")] if spec.task.searches else [], "generate")
    section = {"generate": _without_tables(_dumped(spec.generate))}
    return Draft(
        f"generate.{name}",
        "generate",
        ("train",),
        tables.components | search.components,
        (*files, *(file for role, file in inputs.folders.items() if role != VOCABULARY)),
        {**tables.config, **data, "generate": _without_tables(identity_values(spec.generate)) | search.config},
        {"seed": spec.seed, **tables.settings, **search.settings, **section, "run": _run(spec)},
    )


def _without_tables(generate: Values) -> Values:
    return {name: value for name, value in generate.items() if name not in {"search", "metrics", "bootstrap"}}


def _score(spec: Spec, inputs: Inputs, test: str) -> Draft:
    role = spec.task.predicted
    is_text = not any(column.labels for column in spec.task.columns() if column.role == role)
    # Texts are compared as the tokenizer joins them, labels as they are.
    tables = _tables(spec, ["task", "tokenizer"] if is_text else ["task"], "score")
    paths = sorted(path for path in spec.parts if path[:2] == ("generate", "metrics"))
    parts = [spec.parts[path] for path in paths]
    seen = any(isinstance(part.config, MetricConfig) and part.config.needs_sources for part in parts)
    data, files = _test(spec, inputs, test, {role, spec.task.columns()[0].role} if seen else {role})
    how: Values = {"metrics": [identity_values(part.config) for part in parts]}
    if spec.generate.bootstrap:
        how["bootstrap"] = spec.generate.bootstrap
    return Draft(
        f"score.{test}",
        "score",
        (f"generate.{test}",),
        tables.components | {dotted(path): component_identity(spec.parts[path].registered) for path in paths},
        files,
        {**tables.config, **data, "generate": how},
        {
            **tables.settings,
            "metrics": [part_settings(part) for part in parts],
            "bootstrap": spec.generate.bootstrap,
            "seed": spec.seed,
            "run": _run(spec),
        },
    )


def _measure(spec: Spec, inputs: Inputs, test: str) -> Draft:
    """Return the score step of a task without outputs: the model itself is measured."""
    tables = _tables(spec, ["task"], "score")
    data, files = _test(spec, inputs, test, {spec.task.predicted})
    return Draft(
        f"score.{test}",
        "score",
        ("train",),
        tables.components,
        files,
        {**tables.config, **data, "generate": _without_tables(identity_values(spec.generate))},
        {
            "seed": spec.seed,
            **tables.settings,
            "generate": _without_tables(_dumped(spec.generate)),
            "run": _run(spec),
        },
    )


def _test(spec: Spec, inputs: Inputs, test: str, roles: Collection[str]) -> tuple[Values, tuple[InputFile, ...]]:
    """Return what a step that reads some columns of a test depends on: identity config, and the files.

    What is predicted stands for the test's own references, if it names some.
    """
    names = {column.role: column.name for column in spec.task.columns()}
    columns = {names[role] for role in roles}
    if test in spec.test_corpora:
        corpus = spec.test_corpora[test]
        identity = _identity_of(corpus)
        if corpus.references and spec.task.predicted in roles:
            columns = columns - {names[spec.task.predicted]} | {*corpus.references}
            if corpus.format != "text":  # of a file the role tells
                identity["references"] = [*corpus.references]
        return {"data": {"test": identity}}, tuple(_side(inputs.tests[test], columns))
    pairs = zip(spec.train_corpora, inputs.train, strict=True)
    held_out = [(corpus, files) for corpus, files in pairs if (corpus.hold_out or {}).get("test")]
    data: Values = {"seed": spec.seed, "data": {"train": [_identity_of(corpus) for corpus, _ in held_out]}}
    files = (_side(files, {*columns, (corpus.hold_out or {}).get("distinct")}) for corpus, files in held_out)
    return data, tuple(file for side in files for file in side)


def _side(files: Mapping[str, InputFile], columns: Iterable[JsonValue]) -> Iterator[InputFile]:
    wanted = {TABLE, *columns}
    return (file for column, file in files.items() if column in wanted)


def _all_files(corpora: Iterable[Mapping[str, InputFile]]) -> Iterator[InputFile]:
    return (file for corpus in corpora for file in corpus.values())


def _identity_of(corpus: CorpusFiles) -> Values:
    """Return how a corpus is read; what is in it comes as digests."""
    values: Values = {"format": corpus.format}
    if corpus.format == "tsv":
        values["header"] = corpus.header
        if not corpus.header:  # with a header the file itself names its columns
            values["columns"] = list(corpus.columns)
    if corpus.hold_out:
        values["hold_out"] = {name: value for name, value in corpus.hold_out.items() if value is not None}
    return values


@dataclass(frozen=True, slots=True)
class _Tables:
    """Component tables of a step.

    Args:
        config: last name of the table → its identity config.
        settings: last name of the table → the table as a worker gets it.
        components: whole path → who the component is.
    """

    config: Values
    settings: Values
    components: dict[str, str]


def _tables(spec: Spec, paths: Iterable[str | ValuePath], kind: StepKind) -> _Tables:
    """Return component tables as a kind of step knows them: of the task only the fields that this kind depends on."""
    elsewhere = {field for field, kinds in spec.task.read_by.items() if kind not in kinds}
    parts = {path: spec.parts[path] for path in ((path,) if isinstance(path, str) else path for path in paths)}
    return _Tables(
        {
            str(path[-1]): {
                name: value
                for name, value in identity_values(part.config).items()
                if path != ("task",) or name not in elsewhere
            }
            for path, part in parts.items()
        },
        {str(path[-1]): part_settings(part) for path, part in parts.items()},
        {dotted(path): component_identity(part.registered) for path, part in parts.items()},
    )


def _validation(spec: Spec) -> _Tables:
    """Return what validation needs beyond the loss: the search, and the metric of the decoded text."""
    tables = _tables(spec, [path for path in spec.parts if path == ("train", "valid_search")], "train")
    tables.config.setdefault("valid_search", None)  # instead of the raw table
    if spec.train.best_metric not in TEXT_FREE_METRICS:
        metric = _metric(spec.train.best_metric)
        tables.config["best_metric"] = {metric.registered.qualified: identity_values(metric.config)}
        tables.settings["valid_metric"] = part_settings(metric)
        tables.components["train.best_metric"] = component_identity(metric.registered)
    return tables


def _metric(name: str) -> Part:
    """Return a metric that is asked for by its name alone: its preset's values, else its defaults."""
    match = load_registry().find("metric", name)
    values: Values = {} if match.preset is None else dict(match.preset.values)
    return Part(match.registered, config_class(match.registered).model_validate_json(canonical_json(values)))


def part_settings(part: Part) -> Values:
    """Return a component table as a worker gets it."""
    return {"use": part.registered.qualified, **part.values()}


def dotted(path: ValuePath) -> str:
    """Return a path as people write it: `generate.metrics.0`."""
    return ".".join(str(name) for name in path)


def _dumped(section: Section) -> Values:
    return section.model_dump(mode="json")


def _run(spec: Spec) -> Values:
    return spec.run.model_dump(mode="json", exclude={"trackers"})  # who watches is nothing to those who work
