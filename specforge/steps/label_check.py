"""Labels of data that are not trained on: each must be one that the training data have."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from specforge.data.hold_out import Side
from specforge.data.labels import Labels
from specforge.data.readers import RowRemarks
from specforge.execution.job import CorpusJob, Job
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.messages.suggest import nearest
from specforge.steps.corpora import sided_rows

_MOST_SHOWN = 5


def check_choice(labels: Mapping[str, Labels]) -> None:
    """Refuse training data with one label only: there is nothing to choose.

    Raises:
        WrongInputError: SF525.
    """
    for known in labels.values():
        if len(known) == 1:
            raise WrongInputError(
                "SF525",
                f"all of the training data have the label `{printable(known[0])}`",
                help="a classifier needs two labels to choose from: is `task.label` the right column?",
            )


def check_labels(job: Job, labels: Mapping[str, Labels], side: Side = "valid") -> None:
    """Refuse a label that no model can ever predict.

    Args:
        job: its corpora are read once more, the columns of labels only.
        labels: role → the labels of the training data.
        side: where to look: valid, or test.

    Raises:
        WrongInputError: SF522, at the first line with such a label.
    """
    for role, known in labels.items():
        for corpus in job.corpora:
            for number, (found, (label,)) in enumerate(sided_rows(job, corpus, RowRemarks(), [role])):
                if found == side and label not in known:
                    raise _unknown(label, known, corpus, role, number)


def _unknown(label: str, known: Labels, corpus: CorpusJob, role: str, number: int) -> WrongInputError:
    path = Path(corpus.files.get(role, corpus.files.get("", "")))
    shown = ", ".join(f"`{printable(each)}`" for each in islice(known, _MOST_SHOWN))
    rest = f" and {len(known) - _MOST_SHOWN:,} more" if len(known) > _MOST_SHOWN else ""
    what = f"the label `{printable(label)}`" if label else "an empty label"
    near = nearest(label.strip(), known)
    advice = "a model predicts the labels that it was trained on: correct this one, or add it to the training data"
    return WrongInputError(
        "SF522",
        f"{what} does not occur in the training data",
        place=Place(str(path), number + 1 + corpus.header),
        notes=(f"the labels are {shown}{rest}",),
        help=advice if near is None else f"did you mean `{printable(near)}`? {advice}",
    )
