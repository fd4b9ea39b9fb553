"""The compiled loops, and the same functions as plain Python, against one line of NumPy."""

import numpy as np
import pytest

import xai
from xai.kernels import odd_process, pairs
from xai.kernels.compose import compose_rows
from xai.summary.process import odd_kernel

FORMS = {"compiled": compose_rows, "plain": compose_rows.py_func}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_compose_rows(form, dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, size=(3, 5)).astype(dtype)
    replacement = rng.integers(-9, 9, size=(4, 5)).astype(dtype)
    rows, places = rng.integers(3, size=20), rng.integers(4, size=20)
    masks = rng.random((20, 5)) < 0.5
    out = np.empty((20, 5), dtype)
    FORMS[form](x, replacement, rows, places, masks, out)
    np.testing.assert_array_equal(out, np.where(masks, x[rows], replacement[places]))


@pytest.fixture
def walked():
    """Contributions (2, 5, 3, 2) of five pairs, their slots by row, a trend (5, 3, 2)."""
    rng = np.random.default_rng(0)
    slots = np.array([[0, 1, 0, 1, 1], [0, 0, 0, 1, 0]])
    return rng.normal(size=(2, 5, 3, 2)), slots, rng.normal(size=(5, 3, 2)), rng


def mean_by_slot(values, slots):
    """(R, 2, …) by definition."""
    return np.array(
        [[v[s == g].mean(axis=0) for g in (0, 1)] for v, s in zip(values, slots, strict=True)]
    )


@pytest.mark.parametrize("kernel", [pairs.slot_means, pairs.slot_means.py_func])
def test_slot_means(kernel, walked):
    phi, slots, *_ = walked
    flat, out, counts = phi.reshape(2, 5, 6), np.empty((2, 2, 6)), np.empty((2, 2), np.intp)
    kernel(flat, slots, out, counts)
    np.testing.assert_allclose(out, mean_by_slot(flat, slots), rtol=0, atol=1e-15)
    assert counts.tolist() == [[2, 3], [4, 1]]
    kernel(np.full((2, 5, 6), 0.1), slots, out, counts)
    assert (out == 0.1).all()


def test_trends_and_what_they_leave(walked):
    phi, slots, trend, rng = walked
    means, scaled = mean_by_slot(phi, slots), rng.normal(size=(2, 2, 3, 2))
    of_slot, slope = mean_by_slot([trend, trend], slots), rng.normal(size=(2, 3, 2, 4))
    row = np.arange(2)[:, None]
    e, f = phi - means[row, slots], scaled[row, slots]
    a, b = np.moveaxis(trend - of_slot[row, slots], -1, 0)[..., None]
    products = [a * a + 0 * e, a * b + 0 * e, b * b + 0 * e]
    gram = np.array([[(p * f**q).sum(axis=1) for q in range(3)] for p in products])
    regressors = np.stack([a + 0 * e, b + 0 * e, a * f, b * f], axis=-1)
    moment = (e[..., None] * regressors).sum(axis=1)
    left = (e - (regressors * slope[:, None]).sum(axis=-1)) ** 2
    squares = [[left[r][slots[r] == g].sum(axis=0) for g in (0, 1)] for r in (0, 1)]
    for form in (lambda k: k, lambda k: k.py_func):
        found = np.zeros((2, 3, 2, 3, 3)), np.zeros((2, 3, 2, 4)), np.zeros((2, 2, 3, 2))
        given = (phi, means, scaled, trend, of_slot, slots)
        form(pairs.trend_sums)(*given, *found[:2])
        form(pairs.slot_squares)(*given, slope, found[2])
        np.testing.assert_allclose(found[0], np.moveaxis(gram, (0, 1), (-2, -1)))
        np.testing.assert_allclose(found[1], moment)
        np.testing.assert_allclose(found[2], squares)


@pytest.mark.parametrize(
    "kernel", [odd_process.shapley_of_kernel, odd_process.shapley_of_kernel.py_func]
)
def test_shapley_values_of_the_odd_kernel(kernel):
    """Those of the function S -> k(S, z) by enumeration."""
    rng = np.random.default_rng(0)
    d = 5
    z, lam = np.where(rng.random((3, d)) < 0.5, 1.0, -1.0), rng.uniform(0.1, 0.6, d)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    out = np.empty((3, d))
    kernel(z, lam, (nodes + 1) / 2, weights / 2, out)
    for p in range(3):

        def v(S, point=z[p : p + 1]):
            return odd_kernel(np.where(np.atleast_2d(S), 1.0, -1.0), point, lam)[:, 0]

        game = xai.Game.from_function(v, n_players=d)
        np.testing.assert_allclose(out[p], xai.summary.Shapley("exact")(game).values, atol=1e-14)
