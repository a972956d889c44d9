"""Jobs: what the workers of a step are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from specforge.execution.job import CorpusJob, Job
from specforge.execution.workers import available_threads
from specforge.execution.worlds.given import GivenWorld
from specforge.language.normalise import SINGLE_TEST
from specforge.language.spec import REFERENCE, CorpusFiles, Spec
from specforge.language.text.tree_text import resolved_text
from specforge.planning.inputs import PROMPTS, TABLE
from specforge.planning.plan import Step, StepKind

OUTPUTS: Final[Mapping[StepKind, tuple[str, ...]]] = MappingProxyType(
    {
        "tokenizer": (),  # which files a tokenizer keeps is its own affair
        "preprocess": ("corpus.json",),
        "train": ("best/model.safetensors", "last/model.safetensors", "average/model.safetensors"),
        "generate": ("hypotheses.txt",),
        "score": ("scores.json",),
    }
)
"""Files without which a step has not done what it should, whatever its exit code."""

_RENDEZVOUS: Final = "rendezvous"


def step_jobs(
    spec: Spec,
    step: Step,
    needs: Mapping[str, Path],
    scratch: Path,
    work: Path | None,
    output: Path,
    attempt: int = 0,
    given: GivenWorld | None = None,
    traces: Path | None = None,
) -> tuple[Job, ...]:
    """Return the jobs of a step, one for each rank.

    Args:
        spec: the spec that the plan was made from.
        step: the step.
        needs: kind → folder of the result of each step that it needs.
        scratch: private folder of this attempt.
        work: working folder of the training, for train.
        output: folder that the result is written into.
        attempt: number of this attempt, from 0.
        given: the world that a launcher gives; of a training only the job of rank 0 is returned then.
        traces: folder for traces of profiled updates, for train.
    """
    given = given if step.kind == "train" else None
    world = given.size if given else spec.run.devices if step.kind == "train" else 1
    first = Job(
        id=step.id,
        kind=step.kind,
        settings=dict(step.settings),
        corpora=list(step_corpora(spec, step)),
        needs={kind: str(folder) for kind, folder in needs.items()},
        output=str(output),
        work=None if work is None else str(work),
        world=world,
        # a file of its own for each attempt: the processes would hang at one that was used before
        rendezvous=str(scratch / f"{_RENDEZVOUS}-{attempt}") if world > 1 and not given else None,
        master=given.master if given else None,
        local_rank=given.device if given else 0,
        attempt=attempt,
        spec=resolved_text(spec) if step.kind == "train" else None,
        threads=available_threads(given.local_size if given else world),
        traces=None if traces is None else str(traces),
    )
    if given:
        return (first,)
    return tuple(first.model_copy(update={"rank": rank, "local_rank": rank}) for rank in range(world))


def step_corpora(spec: Spec, step: Step) -> tuple[CorpusJob, ...]:
    """Return the corpora that a step reads."""
    roles = {column.name: column.role for column in spec.task.columns()}
    train = [(f"train/{number}", corpus) for number, corpus in enumerate(spec.train_corpora)]
    match step.kind:
        case "tokenizer":
            read = train
        case "preprocess":
            read = train + ([] if spec.valid_corpus is None else [("valid", spec.valid_corpus)])
        case "generate" if spec.prompt_corpus is not None:
            read = [(PROMPTS, spec.prompt_corpus)]
        case "generate" | "score":
            read = _test_corpora(spec, step.id.partition(".")[2], train)
        case "train":
            read = []
    return tuple(_corpus_job(role, corpus, roles, _lines(step, role)) for role, corpus in read)


def valid_corpora(spec: Spec) -> tuple[CorpusJob, ...]:
    """Return the corpora that hold the validation data: their own, or those of training with a share for it."""
    roles = {column.name: column.role for column in spec.task.columns()}
    if spec.valid_corpus is not None:
        return (_corpus_job("valid", spec.valid_corpus, roles, None),)
    held_out = ((f"train/{number}", corpus) for number, corpus in enumerate(spec.train_corpora))
    return tuple(
        _corpus_job(role, corpus, roles, None) for role, corpus in held_out if (corpus.hold_out or {}).get("valid")
    )


def _lines(step: Step, role: str) -> int | None:
    return next((file.lines for file in step.inputs if file.role == role or file.role.startswith(f"{role}/")), None)


def _test_corpora(spec: Spec, test: str, train: list[tuple[str, CorpusFiles]]) -> list[tuple[str, CorpusFiles]]:
    if test in spec.test_corpora:
        return [("test", spec.test_corpora[test])]
    assert test == SINGLE_TEST
    return [(role, corpus) for role, corpus in train if (corpus.hold_out or {}).get("test")]


def _corpus_job(role: str, corpus: CorpusFiles, roles: Mapping[str, str], lines: int | None) -> CorpusJob:
    names = {**roles, **{name: f"{REFERENCE}{nth}" for nth, name in enumerate(corpus.references)}}
    return CorpusJob(
        role=role,
        format=corpus.format,
        files={TABLE if name == TABLE else names[name]: str(path) for name, path in corpus.files.items()},
        header=corpus.header,
        columns=list(corpus.columns),
        weight=corpus.weight,
        hold_out=None if corpus.hold_out is None else dict(corpus.hold_out),
        lines=lines,
        references=list(corpus.references),
    )
