"""Faithfulness metrics against their closed forms, and against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression

import xai
from xai import metrics
from xai.inputs import read
from xai.kernels import harmonic
from xai.players import Patches
from xai.removal import Baseline, Inpaint, Noise

W = np.array([3.0, -1.0, 0.5, 2.0, 0.0])


def linear(x):
    return np.asarray(x) @ W + 4


def interacting(x):
    x = np.asarray(x)
    return x[:, 0] * x[:, 1] + np.tanh(x[:, 2]) - x[:, 3] * x[:, 4] ** 2


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(6, 5))


def loop_curve(f, x, a, b, *, insert=False):
    """One row, one player per step."""
    now = b.copy() if insert else x.copy()
    out = [f(now[None])[0]]
    for i in np.argsort(-a, kind="stable"):
        now[i] = x[i] if insert else b[i]
        out.append(f(now[None])[0])
    return np.array(out)


@pytest.mark.parametrize("f", [linear, interacting])
@pytest.mark.parametrize(("name", "insert"), [("deletion", False), ("insertion", True)])
def test_curves_are_those_of_a_slow_loop(rows, f, name, insert):
    a = np.random.default_rng(1).normal(size=rows.shape)
    b = np.arange(5.0)
    score = getattr(metrics, name)(f, rows, a, removal=Baseline(b))
    slow = np.stack([loop_curve(f, x, r, b, insert=insert) for x, r in zip(rows, a, strict=True)])
    assert_allclose(score.curve, slow, atol=1e-12)
    assert_allclose(score.values, np.trapezoid(slow, dx=1 / 5), atol=1e-12)


def test_curves_of_a_linear_model(rows):
    """The deletion curve falls by the sorted contributions; areas add up to f(x) + f(b)."""
    gains = W * rows
    zero = Baseline(0)
    deleted = metrics.deletion(linear, rows, gains, removal=zero)
    inserted = metrics.insertion(linear, rows, gains, removal=zero)
    falls = np.cumsum(-np.sort(-gains, axis=1), axis=1)
    assert_allclose(deleted.curve[:, 1:], linear(rows)[:, None] - falls)
    assert_allclose(deleted.values + inserted.values, linear(rows) + 4)
    comp = metrics.comprehensiveness(linear, rows, gains, removal=zero)
    assert_allclose(comp.values, falls.mean(axis=1))
    some = metrics.comprehensiveness(linear, rows, gains, removal=zero, k=[1, 0.6])
    assert_allclose(some.values, falls[:, [0, 2]].mean(axis=1))
    assert_allclose(metrics.sufficiency(linear, rows, gains, removal=zero, k=5).values, 0)
    suff = metrics.sufficiency(linear, rows, gains, removal=zero)
    rest = linear(rows)[:, None] - 4 - falls
    assert_allclose(suff.values, rest.mean(axis=1))


def test_removal_may_draw_from_the_background(rows):
    data = np.random.default_rng(2).normal(size=(7, 5))
    a = W * rows
    score = metrics.deletion(interacting, rows, a, data=data)
    assert score.removal == "Marginal()"
    slow = [
        np.mean([loop_curve(interacting, x, r, b) for b in data], axis=0)
        for x, r in zip(rows, a, strict=True)
    ]
    assert_allclose(score.curve, slow, atol=1e-12)


def test_negation_flips_abpc_and_chance_scores_nothing():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2000, 5))
    a = rng.normal(size=x.shape)
    one = metrics.abpc(interacting, x, a, removal="baseline")
    other = metrics.abpc(interacting, x, -a, removal="baseline")
    assert_allclose(one.values, -other.values, atol=1e-12)
    assert abs(one.mean()) < 4 * one.std_error
    faithful = metrics.abpc(linear, x, W * x, removal="baseline")
    assert faithful.mean() > 20 * faithful.std_error


def test_one_negative_contribution_breaks_monotonicity(rows):
    x = np.abs(rows)
    positive = metrics.monotonicity(lambda z: z @ np.abs(W), x, np.abs(W) * x, removal="baseline")
    assert_allclose(positive.values, 1)
    assert_allclose(metrics.monotonicity(linear, x, W * x, removal="baseline").values, 0)


@pytest.mark.parametrize("k", [1, 0.5, [1, 2, 4]])
def test_prediction_gaps_of_one_draw_are_those_of_several_alike(rows, k):
    """Read off the curves, and averaged over draws: a baseline is as good as its copies."""
    a = np.random.default_rng(6).normal(size=rows.shape)
    b = np.arange(5.0)
    for name in ("pgi", "pgu"):
        metric = getattr(metrics, name)
        one = metric(interacting, rows, a, removal=Baseline(b), k=k)
        many = metric(interacting, rows, a, data=np.tile(b, (3, 1)), k=k)
        assert_allclose(one.values, many.values, atol=1e-12)


def test_pixel_flipping_is_deletions_curve_and_ends_where_everything_is_gone(rows):
    a = np.random.default_rng(7).normal(size=rows.shape)
    given = {"removal": Baseline(0.5), "steps": 3}
    flipped = metrics.pixel_flipping(interacting, rows, a, **given)
    deleted = metrics.deletion(interacting, rows, a, **given)
    np.testing.assert_array_equal(flipped.curve, deleted.curve)
    assert_allclose(flipped.values, np.trapezoid(flipped.curve, dx=1 / 3))
    assert_allclose(flipped.curve[:, 0], interacting(rows))
    assert_allclose(flipped.curve[:, -1], interacting(np.full((1, 5), 0.5))[0])


def test_pgi_of_gaussian_noise(rows):
    """E|w . e| over the top k is sqrt(2/pi) sigma ||w_top||."""
    a = np.tile(np.abs(W), (6, 1))
    top, bottom = np.sort(np.abs(W))[::-1][:2], np.sort(np.abs(W))[:2]
    scale = np.sqrt(2 / np.pi) * 0.5
    pgi = metrics.pgi(linear, rows, a, k=2, removal=Noise(0.5, n_draws=4000))
    assert_allclose(pgi.values, scale * np.linalg.norm(top), rtol=0.05)
    pgu = metrics.pgu(linear, rows, a, k=2, removal=Noise(0.5, n_draws=4000))
    assert_allclose(pgu.values, scale * np.linalg.norm(bottom), rtol=0.05)
    rest = metrics.pgu(linear, rows, a, k=3, removal=Noise(0.5, n_draws=4000))  # all but the top 2
    assert_allclose(rest.values, scale * np.sqrt((W**2).sum() - (top**2).sum()), rtol=0.05)
    several = metrics.pgi(linear, rows, W * rows, k=[1, 2], removal="baseline").values
    falls = np.cumsum(-np.sort(-W * rows, axis=1), axis=1)
    assert_allclose(several, np.abs(falls[:, :2]).mean(axis=1))


@pytest.fixture
def images():
    return np.random.default_rng(4).random((3, 10, 11, 1))


WEIGHTS = np.random.default_rng(5).random((10, 11, 1))


def picture(x):
    return (np.asarray(x) * WEIGHTS).sum(axis=(1, 2, 3))


def test_patches_need_not_divide_the_image(images):
    a = images * WEIGHTS
    by_patch = metrics.region_perturbation(picture, images, a, size=4, removal="baseline")
    sums = np.zeros((3, 9))
    for i in range(3):
        for j in range(3):
            sums[:, 3 * i + j] = a[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].sum(axis=(1, 2, 3))
    falls = np.cumsum(-np.sort(-sums, axis=1), axis=1)
    assert_allclose(by_patch.values, falls.mean(axis=1))
    area = metrics.selectivity(picture, images, a, size=4, removal="baseline")
    assert_allclose(area.curve[:, 1:], picture(images)[:, None] - falls, atol=1e-9)
    same = metrics.deletion(picture, images, a, players=Patches(4), removal="baseline", steps=9)
    assert_allclose(area.values, same.values)


@pytest.mark.parametrize("seed", range(8))
def test_patches_of_equal_sums_go_by_index_whatever_the_channels(seed):
    """Shared out among three channels and summed up again, equal whole numbers were not."""
    rng = np.random.default_rng(seed)
    x, a = rng.random((1, 9, 9, 3)), rng.integers(-2, 3, (1, 9, 9)).astype(float)
    weights = rng.random((9, 9, 3))

    def f(x):
        return (np.asarray(x) * weights).sum(axis=(1, 2, 3))

    patches = a.reshape(3, 3, 3, 3).swapaxes(1, 2).reshape(9, 9)
    parts = (x * weights).sum(axis=3).reshape(3, 3, 3, 3).swapaxes(1, 2).reshape(9, 9)
    order = np.argsort(-patches.sum(axis=1), kind="stable")
    expected = f(x) - np.cumsum(parts.sum(axis=1)[order])
    score = metrics.region_perturbation(f, x, a, size=3, removal="baseline")
    assert_allclose(score.curve[0, 1:], expected, atol=1e-12)


def test_irof_is_relative_and_by_mean(images):
    pytest.importorskip("skimage")
    score = metrics.irof(picture, images, images * WEIGHTS, segments=6, removal="baseline")
    assert_allclose(score.curve[:, 0], 1)
    ends = [row[~np.isnan(row)][-1] for row in score.curve]  # images differ in superpixels
    assert_allclose(ends, 0, atol=1e-12)
    assert (score.values > 0.5).all()  # a half on average, by chance
    for i, image in enumerate(images):  # WEIGHTS * image is what each pixel adds
        owner = xai.players.Superpixels(6).encode(read(image[None]), 3).owner[0, ..., 0].ravel()
        parts = np.bincount(owner, (image * WEIGHTS).ravel())
        order = np.argsort(-parts / np.bincount(owner))
        left = 1 - np.cumsum(parts[order]) / parts.sum()
        assert_allclose(score.curve[i, 1 : 1 + len(parts)], left, atol=1e-12)
    groups = [[0, 1, 2], [3], [4]]  # the mean of the large group is below its sum
    x = np.ones((1, 5))
    a = np.array([[2.0, 2.0, 2.0, 3.0, 0.0]])
    table = metrics.irof(lambda z: z @ a[0], x, a, players=groups, removal="baseline")
    assert_allclose(table.curve, [[1, 6 / 9, 0, 0]])


def test_irof_of_a_negative_prediction_rewards_the_same_order(rows):
    """A fall from −2 to −4 is one of a prediction's size, not a relative value of 2."""
    x, a = np.abs(rows), np.abs(rows) * W
    f = lambda z: z @ W - 60  # noqa: E731
    right, wrong = (metrics.irof(f, x, s * a, removal="baseline") for s in (1, -1))
    falls = np.cumsum(-np.sort(-a, axis=1), axis=1)
    assert_allclose(right.curve[:, 1:], (f(x)[:, None] - falls) / -f(x)[:, None])
    area = np.trapezoid(np.c_[np.zeros(6), falls], dx=1 / 5)
    assert_allclose(right.values, area / -f(x))
    assert (right.values > wrong.values).all()


def test_nothing_predicted_has_no_relative_curve(rows):
    score = metrics.irof(lambda x: np.zeros(len(x)), rows, rows, removal="baseline")
    assert score.undefined == 6


def test_an_explanations_own_players_removal_and_class_are_used(cancer):
    e = xai.explain(cancer.forest, cancer.x[:4], "shapley", data=cancer.x[:20],
                    players=[[0, 1], [2, 3], [4, 5, 6, 7]])  # fmt: skip
    score = metrics.deletion(cancer.forest, cancer.x[:4], e)
    assert score.curve.shape == (4, 4)
    assert_allclose(score.curve[:, 0], e.predictions)
    assert_allclose(score.curve[:, -1], e.base_values)


def test_an_explanations_options_are_part_of_its_removal_and_behavior(rows):
    half = xai.explain(interacting, rows, "exact_shapley", removal="baseline", value=0.5)
    for name in ("deletion", "infidelity", "faithfulness_estimate"):
        found = getattr(metrics, name)(interacting, rows, half)
        want = getattr(metrics, name)(interacting, rows, half, removal=Baseline(0.5))
        assert found.removal == "Baseline(value=0.5)"
        np.testing.assert_array_equal(found.values, want.values)
    assert metrics.completeness_gap(interacting, rows, half).evaluations == 0  # its own game

    f, x = LogisticRegression().fit(rows, [0, 1, 2] * 2), rows
    for options in ({"output": "log_odds"}, {"behavior": "margin", "output": "logit"}):
        e = xai.explain(f, x, "exact_shapley", data=x, **options)
        score = metrics.deletion(f, x, e)
        assert score.output == e.behavior != "Prediction(output='auto')"
        assert_allclose(score.curve[:, [0, -1]], np.stack([e.predictions, e.base_values], axis=1))


def test_a_methods_own_behavior_is_the_explanations(rows):
    """A loss of the true label, where the predicted class' probability was scored by its parts."""
    y = np.array([0, 1, 2] * 2)
    f, given = LogisticRegression().fit(rows, y), {"data": rows, "y": y}
    e = xai.explain(f, rows, "loss_shap", **given)
    score = metrics.insertion(f, rows, e)
    assert score.output == "PredictionLoss(loss='auto', clip=0.0)"
    assert_allclose(score.curve[:, [0, -1]], np.stack([e.base_values, e.predictions], axis=1))
    assert metrics.completeness_gap(f, rows, e).evaluations == 0
    other = xai.explain(f, rows, "exact_shapley", **given)
    both = metrics.evaluate(
        f, rows, {"loss": e, "class": other}, ["insertion"], target=other.target
    )
    assert both["insertion", "loss"].output == "Prediction(output='auto')"
    asked = xai.explain(f, rows, "exact_shapley", behavior="margin", **given)
    with pytest.raises(ValueError, match="differ in behavior"):
        metrics.evaluate(f, rows, {"loss": e, "margin": asked}, ["insertion"], target=other.target)


def test_a_loaded_explanation_of_another_behavior_asks_for_it(rows, tmp_path):
    """It has no recipe: the prediction was scored in place of what it explains."""
    f = LogisticRegression().fit(rows, [0, 1, 2] * 2)
    e = xai.explain(f, rows, "exact_shapley", data=rows, behavior="margin")
    e.save(tmp_path / "e.npz")
    loaded = xai.load(tmp_path / "e.npz")
    with pytest.raises(ValueError, match=r"of Margin\(output='auto'\).*pass behavior="):
        metrics.deletion(f, rows, loaded, data=rows)
    score = metrics.deletion(f, rows, loaded, data=rows, behavior="margin")
    np.testing.assert_array_equal(score.values, metrics.deletion(f, rows, e).values)
    # what looks at no output needs none: numbers, and the ends of the game that it holds
    for name in ("complexity", "completeness_gap"):
        metric = getattr(metrics, name)
        assert_allclose(metric(f, rows, loaded).values, metric(f, rows, e).values)
    other = xai.explain(f, rows, "exact_shapley", data=rows)
    with pytest.raises(ValueError, match="differ in behavior"):
        metrics.evaluate(f, rows, {"loaded": loaded, "class": other}, ["deletion"])


def test_a_metric_costs_its_curve(rows, counting):
    model = counting(linear)
    score = metrics.deletion(model, rows, rows, removal="baseline")
    assert model.rows == 6 + 6 * 4 + 1  # predictions, inner steps, one shared baseline
    assert score.evaluations == -(-model.rows // 6)
    metrics.abpc(model, rows, rows, removal="baseline")
    assert model.rows == 31 + 6 + 6 * 8 + 1


def test_road_of_affine_images():
    """ROAD's imputation leaves an affine image as it is inside: what it removes costs nothing."""
    down, across = np.mgrid[:9, :10]
    affine = (0.2 + 0.03 * down + 0.05 * across)[None, ..., None]
    weights = np.zeros((9, 10, 1))
    weights[2:-2, 2:-2] = 1.0  # the border stays, and the inside is what is looked at
    f = lambda x: (np.asarray(x) * weights).sum(axis=(1, 2, 3))  # noqa: E731
    a = np.random.default_rng(0).normal(size=(1, 9, 10)) * weights[..., 0]
    given = {"players": np.where(weights > 0, np.arange(90).reshape(9, 10, 1), -1)}
    score = metrics.road(f, affine, a, removal=Inpaint(noise=0), steps=5, **given)
    assert_allclose(score.info["most"], f(affine)[:, None] * np.ones((1, 4)), rtol=1e-3)
    assert_allclose(score.values, 0, atol=0.01)
    assert score.removal.startswith("Inpaint")


@pytest.mark.parametrize(("fall", "rises"), [(1e-4, 1.0), (1e-2, 0.0)])
def test_a_fall_is_rounding_beside_the_largest_value_of_the_curve(fall, rises):
    w = np.array([-fall, 1e6])
    score = metrics.monotonicity(lambda x: x @ w, np.ones((1, 2)), w[None], removal="baseline")
    assert score.values == [rises]
    nothing = metrics.monotonicity(lambda x: 0 * x[:, 0], np.ones((1, 2)), w[None],
                                   removal="baseline")  # fmt: skip
    assert nothing.values == [1]  # where nothing changes nothing falls


def test_road_is_half_the_mean_gap_within_the_curves(rows):
    """Of a linear model: what is not removed of the one end is removed of the other."""
    a = W * rows
    score = metrics.road(linear, rows, a, removal="baseline")
    most, least = (np.cumsum(np.sort(s * a, axis=1), axis=1)[:, :-1] * s for s in (-1, 1))
    assert_allclose(score.values, (most - least).mean(axis=1) / 2)
    curves = metrics.abpc(linear, rows, a, removal="baseline").info
    for end in ("most", "least"):
        assert_allclose(score.info[end], curves[end][:, 1:-1])
    whole = metrics.road(linear, rows, a, removal="baseline", steps=1)  # with nothing in between
    assert_allclose(whole.info["most"], np.full((6, 1), 4.0))


def test_road_of_constant_images_changes_nothing_anywhere():
    """Even at the border, and with a side that nothing divides."""
    weights = np.random.default_rng(0).normal(size=(7, 11, 1))
    f = lambda x: (np.asarray(x) * weights).sum(axis=(1, 2, 3))  # noqa: E731
    a = np.random.default_rng(1).normal(size=(2, 7, 11))
    flat = np.full((2, 7, 11, 1), 0.3)
    score = metrics.road(f, flat, a, removal=Inpaint(noise=0), steps=6)
    for curve in ("most", "least"):
        assert_allclose(score.info[curve], f(flat)[:, None] * np.ones((1, 5)), atol=1e-9)


def test_road_is_exact_where_the_equations_are_solved_to_the_end(monkeypatch):
    """An affine image is harmonic: with more cycles of the solver nothing is left to lose."""
    monkeypatch.setattr(harmonic, "CYCLES", 40)
    down, across = np.mgrid[:9, :10]
    affine = (0.2 + 0.03 * down + 0.05 * across)[None, ..., None]
    inside = np.zeros((9, 10, 1), bool)
    inside[2:-2, 2:-2] = True
    f = lambda x: (np.asarray(x) * WEIGHTS[:9, :10] * inside).sum(axis=(1, 2, 3))  # noqa: E731
    a = np.random.default_rng(0).normal(size=(1, 9, 10))
    given = {"players": np.where(inside, np.arange(90).reshape(9, 10, 1), -1), "steps": 5}
    score = metrics.road(f, affine, a * inside[..., 0], removal=Inpaint(noise=0), **given)
    for curve in ("most", "least"):
        assert_allclose(score.info[curve], f(affine)[:, None] * np.ones((1, 4)), rtol=1e-9)


def test_roads_accuracy_is_the_share_of_margins_above_zero():
    rng = np.random.default_rng(0)
    x, towards = rng.random((6, 9, 9, 1)), rng.normal(size=(9, 9, 1, 3))
    seen = []

    def three(rows):
        seen.append(np.einsum("nhwc,hwck->nk", np.asarray(rows), towards))
        return seen[-1]

    own, a = three(x).argmax(axis=1), rng.normal(size=(6, 9, 9))
    given = {"removal": "baseline", "steps": 5}
    margin = metrics.road(three, x, a, behavior=xai.behavior.Margin(), **given).info["most"]
    plain = metrics.road(three, x, a, **given)
    assert margin.shape == plain.info["most"].shape
    for i in range(6):
        order = np.argsort(-a[i].ravel(), kind="stable")
        for step, k in enumerate((16, 32, 49, 65)):
            gone = x[i].ravel().copy()
            gone[order[:k]] = 0
            assert (three(gone.reshape(1, 9, 9, 1)).argmax() == own[i]) == (margin[i, step] > 0)


def test_road_tells_the_important_from_the_unimportant():
    """A bright square on grey: imputing it away costs, imputing the rest does not."""
    x = np.full((2, 12, 12, 1), 0.2)
    x[0, 2:7, 2:7], x[1, 5:10, 4:9] = 0.9, 0.9
    f = lambda z: np.asarray(z).max(axis=(1, 2, 3))  # noqa: E731
    good = metrics.road(f, x, x[..., 0] - 0.2, steps=8)
    assert good.removal.startswith("Inpaint")
    assert (good.values > 0.1).all()
    bad = metrics.road(f, x, 0.2 - x[..., 0], steps=8)
    assert (bad.values < 0).all()


@pytest.mark.parametrize("players", ["windows", "channels"])
def test_windows_and_channels_are_scored_by_their_map(players):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Tanh(), torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 2),
    ).double()  # fmt: skip
    x = torch.rand(2, 1, 6, 6).double()
    chosen = xai.players.Windows(3, 2) if players == "windows" else xai.players.Channels("1")
    e = xai.explain(net, x, "occlusion", players=chosen)
    score = metrics.deletion(net, x, e, removal="baseline")
    want = metrics.deletion(net, x, e.map(), target=e.target, removal="baseline")
    assert_allclose(score.values, want.values)
    assert score.curve.shape == (2, 33)


@pytest.fixture
def alike():
    """A network with a layer whose output has the shape of x, and two images."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 2, 3, padding=1), torch.nn.Tanh(), torch.nn.Flatten(),
        torch.nn.Linear(2 * 36, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2),
    ).double()  # fmt: skip
    return net, torch.rand(2, 2, 6, 6).double()


@pytest.mark.parametrize("layer", [1, 4])
@pytest.mark.parametrize("name", ["deletion", "faithfulness_correlation", "dummy_mass"])
def test_players_inside_a_network_are_scored_as_themselves(alike, name, layer):
    """The same as elements of the rows of a network that begins with them."""
    (net, x), metric = alike, getattr(metrics, name)
    players, given = xai.players.Units(str(layer)), {"removal": "baseline"}
    e = xai.explain(net, x, "occlusion", players=players, **given)
    given |= {"steps": 32} if name == "deletion" else {}
    own = metric(net, x, e, players=players, **given)
    rest, acts = net[layer + 1 :], net[: layer + 1](x).detach()
    given |= {"target": e.target, "players": "elements"}
    assert_allclose(own.values, metric(rest, acts, e.values, **given).values)


@pytest.mark.parametrize("players", [xai.players.Units("1"), xai.players.ActivationMaps("1")])
def test_other_features_are_no_players_inside_a_network(alike, players):
    """Also where their numbers are as many."""
    net, x = alike
    e = xai.explain(net, x, "occlusion", players="elements", removal="baseline")
    with pytest.raises(ValueError, match=r"players=.*'1'\) are inside .* is of Elements\(\)"):
        metrics.deletion(net, x, e, players=players)


def test_an_array_of_elements_is_not_shared_out_among_activation_maps(alike):
    net, x = alike
    with pytest.raises(ValueError, match=r"ActivationMaps\(layer='1'\), which overlap"):
        metrics.deletion(net, x, x.numpy(), players=xai.players.ActivationMaps("1"))


@pytest.mark.parametrize("name", ["max_sensitivity", "worst_case_bound", "consistency"])
def test_what_removes_nothing_moves_x_and_not_a_layer(alike, name):
    """Whose rows, of the same shape, the network takes as well."""
    (net, x), metric, players = alike, getattr(metrics, name), xai.players.Units("1")
    e = xai.explain(net, x, "occlusion", players=players, removal="baseline")
    score, want = metric(net, x, e, players=players), metric(net, x, e)
    assert_allclose(score.values, want.values)
    assert score.evaluations == want.evaluations


def test_units_of_a_table_have_no_places_in_it():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    x, players = torch.rand(2, 3), xai.players.Units("1")
    e = xai.explain(net, x, "occlusion", players=players, removal="baseline")
    assert np.isfinite(metrics.local_lipschitz(net, x, e, removal="baseline").values).all()
    with pytest.raises(ValueError, match=r"no places in x.* players=xai\.players\.Units\("):
        metrics.deletion(net, x, e, removal="baseline", players="elements")
    own = metrics.deletion(net, x, e, removal="baseline")
    assert own.curve.shape == (2, 5)
    there = metrics.deletion(net, x, e, removal="baseline", players=players)
    assert_allclose(own.curve, there.curve)


def test_what_finding_a_layer_costs_is_counted(alike):
    """Also where superpixels take the place of the players inside."""
    pytest.importorskip("skimage")
    (net, x), seen = alike, []
    net[-1].register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    score = metrics.irof(net, x, x.numpy(), players=xai.players.Units("1"), removal="baseline")
    assert score.evaluations == -(-sum(seen) // 2)


def test_slopes_of_x_have_no_effects_inside_a_network(alike):
    net, x = alike
    e = xai.explain(net, x, "gradient", players="elements")
    with pytest.raises(ValueError, match="leave players= out"):
        metrics.lfa_error(net, x, e, players=xai.players.Units("1"), removal="baseline")
