"""A generate job that reranks: by minimum Bayes risk, and by a second model."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import JsonValue
from trained_model import decoding_job, train_result

from specforge.execution.job import Job
from specforge.generation.reranking.minimum_risk import sacrebleu_utility
from specforge.generation.translation import Wanted
from specforge.steps.decoding import trained_generator

LINES = ["a b c", "c"]  # of these the model writes words only


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_result(tmp_path_factory.mktemp("trained"))


def ranked(trained: Path, rerank: JsonValue = None) -> list[list[tuple[str, float | None]]]:
    """Return the outputs of each line with their scores, best first."""
    job = decoding_job("generate", trained, [], None)
    generate = job.settings["generate"]
    assert isinstance(generate, dict)
    settings: dict[str, JsonValue] = {
        **job.settings,
        "search": {"use": "specforge/beam", "beam": 4, "max_length": [1.0, 2]},
        "generate": {**generate, "rerank": rerank},
    }
    generator = trained_generator(Job(**{**job.model_dump(), "settings": settings}), Wanted(nbest=4))
    found = generator.translate(LINES)
    return [[(output.text, output.score) for output in each.outputs] for each in found]


def test_minimum_risk_ranks_by_expected_utility(trained: Path) -> None:
    plain, again = ranked(trained), ranked(trained, {"utility": "chrf"})
    utility = sacrebleu_utility("chrf")

    for before, after in zip(plain, again, strict=True):
        texts = [text for text, _ in before]
        expected = {text: sum(utility(text, other) for other in texts) / len(texts) for text in texts}
        assert sorted(texts) == sorted(text for text, _ in after)
        assert [expected[text] for text, _ in after] == pytest.approx([score for _, score in after])
        assert sorted(expected.values(), reverse=True) == pytest.approx([score for _, score in after])


def test_the_model_itself_as_the_second_one_doubles_the_scores(trained: Path) -> None:
    # `score` is the mean log-probability of a token, and that is what a second model adds
    again = ranked(trained, {"path": str(trained / "best"), "weight": 1.0})

    for before, after in zip(ranked(trained), again, strict=True):
        assert [text for text, _ in before] == [text for text, _ in after]
        assert [2 * (score or 0.0) for _, score in before] == pytest.approx([score for _, score in after], rel=1e-5)


def test_a_weight_of_nothing_changes_nothing(trained: Path) -> None:
    assert ranked(trained) == ranked(trained, {"path": str(trained / "best"), "weight": 0.0})
