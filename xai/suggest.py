"""Error messages that name the nearest right word."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(kind: str, word: object, choices: Iterable[object]) -> str:
    """Say that `word` is no known `kind`, and which one was probably meant.

    Examples
    --------
    >>> unknown("method", "shaply", ["shapley", "lime"])
    "unknown method 'shaply'; did you mean 'shapley'? Known: lime, shapley"
    """
    names = sorted({str(choice) for choice in choices})
    close = get_close_matches(str(word).lower(), [name.lower() for name in names], n=1, cutoff=0.5)
    nearest = next((name for name in names if close and name.lower() == close[0]), None)
    hint = f"; did you mean {nearest!r}?" if nearest else ";"
    shown = names if len(names) <= 30 else [*names[:30], "…"]
    return f"unknown {kind} {word!r}{hint} Known: {', '.join(shown)}"
