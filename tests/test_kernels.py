"""The compiled loops, and the same functions as plain Python, against one line of NumPy."""

import numpy as np
import pytest

from xai.kernels.compose import compose_rows

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
