"""Agreement metrics: closed forms of linear models, exhaustive and sampled; captum's numbers."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import chisquare, pearsonr, spearmanr

import xai
from xai import metrics
from xai.metrics.agreement import kind_of
from xai.metrics.subsets import of_halves
from xai.removal import Baseline, Noise
from xai.removal.base import Context, Draws
from xai.summary import LinearFit

W = np.array([3.0, -1.0, 0.5, 2.0, -2.5, 1.5])


def linear(x):
    return np.asarray(x) @ W + 4


def interacting(x):
    x = np.asarray(x)
    return x[:, 0] * x[:, 1] + np.tanh(x[:, 2]) - x[:, 3] * x[:, 4] ** 2 + x[:, 5]


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(5, 6))


@pytest.fixture
def a():
    return np.random.default_rng(1).normal(size=(5, 6))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_faithfulness_correlation_of_a_linear_model_does_not_depend_on_the_size(rows, a, size):
    """Exhaustive mu_F = Pearson(a_i, w_i (x_i - b_i)) for every size; Bhatt et al. 2020."""
    b = np.linspace(-1, 1, 6)
    score = metrics.faithfulness_correlation(
        linear, rows, a, removal=Baseline(b), subset_size=size, samples=20
    )
    expected = [pearsonr(r, W * (x - b))[0] for r, x in zip(a, rows, strict=True)]
    assert_allclose(score.values, expected)
    best = metrics.faithfulness_correlation(
        linear, rows, 2 * W * (rows - b) + 1, removal=Baseline(b), subset_size=size
    )
    assert_allclose(best.values, 1)
    worst = metrics.faithfulness_correlation(
        linear, rows, 1 - 2 * W * (rows - b), removal=Baseline(b), subset_size=size
    )
    assert_allclose(worst.values, -1)


@pytest.mark.parametrize("name", ["mu_fidelity", "monotonicity_correlation"])
def test_players_that_are_alike_but_for_rounding_share_their_rank(name):
    """An exact explanation of a linear model is never out of order; equal ones have none."""
    x = np.random.default_rng(0).integers(0, 2, size=(8, 10)) * 1.0
    weights = np.random.default_rng(1).integers(1, 4, size=10) / 10
    e = xai.explain(lambda z: z @ weights + 0.3, x, "exact_shapley", removal="baseline")
    score = getattr(metrics, name)(lambda z: z @ weights + 0.3, x, e)
    assert_allclose(score.values, 1)
    same = getattr(metrics, name)(
        lambda z: z.sum(axis=1), np.full((2, 10), 0.1), x[:2], removal="baseline"
    )
    assert np.isnan(same.values).all()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_mu_fidelity_of_contributions_is_1_and_of_their_negatives_is_less_1(rows, size):
    for sign in (1, -1):
        score = metrics.mu_fidelity(
            linear, rows, sign * W * rows, removal="baseline", subset_size=size
        )
        assert_allclose(score.values, sign)


@pytest.mark.parametrize(
    ("name", "by_hand"), [("faithfulness_correlation", pearsonr), ("mu_fidelity", spearmanr)]
)
def test_correlations_are_those_of_a_slow_loop(rows, a, name, by_hand):
    score = getattr(metrics, name)(interacting, rows, a, removal="baseline", subset_size=2)
    slow = []
    for x, r in zip(rows, a, strict=True):
        said, done = [], []
        for S in combinations(range(6), 2):
            changed = x.copy()
            changed[list(S)] = 0
            said.append(r[list(S)].sum())
            done.append((interacting(x[None]) - interacting(changed[None]))[0])
        slow.append(by_hand(said, done)[0])
    assert_allclose(score.values, slow)


def test_sampled_subsets_come_near_the_exhaustive_ones():
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(3, 20)), rng.normal(size=20)
    a = rng.normal(size=x.shape)
    sampled = metrics.faithfulness_correlation(
        lambda z: z @ w, x, a, removal="baseline", subset_size=5, samples=8000
    )
    expected = [pearsonr(r, w * z)[0] for r, z in zip(a, x, strict=True)]
    assert_allclose(sampled.values, expected, atol=0.05)


@pytest.mark.parametrize("name", ["faithfulness_correlation", "mu_fidelity", "infidelity"])
def test_sampled_subsets_hold_as_many_players_as_are_asked_for(name):
    """Not on average, as of coins: Xplique's "exactly" so many pixels are each tossed for."""
    removed = []
    f = lambda x: removed.extend((x == 0).sum(axis=1)) or x @ np.arange(20.0)  # noqa: E731
    x = np.ones((1, 20))
    getattr(metrics, name)(f, x, x, removal="baseline", subset_size=5, samples=100)
    assert sorted(removed) == [0] + [5] * 100


def test_occlusion_agrees_with_itself(rows):
    alone = [np.where(np.arange(6) == i, 0, rows) for i in range(6)]
    occluded = np.stack([interacting(rows) - interacting(x) for x in alone], axis=1)
    score = metrics.faithfulness_estimate(interacting, rows, occluded, removal="baseline")
    assert_allclose(score.values, 1)
    chunks = metrics.faithfulness_estimate(interacting, rows, occluded, removal="baseline", steps=6)
    assert_allclose(chunks.values, 1)
    linear_chunks = metrics.faithfulness_estimate(
        linear, rows, W * rows, removal="baseline", steps=3
    )
    assert_allclose(linear_chunks.values, 1)


def test_sensitivity_n_is_one_exactly_for_scaled_contributions(rows, a):
    good = metrics.sensitivity_n(linear, rows, 3 * W * rows + 0.1, removal="baseline")
    assert_allclose(good.info["correlations"], 1)
    assert good.info["correlations"].shape == (5, 10)
    assert (metrics.sensitivity_n(linear, rows, a, removal="baseline").values < 0.99).all()
    one = metrics.sensitivity_n(linear, rows[:1], a[:1], removal="baseline", subset_size=[1, 3])
    expected = pearsonr(a[0], W * rows[0])[0]
    assert_allclose(one.values, expected)  # a single row; Quantus needs two


def test_sensitivity_n_is_the_faithfulness_correlation_of_each_size(rows, a):
    """By row, over subsets that are drawn for each size: not one path, nor the first batch."""
    given = {"removal": "baseline", "samples": 50}
    every = metrics.sensitivity_n(interacting, rows, a, subset_size=[1, 2, 3, 5], **given)
    for column, size in enumerate((1, 2, 3, 5)):
        alone = metrics.faithfulness_correlation(interacting, rows, a, subset_size=size, **given)
        assert_allclose(every.info["correlations"][:, column], alone.values)
    assert_allclose(every.values, every.info["correlations"].mean(axis=1))
    assert (every.values < 0.99).all()


@pytest.mark.parametrize("d", [2, 3, 4])
def test_sensitivity_n_of_few_features(d):
    """Of all players there is one subset, which correlates with nothing: it is not asked for."""
    x, w = np.arange(1.0, 4 * d + 1).reshape(4, d), np.arange(1.0, d + 1)
    score = metrics.sensitivity_n(lambda z: z @ w, x, w * x, removal="baseline")
    assert_allclose(score.info["correlations"], 1)


def test_infidelity_of_a_linear_model(rows, a):
    """Halves: E(sum_S r)^2 = (sum r^2 + (sum r)^2)/4, r = a - w x; noise: sigma^2 ||a - w||^2."""
    r = a - W * rows
    halves = metrics.infidelity(linear, rows, a, removal="baseline", samples=64)
    assert_allclose(halves.values, ((r**2).sum(1) + r.sum(1) ** 2) / 4)
    noisy = metrics.infidelity(linear, rows, a, removal=Noise(0.5), samples=20000)
    assert_allclose(noisy.values, 0.25 * ((a - W) ** 2).sum(axis=1), rtol=0.05)
    assert_allclose(
        metrics.infidelity(linear, rows, np.tile(W, (5, 1)), removal=Noise(0.5)).values,
        0,
        atol=1e-20,
    )
    scaled = metrics.infidelity(linear, rows, -3 * W * rows, removal="baseline", normalise=True)
    assert_allclose(scaled.values, 0, atol=1e-20)


def test_the_least_infidelity_is_that_of_the_best_fit_without_an_intercept(rows):
    """a = E[IIᵀ]⁻¹ E[I Δ], and h beside it costs hᵀ E[IIᵀ] h more; Yeh et al. 2019."""
    S = (np.arange(64)[:, None] >> np.arange(6) & 1).astype(float)
    gone = interacting(rows)[:, None] - np.stack([interacting(np.where(s, 0, rows)) for s in S], 1)
    moment = S.T @ S / 64
    best = np.linalg.solve(moment, S.T @ gone.T / 64).T
    least = metrics.infidelity(interacting, rows, best, removal="baseline", samples=64).values
    assert (least > 0).all()
    h = np.random.default_rng(3).normal(size=rows.shape)
    beside = metrics.infidelity(interacting, rows, best + h, removal="baseline", samples=64).values
    assert_allclose(beside - least, np.einsum("ni,ij,nj->n", h, moment, h))


def test_infidelity_of_removing_everything_is_the_squared_completeness_gap():
    """I = x − b alone: so for Integrated Gradients it is the square of the quadrature's error."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    net, x = net.double(), 3 * torch.randn(5, 4).double()
    for steps, most in ((2, 10.0), (200, 1e-9)):
        e = xai.explain(net, x, "integrated_gradients", steps=steps)
        gap = metrics.completeness_gap(net, x, e, removal=Baseline(0)).values
        whole = metrics.infidelity(net, x, e, removal=Baseline(0), subset_size=4)
        assert_allclose(whole.values, gap**2, rtol=1e-6, atol=1e-20)
        assert_allclose(gap, np.abs(e.info["completeness_gap"]), atol=1e-12)
        assert (gap > 0).all() and (gap < most).all()


@pytest.mark.parametrize("normalise", [False, True])
def test_infidelity_equals_captums(normalise):
    torch = pytest.importorskip("torch")
    captum = pytest.importorskip("captum.metrics")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    net = net.double()
    x, a = torch.randn(5, 4).double(), torch.randn(5, 4).double()
    noise = torch.randn(40, 4).double()

    class Given(Noise):
        def bind(self, context: Context) -> Draws:
            own = context.inputs.block
            return Draws(lambda rows, t: (own[rows] - noise[t], np.arange(len(rows))), 40)

    def perturb(inputs):
        moved = noise.repeat(len(inputs) // 40, 1)  # captum repeats each row 40 times
        return moved, inputs - moved

    want = captum.infidelity(net, perturb, x, a, target=1, n_perturb_samples=40,
                             normalize=normalise)  # fmt: skip
    got = metrics.infidelity(net, x, a, target=1, removal=Given(), samples=40,
                             normalise=normalise)  # fmt: skip
    assert_allclose(got.values, want.numpy(), rtol=1e-9)


def test_infidelity_of_a_gradient_that_removes_equals_captums():
    """``Iᵀa`` with I = x − x′ of every subset: a gradient is exact for a linear model."""
    torch = pytest.importorskip("torch")
    captum = pytest.importorskip("captum.metrics")
    torch.manual_seed(0)
    x, b = torch.randn(5, 4).double(), torch.randn(4).double()
    S = torch.tensor(np.arange(16)[:, None] >> np.arange(4) & 1 == 1)

    def perturb(inputs):
        gone = S.repeat(len(inputs) // 16, 1) * (inputs - b)  # captum repeats each row 16 times
        return gone, inputs - gone

    line = torch.nn.Linear(4, 3).double()
    curved = torch.nn.Sequential(line, torch.nn.Tanh(), torch.nn.Linear(3, 3).double())
    for net in (line, curved):
        e = xai.explain(net, x, "gradient", target=1)
        want = captum.infidelity(net, perturb, x, torch.as_tensor(e.values), target=1,
                                 n_perturb_samples=16).detach()  # fmt: skip
        got = metrics.infidelity(net, x, e, removal=Baseline(b.numpy()))
        assert_allclose(got.values, want, rtol=1e-9, atol=1e-20)
        assert (got.values < 1e-20).all() == (net is line)
        # x's own order is not the players'
        again = metrics.infidelity(net, x, e, removal=Baseline(b.numpy()), players=[3, 2, 1, 0])
        assert_allclose(again.values, want, rtol=1e-9, atol=1e-20)
    with pytest.raises(ValueError, match="how far a derivative would be followed"):
        metrics.infidelity(net, x, e, removal=lambda x, kept: x * kept)


def test_surrogates_of_a_linear_model_are_perfect(rows, a):
    effect = metrics.lfa_error(linear, rows, W * rows, removal="baseline")
    slope = metrics.lfa_error(linear, rows, np.tile(W, (5, 1)), kind="slope", removal=Noise(0.5))
    as_effect = metrics.lfa_error(
        linear, rows, np.tile(W, (5, 1)), kind="slope", removal="baseline"
    )
    for score in (effect, slope, as_effect):
        assert_allclose(score.values, 0, atol=1e-20)
        assert_allclose(score.info["r2"], 1)
    bad = metrics.lfa_error(linear, rows, a, removal="baseline", samples=64)
    r = a - W * rows
    variance = ((W * rows) ** 2).sum(1) / 4
    assert_allclose(bad.info["r2"], 1 - ((r**2).sum(1) + r.sum(1) ** 2) / 4 / variance)
    with pytest.raises(ValueError, match="slope"):
        metrics.lfa_error(linear, rows, a, kind="effect", removal=Noise(0.5))


def test_noise_is_answered_by_slopes_and_removing_by_effects_of_the_same_gradient():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    f, x = torch.nn.Linear(6, 1).double(), torch.randn(5, 6).double() + 1
    e = xai.explain(f, x, "gradient")
    for removal in (Noise(0.5), Baseline(2.0)):
        assert_allclose(metrics.infidelity(f, x, e, removal=removal).values, 0, atol=1e-20)


def test_a_fit_to_noise_has_slopes_and_one_to_coalitions_effects():
    """Whatever the method is called: C-LIME's that removes otherwise, LIME's by displacement."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    f, x, zero = torch.nn.Linear(6, 1).double(), torch.randn(5, 6).double() + 1, Baseline(0.0)
    moved, to_gradients = Noise(0.3, displacements=True), partial(LinearFit, "uniform", None)
    for kind, method, parts in (
        ("slope", "c_lime", {"removal": moved}),
        ("slope", "lime", {"removal": moved}),
        ("slope", "lime", {"summary": to_gradients(loss="gradient", at="removed")}),
        ("effect", "lime", {"summary": to_gradients(loss="gradient", at="path")}),
        ("effect", "lime", {}),
        ("effect", "c_lime", {}),
    ):
        e = xai.explain(f, x, method, **{"removal": zero} | parts)
        score = metrics.lfa_error(f, x, e, removal=zero)
        assert (score.info["r2"] > 0.999).all()
        want = metrics.lfa_error(f, x, e, removal=zero, kind=kind)
        np.testing.assert_array_equal(score.values, want.values)
        if kind == "effect":
            with pytest.raises(ValueError, match="effects have no slopes"):
                metrics.lfa_error(f, x, e, removal=Noise(0.5))
    shares = xai.explain(f, x, "shapley", removal=moved)  # no fit, wherever its players are moved
    assert kind_of(shares) == "effect"


def test_the_worst_error_and_r2_of_a_surrogate_are_those_of_all_subsets(rows, a):
    score = metrics.lfa_error(interacting, rows, a, removal="baseline", samples=64)
    S = np.arange(64)[:, None] >> np.arange(6) & 1 == 1
    for i, (x, r) in enumerate(zip(rows, a, strict=True)):
        done = interacting(x[None]) - interacting(np.where(S, 0, x))
        error = S @ r - done
        assert score.values[i] == pytest.approx((error**2).mean())
        assert score.info["worst"][i] == pytest.approx(np.abs(error).max())
        assert score.info["r2"][i] == pytest.approx(1 - (error**2).mean() / done.var())


def test_infidelity_draws_anew_with_each_seed_and_comes_nearer_with_more():
    """Of 2^14 subsets: no copy of one and the same perturbation, and no seed is like another."""
    rng = np.random.default_rng(5)
    x, w, a = rng.normal(size=(4, 14)), rng.normal(size=14), rng.normal(size=(4, 14))
    r = a - w * x
    exact = ((r**2).sum(axis=1) + r.sum(axis=1) ** 2) / 4

    def errors(samples):
        scores = [metrics.infidelity(lambda z: z @ w, x, a, removal="baseline", seed=s,
                                     samples=samples).values for s in range(12)]  # fmt: skip
        assert len(np.unique(scores)) == 12 * 4
        return np.sqrt(np.mean((np.array(scores) / exact - 1) ** 2))

    assert errors(2000) < 0.1 * np.sqrt(200) * errors(20)
    assert errors(2000) < 0.1


@pytest.mark.parametrize(
    ("d", "method", "removal", "samples"),
    [(20, "c_lime", Noise(0.5, displacements=True), 60), (100, "lime", Baseline(0.0), 150)],
)
def test_a_fit_is_not_scored_by_what_it_was_fitted_to(d, method, removal, samples):
    """Few samples say little of others: by its own, of the same seed, a fit looked better."""
    rng = np.random.default_rng(5)
    weights, x = rng.normal(size=(d, 60)), rng.normal(size=(12, d)) * np.sqrt(20 / d)
    f = lambda z: np.sin(z @ weights).sum(axis=1)  # noqa: E731
    fit = LinearFit("uniform", None, samples=samples)
    e = xai.explain(f, x, method, removal=removal, summary=fit)
    for name in ("infidelity", "lfa_error"):
        own, *others = (
            getattr(metrics, name)(f, x, e, removal=removal, samples=samples, seed=seed).mean()
            for seed in range(9)
        )
        assert abs(own - np.mean(others)) < 4 * np.std(others)


@pytest.mark.parametrize("name", ["infidelity", "lfa_error"])
def test_noise_has_no_subsets(rows, name):
    slope = {"kind": "slope"} if name == "lfa_error" else {}
    with pytest.raises(ValueError, match="subset_size=2 counts removed players, and noise moves"):
        getattr(metrics, name)(linear, rows, rows, removal=Noise(0.5), subset_size=2, **slope)


def test_slopes_of_players_are_shared_out_among_their_elements():
    """An array of patches, where noise moves pixels; one of pixels is taken as it is."""
    rng = np.random.default_rng(0)
    x, a = rng.random((2, 1, 6, 6)), rng.random((2, 2, 2))
    pixels = np.kron(a, np.ones((3, 3)))[:, None] / 9
    f = lambda z: z.reshape(len(z), -1) @ np.arange(36.0)  # noqa: E731
    own = {"players": xai.players.Patches(3)}
    for name, given in (
        ("infidelity", {"removal": Noise(0.1)}),
        ("lfa_error", {"removal": Noise(0.1), "kind": "slope"}),
        ("lfa_error", {"removal": "baseline", "kind": "slope"}),
    ):
        metric = getattr(metrics, name)
        want = metric(f, x, pixels, **given, **own).values
        assert_allclose(metric(f, x, a.reshape(2, 4), **given, **own).values, want)
        uneven = metric(f, x, x, **given, **own).values
        if given["removal"] != "baseline":
            assert_allclose(uneven, metric(f, x, x, **given).values)


def test_values_of_groups_are_of_these_where_others_are_removed(rows):
    """They may be as many as the columns, or as the places, and in another order."""
    order = [2, 0, 5, 3, 1, 4]
    a = np.tile(W[order], (len(rows), 1))
    groups = [[column] for column in order]
    score = metrics.infidelity(linear, rows, a, removal=Noise(0.1), players=groups)
    assert_allclose(score.values, 0, atol=1e-20)
    series, turned = rows[:, None], np.argsort(order)[None]
    given = {"removal": Baseline(0.0), "players": turned, "channel_axis": 1}
    f = lambda x: linear(x[:, 0])  # noqa: E731
    patches = metrics.selectivity(f, series, a, size=1, **given)
    assert_allclose(patches.curve, metrics.deletion(f, series, a, **given).curve)


def test_effects_of_a_background_average_over_it(rows):
    data = np.random.default_rng(4).normal(size=(9, 6))
    score = metrics.lfa_error(linear, rows, np.tile(W, (5, 1)), kind="slope", data=data)
    assert_allclose(score.values, 0, atol=1e-20)


def test_monotonicity_correlation_of_squares(rows, a):
    score = metrics.monotonicity_correlation(interacting, rows, a, data=rows)
    slow = []
    for x, r in zip(rows, a, strict=True):
        changed = np.repeat(x[None, None], 6, axis=0).repeat(5, axis=1)
        for i in range(6):
            changed[i, :, i] = rows[:, i]
        values = interacting(changed.reshape(-1, 6)).reshape(6, 5) - interacting(x[None])
        slow.append(spearmanr(np.abs(r), (values**2).mean(axis=1))[0])
    assert_allclose(score.values, slow)


AGREEMENTS = [record.name for record in metrics.names() if record.home == "agreement"]


@pytest.mark.parametrize("name", AGREEMENTS)
def test_a_constant_added_to_the_model_changes_no_agreement(rows, a, name):
    """Nor is a prediction of 0 one to divide by, for which Quantus refuses the whole batch."""
    f = lambda x: interacting(x) - interacting(rows[:1])  # noqa: E731
    metric = getattr(metrics, name)
    found, want = (metric(g, rows, a, removal="baseline").values for g in (f, interacting))
    assert f(rows)[0] == 0
    assert_allclose(found, want, atol=1e-9)


def test_single_players_are_removed_one_by_one_however_many_they_are():
    w = np.random.default_rng(0).normal(size=1100)
    x, a = np.ones((2, 1100)), np.stack([w, np.cos(np.arange(1100))])
    score = metrics.faithfulness_estimate(lambda z: z @ w, x, a, removal="baseline")
    assert_allclose(score.values, [1, pearsonr(a[1], w).statistic])


def test_small_effects_have_ranks_beside_a_large_one():
    """Their squares would be equal but for rounding, beside the square of the large one."""
    w = np.array([1.0, 1e-7, 3e-7, 2e-7])
    score = metrics.monotonicity_correlation(
        lambda x: x @ w, np.ones((1, 4)), w[None], removal="baseline"
    )
    assert score.mean() == pytest.approx(1)


def test_subsets_are_evaluated_once_for_all_rows(rows, a, counting):
    model = counting(linear)
    metrics.faithfulness_correlation(model, rows, a, removal="baseline", subset_size=2)
    assert model.rows == 5 + 5 * 15


def test_halves_hold_every_subset_equally_often():
    """Their sizes are drawn, then the subsets of each size: all 16 of four players, chi-square."""
    met = np.concatenate([of_halves(4, 15, seed) for seed in range(400)])
    counts = np.bincount(met @ 2 ** np.arange(4), minlength=16)
    assert chisquare(counts).pvalue > 1e-3
    np.testing.assert_array_equal(of_halves(12, 20, 1), of_halves(12, 50, 1)[:20])
