"""Which of the outputs that ended are the best ones."""

from __future__ import annotations

import numpy as np

from specforge.searches.lattice import Endings


def test_of_equal_scores_the_one_that_ended_first_comes_first() -> None:
    owners, scores = [1, 0, 0, 1, 0, 1], [-0.5, -1.0, -1.0, -0.5, -1.0, -0.25]
    endings = Endings(
        owners=np.array(owners),
        steps=np.arange(6),
        rows=np.zeros(6, np.int64),
        end_scores=np.zeros(6),
        scores=np.array(scores),
    )

    best = endings.best(2)

    assert [0, 0, 1, 1] == best.owners.tolist()
    assert [1, 2, 5, 0] == best.steps.tolist()
    assert [-1.0, -1.0, -0.25, -0.5] == best.scores.tolist()
