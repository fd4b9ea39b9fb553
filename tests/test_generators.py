"""Generators with a known truth: closed forms against large samples, and the truth as promised."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.special import expit
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import xai
from xai import datasets
from xai.datasets.suppressor import Law
from xai.datasets.tetromino import backgrounds

MANY = 400_000
PARAMETERS = [(0.8, 0.5, 0.8), (1.3, 2.0, -0.5)]
REAL = ("breast_cancer", "wine", "digits", "photographs")
FETCHED = ("fetch_adult", "fetch_compas", "fetch_german_credit", "fetch_heloc")  # test_fetched.py
GENERATORS = {
    "suppressor2d": {"n": 20},
    "clustered": {"n": 20},
    "tetrominoes": {"n": 20, "scenario": "rigid", "background": "correlated"},
    "textures": {"n": 20},
    "shapes": {"n": 20},
}


@pytest.fixture(params=PARAMETERS, ids=str)
def many(request):
    s1, s2, c = request.param
    return Law(s1, s2, c), datasets.suppressor2d(MANY, s1=s1, s2=s2, c=c, seed=1)


def close(estimate, exact, tolerance=0.012):
    assert_allclose(estimate, exact, atol=tolerance, rtol=0)


# ---------------------------------------------------------------------------------- one family


def test_every_name_is_tested_here():
    functions = {n for n in datasets.__all__ if inspect.isfunction(getattr(datasets, n))}
    assert functions == {*REAL, *GENERATORS, *FETCHED}


@pytest.mark.parametrize("name", [*REAL, *GENERATORS])
def test_all_return_one_plain_object(name):
    data = getattr(datasets, name)(**GENERATORS.get(name, {}))
    assert type(data) is datasets.Dataset
    assert len(data.data) == len(data.target) == len(data)
    assert data.description
    assert data.citation
    assert set(np.unique(data.target)) <= set(range(len(data.target_names)))
    assert len(data.feature_names) == (data.data.shape[1] if data.data.ndim == 2 else 0)
    assert (data.truth is not None) == (name in GENERATORS)
    arrays = [data.data, data.target, *data.info.values(), *data.attributions.values()]
    for array in arrays if data.truth is None else [*arrays, data.truth]:
        assert not array.flags.writeable
    with pytest.raises(TypeError):
        data.info["mine"] = 0
    assert "array" not in repr(data)


@pytest.mark.parametrize("name", GENERATORS)
def test_seeds_repeat_and_no_global_state_is_touched(name):
    make, options = getattr(datasets, name), GENERATORS[name]
    before = np.random.get_state()[1].copy()  # noqa: NPY002 — held against it
    one, same, other = (make(seed=seed, **options) for seed in (3, 3, 4))
    assert_array_equal(one.data, same.data)
    assert_array_equal(one.truth, same.truth)
    assert (one.data != other.data).any()
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    with pytest.raises(TypeError, match="seed must be an int"):
        make(seed=None, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("suppressor2d", {"n": 0}, "n must be at least 1"),
        ("suppressor2d", {"s1": 0.0}, "must be positive"),
        ("suppressor2d", {"s2": -1.0}, "must be positive"),
        ("suppressor2d", {"c": 1.0}, "within"),
        ("suppressor2d", {"c": -1.0}, "within"),
        ("clustered", {"clusters": 0}, "clusters must be at least 1"),
        ("clustered", {"features": 0}, "features must be at least 1"),
        ("tetrominoes", {"scenario": "liner"}, "linear"),
        ("tetrominoes", {"background": "photos"}, "photographs"),
        ("tetrominoes", {"size": 12}, "multiple of 8"),
        ("tetrominoes", {"size": 512, "background": "photographs"}, "427 pixels high"),
        ("tetrominoes", {"size": 0}, "size must be at least 8"),
        ("tetrominoes", {"signal": 1.0}, "within"),
        ("tetrominoes", {"signal": 0.0}, "within"),
        ("textures", {"noise": np.nan}, "negative"),
        ("shapes", {"cells": 0}, "cells must be at least 1"),
        ("textures", {"size": 30}, "multiple of cells"),
        ("textures", {"noise": -1.0}, "negative"),
        ("shapes", {"size": 30}, "multiple of cells"),
        ("shapes", {"noise": -1.0}, "negative"),
    ],
)
def test_what_cannot_be_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(datasets, name)(**options)


@pytest.mark.parametrize("count", [2.5, "3", True])
def test_counts_are_whole_numbers(count):
    with pytest.raises(TypeError, match=f"n must be an integer, not {count!r}"):
        datasets.textures(count)


# ---------------------------------------------------------------------------------- suppressor


def test_weights_are_the_best_linear_model(many):
    _, data = many
    lda = LinearDiscriminantAnalysis().fit(data.data, data.target)
    w = lda.coef_[0] / np.linalg.norm(lda.coef_[0])
    close(w, data.info["weights"])
    close(np.cov(data.data.T), data.info["covariance"], 0.03)
    close(lda.score(data.data, data.target), data.info["best_accuracy"], 0.003)
    close(np.corrcoef(data.data[:, 1], data.target)[0, 1], 0.0)
    assert_allclose(data.model(data.data), data.data @ data.info["weights"])


def test_effects_are_what_is_lost_with_the_feature_at_its_mean(many):
    _, data = many
    x = data.data[:50]
    for j in range(2):
        without = np.where(np.arange(2) == j, 0.0, x)
        lost = data.model(x) - data.model(without)
        for name in ("occlusion", "gradient_x_input", "integrated_gradients", "shapley"):
            assert_allclose(data.attributions[name][:50, j], lost, atol=1e-12)


def test_counterfactual_reaches_the_boundary_by_the_shortest_way(many):
    _, data = many
    step = data.attributions["counterfactual"]
    assert_allclose(data.model(data.data + step), 0.0, atol=1e-12)
    assert_allclose(np.linalg.norm(step, axis=1), np.abs(data.model(data.data)), atol=1e-12)


def conditional_mean(f, given, bins=60):
    """Mean of f in bins of equal count, and the mean of `given` there."""
    order = np.argsort(given)
    parts = np.array_split(order, bins)
    return np.array([[given[p].mean(), f[p].mean(), given[p].std()] for p in parts])


def test_m_plot_is_the_conditional_mean_and_0_for_the_suppressor(many):
    law, data = many
    f = data.model(data.data)
    inner = conditional_mean(f, data.data[:, 0])[3:-3]
    close(inner[:, 1], law.given_x1(inner[:, 0]), 0.03)
    close(conditional_mean(f, data.data[:, 1])[3:-3, 1], 0.0, 0.05)
    m = law.given_x1(data.data[:, 0])
    assert_allclose(data.attributions["m_plot"][:, 0], m)
    assert_array_equal(data.attributions["m_plot"][:, 1], 0)
    close(m.std(), data.attributions["firm"][0])
    assert data.attributions["firm"][1] == 0


def test_conditional_shapley_and_its_variances(many):
    """v(∅) = 0, v(1) = E[f|x1], v(2) = 0, v(12) = f, by enumeration."""
    law, data = many
    f, m = data.model(data.data), law.given_x1(data.data[:, 0])
    phi = np.stack([(m + (f - 0)) / 2, (0 + (f - m)) / 2], axis=1)
    assert_allclose(data.attributions["conditional_shapley"], phi)
    v1, v12 = m.var(), f.var()
    close(data.attributions["shapley_effects"], [(v1 + v12) / 2, (v12 - v1) / 2])


def test_patterns_are_covariances_with_the_model(many):
    _, data = many
    f = data.model(data.data)
    covariance = np.array([np.cov(data.data[:, j], f)[0, 1] for j in range(2)])
    close(data.attributions["pattern"], covariance, 0.03)
    close(data.attributions["haufe"], covariance / f.var(), 0.02)
    assert data.attributions["pattern"][1] == pytest.approx(0, abs=1e-15)


def test_permutation_importance(many):
    _, data = many
    z, rng = 2.0 * data.target - 1, np.random.default_rng(5)
    f = data.model(data.data)
    for j in range(2):
        shuffled = data.data.copy()
        shuffled[:, j] = rng.permutation(shuffled[:, j])
        g = data.model(shuffled)
        squared = ((z - g) ** 2).mean() - ((z - f) ** 2).mean()
        errors = (np.sign(g) != z).mean() - (np.sign(f) != z).mean()
        close(data.attributions["permutation_test"][j], squared, 0.03)
        close(data.attributions["permutation_test_0_1"][j], errors, 0.005)


def test_losses_and_r_squared(many):
    law, data = many
    z = 2.0 * data.target - 1
    parts = data.data * law.w

    def v(*kept):
        return -((z - parts[:, list(kept)].sum(axis=1)) ** 2)

    phi = np.stack([v(0) - v() + v(0, 1) - v(1), v(1) - v() + v(0, 1) - v(0)], axis=1) / 2
    assert_allclose(data.attributions["loss_shap"], phi, atol=1e-12)
    close(data.attributions["sage"], phi.mean(axis=0), 0.03)

    def r2(*columns):
        x = np.column_stack([np.ones(len(z)), data.data[:, list(columns)]])
        return 1 - (z - x @ np.linalg.lstsq(x, z)[0]).var() / z.var()

    net = np.array([r2(0) + r2(0, 1) - r2(1), r2(1) + r2(0, 1) - r2(0)]) / 2
    close(data.attributions["net_effects"], net, 0.005)
    close(data.attributions["univariate"], [r2(0), r2(1)], 0.005)


def test_without_correlation_nothing_is_attributed_to_the_second_feature():
    data = datasets.suppressor2d(200, c=0.0)
    for name, values in data.attributions.items():
        assert_allclose(values[..., 1], 0, atol=1e-12, err_msg=name)
        assert np.abs(values[..., 0]).max() > 0


# ------------------------------------------------------------------------------------ clusters


def test_truth_is_the_gradient_of_the_log_odds():
    data = datasets.clustered(300, features=6, clusters=9)
    x, step = data.data, 1e-5

    def log_odds(rows):
        p = data.model(rows)
        return np.log(p) - np.log1p(-p)

    for j in range(6):
        moved = x + step * np.eye(6)[j]
        same = data.model.cluster(moved) == data.info["cluster"]
        slope = (log_odds(moved) - log_odds(x)) / step
        assert same.mean() > 0.99
        assert_allclose(slope[same], data.truth[same, j], atol=1e-4)


def test_the_class_of_a_cluster_is_above_the_median_alone():
    assert datasets.clustered(301, features=4, clusters=8).target.sum() == 150


def test_clusters_are_as_the_paper_makes_them():
    data = datasets.clustered(20_000, seed=2)
    centres, cluster = data.info["centres"], data.info["cluster"]
    assert ((centres % 5 == 0) & (centres >= 0)).all()
    assert ((centres > 0).sum(axis=1) == 1).all()
    assert len(np.unique(centres, axis=0)) == 100
    assert_array_equal(cluster, cdist(data.data, centres).argmin(axis=1))
    assert np.bincount(cluster).min() > 100  # of 200 on average
    assert abs(data.info["masks"].mean() - 0.5) < 0.05
    assert -1 < data.info["weights"].min() < -0.5 < 0.5 < data.info["weights"].max() < 1
    close((data.data - centres[cluster]).std(axis=0), 1.0, 0.05)
    assert abs(data.target.mean() - 0.5) < 0.01
    assert_array_equal(data.truth, (data.info["masks"] * data.info["weights"])[cluster])
    assert_allclose(data.model(data.data), expit((data.data * data.truth).sum(axis=1)))


def test_explanations_of_the_model_find_the_truth():
    """A slope from many small displacements is p(1 − p) times the truth."""
    data = datasets.clustered(20, features=5, clusters=10, seed=1)
    x = data.data
    p = data.model(x)
    for j in range(5):
        slope = (data.model(x + 1e-6 * np.eye(5)[j]) - p) / 1e-6
        assert_allclose(slope, p * (1 - p) * data.truth[:, j], atol=1e-5)


# ---------------------------------------------------------------------------------- tetrominoes

LEARNABLE = {("linear", "white"), ("linear", "correlated"), ("linear", "photographs")}


@pytest.mark.parametrize("background", ["white", "correlated", "photographs"])
@pytest.mark.parametrize("scenario", ["linear", "multiplicative", "rigid", "xor"])
def test_only_the_linear_scenario_is_linearly_separable(scenario, background):
    data = datasets.tetrominoes(2000, scenario=scenario, background=background)
    x = data.data.reshape(len(data), -1)
    score = cross_val_score(LogisticRegression(max_iter=2000), x, data.target, cv=4).mean()
    assert score > 0.8 if (scenario, background) in LEARNABLE else score < 0.65


@pytest.mark.parametrize("background", ["white", "correlated", "photographs"])
@pytest.mark.parametrize("scenario", ["linear", "multiplicative", "xor"])
def test_the_class_lies_within_the_truth_and_nowhere_else(scenario, background):
    """Products and squares of the true pixels tell the class; those of all others do not."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    data = datasets.tetrominoes(1500, scenario=scenario, background=background, seed=3)
    x, inside = data.data.reshape(len(data), -1), data.truth[0].ravel()
    if background == "white":
        learner = make_pipeline(
            PolynomialFeatures(2), StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)
        )
        assert cross_val_score(learner, x[:, inside], data.target, cv=3).mean() > 0.75
    # unit length ties the others' size to the pattern's only through noise the classes share
    trees = ExtraTreesClassifier(100, random_state=0)
    assert cross_val_score(trees, x[:, ~inside], data.target, cv=3).mean() < 0.57


@pytest.mark.parametrize("size", [8, 32])
def test_difference_of_classes_is_the_truth(size):
    """Mean images differ on the tetrominoes only, by α/|a| (linear)."""
    data = datasets.tetrominoes(4000, size=size, signal=0.5)
    pattern = data.data[data.target == 0].mean(axis=0) - data.data[data.target == 1].mean(axis=0)
    inside = data.truth[0]
    assert inside.sum() == 8 * (size // 8) ** 2
    per_pixel = size * 0.5 / np.sqrt(inside.sum() / 2)
    assert_allclose(np.abs(pattern[0][inside]), per_pixel, atol=0.12)
    assert_allclose(pattern[0][~inside], 0, atol=0.12)


@pytest.mark.parametrize(
    ("scenario", "alpha"), [("linear", 0.2), ("multiplicative", 0.6), ("rigid", 0.3), ("xor", 0.2)]
)
def test_images_are_mixed_of_a_pattern_and_noise_of_length_1(scenario, alpha):
    data = datasets.tetrominoes(60, scenario=scenario, size=16)
    x, inside = data.data[:, 0] / 16, data.truth
    if scenario == "multiplicative":
        fixed = datasets.tetrominoes(60, scenario="linear", size=16, signal=0.999).data[:, 0] > 1
        noise = [np.where(fixed, x / (1 - alpha), x)]
    else:
        shapes = [inside]
        if scenario in ("linear", "xor"):
            T, L = (np.arange(16)[:, None] < 8) & inside, (np.arange(16)[:, None] >= 8) & inside
            shapes = [T + 0.0, L + 0.0] if scenario == "linear" else [T + L + 0.0, T - 1.0 * L]
        both = [s * a for a in shapes for s in (1, -1)]
        noise = [(x - alpha * a / np.sqrt((a**2).sum((1, 2), keepdims=True))) / (1 - alpha)
                 for a in both]  # fmt: skip
    assert data.target_names == (
        ("equal signs", "opposite signs") if scenario == "xor" else ("T", "L")
    )
    lengths = np.sqrt((np.array(noise) ** 2).sum(axis=(2, 3)))
    found = np.isclose(lengths, 1, rtol=1e-9)
    assert found.any(axis=0).all()
    if scenario in ("linear", "xor"):
        which = found.argmax(axis=0)  # T and L, or of equal and of opposite signs
        assert_array_equal(which // 2, data.target)
        assert len(set(which % 2)) == (1 if scenario == "linear" else 2)


def test_rigid_shapes_are_turned_by_every_quarter():
    truth = datasets.tetrominoes(200, scenario="rigid").truth
    boxes = [image[np.ix_(image.any(axis=1), image.any(axis=0))] for image in truth]
    assert len({(box.shape, box.tobytes()) for box in boxes}) == 8  # of a T and of an L


def test_rigid_shapes_are_where_the_truth_says():
    data = datasets.tetrominoes(300, scenario="rigid", signal=0.95)
    bright = data.data[:, 0] > 0.5 * data.data[:, 0].max(axis=(1, 2), keepdims=True)
    assert_array_equal(bright, data.truth)
    assert (data.truth.sum(axis=(1, 2)) == 4).all()
    assert len(np.unique(data.truth, axis=0)) > 100
    assert data.truth.any(axis=0).all()


def test_correlated_noise_is_correlated():
    white, smooth, photo = (
        datasets.tetrominoes(300, size=64, background=b, signal=0.01).data[:, 0]
        for b in ("white", "correlated", "photographs")
    )

    def neighbours(images):
        return np.corrcoef(images[:, :, 1:].ravel(), images[:, :, :-1].ravel())[0, 1]

    assert abs(neighbours(white)) < 0.01
    assert neighbours(smooth) > 0.9
    assert neighbours(photo) > 0.8


@pytest.mark.parametrize(("size", "sigma"), [(8, 1.0), (64, 3.0)])
def test_correlated_noise_is_the_same_at_every_place(size, sigma):
    """White noise that a Gaussian smooths: neighbours correlate by exp(−1/4σ²), at the edge too."""
    noise = backgrounds("correlated", 200_000 // size**2, size, np.random.default_rng(0))
    spread = (noise**2).mean(axis=0)
    edge = np.r_[spread[0], spread[-1], spread[:, 0], spread[:, -1]].mean()
    assert edge == pytest.approx(spread.mean(), rel=0.15)
    close((noise * np.roll(noise, 1, axis=2)).mean() / spread.mean(), np.exp(-0.25 / sigma**2))


@pytest.mark.parametrize(("size", "step"), [(64, 1), (16, 4)])
def test_photographs_are_the_luminance_of_small_crops(size, step, monkeypatch):
    """Of a ramp in red down and green across: a plane, without its mean."""
    ramp = np.stack([*np.indices((80, 96)), np.zeros((80, 96))], axis=-1)
    two = SimpleNamespace(data=np.stack([ramp, ramp + 50.0]))
    monkeypatch.setattr("xai.datasets.real.photographs", lambda: two)
    down, across = (np.indices((size, size)) - (size - 1) / 2) * step
    for crop in backgrounds("photographs", 5, size, np.random.default_rng(0)):
        assert_allclose(crop, 0.299 * down + 0.587 * across, atol=1e-9)


# ------------------------------------------------------------------------------------- textures


def test_the_class_is_the_planted_texture():
    data = datasets.textures(60, size=32, cells=4, noise=0.0)
    concept = data.info["concept"]
    assert ((concept == data.target[:, None, None]).sum(axis=(1, 2)) == 4).all()
    assert ((concept >= 3) | (concept == data.target[:, None, None])).all()
    blocks = data.truth.reshape(60, 4, 8, 4, 8)
    assert (blocks.all(axis=(2, 4)) == blocks.any(axis=(2, 4))).all()
    assert_array_equal(blocks.all(axis=(2, 4)), concept == data.target[:, None, None])


@pytest.mark.parametrize("make", [datasets.textures, datasets.shapes])
def test_noise_is_each_images_own_and_as_large_as_told(make):
    still, noisy = (make(20, size=32, noise=noise).data for noise in (0.0, 0.5))
    noise = (noisy - still).reshape(20, -1)
    close(noise.std(), 0.5)
    assert np.abs(np.corrcoef(noise) - np.eye(20)).max() < 0.2


@pytest.mark.parametrize("make", [datasets.textures, datasets.shapes])
@pytest.mark.parametrize("cells", [1, 2, 3])
def test_a_quarter_of_the_squares_and_at_least_one_are_the_classs_own(make, cells):
    data = make(40, size=8 * cells, cells=cells)
    own = data.info["concept"].reshape(40, -1) == data.target[:, None]
    assert (own.sum(axis=1) == max(1, cells**2 // 4)).all()
    assert own.any(axis=0).all()  # at any place


def test_textures_differ_by_their_spectra():
    """The nearest mean spectrum of squares names the texture."""
    data = datasets.textures(200, size=64, cells=4, noise=0.2)
    squares = (
        data.data[:, 0].reshape(200, 4, 16, 4, 16).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 16)
    )
    spectra = np.abs(np.fft.rfft2(squares)).reshape(len(squares), -1)
    concept = data.info["concept"].ravel()
    half = len(concept) // 2
    means = np.stack([spectra[:half][concept[:half] == k].mean(axis=0) for k in range(6)])
    nearest = ((spectra[half:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == concept[half:]).mean() > 0.95


# --------------------------------------------------------------------------------------- shapes


def test_the_truth_is_the_pixels_of_the_classs_own_shapes():
    data = datasets.shapes(60, size=64, cells=4, noise=0.0)
    concept = data.info["concept"]
    assert ((concept == data.target[:, None, None]).sum(axis=(1, 2)) == 4).all()
    own = np.moveaxis(data.data, 1, -1)[data.truth]
    brightest = np.repeat(data.target, data.truth.sum(axis=(1, 2)))
    assert_array_equal(own.argmax(axis=1), brightest)  # red, green, blue
    assert (own.max(axis=1) >= 0.7).all() and (np.sort(own, axis=1)[:, :2] == 0).all()
    assert len(np.unique(own.max(axis=1))) == 60 * 4  # each is as bright as it happens to be
    places = data.truth.reshape(60, 4, 16, 4, 16).any(axis=(2, 4))
    assert_array_equal(places, concept == data.target[:, None, None])
    background = (data.data == 0.5).all(axis=1)
    assert 0.3 < background.mean() < 0.9


def test_every_shape_has_its_own_outline():
    """Of one size, they share at most three quarters of their pixels."""
    data = datasets.shapes(300, size=96, cells=2, noise=0.0, seed=1)
    inside = (data.data != 0.5).any(axis=1).reshape(300, 2, 48, 2, 48).transpose(0, 1, 3, 2, 4)
    inside, concept = inside.reshape(-1, 48 * 48), data.info["concept"].ravel()
    area = [inside[concept == k].mean() for k in range(6)]
    mean = np.stack([inside[concept == k].mean(axis=0) for k in range(6)])
    assert min(area) > 0.05
    apart = np.abs(mean[:, None] - mean[None]).sum(axis=2) / mean.sum(axis=1)
    assert apart[~np.eye(6, dtype=bool)].min() > 0.15


# ------------------------------------------------------------------------- used with the library


def test_explanations_of_the_suppressor_are_the_closed_forms():
    data = datasets.suppressor2d(200)
    x = data.data[:5]
    centred = data.data - data.data.mean(axis=0)  # the sample's mean is the population's
    for method in ("occlusion", "shapley", "kernel_shap"):
        e = xai.explain(data.model, x, method, data=centred)
        assert_allclose(e.values, data.attributions["shapley"][:5], atol=1e-10)


def test_read_only_rows_go_into_modules_without_a_warning():
    torch = pytest.importorskip("torch")
    data = datasets.suppressor2d(50)
    module = torch.nn.Linear(2, 1).double()
    e = xai.explain(module, data.data[:3], "shapley", data=data.data)
    w = module.weight[0].detach().numpy()
    assert_allclose(e.values, w * (data.data[:3] - data.data.mean(axis=0)), atol=1e-12)


@pytest.mark.parametrize(
    "module", ["real", "suppressor", "clusters", "tetromino", "planted", "dataset"]
)
def test_examples_run(module):
    done = doctest.testmod(import_module(f"xai.datasets.{module}"))
    assert done.attempted > 0
    assert done.failed == 0
