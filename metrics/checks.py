"""Options of metrics, numbers and flags: what is none is refused, before anything is evaluated."""

from __future__ import annotations

from math import inf
from typing import Any

from xai import inputs
from xai.inputs import is_flag, is_whole


def count(name: str, value: Any, *, least: int = 1) -> int:
    """The same as Python's integer; refused is what is no whole number of at least `least`.

    Examples
    --------
    >>> count("steps", 2.5)
    Traceback (most recent call last):
    ...
    ValueError: steps=2.5: expected a positive integer
    """
    if not (is_whole(value) and value >= least):
        wanted = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise ValueError(f"{name}={value!r}: expected {wanted}")
    return int(value)


def word(name: str, value: Any, *known: str) -> None:
    """Refuse what is none of the words that are known.

    Examples
    --------
    >>> word("norm", "l1", "l2", "linf")
    Traceback (most recent call last):
    ...
    ValueError: norm='l1': expected 'l2' or 'linf'
    """
    if not (isinstance(value, str) and value in known):
        *others, last = map(repr, known)
        raise ValueError(f"{name}={value!r:.80}: expected {', '.join(others)} or {last}")


def sides(name: str, value: Any) -> None:
    """Refuse what is no number of pixels, nor a height and a width, or others of other places."""
    several = isinstance(value, tuple | list) and len(value) > 0
    for side in value if several else (value,):
        count(name, side)


def flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False: "no" would mean yes."""
    if not is_flag(value):
        raise ValueError(f"{name}={value!r}: expected True or False")


def is_number(value: Any) -> bool:
    """Whether a value is one finite real number."""
    return inputs.is_number(value) and bool(abs(value) < inf)  # NumPy knows no huge integers


def number(name: str, value: Any) -> None:
    """Refuse what is no finite number."""
    if not is_number(value):
        raise ValueError(f"{name}={value!r}: expected a number")


def positive(name: str, value: Any) -> None:
    """Refuse what is no number above 0."""
    if not (is_number(value) and value > 0):
        raise ValueError(f"{name}={value!r}: expected a positive number")


def not_negative(name: str, value: Any) -> None:
    """Refuse what is no number of at least 0."""
    if not (is_number(value) and value >= 0):
        raise ValueError(f"{name}={value!r}: expected a number of at least 0")
