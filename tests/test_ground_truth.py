"""Metrics against a truth: slow re-implementations, hand-made cases, and what is undefined."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from itertools import combinations, pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import hypergeom, spearmanr
from sklearn.metrics import roc_auc_score

import xai
from xai import datasets, metrics
from xai.players import Patches

STUDY = Path(__file__).parents[1] / "benchmarks" / "suppressor.py"
spec = spec_from_file_location("suppressor_study", STUDY)
study = module_from_spec(spec)
spec.loader.exec_module(study)
LOCAL = ("pointing_game", "relevance_mass", "relevance_rank", "roc_auc", "iou", "suppressor_mass")
AGREE = ("feature_agreement", "rank_agreement", "sign_agreement", "signed_rank_agreement")
PAIRS = ("rank_correlation", "pairwise_rank_agreement")


def local(name, a, mask, **options):
    return getattr(metrics, name)(None, None, a, mask=mask, **options).values


def agree(name, a, g, **options):
    return getattr(metrics, name)(None, None, a, reference=g, **options).values


@pytest.fixture
def rows():
    """Attributions with many equals, and masks, of 30 rows of 7 features."""
    rng = np.random.default_rng(0)
    a = rng.integers(-2, 4, (30, 7)).astype(float)
    mask = rng.random((30, 7)) < 0.4
    mask[mask.all(axis=1) | ~mask.any(axis=1), :3] = [True, False, True]
    return a, mask


def over_orders(a, score):
    """Mean score over all orders of the features in which |values| fall: equals by chance."""
    scores = [
        score(list(order))
        for order in permutations(range(len(a)))
        if all(a[i] >= a[j] for i, j in pairwise(order))
    ]
    return np.mean(scores)


# --------------------------------------------------------------------------------- localisation


def test_counting_metrics_are_expectations_over_the_order_of_equals(rows):
    a, mask = rows
    a, mask = a[:8], mask[:8]
    for i, (r, m) in enumerate(zip(a, mask, strict=True)):
        K = int(m.sum())
        points = over_orders(r, lambda order, m=m: m[order[0]])
        ranks = over_orders(r, lambda order, m=m, K=K: m[order[:K]].mean())
        assert local("pointing_game", a, mask)[i] == pytest.approx(points)
        assert local("relevance_rank", a, mask)[i] == pytest.approx(ranks)
        top = over_orders(
            r, lambda order, m=m: m[order[:3]].sum() / (m.sum() + (~m)[order[:3]].sum())
        )
        assert local("iou", a, mask, k=3)[i] == pytest.approx(top)


@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1.0, 1e150])
@pytest.mark.parametrize("name", ["pointing_game", "relevance_rank", "roc_auc", "iou"])
def test_equals_but_for_rounding_are_equals(name, scale, rows):
    """Beside features that a row does not have, too."""
    a, mask = rows
    a = a * scale
    near = a * (1 + 1e-15 * np.random.default_rng(1).integers(-1, 2, a.shape))
    padding, beside = np.full((len(a), 2), np.nan), np.ones((len(a), 2), bool)
    padded = np.concatenate([near, padding], axis=1), np.concatenate([mask, beside], axis=1)
    for given in ((near, mask), padded):
        assert_allclose(local(name, *given), local(name, a, mask), rtol=1e-9)


def test_masses_by_hand(rows):
    a, mask = rows
    for i, (r, m) in enumerate(zip(a, mask, strict=True)):
        positive = [v if v > 0 else 0 for v in r]
        inside = sum(v for v, hit in zip(positive, m, strict=True) if hit)
        assert local("relevance_mass", a, mask)[i] == pytest.approx(inside / sum(positive))
        outside = sum(abs(v) for v, hit in zip(r, m, strict=True) if not hit)
        total = sum(abs(v) for v in r)
        assert local("suppressor_mass", a, mask)[i] == pytest.approx(outside / total)


def test_roc_auc_is_scikit_learns(rows):
    a, mask = rows
    expected = [roc_auc_score(m, r) for r, m in zip(a, mask, strict=True)]
    assert_allclose(local("roc_auc", a, mask), expected)


@pytest.mark.parametrize("k", [None, 2, 0.5, [1, 3]])
def test_iou_is_that_of_sets(k):
    rng = np.random.default_rng(1)
    a, mask = rng.normal(size=(20, 9)), rng.random((20, 9)) < 0.4
    mask[:, 0] = True
    for i, (r, m) in enumerate(zip(a, mask, strict=True)):
        sizes = {None: [m.sum()], 2: [2], 0.5: [5]}.get(k if not isinstance(k, list) else 0, [1, 3])
        truth = set(np.flatnonzero(m))
        tops = [set(np.argsort(-r)[:s]) for s in sizes]
        expected = np.mean([len(t & truth) / len(t | truth) for t in tops])
        assert local("iou", a, mask, k=k)[i] == pytest.approx(expected)


def test_iou_of_many_equals_is_the_hypergeometrics_mean():
    inside, met = np.arange(4000) % 2 == 0, np.arange(1001)
    expected = (hypergeom.pmf(met, 4000, 2000, 1000) * met / (3000 - met)).sum()
    assert local("iou", np.zeros((1, 4000)), inside, k=1000).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", LOCAL)
def test_a_perfect_attribution_is_best_and_the_opposite_worst(name):
    order = np.random.default_rng(2).random((12, 9)).argsort(axis=1)
    mask = order < np.arange(12)[:, None] % 4 + 1  # 1 to 4 of 9
    best, worst = (0.0, 1.0) if name == "suppressor_mass" else (1.0, 0.0)
    assert_allclose(local(name, mask.astype(float), mask), best, atol=1e-12)
    assert_allclose(local(name, 1.0 - mask, mask), worst, atol=1e-12)


@pytest.mark.parametrize("name", LOCAL)
def test_an_empty_mask_has_no_score_and_the_score_says_so(name):
    mask = np.array([[True, False, False], [False] * 3])
    score = getattr(metrics, name)(None, None, np.array([[3.0, 1.0, 2.0]] * 2), mask=mask)
    assert np.isnan(score.values).tolist() == [False, True]
    assert score.undefined == 1
    assert "undefined (NaN) for 1" in repr(score)


def test_nothing_attributed_is_chance_or_undefined():
    a, mask = np.zeros((1, 4)), [True, False, False, False]
    assert local("pointing_game", a, mask)[0] == 0.25
    assert local("relevance_rank", a, mask)[0] == 0.25
    assert local("roc_auc", a, mask)[0] == 0.5
    assert np.isnan(local("relevance_mass", a, mask)[0])
    for covered in (mask, [True] * 4):
        assert np.isnan(local("suppressor_mass", a, covered)[0])
    assert np.isnan(local("roc_auc", a, [True] * 4)[0])
    beside = np.array([[0.0, 0.0, 0.0, np.nan], [1.0, 0.0, 0.0, 0.0]])
    assert local("roc_auc", beside, [True, False, False, False])[0] == 0.5


@pytest.mark.parametrize("name", LOCAL)
def test_localisation_knows_nothing_of_other_rows_and_changes_nothing(name, rows):
    a, mask = rows
    kept = a.copy(), mask.copy()
    whole = local(name, a, mask)
    alone = np.concatenate([local(name, a[i : i + 1], mask[i : i + 1]) for i in range(len(a))])
    assert_array_equal(whole, alone)
    assert_array_equal(a, kept[0])
    assert_array_equal(mask, kept[1])
    scaled = local(name, 7.0 * a, mask)
    assert_allclose(whole, scaled)


def test_pooled_suppressor_mass_is_a_ratio_of_means(rows):
    a, mask = rows
    score = metrics.suppressor_mass(None, None, a, mask=mask)
    pooled = np.abs(a)[~mask].sum() / np.abs(a).sum()
    assert float(score.info["pooled"]) == pytest.approx(pooled)


@pytest.mark.parametrize("name", LOCAL)
def test_units_without_places_in_x_are_masked_as_they_are(name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    players = xai.players.Units("1")
    e = xai.explain(net, torch.rand(6, 3), "occlusion", players=players, removal="baseline")
    mask = np.arange(24).reshape(6, 4) % 3 == 1
    assert_array_equal(local(name, e, mask), local(name, e.values, mask))
    with pytest.raises(ValueError, match=r"mask of shape \(9, 9\) does not fit"):
        local(name, e, np.ones((9, 9)))


def test_masks_of_images_come_in_every_shape():
    rng = np.random.default_rng(3)
    a = rng.normal(size=(3, 3, 8, 8))
    mask = rng.random((3, 8, 8)) < 0.3
    flat = a.mean(axis=1).reshape(3, -1)
    expected = local("roc_auc", flat, mask.reshape(3, -1))
    assert_allclose(local("roc_auc", a, mask), expected)
    assert_allclose(local("roc_auc", a.transpose(0, 2, 3, 1), mask), expected)
    assert_allclose(local("roc_auc", a, mask.astype(float)), expected)
    one = local("roc_auc", a[:2], mask[0])
    assert_allclose(one, local("roc_auc", flat[:2], mask[0].ravel()))
    whole = np.broadcast_to(mask[:, None], a.shape)
    assert_allclose(
        local("roc_auc", a, whole), local("roc_auc", a.reshape(3, -1), whole.reshape(3, -1))
    )
    with pytest.raises(ValueError, match="does not fit"):
        local("roc_auc", a, mask[:, :7])


def test_explanations_of_images_are_spread_over_their_pixels():
    data = datasets.tetrominoes(6, signal=0.6)
    truth = data.truth[0].astype(float)

    def model(x):
        return (np.asarray(x)[:, 0] * truth).sum(axis=(1, 2))

    e = xai.explain(model, data.data, "occlusion")
    assert e.values.shape == (6, 8, 8)
    score = metrics.roc_auc(model, data.data, np.abs(e.values), mask=data.truth)
    assert_allclose(score.values, 1.0)
    by_patch = xai.explain(model, data.data, "occlusion", players=Patches(2))
    spread = metrics.relevance_mass(model, data.data, by_patch, mask=data.truth)
    expected = local("relevance_mass", by_patch.map()[:, 0], data.truth)
    assert_allclose(spread.values, expected)


def test_grid_pointing_by_hand():
    a = np.zeros((2, 5, 5))
    a[:, 0, 0], a[:, 0, 4], a[:, 4, 4] = 1.0, 2.0, 5.0
    a[:, 4, 0] = -9.0
    score = metrics.grid_pointing(None, None, a, cell=[0, 3])
    assert_allclose(score.values, [1 / 8, 5 / 8])
    both = metrics.grid_pointing(None, None, a, cell=np.array([[True, False, False, True]] * 2))
    assert_allclose(both.values, 6 / 8)
    assert_allclose(metrics.grid_pointing(None, None, a[:, None], cell=1).values, 2 / 8)
    with pytest.raises(ValueError, match="mosaic has 0 to 3"):
        metrics.grid_pointing(None, None, a, cell=4)
    for wrong in (1.5, "a", [0, 1, 2], True, np.array([True, False])):
        with pytest.raises(ValueError, match="expected an integer, one for each of 2 rows, or a"):
            metrics.grid_pointing(None, None, a, cell=wrong)
    with pytest.raises(ValueError, match=r"grid=1\.5: expected a positive integer"):
        metrics.grid_pointing(None, None, a, cell=0, grid=1.5)
    with pytest.raises(ValueError, match="needs attributions of images"):
        metrics.grid_pointing(None, None, a.reshape(2, -1), cell=0)


def test_a_mosaic_without_the_target_has_no_score_and_says_so():
    cell = np.array([[True, False, False, False], [False] * 4])
    score = metrics.grid_pointing(None, None, np.ones((2, 5, 7)), cell=cell)
    assert np.isnan(score.values).tolist() == [False, True]
    assert "undefined (NaN) for 1" in repr(score)


def test_every_cell_of_a_mosaic_together_holds_everything():
    a = np.random.default_rng(4).normal(size=(3, 12, 9))
    parts = [metrics.grid_pointing(None, None, a, cell=c, grid=3).values for c in range(9)]
    assert_allclose(np.sum(parts, axis=0), 1.0)
    small = np.arange(1.0, 7.0).reshape(1, 3, 2)[:, :2]  # a mosaic of single pixels
    parts = [metrics.grid_pointing(None, None, small, cell=c).mean() for c in range(4)]
    assert_allclose(parts, np.arange(1, 5) / 10)
    with pytest.raises(ValueError, match="grid=3: images have 2 × 2 pixels"):
        metrics.grid_pointing(None, None, small, cell=0, grid=3)


# ------------------------------------------------------------------------------------ agreement


def sets(a, g, k):
    """The four agreements of one row, as the paper's sets."""
    first, second = (list(np.argsort(-np.abs(v), kind="stable")[:k]) for v in (a, g))
    common = set(first) & set(second)
    ranks = [i for i, j in zip(first, second, strict=True) if i == j]
    signs = [i for i in common if np.sign(a[i]) == np.sign(g[i])]
    both = [i for i in ranks if np.sign(a[i]) == np.sign(g[i])]
    return [len(part) / k for part in (common, ranks, signs, both)]


@pytest.mark.parametrize("k", [1, 3, 7])
def test_agreements_are_those_of_sets(rows, k):
    a, _ = rows
    g = np.random.default_rng(5).normal(size=a.shape)
    expected = np.array([sets(r, s, k) for r, s in zip(a, g, strict=True)])
    near = a * (1 + 1e-15 * np.random.default_rng(1).integers(-1, 2, a.shape))
    for j, name in enumerate(AGREE):
        assert_allclose(agree(name, a, g, k=k), expected[:, j])
        assert_allclose(agree(name, near, g, k=k), expected[:, j])


@pytest.mark.parametrize("name", AGREE)
def test_an_explanation_made_in_other_batches_agrees_with_itself(name):
    """Players that are alike have values that are equal but for rounding."""
    rng = np.random.default_rng(0)
    x, data = (np.repeat(rng.normal(size=(m, 1)), 4, axis=1) for m in (30, 9))
    f = lambda x: np.tanh(np.asarray(x) @ np.full(4, 0.7))  # noqa: E731
    one, other = (xai.explain(f, x, "shapley", data=data, batch_size=b).values for b in (None, 1))
    for k in (1, 2, 3, 4):
        assert_allclose(agree(name, one, other, k=k), 1)


def test_a_fraction_is_rounded_up_and_several_are_averaged(rows):
    a, _ = rows
    g = np.random.default_rng(6).normal(size=a.shape)
    for name in AGREE:
        assert_allclose(agree(name, a, g), agree(name, a, g, k=2))  # ceil(7 / 4)
        mean = (agree(name, a, g, k=1) + agree(name, a, g, k=4)) / 2
        assert_allclose(agree(name, a, g, k=[1, 4]), mean)
    with pytest.raises(ValueError, match="there are 7 players"):
        agree("rank_agreement", a, g, k=8)


def test_rank_correlation_is_spearmans_with_average_ranks(rows):
    a, _ = rows
    g = np.random.default_rng(7).integers(-3, 3, a.shape).astype(float)
    expected = [spearmanr(np.abs(r), np.abs(s)).statistic for r, s in zip(a, g, strict=True)]
    assert_allclose(agree("rank_correlation", a, g), expected)


def test_pairwise_agreement_is_that_of_a_loop(rows):
    a, _ = rows
    g = np.random.default_rng(8).integers(-3, 3, a.shape).astype(float)
    expected = [
        np.mean(
            [np.sign(r[i] - r[j]) == np.sign(s[i] - s[j]) for i, j in combinations(range(7), 2)]
        )
        for r, s in zip(np.abs(a), np.abs(g), strict=True)
    ]
    assert_allclose(agree("pairwise_rank_agreement", a, g), expected)
    near = a * (1 + 1e-15 * np.random.default_rng(1).integers(-1, 2, a.shape))
    assert_allclose(agree("pairwise_rank_agreement", near, g), expected)
    assert_allclose(agree("pairwise_rank_agreement", g, near), expected)


@pytest.mark.parametrize("name", [*AGREE, *PAIRS])
def test_an_attribution_agrees_with_itself(name, rows):
    a, _ = rows
    assert_allclose(agree(name, a, a), 1.0)
    assert_allclose(agree(name, a, 3.0 * a), 1.0)
    opposite = agree(name, a, -a)
    if "sign" in name:
        top = np.argsort(-np.abs(a), axis=1, kind="stable")[:, :2]
        zeros = (np.take_along_axis(a, top, axis=1) == 0).mean(axis=1)
        assert_allclose(opposite, zeros)  # a 0 has the same sign as a 0
    else:
        assert_allclose(opposite, 1.0)


@pytest.mark.parametrize("name", [*AGREE, *PAIRS])
def test_agreement_is_symmetric_and_of_one_row_alone(name, rows):
    a, _ = rows
    g = np.random.default_rng(9).normal(size=a.shape)
    assert_allclose(agree(name, a, g), agree(name, g, a))
    alone = np.concatenate([agree(name, a[i : i + 1], g[i]) for i in range(len(a))])
    assert_array_equal(agree(name, a, g), alone)
    shared = agree(name, a, g[0])
    assert_array_equal(shared[0], agree(name, a[:1], g[:1])[0])


def test_agreement_where_it_is_undefined_or_does_not_fit():
    assert np.isnan(agree("rank_correlation", np.ones((1, 3)), np.arange(3.0))[0])
    assert np.isnan(agree("pairwise_rank_agreement", np.ones((1, 1)), np.ones(1))[0])
    for name in (*AGREE, *PAIRS):
        with pytest.raises(ValueError, match="expected"):
            agree(name, np.ones((2, 3)), np.ones((2, 4)))
        with pytest.raises(ValueError, match=r"other features .* in row 1 \(0-based\)"):
            agree(name, np.ones((2, 3)), [[1.0, 2.0, 3.0], [1.0, 2.0, np.nan]])
    with pytest.raises(TypeError, match="reference"):
        metrics.rank_agreement(None, None, np.ones((1, 3)))


def test_rows_with_fewer_players_are_scored_on_their_own():
    """Texts of two and of four words: padding is no feature."""

    def model(texts):
        return np.array([len(t) + 2.0 * ("b" in t) for t in texts])

    e = xai.explain(model, ["a bb", "a bb ccc dddd"], "occlusion", removal="baseline")
    assert np.isnan(e.values[0, 2:]).all()
    for name in (*AGREE, *PAIRS):
        score = getattr(metrics, name)(model, e.data, e, reference=e)
        assert_allclose(score.values, 1.0)
    short = xai.explain(model, ["a bb"], "occlusion", removal="baseline")
    mask = np.array([[False, True, False, True]] * 2)
    both, one = (
        metrics.roc_auc(None, None, e, mask=mask).values,
        metrics.roc_auc(None, None, short, mask=mask[0, :2]).values,
    )
    assert both[0] == one[0]


# ------------------------------------------------------------------------------ known truths


def test_the_clusters_slopes_agree_with_their_truth():
    data = datasets.clustered(60, features=8, clusters=16)
    x, step = data.data, 1e-6
    slopes = np.stack([(data.model(x + step * e) - data.model(x)) / step for e in np.eye(8)], 1)
    strong = np.abs(slopes).max(axis=1) > 1e-3  # p(1 − p) is not lost in float error
    assert strong.sum() > 10
    for name in (*AGREE, *PAIRS):
        score = agree(name, np.round(slopes[strong], 7), data.truth[strong])
        assert score.mean() > 0.9
    assert local("roc_auc", np.abs(slopes[strong]), data.truth[strong]).mean() > 0.99


def test_what_is_true_to_the_model_flags_the_suppressor():
    """Shapley values: E|a2| / E(|a1| + |a2|) = closed form; patterns and M-plots have mass 0."""
    data = datasets.suppressor2d(50_000)
    w, x = data.info["weights"], data.data
    score = metrics.suppressor_mass(None, None, data.attributions["shapley"], mask=data.truth)
    size = np.abs(w * x).mean(axis=0)
    assert float(score.info["pooled"]) == pytest.approx(size[1] / size.sum())
    folded = 0.5 * np.sqrt(2 / np.pi) * abs(w[1])  # E|w2 x2| of a Gaussian with s2 = .5
    assert size[1] == pytest.approx(folded, rel=0.02)
    for name in ("m_plot", "firm", "pattern"):
        a = np.broadcast_to(data.attributions[name], x.shape)
        assert metrics.suppressor_mass(None, None, a, mask=data.truth).mean() < 1e-12


TABULAR = [record.name for record in xai.methods() if "table" in record.inputs]
SAMPLED = {"qii": 0.3, "expected_gradients": 1.0, "ime": 1.0, "loss_shap": 0.2, "sage": 0.5,
           "permutation_test": 0.2, "lime, continuous": 0.2}  # fmt: skip


@pytest.mark.parametrize("method", [*TABULAR, "lime, continuous"])
def test_the_suppressor_study_runs_every_method_and_meets_the_closed_forms(method):
    if "torch" in study.record_of(method).inputs:
        pytest.importorskip("torch")
    data = datasets.suppressor2d(400)
    background = data.data[:200] - data.data[:200].mean(axis=0)
    a, closed = study.run(method, data, background, rows=20)
    assert a.shape[-1] == 2
    if closed is not None:
        off = np.sqrt(np.mean((a - closed) ** 2) / np.maximum(np.mean(np.square(closed)), 1e-12))
        assert off < SAMPLED.get(method, 1e-4)


def test_evaluate_holds_explanations_against_a_truth_beside_controls():
    data = datasets.tetrominoes(12, signal=0.5)
    difference = data.truth[0] * np.where(np.arange(8)[:, None] < 4, 1.0, -1.0)  # T, and L

    def model(x):
        return (np.asarray(x)[:, 0] * difference).sum(axis=(1, 2))

    e = xai.explain(model, data.data, "occlusion")
    explanations = {"occlusion": np.abs(e.values)}
    asked = {
        "auc": ("roc_auc", {"mask": data.truth}),
        "mass": ("relevance_mass", {"mask": data.truth}),
        "agree": ("feature_agreement", {"reference": data.truth.astype(float), "k": 8}),
    }
    report = metrics.evaluate(model, data.data, explanations, asked)
    assert report["auc", "occlusion"].mean() == 1.0
    assert report["mass", "occlusion"].mean() == 1.0
    assert report["agree", "occlusion"].mean() == 1.0
    assert abs(report["auc", "random"].mean() - 0.5) < 4 * report["auc", "random"].std_error


def test_rows_of_a_mask_are_equally_long():
    a = np.array([[3.0, 1.0, 2.0], [1.0, np.nan, np.nan]])  # as of texts
    with pytest.raises(ValueError, match=r"rows of mask= do not have the same shape: .*1 or 3"):
        metrics.iou(None, None, a, mask=[[1, 0, 0], [1]])


@pytest.mark.parametrize("wrong", [None, ["a", "b", "c"], [None, "x", True], "mask", object()])
def test_a_mask_is_of_booleans_or_numbers(wrong):
    a = np.array([[3.0, 1.0, 2.0]])
    for name in ("iou", "roc_auc", "suppressor_mass"):
        with pytest.raises(TypeError, match="a mask is of booleans or numbers, not"):
            getattr(metrics, name)(None, None, a, mask=wrong)
        with pytest.raises(TypeError, match=f"{name} needs mask="):
            getattr(metrics, name)(None, None, a)
    with pytest.raises(ValueError, match="the mask holds NaN"):
        metrics.iou(None, None, a, mask=[None, 1, 0])
    want = metrics.iou(None, None, a, mask=[True, True, False]).values
    objects = np.array([True, 1, 0], object)
    np.testing.assert_array_equal(metrics.iou(None, None, a, mask=objects).values, want)
