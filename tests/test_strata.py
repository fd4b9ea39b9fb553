"""Which walks are made: every order equally likely, positions spread evenly, visits that add up."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from xai.summary import strata


def test_every_order_is_equally_likely():
    """Pair 5 of 8 in 3,000 designs of 4 players: 24 orders, 125 of each within 5 sigma."""
    orders = [tuple(strata.stratified_ranks(seed, 8, 4)[5]) for seed in range(3000)]
    counts = np.array([orders.count(order) for order in permutations(range(4))])
    assert np.all(np.abs(counts - 125) < 5 * np.sqrt(125))


def test_pairs_are_independent_enough():
    """Two players' order in pair 3 says nothing of that in pair 4, nor of two others' in pair 3."""
    first = np.array([strata.stratified_ranks(seed, 8, 4)[[3, 4]] for seed in range(2000)])
    before = first[..., 0] < first[..., 1]
    other = first[..., 2] < first[..., 3]
    for a, b in ((before[:, 0], before[:, 1]), (before[:, 0], other[:, 0])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.11


@pytest.mark.parametrize("pairs", [1, 2, 7, 64, 100])
def test_every_run_fills_its_cells(pairs):
    w = strata._scrambled(3, pairs, 5)
    assert w.shape == (pairs, 5) and np.all((w >= 0) & (w < 1))
    for size in (2, 4, 8, 16):
        for start in range(0, pairs - size + 1, size):
            cells = np.sort((w[start : start + size] * size).astype(int), axis=0)
            np.testing.assert_array_equal(cells, np.repeat(np.arange(size)[:, None], 5, axis=1))


@pytest.mark.parametrize("seed", range(4))
def test_signs_are_balanced_and_orthogonal_between_players(seed):
    signs = np.where(strata._signs(seed, 32, 30), 1, -1)
    np.testing.assert_array_equal(signs.T @ signs, 32 * np.eye(30))
    assert not signs.sum(axis=0).any()


@pytest.mark.parametrize(
    ("pairs", "draws", "slots"),
    [(1, 5, 1), (2, 1, 1), (4, 9, 2), (9, 40, 5), (30, 20, 20), (40, 40, 27), (47, 40, 32),
     (80, 99, 64), (200, 300, 175), (200, 9, 9)],
)  # fmt: skip
def test_even_slots(pairs, draws, slots):
    """Second ones: what is left over, an eighth, a third up to 16 or half up to 4 of the pairs."""
    counts = np.bincount(strata.even_slots(pairs, draws))
    assert counts.sum() == pairs and len(counts) == slots and np.ptp(counts) <= 1


@pytest.mark.parametrize("pairs", [13, 29, 30, 500])
def test_visits_follow_what_is_at_stake(pairs):
    gaps = np.array([np.linspace(0, 1, 10), np.zeros(10), np.eye(10)[4], np.arange(10) // 2 / 4])
    slots, spread, told = strata.promising_slots(pairs, gaps)
    counts = np.stack([np.bincount(row, minlength=10) for row in slots])
    assert np.all(counts.sum(axis=1) == pairs)
    assert counts.min() == (2 if pairs >= 29 else 1) or pairs == 500
    if pairs < 30:  # by lot, some draws that promise little are visited twice
        assert np.all(counts[told] == 2) and np.all(told.any(axis=1) | (counts > 1).all(axis=1))
        lots = np.mean([strata.promising_slots(pairs, gaps, s)[2] for s in range(60)], axis=0)
        assert np.sum((lots > 0) & (lots < 1)) > 20 or pairs == 29  # all of them, then
    else:
        assert told.all()
    assert np.all(np.diff(slots, axis=1) >= 0)
    assert np.all(np.diff(counts[0]) >= -1) and np.ptp(counts[1]) <= 1
    np.testing.assert_allclose(spread.sum(axis=1), 1)
    if pairs == 500:
        assert np.all(np.ptp(counts - spread * 500, axis=1) <= 1 + 1e-9)  # largest remainders
    near = gaps * (1 + 1e-13 * np.tile([-1, 1], 5))
    for one, again in zip((slots, spread), strata.promising_slots(pairs, near), strict=False):
        np.testing.assert_array_equal(one, again)


@pytest.mark.parametrize(("pairs", "by_lot"), [(110, 5), (150, 16), (200, 25)])
def test_a_quarter_of_what_is_left_over_goes_by_lot(pairs, by_lot):
    told = strata.promising_slots(pairs, np.linspace(0, 1, 100)[None])[2]
    assert told.sum() == by_lot
