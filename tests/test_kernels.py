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


@pytest.mark.parametrize("kernel", [pairs.slot_means, pairs.slot_means.py_func])
def test_slot_means(kernel):
    rng = np.random.default_rng(0)
    values, slots = rng.normal(size=(2, 7, 3)), np.array([0, 1, 2, 0, 1, 2, 0])
    out = np.empty((2, 3, 3))
    kernel(values, slots, np.bincount(slots), out)
    expected = np.stack([values[:, slots == g].mean(axis=1) for g in range(3)], axis=1)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-15)
    kernel(np.full((2, 7, 3), 0.1), slots, np.bincount(slots), out)
    assert (out == 0.1).all()


@pytest.mark.parametrize("kernel", [pairs.residual_sums, pairs.residual_sums.py_func])
def test_residual_sums(kernel):
    rng = np.random.default_rng(0)
    slots = np.array([0, 1, 0, 1, 1])
    phi, means, scaled = rng.normal(size=(2, 5, 3, 2)), *rng.normal(size=(2, 2, 2, 3, 2))
    trend = rng.normal(size=(5, 3, 2))
    squares, gram, moment = np.zeros((2, 3, 2)), np.zeros((2, 3, 2, 3, 3)), np.zeros((2, 3, 2, 4))
    kernel(phi, means, scaled, trend, slots, squares, gram, moment)
    e, f = phi - means[:, slots], scaled[:, slots]
    a, b = (trend[None, :, :, None, c] for c in (0, 1))
    np.testing.assert_allclose(squares, (e**2).sum(axis=1))
    products = [a * a + 0 * e, a * b + 0 * e, b * b + 0 * e]
    expected = [[(p * f**q).sum(axis=1) for q in range(3)] for p in products]
    np.testing.assert_allclose(gram, np.moveaxis(np.array(expected), (0, 1), (-2, -1)))
    expected = [(e * t).sum(axis=1) for t in (a, b, a * f, b * f)]
    np.testing.assert_allclose(moment, np.stack(expected, axis=-1))


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
