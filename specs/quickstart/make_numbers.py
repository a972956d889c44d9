"""Write the quickstart's corpus: the numbers below one million, spelled out in English and in French.

The files beside this program are its output and are committed, so that nobody needs num2words to run the quickstart.
`python specs/quickstart/make_numbers.py` writes them again, byte for byte. Three choices make the figure honest:

* test and valid are drawn uniformly below one million, before train, and train takes only what they left over;
* train holds the whole range evenly, plus every small number left over: uniform draws alone would show hardly any
  number below 1,000, and the irregular ones (seventy, eighty-one, ninety-nine) are all there;
* the order is random, so that the first lines of a file are a fair sample of it.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

from num2words import num2words

LANGUAGES: Final = ("en", "fr")
LIMIT: Final = 1_000_000
VALID: Final = 200
TEST: Final = 500
SMALL: Final = 1_000  # train holds every number below this that valid and test left over,
MEDIUM: Final = (10_000, 2_000)  # at least this many below 10,000 on top,
TRAIN: Final = 16_000  # and the rest of its pairs from the whole range
SEED: Final = 20_250


def draw_splits(seed: int) -> dict[str, list[int]]:
    """Return the numbers of train, valid and test, disjoint and in random order."""
    generator = random.Random(seed)  # noqa: S311 - a reproducible sample, nothing secret
    held_out = generator.sample(range(LIMIT), VALID + TEST)
    free = set(range(LIMIT)).difference(held_out)

    train = {number for number in range(SMALL) if number in free}
    limit, count = MEDIUM
    train.update(generator.sample(sorted(number for number in range(SMALL, limit) if number in free), count))
    train.update(generator.sample(sorted(free - train), TRAIN - len(train)))

    shuffled = sorted(train)
    generator.shuffle(shuffled)
    return {"train": shuffled, "valid": held_out[:VALID], "test": held_out[VALID:]}


def write_corpus(folder: Path) -> None:
    """Write one file per split and language into `folder`, one number a line."""
    for split, numbers in draw_splits(SEED).items():
        for language in LANGUAGES:
            lines = (f"{num2words(number, lang=language)}\n" for number in numbers)
            (folder / f"{split}.{language}").write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_corpus(Path(__file__).parent)
