"""Model inputs from explained rows, replacement rows and coalitions, in one pass over memory.

Both values are read before one is chosen: a choice between two numbers is no branch to mispredict.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.kernels.compiled import compiled

AT_ONCE = 32
"""Players of a coalition that are looked at without a branch to mispredict."""


@compiled()
def ends(table: NDArray[Any], full: NDArray[np.bool_], empty: NDArray[np.bool_]) -> None:
    """Which coalitions (c, d), or soft ones, keep everything and which nothing: (c,), written."""
    d = table.shape[1]
    few = min(d, AT_ONCE)
    for c in range(table.shape[0]):
        kept, gone = 0, 0
        for i in range(few):
            kept += table[c, i] == 1
            gone += table[c, i] == 0
        i = few
        if kept == few or gone == few:
            while i < d and table[c, i] == table[c, 0]:
                i += 1
        full[c] = i == d and kept == few
        empty[c] = i == d and gone == few


@compiled()
def compose_table(
    x: NDArray[Any],
    replacement: NDArray[Any],
    rows: NDArray[np.intp],
    places: NDArray[np.intp],
    table: NDArray[np.bool_],
    which: NDArray[np.intp],
    out: NDArray[Any],
) -> None:
    """Compose inputs whose every element is a player of its own.

    ``out[b, e] = x[rows[b], e] if table[which[b], e] else replacement[places[b], e]``

    Parameters
    ----------
    x : (n, e), replacement : (m, e), table : (c, e) bool
    rows, places, which : (B,) int
    out : (B, e), written
    """
    for b in range(out.shape[0]):
        row, place, coalition = rows[b], places[b], which[b]
        for e in range(out.shape[1]):
            own, other = x[row, e], replacement[place, e]
            out[b, e] = own if table[coalition, e] else other


@compiled()
def compose_owned(
    x: NDArray[Any],
    replacement: NDArray[Any],
    rows: NDArray[np.intp],
    places: NDArray[np.intp],
    table: NDArray[np.bool_],
    which: NDArray[np.intp],
    owner: NDArray[np.int32],
    out: NDArray[Any],
) -> None:
    """Compose inputs whose elements belong to players.

    Parameters
    ----------
    x : (n, c · e), replacement : (m, c · e), table : (coalitions, d) bool
    rows, places, which : (B,) int
    owner : (n or 1, e)
        The player of each place, -1 where x's own value always stays; c channels share it.
    out : (B, c · e), written
    """
    size = owner.shape[1]
    channels = out.shape[1] // size
    kept = np.empty(size, np.bool_)
    for b in range(out.shape[0]):
        row, place, coalition = rows[b], places[b], which[b]
        line = row if owner.shape[0] > 1 else 0
        for e in range(size):
            player = owner[line, e]
            kept[e] = player < 0 or table[coalition, player]
        for channel in range(channels):
            first = channel * size
            for e in range(size):
                own, other = x[row, first + e], replacement[place, first + e]
                out[b, first + e] = own if kept[e] else other


@compiled()
def blend_levels(
    levels: NDArray[Any],
    masks: NDArray[Any],
    out: NDArray[Any],
    slope: NDArray[Any],
) -> None:
    """Compose inputs between levels of one row: a mask of 0 is the first level, of 1 the last.

    Parameters
    ----------
    levels : (L, u, c, w), masks : (B, u, w), which c shares
    out : (B, u, c, w), written
    slope : like out, written: its derivative in the mask; or of no rows
    """
    most = levels.shape[0] - 1
    for b in range(out.shape[0]):
        for u in range(out.shape[1]):
            for c in range(out.shape[2]):
                for w in range(out.shape[3]):
                    place = masks[b, u, w] * most
                    below = min(int(place), most - 1) if place > 0 else 0  # NaN is not
                    share = place - below
                    low, high = levels[below, u, c, w], levels[below + 1, u, c, w]
                    step = high - low
                    near = low + share * step
                    out[b, u, c, w] = high - (1 - share) * step if share >= 0.5 else near
                    if len(slope):
                        slope[b, u, c, w] = most * step
