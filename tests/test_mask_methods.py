"""Methods that sample masks: RISE, Sobol and HSIC attribution, LIME by sizes of coalition."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from scipy.stats import qmc

import xai
from xai import streams
from xai.players import Grid
from xai.removal import Baseline, BlurPyramid, Marginal, Uniform
from xai.summary import HSIC, LinearFit, MeanWhenIncluded, SmoothGrid, Sobol
from xai.summary.hsic import median_distance, two_levels
from xai.summary.masks import _Sums
from xai.summary.sobol import jansen, joint_designs

# --------------------------------------------------------------------------------- masks of RISE


def test_a_mask_is_the_bilinear_interpolation_of_its_own_cells_and_shift():
    """Pixel by pixel, from the formula."""
    height, width, cells, seed, p = 9, 6, 3, 5, 0.4
    samples = np.array([0, 1, 7])
    found = SmoothGrid(cells).draw(seed, samples, (height, width), p)
    nodes = cells + 2
    for mask, sample in zip(found.reshape(3, height, width), samples, strict=True):
        one = np.array([sample])
        z = streams.uniforms(seed, streams.COALITION, one, nodes**2).reshape(nodes, nodes) < p
        s, t = streams.uniforms(seed, streams.SHIFT, one, 2)[0]
        for i, j in itertools.product(range(height), range(width)):
            u, v = i * cells / height + s, j * cells / width + t
            a, b = int(u), int(v)
            du, dv = u - a, v - b
            expected = (
                z[a, b] * (1 - du) * (1 - dv)
                + z[a + 1, b] * du * (1 - dv)
                + z[a, b + 1] * (1 - du) * dv
                + z[a + 1, b + 1] * du * dv
            )
            assert mask[i, j] == pytest.approx(expected, abs=1e-6)


def test_every_mask_has_a_shift_of_its_own():
    """One shift for a whole batch, as in Xplique, puts all edges of its cells at one place."""
    masks = SmoothGrid(4, smooth=False).draw(0, np.arange(64), (64, 64), 0.5)
    rows = masks.reshape(64, 64, 64)
    where = [frozenset(np.flatnonzero((np.diff(m, axis=0) != 0).any(axis=1)) % 16) for m in rows]
    assert all(len(edges) <= 1 for edges in where)  # a mask's edges are 16 pixels apart
    assert len(set(where)) > 12  # of 16 places


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("p", [0.25, 0.5])
def test_every_pixel_is_kept_alike(smooth, p):
    """Mean p and the same spread at corners, edges and centre: no part of the grid shows."""
    n = 20_000
    masks = SmoothGrid(3, smooth).draw(1, np.arange(n), (8, 5), p)
    assert masks.min() >= 0 and masks.max() <= 1
    limit = 5 * masks.std(axis=0).max() / np.sqrt(n)
    np.testing.assert_allclose(masks.mean(axis=0), p, atol=limit)
    spread = masks.var(axis=0)
    expected = p * (1 - p) * ((2 / 3) ** 2 if smooth else 1)  # E[(1-u)² + u²] = 2/3 on each axis
    np.testing.assert_allclose(spread, expected, rtol=0.05)


def test_masks_do_not_depend_on_the_others_in_their_block():
    together = SmoothGrid(5).draw(3, np.arange(40), (12, 12), 0.5)
    for i in (0, 17, 39):
        np.testing.assert_array_equal(
            SmoothGrid(5).draw(3, np.array([i]), (12, 12), 0.5)[0], together[i]
        )


# ------------------------------------------------------------------------------------------ RISE


def every_mask(d, p_of_4):
    """All coalitions of d pixels, each as often as it is drawn: p = p_of_4 / 4."""
    kept = list(itertools.product([0, 1, 2, 3], repeat=d))
    return (np.array(kept) < p_of_4).astype(np.float32)


@pytest.mark.parametrize("normalise", ["sum", "expected"])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_all_masks_of_an_additive_function(normalise, quarters):
    """S_p − S_q = (1 − p)(c_p − c_q), exactly."""
    c, p = np.array([2.0, -1.0, 0.5, 4.0]), quarters / 4
    M = every_mask(4, quarters)
    sums = _Sums(1, 4, 1)
    for part in (M[:50], M[50:]):
        sums.add(part, (part @ c + 3)[None, :, None])
    values, _ = sums.means(normalise, p)
    found = values[0, :, 0]
    np.testing.assert_allclose(found[:, None] - found, (1 - p) * (c[:, None] - c), atol=1e-12)
    np.testing.assert_allclose(found, 3 + p * c.sum() + (1 - p) * c, atol=1e-12)


@pytest.fixture(scope="module")
def pictures():
    """Images (2, 3, 12, 10), and a function of them that works alike in every batch."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 12, 10))

    def model(x):
        s = (x * weights).sum(axis=(1, 2, 3)) / 10 + x[:, 0, 3, 4] * x[:, 1, 3, 4]
        p = s * s / (1 + s * s)
        return np.stack([1 - p, p], axis=1)

    return model, rng.normal(size=(2, 3, 12, 10))


def test_rise_is_the_weighted_mean_of_what_the_model_says(pictures):
    """From the paper's formula, with the masks made beforehand; both normalisations."""
    model, x = pictures
    masks = SmoothGrid(7).draw(4, np.arange(300), (12, 10), 0.5).astype(float)
    inputs = x[:1] * masks.reshape(300, 1, 12, 10)
    f = model(inputs)[:, 1]
    given = {"samples": 300, "seed": 4, "target": 1}
    by_sum = xai.explain(model, x[:1], "rise", **given)
    np.testing.assert_allclose(by_sum.values[0].ravel(), f @ masks / masks.sum(0), rtol=1e-6)
    expected = xai.explain(model, x[:1], "rise", normalise="expected", **given)
    np.testing.assert_allclose(expected.values[0].ravel(), f @ masks / 150, rtol=1e-6)
    products = masks * f[:, None] / 0.5
    error = products.std(axis=0, ddof=1) / np.sqrt(300)
    np.testing.assert_allclose(expected.std_error[0].ravel(), error, rtol=1e-5)
    assert by_sum.evaluations == 302


def test_rise_of_a_constant_is_constant(pictures):
    _, x = pictures
    constant = xai.explain(lambda x: np.full(len(x), 0.7), x, "rise", budget=500)
    assert (constant.values == 0.7).all() and (constant.std_error == 0).all()


@pytest.mark.parametrize("name", ["rise", "sobol", "hsic"])
@pytest.mark.parametrize("batch_size", [1, 7, 10_000])
def test_images_in_any_batches(pictures, counting, name, batch_size):
    model, x = pictures
    counted = counting(model)
    budget = 400 if name != "sobol" else 64 * 65 + 2
    one = xai.explain(counted, x, name, budget=budget, batch_size=batch_size)
    assert counted.largest <= batch_size and one.evaluations == -(-counted.rows // 2) <= budget
    for i in range(2):
        alone = xai.explain(model, x[i : i + 1], name, budget=budget)
        np.testing.assert_allclose(one.values[i], alone.values[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one.std_error[i], alone.std_error[0], rtol=1e-7, atol=1e-12)
    assert one.values.shape == ((2, 12, 10) if name == "rise" else (2, 64))
    assert one.map().shape[:1] == (2,)


def test_rise_in_blocks_is_the_same(pictures, monkeypatch):
    """Memory is bounded by blocks of masks and of rows; what they are changes nothing."""
    model, x = pictures
    whole = xai.explain(model, x, "rise", budget=300, target="all")
    monkeypatch.setattr("xai.summary.masks.BLOCK_BYTES", 2**13)
    parts = xai.explain(model, x, "rise", budget=300, target="all")
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-12)
    np.testing.assert_allclose(parts.std_error, whole.std_error, rtol=1e-9)


def test_errors_of_rise_are_right(pictures):
    model, x = pictures
    for normalise in ("sum", "expected"):
        given = {"normalise": normalise, "target": 1}
        exact = xai.explain(model, x[:1], "rise", samples=60_000, seed=99, **given).values
        found = [xai.explain(model, x[:1], "rise", samples=200, seed=s, **given) for s in range(60)]
        misses = np.array([e.values for e in found]) - exact
        errors = np.array([e.std_error for e in found])
        assert 0.85 < np.sqrt((misses**2).mean() / (errors**2).mean()) < 1.15


def test_rise_takes_tensors_and_leaves_them_alone(pictures):
    torch = pytest.importorskip("torch")
    _, x = pictures
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(360, 2), torch.nn.Softmax(1))
    batch = torch.tensor(x, dtype=torch.float32)
    before = batch.clone()
    found = xai.explain(net, batch, "rise", budget=300, seed=1, target=0)
    assert torch.equal(batch, before)
    by_function = xai.explain(
        lambda a: net(torch.as_tensor(a)).detach().numpy(), batch.numpy(), "rise",
        channel_axis=1, budget=300, seed=1, target=0,
    )  # fmt: skip
    np.testing.assert_allclose(found.values, by_function.values, atol=1e-6)


def test_a_picture_that_meets_the_tolerance_leaves_the_others_masks_as_they_were():
    x = np.random.default_rng(0).random((3, 1, 12, 12))
    x[1] = 0.0
    x[1, 0, :4, :4] = 1.0  # what lies in one corner is found soon

    def explained(rows):
        return xai.explain(
            lambda z: z.sum(axis=(1, 2, 3)), rows, "rise", masks=SmoothGrid(4), budget=2000,
            tolerance=0.15, channel_axis=1,
        )  # fmt: skip

    together, alone = explained(x), [explained(x[i : i + 1]) for i in range(3)]
    assert len({each.evaluations for each in alone}) > 1
    for i, each in enumerate(alone):
        np.testing.assert_allclose(together.values[i], each.values[0], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(together.std_error[i], each.std_error[0], rtol=1e-6, atol=1e-9)


def test_rise_stops_at_a_tolerance(pictures):
    model, x = pictures
    loose = xai.explain(model, x[:1], "rise", budget=4000, tolerance=0.5)
    assert loose.converged.all() and loose.evaluations < 4000
    assert not xai.explain(model, x[:1], "rise", budget=200, tolerance=1e-3).converged.any()


def test_masks_over_draws(pictures):
    """Each mask on a draw of its own: the mean over draws, in the limit."""
    model, x = pictures
    data = np.random.default_rng(3).normal(size=(4, 3, 12, 10))
    given = {"removal": Marginal(data), "masks": SmoothGrid(3)}
    found = xai.explain(model, x[:1], "rise", samples=20_000, target=1, **given)
    masks = SmoothGrid(3).draw(8, np.arange(5000), (12, 10), 0.5).astype(float)
    m = masks.reshape(-1, 1, 12, 10)
    f = np.mean([model(x[0] * m + b * (1 - m))[:, 1] for b in data], axis=0)
    gap = found.values[0].ravel() - f @ masks / masks.sum(axis=0)
    assert np.abs(gap / found.std_error[0].ravel()).mean() < 2.0


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"players": Grid(4)}, "pixels of images"),
        ({"masks": SmoothGrid(0)}, "positive integer"),
        ({"normalise": "sums"}, "did you mean 'sum'"),
        ({"masks": None, "normalise": "expected"}, "pass masks="),
        ({"budget": 2}, "at least 3"),
        ({"samples": 50, "budget": 20}, "at least 52"),
        ({"p": 1.0}, "between 0 and 1"),
    ],
)
def test_what_rise_refuses(pictures, counting, keywords, message):
    model, x = pictures
    counted = counting(model)
    with pytest.raises(ValueError, match=message):
        xai.explain(counted, x[:1], "rise", **keywords)
    wrong_alone = {"normalise", "p"} & set(keywords)  # whatever the model and its rows
    assert counted.rows == (0 if wrong_alone else 1)  # the prediction


@pytest.mark.parametrize("smooth", [True, False])
def test_masks_of_series_and_volumes_are_products_along_each_axis(smooth):
    """Place by place, from the formula of images, with as many axes as there are."""
    for shape, cells in [((23,), 5), ((4, 5, 3), 2)]:
        samples, p, axes = np.array([0, 3]), 0.4, len(shape)
        found = SmoothGrid(cells, smooth).draw(5, samples, shape, p)
        for mask, sample in zip(found.reshape(2, *shape), samples, strict=True):
            one = np.array([sample])
            z = streams.uniforms(5, streams.COALITION, one, (cells + 2) ** axes) < p
            z = z.reshape([cells + 2] * axes).astype(float)
            shifts = streams.uniforms(5, streams.SHIFT, one, axes)[0]
            for n, shift in zip(shape, shifts, strict=True):
                u = np.arange(n) * cells / n + shift
                a, part = u.astype(int), (u % 1) * smooth
                z = np.moveaxis(z, 0, -1)
                z = z[..., a] * (1 - part) + z[..., a + 1] * part
            np.testing.assert_allclose(mask, z, atol=1e-6)


def test_rise_of_a_series_is_the_mean_under_its_masks():
    x = np.random.default_rng(0).normal(size=(2, 3, 40))
    w = np.random.default_rng(1).normal(size=40)
    e = xai.explain(lambda x: x.sum(axis=1) @ w, x, "rise", budget=302, seed=4, channel_axis=1)
    masks = SmoothGrid(49).draw(4, np.arange(300), (40,), 0.5).astype(float)
    values = (x.sum(axis=1) * w) @ masks.T
    np.testing.assert_allclose(e.values, values @ masks / masks.sum(0), rtol=1e-5, atol=1e-6)


def test_rise_is_not_for_tables(large):
    with pytest.raises(ValueError, match="pixels of images"):
        xai.explain(large.model, large.x, "rise")


def test_a_grid_covers_images_of_any_size():
    for height, width in [(16, 16), (17, 30), (5, 9), (8, 8)]:
        x = np.ones((1, height, width, 1))
        e = xai.explain(lambda x: x.sum(axis=(1, 2, 3)), x, "occlusion", players=Grid(8))
        assert e.values.shape == (1, min(8, height) * min(8, width))
        assert e.values.sum() == height * width and e.values.min() >= 1
    with pytest.raises(ValueError, match="for images"):
        xai.explain(
            lambda x: x[:, 0], np.ones((1, 4)), "sobol", players=Grid(8), removal="baseline"
        )


# ----------------------------------------------------------------------------------------- Sobol


def soft_game(function, d):
    return xai.Game.from_function(lambda m: function(np.asarray(m, float)), d)


def test_total_indices_of_an_additive_function():
    """ST_i = Var_i / Σ Var, which sum to 1."""
    w = np.array([3.0, 1.0, 0.0, -2.0, 0.5])
    found = Sobol(designs=2**14)(soft_game(lambda m: np.sin(2 * m) @ w, 5))
    expected = w**2 / (w**2).sum()
    assert found.values[2] == 0 and found.std_error[2] == 0
    np.testing.assert_allclose(found.values, expected, atol=0.005)
    assert abs(found.values.sum() - 1) < 0.01


def test_total_indices_of_an_interaction():
    """Ishigami & Homma (1990): the third variable acts through the first alone."""

    def ishigami(m):
        x = np.pi * (2 * m - 1)
        return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])

    found = Sobol(designs=2**14)(soft_game(ishigami, 3))
    np.testing.assert_allclose(found.values, [0.5576, 0.4424, 0.2437], atol=0.01)
    exclusive = soft_game(lambda m: m[:, 0] + m[:, 1] - 2 * m[:, 0] * m[:, 1], 2)
    np.testing.assert_allclose(Sobol(designs=2**12)(exclusive).values, 1, atol=0.01)


def test_a_dummy_has_no_share_and_affine_changes_no_effect():
    def f(m):
        return m[:, 0] * m[:, 1] + m[:, 3] ** 2

    one = Sobol(designs=64)(soft_game(f, 4))
    other = Sobol(designs=64)(soft_game(lambda m: 5 - 300 * f(m), 4))
    assert one.values[2] == other.values[2] == 0
    np.testing.assert_allclose(one.values, other.values, rtol=1e-9)
    np.testing.assert_allclose(one.std_error, other.std_error, rtol=1e-9)


def shares_alike(designs, seeds):
    """Mean share of each of players that are all alike, and the error of that mean."""
    found = np.array([jansen(_spread(*designs(seed)), 4)[0][0, :, 0] for seed in range(seeds)])
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(seeds)


def _spread(A, B):
    """Values (1, N, d + 1, 1) of a sum over players, at A and with each column of B."""
    total = A.sum(axis=1)
    return np.concatenate([total[:, None], total[:, None] - A + B], axis=1)[None, :, :, None]


@pytest.mark.parametrize(("d", "seeds"), [(20, 400), (64, 150)])
def test_players_that_are_alike_get_alike_wherever_they_stand(d, seeds):
    """Twenty concepts and 32 designs, as CRAFT has it by default; 8 × 8 cells, as Xplique has."""
    mean, error = shares_alike(lambda seed: joint_designs(seed, 32, d, 4), seeds)
    limit = 5 * (error / mean.mean()).max()
    assert np.abs(mean / mean.mean() - 1).max() < limit < 0.2
    assert abs(mean.mean() * d - 1) < 0.12
    for sequence in (qmc.Halton, qmc.Sobol):  # the defect that this test is here to find
        points = sequence(2 * d, scramble=False).random(32)
        shares = jansen(_spread(points[:, :d], points[:, d:]), 4)[0][0, :, 0]
        assert np.abs(shares / shares.mean() - 1).max() > limit


@pytest.mark.parametrize("count", [4, 6, 32, 63, 100])
def test_masks_of_a_design_are_uniform_and_a_and_b_apart(count):
    both = [joint_designs(seed, count, 3, 4) for seed in range(300)]
    points = np.array([np.concatenate(pair, axis=1) for pair in both]).reshape(-1, 6)
    assert points.min() >= 0 and points.max() < 1
    np.testing.assert_allclose(points.mean(axis=0), 0.5, atol=0.05)
    correlation = np.corrcoef(points.T) - np.eye(6)
    assert np.abs(correlation).max() < 0.13


def test_no_warning_of_an_unbalanced_sequence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        joint_designs(0, 101, 4, 4)


@pytest.mark.parametrize("unit", [1e-120, 1e-80, 1e80, 1e120])
def test_sobol_is_the_same_in_every_unit(unit):
    """A likelihood of many words is 1e-90: its fourth power is 0, but not its error."""

    def f(m):
        return m[:, 0] * m[:, 1] + m.sum(axis=1)

    one = Sobol(designs=64)(soft_game(f, 4))
    other = Sobol(designs=64)(soft_game(lambda m: unit * f(m), 4))
    np.testing.assert_allclose(other.values, one.values, rtol=1e-9)
    np.testing.assert_allclose(other.std_error, one.std_error, rtol=1e-6)


def test_total_indices_and_slopes_are_their_formulas():
    """Jansen's, with the variance of all values; slopes are regressions through the origin."""

    def f(m):
        return m[:, 0] * m[:, 1] + m.sum(axis=1) ** 2

    A, B = joint_designs(0, 22, 3, 4)
    found = Sobol(designs=22)(soft_game(f, 3))
    C = [np.where(np.arange(3) == i, B, A) for i in range(3)]
    variance = np.var([f(masks) for masks in (A, *C)]) * 22 / 21
    for i in range(3):
        change, step = f(A) - f(C[i]), (A - B)[:, i]
        expected = (change**2).mean() / (2 * variance)
        np.testing.assert_allclose(found.values[i], expected, rtol=1e-12)
        slope = change @ step / (step @ step)
        np.testing.assert_allclose(found.info["slope"][0, i], slope, rtol=1e-9)


def test_more_players_than_the_sequence_has_dimensions_are_refused():
    with pytest.raises(ValueError, match="10601 players; at most 10600: group them"):
        Sobol()(soft_game(lambda m: m[:, 0], 10_601))


@pytest.mark.parametrize("designs", [4, 50, 64])
def test_sobol_spends_designs_times_d_plus_one(designs):
    found = Sobol(designs=designs)(soft_game(lambda m: m.prod(axis=1), 6))
    assert found.evaluations == designs * 7 + 2


def test_constant_games_have_no_shares():
    for value in (0.0, 0.7, 1e6):
        found = Sobol()(soft_game(lambda m, value=value: np.full(len(m), value), 3))
        assert (found.values == 0).all() and (found.std_error == 0).all()
    rounding = Sobol()(soft_game(lambda m: 0.1 + m.sum(axis=1) - m[:, ::-1].sum(axis=1), 3))
    assert (rounding.values == 0).all()


def test_errors_of_sobol_are_right():
    w = np.linspace(0.2, 2, 8)
    game = soft_game(lambda m: np.tanh((m - 0.4) @ w) + m[:, 0] * m[:, 7], 8)
    exact = Sobol(designs=2**15)(game).values
    found = [Sobol(designs=256)(game, seed=seed) for seed in range(200)]
    misses = np.array([e.values for e in found]) - exact
    errors = np.array([e.std_error for e in found])
    assert 0.85 < np.sqrt((misses**2).mean() / (errors**2).mean()) < 1.15


def test_sobol_stops_where_the_tolerance_is_met():
    """Twice in a row, as 8 designs may say 1.8 for .9 with a small error: over seeds it is true."""
    game = soft_game(lambda m: 3.0 * m[:, 0] + m[:, 1], 2)
    few = Sobol(designs=8)(game, seed=397)
    assert few.std_error.max() <= 0.2 * np.ptp(few.values) and few.values.max() > 1.8
    found = [Sobol(designs=256)(game, tolerance=0.2, seed=seed) for seed in range(300, 400)]
    assert all(a.converged and a.std_error.max() <= 0.2 * np.ptp(a.values) for a in found)
    assert np.mean([a.evaluations for a in found]) < 0.5 * (256 * 3 + 2)
    misses = np.array([a.values for a in found]) - [0.9, 0.1]
    assert np.sqrt((misses**2).mean(axis=0)).max() < 0.2 * 0.8 * 1.15


@pytest.mark.parametrize(
    ("method", "budget"), [("hsic", 3000), ("hsic", 1500), ("sobol", 1500), ("sobol", 6000)]
)
def test_over_some_of_endless_draws_an_error_is_of_these_too(method, budget):
    """All values are means over the same draws: scrambles told a third of it."""
    given = {"removal": Uniform(-1, 1, n_draws=8), "budget": budget}

    def model(x):
        return np.tanh(x[:, :4].sum(axis=1)) + x[:, 4] * x[:, 5] + x[:, 6] + x[:, 7]

    found = [xai.explain(model, np.ones((1, 8)), method, seed=s, **given) for s in range(100)]
    spread = np.var([e.values for e in found], axis=0, ddof=1).mean()
    assert 0.75 < np.sqrt(spread / np.mean([e.std_error**2 for e in found])) < 1.25


def test_a_share_is_of_the_mean_over_draws():
    """f = m_0 x_0 + (noise that each background row adds alone): the mean's variance counts."""
    x, data = np.array([[1.0, 0.0]]), np.array([[0.0, 5.0], [0.0, -5.0]])
    e = xai.explain(lambda x: x[:, 0] + x[:, 1], x, "sobol", data=data, designs=256)
    np.testing.assert_allclose(e.values, [[1.0, 0.0]], atol=0.2)
    assert e.values[0, 1] < 1e-20
    assert e.evaluations == 256 * 3 * 2 + 3


def test_sobol_shares_over_endless_draws(large):
    e = xai.explain(large.model, large.x[:1], "sobol", removal=Uniform(-1, 1, n_draws=5), designs=8)
    assert e.evaluations == 8 * 9 * 5 + 5 + 1
    assert np.isfinite(e.values).all() and e.std_error.min() == 0 < e.std_error.max()
    one = xai.explain(large.model, large.x[:1], "sobol", removal=Uniform(-1, 1, n_draws=1))
    assert np.isfinite(one.values).all() and np.isnan(one.std_error).all()


@pytest.mark.parametrize(
    ("summary", "budget", "message"),
    [
        (Sobol(scrambles=1), None, "scrambles=1"),
        (Sobol(designs=3), None, "designs=3"),
        (Sobol(), 20, "at least 22"),
        (Sobol(designs=64), 100, "designs=64 needs at least 322"),
        (HSIC(scrambles=2), None, "scrambles=2"),
        (HSIC(designs=33), None, "even"),
        (HSIC(designs=6), None, "designs=6: HSIC needs an integer of at least 8"),
    ],
)
def test_what_sobol_and_hsic_refuse(summary, budget, message):
    game = soft_game(lambda m: m.sum(axis=1) ** 2, 4)
    with pytest.raises(ValueError, match=message):
        summary(game, budget=budget)


@pytest.mark.parametrize("summary", [Sobol(designs=8, scrambles=2), HSIC(designs=12, scrambles=3)])
def test_the_fewest_scrambles_have_an_error(summary):
    found = summary(soft_game(lambda m: m.sum(axis=1) ** 2 + m[:, 0], 4))
    assert np.isfinite(found.std_error).all() and (found.std_error > 0).any()


# ------------------------------------------------------------------------------------------ HSIC


def naive_hsic(Z, y):
    """(1/n²) Σ (HKH)(HLH), player by player, as the paper writes it."""
    n = len(Z)
    H = np.eye(n) - np.ones((n, n)) / n
    w = np.median([abs(a - b) for a, b in itertools.combinations(y, 2)])
    L = np.exp(-((y[:, None] - y) ** 2) / (2 * w**2))
    scores = []
    for z in Z.T.astype(float):
        K = 1 + (0.5 - (z[:, None] - z) ** 2)
        scores.append(((H @ K @ H) * (H @ L @ H)).sum() / n**2)
    return np.array(scores)


def test_hsic_of_all_coalitions_is_the_papers_formula(oracle):
    rng = np.random.default_rng(2)
    table = rng.normal(size=32)

    def v(S):
        return table[np.asarray(S, bool) @ (1 << np.arange(5))]

    found = HSIC()(soft_game(v, 5))
    assert found.std_error is None and found.evaluations == 32
    S = oracle.subsets(5)
    np.testing.assert_allclose(found.values, naive_hsic(S, v(S)), rtol=1e-12)


def test_dummies_permutations_and_exclusive_or():
    def f(S):
        return 2.0 * S[:, 0] + S[:, 1] * S[:, 2] + 0.5 * S[:, 4]

    found = HSIC()(soft_game(f, 5)).values
    assert abs(found[3]) < 1e-16 and found.min() > -1e-16
    order = [3, 1, 4, 0, 2]
    moved = HSIC()(soft_game(lambda S: f(S[:, np.argsort(order)]), 5)).values
    np.testing.assert_allclose(moved, found[order], atol=1e-15)
    exclusive = soft_game(lambda S: (S[:, 0] != S[:, 1]) * 1.0, 2)
    np.testing.assert_allclose(HSIC()(exclusive).values, 0, atol=1e-16)


def oracle_of_ten():
    return np.array(list(itertools.product([False, True], repeat=10)))


def test_sampled_hsic_tends_to_that_of_all_coalitions(monkeypatch):
    w = np.array([2.0, 1.0, 0.5, 0.0, 0.0, -1.0, 0.2, 0.0, 0.1, 0.7])
    game = soft_game(lambda S: np.tanh(S @ w) + S[:, 0] * S[:, 5], 10)
    exact = HSIC()(game, budget=1024).values
    alone = np.mean([HSIC(designs=256)(game, seed=seed).values for seed in range(50)], axis=0)
    np.testing.assert_allclose(alone, exact, atol=0.05 * exact.max())
    width = median_distance(game.value(np.zeros(1024, int), oracle_of_ten()).ravel())
    monkeypatch.setattr("xai.summary.hsic.median_distance", lambda y, rounding: width)
    found = [HSIC(designs=256)(game, seed=seed) for seed in range(100)]
    values, errors = np.array([e.values for e in found]), np.array([e.std_error for e in found])
    gap = (values.mean(axis=0) - exact) / (values.std(axis=0, ddof=1) / 10)
    assert np.abs(gap).max() < 4.5  # no bias, of dummies neither, once the bandwidth is known
    misses = np.sqrt(((values - values.mean(axis=0)) ** 2).mean() / (errors**2).mean())
    assert 0.7 < misses < 1.3


def test_sampled_hsic_compares_designs_of_different_scrambles_alone():
    """And its error is the jackknife's over scrambles."""

    def f(S):
        return np.tanh(S @ np.linspace(-1.0, 2.0, 8)) + S[:, 0] * S[:, 5]

    found = HSIC(designs=64)(soft_game(f, 8))
    S = two_levels(0, 32, 8, 4)
    scrambles = [np.concatenate([S[r::4], ~S[r::4]]) for r in range(4)]
    width = median_distance(f(np.concatenate(scrambles)))

    def mean_over(chosen):
        total = []
        for one, other in itertools.permutations([scrambles[r] for r in chosen], 2):
            L = np.exp(-((f(one)[:, None] - f(other)) ** 2) / (2 * width**2))
            total.append(np.einsum("ai,ab,bi->i", 2.0 * one - 1, L, 2.0 * other - 1) / (2 * L.size))
        return np.mean(total, axis=0)

    np.testing.assert_allclose(found.values, mean_over(range(4)), rtol=1e-9)
    without = np.array([mean_over({*range(4)} - {r}) for r in range(4)])
    spread = 3 / 4 * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(found.std_error, np.sqrt(spread), rtol=1e-9)


@pytest.mark.parametrize("digits", [0, 1])
def test_a_constant_has_no_dependence(digits):
    """Nor has one whose last digits rounding changes."""
    w = np.random.default_rng(0).random(12) * digits

    def constant(S):
        return 0.3 + sum((S * w).T) - sum((S * w).T[::-1])

    for designs in (None, 200, 150):
        found = HSIC(designs=designs)(soft_game(constant, 12))
        np.testing.assert_allclose(found.values, 0, atol=1e-15)
        np.testing.assert_allclose(found.std_error, 0, atol=1e-15)


def test_the_bandwidth_is_the_median_distance_of_outputs():
    y = np.random.default_rng(0).random(50)
    distances = [abs(a - b) for a, b in itertools.combinations(y, 2)]
    assert median_distance(y) == np.median(distances)
    assert median_distance(y - 100) == pytest.approx(np.median(distances))  # not of outputs
    assert median_distance(np.array([0.0] * 9 + [2.0])) == 2  # most of them equal
    assert median_distance(np.array([0.0] * 9 + [0.25, 0.75])) == 0.5  # of the 19 others
    alike = 1 + 2.0**-52 * np.arange(9)
    assert median_distance(np.append(alike, 3.0), rounding=1e-12) == pytest.approx(2)
    many = np.random.default_rng(0).normal(size=20_000)
    assert median_distance(many) == pytest.approx(0.954, abs=0.02)  # √2 × .6745


@pytest.mark.parametrize(("count", "d"), [(128, 30), (64, 10), (256, 64)])
def test_designs_of_two_levels_keep_players_apart(count, d):
    """Within a scramble, with its complements: balanced, no two players correlated, nor a player
    with a pair of others."""
    S = two_levels(3, count, d, 4)
    for r in range(4):
        own = np.concatenate([S[r::4], ~S[r::4]])
        s = np.where(own, 1, -1)
        assert (s.sum(axis=0) == 0).all()
        np.testing.assert_array_equal(s.T @ s, len(s) * np.eye(d, dtype=int))
        pairs = s[:, :, None] * s[:, None, :]
        assert np.abs(np.einsum("ni,njk->ijk", s[:, :5], pairs)).max() == 0


def test_every_coalition_of_a_design_is_equally_likely():
    S = np.array([two_levels(seed, 4, 3, 4) for seed in range(2000)]).reshape(-1, 3)
    counts = np.bincount(S @ [1, 2, 4], minlength=8)
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_hsic_in_blocks_is_the_same(monkeypatch):
    game = soft_game(lambda S: np.sqrt(1 + S @ np.arange(12.0)), 12)
    whole = HSIC(designs=300)(game)
    parts = [slice(a, a + 7) for a in range(0, 1000, 7)]
    monkeypatch.setattr(
        "xai.summary.hsic.streams.parts", lambda n, width: [p for p in parts if p.start < n]
    )
    np.testing.assert_allclose(HSIC(designs=300)(game).values, whole.values, rtol=1e-9, atol=1e-15)


# -------------------------------------------------------------------------- LIME by size of subset


def adjustment(d, k):
    return math.comb(d, k) * (d + 1) / 2**d


@pytest.mark.parametrize("d", [5, 40])
def test_sizes_are_uniform_and_weighed_back(d):
    """P(k) = 1/(d + 1); E[adj] = 1; adj = C(d, k)(d + 1)/2^d."""
    fit = LinearFit(sampling="uniform_size")
    S = fit._coalitions(0, np.arange(60_000), d)
    sizes = S.sum(axis=1)
    counts = np.bincount(sizes, minlength=d + 1)
    assert np.abs(counts - 60_000 / (d + 1)).max() < 5 * np.sqrt(60_000 / (d + 1))
    np.testing.assert_allclose(S.mean(axis=0), 0.5, atol=0.02)
    ratio = fit._ratio(S)
    np.testing.assert_allclose(ratio, [adjustment(d, k) for k in sizes], rtol=1e-9)
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(len(ratio))
    alone = np.mean([adjustment(d, k) ** 2 for k in range(d + 1)])  # what a sample counts less
    assert 1 / alone == pytest.approx(np.sqrt(np.pi * d) / (d + 1), rel=0.5 / d)
    back = LinearFit(measure="uniform_size", sampling="bernoulli")._ratio(S)
    np.testing.assert_allclose(back, 1 / ratio, rtol=1e-9)


@pytest.mark.parametrize("measure", ["bernoulli", "uniform_size"])
@pytest.mark.parametrize("sampling", [None, "bernoulli", "uniform_size"])
def test_a_linear_function_has_its_coefficients(measure, sampling):
    w = np.array([2.0, -1.0, 0.0, 0.5, 3.0, 1.5, -2.0, 0.25, 1.0, -0.5])
    fit = LinearFit(measure=measure, sampling=sampling, samples=300, regularizer=None)
    found = fit(soft_game(lambda S: S @ w + 3, 10))
    np.testing.assert_allclose(found.values, w, atol=1e-9)


def rough(S):
    S = np.asarray(S, float)
    return S[:, 0] * S[:, 1] * S[:, 2] + 2 * S[:, 3] * (S.sum(axis=1) > 4) + S[:, 5]


def test_weighed_back_it_is_lime_when_all_coalitions_count(oracle):
    """Σ over all S of (chance by size) · adj · kernel is the Bernoulli fit's own sum."""
    S = oracle.subsets(8)
    fit = LinearFit(sampling="uniform_size", regularizer=None)
    by_size = np.exp(fit._log_chance(S, uniform=True))
    assert by_size.sum() == pytest.approx(1)
    np.testing.assert_allclose(by_size * fit._ratio(S), 2.0**-8, rtol=1e-12)
    game = soft_game(rough, 8)
    tosses, sizes = (LinearFit(regularizer=None, sampling=s)(game) for s in (None, "uniform_size"))
    np.testing.assert_array_equal(tosses.values, sizes.values)
    kernel = np.exp(-(8 - S.sum(axis=1)) / (2 * 0.75**2 * 8))
    np.testing.assert_allclose(sizes.values, oracle.linear_fit(rough, 8, lambda Z: kernel)[0])


@pytest.mark.parametrize("measure", ["bernoulli", "uniform_size"])
@pytest.mark.parametrize("sampling", ["bernoulli", "uniform_size"])
def test_both_samplings_tend_to_the_measures_fit(measure, sampling):
    """The reference code stretches distances by adj, and not the weights: it fails here."""
    game = soft_game(rough, 8)
    exact = LinearFit(measure=measure, regularizer=None)(game, budget=256)
    assert exact.std_error is None
    fit = LinearFit(measure=measure, sampling=sampling, regularizer=None)
    found = [fit(game, budget=220, seed=seed) for seed in range(60)]
    values = np.array([e.values for e in found])
    gap = (values.mean(axis=0) - exact.values) / (values.std(axis=0, ddof=1) / np.sqrt(60))
    assert np.abs(gap).mean() < 2.5
    other = "bernoulli" if measure == "uniform_size" else "uniform_size"
    elsewhere = LinearFit(measure=other, regularizer=None)(game, budget=256)
    assert np.abs(exact.values - elsewhere.values).max() > 0.1  # two different questions


def test_a_labels_fit_does_not_depend_on_the_others(large):
    given = {"removal": Baseline(0), "sampling": "uniform_size", "budget": 200}
    every = xai.explain(large.model, large.x, "lime", target="all", **given)
    for label in (1, 0):
        one = xai.explain(large.model, large.x, "lime", target=label, **given)
        np.testing.assert_allclose(one.values, every.values[..., label], rtol=1e-9, atol=1e-12)
        for name, told in one.info.items():  # lime keeps the last label's alone
            np.testing.assert_allclose(told, every.info[name][..., label], rtol=1e-9)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (LinearFit(sampling="uniform"), "uniform_size"),
        (LinearFit(measure="lime"), "bernoulli"),
        (LinearFit("shapley", None, sampling="uniform_size"), "no effect"),
        (LinearFit(measure="uniform_size", p=0.3), "no effect"),
    ],
)
def test_what_a_fit_by_size_refuses(fit, message):
    with pytest.raises(ValueError, match=message):
        fit(soft_game(rough, 8))


def test_a_neighbourhood_draws_no_sizes(large):
    with pytest.raises(ValueError, match="no effect"):
        xai.explain(large.model, large.x, "lime", data=large.data, sampling="uniform_size")


def test_summaries_that_sample_coalitions_are_as_they_were(large):
    plain = MeanWhenIncluded(samples=50)
    assert plain == MeanWhenIncluded(0.5, 50) and plain.masks is None


def test_a_number_of_masks_is_told_what_it_is_called(pictures):
    model, x = pictures
    with pytest.raises(TypeError, match="samples="):
        xai.explain(model, x[:1], "rise", masks=500)


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "bool"])
def test_soft_masks_mix_integers_as_they_mix_floats(kind, dtype):
    """The difference of two small integers may not be one."""
    torch = pytest.importorskip("torch")
    low, high = {"int8": (-128, 128), "bool": (0, 2)}.get(dtype, (0, 256))
    rng = np.random.default_rng(0)
    x, data = (rng.integers(low, high, (rows, 4)).astype(dtype) for rows in (3, 6))

    def model(z):
        return ((np.asarray(z, np.float64) - low) @ [1.0, 2.0, 3.0, 4.0] / 1000) ** 2

    floats = xai.explain(model, x.astype(float), "sobol", data=data.astype(float))
    if kind == "tensor":
        x, data = torch.as_tensor(x), torch.as_tensor(data)
    found = xai.explain(model, x, "sobol", data=data)
    np.testing.assert_allclose(found.values, floats.values, atol=1e-6)
    assert np.ptp(floats.values) > 0.1


def test_a_pyramid_of_blurs_mixes_integer_tensors():
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8)

    def model(z):
        return np.asarray(z, np.float64)[:, :, 2:5, 2:5].mean((1, 2, 3)) ** 2 / 2**16

    given = {"players": xai.players.Patches(4), "removal": BlurPyramid(), "channel_axis": 1}
    floats, found = (
        xai.explain(model, x, "sobol", **given)
        for x in (images.astype(float), torch.as_tensor(images))
    )
    np.testing.assert_allclose(found.values, floats.values, atol=1e-5)
    assert np.ptp(floats.values) > 0.1
