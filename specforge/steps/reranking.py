"""What `generate.rerank` asks for, built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from specforge.data.vocabulary import Vocabulary
from specforge.foundation.errors import Place, WrongInputError
from specforge.generation.reranking.minimum_risk import MinimumRisk, sacrebleu_utility
from specforge.generation.reranking.reranker import Reranker
from specforge.generation.reranking.search import RerankedSearch
from specforge.generation.reranking.second_model import SecondModelReranker
from specforge.generation.target_scores import TargetScorer
from specforge.language.schema.generate import GenerateSection, RerankSection
from specforge.models.model import EncoderDecoder
from specforge.searches.search import Search
from specforge.steps.model_folder import open_model_folder
from specforge.tokenizers.tokenizer import Tokenizer


def reranked(
    search: Search,
    section: GenerateSection,
    vocabularies: Mapping[str, Vocabulary],
    tokenizer: Tokenizer,
    device: torch.device,
) -> Search:
    """Return a search with the reranking that [generate] names; the search itself, where it names none.

    Args:
        search: the search.
        section: the table, the path in it absolute.
        vocabularies: of what the search decodes with.
        tokenizer: of that, too.
        device: where to compute.

    Raises:
        WrongInputError: SF701, the folder holds a model of another family.
        RefusedError, CorruptStateError: as `open_model_folder`.
    """
    if section.rerank is None:
        return search
    return RerankedSearch(search, _reranker(section.rerank, section.batch_tokens, device), vocabularies, tokenizer)


def _reranker(rerank: RerankSection, batch_tokens: int, device: torch.device) -> Reranker:
    if rerank.utility is not None:
        return MinimumRisk(sacrebleu_utility(rerank.utility), rerank.weigh_by)
    assert rerank.path is not None
    trained = open_model_folder(Path(rerank.path), device)
    if not isinstance(trained.model, EncoderDecoder):
        raise WrongInputError("SF701", "the model in this folder is not an encoder-decoder", place=Place(rerank.path))
    scorer = TargetScorer(trained.task, trained.model, batch_tokens, device)
    limits = trained.model.max_positions()
    reverse = rerank.direction == "reverse"
    return SecondModelReranker(scorer, trained.encoded, limits, rerank.weight, reverse=reverse)
