"""Metrics that explain again: closed forms of linear and quadratic models, captum's numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

import xai
from xai import metrics
from xai.metrics.perturb import lengths
from xai.removal import Baseline

W = np.array([3.0, -1.0, 0.5, 2.0])
A = np.array([[2.0, 1, 0, 0], [1, -3, 0.5, 0], [0, 0.5, 1, 0], [0, 0, 0, 0.2]])


def linear(x):
    return np.asarray(x) @ W


def gradient(model, x, target):
    return np.tile(W, (len(x), 1))


def times_input(model, x, target):
    return W * x


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(4, 4)) + 2


STILL = (
    "max_sensitivity", "avg_sensitivity", "local_lipschitz", "relative_input_stability",
    "relative_output_stability", "worst_case_bound",
)  # fmt: skip


def test_the_gradient_of_a_linear_model_does_not_change(rows):
    a = gradient(None, rows, None)
    for name in STILL:
        score = getattr(metrics, name)(linear, rows, a, explain=gradient)
        assert_allclose(score.values, 0, err_msg=name)
        assert score.removal == ""
    shift = metrics.shift_consistency(linear, rows, a, among=rows + 5, explain=gradient)
    assert_allclose(shift.values, 0)


def test_gradient_times_input_of_a_linear_model(rows):
    """sup = r ||w||/||w x|| at the corners; rms = that/sqrt(3); Lipschitz -> max |w|."""
    a, r = W * rows, 0.1
    sup = r * np.linalg.norm(W) / np.linalg.norm(a, axis=1)
    given = {"radius": r, "samples": 3000, "explain": times_input}
    largest = metrics.max_sensitivity(linear, rows, a, **given).values
    assert (largest <= sup).all() and (largest > 0.93 * sup).all()
    mean = metrics.avg_sensitivity(linear, rows, a, **given).values
    assert (mean < sup / np.sqrt(3)).all() and (mean > 0.93 * sup / np.sqrt(3)).all()
    lipschitz = metrics.local_lipschitz(linear, rows, a, **given).values
    assert (lipschitz <= 3).all() and (lipschitz > 2.85).all()
    stability = metrics.relative_input_stability(linear, rows, a, **given)
    limit = 3 * np.linalg.norm(rows, axis=1) / np.linalg.norm(a, axis=1)
    assert (stability.values <= limit).all() and (stability.values > 0.95 * limit).all()
    assert_allclose(stability.info["kept"], 1)
    shift = metrics.shift_consistency(linear, rows, a, among=rows[::-1] ** 2, explain=times_input)
    assert_allclose(shift.values, 0, atol=1e-12)


def test_curvature_shows_in_shift_consistency(rows):
    f = lambda x: (x**2).sum(axis=1)  # noqa: E731
    effects = lambda model, x, target: x**2  # noqa: E731
    score = metrics.shift_consistency(f, rows, rows**2, among=rows[:1] + 1, explain=effects)
    z = rows[0] + 1
    bend = ((rows + z) / 2) ** 2 - (rows**2 + z**2) / 2
    expected = np.linalg.norm(bend, axis=1) / np.linalg.norm(rows**2, axis=1)
    assert_allclose(score.values, expected)


@pytest.mark.parametrize("samples", [3, 10])
def test_bends_are_averaged_over_so_many_other_rows_each_drawn_once(rows, samples):
    """On the way to z, and at z itself: 2 explanations for each of these."""
    among, asked = np.random.default_rng(3).normal(size=(5, 4)), []
    squares = lambda model, x, target: asked.append(x) or x**2  # noqa: E731
    given = {"among": among, "samples": samples, "explain": squares}
    score = metrics.shift_consistency(linear, rows, rows**2, **given)
    half, whole = (a.reshape(4, -1, 4) for a in asked)
    assert half.shape == whole.shape == (4, min(samples, 5), 4)
    assert len(np.unique(whole[0].round(9), axis=0)) == min(samples, 5)
    gap = np.linalg.norm(whole[:, :, None] - among, axis=3).min(axis=2)
    assert_allclose(gap, 0, atol=1e-12)
    bend = np.linalg.norm((rows[:, None] - whole) ** 2 / 4, axis=2).mean(axis=1)
    assert_allclose(score.values, bend / np.linalg.norm(rows**2, axis=1))


def quadratic_gradient(model, x, target):
    return x @ A


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_bound_is_exact_for_quadratics_and_no_attack_beats_it(rows, norm):
    """f = x A x / 2: a = A x, J = A, sup_l2 = radius lambda_max(|A|); Wang & Kong 2023."""
    f = lambda x: 0.5 * ((x @ A) * x).sum(axis=1)  # noqa: E731
    a, radius = rows @ A, 0.3
    given = {"radius": radius, "norm": norm, "explain": quadratic_gradient}
    bound = metrics.worst_case_bound(f, rows, a, **given).values
    rng = np.random.default_rng(1)
    if norm == "l2":
        assert_allclose(bound, radius * np.abs(np.linalg.eigvalsh(A)).max(), rtol=1e-9)
        values, vectors = np.linalg.eigh(A)
        attacks = radius * vectors[:, np.abs(values).argmax()][None]
    else:
        attacks = radius * rng.choice([-1.0, 1.0], size=(64, 4))
    reached = max(np.linalg.norm(u @ A) for u in attacks)
    assert (reached <= bound * (1 + 1e-9)).all()
    assert reached > bound[0] * (1 - 1e-9 if norm == "l2" else 0.3)
    cosine = metrics.worst_case_bound(f, rows, a, distance="cosine", **given).values
    for u in np.concatenate([attacks, rng.normal(size=(50, 4)) / 40]):
        if norm == "l2" and np.linalg.norm(u) > radius * (1 + 1e-9):
            continue
        there = (rows + u) @ A
        size = np.linalg.norm(a, axis=1) * np.linalg.norm(there, axis=1)
        assert (1 - (a * there).sum(axis=1) / size <= cosine + 1e-9).all()


def test_an_explanation_is_repeated_by_its_own_recipe(cancer):
    x, radius = cancer.x[:3], 0.5 * cancer.x.std(axis=0)
    e = xai.explain(cancer.forest, x, "kernel_shap", data=cancer.x[:9], budget=300, seed=4)
    got = metrics.max_sensitivity(cancer.forest, x, e, radius=radius, samples=5)

    def again(model, rows, target):
        return xai.explain(model, rows, "kernel_shap", data=cancer.x[:9], budget=300, seed=4,
                           target=target)  # fmt: skip

    want = metrics.max_sensitivity(cancer.forest, x, e, radius=radius, samples=5, explain=again)
    assert_array_equal(got.values, want.values)
    assert (got.values > 0).all() and got.evaluations > 1000
    alone = metrics.max_sensitivity(cancer.forest, x[1:2], e[1], radius=radius, samples=5)
    assert_allclose(alone.values, got.values[1:2])


@pytest.mark.parametrize("players", [np.array, xai.players.Groups])
def test_rows_of_a_recipe_take_what_is_per_row_with_them(cancer, players):
    x = cancer.x[:3]
    e = xai.explain(cancer.forest, x, "shapley", removal=xai.removal.Baseline(x[::-1].copy()),
                    players=players(np.arange(24).reshape(3, 8) // 2))  # fmt: skip
    whole = metrics.avg_sensitivity(cancer.forest, x, e, radius=1.0)
    for i in range(3):
        one = metrics.avg_sensitivity(cancer.forest, x[i : i + 1], e[i], radius=1.0)
        assert_allclose(one.values, whole.values[i : i + 1])


def test_copies_are_explained_by_the_superpixels_of_their_row():
    """Those of a copy are others: their attributions would be compared by number alone."""
    pytest.importorskip("skimage")
    rng = np.random.default_rng(0)
    x, w = rng.random((3, 12, 12, 3)), rng.normal(size=(12, 12, 3)) / 9
    x[1, :6], x[2, :, 4:8] = 0.0, 0.5
    f = lambda z: np.tanh((np.asarray(z) * w).sum(axis=(1, 2, 3)))  # noqa: E731
    parts = xai.players.Superpixels(9)
    e = xai.explain(f, x, "occlusion", players=parts)
    assert len({*np.isnan(e.values).sum(axis=1)}) > 1
    again = xai.explain(f, x[:1] + 0.3 * (rng.random((40, *x.shape[1:])) - 0.5), "occlusion",
                        players=parts)  # fmt: skip
    assert (again.element_players != e.element_players[:1]).any()

    def held(i, z):
        players = np.repeat(e.element_players[i : i + 1], len(z), axis=0)
        return xai.explain(f, z, "occlusion", players=players).values

    among = x[::-1] * 0.9
    given = {"max_sensitivity": {"radius": 0.3}, "shift_consistency": {"among": among},
             "avg_sensitivity": {"among": among, "radius": 100}}  # fmt: skip
    for name, options in given.items():
        metric = getattr(metrics, name)
        whole = metric(f, x, e, **options).values
        for i in range(3):
            own = x[i : i + 1], e[i].values[:, : np.isfinite(e[i].values).sum()]
            explain = lambda model, z, target, i=i: held(i, z)  # noqa: E731
            assert_allclose(metric(f, *own, explain=explain, **options).values, whole[i])
            assert_allclose(metric(f, x[i : i + 1], e[i], **options).values, whole[i])


CLASS = ("relative_input_stability", "relative_output_stability", "max_sensitivity",
         "distance_attack", "top_k_attack")  # fmt: skip


@pytest.mark.parametrize("name", CLASS)
def test_outputs_of_a_regression_are_no_classes(name):
    """Which of two amounts is the larger one is no prediction that another row could change."""
    z = np.random.default_rng(0).normal(size=(20, 2))
    two = LinearRegression().fit(z, z)
    x = np.array([[1.0, 1.001], [2.0, 1.999]])
    own = lambda model, rows, target: rows**2  # noqa: E731
    given = {"explain": own, "target": 0, "radius": 0.1}
    given |= {"among": x[:, ::-1]} if name == "max_sensitivity" else {}
    score = getattr(metrics, name)(two, x, x**2, **given)
    if "stability" in name:
        assert_array_equal(score.info["kept"], 1)
    else:
        one = getattr(metrics, name)(lambda rows: rows[:, 0], x, x**2, **given)
        assert_array_equal(score.values, one.values)
        assert (score.values > 0).all()


@pytest.mark.parametrize("name", ["relative_input_stability", "relative_output_stability"])
def test_copies_with_more_outputs_than_their_row_are_refused(rows, name):
    widths = iter([2, 4])
    model = lambda z: np.tile(z[:, :1], next(widths))  # noqa: E731
    with pytest.raises(ValueError, match="returned 2 outputs in one call and 4 in another"):
        getattr(metrics, name)(model, rows, rows, explain=lambda model, x, target: x)


def test_an_array_needs_explain(rows):
    with pytest.raises(ValueError, match="the explanation is an array: pass explain="):
        metrics.max_sensitivity(linear, rows, rows)
    e = xai.explain(linear, rows, "shapley", data=rows)
    with pytest.raises(ValueError, match="the explanation is one without a recipe"):
        metrics.max_sensitivity(linear, rows, dataclasses.replace(e, recipe=None))


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1.0, 1e170, 1e300])
def test_lengths_hold_at_every_scale_and_sign_beside_padding(scale):
    a = np.array([[3.0, 4.0, np.nan], [-3.0, -4.0, 0.0], [0.0, 0.0, 0.0]])
    assert_allclose(lengths(scale * a), scale * np.array([5, 5, 0]), rtol=1e-12)


def test_neighbours_in_the_data(rows):
    """Bhatt's mu_M and mu_A: rows within the radius, of the same class."""
    two = lambda x: np.stack([linear(x), -linear(x)], axis=1)  # noqa: E731
    among = np.concatenate([rows + 0.1, rows + 0.15, -rows, rows + 50])
    given = {"among": among, "explain": times_input, "radius": 0.21}
    largest = metrics.max_sensitivity(two, rows, W * rows, **given)
    near = np.linalg.norm(rows[:, None] - among, axis=2) <= 0.21
    same = np.sign(linear(rows))[:, None] == np.sign(linear(among))
    gaps = np.linalg.norm(W * (rows[:, None] - among), axis=2)
    assert_allclose(largest.values, np.where(near & same, gaps, -1).max(axis=1))
    wide = given | {"among": np.concatenate([among, rows + 0.05]), "radius": 0.3}
    mean = metrics.avg_sensitivity(two, rows, W * rows, **wide)
    others = wide["among"]
    near = np.linalg.norm(rows[:, None] - others, axis=2) <= 0.3
    near &= np.sign(linear(rows))[:, None] == np.sign(linear(others))
    gaps = np.linalg.norm(W * (rows[:, None] - others), axis=2)
    assert (near.sum(axis=1) > 1).all()
    assert_allclose(mean.values, (gaps * near).sum(axis=1) / near.sum(axis=1))
    none = metrics.avg_sensitivity(two, rows, W * rows, **(given | {"among": rows + 50}))
    assert none.undefined == 4 and "undefined (NaN) for 4" in repr(none)


@pytest.mark.parametrize("together", [1, 2, 100])
@pytest.mark.parametrize("per_row", [False, True])
def test_a_neighbour_of_many_rows_is_explained_once(rows, per_row, together, monkeypatch):
    """Where its explanation is the same for all of them: a baseline of each row's own is not."""
    monkeypatch.setattr("xai.metrics.perturb.COPIES", together * 2 * rows.size)
    bent = lambda x: (np.asarray(x) ** 2) @ W  # noqa: E731
    among, n = np.concatenate([rows, rows + 1]), len(rows)
    removal = xai.removal.Baseline(rows / 2 if per_row else 0)
    e = xai.explain(bent, rows, "shapley", removal=removal, target=0)
    score = metrics.avg_sensitivity(bent, rows, e, among=among, radius=100)
    a = np.stack([
        xai.explain(
            bent, among, "shapley", target=0,
            removal=xai.removal.Baseline(rows[i] / 2 if per_row else 0),
        ).values for i in range(n)
    ])  # fmt: skip
    far = np.linalg.norm(a - e.values[:, None], axis=2)
    assert_allclose(score.values, far.mean(axis=1))
    once = xai.explain(bent, among, "shapley", removal=xai.removal.Baseline(0), target=0)
    spent = n * len(among) * e.evaluations if per_row else once.total_evaluations()
    assert score.evaluations == -(-(spent + n + len(among)) // n)


@pytest.mark.filterwarnings("ignore:Input Tensor")
def test_max_sensitivity_equals_captums():
    torch = pytest.importorskip("torch")
    captum = pytest.importorskip("captum.metrics")
    attr = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    net, x = net.double(), torch.randn(5, 4).double()
    saliency = attr.InputXGradient(net)
    asked = []

    def explain(model, rows, target):
        asked.append(rows)
        return saliency.attribute(rows.clone().requires_grad_(), target=torch.as_tensor(target))

    a = explain(net, x, np.ones(5, int)).detach()
    got = metrics.max_sensitivity(net, x, a, target=1, samples=7, radius=0.1, explain=explain)
    copies = asked[1]
    want = captum.sensitivity_max(
        saliency.attribute, x, perturb_func=lambda inputs: copies, n_perturb_samples=7, target=1
    )
    assert_allclose(got.values, want.detach().numpy(), rtol=1e-9)


def test_representations_of_a_linear_layer():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.Identity()).double()
    net[0].weight.data = torch.eye(4).double()
    x = torch.randn(3, 4).double() + 3

    def explain(model, rows, target):
        return rows * 2

    given = {"explain": explain, "radius": 0.01, "target": 0}
    hidden = metrics.relative_representation_stability(net, x, 2 * x, layer="0", **given)
    for name in ("relative_input_stability", "relative_output_stability"):
        score = getattr(metrics, name)(net, x, 2 * x, **given)
        assert_allclose(score.values, hidden.values)
        assert score.evaluations + 1 == hidden.evaluations  # the row itself: copies run once
    assert_allclose(hidden.values, 1)
    assert not net[0]._forward_hooks
    with pytest.raises(TypeError, match="torch"):
        metrics.relative_representation_stability(
            linear, np.ones((1, 4)), np.ones((1, 4)), layer="0", explain=times_input
        )


@pytest.mark.parametrize("layer", ["first", "twice", "pair"])
def test_representations_are_what_a_layer_gives_when_it_is_called_last(layer):
    """And as it gives them: the next layer may write on them."""
    torch = pytest.importorskip("torch")

    class Pair(torch.nn.Module):
        def forward(self, x):
            return x[:, :2] ** 2, x

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.pair, self.twice = torch.nn.Linear(3, 4), Pair(), torch.nn.Tanh()
            self.relu, self.last = torch.nn.ReLU(inplace=True), torch.nn.Linear(2, 2)

        def forward(self, x):
            return self.last(self.twice(self.pair(self.twice(self.relu(self.first(x))))[0]))

    net, x = Network().double(), torch.randn(3, 3).double()
    steps = {
        "first": lambda x: net.first(x),
        "twice": lambda x: (net.first(x).relu().tanh()[:, :2] ** 2).tanh(),
        "pair": lambda x: net.first(x).relu().tanh()[:, :2] ** 2,
    }
    alone = torch.nn.ModuleDict({"own": torch.nn.Identity(), "net": net})
    alone.forward = lambda x: alone["own"](steps[layer](x))[:, :2]
    given = {"explain": lambda model, rows, target: rows.exp(), "target": 0, "radius": 0.3}
    for batch_size in (None, 2):
        want, got = (
            metrics.relative_representation_stability(
                module, x, x.exp(), layer=name, batch_size=batch_size, **given
            )
            for module, name in ((alone, "own"), (net, layer))
        )
        assert_allclose(got.values, want.values)
        for one in (x[:1], x[0]):
            score = metrics.relative_representation_stability(
                net, one, x[:1].exp(), layer=layer, **given
            )
            assert_allclose(score.values, got.values[:1])


def test_a_layer_that_mixes_rows_or_does_not_run_has_no_representation():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 2), torch.nn.Flatten(0), torch.nn.Unflatten(0, (-1, 2))
    )
    net.add_module("other", torch.nn.Identity())
    net.forward = lambda x: net[2](net[1](net[0](x)))
    x = torch.randn(4, 3)
    given = {"explain": lambda model, rows, target: rows, "target": 0}
    with pytest.raises(ValueError, match="layer '1' gives 8 rows for 4"):
        metrics.relative_representation_stability(net, x, x, layer="1", **given)
    with pytest.raises(ValueError, match="layer 'other' did not run"):
        metrics.relative_representation_stability(net, x, x, layer="other", **given)


@pytest.mark.parametrize("outputs", [1, 3])
def test_representation_stability_of_a_linear_network(outputs):
    """Gradient ⇒ 0; where the layer is the output, RRS ≡ ROS; of x itself RRS ≡ RIS."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(4, outputs)).double()
    x = torch.randn(6, 4).double() + 1
    w = net[1].weight.detach().numpy()
    slope = lambda model, rows, target: w[np.asarray(target)]  # noqa: E731
    product = lambda model, rows, target: w[np.asarray(target)] * rows.numpy()  # noqa: E731
    target = np.arange(6) % outputs
    given = {"target": target, "radius": 0.05, "samples": 40}

    def stability(of, explain, **layer):
        metric = getattr(metrics, f"relative_{of}_stability")
        return metric(net, x, explain(net, x, target), explain=explain, **layer, **given).values

    for layer in ("0", "1"):
        assert_allclose(stability("representation", slope, layer=layer), 0)
    whole = stability("representation", product, layer="1")
    assert (whole > 0).all()
    assert_allclose(whole, stability("output", product))
    own = stability("representation", product, layer="0")
    assert_allclose(own, stability("input", product))
    a = w[target] * x.numpy()
    limit = np.abs(w[target]).max(axis=1) * np.linalg.norm(x, axis=1) / np.linalg.norm(a, axis=1)
    assert (own <= limit * (1 + 1e-9)).all()


def test_a_label_constraint_leaves_the_bound_of_two_classes_as_it_is(rows):
    """Half-spaces g·δ ≤ c with c ≥ 0: of δ and −δ, which move ‖Jδ‖ alike, one is inside.

    So with one other class the bound under ‖δ‖₂ ≤ r is reached with the label kept.
    """
    bound = metrics.worst_case_bound(
        lambda x: 0.5 * ((x @ A) * x).sum(axis=1), rows, rows @ A, radius=0.3,
        explain=quadratic_gradient,
    ).values  # fmt: skip
    values, vectors = np.linalg.eigh(A)
    top = 0.3 * vectors[:, np.abs(values).argmax()]
    rng = np.random.default_rng(0)
    for g, margin in zip(rng.normal(size=(50, 4)), rng.random(50) * 0.01, strict=True):
        reached = [np.linalg.norm(A @ d) for d in (top, -top) if g @ d <= margin]
        assert_allclose(max(reached), bound, rtol=1e-9)


def test_consistency_counts_rows_with_the_same_explanation():
    a = np.array([[1.0, 0], [2, 0], [3, 0], [0, 1], [-1, 0]])
    outputs = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1], [1, 0]])
    x = np.repeat(np.arange(5.0)[:, None], 2, axis=1)
    score = metrics.consistency(lambda x: outputs[x[:, 0].astype(int)], x, a, k=1)
    assert_allclose(score.values, [0.5, 0.5, 0, np.nan, np.nan])
    three = np.array([[3.0, 0, 1], [3, 1, 0], [0, 3, 1], [0, 3, 1], [3, 1, 0]])
    score = metrics.consistency(lambda x: three[x[:, 0].astype(int)], x, a, k=1)
    assert_allclose(score.values, [0.5, 0.5, 0, np.nan, np.nan])  # who is last does not count
    apart = metrics.consistency(lambda x: outputs[x[:, 0].astype(int)], x, -3 * a + a[::-1], k=1)
    assert_allclose(apart.values, [0.5, 0.5, 0, np.nan, np.nan])
    equal = np.array([[0.3, 0.1 + 0.2], [0.3, 0.3], [0.1 + 0.2, 0.3], [0.2, 0.3], [0.0, 0.3]])
    score = metrics.consistency(lambda x: outputs[x[:, 0].astype(int)], x, equal, k=1)
    assert_allclose(score.values, [0.5, 0.5, 0, 0, 0])


def squares(x):
    return (np.asarray(x, np.float64) ** 2).sum(axis=1)


def twice(model, x, target):
    return 2 * np.asarray(x, np.float64)


LOST = ("max_sensitivity", "local_lipschitz", "relative_input_stability", "worst_case_bound",
        "distance_attack", "top_k_attack")  # fmt: skip


@pytest.mark.parametrize("kind", ["array", "frame", "tensor"])
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e4])
def test_copies_lie_where_their_dtype_has_numbers(kind, scale):
    """Single precision has no 10000.02: 2x has a slope of 2 between the numbers that it has."""
    x = (np.array([[1.0, 2, 3], [2, 3, 1]]) * scale).astype(np.float32)
    given = {
        "array": lambda: x,
        "frame": lambda: pytest.importorskip("pandas").DataFrame(x, columns=list("abc")),
        "tensor": lambda: pytest.importorskip("torch").tensor(x),
    }[kind]()
    args = (squares, given, twice(None, x, None))
    assert_allclose(metrics.local_lipschitz(*args, explain=twice).values, 2)
    assert_allclose(metrics.relative_input_stability(*args, explain=twice).values, 1)
    assert_allclose(metrics.worst_case_bound(*args, explain=twice).values, 0.04)


@pytest.mark.parametrize("name", LOST)
def test_a_radius_that_xs_dtype_cannot_tell_from_none_is_refused(name):
    x = np.array([[1.0, 2, 3], [1e3, 2e3, 3e3]], np.float16)
    args = (squares, x, twice(None, x, None))
    asked = []
    given = {"explain": lambda *rows: asked.append(rows), "step": 0.02}
    if "bound" not in name:
        del given["step"]
    with pytest.raises(ValueError, match=r"row 1 \(0-based\) does not move, as x's dtype"):
        getattr(metrics, name)(*args, **given)
    if "bound" in name:  # of which each column is moved alone
        one = np.array([[1.0, 2, 3e3]], np.float16)
        with pytest.raises(ValueError, match=r"row 0 \(0-based\) does not move"):
            getattr(metrics, name)(squares, one, twice(None, one, None), **given)
    assert not asked  # before anything is explained
    if name in ("max_sensitivity", "local_lipschitz", "relative_input_stability"):
        with pytest.raises(ValueError, match=r"row 1 \(0-based\) does not move"):
            getattr(metrics, name)(*args, **given, radius=[0.02, 0, 0])
    wide = (squares, x.astype(np.float64), twice(None, x, None))
    assert np.isfinite(getattr(metrics, name)(*wide, explain=twice).values).all()


def test_copies_that_stay_beside_others_that_move_have_no_slope():
    """Of a column alone, near 10000, where single precision tells 0.001 from none half the time."""
    x = np.full((1, 1), 1e4, np.float32)
    args = (squares, x, twice(None, x, None))
    given = {"radius": 1e-3, "samples": 40, "explain": twice}
    assert_allclose(metrics.local_lipschitz(*args, **given).values, 2)
    assert 0 < metrics.avg_sensitivity(*args, **given).values < 1e-7


def test_a_radius_that_a_modules_dtype_cannot_tell_from_none_is_refused():
    """Whatever x is in: as x alone in float64 it was told to be, and stayed where it was."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    x, data = torch.randn(2, 3).double(), torch.zeros(1, 3).double()
    e = xai.explain(net.bfloat16(), x, "exact_shapley", data=data)
    with pytest.raises(ValueError, match=r"x's dtype or the module's .* or both in float64"):
        metrics.worst_case_bound(net, x, e)
    e = xai.explain(net.double(), x, "exact_shapley", data=data)
    assert np.isfinite(metrics.worst_case_bound(net, x, e).values).all()


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_slope_that_doubles_do_not_hold_is_infinite():
    x = np.ones((1, 2))
    steep = lambda model, rows, target: 1e300 * (rows - 1)  # noqa: E731
    jump = lambda model, rows, target: 1e300 * np.sign(rows - 1)  # noqa: E731
    score = metrics.local_lipschitz(squares, x, 0 * x, explain=steep, radius=1e-9)
    assert_allclose(score.values, 1e300)
    score = metrics.local_lipschitz(squares, x, 0 * x, explain=jump, radius=1e-9)
    assert_array_equal(score.values, np.inf)


@pytest.mark.parametrize("name", ["distance_attack", "top_k_attack"])
def test_nothing_is_attacked_where_all_are_categories(name):
    x = np.array([["u", "p"], ["v", "q"]], object)
    seen = []

    def explain(model, rows, target):
        seen.append(rows)
        return np.ones(rows.shape)

    score = getattr(metrics, name)(
        lambda rows: (rows == "u").sum(axis=1), x, np.ones((2, 2)), explain=explain
    )
    assert_array_equal(score.values, 0)
    assert_array_equal(score.info["delta"], 0)
    assert all((rows == x).all() for rows in seen)


def test_categories_stay_as_they_are(mixed):
    e = xai.explain(mixed.pipeline, mixed.x, "shapley", data=mixed.data)
    score = metrics.max_sensitivity(mixed.pipeline, mixed.x, e, radius=[1, 1, 0, 0], samples=3)
    assert (score.values > 0).all()


def test_tokens_that_are_not_moved_stay_integers():
    """An embedding knows no others: of neighbours, and of columns that are named as codes."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Bag(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = torch.nn.Embedding(9, 4), torch.nn.Linear(4, 2)

        def forward(self, tokens):
            return self.head(self.embedding(tokens).mean(dim=1))

    net, tokens = Bag(), torch.randint(0, 9, (6, 3))
    x, data = tokens[:2], tokens[2:]
    e = xai.explain(net, x, "exact_shapley", data=data)
    near = metrics.max_sensitivity(net, x, e, among=data, radius=99.0)
    for i, target in enumerate(e.target):
        alike = data[net(data).argmax(dim=1) == int(target)]
        a = xai.explain(net, alike, "exact_shapley", data=data, target=int(target)).values
        assert_allclose(near.values[i], np.linalg.norm(a - e.values[i], axis=1).max(), rtol=1e-4)
    still = metrics.max_sensitivity(net, x, e, categorical=[0, 1, 2], samples=3)
    assert_allclose(still.values, 0, atol=1e-5)


@pytest.mark.parametrize("kind", ["max_sensitivity", "evaluate", "choose"])
def test_a_model_that_knows_no_fractions_is_told_by_column(kind):
    """Numbers and truth values that are codes, which nobody has named as such."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    table = pandas.DataFrame(
        {"size": rng.normal(size=9), "month": rng.integers(1, 4, 9), "own": rng.random(9) < 0.5}
    )
    x, data = table[:3], table[3:]

    def f(rows):
        if not (set(rows["month"]) <= {1, 2, 3} and set(rows["own"]) <= {True, False}):
            raise KeyError("no such month")
        return (rows["size"] * rows["month"] + rows["own"]).to_numpy(float)

    e = xai.explain(f, x, "exact_shapley", data=data)
    ask = {
        "max_sensitivity": lambda **given: metrics.max_sensitivity(f, x, e, **given),
        "evaluate": lambda **given: metrics.evaluate(f, x, e, **given),
        "choose": lambda **given: xai.choose(f, x, data=data, samples=9, **given),
    }[kind]
    with pytest.raises(KeyError, match="no such month") as caught:
        ask()
    assert "['month', 'own']" in caught.value.__notes__[0]
    assert "categorical=" in caught.value.__notes__[0]
    ask(categorical=["month", "own"])


def test_the_length_of_a_row_counts_no_codes_of_categories(mixed):
    """Codes are those of the rows' table: a row's score is its own."""
    e = xai.explain(mixed.pipeline, mixed.x, "shapley", data=mixed.data)
    whole = metrics.relative_input_stability(mixed.pipeline, mixed.x, e, samples=3).values
    for i in range(3):
        one = mixed.x.iloc[[i]], e[i : i + 1]
        alone = metrics.relative_input_stability(mixed.pipeline, *one, samples=3)
        assert_allclose(alone.values, whole[i : i + 1])


def test_categories_of_neighbours_are_the_same_words():
    """Not the same codes, which are each table's own; so a row's score is its own, too."""
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({"n": [0.0, 1.0, 1.0], "word": ["u", "v", "w"]})
    among = pandas.DataFrame({"n": [1.0, 5.0], "word": ["w", "w"]})
    f = lambda rows: rows["n"].to_numpy() * 2.0  # noqa: E731
    explain = lambda model, rows, target: np.stack(  # noqa: E731
        [rows["n"] ** 2, (rows["word"] == "w") * 3.0], axis=1
    )
    a = explain(f, x, None)
    given = {"among": among, "explain": explain}
    near = metrics.max_sensitivity(f, x, a, radius=0.5, **given)
    assert_array_equal(near.values, [np.nan, np.nan, 0])
    wide = metrics.max_sensitivity(f, x, a, radius=1.0, **given)
    assert_array_equal(wide.values, [np.nan, 3, 0])
    bend = metrics.shift_consistency(f, x, a, **given)  # of n²: (z − x)² / 4, the word is x's
    assert_allclose(bend.values[2], (0 + 4**2 / 4) / 2 / np.sqrt(10))
    for i in range(3):
        one = x.iloc[[i]], a[i : i + 1]
        for name, whole in (("max_sensitivity", wide), ("shift_consistency", bend)):
            options = given | ({"radius": 1.0} if name == "max_sensitivity" else {})
            alone = getattr(metrics, name)(f, *one, **options)
            assert_array_equal(alone.values, whole.values[i : i + 1])
    for name in ("max_sensitivity", "shift_consistency"):
        with pytest.raises(ValueError, match=r"among= has rows of shape \(4,\), x \(2,\)"):
            getattr(metrics, name)(
                lambda z: z[:, 0], np.ones((1, 2)), np.ones((1, 2)), among=np.ones((1, 4))
            )


@pytest.mark.parametrize("name", ["max_sensitivity", "avg_sensitivity", "shift_consistency"])
def test_other_rows_have_xs_columns_by_name(name):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    x, among = (pandas.DataFrame(rng.normal(size=(n, 3)), columns=list("abc")) for n in (4, 6))
    f = lambda rows: np.tanh(rows.to_numpy() @ [1.0, 5.0, -2.0])  # noqa: E731
    e = xai.explain(f, x, "shapley", data=among)
    metric = getattr(metrics, name)
    wide = {} if name == "shift_consistency" else {"radius": 2.0}
    want = metric(f, x, e, among=among, **wide).values
    assert_array_equal(metric(f, x, e, among=among[["c", "a", "b"]], **wide).values, want)
    one = xai.explain(f, x.iloc[0], "shapley", data=among)
    alone = metric(f, x.iloc[0], one, among=among[["c", "a", "b"]], **wide)
    assert_allclose(alone.values, want[:1])
    with pytest.raises(ValueError, match=r"among= lacks \['c'\]"):
        metric(f, x, e, among=among[["a", "b"]], **wide)


@pytest.mark.parametrize("name", ["max_sensitivity", "shift_consistency"])
def test_categories_of_arrays_may_be_named(name):
    rng = np.random.default_rng(0)
    x, among = (np.c_[rng.normal(size=(n, 2)), rng.integers(0, 3, n)] for n in (4, 6))
    f = lambda rows: np.tanh(rows @ [1.0, 2.0, -2.0])  # noqa: E731
    wide = {} if name == "shift_consistency" else {"radius": 3.0}
    named, by_place = (
        xai.explain(f, x, "shapley", data=among, feature_names=list("abc"), categorical=[column])
        for column in ("c", 2)
    )
    scores = [getattr(metrics, name)(f, x, e, among=among, **wide) for e in (named, by_place)]
    assert_array_equal(*(score.values for score in scores))


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_attacks_reach_the_bound_of_quadratics_and_stay_below_it(rows, norm):
    f = lambda x: 0.5 * ((x @ A) * x).sum(axis=1)  # noqa: E731
    given = {"radius": 0.3, "norm": norm, "explain": quadratic_gradient}
    bound = metrics.worst_case_bound(f, rows, rows @ A, **given)
    attack = metrics.distance_attack(f, rows, rows @ A, steps=20, **given)
    assert (attack.values <= bound.values * (1 + 1e-9)).all()
    assert (attack.values > (0.95 if norm == "l2" else 0.6) * bound.values).all()
    delta = attack.info["delta"]
    size = np.linalg.norm(delta, axis=1) if norm == "l2" else np.abs(delta).max(axis=1)
    assert (size <= 0.3 * (1 + 1e-12)).all()
    assert_allclose(np.linalg.norm(delta @ A, axis=1), attack.values)
    axes = metrics.distance_attack(f, rows, rows @ A, steps=20, directions=4, **given)
    assert_array_equal(axes.info["delta"], delta)  # as many as there are do suffice


def test_the_last_strides_refine_what_the_first_found():
    """A peak at 0.6 of a ball of 1, that long strides pass over to and fro."""
    wave = lambda model, rows, target: np.sin(rows * np.pi / 1.2)  # noqa: E731
    x = np.zeros((1, 1))
    attack = metrics.distance_attack(lambda z: z[:, 0], x, x, radius=1.0, explain=wave)
    assert 0.99 < attack.values.item() <= 1


@pytest.mark.parametrize("name", ["distance_attack", "top_k_attack"])
def test_attacks_leave_categories_as_they_are(name):
    x = np.array([[1.0, 0.0, 1.05], [2.0, 1.0, 2.05]])
    own = lambda model, rows, target: rows**2  # noqa: E731
    given = {"categorical": [1], "radius": 0.1, "norm": "l2", "explain": own}
    delta = getattr(metrics, name)(lambda z: z[:, 0], x, x**2, **given).info["delta"]
    assert_array_equal(delta[:, 1], 0)
    if name == "distance_attack":
        assert_allclose(np.linalg.norm(delta, axis=1), 0.1)
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    net, rows = net.double(), torch.as_tensor(x)
    e, given = xai.explain(net, rows, "gradient"), {"categorical": [1], "norm": "l2"}
    delta = getattr(metrics, name)(net, rows, e, **given).info["delta"]
    assert_array_equal(delta[:, 1], 0)
    assert np.isfinite(delta).all() and (name == "top_k_attack" or (delta != 0).any())


def test_neighbours_of_another_class_are_none():
    """As near as any, and with an attribution as far as none."""
    two = lambda x: np.stack([x[:, 0], -x[:, 0]], axis=1)  # noqa: E731
    jumps = lambda model, x, target: np.where(x[:, :1] > 0, x, x + 100)  # noqa: E731
    x, among = np.array([[0.05, 1.0]]), np.array([[-0.05, 1.0], [0.15, 1.0]])
    for metric in (metrics.max_sensitivity, metrics.avg_sensitivity):
        score = metric(two, x, x, among=among, radius=0.2, explain=jumps)
        assert_allclose(score.values, 0.1)


@pytest.mark.parametrize("name", ["distance_attack", "top_k_attack"])
def test_attacks_on_rows_with_players_of_their_own(name):
    """What pads a row with few players is attacked no more than if the row were alone."""
    x = np.random.default_rng(0).normal(size=(2, 4)) + 2
    ids = np.array([[0, 0, 1, 1], [0, 1, 2, 3]])
    f = lambda z: (np.asarray(z) ** 2) @ W  # noqa: E731
    given, metric = {"removal": Baseline(0.0), "target": 0}, getattr(metrics, name)
    options = {"radius": 0.5} | ({"k": 1} if name == "top_k_attack" else {})
    e = xai.explain(f, x, "occlusion", players=ids, **given)
    assert np.isnan(e.values).sum() == 2
    whole = metric(f, x, e, **options)
    for i in range(2):
        alone = xai.explain(f, x[i : i + 1], "occlusion", players=ids[i : i + 1], **given)
        score = metric(f, x[i : i + 1], alone, **options)
        assert_allclose(whole.values[i : i + 1], score.values)
        assert_allclose(whole.info["delta"][i : i + 1], score.info["delta"])


@pytest.mark.parametrize("wrong", [{"norm": "l1"}, {"distance": "l2"}])
def test_an_unknown_norm_or_distance_is_refused(rows, wrong):
    with pytest.raises(ValueError, match=r"expected .*'l2' or 'linf'"):
        metrics.worst_case_bound(linear, rows, rows, explain=times_input, **wrong)
    if "norm" in wrong:
        for name in ("distance_attack", "top_k_attack"):
            with pytest.raises(ValueError, match="norm='l1': expected 'l2' or 'linf'"):
                getattr(metrics, name)(linear, rows, rows, explain=times_input, **wrong)


@pytest.mark.parametrize("name", ["distance_attack", "top_k_attack"])
def test_an_attack_that_reaches_nothing_moves_nothing(rows, name):
    a = gradient(None, rows, None)
    score = getattr(metrics, name)(linear, rows, a, explain=gradient)
    assert_array_equal(score.values, 0)
    assert_array_equal(score.info["delta"], 0)


def test_attacks_keep_the_class():
    """Behind the border attributions jump; an attack that crosses it does not count."""
    two = lambda x: np.stack([x[:, 0], -x[:, 0]], axis=1)  # noqa: E731
    jumps = lambda model, x, target: np.where(x[:, :1] > 0, x, x + 100)  # noqa: E731
    x = np.array([[0.05, 1.0], [3.0, 1.0]])
    attack = metrics.distance_attack(two, x, x, radius=0.2, explain=jumps)
    assert (attack.values <= 0.2 * (1 + 1e-9)).all() and (attack.values > 0).all()
    assert ((x + attack.info["delta"])[:, 0] > 0).all()


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_an_attack_turns_back_at_the_border(side):
    """Whichever side of a row the border lies on, what moves it most lies on the other, too."""
    two = lambda x: np.stack([side * (x[:, 1] - 1), np.full(len(x), -0.01)], axis=1)  # noqa: E731
    slope = lambda model, x, target: x * [2, 6]  # noqa: E731
    x = np.ones((1, 2))
    attack = metrics.distance_attack(two, x, x * [2, 6], radius=0.5, explain=slope)
    assert attack.values.item() > 0.95 * 3 and side * attack.info["delta"][0, 1] > 0


def test_an_attack_on_the_top_players_keeps_the_class():
    """Behind the border the top player is another: an attack that stays loses none."""
    two = lambda x: np.stack([x[:, 0], -x[:, 0]], axis=1)  # noqa: E731
    turns = lambda model, x, target: np.where(x[:, :1] > 0, x, x[:, ::-1])  # noqa: E731
    x = np.array([[0.05, 9.0], [1.0, 1.05]])
    attack = metrics.top_k_attack(two, x, x, k=1, radius=0.2, explain=turns)
    assert ((x + attack.info["delta"])[:, 0] > 0).all()
    assert_allclose(attack.values, [0, 1])


def test_the_top_players_are_attacked(rows):
    x = np.array([[1.0, 1.1, 0.0, 0.0], [1.0, 9.0, 0.0, 0.0]])
    own = lambda model, rows, target: rows  # noqa: E731
    attack = metrics.top_k_attack(linear, x, x, k=1, radius=0.2, explain=own)
    assert_allclose(attack.values, [1, 0])
    signs = np.array([-1.0, 1.0, 1.0, -1.0])
    other = lambda model, rows, target: signs * rows  # noqa: E731
    against = metrics.top_k_attack(linear, x, signs * x, k=1, radius=0.2, explain=other)
    assert_array_equal(against.info["delta"], attack.info["delta"])  # |a| counts, not its sign
    pair = np.array([[1.0, 1.1], [1.0, 9.0]])
    few = metrics.top_k_attack(lambda z: z @ W[:2], pair, pair, radius=0.2, explain=own)
    assert_allclose(few.values, [1, 0])  # of two players one is attacked
    one = metrics.top_k_attack(lambda z: z[:, 0], x[:, :1], x[:, :1], explain=own)
    assert_allclose(one.values, 0)
    with pytest.raises(ValueError, match="4 players"):
        metrics.top_k_attack(linear, x, x, k=5, explain=own)


def test_a_series_of_radii_goes_by_the_names_of_columns(rows):
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame(rows, columns=list("abcd"))
    f = lambda z: (np.asarray(z, np.float64) ** 2) @ W  # noqa: E731
    e, each = xai.explain(f, x, "occlusion", data=x), np.array([0.1, 0.2, 0.3, 0.4])
    series = pandas.Series(each, index=x.columns)
    want = metrics.max_sensitivity(f, x, e, radius=each).values
    turned = metrics.max_sensitivity(f, x, e, radius=series[list("dbca")])
    assert_array_equal(turned.values, want)
    with pytest.raises(ValueError, match=r"radius= lacks \['c'\], by the columns of x"):
        metrics.max_sensitivity(f, x, e, radius=series[list("abd")])


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_attributions_that_are_constant_in_pieces_are_attacked(norm):
    """Nothing changes near x, and a jump is as far as half the radius: no slope leads there."""
    x = np.array([[0.0, 0.0], [50.0, 50.0]])
    f = lambda z: z.sum(axis=1)  # noqa: E731
    jumps = lambda model, z, target: np.where(np.abs(z) > 0.15, [1.0, 3.0], [2.0, 1.0])  # noqa: E731
    given = {"radius": 0.3, "norm": norm, "explain": jumps}
    a = jumps(f, x, None)
    reached = metrics.distance_attack(f, x, a, **given)
    assert reached.values[0] > 0 and reached.values[1] == 0
    assert_array_equal(metrics.top_k_attack(f, x, a, k=1, **given).values, [1, 0])
    size = np.linalg.norm(reached.info["delta"], np.inf if norm == "linf" else 2, axis=1)
    assert (size <= 0.3 + 1e-12).all()


@pytest.mark.parametrize("attack", [metrics.distance_attack, metrics.top_k_attack])
def test_copies_of_as_many_rows_as_fit_memory_are_attacked_at_once(attack, monkeypatch):
    x, sizes = np.random.default_rng(0).normal(size=(7, 40)), []

    def slope(model, x, target):
        sizes.append(len(x))
        return x * np.arange(40)

    f = lambda x: (x**2 @ np.arange(40.0)) / 2  # noqa: E731
    whole = attack(f, x, x * np.arange(40), explain=slope, radius=0.1)
    assert max(sizes) == 7 * 64  # 32 directions, there and back
    sizes.clear()
    monkeypatch.setattr("xai.metrics.perturb.COPIES", 3 * 64 * 40)
    parts = attack(f, x, x * np.arange(40), explain=slope, radius=0.1)
    assert max(sizes) == 3 * 64
    assert_array_equal(parts.values, whole.values)
    x[5] = 1e20
    with pytest.raises(ValueError, match=r"row 5 \(0-based\) does not move"):
        attack(f, x, x * np.arange(40), explain=slope, radius=0.1)


def test_many_columns_are_attacked_along_random_directions():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 60)), rng.normal(size=60)
    product = lambda model, rows, target: w * rows  # noqa: E731
    f = lambda z: z @ w  # noqa: E731
    attack = metrics.distance_attack(f, x, w * x, radius=0.1, directions=20, explain=product)
    assert (attack.values > 0.1 * np.abs(w).mean()).all()
    assert (attack.values <= 0.1 * np.abs(w).max() * (1 + 1e-9)).all()


@pytest.mark.parametrize("size", [1, 5, None])
def test_explain_gets_no_more_rows_at_once_than_the_model(size):
    rng = np.random.default_rng(0)
    x, w, got = rng.normal(size=(4, 3)), rng.normal(size=3), []

    def explain(model, rows, target):
        got.append(len(rows))
        return rows**2 * w

    given = {"samples": 6, "radius": 0.1, "explain": explain, "batch_size": size}
    score = metrics.max_sensitivity(lambda rows: rows**2 @ w, x, x**2 * w, **given)
    assert sum(got) == 4 * 6 and max(got) == (size or 24)
    alone = metrics.max_sensitivity(lambda rows: rows**2 @ w, x[1:2], x[1:2] ** 2 * w, **given)
    assert_allclose(alone.values, score.values[1:2], rtol=1e-12)


@pytest.mark.parametrize("radius", [0.1, 0.9])
def test_the_cosine_bound_is_attained_where_the_attribution_is_the_row(radius):
    """f = |x|²/2: a = x and T = radius. 1 − √(1 − T²/‖a‖²) is met by δ at a right angle to x + δ.

    Where T ≥ ‖a‖ the attribution can be turned round, and no bound is below 2.
    """
    f = lambda x: 0.5 * (x**2).sum(axis=1)  # noqa: E731
    own = lambda model, rows, target: rows  # noqa: E731
    x = np.array([[1.0, 0.0], [0.6, 0.8], [0.05, 0.0]])
    given = {"radius": radius, "distance": "cosine", "explain": own}
    bound = metrics.worst_case_bound(f, x, x, **given).values
    assert_allclose(bound, [*[1 - np.sqrt(1 - radius**2)] * 2, 2])
    across = np.array([-x[:2, 1], x[:2, 0]]).T
    there = x[:2] - radius**2 * x[:2] + radius * np.sqrt(1 - radius**2) * across
    assert_allclose(np.linalg.norm(there - x[:2], axis=1), radius)
    cosine = (x[:2] * there).sum(axis=1) / np.linalg.norm(there, axis=1)
    assert_allclose(1 - cosine, bound[:2])
    turned = x[2:] * (1 - radius / 0.05)
    assert (x[2:] * turned).sum() < 0


def test_what_explains_again_is_what_is_differentiated_and_attacked():
    """Not the Explanation's own recipe, where a function is given in its place."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    net, x = net.double(), torch.randn(4, 3).double()
    e = dataclasses.replace(xai.explain(net, x, "gradient"), values=3 * x.numpy())
    three = lambda model, rows, target: 3 * np.asarray(rows)  # noqa: E731
    given = {"radius": 0.1, "explain": three}
    bound = metrics.worst_case_bound(net, x, e, **given)
    assert_allclose(bound.values, 0.3)
    assert not bound.info["differentiated"].any()
    assert_allclose(metrics.distance_attack(net, x, e, **given).values, 0.3)
    e = xai.explain(net, x[:1], "gradient")
    same = lambda model, rows, target: np.repeat(e.values, len(rows), axis=0)  # noqa: E731
    assert metrics.worst_case_bound(net, x[:1], e).values > 0
    assert_array_equal(metrics.worst_case_bound(net, x[:1], e, explain=same).values, 0)
    assert_array_equal(metrics.distance_attack(net, x[:1], e, explain=same).values, 0)


@pytest.mark.parametrize("name", ["max_sensitivity", "local_lipschitz", "worst_case_bound",
                                  "distance_attack", "parameter_randomization"])  # fmt: skip
@pytest.mark.parametrize("method", ["shapley", "gradient"])
def test_modules_of_frames_are_explained_again_as_of_tensors(name, method):
    pandas, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    net, x = net.double(), np.random.default_rng(0).normal(size=(3, 4))
    scores = []
    for rows in (pandas.DataFrame(x, columns=list("abcd")), torch.as_tensor(x)):
        e = xai.explain(net, rows, method, **({"data": rows} if method == "shapley" else {}))
        scores.append(getattr(metrics, name)(net, rows, e).values)
    assert_allclose(*scores, rtol=1e-6)
    assert (scores[0] != 0).any()


def test_columns_that_cannot_move_leave_the_bound_as_it_is():
    """A rotation by 45°: at the corners of the square ‖Jδ‖ = √2 radius, of two columns' √d."""
    J = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    turned = lambda model, rows, target: np.c_[rows[:, :2] @ J, 0 * rows[:, 2:]]  # noqa: E731
    x = np.c_[np.random.default_rng(0).normal(size=(3, 2)), np.zeros((3, 6))]
    for rows, codes in ((x[:, :2], None), (x, range(2, 8))):
        score = metrics.worst_case_bound(
            lambda z: z.sum(axis=1), rows, turned(None, rows, None), explain=turned,
            norm="linf", radius=0.5, categorical=codes,
        )  # fmt: skip
        assert_allclose(score.values, 0.5 * np.sqrt(2))


@pytest.mark.parametrize("radius", [1e-3, 1e-7, 1e-12])
def test_the_cosine_bound_of_a_small_radius_is_half_the_square_of_the_angle(radius):
    own = lambda model, rows, target: rows  # noqa: E731
    x = np.array([[3.0, 4.0]])
    given = {"radius": radius, "distance": "cosine", "explain": own, "step": 1e-3}
    bound = metrics.worst_case_bound(lambda x: x.sum(axis=1), x, x, **given)
    assert_allclose(bound.values, (radius / 5) ** 2 / 2, rtol=1e-7)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("attack", ["distance_attack", "top_k_attack"])
def test_no_attack_moves_a_quadratics_attribution_beyond_the_bound(rows, norm, attack):
    """Both, whatever they are after; the bound is of the distance and of the cosine."""
    f = lambda x: 0.5 * ((x @ A) * x).sum(axis=1)  # noqa: E731
    a = rows @ A
    given = {"radius": 0.4, "norm": norm, "explain": quadratic_gradient}
    delta = getattr(metrics, attack)(f, rows, a, **given).info["delta"]
    assert np.abs(delta).max() > 0
    there = (rows + delta) @ A
    reached = np.linalg.norm(there - a, axis=1)
    assert (reached <= metrics.worst_case_bound(f, rows, a, **given).values * (1 + 1e-9)).all()
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(there, axis=1)
    cosine = metrics.worst_case_bound(f, rows, a, distance="cosine", **given).values
    assert (1 - (a * there).sum(axis=1) / lengths <= cosine + 1e-9).all()


STABLE = ("relative_input_stability", "relative_output_stability")


@pytest.mark.parametrize("name", STABLE)
def test_copies_of_another_class_are_left_out_and_their_share_is_said(name):
    """Near the border attributions jump by 100: copies beyond it neither count nor spoil a row."""
    asked = []

    def two(x):
        asked.append(np.array(x))
        return np.stack([x[:, 0], -x[:, 0]], axis=1)

    jumps = lambda model, x, target: np.where(x[:, :1] > 0, x, x + 100)  # noqa: E731
    x = np.array([[0.05, 1.0], [3.0, 1.0], [-0.05, 1.0]])
    a = jumps(None, x, None)
    given = {"radius": 0.2, "samples": 60, "explain": jumps}
    score = getattr(metrics, name)(two, x, a, **given)
    copies = asked[1].reshape(3, 60, 2)
    same = (copies[..., 0] > 0) == (x[:, :1] > 0)
    assert_allclose(score.info["kept"], same.mean(axis=1))
    assert 0.4 < score.info["kept"][0] < 0.9 and score.info["kept"][1] == 1
    moved = np.linalg.norm(copies - x[:, None], axis=2)
    change = moved / np.linalg.norm(a, axis=1)[:, None]
    if name == "relative_input_stability":
        by = moved / np.linalg.norm(x, axis=1)[:, None]
    else:
        by = np.abs(copies[..., 0] - x[:, :1]) / np.abs(x[:, :1])
    assert_allclose(score.values, np.where(same, change / by, 0).max(axis=1), rtol=1e-6)


def test_copies_that_leave_the_outputs_as_they_are_have_no_ratio():
    """A step at 1 which half the copies of the first row cross, and none of the others'."""
    step = lambda x: 1.0 + (np.asarray(x)[:, 0] > 1)  # noqa: E731
    own = lambda model, rows, target: rows  # noqa: E731
    x = np.array([[1.0, 3.0], [5.0, 3.0]])
    asked = []
    given = {"radius": 0.2, "samples": 40, "explain": own}
    score = metrics.relative_output_stability(lambda z: asked.append(z) or step(z), x, x, **given)
    copies = np.array(asked[1]).reshape(2, 40, 2)[0]
    moved = np.linalg.norm(copies - x[0], axis=1) / np.linalg.norm(x[0])
    assert_allclose(score.values, [moved[copies[:, 0] > 1].max(), np.nan])


@pytest.mark.parametrize("name", STABLE)
def test_a_row_whose_every_copy_changes_class_has_no_stability(name):
    """A class for each row itself, and another for whatever is not exactly that row."""
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    there = lambda rows: (rows[:, None] == x).all(axis=2).any(axis=1)  # noqa: E731
    two = lambda rows: np.stack([there(rows), ~there(rows)], axis=1) * 1.0  # noqa: E731
    own = lambda model, rows, target: rows  # noqa: E731
    score = getattr(metrics, name)(two, x, x, explain=own)
    assert np.isnan(score.values).all() and "undefined (NaN) for 2" in repr(score)
    assert_array_equal(score.info["kept"], 0)


@pytest.mark.parametrize("name", [n for n in STILL if n != "worst_case_bound"])
def test_rows_are_moved_to_all_sides_within_the_radius(name):
    """Uniformly in ±radius, each column by its own: mean 0, variance radius²/3, no row as it is."""
    x, radius, asked = np.zeros((1, 3)) + 5, np.array([0.5, 1.0, 0.0]), []

    def explain(model, rows, target):
        asked.append(rows - x)
        return rows

    getattr(metrics, name)(lambda z: z.sum(axis=1), x, x, radius=radius, samples=2000,
                           explain=explain)  # fmt: skip
    moved = np.concatenate(asked)
    assert (np.abs(moved) <= radius + 1e-12).all() and len(np.unique(moved[:, 0])) == 2000
    assert_allclose(moved.mean(axis=0), 0, atol=0.03)
    assert_allclose(moved.var(axis=0), radius**2 / 3, rtol=0.05)


@pytest.mark.parametrize("name", ["max_sensitivity", "local_lipschitz", *STABLE,
                                  "shift_consistency", "distance_attack"])  # fmt: skip
def test_a_model_that_gives_nan_for_a_copy_is_told_with_the_copys_row(name):
    """Not with the copy's own number, whoever asks: the recipe, or the metric for the class."""
    x = np.array([[1.0, 2.0], [3.0, 4.0], [50.0, 60.0], [5.0, 6.0]])

    def holes(rows):
        rows = np.asarray(rows)
        away = (rows[:, 0] > 30) & (rows[:, 1] > 30) & ~(rows == x[2]).all(axis=1)
        out = np.stack([rows.sum(axis=1), rows.prod(axis=1)], axis=1)
        return np.where(away[:, None], np.nan, out)

    metric = getattr(metrics, name)
    given = {"among": x[2:3] + 1} if name == "shift_consistency" else {}
    e = xai.explain(holes, x, "shapley", removal=xai.removal.Baseline(0.0))
    with pytest.raises(ValueError, match=r"row 2 \(0-based\) of x"):
        metric(holes, x, e, **given)
    if name in (*STABLE, "distance_attack"):
        own = lambda model, rows, target: rows  # noqa: E731
        with pytest.raises(ValueError, match=r"row 2 \(0-based\) of x"):
            metric(holes, x, x, explain=own)


def test_a_neighbour_for_which_the_model_gives_nan_is_told_as_a_neighbour(rows):
    holes = lambda x: np.where(np.abs(x) > 40, np.nan, x)[:, :2]  # noqa: E731
    among = np.concatenate([rows, rows + 50])
    with pytest.raises(ValueError, match=r"row 4, 5, 6, 7 \(0-based\) of among"):
        metrics.max_sensitivity(holes, rows, rows, among=among, explain=times_input)
