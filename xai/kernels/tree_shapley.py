"""Exact interventional semivalues and interactions of tree ensembles.

The game of one tree, one explained row x and one background row b: a coalition sends its players'
splits x's way and all others b's way. A leaf is reached by the coalitions that hold U, the players
of its path on which x stays and b does not, and none of W, where b stays and x does not. Let
M(a, b) be the chance that, of a + b players, those that one more joins are a given a of them: for
Shapley's value ``a! b! / (a+b+1)!``. The leaf's value v then adds ``v M(|U|−1, |W|)`` to each
player of U and takes ``v M(|U|, |W|−1)`` from each of W (Lundberg et al. 2020, Algorithm 3, is
Shapley's case); to two players of U together it adds ``v M(|U|−2, |W|)``, to two of W
``v M(|U|, |W|−2)``, and from one of each it takes ``v M(|U|−1, |W|−1)``.

Background rows are walked 64 at a time, as the bits of a word, and explained rows that went the
same ways are walked together: a leaf costs what it has of *different* paths, not of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import beta

from xai.kernels.compiled import compiled

if TYPE_CHECKING:
    from xai.game import Masses

NODE = np.dtype(
    [
        ("threshold", np.float64),  # left if x <= threshold
        ("column", np.int32),  # -1: a leaf
        ("left", np.int32),
        ("right", np.int32),
        ("bits", np.int32),  # left if x is in this set of categories; -1: a threshold
        ("missing_left", np.bool_),
    ],
    align=True,
)
"""One node; children are places in the array of all trees' nodes."""

ONE, ALL = np.uint64(1), np.uint64(2**64 - 1)
_ODD, _PAIRS, _FOURS = (
    np.uint64(0x5555555555555555),
    np.uint64(0x3333333333333333),
    np.uint64(0x0F0F0F0F0F0F0F0F),
)
_EIGHTS, _SIXTEENS, _LOW = (
    np.uint64(0x00FF00FF00FF00FF),
    np.uint64(0x0000FFFF0000FFFF),
    np.uint64(0x00000000FFFFFFFF),
)
_SHIFTS = tuple(np.uint64(s) for s in (1, 2, 4, 8, 16, 32))
_S1, _S2, _S4, _S8, _S16, _S32 = _SHIFTS

PLANES = 24
"""Bits of a counter of players: far more than a path has."""

UNSEEN, STAYS, LEFT = 0, 1, 2
"""What is known of a player on the way down: not asked, x stays on the path, x left it."""


@compiled()
def count_bits(word: Any) -> Any:
    """Number of ones in a word of 64 bits (LLVM makes it one instruction)."""
    word = (word & _ODD) + ((word >> _S1) & _ODD)
    word = (word & _PAIRS) + ((word >> _S2) & _PAIRS)
    word = (word & _FOURS) + ((word >> _S4) & _FOURS)
    word = (word & _EIGHTS) + ((word >> _S8) & _EIGHTS)
    word = (word & _SIXTEENS) + ((word >> _S16) & _SIXTEENS)
    return np.int64((word & _LOW) + (word >> _S32))


@compiled()
def goes_left(nodes: Any, i: Any, value: Any, categories: Any) -> Any:
    """Whether a value of node i's column goes to the left child."""
    if np.isnan(value):
        return nodes[i]["missing_left"]
    if nodes[i]["bits"] < 0:
        return value <= nodes[i]["threshold"]
    code = np.int64(value)
    return (categories[nodes[i]["bits"], code >> 5] >> np.uint32(code & 31)) & 1 == 1


@compiled()
def count_leaf(
    alive: Any, level: Any, passes: Any, state: Any, seen: Any, n_seen: Any, moments: Any,
    gain: Any, mixed: Any, joint: Any, planes: Any,
) -> Any:  # fmt: skip
    """Weights of one leaf's value, summed over the background rows that are alive.

    Fills ``gain[a]`` for each seen player on whose splits x stays; where there is room for pairs,
    ``mixed[a]`` for this player with one on whose splits x does not, and ``joint[a, b]``, a < b,
    for two such players. Returns what each player loses on whose splits x does not, what two of
    these have together, and how many background rows reach the leaf by themselves.

    Parameters
    ----------
    alive, level : (levels, words), int
        Background rows that reach the leaf by some coalition: ``alive[level]``.
    passes : (d, words), those that stay on the path at all of a player's splits
    planes : (PLANES,) zeros, and zeros again afterwards
    moments : M(a, b), as above
    joint : (levels, levels), or None where pairs are not asked for: they are compiled away
    """
    w = 0
    for a in range(n_seen):
        gain[a] = 0.0
        w += state[seen[a]] != STAYS
        if joint is not None:
            mixed[a] = 0.0
            joint[a, :n_seen] = 0.0
    loss, both, none = 0.0, 0.0, 0
    for word in range(alive.shape[1]):
        rows = alive[level, word]
        if rows == 0:
            continue
        used = 0
        for a in range(n_seen):  # u of each row: a sum of bits, 64 rows at a time
            carry = rows & ~passes[seen[a], word]
            if state[seen[a]] != STAYS:
                continue
            p = 0
            while carry != 0:
                up = planes[p] & carry
                planes[p] = planes[p] ^ carry
                carry = up
                p += 1
            used = max(used, p)
        left = rows
        while left != 0:  # u by u, from that of the lowest row that is left
            lowest = left & (~left + ONE)
            u, same = 0, left
            for p in range(used):
                if planes[p] & lowest != 0:
                    u += 1 << p
                    same = same & planes[p]
                else:
                    same = same & ~planes[p]
            left = left ^ same
            if w > 0:
                loss += count_bits(same) * moments[u, w - 1]
            if joint is not None and w > 1:
                both += count_bits(same) * moments[u, w - 2]
            if u == 0:
                none += count_bits(same)
                continue
            for a in range(n_seen):
                if state[seen[a]] != STAYS:
                    continue
                outside = same & ~passes[seen[a], word]
                if outside == 0:
                    continue
                gain[a] += count_bits(outside) * moments[u - 1, w]
                if joint is not None:
                    if w > 0:
                        mixed[a] += count_bits(outside) * moments[u - 1, w - 1]
                    for b in range(a + 1, n_seen if u > 1 else 0):
                        if state[seen[b]] == STAYS:
                            shared = count_bits(outside & ~passes[seen[b], word])
                            joint[a, b] += shared * moments[u - 2, w]
        for p in range(used):
            planes[p] = 0
    return loss, both, none


@compiled()
def leaf_value(
    values: Any, leaf: Any, output: Any, places: Any, weights: Any, r: Any, o: Any
) -> Any:
    """One explained output's share of a leaf: a weighted sum of the leaf's outputs.

    Parameters
    ----------
    output : int
        The output that the tree adds to, or -1 where its leaves hold all outputs.
    places, weights : (n, k, s) outputs and their weights, of explained row r and output o
    """
    total = 0.0
    for s in range(places.shape[2]):
        if output < 0:
            total += weights[r, o, s] * values[leaf, places[r, o, s]]
        elif places[r, o, s] == output:
            total += weights[r, o, s] * values[leaf, 0]
    return total


@compiled()
def decide(nodes: Any, i: Any, data: Any, categories: Any, lefts: Any, at: Any) -> None:
    """Set in ``lefts[at]`` the background rows that go left at node i."""
    for word in range(lefts.shape[1]):
        bits = np.uint64(0)
        for b in range(word * 64, min(word * 64 + 64, data.shape[0])):
            if goes_left(nodes, i, data[b, nodes[i]["column"]], categories):
                bits = bits | (ONE << np.uint64(b & 63))
        lefts[at, word] = bits


@compiled()
def split_rows(nodes: Any, i: Any, x: Any, categories: Any, rows: Any, lo: Any, hi: Any) -> Any:
    """Put those of ``rows[lo:hi]`` that go left first; returns where the others begin."""
    middle = lo
    for a in range(lo, hi):
        row = rows[a]
        if goes_left(nodes, i, x[row, nodes[i]["column"]], categories):
            rows[a], rows[middle] = rows[middle], row
            middle += 1
    return middle


@compiled()
def add_leaf(
    values: Any, leaf: Any, output: Any, places: Any, weights: Any, rows: Any, lo: Any, hi: Any,
    state: Any, seen: Any, n_seen: Any, gain: Any, mixed: Any, joint: Any, counted: Any, phi: Any,
    inter: Any, ends: Any,
) -> None:  # fmt: skip
    """Add a leaf's value, as `count_leaf` weighs it, to its path's players for ``rows[lo:hi]``."""
    loss, both, none = counted
    reached = True  # by the rows themselves
    for a in range(n_seen):
        reached = reached and state[seen[a]] == STAYS
    for at in range(lo, hi):
        r = rows[at]
        for o in range(places.shape[1]):
            v = leaf_value(values, leaf, output, places, weights, r, o)
            if v == 0:
                continue
            if reached:
                ends[1, r, o] += v
            ends[0, r, o] += v * none
            for a in range(n_seen):
                j = seen[a]
                phi[r, j, o] += v * gain[a] if state[j] == STAYS else -v * loss
            if joint is not None:
                for a in range(n_seen):
                    for b in range(a + 1, n_seen):
                        i, j = seen[a], seen[b]
                        if state[i] == STAYS:
                            weight = joint[a, b] if state[j] == STAYS else -mixed[a]
                        else:
                            weight = -mixed[b] if state[j] == STAYS else both
                        inter[r, i, j, o] += v * weight


@compiled()
def narrow(
    alive: Any, level: Any, lefts: Any, i: Any, before: Any, passes: Any, j: Any, go_left: Any,
    lost: Any,
) -> Any:  # fmt: skip
    """Find the background rows that a child is still reached by; whether there are any.

    Arrays and places are passed, no slices of them: each of those would cost an atomic count.

    Parameters
    ----------
    alive : (levels, words)
        ``alive[level]`` reaches the node; ``alive[level + 1]``, what reaches the child, is written.
    lefts : (nodes, words), ``lefts[i]`` goes left at the node
    before, passes : (levels, words), (d, words)
        What stays on the path at the splits of player j so far, ``before[level]``, and then:
        ``passes[j]``, written.
    lost : bool
        Whether x has left the path at this player's splits, so that only b can follow it.
    """
    some = np.uint64(0)
    for word in range(alive.shape[1]):
        way = lefts[i, word] if go_left else ~lefts[i, word]
        passes[j, word] = before[level, word] & way
        reach = alive[level, word] & passes[j, word] if lost else alive[level, word]
        alive[level + 1, word] = reach
        some = some | reach
    return some != 0


@compiled()
def walk(
    nodes: Any, values: Any, categories: Any, first: Any, output: Any, x: Any, data: Any,
    owner: Any, places: Any, weights: Any, moments: Any, rows: Any, lefts: Any, known: Any,
    alive: Any, passes: Any, state: Any, phi: Any, inter: Any, ends: Any,
) -> None:  # fmt: skip
    """Walk one tree, depth first, with the explained `rows` (which it reorders).

    At each split there are up to four ways on: left with the rows that go left; left with the
    others, whose player has then left the path; right with those that go right; right with the
    others. `alive` (depth + 1, words) holds what reaches each level.
    """
    levels = alive.shape[0]
    frames = np.zeros((6, levels), np.int64)
    node, step, old = frames[0], frames[1], frames[2]
    lo, middle, hi = frames[3], frames[4], frames[5]
    before = np.zeros_like(alive)  # the player's `passes` on arrival, as `old` is its state
    # zeros of a type: from plain ones, what they are passed to would be compiled twice
    seen, n_seen = np.empty(levels, np.int64), np.int64(0)
    gain, mixed, planes = np.empty(levels), np.empty(levels), np.zeros(PLANES, np.uint64)
    joint = None if inter is None else np.empty((levels, levels))
    node[0], hi[0], level = first, rows.shape[0], np.int64(0)
    while level >= 0:
        i = node[level]
        if nodes[i]["column"] < 0:
            counted = count_leaf(
                alive, level, passes, state, seen, n_seen, moments, gain, mixed, joint, planes
            )
            add_leaf(
                values, i, output, places, weights, rows, lo[level], hi[level], state, seen,
                n_seen, gain, mixed, joint, counted, phi, inter, ends,
            )  # fmt: skip
            level -= 1
            continue
        j = owner[nodes[i]["column"]]
        if step[level] == 0:
            if not known[i - first]:
                decide(nodes, i, data, categories, lefts, i - first)
                known[i - first] = True
            old[level] = state[j]
            if j >= 0 and state[j] == UNSEEN:
                seen[n_seen] = j
                n_seen += 1
            for word in range(alive.shape[1]):
                before[level, word] = passes[j, word]
            if old[level] != LEFT:
                middle[level] = split_rows(nodes, i, x, categories, rows, lo[level], hi[level])
        if step[level] == 4:
            for word in range(alive.shape[1]):
                passes[j, word] = before[level, word]
            state[j] = old[level]
            n_seen -= j >= 0 and old[level] == UNSEEN
            level -= 1
            continue
        go_left, stray = step[level] < 2, step[level] % 2 == 1
        step[level] += 1
        start, stop = lo[level], hi[level]
        if old[level] != LEFT:
            start, stop = (start, middle[level]) if go_left != stray else (middle[level], stop)
        elif stray:
            continue  # they are all on one way already
        if start == stop or (stray and j < 0):
            continue
        lost = stray or old[level] == LEFT
        if narrow(alive, level, lefts, i - first, before, passes, j, go_left, lost):
            if j >= 0:
                state[j] = LEFT if lost else STAYS
            level += 1
            node[level] = nodes[i]["left"] if go_left else nodes[i]["right"]
            step[level], lo[level], hi[level] = 0, start, stop


@compiled()
def tree_shapley(
    nodes: NDArray[Any],
    values: NDArray[np.float64],
    categories: NDArray[np.uint32],
    firsts: NDArray[np.intp],
    outputs: NDArray[np.intp],
    depth: int,
    x: NDArray[np.float64],
    data: NDArray[np.float64],
    owner: NDArray[np.intp],
    places: NDArray[np.intp],
    weights: NDArray[np.float64],
    moments: NDArray[np.float64],
    phi: NDArray[np.float64],
    inter: NDArray[np.float64] | None,
    ends: NDArray[np.float64],
) -> None:
    """Add the semivalues of all trees, summed over the background rows, to ``phi``.

    Parameters
    ----------
    nodes : (nodes,) of `NODE`; values : (nodes, outputs or 1), what leaves hold
    categories : (sets, 8), bits of the categories that go left
    firsts : (trees + 1,) where each tree begins; outputs : (trees,) as for `leaf_value`
    depth : most splits on a path
    x : (n, columns), data : (m, columns)
    owner : (columns,) player of each column; -1: always x's own
    places, weights : (n, k, s), each explained output as a weighted sum of outputs
    moments : (players, players), as `moments_of` makes them
    phi : (n, d, k), inter : (n, d, d, k) or None, ends : (2, n, k)
        Added to: the values; interactions, each at one of (i, j) and (j, i), where asked for;
        and the trees' outputs for the background rows (their sum) and for x itself.
    """
    n, n_words = x.shape[0], (data.shape[0] + 63) // 64
    most = 0
    for t in range(outputs.shape[0]):
        most = max(most, firsts[t + 1] - firsts[t])
    lefts, known = np.empty((most, n_words), np.uint64), np.empty(most, np.bool_)
    alive = np.full((depth + 1, n_words), ALL)
    if data.shape[0] & 63:
        alive[0, n_words - 1] = (ONE << np.uint64(data.shape[0] & 63)) - ONE
    passes = np.full((phi.shape[1] + 1, n_words), ALL)  # the last one: what no player owns
    state, rows = np.zeros(phi.shape[1] + 1, np.int64), np.empty(n, np.int64)
    for t in range(outputs.shape[0]):
        count = 0
        for r in range(n):  # a tree of one class is walked for the rows that ask for this class
            if outputs[t] < 0 or np.any(places[r] == outputs[t]):
                rows[count] = r
                count += 1
        if count == 0:
            continue
        known[:] = False
        walk(
            nodes, values, categories, firsts[t], outputs[t], x, data, owner, places, weights,
            moments, rows[:count], lefts, known, alive, passes, state, phi, inter, ends,
        )  # fmt: skip


def moments_of(masses: Masses, players: int) -> NDArray[np.float64]:
    """M(a, b) for a + b < players (at least one of them), from the masses of sizes."""
    moments = np.zeros((max(players, 1),) * 2)
    for others in range(len(moments)):
        a = np.arange(others + 1)
        per_coalition = (others + 1) * beta(a + 1, others - a + 1)  # 1 / C(others, a)
        moments[a, others - a] = per_coalition * masses(others + 1)
    return moments
