"""Derivatives of attributions: closed forms, fine differences, what cannot be differentiated."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import xai
from xai import metrics
from xai.removal import Baseline

torch = pytest.importorskip("torch")
A = np.array([[2.0, 1, 0, 0], [1, -3, 0.5, 0], [0, 0.5, 1, 0], [0, 0, 0, 0.2]])


class Quadratic(torch.nn.Module):
    """f = ½ xᵀ A x"""

    def __init__(self, A):
        super().__init__()
        self.A = torch.nn.Parameter(torch.as_tensor(A))

    def forward(self, x):
        return 0.5 * ((x @ self.A) * x).sum(dim=1)


class Once(torch.autograd.Function):
    """The identity, with a gradient that has none."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, g):
        return g


class Stopped(torch.nn.Module):
    """½ |x|², of which torch sees the second derivative of the first column alone."""

    def forward(self, x):
        return (0.5 * Once.apply(x[:, 1:]).pow(2)).sum(dim=1) + 0.5 * x[:, 0] ** 2


class Distance(torch.nn.Module):
    """½ |x|², of whose distances torch has no second derivative."""

    def forward(self, x):
        return torch.cdist(x, torch.zeros_like(x[:1])) ** 2 / 2


def mlp():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Dropout(), torch.nn.Linear(16, 3)
    ).double()


def cnn():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3), torch.nn.Softplus(), torch.nn.AvgPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(16, 3),
    ).double()  # fmt: skip


@pytest.fixture
def rows():
    return torch.as_tensor(np.random.default_rng(0).normal(size=(4, 4)) + 2)


def bound(net, x, e, **given):
    score = metrics.worst_case_bound(net, x, e, radius=0.3, **given)
    return score.values, score.info


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "gradient_x_input"])
def test_bounds_of_quadratics_are_their_closed_forms(rows, method):
    """J = A; IG(0) = ½ x ⊙ Ax with J = ½ (diag(Ax) + diag(x) A), gradient × input twice that."""
    net, x = Quadratic(A), rows.numpy()
    own = np.stack([np.diag(A @ r) + np.diag(r) @ A for r in x])
    J = {"gradient": np.stack([A] * 4), "gradient_x_input": own, "integrated_gradients": own / 2}
    e = xai.explain(net, rows, method)
    values, info = bound(net, rows, e)
    sigma = np.linalg.norm(J[method], 2, axis=(1, 2))
    assert_allclose(values, 0.3 * sigma, rtol=1e-9)
    assert info["differentiated"].all()
    wide, _ = bound(net, rows, e, norm="linf")
    sums = np.linalg.norm(np.abs(J[method]).sum(axis=2), axis=1)
    assert_allclose(wide, 0.3 * np.minimum(2 * sigma, sums), rtol=1e-9)


def test_a_linear_networks_gradient_moves_nowhere_and_its_product_as_its_weights(rows):
    net = torch.nn.Linear(4, 1).double()
    assert not bound(net, rows, xai.explain(net, rows, "gradient"))[0].any()
    values, _ = bound(net, rows, xai.explain(net, rows, "gradient_x_input"))  # J = diag(w)
    assert_allclose(values, 0.3 * np.abs(net.weight.detach().numpy()).max(), rtol=1e-9)


CASES = {
    "gradient": {},
    "gradient_x_input": {"removal": Baseline("mean"), "players": xai.players.Patches(3)},
    "integrated_gradients": {"steps": 9},
    "smoothgrad": {"samples": 5},  # its noise is a share of the range, and so of x
}


@pytest.mark.parametrize("method", CASES)
@pytest.mark.parametrize("make", [mlp, cnn])
def test_automatic_derivatives_are_those_of_fine_differences(make, method):
    net, table = make(), make is mlp
    x = torch.rand(3, *((6,) if table else (2, 7, 6))).double()
    options = dict(CASES[method])
    if table:
        options.pop("players", None)
        options |= {"removal": Baseline(x[1:2])} if "removal" in options else {}
        options |= {"sigma": 0.3} if method == "smoothgrad" else {}
    e = xai.explain(net, x, method, target=1, **options)
    for norm in ("l2", "linf"):
        exact, info = bound(net, x, e, norm=norm)
        fine, other = bound(net, x, e, norm=norm, step=1e-4)
        assert_allclose(exact, fine, rtol=1e-5)
        assert info["differentiated"].all() and not other["differentiated"].any()


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients", "smoothgrad"])
@pytest.mark.parametrize("shared", [True, False])
def test_elements_that_are_never_removed_stay_on_the_way(method, shared):
    """Of rows that are nearly their baseline there, the wrong way would pass for the right one."""
    net, x = mlp(), torch.as_tensor(np.random.default_rng(0).normal(size=(4, 6)))
    x[1, 2] = 1e-3
    players = np.array([0, 1, -1, 1, 0, 2])
    players = players if shared else np.stack([players, players, players[::-1], 2 - players])
    removal = {"sigma": 0.3} if method == "smoothgrad" else {"removal": Baseline(0)}
    e = xai.explain(net, x, method, target=1, players=players, **removal)
    for norm in ("l2", "linf"):
        exact, info = bound(net, x, e, norm=norm)
        assert_allclose(exact, bound(net, x, e, norm=norm, step=1e-4)[0], rtol=1e-5)
        assert info["differentiated"].all()


@pytest.mark.parametrize("data", [False, True])
def test_paths_that_were_refined_are_differentiated_at_as_many_nodes(data):
    """Of one draw, and of several; differences would compare paths refined at other nodes."""
    net = mlp()
    net[0].weight.data *= 30
    net[0].bias.data *= 5
    torch.manual_seed(1)
    x = 2 * torch.rand(3, 6).double()
    own = {"removal": "marginal", "data": x[:2] / 2} if data else {}
    e = xai.explain(net, x, "integrated_gradients", target=0, **own)
    assert (e.info["steps"] > 16 * (1 + data)).any()
    exact, info = bound(net, x, e)
    assert info["differentiated"].all()
    fine = xai.explain(net, x, "integrated_gradients", target=0, steps=400, **own)
    assert_allclose(exact, bound(net, x, fine, step=1e-4)[0], rtol=0.02)


def test_more_dimensions_than_steps_still_find_the_largest():
    """400 dimensions, singular values 1/k: twenty steps of bidiagonalisation suffice."""
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(400, 400)))[0]
    wide = (Q / np.arange(1, 401)) @ Q.T
    x = torch.randn(2, 400).double()
    net = Quadratic(wide)
    values, _ = bound(net, x, xai.explain(net, x, "gradient"))
    assert_allclose(values, 0.3, rtol=1e-6)


def test_neither_other_rows_nor_batches_change_a_bound_and_all_is_left_as_it_was():
    net, x = cnn(), torch.rand(4, 2, 7, 6).double()
    net.train()
    net[0].weight.requires_grad_(False)
    kept, flags = x.clone(), [p.requires_grad for p in net.parameters()]
    e = xai.explain(net, x, "integrated_gradients", target=1)
    whole, _ = bound(net, x, e)
    for batch_size in (1, 50):
        assert_allclose(bound(net, x, e, batch_size=batch_size)[0], whole, rtol=1e-9)
    assert_allclose(bound(net, x[2:3], e[2])[0], whole[2:3], rtol=1e-9)
    assert torch.equal(x, kept) and not x.requires_grad
    assert net.training and [p.requires_grad for p in net.parameters()] == flags


def test_a_row_far_beyond_the_others_leaves_their_bounds_as_they_are():
    """Probabilities near 0 and 1, whose slopes are 1e-10 of those of others."""
    net, behavior = mlp(), xai.behavior.Prediction("probability")
    with torch.no_grad():
        net[3].weight *= 60
    x = torch.as_tensor(np.random.default_rng(0).normal(size=(12, 6))) * 2
    e = xai.explain(net, x, "gradient", behavior=behavior)
    together, info = bound(net, x, e)
    assert info["sigma"].min() < 1e-10 * info["sigma"].max() and info["differentiated"].all()
    alone = [bound(net, x[i : i + 1], e[i])[0] for i in range(12)]
    assert_allclose(together, np.concatenate(alone), rtol=1e-9)


def test_what_has_no_second_derivative_is_taken_by_differences(rows):
    data = rows + 1
    for net, method, given in [
        (Stopped(), "gradient", {}),
        (Quadratic(A), "expected_gradients", {"data": data}),
        (Quadratic(A), "squaregrad", {"sigma": 0.1}),
        (Quadratic(A), "occlusion", {"data": data}),
    ]:
        e = xai.explain(net, rows, method, **given)
        values, info = bound(net, rows, e)
        assert (values > 0).all() and not info["differentiated"].any()
    e = xai.explain(Stopped(), rows, "gradient")
    assert_allclose(bound(Stopped(), rows, e)[0], 0.3, rtol=1e-3)  # J = 1, in float32
    changed = xai.explain(Quadratic(A), rows, "gradient_x_input")
    whole, _ = bound(Quadratic(A), rows, changed)
    changed.values[1] += 1  # no longer what its recipe gives
    values, info = bound(Quadratic(A), rows, changed)
    assert info["differentiated"].tolist() == [True, False, True, True]
    assert_allclose(values, whole, rtol=1e-5)


def test_distances_are_differentiated_once_and_a_frozen_linear_layer_as_any(rows):
    e = xai.explain(Distance(), rows, "gradient")
    values, info = bound(Distance(), rows, e)
    assert_allclose(values, 0.3, rtol=1e-6)  # J = 1
    assert not info["differentiated"].any()
    line = torch.nn.Linear(4, 1).double()
    for trained in (True, False):
        line.requires_grad_(trained)
        flat, _ = bound(line, rows, xai.explain(line, rows, "gradient"))
        own, info = bound(line, rows, xai.explain(line, rows, "gradient_x_input"))
        assert_allclose(flat, 0)
        assert_allclose(own, 0.3 * line.weight.abs().max().item(), rtol=1e-9)
        assert info["differentiated"].all()


def test_kinks_of_relus_are_left_to_differences_and_attacks_cross_them():
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(3, 40), torch.nn.ReLU(), torch.nn.Linear(40, 1))
    net, x = net.double(), torch.rand(3, 3).double()
    e = xai.explain(net, x, "gradient")
    values, info = bound(net, x, e)
    assert not info["differentiated"].any()  # torch's derivative is 0, and knows of no kink
    assert_allclose(values, bound(net, x, e, step=1e-3)[0])
    assert (bound(net, x, e, step=0.1)[0] > 0).all()
    for norm in ("l2", "linf"):
        attack = metrics.distance_attack(net, x, e, radius=0.3, norm=norm)
        assert (attack.values > 0).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_attacks_follow_torchs_gradient_and_stay_below_the_bound(norm):
    rng = np.random.default_rng(2)
    half = rng.normal(size=(60, 60)) / 8
    net, x = Quadratic(half @ half.T), torch.as_tensor(rng.normal(size=(2, 60)))
    e = xai.explain(net, x, "gradient")
    highest = bound(net, x, e, norm=norm)[0]
    attack = metrics.distance_attack(net, x, e, radius=0.3, norm=norm, steps=20)
    assert (attack.values <= highest * (1 + 1e-9)).all()
    assert (attack.values > (0.9 if norm == "l2" else 0.5) * highest).all()
    size = attack.info["delta"]
    size = np.linalg.norm(size, axis=1) if norm == "l2" else np.abs(size).max(axis=1)
    assert (size <= 0.3 * (1 + 1e-12)).all()
    assert attack.evaluations <= 5 * 20 + 8


def test_the_top_players_of_a_network_fall_by_torchs_gradient():
    x = torch.tensor([[1.0, 1.1, 0.1, 0.1], [1.0, 9.0, 0.1, 0.1]]).double()
    net = Quadratic(np.eye(4))  # its gradient is x
    e = xai.explain(net, x, "gradient")
    attack = metrics.top_k_attack(net, x, e, k=1, radius=0.2)
    assert_allclose(attack.values, [1, 0])
