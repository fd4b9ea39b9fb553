"""Strings as blocks: each row is a row of token codes, and a removed token is left out."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.inputs import Inputs, as_codes

REMOVED, PAD = 0, 1
"""Codes of a removed token and of the places after a text's end: both decode to nothing."""

_TOKEN = re.compile(r"\s*\S+\s*|\s+")
"""A word and the space after it; the first has what is before it, too, which is no word alone."""
_WORD = re.compile(r"\S+")


def read_text(texts: list[str]) -> Inputs:
    """Encode texts as token codes `(n, most tokens)`: words, each with the space around it."""
    rows = [tokens_of(text) for text in texts]
    width = max([1, *map(len, rows)])
    pool: dict[str, int] = {}
    block = np.full((len(rows), width), PAD, np.int64)
    for i, row in enumerate(rows):
        block[i, : len(row)] = [pool.setdefault(token, len(pool) + 2) for token in row]
    words = np.array(["", "", *pool], object)

    def decode(batch: NDArray[Any]) -> list[str]:
        codes = as_codes(batch, len(words), "a token")
        return ["".join(row) for row in words[codes]]

    def encode(value: Any, what: str) -> NDArray[Any]:
        """One word in place of each of the texts' own, with the same space around it."""
        nonlocal words
        if not isinstance(value, str):
            raise ValueError(
                f"{what}: texts lose tokens by leaving them out, or get one word in their place, "
                f"as removal=xai.removal.Baseline('[MASK]'); pass no {what}"
            )
        stands = [_WORD.sub(lambda _: value, token) for token in words[2:]]
        codes = np.array([REMOVED, PAD, *range(len(words), len(words) + len(stands))])
        words = np.concatenate([words, np.array(stands, object)])
        return codes[block]

    categorical = np.ones(width, bool)
    return Inputs(block, decode, encode, categorical=categorical, is_text=True)


def words_of(text: str) -> list[str]:
    """The players of a text, as `Tokens()` names them.

    Examples
    --------
    >>> words_of("a good  film ")
    ['a', 'good', 'film']
    """
    return [token.strip() for token in tokens_of(text)]


def tokens_of(text: str) -> list[str]:
    """The same, each with the space around it: together they are the text."""
    return _TOKEN.findall(text)
