"""Options of metrics, numbers and flags: what is none is refused, before anything is evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np

from xai import inputs
from xai.inputs import is_flag, is_whole


def count(name: str, value: Any, *, least: int = 1) -> None:
    """Refuse what is no whole number of at least `least`.

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
    return inputs.is_number(value) and bool(np.isfinite(value))


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
