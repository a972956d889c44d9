"""Translation of standard input, or of files, with a trained checkpoint or a model folder; no step of a plan, and no result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from pydantic import JsonValue

from specforge import __version__
from specforge.execution.job import Job
from specforge.execution.translate_options import TranslateOptions
from specforge.foundation import durable
from specforge.foundation.events import Reporter
from specforge.generation.formats import Columns, Render, aligned_units, renderer
from specforge.generation.generator import Generator
from specforge.generation.lines import PARSERS
from specforge.generation.resumable import resumable_file
from specforge.generation.streaming import (
    GROUP_LINES,
    RawLine,
    arriving_groups,
    file_lines,
    full_groups,
    stdin_lines,
    translate_groups,
)
from specforge.generation.translation import Translation, Wanted
from specforge.language.model_folders import CONTENTS
from specforge.steps.decoding import folder_generator, generate_section, trained_generator
from specforge.steps.devices import chosen_device
from specforge.steps.long_line_report import LongLineReport
from specforge.steps.model_folder import WEIGHTS
from specforge.steps.prompt import OUTPUTS_SHOWN, converse, is_conversation
from specforge.steps.streams import standard_output

_STDIN: Final = 0
_CHUNK: Final = 1 << 16


def run(job: Job, reporter: Reporter) -> None:
    """Translate until the input ends, or until nobody reads the output any more.

    Raises:
        WrongInputError: as `translate_groups`; SF721, attention is needed and there is none.
        CorruptStateError, EnvironmentFaultError: as `trained_generator`; SF613, SF614, an output to be resumed is damaged.
        RefusedError: as `folder_generator`; SF723, SF724, as `resumable_file`.
    """
    options = TranslateOptions.model_validate(job.settings.get("translate", {}))
    work = _Work(job, options, reporter)
    if is_conversation(options):
        with torch.inference_mode():
            converse(work.generator(options.nbest or OUTPUTS_SHOWN))
        return
    with standard_output() as write, torch.inference_mode():
        if options.output is not None:
            work.to_file(Path(options.output))
            return
        if not options.files and os.isatty(_STDIN):
            reporter.message("type a line and press Enter; Ctrl-D ends")
        work.to_stream(lambda text: write(text.encode()))


class _Work:
    """What `translate` does for one command line.

    Args:
        job: the job.
        options: the command line.
        reporter: told what became of lines that are too long.
    """

    def __init__(self, job: Job, options: TranslateOptions, reporter: Reporter) -> None:
        self._job = job
        self._options = options
        self._reporter = reporter
        section = generate_section(job)
        changes = {"replace_unk": options.replace_unk, "too_long": options.too_long}
        self._section = section.model_copy(update={name: value for name, value in changes.items() if value is not None})
        self._long = LongLineReport(self._section.too_long)
        self._done = 0

    def generator(self, nbest: int) -> Generator:
        """Load what decodes."""
        options, section = self._options, self._section
        units = aligned_units(options.format or "text") if options.alignment else None
        wanted = Wanted(nbest, units, section.replace_unk, section.too_long)
        if "model" in self._job.needs:
            return folder_generator(self._job, self._reporter, wanted)
        return trained_generator(self._job, wanted)

    def to_stream(self, write: Callable[[str], None]) -> None:
        """Translate to standard output, each line as soon as it is there."""
        files = [Path(name) for name in self._options.files]
        groups = full_groups(file_lines(files), GROUP_LINES) if files else arriving_groups(_read)
        render = self._render()
        try:
            self._translate(groups, lambda _, translations: write(self._rendered(render, translations)))
        finally:
            self._long.tell(self._reporter)

    def to_file(self, path: Path) -> None:
        """Translate to a file that appears when it is whole."""
        options = self._options
        lines = file_lines(Path(name) for name in options.files) if options.files else stdin_lines(_read)
        render = self._render()
        with resumable_file(path, self._made_by(), resume=options.resume) as output:
            groups = output.rest(full_groups(lines, GROUP_LINES))
            if output.resumed:
                self._reporter.message(f"{output.resumed:,} lines are done")
            if output.forgone:
                self._reporter.message(
                    f"started over: {output.forgone:,} lines of an earlier translation are thrown away, `--resume` would go on"
                )
            self._done = output.resumed

            def append(group: Sequence[RawLine], translations: Sequence[Translation]) -> None:
                output.append(group, self._rendered(render, translations))

            self._translate(groups, append, whole=True)
        self._long.tell(self._reporter)

    def _translate(
        self,
        groups: Iterable[Sequence[RawLine]],
        take: Callable[[Sequence[RawLine], Sequence[Translation]], None],
        *,
        whole: bool = False,
    ) -> None:
        generator = self.generator(self._options.nbest or 1)

        def emit(group: Sequence[RawLine], translations: Sequence[Translation]) -> None:
            take(group, translations)
            self._done += len(translations)
            for line, translation in zip(group, translations, strict=True):
                if translation.too_long:
                    self._long.add(line.place)

        translate_groups(generator, groups, PARSERS[self._options.input_format], emit, whole=whole)

    def _rendered(self, render: Render, translations: Sequence[Translation]) -> str:
        return "".join(render(number, each) for number, each in enumerate(translations, start=self._done))

    def _render(self) -> Render:
        options = self._options
        columns = Columns(line=options.nbest is not None, score=options.scores, alignment=options.alignment)
        return renderer(options.format or "text", columns)

    def _made_by(self) -> Mapping[str, JsonValue]:
        """Return all that an output depends on besides its lines; those that differ are named when it is resumed."""
        options, section = self._options, self._section
        generate = section.model_dump(mode="json", exclude=_NO_MATTER)
        search = self._job.settings.get("search", section.search)
        return {
            "specforge": __version__,
            "model": [_digest(folder) for folder in self._models()],
            "device": chosen_device(self._job.settings).type,
            "search": search,
            **generate,
            **options.model_dump(mode="json", include={"input_format", "format", "nbest", "scores", "alignment"}),
            "group": GROUP_LINES,
        }

    def _models(self) -> list[Path]:
        """Return the model folders that answer together."""
        section = self._section
        if "model" in self._job.needs:
            return [Path(self._job.needs["model"])]
        own = [Path(self._job.needs["train"]) / name for name in section.checkpoints]
        fused = [] if section.language_model is None else [Path(section.language_model.path)]
        second = [] if section.rerank is None or section.rerank.path is None else [Path(section.rerank.path)]
        return [*own, *(Path(path) for path in section.ensemble), *fused, *second]


_NO_MATTER: Final = {"search", "metrics", "bootstrap", "checkpoint", "ensemble", "format", "nbest", "alignment"}
"""Fields of [generate] that say nothing of a translation, or that stand elsewhere."""


def _digest(folder: Path) -> str:
    """Return the digest of what is in a model folder: of its digests, or of its weights where it is older than these."""
    sums = folder / CONTENTS
    return durable.digest_file(sums if sums.is_file() else folder / WEIGHTS).sha256


def _read() -> bytes:
    return os.read(_STDIN, _CHUNK)
