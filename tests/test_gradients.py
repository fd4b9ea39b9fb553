"""Gradients against closed forms, finite differences, brute force and captum."""

from __future__ import annotations

import copy
import re
import sys
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest

import xai
from xai.inputs import read
from xai.layers import channel_axis, channels_read, feature_maps
from xai.players import Channels, Units, Windows
from xai.removal import Baseline, BlurPyramid, Function, Marginal, Neighbourhood, Noise, Uniform
from xai.resize import resize
from xai.setting import open_setting
from xai.summary import Gradient, IntegratedGradient, LinearFit
from xai.summary.moments import Moments
from xai.summary.propagation import Propagation
from xai.summary.rewired import CURVES
from xai.units import ActivationMaps

torch = pytest.importorskip("torch")
nn = torch.nn

RNG = np.random.default_rng(0)
IMAGES = torch.tensor(RNG.normal(size=(3, 2, 8, 8)))
OTHERS = torch.tensor(RNG.normal(size=(4, 2, 8, 8)))
TABLE = RNG.normal(size=(40, 5))


def convolutions(seed=0, middle=nn.Tanh):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), middle(), nn.Conv2d(3, 4, 3), middle(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    ).double()  # fmt: skip


def perceptron(seed=0, out=2):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, out)).double()


def predicted(net, x):
    return net(x).argmax(1)


# ------------------------------------------------------------------------------ the game's masks


REMOVALS = {
    "baseline": Baseline(0.3),
    "marginal": Marginal(OTHERS),
    "pyramid": BlurPyramid(sigma=2.0),
    "function": Function(lambda x, kept: x * kept**2, soft=True),
}
PLAYERS = {
    "pixels": None,
    "elements": "elements",
    "groups": np.arange(64).reshape(1, 8, 8).repeat(2, 0) // 7 - 1,
    "windows": Windows(3, 2),
}


@pytest.mark.parametrize("players", PLAYERS)
@pytest.mark.parametrize("removal", REMOVALS)
def test_a_soft_game_has_the_gradient_of_its_values(removal, players):
    with open_setting(
        convolutions(), IMAGES, removal=REMOVALS[removal], players=PLAYERS[players], target="all"
    ) as setting:
        ((_, game),) = setting.games()
        rows, draws = np.array([0, 2, 1, 2]), np.arange(4) % game.n_draws
        masks = RNG.uniform(0.1, 0.9, size=(4, game.n_players))
        gradient = game.gradient(rows, masks, draws)
        assert gradient.shape == (4, game.n_players, 3)
        for player in range(0, game.n_players, max(1, game.n_players // 5)):
            step = np.zeros_like(masks)
            step[:, player] = 1e-5
            up, down = (game.sample(rows, masks + s * step, draws) for s in (1, -1))
            np.testing.assert_allclose(
                gradient[:, player], (up - down) / 2e-5, rtol=1e-5, atol=1e-9
            )


@pytest.mark.parametrize("removal", REMOVALS)
def test_values_of_tensors_are_those_of_arrays_and_differentiable(removal):
    with open_setting(convolutions(), IMAGES, removal=REMOVALS[removal]) as setting:
        ((_, game),) = setting.games()
        rows, masks = np.array([1, 2]), RNG.uniform(size=(2, 64))
        leaf = torch.tensor(masks, requires_grad=True)
        values = game.value(rows, leaf)
        np.testing.assert_allclose(values.detach(), game.value(rows, masks), rtol=1e-12)
        (slope,) = torch.autograd.grad(values.sum(), leaf)
        every = [game.gradient(rows, masks, np.full(2, j))[..., 0] for j in range(game.n_draws)]
        np.testing.assert_allclose(slope, np.mean(every, axis=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_whole_masks_are_coalitions(removal, kind):
    net = convolutions()
    model = net if kind == "tensor" else lambda x: net(torch.tensor(x)).detach().numpy()
    x = IMAGES if kind == "tensor" else IMAGES.numpy()
    chosen = REMOVALS[removal]
    if kind == "array" and removal == "marginal":
        chosen = Marginal(OTHERS.numpy())
    with open_setting(model, x, removal=chosen, options={"channel_axis": 1}) as setting:
        ((_, game),) = setting.games()
        coalitions = RNG.random((6, 64)) < 0.5
        coalitions[0], coalitions[1] = True, False
        rows = np.arange(6) % 3
        np.testing.assert_allclose(
            game.value(rows, coalitions.astype(float)), game.value(rows, coalitions), atol=1e-12
        )


@pytest.mark.parametrize("mask", [-0.1, 1.1, np.nan])
def test_masks_outside_the_unit_interval_are_refused(mask):
    with open_setting(convolutions(), IMAGES, removal=Baseline(0)) as setting:
        ((_, game),) = setting.games()
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            game.value([0], np.full((1, 64), mask))


def test_what_cannot_be_mixed_is_refused(mixed):
    with open_setting(mixed.pipeline, mixed.x, data=mixed.data) as setting:
        ((_, game),) = setting.games()
        with pytest.raises(ValueError, match="categories"):
            game.value([0], np.full((1, 4), 0.5))
    with open_setting(lambda x: x.sum(1), TABLE, removal=lambda x, kept: x * kept) as setting:
        ((_, game),) = setting.games()
        with pytest.raises(ValueError, match="whole coalitions"):
            game.value([0], np.full((1, 5), 0.5))


# ------------------------------------------------------------------------------- linear networks


@pytest.fixture(scope="module")
def linear():
    net = nn.Linear(5, 1).double()
    return net, net.weight.detach().numpy()[0]


def test_of_a_linear_network_each_method_is_known(linear):
    net, w = linear
    x, data = TABLE[:3], TABLE[3:]
    known = {
        "gradient": w + 0 * x,
        "smoothgrad": w + 0 * x,
        "squaregrad": w**2 + 0 * x,
        "vargrad": 0 * x,
        "gradient_x_input": w * x,
        "integrated_gradients": w * x,
        "expected_gradients": w * (x - data.mean(axis=0)),
        "c_lime": w + 0 * x,
    }
    for method, values in known.items():
        budget = len(data) + 1 + 2 * 8 * len(data) if method == "expected_gradients" else None
        explanation = xai.explain(net, x, method, data=data, budget=budget)
        np.testing.assert_allclose(explanation.values, values, atol=1e-9, err_msg=method)


def test_a_data_frame_is_as_good_as_an_array():
    pandas = pytest.importorskip("pandas")
    names = list("abcde")
    frame = pandas.DataFrame(TABLE, columns=names)
    net = perceptron()
    one = xai.explain(net, frame[:3], "expected_gradients", data=frame)
    other = xai.explain(net, TABLE[:3], "expected_gradients", data=TABLE)
    np.testing.assert_array_equal(one.values, other.values)
    assert one.feature_names == names


def test_a_function_of_tensors_has_gradients_too():
    net = perceptron()
    x = torch.tensor(TABLE[:3])
    one = xai.explain(lambda t: net(t).softmax(1), x, "gradient")
    other = xai.explain(net, x, "gradient", output="probability")
    np.testing.assert_allclose(one.values, other.values, atol=1e-12)


@pytest.mark.parametrize("behavior", ["prediction_loss", "margin", "contrast"])
@pytest.mark.parametrize("output", ["probability", "log_odds", "logit"])
def test_every_behavior_has_gradients(behavior, output):
    keywords = {"y": np.array([0, 1, 1])} if behavior == "prediction_loss" else {"output": output}
    net, x = perceptron(out=3), TABLE[:3]
    gradient = xai.explain(net, x, "gradient", behavior=behavior, **keywords).values
    for j in range(5):
        step = np.zeros(5)
        step[j] = 1e-6

        def value(rows):
            e = xai.explain(
                net, rows, "gradient", behavior=behavior,
                target=predicted(net, torch.tensor(x)).numpy(), **keywords,
            )  # fmt: skip
            return e.predictions

        slope = (value(x + step) - value(x - step)) / 2e-6
        np.testing.assert_allclose(gradient[:, j], slope, rtol=1e-4, atol=1e-8)


def one_logit() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 1)).double().eval()


def slopes(value, x):
    """Central differences (n, d) of ``value(x) -> (n,)``."""
    steps = 1e-6 * np.eye(x.shape[1])
    return np.stack([(value(x + s) - value(x - s)) / 2e-6 for s in steps], axis=1)


@pytest.mark.parametrize("given", ["a logit", "its probability"])
def test_log_odds_of_one_output_are_the_logit(given):
    net, x = one_logit(), TABLE[:3]
    model = net if given == "a logit" else lambda t: net(t).sigmoid()[:, 0]
    got = xai.explain(model, torch.tensor(x), "gradient", output="log_odds").values
    logit = slopes(lambda z: net(torch.tensor(z)).detach().numpy()[:, 0], x)
    np.testing.assert_allclose(got, logit, atol=1e-9)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_losses_of_one_logit_are_of_both_classes(loss):
    net, x, y = one_logit(), TABLE[:3], np.array([1, 0, 1])

    def value(z):
        p = net(torch.tensor(z)).sigmoid().detach().numpy()[:, 0]
        own = np.where(y == 1, p, 1 - p)
        return np.log(own) if loss == "cross_entropy" else -2 * (1 - own) ** 2

    got = xai.explain(net, x, "gradient", y=y, behavior="prediction_loss", loss=loss).values
    np.testing.assert_allclose(got, slopes(value, x), atol=1e-8)


# ----------------------------------------------------------------------- integrated and expected


def test_integrated_gradients_add_steps_until_they_are_complete():
    easy = xai.explain(convolutions(), IMAGES, "integrated_gradients")
    gap, change = easy.info["completeness_gap"], easy.predictions - easy.base_values
    assert easy.converged.all()
    assert (np.abs(gap) <= 1e-3 * np.abs(change)).all()
    np.testing.assert_allclose(easy.values.sum(axis=(1, 2)) - change, gap, atol=1e-12)
    assert (easy.info["steps"] == 16).all()
    assert np.isnan(easy.info["local_gap"]).all()
    net = convolutions(middle=nn.ReLU)
    strict = xai.explain(net, IMAGES, "integrated_gradients", tolerance=1e-9, budget=60)
    assert not strict.converged.any()  # 16 nodes, then trapezoids with what is left, and kinks
    assert (strict.info["steps"] == 60 - 16 - 2).all()
    assert strict.evaluations <= 60


def kinked() -> nn.Module:
    """A network whose slope along a path jumps often, so that fixed nodes serve it badly."""
    torch.manual_seed(3)
    layers = [nn.Linear(5, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 3)]
    return nn.Sequential(*layers).double().eval()


@pytest.mark.parametrize("keywords", [{}, {"removal": "marginal", "data": TABLE[:3]}])
@pytest.mark.parametrize("target", [0, "all"])
def test_trapezoids_are_halved_where_their_own_gap_is_largest(keywords, target):
    net, x = kinked(), 3 * TABLE[3:7]
    near = xai.explain(net, x, "integrated_gradients", tolerance=1e-3, target=target, **keywords)
    refined = ~np.isnan(near.info["local_gap"]).reshape(4, -1)[:, 0]
    assert refined.any()
    assert near.converged.any()
    truth = xai.explain(net, x, "integrated_gradients", steps=2000, target=target, **keywords)
    off = np.abs(near.values - truth.values).sum(axis=1)
    local = near.info["local_gap"]
    assert (off[refined] <= 3 * local[refined]).all()  # the parts are about as near as is said
    gap = np.abs(near.info["completeness_gap"])
    assert (gap[refined] <= local[refined]).all()
    alone = xai.explain(
        net, x, "integrated_gradients", tolerance=1e-3, target=target, batch_size=7, **keywords
    )
    np.testing.assert_allclose(alone.values, near.values, atol=1e-12)
    assert alone.evaluations == near.evaluations


class Waves(nn.Module):
    """f' = 1 + 3 cos 26πx, whose mean 16 trapezoids give and 16 nodes of Gauss do not."""

    def forward(self, x):
        return x + 3 * torch.sin(26 * np.pi * x) / (26 * np.pi)


@pytest.mark.parametrize("copies", [1, 3])
def test_gaps_of_trapezoids_add_up_whatever_their_signs(copies):
    x, ends = np.ones((1, 1)), copies + 1
    e = xai.explain(
        Waves(), x, "integrated_gradients", removal="marginal", data=np.zeros((copies, 1)),
        budget=ends + copies * (16 + 17),  # no trapezoid can be halved
    )  # fmt: skip
    a = np.linspace(0, 1, 17)
    slope, f = 1 + 3 * np.cos(26 * np.pi * a), Waves()(torch.tensor(a)).numpy()
    gaps = (slope[1:] + slope[:-1]) / 32 - np.diff(f)
    np.testing.assert_allclose(e.info["local_gap"], np.abs(gaps).sum(), rtol=1e-5)
    np.testing.assert_allclose(e.values, 1, rtol=1e-5)
    assert e.converged.all() and (e.info["steps"] == 17 * copies).all()


def test_a_path_is_refined_while_one_of_its_outputs_is_open():
    """16 waves, of which 17 nodes see the crests alone, beside a straight line."""

    class Both(nn.Module):
        def forward(self, x):
            return torch.cat([x + 3 * torch.sin(32 * np.pi * x) / (32 * np.pi), 2 * x], 1)

    x = torch.ones(1, 1, dtype=torch.float64)
    e = xai.explain(Both(), x, "integrated_gradients", removal=Baseline(0), target="all")
    assert e.converged.all() and (e.info["steps"] > 17).all()
    np.testing.assert_allclose(e.values, [[[1, 2]]], rtol=2e-3)
    few = xai.explain(
        Both(), x, "integrated_gradients", removal=Baseline(0), target="all", steps=17
    )
    assert few.info["completeness_gap"][0, 1] < 1e-12 and not few.converged.any()


def test_a_path_back_to_where_it_began_is_complete_to_rounding():
    """A part of no change is no measure: of the values themselves a small part is."""

    class Arch(nn.Module):
        def forward(self, x):
            return 100 + x * (1 - x)

    x, zero = np.ones((1, 1), np.float32), Baseline(0)
    e = xai.explain(Arch(), x, "integrated_gradients", removal=zero)
    assert e.predictions == e.base_values == 100
    assert e.converged.all() and e.info["steps"] == 16
    np.testing.assert_allclose(e.values, 0, atol=1e-6)


def test_a_budget_adds_steps_until_it_is_spent():
    net, x = kinked(), 3 * TABLE[3:5]
    given = {"tolerance": 1e-6, "target": 0}
    usual = xai.explain(net, x, "integrated_gradients", **given)
    assert not usual.converged.all() and usual.info["steps"].max() == 512
    open_ = ~usual.converged
    near, spent = (
        xai.explain(net, x, "integrated_gradients", budget=budget, **given)
        for budget in (40_000, 1_000)
    )
    assert near.converged.all() and near.info["steps"][open_].min() > 512
    assert spent.info["steps"][open_].max() == 1_000 - 16 - 2 and not spent.converged.all()
    left = [np.abs(e.info["completeness_gap"][open_]).max() for e in (usual, spent, near)]
    assert left[2] < left[1] < left[0]


@pytest.mark.parametrize("more", [17, 40])
def test_a_tolerance_out_of_reach_leaves_no_larger_gap(more):
    """A few trapezoids are worse than Gauss's nodes on smooth paths: those are kept."""
    net, x = perceptron(), 10 * TABLE[:8]
    given = {"method": "integrated_gradients", "target": 0}
    plain = xai.explain(net, x, steps=16, **given).info["completeness_gap"]
    found = xai.explain(net, x, budget=18 + more, tolerance=1e-12, **given)
    assert not found.converged.any()
    assert np.all(np.abs(found.info["completeness_gap"]) <= np.abs(plain))


@pytest.mark.parametrize("budget", [34, 200, 400])
def test_paths_from_several_draws_share_a_budget(budget):
    given = {"removal": "marginal", "data": TABLE[:3], "target": 0, "tolerance": 1e-9}
    e = xai.explain(kinked(), 3 * TABLE[3:5], "integrated_gradients", budget=budget, **given)
    assert budget - 3 < e.evaluations <= budget and not e.converged.any()


def test_a_smooth_path_converges_at_once():
    explanation = xai.explain(perceptron(), TABLE[:3], "integrated_gradients", steps=20)
    np.testing.assert_allclose(explanation.info["completeness_gap"], 0, atol=1e-10)


def test_expected_gradients_are_the_mean_of_integrated_ones_within_their_error():
    net, x = perceptron(), TABLE[:4]
    exact = xai.explain(net, x, "integrated_gradients", removal="marginal", data=TABLE, steps=24)
    z = []
    for seed in range(20):
        e = xai.explain(net, x, "expected_gradients", data=TABLE, budget=1000, seed=seed)
        z.append((e.values - exact.values) / e.std_error)
    assert 0.7 < np.std(z) < 1.7  # Student's t with 7 degrees of freedom has 1.18


def test_the_errors_of_normal_gradients_are_their_closed_forms():
    """Of x²/2 under noise the gradient is normal, N(x, σ²); 20,000 samples."""

    class Half(nn.Module):
        def forward(self, x):
            return (x**2 / 2).sum(dim=1, keepdim=True)

    x, n, s2 = np.array([[0.0, 1.0, -3.0]]), 20_000, 0.25
    errors = {
        "smoothgrad": np.full((1, 3), np.sqrt(s2 / n)),
        "squaregrad": np.sqrt((4 * x**2 * s2 + 2 * s2**2) / n),
        "vargrad": np.full((1, 3), s2 * np.sqrt(2 / n)),
    }
    for method, expected in errors.items():
        e = xai.explain(Half(), x, method, sigma=0.5, samples=n)
        np.testing.assert_allclose(e.std_error, expected, rtol=0.05, err_msg=method)


@pytest.mark.parametrize("draws", [6, 8, np.inf], ids=["all there is", "most", "a sample"])
def test_moments_are_numpys(draws):
    """Of six derivatives; rows take turns. Draws that were taken do not come again."""
    g = np.random.default_rng(0).normal(size=(6, 2, 3, 1)) + 7
    deviations = (g - g.mean(axis=0)) ** 2 * 6 / 5
    spread = (deviations**2).mean(axis=0) - g.var(axis=0, ddof=1) ** 2 * 3 / 5
    left = np.sqrt((1 - 6 / draws) / 6)
    of_all = g.var(axis=0, ddof=1) * (1 - 1 / draws)  # where draws = 6, numpy's of ddof 0
    expected = {
        "mean": (g.mean(axis=0), g.std(axis=0, ddof=1) * left),
        "square": ((g**2).mean(axis=0), (g**2).std(axis=0, ddof=1) * left),
        "variance": (of_all, np.sqrt(spread) * left),
    }
    for moment, wanted in expected.items():
        moments = Moments(2, powers=4, moment=moment, draws=draws)
        for some in (slice(0, 1), slice(1, 4), slice(4, 6)):
            at, part = np.repeat([0, 1], some.stop - some.start), g[some].swapaxes(0, 1)
            moments.add(at, torch.tensor(part.reshape(-1, 3, 1)), np.arange(len(at)))
        for found, known in zip(moments.result(), wanted, strict=True):
            np.testing.assert_allclose(found, known, rtol=1e-9, err_msg=moment)


@pytest.mark.parametrize("samples", [2, 6, 40])
def test_pairs_on_a_path_are_exact_where_gradients_are_linear(samples):
    """A point t and its mirror 1 − t on one draw: their mean is that of the ends."""

    def model(x):
        return (x**2 / 2).sum(dim=1, keepdim=True) + x[:, :1] * x[:, 1:2]

    x, b = torch.tensor(TABLE[:2]), torch.tensor(TABLE[9:10])
    e = xai.explain(model, x, "expected_gradients", data=b, samples=samples)
    middle = ((x + b) / 2).requires_grad_()
    slope = torch.autograd.grad(model(middle).sum(), middle)[0]
    np.testing.assert_allclose(e.values, (x - b) * slope, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["integrated_gradients", "expected_gradients"])
def test_what_no_player_owns_stays_on_the_whole_path(method):
    """Of x_0 x_2 + x_1; which columns these are differs from row to row."""

    def model(x):
        return x[:, :1] * x[:, 2:] + x[:, 1:2]

    x = torch.tensor([[2.0, 3.0, 5.0], [2.0, 3.0, 5.0]], dtype=torch.float64)
    players = np.array([[0, 1, -1], [0, -1, 1]])
    e = xai.explain(model, x, method, data=0 * x[:1], removal="marginal", players=players)
    np.testing.assert_allclose(e.values, [[10, 3], [5, 5]], rtol=1e-12)
    shared = xai.explain(model, x, method, data=0 * x[:1], removal="marginal", players=players[0])
    np.testing.assert_allclose(shared.values, [[10, 3]] * 2, rtol=1e-12)


FOUR = Marginal(TABLE[:4])


@pytest.mark.parametrize(
    ("summary", "removal", "budget", "rows"),
    [
        (Gradient(), Noise(0.1), None, 1 + 64),
        (Gradient(samples=8), Noise(0.1), 1000, 1 + 8),
        (Gradient(), FOUR, None, 1 + 4),
        (Gradient(samples=100), FOUR, 1 + 4, 1 + 4),  # each draw once is all there is
        (Gradient(samples=3), FOUR, None, 1 + 3),
        (Gradient(), FOUR, 1 + 3, 1 + 3),
        (Gradient(at="kept"), FOUR, None, 1 + 1),
        (Gradient(at="path"), FOUR, 5 + 9, 5 + 8),  # in pairs
        (Gradient(at="path", samples=6), FOUR, None, 5 + 6),
    ],
)
def test_a_gradient_takes_as_many_samples_as_it_is_told(summary, removal, budget, rows):
    method = xai.Method(removal=removal, summary=summary)
    e = xai.explain(perceptron(), TABLE[:1], method, budget=budget)
    assert e.evaluations == rows
    exact = summary.at == "kept" or (removal is FOUR and rows == 1 + 4)
    assert (e.std_error is None) == exact
    assert np.isnan(e.base_values).all() == (summary.at != "path")


@pytest.mark.parametrize(
    ("summary", "removal", "least"),
    [
        (Gradient(), Noise(0.1), 2), (Gradient(moment="variance"), Noise(0.1), 3),
        (Gradient(moment="variance"), Marginal(TABLE[:1]), 2), (Gradient(at="kept"), FOUR, 2),
        (Gradient(at="path"), FOUR, 7), (IntegratedGradient(), FOUR, 5 + 4),
        (IntegratedGradient(steps=3), FOUR, 5 + 12),
    ],
)  # fmt: skip
def test_the_least_of_a_gradient_is_named_and_enough(summary, removal, least):
    method = xai.Method(removal=removal, summary=summary)
    with pytest.raises(ValueError, match=f"at least {least}|needs {least}"):
        xai.explain(perceptron(), TABLE[:1], method, budget=least - 1)
    assert xai.explain(perceptron(), TABLE[:1], method, budget=least).evaluations == least


@pytest.mark.parametrize("samples", [4, 10, 18])
def test_few_expected_gradients_have_the_error_of_as_many_pairs(samples):
    """Of two, five or nine pairs: right on average over seeds."""
    net, x = perceptron(), TABLE[:4]
    exact = xai.explain(net, x, "integrated_gradients", removal="marginal", data=TABLE, steps=24)
    found = [
        xai.explain(net, x, "expected_gradients", data=TABLE, samples=samples, seed=seed)
        for seed in range(60)
    ]
    misses = np.array([e.values for e in found]) - exact.values
    assert 0.8 < np.sqrt(np.mean(misses**2) / np.mean([e.std_error**2 for e in found])) < 1.25


def test_the_gradient_where_all_is_removed_is_the_mean_over_the_background():
    net, x = perceptron(), TABLE[:2]
    mean = Gradient("removed", "input")
    found = xai.explain(net, x, summary=mean, removal="marginal", data=TABLE, target=0)
    alone = xai.explain(net, TABLE, "gradient", target=0)
    assert found.std_error is None
    np.testing.assert_allclose(found.values, [alone.values.mean(axis=0)] * 2, rtol=1e-9)


@pytest.mark.parametrize("removal", ["marginal", "function"])
def test_gradient_times_input_is_the_mean_over_all_draws(removal):
    """Of what each takes away: one pass serves them all where only that differs."""
    net, x, rows = perceptron(), torch.tensor(TABLE[:3]), torch.tensor(TABLE[20:])
    given = Marginal(rows) if removal == "marginal" else Ignoring(Marginal(rows))
    e = xai.explain(net, x, "gradient_x_input", removal=given)
    own = x.clone().requires_grad_()
    net(own)[np.arange(3), e.target].sum().backward()
    np.testing.assert_allclose(e.values, own.grad * (x - rows.mean(0)))
    assert e.std_error is None
    assert e.evaluations == (2 if removal == "marginal" else 1 + len(rows))


@dataclass(frozen=True, eq=False)
class Ignoring(xai.removal.Removal):
    """Another removal, whose inputs it makes itself."""

    other: xai.removal.Removal

    def bind(self, context):
        draws, x = self.other.bind(context), context.inputs.block

        def inputs(rows, masks, at):
            block, index = draws.source(rows, at)
            return block[index] + masks * (x[rows] - block[index])

        return replace(draws, inputs=inputs)


@pytest.mark.parametrize("method", ["smoothgrad", "squaregrad", "vargrad"])
def test_the_errors_of_noisy_gradients_are_right(method):
    net, x = perceptron(), TABLE[:4]
    truth = xai.explain(net, x, method, sigma=0.5, budget=100_001, seed=99).values
    z = []
    for seed in range(20):
        e = xai.explain(net, x, method, sigma=0.5, budget=301, seed=seed)
        z.append((e.values - truth) / e.std_error)
    assert 0.75 < np.std(z) < 1.3


@pytest.mark.parametrize("samples", [3, 6, 12, 21])
@pytest.mark.parametrize("method", ["smoothgrad", "squaregrad", "vargrad"])
def test_the_errors_of_gradients_at_some_of_the_draws_are_right(method, samples):
    """At some of 24 background rows: those that were taken do not come again."""
    net, x, some = perceptron(), TABLE[:1], {"removal": "marginal", "data": TABLE[:24]}
    exact = xai.explain(net, x, method, samples=24, **some)
    assert exact.std_error is None
    found = [xai.explain(net, x, method, samples=samples, seed=s, **some) for s in range(150)]
    misses = np.mean([(e.values - exact.values) ** 2 for e in found])
    ratio = np.sqrt(misses / np.mean([e.std_error**2 for e in found]))
    assert 0.8 < ratio < 1.25


def test_a_tolerance_stops_early():
    net, x = perceptron(), TABLE[:4]
    e = xai.explain(net, x, "smoothgrad", sigma=0.5, budget=5000, tolerance=0.05)
    assert e.converged.all() and e.evaluations < 2000
    spread = e.values.max(axis=1) - e.values.min(axis=1)
    assert (e.std_error.max(axis=1) <= 0.05 * spread).all()


# ------------------------------------------------------- the eight methods of Han et al. (2022)


def fit(**keywords):
    return LinearFit(kernel="uniform", regularizer=None, **keywords)


def test_gradient_matching_fits_are_the_gradient_methods():
    net, x = perceptron(), TABLE[:3]
    pairs = [
        ({"removal": Noise(0), "summary": fit(loss="gradient", at="removed")}, "gradient", {}),
        ({"removal": Noise(0.3), "summary": fit(loss="gradient", at="removed")}, "smoothgrad",
         {"sigma": 0.3}),
        ({"removal": Baseline(0), "summary": fit(loss="gradient", at="kept")}, "gradient_x_input",
         {}),
    ]  # fmt: skip
    for triple, direct, options in pairs:
        one = xai.explain(net, x, xai.Method(**triple), budget=200)
        other = xai.explain(net, x, direct, budget=200, **options)
        np.testing.assert_array_equal(one.values, other.values, err_msg=direct)
    path = xai.Method(removal=Baseline(0), summary=fit(loss="gradient", at="path"))
    sampled = xai.explain(net, x, path, budget=4002)
    exact = xai.explain(net, x, "integrated_gradients", steps=30)
    np.testing.assert_allclose(sampled.values, exact.values, atol=5e-4)


def test_value_matching_fits_are_the_perturbation_methods():
    net, x, data = perceptron(), TABLE[:3], TABLE[20:]
    one = xai.explain(
        net, x, xai.Method(removal=Marginal(), summary=LinearFit("shapley", None)), data=data
    )
    np.testing.assert_allclose(
        one.values, xai.explain(net, x, "exact_shapley", data=data).values, atol=1e-9
    )
    # one player removed at a time, the full row known: the slopes are what each removal takes
    weights = lambda S: (S.sum(axis=1) >= S.shape[1] - 1) * 1.0  # noqa: E731
    alone = xai.Method(removal=Marginal(), summary=LinearFit(weights, None))
    np.testing.assert_allclose(
        xai.explain(net, x, alone, data=data).values,
        xai.explain(net, x, "occlusion", data=data).values,
        atol=1e-9,
    )
    # C-LIME tends to SmoothGrad in the same noise (Agarwal et al. 2021)
    lime = xai.explain(net, x, "c_lime", sigma=0.2, budget=40_000)
    smooth = xai.explain(net, x, "smoothgrad", sigma=0.2, budget=20_000)
    error = np.hypot(lime.std_error, smooth.std_error)
    assert (np.abs(lime.values - smooth.values) < 5 * error).all()


@pytest.mark.parametrize(
    ("summary", "says"),
    [
        (fit(loss="gradient"), "at='removed'"),
        (LinearFit(loss="gradient", at="path"), "uniform"),
        (fit(at="path"), "gradient"),
        (Gradient(at="path", moment="square"), "mean"),
        (Gradient(at="path", samples=3), "even"),
        (Gradient(at="nowhere"), "removed"),
        (Gradient(moment="median"), "square"),
        (Gradient(samples=0), "samples=0.*at least 1"),
        (Gradient(moment="variance", samples=1), "samples=1.*at least 2"),
        (Gradient(wrt="inputs"), "'input'"),
        (IntegratedGradient(steps=0), "at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(summary, says):
    with pytest.raises(ValueError, match=says):
        xai.explain(perceptron(), TABLE[:2], xai.Method(removal=Baseline(0), summary=summary))


def test_gradients_in_inputs_are_not_of_windows_that_overlap():
    with pytest.raises(ValueError, match="overlap"):
        xai.explain(convolutions(), IMAGES, "gradient", players=Windows(3, 2))


# ------------------------------------------------------------------------------ against captum


@pytest.mark.parametrize("name", ["gradient", "gradient_x_input", "integrated_gradients"])
def test_as_captum(name):
    attr = pytest.importorskip("captum.attr")
    net, x = convolutions(), IMAGES.clone().requires_grad_()
    t = predicted(net, x)
    if name == "gradient":
        theirs, options = attr.Saliency(net).attribute(x, t, abs=False), {}
    elif name == "gradient_x_input":
        theirs, options = attr.InputXGradient(net).attribute(x, t), {}
    else:
        theirs = attr.IntegratedGradients(net).attribute(
            x, torch.zeros_like(x), t, n_steps=50, method="gausslegendre"
        )
        options = {"steps": 50}
    ours = xai.explain(net, IMAGES, name, players="elements", **options)
    np.testing.assert_allclose(ours.values, theirs.detach(), atol=1e-8)
    pixels = xai.explain(net, IMAGES, name, **options)
    np.testing.assert_allclose(pixels.values, theirs.detach().sum(1), atol=1e-8)


@pytest.mark.parametrize("rule", ["deeplift", "lrp", "guided_backprop", "deconvnet"])
def test_without_captum_its_rules_say_how_to_install_it(rule, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "captum"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(ImportError, match=r'pip install "xai-removal\[torch\]"'):
        xai.explain(torch.nn.Sequential(convolutions(), torch.nn.ReLU()), IMAGES, rule)


@pytest.mark.parametrize("curve", [*CURVES, "ReLU", "Tanh"])
def test_deeplift_is_complete_whatever_the_activation(curve):
    net = convolutions(middle=getattr(nn, curve))
    kinds = [type(part) for part in net.modules()]
    e = xai.explain(net, 4 * IMAGES, "deeplift", target=0)  # beyond ReLU6's bend
    change = e.predictions - e.base_values
    np.testing.assert_allclose(e.info["completeness_gap"], 0, atol=1e-6 * np.abs(change).max())
    assert [type(part) for part in net.modules()] == kinds


def assert_deeplift_is_complete(net, x):
    pytest.importorskip("captum.attr")
    e = xai.explain(net.double(), x.double(), "deeplift", removal=Baseline(0), target=1)
    change = np.abs(e.predictions - e.base_values).max()
    np.testing.assert_allclose(e.info["completeness_gap"], 0, atol=1e-6 * change)


def test_deeplift_is_complete_where_activations_follow_one_another():
    torch.manual_seed(0)
    parts = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]
    net = nn.Sequential(*parts, nn.MaxPool2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3))
    assert_deeplift_is_complete(net, IMAGES)


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool1d(3, 2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((3, 2), (1, 2)),
        nn.MaxPool2d(2, 1, dilation=2), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d(4, 3, 2, ceil_mode=True), nn.MaxPool3d(3, 2, 1),
    ],
)  # fmt: skip
def test_deeplift_is_complete_where_windows_overlap(pool):
    torch.manual_seed(0)
    axes = int(type(pool).__name__[-2])
    convolution = [nn.Conv1d, nn.Conv2d, nn.Conv3d][axes - 1](2, 4, 3)
    x = torch.randn(3, 2, *(9, 10, 8)[:axes])
    first = nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten())
    assert_deeplift_is_complete(nn.Sequential(first, nn.Linear(first(x).shape[1], 3)), x)


class Tutorial(nn.Module):
    """A network as torch's tutorials write it, of functions, and the same of layers."""

    def __init__(self, called, bend="gelu"):
        super().__init__()
        torch.manual_seed(0)
        self.called, self.bend = called, bend
        self.one, self.two = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 5, 3, padding=1)
        self.three, self.four = nn.Linear(20, 6), nn.Linear(6, 3)
        self.layers = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.GELU()])

    def forward(self, x):
        if not self.called:
            relu, again, pool, bend = self.layers
            h = pool(again(self.two(relu(self.one(x)))))
            return self.four(bend(self.three(h.flatten(1))))
        h = self.two(torch.nn.functional.relu(self.one(x)))
        torch.nn.functional.relu(h, inplace=True)  # of which only the input is used
        h = torch.nn.functional.max_pool2d(h, 3, 2, padding=1).flatten(1)
        return self.four(getattr(torch.nn.functional, self.bend)(self.three(h)))


@pytest.mark.parametrize("rule", ["deeplift", "guided_backprop", "deconvnet"])
def test_activations_that_are_functions_are_handed_through_as_layers(rule):
    pytest.importorskip("captum.attr")
    x = IMAGES[..., :6, :6]
    called, layers = (Tutorial(how).double() for how in (True, False))
    kept = {name for name, _ in called.named_modules()}
    ours, told = (xai.explain(net, x, rule, target="all", batch_size=2) for net in (called, layers))
    np.testing.assert_allclose(ours.values, told.values, rtol=1e-9, atol=1e-15)
    assert ours.values.any() and ours.evaluations == told.evaluations
    assert {name for name, _ in called.named_modules()} == kept
    plain = xai.explain(called, x, "gradient", target="all")
    assert np.abs(ours.values - plain.values).max() > 0.01 * np.abs(plain.values).max()


@pytest.mark.parametrize("call", ["relu", "sigmoid", "gelu", "silu", "softplus", "hardswish"])
def test_deeplift_is_complete_through_functions(call):
    assert_deeplift_is_complete(Tutorial(called=True, bend=call), IMAGES[..., :6, :6])


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: torch.nn.functional.max_pool2d(x, (3, 2), 2, 1, 1, True),
        lambda x: torch.nn.functional.max_pool2d(x, 2, return_indices=True)[0],
        lambda x: torch.max_pool2d(x, 2, stride=1),
        lambda x: x.relu_().square().sigmoid(),
        lambda x: torch.special.expit(x.mT.flatten(2)).transpose(0, 1).relu().transpose(0, 1),
    ],
)
def test_deeplift_of_functions_however_they_are_called(pool):
    """Where a call is not known, or the rows are on another axis, it is linear to captum."""

    class Pools(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Conv2d(2, 3, 3), nn.LazyLinear(2)

        def forward(self, x):
            return self.last(pool(self.first(x)).flatten(1))

    pytest.importorskip("captum.attr")
    net = Pools()
    net(IMAGES.float())
    e = xai.explain(net.double(), IMAGES, "deeplift", target=0)
    assert e.values.any()
    twice = [xai.explain(net, IMAGES[i : i + 1], "deeplift", target=0).values for i in range(3)]
    np.testing.assert_allclose(e.values, np.concatenate(twice), rtol=1e-9, atol=1e-15)


class StepsFirst(nn.Module):
    """Rows of steps, turned so that steps come first, as torch's recurrent layers have them."""

    def __init__(self, called):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.relu, self.two = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)
        self.called = called

    def forward(self, x):
        h = self.one(x.transpose(0, 1))
        return self.two(torch.relu(h) if self.called else self.relu(h)).mean(0)


@pytest.mark.parametrize("rule", ["guided_backprop", "deconvnet"])
def test_rectifiers_are_met_wherever_the_rows_are(rule):
    pytest.importorskip("captum.attr")
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    ours, told = (xai.explain(StepsFirst(called), x, rule) for called in (True, False))
    np.testing.assert_array_equal(ours.values, told.values)


def test_deeplift_says_that_rows_must_come_first():
    pytest.importorskip("captum.attr")
    with pytest.raises(RuntimeError) as refused:
        xai.explain(StepsFirst(called=False), torch.ones(3, 5, 4), "deeplift", removal=Baseline(0))
    assert "batch_first=False" in refused.value.__notes__[0]


class Gated(nn.Module):
    """Channels times a gate that looks at them all: squeeze and excitation."""

    def __init__(self, times):
        super().__init__()
        torch.manual_seed(0)
        self.times, self.one = times, nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid())
        self.head = nn.Sequential(nn.Sigmoid(), nn.Flatten(), nn.Linear(144, 3))

    def forward(self, x):
        h = self.one(x)
        return self.head(self.times(h, self.gate(h)))


@pytest.mark.parametrize(
    "times",
    [
        torch.mul, lambda h, g: g * h, lambda h, g: h.clone().mul_(g),
        lambda h, g: (h.mT * g) @ h, lambda h, g: torch.bmm(h[:, 0] * g[:, 1], h[:, 1]).tile(4),
        lambda h, g: 2.0 * h * h + h * torch.arange(6.0),
    ],
)  # fmt: skip
def test_deeplift_is_complete_through_products(times):
    assert_deeplift_is_complete(Gated(times), IMAGES)


def test_deeplift_shares_a_product_as_shapley_values_do():
    pytest.importorskip("captum.attr")

    class Product(nn.Module):
        def forward(self, x):
            return x[:, 0] * x[:, 1] + 3 * x[:, 2]

    x = torch.tensor([[2.0, 5.0, 1.0], [-1.0, 4.0, 0.5]])
    given = {"removal": Baseline(torch.tensor([1.0, -2.0, 0.0])), "players": "elements"}
    ours = xai.explain(Product(), x, "deeplift", **given)
    told = xai.explain(Product(), x, "exact_shapley", **given)
    np.testing.assert_allclose(ours.values, told.values, rtol=1e-6)


@pytest.mark.parametrize("rule", ["deeplift", "lrp", "guided_backprop", "deconvnet"])
def test_rules_go_past_layers_that_read_what_does_not_depend_on_x(rule):
    """As the positions of a Swin transformer, which a small network of its own turns to biases."""

    class Positions(nn.Module):
        def __init__(self, aside):
            super().__init__()
            torch.manual_seed(0)
            self.one, self.relu, self.two = nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)
            self.places = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 5))
            self.aside = aside
            if not aside:
                self.one.bias.data += self.biases(torch.float32).detach()

        def biases(self, dtype):
            return self.places(torch.arange(5, dtype=dtype)[:, None]).mean(0)

        def forward(self, x):
            biases = self.biases(x.dtype) if self.aside else 0
            return self.two(self.relu(self.one(x) + biases))

    pytest.importorskip("captum.attr")
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours, told = (xai.explain(Positions(b).double(), x, rule, target=0) for b in (True, False))
    np.testing.assert_allclose(ours.values, told.values, rtol=1e-5, atol=1e-7)
    assert ours.values.any()


def test_deeplift_of_a_background_is_the_mean_over_its_rows_and_shaps():
    shap = pytest.importorskip("shap")
    pytest.importorskip("captum.attr")
    net = convolutions(middle=nn.ReLU)
    given = {"target": [2, 0, 1], "players": "elements"}
    e = xai.explain(net, IMAGES, "deeplift", removal=Marginal(OTHERS), batch_size=5, **given)
    single = [
        xai.explain(net, IMAGES, "deeplift", removal=Baseline(other), **given) for other in OTHERS
    ]
    np.testing.assert_allclose(
        e.values, np.mean([one.values for one in single], axis=0), atol=1e-12
    )
    np.testing.assert_allclose(e.info["completeness_gap"], 0, atol=1e-9)
    assert e.std_error is None
    assert e.evaluations == 2 * len(OTHERS) + 1 + -(-len(OTHERS) // len(IMAGES))
    with warnings.catch_warnings(action="ignore"):  # shap's and captum's own
        theirs = shap.DeepExplainer(net, OTHERS).shap_values(IMAGES, check_additivity=False)
    for row, output in enumerate(given["target"]):
        np.testing.assert_allclose(e.values[row], theirs[row, ..., output], atol=1e-9)


def test_deeplift_goes_through_each_rows_softmax_alone():
    """As captum does with one row; with several its rule takes the mean of them all."""
    attr = pytest.importorskip("captum.attr")
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.Softmax(-1)).double()
    x = torch.randn(3, 4, dtype=torch.float64)
    ours = xai.explain(net, x, "deeplift", target=0)
    for i in range(3):
        with warnings.catch_warnings(action="ignore"):  # captum's own
            theirs = attr.DeepLift(net).attribute(x[i : i + 1], target=0)
        np.testing.assert_allclose(ours.values[i], theirs.detach()[0], atol=1e-15)


def test_lrp_conserves_the_output_and_is_gradient_times_input_without_biases():
    """LRP-0 of ReLU networks, whose outputs are homogeneous where no layer has a bias."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False),
    ).double()  # fmt: skip
    lrp = xai.explain(net, IMAGES, "lrp")
    np.testing.assert_allclose(lrp.values.reshape(3, -1).sum(axis=1), lrp.predictions, rtol=1e-6)
    same = xai.explain(net, IMAGES, "gradient_x_input")
    np.testing.assert_allclose(lrp.values, same.values, rtol=1e-5, atol=1e-9)


def test_lrp_keeps_from_the_input_what_biases_add():
    """LRP-0 of ReLU networks is gradient times input with biases, too: Σ R = f − Σ b ∂f/∂b."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 6), nn.ReLU(),
        nn.Linear(6, 3),
    ).double()  # fmt: skip
    lrp = xai.explain(net, IMAGES, "lrp", target=1)
    same = xai.explain(net, IMAGES, "gradient_x_input", target=1)
    np.testing.assert_allclose(lrp.values, same.values, rtol=1e-5, atol=1e-8)
    biases = [part.bias for part in net if hasattr(part, "bias")]
    for image, values, prediction in zip(IMAGES, lrp.values, lrp.predictions, strict=True):
        slopes = torch.autograd.grad(net(image[None])[0, 1], biases)
        kept = sum((b * slope).sum().item() for b, slope in zip(biases, slopes, strict=True))
        assert abs(kept) > 0.01
        assert values.sum() == pytest.approx(prediction - kept, rel=1e-6)


@pytest.mark.parametrize("rule", ["deeplift", "lrp"])
@pytest.mark.parametrize("autocast", [True, False])
def test_rules_that_give_nan_name_the_row_and_float16(rule, autocast):
    pytest.importorskip("captum.attr")
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    for part in net.parameters():
        nn.init.ones_(part)
    net = xai.TorchModel(net, precision="float16") if autocast else net.half()
    x = torch.tensor([[1.0, 1.0], [0.0, 0.0]])  # row 1 is its baseline: 0 by 0
    with pytest.raises(ValueError, match=r"NaN .* row 1 \(0-based\) .* float32 or bfloat16"):
        xai.explain(net, x, rule, removal=Baseline(0))


@pytest.mark.parametrize("rule", ["deeplift", "lrp", "guided_backprop", "deconvnet"])
def test_rules_go_through_networks_of_one_output_however_it_is_shaped(rule):
    pytest.importorskip("captum.attr")
    net = nn.Sequential(*convolutions(middle=nn.ReLU)[:-1], nn.Linear(4, 1)).double()
    flat = xai.explain(nn.Sequential(net, nn.Flatten(0)), IMAGES, rule)
    column = xai.explain(net, IMAGES, rule)
    np.testing.assert_allclose(flat.values, column.values, rtol=1e-6)  # LRP's ε at Flatten
    assert flat.values.any()


@pytest.mark.parametrize("rule", ["deeplift", "lrp", "guided_backprop", "deconvnet"])
def test_rules_go_through_networks_that_write_on_their_input(rule):
    pytest.importorskip("captum.attr")

    class Doubles(nn.Sequential):
        def __init__(self, *parts, inplace):
            super().__init__(*parts)
            self.double = torch.Tensor.mul_ if inplace else torch.mul

        def forward(self, x):
            return super().forward(self.double(x, 2))

    x, net = IMAGES.clone(), convolutions(middle=nn.ReLU)
    within, apart = (xai.explain(Doubles(*net, inplace=b), x, rule) for b in (True, False))
    np.testing.assert_array_equal(within.values, apart.values)
    assert torch.equal(x, IMAGES)


@pytest.mark.parametrize("rule", ["deeplift", "lrp", "guided_backprop", "deconvnet"])
def test_each_row_is_handed_back_from_its_own_output(rule):
    pytest.importorskip("captum.attr")
    net = convolutions(middle=nn.ReLU)
    together = xai.explain(net, IMAGES, rule, target=[2, 0, 1])
    for i, target in enumerate([2, 0, 1]):
        alone = xai.explain(net, IMAGES[i : i + 1], rule, target=target)
        np.testing.assert_allclose(together.values[i], alone.values[0], rtol=1e-9, atol=1e-12)
        every = xai.explain(net, IMAGES[i : i + 1], rule, target="all")
        np.testing.assert_allclose(every.values[0, ..., target], alone.values[0], atol=1e-12)


@pytest.mark.parametrize(
    ("rule", "options", "error", "says"),
    [
        ("deeplift", {"behavior": "margin"}, ValueError, "explains an output"),
        ("deeplift", {"removal": Noise(0.1)}, ValueError, "compares with one baseline"),
        ("deeplift", {"removal": Uniform(-1, 1, n_draws=1)}, ValueError, "with one baseline"),
        ("lrp", {"players": Channels("0")}, TypeError, "goes through a whole torch module"),
        ("guided", {}, ValueError, "did you mean 'guided_backprop'"),
    ],
)
def test_what_no_rule_goes_through_is_refused(rule, options, error, says):
    method = xai.Method(removal=Baseline(0), summary=Propagation(rule))
    with pytest.raises(error, match=says):
        xai.explain(convolutions(middle=nn.ReLU), IMAGES, method, **options)


def test_lrp_refuses_a_layer_without_a_rule():
    """Which DeepLIFT takes for a curve that it knows."""
    pytest.importorskip("captum.attr")
    with pytest.raises(TypeError, match="GELU") as refused:
        xai.explain(convolutions(middle=nn.GELU), IMAGES, "lrp")
    (note,) = refused.value.__notes__
    assert "layer.rule = EpsilonRule()" in note and "deeplift" in note


@pytest.mark.parametrize("rule", ["guided_backprop", "deconvnet"])
def test_rules_for_relus_are_refused_where_there_is_none(rule):
    pytest.importorskip("captum.attr")
    with pytest.raises(ValueError, match="would be the gradient"):
        xai.explain(convolutions(middle=nn.ReLU6), IMAGES, rule)


def test_lrp_names_the_layers_without_a_rule():
    pytest.importorskip("captum.attr")
    net = convolutions(middle=nn.GELU).append(nn.LayerNorm(3).double()).append(nn.Sigmoid())
    message = r"rule for the network's layers '1' \(GELU\), '3' \(GELU\), '7' \(.*\) and 1 more"
    with pytest.raises(TypeError, match=message):
        xai.explain(net, IMAGES, "lrp")


def test_smoothgrad_is_captums_in_expectation():
    attr = pytest.importorskip("captum.attr")
    net, x = convolutions(), IMAGES
    torch.manual_seed(0)
    theirs = attr.NoiseTunnel(attr.Saliency(net)).attribute(
        x, nt_type="smoothgrad", nt_samples=3000, nt_samples_batch_size=500, stdevs=0.5,
        target=predicted(net, x), abs=False,
    ).numpy()  # fmt: skip
    ours = xai.explain(net, x, "smoothgrad", sigma=0.5, players="elements", budget=3001)
    z = (ours.values - theirs) / (ours.std_error * np.sqrt(2))
    assert 0.8 < z.std() < 1.2


def test_layers_are_captums():
    attr = pytest.importorskip("captum.attr")
    functional = nn.functional
    net, x = convolutions(), IMAGES
    t = predicted(net, x)
    theirs = attr.LayerGradCam(net, net[3]).attribute(x, t, relu_attributions=True)
    large = functional.interpolate(theirs, (8, 8), mode="bilinear").detach()
    ours = xai.explain(net, x, "gradcam", layer="3")
    np.testing.assert_allclose(ours.map(), large.expand(-1, 2, -1, -1), atol=1e-9)
    theirs = attr.LayerIntegratedGradients(net, net[1]).attribute(
        x, torch.zeros_like(x), t, n_steps=32, method="gausslegendre"
    )
    ours = xai.explain(
        net, x, "layer_integrated_gradients", layer="1", steps=32,
        removal=Baseline(np.zeros((2, 8, 8))),
    )  # fmt: skip
    np.testing.assert_allclose(ours.values, theirs.detach(), atol=1e-9)


def networks_of_places():
    """Series with channels first, inside of which time is shorter than channels; volumes."""
    torch.manual_seed(0)
    parts, series = (), torch.randn(2, 3, 256)
    for channels, out in ((3, 8), (8, 12), (12, 16)):
        parts += (nn.Conv1d(channels, out, 5, stride=4, padding=2), nn.BatchNorm1d(out), nn.ReLU())
    head = (nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 3))
    volume = nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 6, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    yield nn.Sequential(*parts, *head), series, "8", "linear"
    yield volume, torch.randn(2, 1, 6, 10, 8), "4", "trilinear"


@pytest.mark.parametrize("place", [0, 1])
def test_class_activation_maps_of_series_and_volumes_are_captums(place):
    """In the last layer 4 steps of 16 channels look like 16 steps of 4 channels."""
    attr = pytest.importorskip("captum.attr")
    net, x, layer, mode = list(networks_of_places())[place]
    net, x = net.eval().double(), x.double()
    theirs = attr.LayerGradCam(net, net[int(layer)]).attribute(x, 1, relu_attributions=True)
    large = attr.LayerAttribution.interpolate(theirs, tuple(x.shape[2:]), mode).detach()
    for name in (layer, "auto"):
        ours = xai.explain(net, x, "gradcam", layer=name, target=1)
        np.testing.assert_allclose(ours.map(), large.expand(x.shape), atol=1e-12)
        assert ours.channel_axis == 1 and ours.activations.shape[2:] == theirs.shape[2:]
    units = attr.LayerIntegratedGradients(net, net[int(layer)]).attribute(
        x, torch.zeros_like(x), 1, n_steps=32, method="gausslegendre"
    )
    ours = xai.explain(
        net, x, "layer_integrated_gradients", layer=layer, steps=32, target=1,
        removal=Baseline(np.zeros(x.shape[1:])),
    )  # fmt: skip
    np.testing.assert_allclose(ours.values, units.detach(), atol=1e-9)
    small = units.sum(1, keepdim=True).detach()
    large = nn.functional.interpolate(small, tuple(x.shape[2:]), mode=mode)
    np.testing.assert_allclose(ours.map(), large.expand(x.shape), atol=1e-9)
    alone = xai.explain(net, x[:1], "score_cam", layer=layer, target=1)
    acts = net[: int(layer) + 1](x[:1]).detach()
    maps = nn.functional.interpolate(acts, tuple(x.shape[2:]), mode=mode).flatten(2)
    low, high = maps.amin(-1, keepdim=True), maps.amax(-1, keepdim=True)
    masks = ((maps - low) / (high - low).where(high > low, 1)).reshape(-1, 1, *x.shape[2:])
    gains = net(masks * x[:1])[:, 1] - net(0 * x[:1])[:, 1]
    np.testing.assert_allclose(alone.values[0], gains.softmax(0).detach(), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "shape", "axis"),
    [
        (lambda: nn.Conv1d(5, 2, 3), (5, 9), 1), (lambda: nn.Conv1d(5, 2, 3), (9, 5), 2),
        (lambda: nn.Conv1d(5, 2, 3), (5, 5), 1), (lambda: nn.Conv1d(1, 2, 3), (9,), 0),
        (lambda: nn.Conv1d(5, 2, 3), (6, 9), None), (lambda: nn.GRU(5, 2), (5, 5), 2),
        (lambda: nn.LSTM(5, 2), (9, 5), 2), (lambda: nn.Linear(9, 2), (9, 4), 1),
        (lambda: nn.Linear(9, 2), (9,), None), (lambda: nn.Conv3d(2, 4, 3), (2, 5, 6, 7), 1),
        (lambda: nn.Conv2d(3, 4, 3), (8, 3, 5, 6), 2), (lambda: nn.Conv3d(1, 4, 3), (5, 6, 7), 0),
        (lambda: nn.LayerNorm(4), (9, 4), 2), (nn.Tanh, (9, 4), None),
        (lambda: nn.MultiheadAttention(4, 2), (4, 4), 2), (lambda: nn.BatchNorm1d(4), (4, 9), 1),
    ],
)  # fmt: skip
def test_the_first_layer_says_which_axis_it_takes_for_channels(make, shape, axis):
    assert channels_read(nn.Sequential(nn.Identity(), make(), nn.Softmax(1)), shape) == axis


@pytest.mark.parametrize("name", ["layer_integrated_gradients", "gradcam", "ablation_cam"])
def test_a_layer_is_named_whatever_the_rows_are(name):
    """Of token ids, as captum's users do at the embedding; no place is known of its units."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(9, 4), nn.Tanh(), nn.Flatten(), nn.Linear(20, 2)).double()
    ids = torch.tensor([[2, 7, 1, 5, 3], [1, 1, 8, 0, 4]])
    found = xai.explain(net, ids, name, layer="0")
    kind = xai.players.Units if name.startswith("layer") else xai.players.Channels
    same = xai.explain(net, ids, name, players=kind("0"))
    np.testing.assert_array_equal(found.values, same.values)
    assert found.layer == "0"
    with pytest.raises(ValueError, match=r"sees images.* pass .* layer= of that network"):
        xai.explain(net, ids, name)


@pytest.mark.parametrize("method", ["occlusion", "gradcam", "integrated_gradients"])
def test_a_module_that_turns_images_itself_has_channels_last(method):
    """Where its first layer takes as many channels as there are there, and not those of axis 1."""

    class Turns(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x.permute(0, 3, 1, 2))

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 48, 2)).double()
    x = torch.rand(2, 3, 8, 10).double()
    first, last = (
        xai.explain(model, rows, method)
        for model, rows in ((net, x), (Turns(net), x.permute(0, 2, 3, 1)))
    )
    assert (first.channel_axis, last.channel_axis) == (1, 3)
    np.testing.assert_allclose(last.values, first.values, atol=1e-12)
    np.testing.assert_allclose(np.moveaxis(last.map(), -1, 1), first.map(), atol=1e-12)
    assert xai.explain(nn.Flatten(), x.permute(0, 2, 3, 1), method="gradient").channel_axis == 1


def test_series_without_channels_and_sequences_have_maps_over_time():
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv1d(1, 4, 5), nn.ReLU()
            self.rnn, self.head = nn.GRU(4, 6, batch_first=True), nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.rnn(self.act(self.conv(x[:, None])).mT)[0].mean(1))

    torch.manual_seed(0)
    net, x = Steps().double(), torch.randn(2, 30).double()
    cam = xai.explain(net, x, "gradcam", target=0)
    assert (cam.layer, cam.channel_axis, cam.map().shape) == ("act", 0, (2, 30))
    acts = net.act(net.conv(x[:, None])).detach().requires_grad_()
    weights = torch.autograd.grad(net.head(net.rnn(acts.mT)[0].mean(1))[:, 0].sum(), acts)[0].mean(
        2
    )
    small = (weights[..., None] * acts).sum(1, keepdim=True).clamp(min=0)
    large = nn.functional.interpolate(small, 30, mode="linear")[:, 0].detach()
    np.testing.assert_allclose(cam.map(), large, atol=1e-12)
    hidden = xai.explain(net, x, "layer_integrated_gradients", layer="rnn", target=0)
    assert hidden.values.shape == (2, 26, 6) and hidden.activations.shape == (2, 6, 26)


def test_units_of_as_many_steps_as_channels_are_summed_over_channels(tmp_path):
    """Both axes of the layer's output are 6 long: they were taken for channels first."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Flatten(), nn.Linear(36, 2)).double()
    e = xai.explain(net, torch.randn(2, 6, 3).double(), "layer_integrated_gradients", layer="1")
    np.testing.assert_allclose(e.map(), np.repeat(e.values.sum(2)[..., None], 3, axis=2))
    e.save(tmp_path / "e.npz")
    np.testing.assert_array_equal(xai.load(tmp_path / "e.npz").map(), e.map())


def test_a_network_of_series_without_a_convolution_is_asked_for_a_layer():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 2)

        def forward(self, x):
            return self.head(self.rnn(x)[0].mean(1))

    with pytest.raises(ValueError, match=r"feature maps \(n, channels, steps\): name one"):
        xai.explain(Recurrent(), torch.randn(2, 9, 3), "gradcam")
    e = xai.explain(Recurrent(), torch.randn(2, 9, 3), "gradcam", layer="rnn")
    assert e.channel_axis == 2 and e.map().shape == (2, 9, 3)


# --------------------------------------------------------------------------- inside a network


def test_gradcam_of_an_average_and_a_linear_head_is_its_closed_form():
    net = convolutions()
    explanation = xai.explain(net, IMAGES, "gradcam", layer=net[3])
    acts = net[:4](IMAGES).detach().numpy()
    w = net[6].weight.detach().numpy()[explanation.target]
    places = acts.shape[2] * acts.shape[3]
    np.testing.assert_allclose(explanation.values, w / places, atol=1e-12)
    small = np.maximum(np.einsum("nc,nchw->nhw", w, acts), 0) / places
    large = nn.functional.interpolate(torch.tensor(small)[:, None], (8, 8), mode="bilinear")
    np.testing.assert_allclose(explanation.map(), large.expand(-1, 2, -1, -1), atol=1e-12)


def test_gradcam_plus_plus_is_its_formula():
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.Softplus(), nn.Flatten(), nn.Linear(108, 5), nn.Tanh(),
        nn.Linear(5, 3),
    ).double()  # fmt: skip
    explanation = xai.explain(net, IMAGES, "gradcam++", layer="1", target=1)
    acts = net[:2](IMAGES).detach().requires_grad_()
    (g,) = torch.autograd.grad(net[2:](acts)[:, 1].sum(), acts)
    for n in range(3):
        for k in range(3):
            weight = 0.0
            for i in range(6):
                for j in range(6):
                    slope = g[n, k, i, j].item()
                    below = 2 * slope**2 + acts[n, k].sum().item() * slope**3
                    weight += slope**2 / below * max(slope, 0)
            np.testing.assert_allclose(explanation.values[n, k], weight, rtol=1e-9)


class Turned(nn.Module):
    """A layer whose maps end in their channels, or begin with them, in the same network."""

    def __init__(self, channels, sides, last):
        super().__init__()
        torch.manual_seed(3)
        self.trunk, self.last = nn.Sequential(nn.Conv2d(2, channels, 2, 2), nn.Tanh()), last
        self.middle, size = nn.Identity(), channels * sides[0] * sides[1] // 4
        self.head = nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(size, 3), nn.Tanh())

    def forward(self, x):
        h = self.trunk(x)
        if self.last:
            return self.head(self.middle(h.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return self.head(self.middle(h))


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "ablation_cam", "score_cam"])
@pytest.mark.parametrize("sides", [(8, 8), (8, 12), (12, 8)])
@pytest.mark.parametrize("channels", [3, 5, 6])  # as many as a map is high, or wide, too
def test_channels_are_found_wherever_they_lie(method, sides, channels):
    x = torch.rand(2, 2, *sides, dtype=torch.float64)
    first, last = (
        xai.explain(Turned(channels, sides, last).double(), x, method, layer="middle", target=0)
        for last in (False, True)
    )
    assert first.values.shape == (2, channels)
    np.testing.assert_allclose(last.values, first.values, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(last.map(), first.map(), rtol=1e-9, atol=1e-12)


def test_each_output_of_units_has_its_own_map():
    net, x = Turned(4, (8, 12), False).double(), torch.rand(2, 2, 8, 12, dtype=torch.float64)
    every, *alone = (
        xai.explain(net, x, "gradient_x_input", target=target, players=Units("middle")).map()
        for target in ("all", 0, 1, 2)
    )
    np.testing.assert_allclose(every, np.stack(alone, axis=-1), atol=1e-12)


def test_units_with_channels_last_sum_over_channels_in_the_map():
    x = torch.rand(2, 2, 8, 12, dtype=torch.float64)
    first, last = (
        xai.explain(
            Turned(4, (8, 12), last).double(), x, "gradient_x_input", target=0,
            players=Units("middle"),
        )
        for last in (False, True)
    )  # fmt: skip
    np.testing.assert_allclose(last.map(), first.map(), rtol=1e-9, atol=1e-12)


def test_gradcam_plus_plus_of_channels_without_places_is_as_of_one_place():
    net = nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3),
    ).double()  # fmt: skip
    one, none = (xai.explain(net, IMAGES, "gradcam++", layer=name) for name in ("2", "3"))
    np.testing.assert_allclose(none.values, one.values, rtol=1e-9)


@pytest.mark.parametrize("stride", [1, 2])
def test_channels_of_a_signal_are_not_its_moments(stride):
    net = nn.Sequential(nn.Conv1d(2, 5, 3, stride), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    x = torch.rand(2, 2, 20)
    net(x)
    e = xai.explain(net, x, "shapley", players=Channels("1"), removal="baseline")
    assert e.values.shape == (2, 5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_of_a_game_in_half_precision_are_single(dtype):
    net, x = convolutions().to(dtype), IMAGES.to(dtype)
    with open_setting(net, x, "gradient_x_input", players="elements") as setting:
        ((_, game),) = setting.games()
        found = game.gradient([0, 1, 2], np.ones((3, 1)), [0, 0, 0])
    assert found.dtype == np.float32
    whole = xai.explain(convolutions(), IMAGES, "gradient_x_input", players="elements")
    found = found[..., 0].reshape(IMAGES.shape)
    np.testing.assert_allclose(found, whole.values, atol=0.02 * np.abs(whole.values).max())


def test_an_error_of_the_network_behind_a_layer_is_told():
    class Failing(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.Conv2d(2, 3, 3), nn.Linear(3, 2)

        def forward(self, x):
            h = self.layer(x)
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("out of memory")
            return self.head(h.mean((2, 3)))

    with pytest.raises(RuntimeError, match="out of memory"):
        xai.explain(Failing().double(), IMAGES, "gradcam", layer="layer")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("layer", ["1", "auto"])
def test_layers_of_a_scripted_module_are_refused(layer):
    net = torch.jit.script(convolutions())
    with pytest.raises(TypeError, match="scripted module"):
        xai.explain(net, IMAGES, "gradcam", layer=layer)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("rule", ["deeplift", "lrp", "guided_backprop", "deconvnet"])
def test_rules_do_not_pass_over_a_scripted_part(rule):
    pytest.importorskip("captum.attr")
    *first, head = convolutions(middle=nn.ReLU)
    net = nn.Sequential(torch.jit.script(nn.Sequential(*first)), head)
    with pytest.raises(TypeError, match="scripted module"):
        xai.explain(net, IMAGES, rule, target=0)


class Called(nn.Module):
    """A module without a length, as most are."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


@pytest.mark.filterwarnings("ignore:.*grad attribute:UserWarning")  # the compiler's own
@pytest.mark.parametrize("how", ["in place", "wrapped"])
def test_a_compiled_module_is_explained_as_the_one_it_was_made_of(how):
    net = Called(convolutions(middle=nn.ReLU))
    if how == "in place":
        net.compile(backend="eager")
    else:
        net = torch.compile(net, backend="eager")
    for method, options in [("gradient", {}), ("occlusion", {"removal": "baseline"})]:
        found = xai.explain(net, IMAGES, method, **options)
        plain = xai.explain(convolutions(middle=nn.ReLU), IMAGES, method, **options)
        np.testing.assert_allclose(found.values, plain.values, atol=1e-12)
    for method in ("gradcam", "deeplift", "lrp", "guided_backprop"):  # whose hooks it passes over
        with pytest.raises(TypeError, match="compiled module"):
            xai.explain(net, IMAGES, method)


class Residual(nn.Module):
    """A skip around a layer; a ReLU that is used three times; several outputs of the trunk."""

    def __init__(self, how):
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.head = nn.ReLU(), nn.Linear(4 if how == "add" else 8, 3)
        self.how = how

    def forward(self, x):
        skip = self.relu(self.one(x))
        h = self.relu(self.two(skip))
        h = self.relu(h + skip) if self.how == "add" else torch.cat([h, skip], 1)
        return self.head(h.mean((2, 3)))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_finding_the_way_behind_a_layer_costs_alike_in_every_batch_size(batch_size):
    net = Residual("add").double()
    given = {"method": "ablation_cam", "layer": "two"}
    expected = xai.explain(net, IMAGES, **given)
    assert xai.explain(net, IMAGES, batch_size=batch_size, **given).spent == expected.spent


@pytest.mark.parametrize("how", ["add", "cat"])
def test_channels_are_removed_behind_each_rows_own_image(how):
    torch.manual_seed(1)
    net = Residual(how).double()
    explanation = xai.explain(net, IMAGES, "ablation_cam", layer="two")
    full = net(IMAGES).detach().numpy()
    target = full.argmax(1)
    for k in range(4):

        def without(_, __, out, k=k):
            out = out.clone()
            out[:, k] = 0
            return out

        handle = net.two.register_forward_hook(without)
        left = net(IMAGES).detach().numpy()
        handle.remove()
        lost = (full - left)[np.arange(3), target]
        np.testing.assert_allclose(explanation.values[:, k], lost, atol=1e-12)
    alone = xai.explain(net, IMAGES[1:2], "ablation_cam", layer="two")
    np.testing.assert_allclose(alone.values[0], explanation.values[1], atol=1e-12)


class WritesOnTheLayer(Residual):
    """What follows the layer adds its skip in place."""

    def forward(self, x):
        skip = self.relu(self.one(x))
        h = self.two(skip)
        h += skip
        return self.head(nn.functional.relu_(h).mean((2, 3)))


@pytest.mark.parametrize("method", ["gradcam", "layer_integrated_gradients"])
def test_gradients_go_through_what_is_written_on_the_layer_behind_each_image(method):
    torch.manual_seed(1)
    net = WritesOnTheLayer("add").double()
    together = xai.explain(net, IMAGES, method, layer="two")
    for i in range(3):
        alone = xai.explain(net, IMAGES[i : i + 1], method, layer="two")
        np.testing.assert_allclose(together.values[i], alone.values[0], atol=1e-12)


@pytest.mark.parametrize("method", ["occlusion", "shapley", "gradient_x_input", "gradcam"])
def test_a_layer_that_gives_several_tensors_is_the_first_of_them(method):
    """Of a linear head each channel's part is known; the state, which goes on, is not replaced."""

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.memory, self.head = nn.GRU(2, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, x):
            out, state = self.memory(x)
            return self.head(out[:, -1]) + state[-1].square().sum(1, keepdim=True)

    torch.manual_seed(0)
    net, x = Recurrent().double(), torch.randn(3, 20, 2).double()
    e = xai.explain(net, x, method, players=Channels("memory"), removal=Baseline(0), target=1)
    last, w = net.memory(x)[0][:, -1].detach().numpy(), net.head.weight[1].detach().numpy()
    expected = np.tile(w / 20, (3, 1)) if method == "gradcam" else last * w
    np.testing.assert_allclose(e.values, expected, atol=1e-12)


def test_what_a_part_before_the_layer_returns_stays_of_its_kind():
    """As the outputs of transformers, dicts whose entries are attributes, too."""

    class Output(dict):
        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            super().__setattr__(key, value)

    class Encoder(nn.Module):
        def forward(self, x):
            out = Output()
            out["states"] = x.tanh()
            return out

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.pooler, self.head = Encoder(), nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, x):
            out = self.encoder(x)
            out["states"] *= 1  # written on: the next call must not see it
            return self.head(self.pooler(out.states).tanh())

    torch.manual_seed(0)
    net, x = Reader().double(), torch.randn(2, 4).double()
    e = xai.explain(net, x, "shapley", players=Units("pooler"), target=1)
    with torch.no_grad():
        full = net(x)[:, 1]
    np.testing.assert_allclose(e.predictions, full, atol=1e-12)
    np.testing.assert_allclose(e.values.sum(axis=1) + e.base_values, full, atol=1e-12)


def test_a_layer_that_is_used_again_is_its_last_use():
    torch.manual_seed(1)
    net = Residual("add").double()
    explanation = xai.explain(net, IMAGES, "gradcam", layer="relu")
    w = net.head.weight.detach().numpy()[explanation.target]
    np.testing.assert_allclose(explanation.values, w / 64, atol=1e-12)
    assert xai.explain(net, IMAGES, "gradcam").layer == "relu"


def test_shapley_values_of_channels_are_any_other_games():
    net = convolutions()
    e = xai.explain(net, IMAGES, "shapley", players=Channels("3"), removal=Baseline(0))
    acts = net[:4](IMAGES).detach().numpy()
    w = net[6].weight.detach().numpy()[e.target]
    np.testing.assert_allclose(e.values, w * acts.mean(axis=(2, 3)), atol=1e-12)  # a linear head
    m = xai.explain(net, IMAGES, "shapley", players=Channels("3"), removal="marginal", data=OTHERS)
    rest = net[:4](OTHERS).detach().numpy().mean(axis=(0, 2, 3))
    np.testing.assert_allclose(m.values, w * (acts.mean(axis=(2, 3)) - rest), atol=1e-12)


@pytest.mark.parametrize(
    "method",
    ["auto", "include_one", "kernel_shap", "banzhaf", "beta_shapley", "owen", "ablation_cam"],
)
def test_channels_are_removed_by_0_where_nothing_else_is_asked(method):
    """Their means, of which pictures are filled, are all that global pooling reads of them."""
    net = convolutions()
    acts = net[:4](IMAGES).detach().numpy()
    more = {"owen": {"groups": [[0, 1], [2, 3]]}, "lime": {"regularizer": None}}.get(method, {})
    e = xai.explain(net, IMAGES, method, players=Channels("3"), target=1, **more)
    expected = net[6].weight.detach().numpy()[1] * acts.mean(axis=(2, 3))
    np.testing.assert_allclose(e.values, expected, atol=1e-12)


@pytest.mark.parametrize("method", ["extremal_perturbation", "meaningful_perturbation", "mir"])
def test_masks_learned_of_channels_fade_them(method):
    e = xai.explain(convolutions(), IMAGES, method, players=Channels("3"), budget=20)
    assert e.removal == repr(Baseline(0))


def test_maps_that_mask_the_image_and_pixels_are_filled_as_pictures_are():
    for players in (xai.players.ActivationMaps("3"), xai.players.Patches(4), None):
        e = xai.explain(convolutions(), IMAGES, "include_one", players=players)
        assert e.removal == repr(Baseline("mean"))
    e = xai.explain(convolutions(), IMAGES, "include_one", players=Channels("3"), data=OTHERS)
    assert e.removal == repr(xai.removal.Marginal())


def test_a_variance_over_one_draw_needs_no_two_samples():
    given = {"removal": Baseline(0), "target": 0}
    with pytest.raises(ValueError, match="needs at least 2 model rows"):
        xai.explain(convolutions(), IMAGES, "vargrad", budget=1, **given)
    assert xai.explain(convolutions(), IMAGES, "vargrad", budget=2, **given).evaluations == 2


@pytest.mark.parametrize("method", ["gradcam", "ablation_cam"])
def test_a_layer_that_runs_twice_is_explained_where_it_ran_last(method):
    """Its first output has fewer channels: what stands for the last one has no place there."""
    net = convolutions()
    same = nn.Sequential(*net[:3], net[1], *net[4:])
    one, other = (
        xai.explain(each, IMAGES, method, layer=layer, target=0)
        for each, layer in ((same, "1"), (net, "3"))
    )
    np.testing.assert_array_equal(one.values, other.values)
    assert one.evaluations == other.evaluations


@pytest.mark.parametrize("method", ["gradient", "gradient_x_input", "smoothgrad", "gradcam"])
def test_what_finding_a_layer_costs_is_in_the_least_budget(method):
    def explained(budget):
        return xai.explain(convolutions(), IMAGES, method, players=Channels("3"), budget=budget)

    with pytest.raises(ValueError, match=r"at least \d+ model rows") as refusal:
        explained(2)
    least = int(re.search(r"at least (\d+)", str(refusal.value))[1])
    assert explained(least).evaluations == least


@pytest.mark.parametrize("statistic", ["mean", "min"])
@pytest.mark.parametrize("players", [Channels("5"), Units("5")], ids=repr)
def test_a_layer_without_places_has_the_backgrounds_statistics(players, statistic):
    """Its rows are no images, whose own they would be: all explained rows' were taken together."""
    net = convolutions()
    given = {"players": players, "removal": Baseline(statistic), "target": 0}
    e = xai.explain(net, IMAGES, "occlusion", data=OTHERS, **given)
    acts, rest = (net[:6](x).detach().numpy() for x in (IMAGES, OTHERS))
    w = net[6].weight.detach().numpy()[0]
    np.testing.assert_allclose(e.values, w * (acts - getattr(rest, statistic)(0)), atol=1e-12)
    with pytest.raises(ValueError, match="pass data="):
        xai.explain(net, IMAGES, "occlusion", **given)


@pytest.mark.parametrize("name", ["blur", "blur_pyramid", "inpaint"])
def test_a_layer_without_places_is_no_image(name):
    given = {"players": Units("5"), "removal": name}
    told = rf"^{xai.removal.NAMES[name].__name__}\(.*for images .*, not for rows of shape \(4,\)"
    with pytest.raises(ValueError, match=told):
        xai.explain(convolutions(), IMAGES, "occlusion", **given)


@pytest.mark.parametrize(
    "removal",
    [
        Neighbourhood(), Neighbourhood(discretise=False),
        Noise(displacements=True), Noise(0.1, displacements=True),
    ],
    ids=repr,
)  # fmt: skip
def test_a_layer_without_places_is_a_table_to_fits(removal):
    """The same as that of a network which begins with the layer's units, as its columns."""
    net = convolutions()
    fit = {"summary": LinearFit("uniform", None, samples=99), "removal": removal, "target": 0}
    inside = xai.explain(net, IMAGES, players=Units("5"), data=OTHERS, **fit)
    acts, rest = (net[:6](x).detach() for x in (IMAGES, OTHERS))
    alone = xai.explain(net[6:], acts, data=rest, **fit)
    np.testing.assert_allclose(inside.values, alone.values, atol=1e-9)


@pytest.mark.parametrize(
    "players", [xai.players.ActivationMaps("1"), xai.players.Pixels()], ids=repr
)
def test_players_of_images_refuse_rows_of_a_table_by_their_own_name(players):
    """Also where a network makes images of the rows."""
    net = torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 8, 8)), torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 2),
    )  # fmt: skip
    with pytest.raises(ValueError, match=rf"{re.escape(repr(players))} are for images"):
        xai.explain(net, torch.ones(1, 64), "score_cam", removal="baseline", players=players)


def test_score_cam_is_its_loop():
    net = convolutions()
    explanation = xai.explain(net, IMAGES, "score_cam", layer="3")
    acts, full = net[:4](IMAGES).detach(), net(IMAGES)
    target = full.argmax(1)
    for n in range(3):
        gains = []
        for k in range(4):
            up = nn.functional.interpolate(acts[n : n + 1, k : k + 1], (8, 8), mode="bilinear")
            mask = (up - up.min()) / (up.max() - up.min())
            gains.append(net(IMAGES[n : n + 1] * mask)[0, target[n]])
        shares = torch.stack(gains).softmax(0).detach()
        np.testing.assert_allclose(explanation.values[n], shares, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("to", [(3, 4), (1, 1), (7, 9), (2, 20)])
def test_maps_are_resized_as_torch_does_and_keep_their_dtype(to, dtype):
    maps = np.random.default_rng(0).random((2, 3, 3, 4)).astype(dtype)
    theirs = nn.functional.interpolate(torch.tensor(maps), to, mode="bilinear")
    found = resize(maps, *to)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, theirs, rtol=1e-5)


def test_activation_maps_of_a_coalition_are_the_largest_of_its_maps():
    rng, x = np.random.default_rng(0), np.zeros((2, 1, 6, 8))
    maps = rng.random((2, 3, 3, 4))
    maps[1, 2] = 0.4  # without contrast

    def unit(a):
        return (a - a.min()) / max(np.ptp(a), 1e-9)

    rows, S = np.array([0, 1, 0, 1]), np.array([[1, 1, 1], [0, 0, 0], [0, 1, 1], [0.5, 0.25, 0.7]])
    found = ActivationMaps("1").over(read(x), 1, maps).atlas(rows, S).reshape(4, 6, 8)
    assert (found[0] == 1).all() and (found[1] == 0).all()
    for i in (2, 3):
        kept = np.max([w * unit(m) for w, m in zip(S[i], maps[rows[i]], strict=True)], axis=0)
        large = nn.functional.interpolate(torch.tensor(kept)[None, None], (6, 8), mode="bilinear")
        np.testing.assert_allclose(found[i], S[i].max() * unit(large.numpy()[0, 0]), atol=1e-6)


def test_a_map_without_contrast_masks_everything():
    net = convolutions()
    with torch.no_grad():
        net[2].weight[1] = 0  # channel 1 is constant: its mask would be 0/0
    explanation = xai.explain(net, IMAGES, "score_cam", layer="3")
    assert np.isfinite(explanation.values).all()


class Tokens(nn.Module):
    """A small vision transformer: a class token before 4 × 4 patches; torch's own fused layers."""

    def __init__(self, extra=1):
        super().__init__()
        self.patch = nn.Conv2d(2, 8, 2, stride=2)
        self.extra = nn.Parameter(torch.randn(1, extra, 8)) if extra else None
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.last = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        t = self.patch(x).flatten(2).transpose(1, 2)
        if self.extra is not None:
            t = torch.cat([self.extra.expand(len(t), -1, -1), t], 1)
        return self.head(self.last(self.block(t)).mean(1))


@pytest.mark.parametrize("extra", [0, 1, 2, 5])
def test_tokens_are_laid_over_the_image(extra):
    torch.manual_seed(2)
    net = Tokens(extra).double().eval()
    fast = torch.backends.mha.get_fastpath_enabled()
    e = xai.explain(net, IMAGES, "gradcam", layer="last.norm1")
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert e.values.shape == (3, 8) and e.activations.shape == (3, 8, 4, 4)
    assert e.map().shape == IMAGES.shape and np.abs(e.map(signed=True)).max() > 0
    seen = []
    handle = net.last.norm1.register_forward_hook(lambda _, __, out: seen.append(out))
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        out = net(IMAGES)
    finally:
        handle.remove()
        torch.backends.mha.set_fastpath_enabled(fast)
    (g,) = torch.autograd.grad(out[np.arange(3), e.target].sum(), seen[0])
    np.testing.assert_allclose(e.values, g.mean(1).detach(), atol=1e-12)
    places = seen[0].detach()[:, extra:].transpose(1, 2).reshape(3, 8, 4, 4)
    np.testing.assert_allclose(e.activations, places, atol=1e-12)
    with pytest.raises(ValueError, match="name one"):
        xai.explain(net, IMAGES, "gradcam")


@pytest.mark.parametrize(
    ("tokens", "image", "grid"),
    [
        (16, (8, 8), (4, 4)), (17, (8, 8), (4, 4)), (8, (16, 32), (2, 4)),
        (8, (32, 16), (4, 2)), (12 + 8, (12, 16), (3, 4)), (12 + 9, (12, 16), None),
        (2, (16, 32), None), (3, (8, 8), None), (16, None, None),
        (16, (1, 100), None), (100, (1, 100), (1, 100)),
    ],
)  # fmt: skip
def test_tokens_are_places_where_an_image_has_so_many_in_its_proportions(tokens, image, grid):
    acts = np.arange(2 * tokens * 5.0).reshape(2, tokens, 5)
    maps = feature_maps(acts, 2, image)
    if grid is None:
        assert maps is None
    else:
        last = acts[:, tokens - grid[0] * grid[1] :].reshape(2, *grid, 5)
        np.testing.assert_array_equal(maps, np.moveaxis(last, -1, 1))


@pytest.mark.parametrize(
    ("acts", "row", "axis"),
    [
        ((5, 4, 6), (3, 8, 12), 1), ((4, 6, 5), (3, 8, 12), 3), ((6, 4, 6), (3, 8, 12), 1),
        ((4, 6, 6), (3, 8, 12), 3), ((4, 4, 4), (3, 8, 8), 1), ((6, 10, 5), (3, 8, 12), 3),
        ((10, 6, 5), (3, 12, 8), 3), ((6, 6, 2), (3, 8, 12), 1),
        ((5, 19), (2, 20), 1), ((19, 5), (20, 2), 2), ((20, 20), (20, 2), 2),
        ((16, 7), (3, 8, 8), 2), ((7,), (3, 8, 8), 1), ((4, 6, 5), (30,), 1),
    ],
)  # fmt: skip
def test_channels_are_what_is_neither_a_place_nor_a_time(acts, row, axis):
    assert channel_axis(torch.zeros(1, *acts), row) == axis


class Series(nn.Module):
    """Of series (n, time, width): a convolution with channels first, a GRU with them last."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, 5, 3, padding=1), nn.BatchNorm1d(5)
        self.gru, self.head = nn.GRU(5, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x.transpose(1, 2))))
        return self.head(self.gru(x.transpose(1, 2))[0].mean(1))


@pytest.mark.parametrize(("layer", "channels"), [("conv", 5), ("norm", 5), ("gru", 6)])
def test_layers_say_where_their_channels_are(layer, channels):
    """What a series is as long as is no sign: 6 steps look like the GRU's 6 channels."""
    torch.manual_seed(0)
    e = xai.explain(
        Series(), torch.randn(2, 6, 4), "exact_shapley", players=xai.players.Channels(layer),
        removal=Baseline(0),
    )  # fmt: skip
    assert e.values.shape == (2, channels)


def test_units_of_a_layer_sum_over_channels_in_the_map():
    e = xai.explain(convolutions(), IMAGES, "layer_integrated_gradients", layer="1")
    small = torch.tensor(e.values.sum(axis=1, keepdims=True))
    large = nn.functional.interpolate(small, (8, 8), mode="bilinear")
    np.testing.assert_allclose(e.map(), large.expand(-1, 2, -1, -1), atol=1e-9)


@pytest.mark.parametrize(
    ("players", "error", "says"),
    [
        (Channels("conv1"), ValueError, "layer"),
        (Channels(nn.ReLU()), ValueError, "modules"),
        (Units("5"), ValueError, "feature maps"),
    ],
)
def test_layers_that_cannot_be_are_refused(players, error, says):
    with pytest.raises(error, match=says):
        xai.explain(convolutions(), IMAGES, "gradcam", players=players).map()


def test_a_layer_that_does_not_keep_the_batch_is_refused():
    net = nn.Sequential(nn.Flatten(0, 1), nn.Unflatten(0, (-1, 2)), convolutions())
    with pytest.raises(ValueError, match="'0' gives 6 rows for 3 explained ones"):
        xai.explain(net, IMAGES, "occlusion", players=Channels("0"))


def test_what_writes_on_a_layers_maps_changes_none_of_what_was_seen():
    torch.manual_seed(0)
    parts = [nn.Identity(), nn.Conv2d(2, 4, 3), nn.Flatten(), nn.ReLU(inplace=True)]
    net = nn.Sequential(*parts, nn.Linear(144, 3)).double()
    for layer in ("auto", "1"):
        e = xai.explain(net, IMAGES, "gradcam", layer=layer)
        np.testing.assert_array_equal(e.activations, net[1](IMAGES).detach())


def test_of_itself_a_layer_is_the_last_that_has_places_along_both_sides():
    net = convolutions()
    net.insert(4, nn.AdaptiveAvgPool2d((1, 4)))
    own, last = (xai.explain(net, IMAGES, "gradcam", layer=name) for name in ("auto", "3"))
    np.testing.assert_array_equal(own.values, last.values)
    assert own.layer == "3"


class Branches(nn.Module):
    """A block whose output none of its layers gives: two branches, added, behind a function."""

    def __init__(self):
        super().__init__()
        self.conv, self.shortcut = nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3)

    def forward(self, x):
        return nn.functional.relu(self.conv(x) + self.shortcut(x))


def test_of_itself_a_layer_is_a_block_with_all_its_branches():
    torch.manual_seed(0)
    net = nn.Sequential(Branches(), nn.Flatten(), nn.Linear(144, 3)).double()
    own = xai.explain(net, IMAGES, "gradcam")
    assert own.layer == "0"
    np.testing.assert_array_equal(own.activations, net[0](IMAGES).detach())
    assert xai.concepts.fit(net, IMAGES, n_concepts=2).layer == "0"


def test_pairs_of_tokens_are_no_feature_maps():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.queries, self.dropped = nn.Linear(4, 4), nn.Dropout()

        def forward(self, tokens):
            pairs = self.dropped((self.queries(tokens) @ tokens.mT).softmax(-1)[:, None])
            return pairs[:, 0] @ tokens

    patches = [nn.Conv2d(2, 4, 2, 2), nn.Flatten(2)]
    net = nn.Sequential(*patches, nn.Linear(16, 4), Attention(), nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(ValueError, match="of a transformer the last block's first norm"):
        xai.explain(net.double(), IMAGES, "gradcam")


class VisionTransformer(nn.Module):
    """Patches, a class's token, blocks with two norms each, and one more at the end."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.mix = nn.LayerNorm(4), nn.Linear(4, 4)
            self.after, self.last = nn.LayerNorm(4), nn.Linear(4, 4)

        def forward(self, h):
            a = self.mix(self.before(h))
            h = h + (a @ a.mT).softmax(-1) @ a
            return h + self.last(self.after(h)).relu()

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.pre = nn.Conv2d(2, 4, 2, 2), nn.LayerNorm(4)
        self.blocks = nn.Sequential(self.Block(), self.Block())
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).mT
        h = self.blocks(self.pre(torch.cat([tokens[:, :1], tokens], dim=1)))
        return self.head(self.norm(h)[:, 0])


def test_of_a_transformer_the_last_blocks_first_norm_is_named():
    net = VisionTransformer().double()
    for explains in (
        lambda: xai.explain(net, IMAGES, "gradcam"),
        lambda: xai.concepts.fit(net, IMAGES, n_concepts=2),
    ):
        with pytest.raises(ValueError, match=r"norm, here perhaps layer='blocks\.1\.before'$"):
            explains()
    e = xai.explain(net, IMAGES, "gradcam", layer="blocks.1.before")
    assert e.activations.shape == (3, 4, 4, 4) and np.ptp(e.map()[0]) > 0


@pytest.mark.parametrize("method", ["gradcam", "layer_integrated_gradients"])
def test_a_layer_that_the_output_does_not_depend_on_is_said_to_be_the_wrong_one(method):
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Conv2d(2, 4, 3), nn.ConvTranspose2d(4, 2, 3)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            z = self.encoder(x)
            return self.decoder(z), self.head(z.mean((2, 3)))

    net = xai.TorchModel(Autoencoder().double(), output=1)
    with pytest.raises(ValueError, match=r"does not depend on the layer .* another layer"):
        xai.explain(net, IMAGES, method)
    assert xai.explain(net, IMAGES, method, layer="encoder").values.any()


@pytest.mark.parametrize(
    "method",
    ["gradcam", "gradient", "lrp", "layer_integrated_gradients", "extremal_perturbation"],
)
def test_activation_maps_have_no_gradient(method):
    players = xai.players.ActivationMaps("1")
    with pytest.raises(ValueError, match=re.escape(f"{players} keep") + ".* no gradient"):
        xai.explain(convolutions(), IMAGES, method, players=players)


@pytest.mark.parametrize("method", ["deeplift", "lrp", "guided_backprop"])
@pytest.mark.parametrize("inplace", [False, True])
def test_propagation_through_modules_that_are_used_again(method, inplace):
    class Twice(nn.Module):
        def __init__(self, again):
            super().__init__()
            torch.manual_seed(4)
            self.one, two = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
            relus = [nn.ReLU(inplace=inplace) for _ in range(3)]
            self.relus = nn.ModuleList(relus[:1] * 3 if again else relus)
            self.twos = nn.ModuleList([two, two if again else copy.deepcopy(two)])

        def forward(self, x):
            h = self.relus[0](self.one(x))
            h = self.relus[1](self.twos[0](h))
            return self.head(self.relus[2](self.twos[1](h)))

    again, apart = (
        xai.explain(Twice(again).double(), IMAGES, method, target=0) for again in (True, False)
    )
    np.testing.assert_allclose(again.values, apart.values, rtol=1e-9, atol=1e-15)
    assert again.evaluations == apart.evaluations
    if method == "deeplift":
        np.testing.assert_allclose(again.info["completeness_gap"], 0, atol=1e-9)


@pytest.mark.parametrize("method", ["deeplift", "lrp", "guided_backprop", "deconvnet"])
def test_a_layer_takes_turns_at_its_one_place(method):
    class Turns(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(4)
            self.one, self.two = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
            self.relu = nn.ReLU()
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))

        def forward(self, x):
            h = self.relu(self.one(x))
            return self.head(self.relu(self.two(self.relu(self.two(h)))))

    net = Turns().double()
    apart = nn.Sequential(
        net.one, nn.ReLU(), net.two, nn.ReLU(), copy.deepcopy(net.two), nn.ReLU(), *net.head
    )
    one, other = (xai.explain(each, IMAGES, method, target=0).values for each in (net, apart))
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "deeplift", "lrp"])
def test_an_output_that_is_detached_has_no_gradients(method):
    class Detached(nn.Sequential):
        def forward(self, x):
            return super().forward(x).detach()

    with pytest.raises(ValueError, match="is it detached, or computed under no_grad"):
        xai.explain(Detached(nn.Linear(3, 2)), torch.ones(2, 3), method)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "deeplift", "lrp"])
def test_quantized_layers_have_no_gradients(method):
    class Quantized(nn.Module):
        """A graph that begins in its middle, as torch's quantized layers make it."""

        def __init__(self):
            super().__init__()
            self.first, self.relu, self.last = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)
            self.packed = torch.ops.quantized.linear_prepack_fp16(torch.ones(4, 4), None)

        def forward(self, x):
            return self.last(torch.ops.quantized.linear_dynamic_fp16(self.first(x), self.packed))

    net, x = Quantized(), torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"by quantized layers.*a method that removes features"):
        xai.explain(net, x, method)
    assert xai.explain(net, x, "occlusion", removal="baseline").evaluations == 5


def test_a_network_made_in_inference_mode_is_left_as_it_was():
    with torch.inference_mode():
        net = convolutions()
    arguments = {"method": "occlusion", "players": xai.players.Patches(4)}
    e = xai.explain(net, IMAGES, **arguments)
    np.testing.assert_array_equal(e.values, xai.explain(convolutions(), IMAGES, **arguments).values)
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("method", ["deeplift", "lrp"])
def test_propagation_through_modules_that_have_several_names(method):
    """As layers that are attributes, and parts of a Sequential, too; run at one place or both."""

    class Named(nn.Module):
        def __init__(self, both):
            super().__init__()
            torch.manual_seed(4)
            self.both, self.one, self.relu = both, nn.Linear(4, 4), nn.ReLU()
            self.body = nn.Sequential(self.one, self.relu)
            self.net = nn.Sequential(self.body, nn.Linear(4, 2))

        def forward(self, x):
            return self.net(self.relu(self.one(x)) if self.both else x)

    x = torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    for both in (False, True):
        named = Named(both).double()
        layers = [named.one, named.relu] * (1 + both) + [named.net[1]]
        plain = nn.Sequential(*map(copy.deepcopy, layers))
        ours, told = (xai.explain(m, x, method, target="all") for m in (named, plain))
        np.testing.assert_allclose(ours.values, told.values, rtol=1e-9, atol=1e-15)


def test_lrp_of_signals_is_that_of_images_of_one_column():
    torch.manual_seed(0)
    signal = nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.Linear(3, 2),
    ).double()  # fmt: skip
    image = nn.Sequential(
        nn.Conv2d(2, 3, (3, 1)), nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d((2, 1)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2),
    ).double()  # fmt: skip
    state = signal.state_dict()
    image.load_state_dict(state | {"0.weight": state["0.weight"][..., None]})
    x = torch.randn(3, 2, 8, dtype=torch.float64)
    want = xai.explain(image, x[..., None], "lrp", target="all", players="elements").values
    got = xai.explain(signal, x, "lrp", target="all").values
    np.testing.assert_allclose(got, want[..., 0, :], rtol=1e-9)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Sequential(), nn.LeakyReLU(0.2), nn.PReLU(), nn.ReLU6(),
        nn.ConvTranspose2d(2, 2, 3, 2, bias=False), nn.ZeroPad2d((0, 1, 0, 1)),
        nn.ReflectionPad2d(1), nn.ReplicationPad2d(2), nn.CircularPad2d(1), nn.Dropout2d(),
        nn.Identity(),
        nn.Upsample(scale_factor=2), nn.Upsample((11, 9), mode="bilinear"), nn.PixelShuffle(1),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("place", [2, 4])
def test_lrp_through_what_is_linear_conserves_the_output(layer, place):
    """Without biases it is the gradient times the input: Ancona et al. 2018, Prop. 2."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 2, 3, bias=False), nn.ReLU(), nn.Conv2d(2, 2, 3, bias=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 2, bias=False),
    ).double()  # fmt: skip
    if hasattr(layer, "reset_parameters"):
        layer.reset_parameters()  # it was made before the seed
    net.insert(place, layer.double())
    lrp, same = (xai.explain(net, IMAGES, name, target=1) for name in ("lrp", "gradient_x_input"))
    most = np.abs(same.values).max()  # of which captum's epsilon is little
    np.testing.assert_allclose(lrp.values, same.values, atol=1e-4 * most)


class Branched(nn.Module):
    """Two blocks whose branches are joined, before or behind their activations."""

    def __init__(self, join, *, before, bias):
        super().__init__()
        torch.manual_seed(0)
        self.join, self.before = join, before
        wide = 3 if join == "cat" else 1
        self.first = nn.Conv2d(2, 4, 3, padding=1, bias=bias)
        self.ones = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1, bias=bias) for _ in range(2))
        self.relu, self.adds = nn.ReLU(inplace=True), None
        if join == "module":
            from captum.attr._utils.custom_modules import Addition_Module

            self.adds = nn.ModuleList(Addition_Module() for _ in range(2))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * wide, 2, bias=bias)
        )

    def joined(self, a, b, i):
        if self.join == "+=":
            a += b
            return a
        if self.join == "add_":
            a.add_(b)
            return a
        if self.join == "cat":
            return torch.cat([a, b], 1)
        return self.adds[i](a, b) if self.adds else a + b

    def forward(self, x):
        h = self.first(x)
        h = h if self.before else self.relu(h)
        for i, conv in enumerate(self.ones):
            branch = conv(torch.relu(h[:, -4:]) if self.before else h[:, -4:])
            h = self.joined(branch, h, i)
            h = h if self.before else self.relu(h)
        return self.head(h)


@pytest.mark.parametrize("join", ["+", "+=", "add_", "module", "cat"])
@pytest.mark.parametrize("before", [False, True])
def test_lrp_of_branches_conserves_the_output(join, before):
    """A sum's branches share its relevance; without biases it is the gradient times the input."""
    net = Branched(join, before=before, bias=False).double()
    lrp, same = (xai.explain(net, IMAGES, name, target=1) for name in ("lrp", "gradient_x_input"))
    most = np.abs(same.values).max()
    np.testing.assert_allclose(lrp.values, same.values, atol=1e-4 * most)


@pytest.mark.parametrize("join", ["+", "+="])
def test_lrp_of_additions_is_that_of_captums_modules(join):
    ours, told = (
        xai.explain(Branched(how, before=False, bias=True).double(), IMAGES, "lrp", target=1)
        for how in (join, "module")
    )
    np.testing.assert_allclose(ours.values, told.values, rtol=1e-6)


def test_lrp_keeps_the_rules_that_layers_were_given():
    """For each output: captum takes them off the layers after the first."""
    from captum.attr._utils.lrp_rules import EpsilonRule

    net, x = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2)), torch.rand(2, 3)
    with pytest.raises(TypeError, match="has no rule"):
        xai.explain(net, x, "lrp")
    net[0].rule = EpsilonRule()
    every = xai.explain(net, x, "lrp", target="all").values
    for j in (0, 1):
        np.testing.assert_array_equal(xai.explain(net, x, "lrp", target=j).values, every[..., j])


def test_a_layer_goes_by_each_of_its_names():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(4)
            self.conv, self.relu = nn.Conv2d(2, 3, 3), nn.ReLU()
            self.body, self.head = nn.Sequential(self.conv, self.relu), nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.body(x).mean((2, 3)))

    net = Named().double()
    one, other = (
        xai.explain(net, IMAGES, "gradcam", players=Channels(name)) for name in ("relu", "body.1")
    )
    np.testing.assert_array_equal(one.values, other.values)
    again = xai.metrics.max_sensitivity(net, IMAGES, other)
    np.testing.assert_array_equal(
        again.values, xai.metrics.max_sensitivity(net, IMAGES, one).values
    )
    for name in ("body.2", ""):
        with pytest.raises(ValueError, match="unknown layer"):
            xai.explain(net, IMAGES, "gradcam", players=Channels(name))


@pytest.mark.parametrize("how", ["add", "cat"])
def test_with_all_channels_removed_each_row_still_has_its_own_image(how):
    """What skips a layer differs from row to row, so no row's empty value is another's."""
    torch.manual_seed(1)
    net = Residual(how).double()
    players = {"players": Channels("two"), "removal": Baseline(0)}
    together = xai.explain(net, IMAGES, "shapley", **players)
    for i in range(3):
        alone = xai.explain(net, IMAGES[i : i + 1], "shapley", **players)
        np.testing.assert_allclose(alone.base_values[0], together.base_values[i], atol=1e-12)
        np.testing.assert_allclose(alone.values[0], together.values[i], atol=1e-12)


def test_what_comes_before_a_layer_runs_once_for_each_image():
    net, rows = convolutions(), []
    net[0].register_forward_hook(lambda _, __, out: rows.append(len(out)))
    first = type(net[0]).forward
    calls = []

    def counted(self, x):
        calls.append(len(x))
        return first(self, x)

    net[0].__class__ = type("Counted", (type(net[0]),), {"forward": counted})
    xai.explain(net, IMAGES, "ablation_cam", layer="3", batch_size=1)
    assert len(calls) <= 4 + 3 < len(rows)  # three images, one at a time, and the way on
    assert "forward" not in vars(net[0])


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input"])
def test_means_over_some_of_endless_draws_are_not_exact(method):
    """They said so."""
    torch.manual_seed(0)
    net, x = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh()), torch.randn(2, 3)
    for removal in (xai.removal.Uniform(-1, 1, n_draws=4), xai.removal.Noise(0.5, n_draws=4)):
        e = xai.explain(net, x, method, removal=removal, target=0)
        assert not e.exact.any() and np.isnan(e.std_error).all()
    assert xai.explain(net, x, method, target=0).std_error is None
