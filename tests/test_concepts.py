"""Concepts: closed forms, exact gradients, and planted ones that are found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import nnls

import xai
from xai.behavior import Concept
from xai.concepts import ConceptBank, coefficients, fit, load
from xai.concepts.factors import factorise
from xai.players import Channels, Concepts
from xai.removal import Baseline
from xai.summary import Sobol

torch = pytest.importorskip("torch")
nn = torch.nn

R, C, SIDE = 4, 6, 4


class Painted(nn.Module):
    """Images that are activations: a layer that passes them on, then a head of their mean."""

    def __init__(self, head, positive=True):
        super().__init__()
        self.seen = nn.ReLU() if positive else nn.Identity()
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), head

    def forward(self, x):
        return self.head(self.pool(self.seen(x)).flatten(1))


def linear_head(weights):
    head = nn.Linear(weights.shape[1], len(weights)).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor(weights))
        head.bias.fill_(0.3)
    return head


def directions(r=R, channels=C, seed=0):
    """Concepts with a channel of their own each: factorising them is unique."""
    rng = np.random.default_rng(seed)
    W = np.concatenate([np.eye(r), rng.random((r, channels - r)) * 0.5], axis=1)
    return W / np.linalg.norm(W, axis=1, keepdims=True)


def painted(W, n=30, side=SIDE, seed=0):
    """Images (n, C, side, side) whose pixels are sums of few concepts, and the amounts."""
    rng = np.random.default_rng(seed)
    U = rng.random((n, side, side, len(W))) * (rng.random((n, side, side, len(W))) < 0.4)
    return torch.tensor(np.moveaxis(U @ W, -1, 1)), U


def bank_of(net, W, images):
    """A bank with these very concepts."""
    boxes = np.zeros((len(W), 5), int)
    return ConceptBank(
        W, np.zeros(W.shape[1]), np.eye(len(W)), boxes, "seen", "nmf", 0.0, None,
        tuple(images.shape[1:]), 0, images=images.numpy(), model=net,
    )  # fmt: skip


@pytest.fixture(scope="module")
def problem():
    W = directions()
    images, U = painted(W)
    weights = np.random.default_rng(1).normal(size=(3, C))
    net = Painted(linear_head(weights))
    return W, images, U, weights, net, bank_of(net, W, images)


# ---------------------------------------------------------------------------- coefficients


@pytest.mark.parametrize(("r", "channels"), [(1, 3), (5, 12), (12, 12), (25, 60)])
def test_coefficients_are_scipys_row_by_row(r, channels):
    rng = np.random.default_rng(r)
    W = rng.random((r, channels)) * (rng.random((r, channels)) < 0.6) + 0.01
    A = rng.normal(size=(60, channels)) + 0.3
    A[0] = 0
    expected = np.stack([nnls(W.T, a)[0] for a in A])
    np.testing.assert_allclose(coefficients(A, W), expected, atol=1e-6)


def test_concepts_that_depend_on_one_another_still_give_a_least_residual():
    rng = np.random.default_rng(0)
    W = rng.random((7, 4))
    W[3] = W[0] + W[1]
    W[4] = W[0]
    A = rng.random((40, 4))
    U = coefficients(A, W)
    assert (U >= 0).all()
    best = np.array([nnls(W.T, a)[1] for a in A])
    np.testing.assert_allclose(np.linalg.norm(A - U @ W, axis=1), best, atol=1e-7)


def test_an_exchange_without_an_end_is_finished_row_by_row(monkeypatch):
    """As where rounding decides: no exchange is left, and the same coefficients are found."""
    rng = np.random.default_rng(2)
    W, A = map(torch.tensor, (rng.random((6, 9)), rng.normal(size=(30, 9)) + 0.3))
    expected = coefficients(A, W)
    monkeypatch.setattr("xai.concepts.nnls.MOST_EXCHANGES", 1 - len(W))
    torch.testing.assert_close(coefficients(A, W), expected, rtol=0, atol=1e-8)


def test_a_concept_is_made_of_itself_alone(problem):
    W = problem[0]
    np.testing.assert_allclose(coefficients(W, W), np.eye(R), atol=1e-9)


@pytest.mark.parametrize("signed", [False, True])
def test_the_implicit_gradient_is_finite_differences(signed):
    rng = np.random.default_rng(3)
    W = torch.tensor(rng.random((5, 8)))
    A = torch.tensor(rng.normal(size=(20, 8)) + 0.4, requires_grad=True)
    U = coefficients(A, W, signed=signed)
    assert signed or ((U == 0).any() and (U > 0).any())
    assert torch.autograd.gradcheck(lambda a: coefficients(a, W, signed=signed), (A,))


# ------------------------------------------------------------------------------ the game


def test_a_background_is_of_images_where_coefficients_have_their_shape_too():
    """As many concepts as colours, in a layer of the images' size."""
    W = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]])
    images, _ = painted(W, n=8)
    net = Painted(linear_head(np.random.default_rng(1).normal(size=(2, 3))))
    players = Concepts(bank_of(net, W, images))
    e = xai.explain(net, images[:2], "occlusion", players=players, data=images[2:], target=0)
    with torch.no_grad():
        np.testing.assert_allclose(e.base_values, net(images[2:])[:, 0].mean())


def test_all_concepts_together_give_the_networks_output(problem):
    _, _, _, _, net, bank = problem
    noisy = torch.tensor(np.random.default_rng(5).random((4, C, SIDE, SIDE)))
    e = xai.explain(net, noisy, "shapley", players=Concepts(bank), removal=Baseline(0))
    np.testing.assert_allclose(e.predictions, net(noisy).detach().numpy().max(1), atol=1e-12)
    np.testing.assert_allclose(e.values.sum(1) + e.base_values, e.predictions, atol=1e-12)
    assert (e.info["reconstruction_error"] > 0.05).all()
    u = np.moveaxis(bank.transform(noisy), -1, 1)
    bare = net(torch.tensor(np.einsum("nrhw,rc->nchw", u, bank.basis))).detach().numpy()
    told = e.info["without_remainder"]
    np.testing.assert_allclose(told, bare[np.arange(4), e.target], atol=1e-12)


def test_what_the_concepts_leave_over_stays_in_every_coalition(problem):
    W, _, _, weights, net, bank = problem
    noisy = torch.tensor(np.random.default_rng(5).random((4, C, SIDE, SIDE)))
    u = bank.transform(noisy).mean(axis=(1, 2))
    left = noisy.numpy().mean(axis=(2, 3)) - u @ W
    assert np.abs(left @ weights[1]).min() > 0.01
    for method in ("shapley", "occlusion"):
        e = xai.explain(net, noisy, method, players=Concepts(bank), removal=Baseline(0), target=1)
        np.testing.assert_allclose(e.base_values, left @ weights[1] + 0.3, atol=1e-9)
        np.testing.assert_allclose(e.values, u * (W @ weights[1]), atol=1e-9)


def test_what_is_made_of_concepts_leaves_nothing_over(problem):
    _, images, U, _, net, bank = problem
    np.testing.assert_allclose(bank.transform(images), U, atol=1e-9)
    e = xai.explain(net, images, "craft", bank=bank, target=1)
    np.testing.assert_allclose(e.info["reconstruction_error"], 0, atol=1e-9)
    np.testing.assert_allclose(e.info["without_remainder"], e.predictions, atol=1e-9)


def test_a_linear_heads_values_are_in_closed_form(problem):
    W, images, U, weights, net, bank = problem
    parts = U.mean(axis=(1, 2)) * (W @ weights[2])  # what each concept adds to output 2
    shapley = xai.explain(
        net, images, "shapley", players=Concepts(bank), removal=Baseline(0), target=2
    )
    np.testing.assert_allclose(shapley.values, parts, atol=1e-9)
    alone = xai.explain(
        net, images, "occlusion", players=Concepts(bank), removal=Baseline(0), target=2
    )
    np.testing.assert_allclose(alone.values, parts, atol=1e-9)
    shares = parts**2 / (parts**2).sum(axis=1, keepdims=True)  # variances of m_i parts_i
    sobol = xai.explain(net, images, "craft", bank=bank, target=2, designs=512)
    assert (np.abs(sobol.values - shares) < 5 * sobol.std_error + 1e-3).all()
    found = bank.importance(images, target=2, designs=512)
    assert (np.abs(found.values - shares.mean(axis=0)) < 3 * found.std_error).all()


@pytest.mark.parametrize("r", [10, 20])
def test_symmetric_concepts_are_equal_at_every_index(r):
    """The reference's unscrambled Halton designs give the first concepts eight times the last."""
    W = np.eye(r)
    images = torch.ones(1, r, 2, 2).double()
    net = Painted(linear_head(np.ones((1, r))))
    bank = bank_of(net, W, images)
    runs = [xai.explain(net, images, "craft", bank=bank, seed=seed) for seed in range(30)]
    values = np.stack([e.values[0] for e in runs])
    spread = values.std(axis=0, ddof=1) / np.sqrt(len(runs))
    assert (np.abs(values.mean(axis=0) - 1 / r) < 4 * spread + 0.03 / r).all()
    sums = values.sum(axis=1)
    assert abs(sums.mean() - 1) < 4 * sums.std(ddof=1) / np.sqrt(len(sums)) + 0.03
    z = (values - 1 / r) / np.stack([e.std_error[0] for e in runs])
    assert 0.5 < z.std() < 2


def test_permuting_concepts_permutes_their_importance(problem):
    _, images, _, _, _, bank = problem
    order = np.array([2, 0, 3, 1])
    other = replace(bank, basis=bank.basis[order], coefficients=bank.coefficients[:, order])
    one = bank.importance(images, target=0, designs=256)
    two = other.importance(images, target=0, designs=256)
    error = np.hypot(one.std_error[order], two.std_error)
    assert (np.abs(two.values - one.values[order]) < 4 * error + 1e-3).all()


def test_twenty_concepts_turned_round_are_as_important_as_before():
    """The reference's unscrambled Halton designs favour the first, whichever these are."""
    images = torch.ones(1, 20, 2, 2).double()
    net = Painted(linear_head(np.linspace(1, 2, 20)[None]))
    W = np.eye(20)
    one, two = (
        bank_of(net, basis, images).importance(images, designs=32) for basis in (W, W[::-1])
    )
    error = np.hypot(one.std_error[::-1], two.std_error)
    assert (np.abs(two.values - one.values[::-1]) < 4 * error + 1e-3).all()


def test_concepts_that_do_nothing_get_exactly_0():
    W = np.eye(5)
    weights = np.array([[1.0, -2.0, 0.0, 3.0, 1.0]])  # concept 2 is ignored
    images, _ = painted(W, seed=4)
    images[:, 4] = 0  # and concept 4 is not there
    net = Painted(linear_head(weights))
    bank = bank_of(net, W, images)
    values = bank.importance(images).values
    assert values[2] == values[4] == 0 and (values[[0, 1, 3]] > 0).all()


@pytest.mark.parametrize("method", ["sobol", "shapley", "occlusion", "banzhaf", "kernel_shap"])
def test_any_summary_works_on_concepts(problem, method):
    _, images, _, _, net, bank = problem
    e = xai.explain(net, images[:2], method, players=Concepts(bank), removal=Baseline(0))
    assert e.values.shape == (2, R) and np.isfinite(e.values).all()
    assert e.feature_names == bank.names and e.layer == "seen"


def test_importance_takes_any_summary(problem):
    _, images, _, _, _, bank = problem
    exact = bank.importance(images, target=0, summary="shapley")
    assert exact.std_error is None
    np.testing.assert_allclose(exact.values, exact.explanation.values.mean(axis=0))
    assert exact.gap < 1e-9
    assert list(exact.order) == list(np.argsort(-exact.values))
    shares = bank.importance(images, target=0)
    np.testing.assert_allclose(shares.effect, exact.values, atol=1e-9)  # a linear head
    with pytest.raises(ValueError, match="one target"):
        bank.importance(images, target="all")


def test_importance_is_printed_from_what_speaks_for_the_class_to_what_speaks_against(problem):
    _, images, _, _, _, bank = problem
    shares = bank.importance(images[:4], target=0, designs=16)
    against = shares.effect < 0
    assert against.any() and not against.all()
    ranked = sorted(range(R), key=lambda i: shares.values[i] * (1 if against[i] else -1))
    lines = repr(shares).splitlines()[1:-1]
    assert [line.split(":")[0] for line in lines] == [f"  concept {i}" for i in ranked]
    assert [line.endswith("(against)") for line in lines] == list(against[ranked])
    assert all(" ± " in line for line in lines)
    np.testing.assert_allclose(shares.std_error, shares.explanation.std_error.mean(axis=0))
    signed = bank.importance(images[:4], target=0, summary="shapley")
    assert signed.values.min() < 0 and "(against)" not in repr(signed)  # nor "±": exact
    np.testing.assert_array_equal(signed.signed, signed.values)
    nothing = replace(signed, values=np.zeros(R), effect=np.zeros(R))
    assert list(nothing.order) == [*range(R)]


def test_importance_tells_what_is_left_over_and_how_images_differ(problem):
    W, _, _, weights, _, bank = problem
    noisy = torch.tensor(np.random.default_rng(5).random((4, C, SIDE, SIDE)))
    found = bank.importance(noisy, target=1, summary="shapley")
    u = bank.transform(noisy)
    a = np.moveaxis(noisy.numpy(), 1, -1)
    left = a - u @ W
    share = np.linalg.norm(left.reshape(4, -1), axis=1) / np.linalg.norm(a.reshape(4, -1), axis=1)
    assert found.reconstruction_error == pytest.approx(share.mean())
    assert found.gap == pytest.approx(np.abs(left.mean(axis=(1, 2)) @ weights[1]).mean())
    parts = u.mean(axis=(1, 2)) * (W @ weights[1])
    np.testing.assert_allclose(found.spread, parts.std(axis=0, ddof=1) / 2)
    assert np.isnan(bank.importance(noisy[:1], target=1, designs=8).spread).all()


def test_of_an_image_in_which_nothing_is_seen_nothing_is_left_over(problem):
    _, images, _, _, _, bank = problem
    found = bank.importance(0 * images[:1], target=0, summary="shapley")
    assert found.reconstruction_error == found.gap == 0 and not found.values.any()


def test_importance_is_for_the_banks_own_class(problem):
    _, images, _, _, _, bank = problem
    own = replace(bank, target=2).importance(images[:4], summary="shapley")
    given = bank.importance(images[:4], target=2, summary="shapley")
    np.testing.assert_array_equal(own.values, given.values)
    assert replace(bank, seed=5).importance(images[:1], target=0, designs=8).explanation.seed == 5
    predicted = bank.importance(images[:4], summary="shapley")
    assert (own.explanation.target == 2).all() and (predicted.explanation.target != 2).any()


def test_the_map_is_where_the_concepts_are(problem):
    _, images, U, _, net, bank = problem
    e = xai.explain(net, images[:3], "craft", bank=bank, target=0)
    np.testing.assert_allclose(np.moveaxis(e.activations, 1, -1), U[:3], atol=1e-9)
    small = np.einsum("nr,nhwr->nhw", e.values, U[:3])
    np.testing.assert_allclose(e.map()[:, 0], small, atol=1e-9)  # as large as the images


# ------------------------------------------------------------------------ explaining a concept


def convolutions():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(5, 8, 3, stride=2),
        nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    return net.double()


@pytest.fixture(scope="module")
def textured():
    data = xai.datasets.textures(24, size=16, cells=2)
    images = torch.tensor(data.data)
    net = convolutions()
    return net, images, fit(net, images, layer="3", n_concepts=3, crop=8, stride=8)


def test_the_gradient_of_a_concept_is_finite_differences(textured):
    net, images, bank = textured
    x = images[:2]
    e = xai.explain(net, x, "gradient", behavior=Concept(bank, 1), players="elements")
    np.testing.assert_allclose(
        e.predictions, bank.transform(x)[..., 1].mean(axis=(1, 2)), atol=1e-12
    )
    for place in [(0, 3, 4), (0, 8, 8), (0, 12, 5)]:
        ends = []
        for step in (1e-6, -1e-6):
            moved = x.clone()
            moved[(slice(None), *place)] += step
            ends.append(bank.transform(moved)[..., 1].mean(axis=(1, 2)))
        slope = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(e.values[(slice(None), *place)], slope, atol=1e-7)


@pytest.mark.parametrize(
    "method", ["integrated_gradients", "smoothgrad", "occlusion", "gradient_x_input"]
)
def test_any_method_explains_a_concept(textured, method):
    net, images, bank = textured
    options = {"removal": Baseline(0)} if method == "occlusion" else {}
    e = xai.explain(net, images[:2], method, behavior=Concept(bank, 0), budget=400, **options)
    assert e.values.shape == (2, 16, 16) and np.abs(e.values).max() > 0
    if method == "integrated_gradients":
        gap = e.values.sum(axis=(1, 2)) - (e.predictions - e.base_values)
        assert (np.abs(gap) < 0.01 * np.abs(e.predictions)).all()


@pytest.mark.parametrize("layer", ["1", "3"])
def test_class_activation_maps_of_a_concept(textured, layer):
    net, images, bank = textured
    e = xai.explain(net, images[:2], "gradcam", layer=layer, behavior=Concept(bank, 0))
    trunk = net[: int(layer) + 1]
    acts = trunk(images[:2]).detach().requires_grad_()
    rest = net[int(layer) + 1 : 4](acts.clone())
    u = coefficients(rest.movedim(1, -1).reshape(-1, 8), torch.tensor(bank.basis))
    (g,) = torch.autograd.grad(u[:, 0].sum() / (len(u) / 2), acts)
    np.testing.assert_allclose(e.values, g.mean((2, 3)), atol=1e-12)


def test_nothing_behind_the_layer_runs_for_a_concept(textured):
    _, images, bank = textured
    net = convolutions()
    counts = []
    net[6].register_forward_hook(lambda *_: counts.append(1))
    e = xai.explain(
        net, images[:2], "occlusion", behavior=Concept(bank, 0), players=xai.players.Patches(8),
        removal=Baseline(0),
    )  # fmt: skip
    assert len(counts) <= 1 < e.evaluations  # one pass finds out how often the layer runs


@pytest.mark.parametrize("method", ["deeplift", "lrp", "guided_backprop", "deconvnet"])
def test_what_goes_through_whole_networks_does_not_explain_a_concept(textured, method):
    net, images, bank = textured
    with pytest.raises(TypeError, match="not part of one"):
        xai.explain(net, images[:2], method, behavior=Concept(bank, 0))


@pytest.mark.parametrize("bank", ["bank.npz", xai.concepts.ConceptBank, 3], ids=repr)
def test_what_is_no_bank_is_refused(textured, bank):
    net, images, _ = textured
    for asked in ({"method": "craft", "bank": bank}, {"behavior": Concept(bank, 0)}):
        with pytest.raises(TypeError, match=r"expected a ConceptBank, as xai\.concepts\.fit"):
            xai.explain(net, images[:2], **asked)


# ------------------------------------------------------------------------------- the bank


def test_factorisable_activations_are_factorised(problem):
    W, images, _, _, net, _ = problem
    bank = fit(net, images, layer="seen", n_concepts=R, crop=1, stride=1)
    assert bank.factors == "nmf" and bank.error < 0.02
    likeness = bank.basis @ W.T
    np.testing.assert_array_equal(np.sort(likeness.argmax(axis=1)), np.arange(R))
    assert likeness.max(axis=1).min() > 0.98


def test_a_fit_repeats_and_knows_no_batches(textured):
    net, images, bank = textured
    for batch_size in (1, 7, 100):
        again = fit(
            net, images, layer=net[3], n_concepts=3, crop=8, stride=8, batch_size=batch_size
        )
        np.testing.assert_allclose(again.basis, bank.basis, atol=1e-9)
        np.testing.assert_allclose(again.coefficients, bank.coefficients, atol=1e-9)
    np.testing.assert_allclose(
        bank.transform(images, batch_size=1), bank.transform(images), atol=1e-9
    )


def test_crops_cover_each_image_alike(textured):
    net, images, bank = textured
    assert bank.boxes.tolist()[:5] == [
        [0, 0, 0, 8, 8], [0, 0, 8, 8, 8], [0, 8, 0, 8, 8], [0, 8, 8, 8, 8], [1, 0, 0, 8, 8],
    ]  # fmt: skip
    whole = fit(net, images, layer="3", n_concepts=2, crop="patches")
    assert whole.boxes[0].tolist() == [0, 0, 0, 5, 5]  # 2/7 of 16
    assert whole.boxes[1, 2] == 4  # 4/5 of it
    first = bank.boxes[0]
    crop = nn.functional.interpolate(images[:1, :, :8, :8], (16, 16), mode="bilinear")
    a = net[:4](crop).mean((2, 3)).detach().numpy()
    np.testing.assert_allclose(coefficients(a, bank.basis)[0], bank.coefficients[0], atol=1e-9)
    assert first[0] == 0
    order = bank.best(1, 4)
    assert (np.diff(bank.coefficients[order, 1]) <= 0).all()
    assert bank.crops(1, 4)[0].shape == (1, 8, 8)


def test_crops_may_be_oblong(textured):
    net = textured[0]
    images = torch.tensor(np.random.default_rng(0).random((3, 1, 24, 16)))
    bank = fit(net, images, layer="3", n_concepts=2, crop=(10, 6))
    assert bank.boxes[2:4].tolist() == [[0, 0, 8, 10, 6], [0, 4, 0, 10, 6]]
    image, top, left = bank.boxes[bank.best(1, 1)[0], :3]  # 4/5 of the shorter side apart
    crop = images[image, :, top : top + 10, left : left + 6]
    np.testing.assert_array_equal(bank.crops(1, 1)[0], crop)
    patches = fit(net, images, layer="3", n_concepts=2, crop="patches")
    assert patches.boxes[0].tolist() == [0, 0, 0, 5, 5]  # 2/7 of 16
    lines = fit(net, images, layer="3", n_concepts=2, crop=(1, 16))  # a pixel apart at least
    assert lines.boxes[:2].tolist() == [[0, 0, 0, 1, 16], [0, 1, 0, 1, 16]]
    with pytest.raises(ValueError, match=r"at most \(24, 16\)"):
        fit(net, images, layer="3", n_concepts=2, crop=(16, 24))


def test_what_makes_no_grid_of_places_is_averaged():
    class Three(nn.Module):
        """Three tokens of four channels."""

        def forward(self, x):
            return x.relu().reshape(len(x), 3, 4)

    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), Three(), nn.Flatten(), nn.Linear(12, 2))
    images = torch.tensor(np.random.default_rng(0).random((6, 1, 8, 8)))
    bank = fit(net.double(), images, layer="2", n_concepts=2, crop=8)
    a = net[:3](images).mean(1).detach().numpy()
    np.testing.assert_allclose(bank.coefficients, coefficients(a, bank.basis), atol=1e-9)


def test_by_default_places_are_taken_apart_as_importance_does(textured):
    """Crops enlarged are another kind of image than the ones whose output is explained."""
    net, images, _ = textured
    bank, same, crops = (
        fit(net, images, layer="3", n_concepts=3, **how)
        for how in ({}, {"crop": "places"}, {"crop": "patches"})
    )
    np.testing.assert_array_equal(bank.basis, same.basis)
    a = net[:4](images).detach().movedim(1, -1).reshape(-1, 8).numpy()
    np.testing.assert_allclose(bank.coefficients, coefficients(a, bank.basis), atol=1e-9)
    left = [b.importance(images, target=0, designs=8).reconstruction_error for b in (bank, crops)]
    assert left[0] < left[1]
    flat, patches = (
        fit(net, images, layer="5", n_concepts=2, **how) for how in ({}, {"crop": "patches"})
    )
    np.testing.assert_array_equal(flat.basis, patches.basis)  # a layer without places
    with pytest.raises(ValueError, match="no places"):
        fit(net, images, layer="5", n_concepts=2, crop="places")
    with pytest.raises(ValueError, match="stride=4"):
        fit(net, images, layer="3", n_concepts=2, stride=4)


def test_inputs_and_network_are_left_as_they_were(textured):
    _, images, _ = textured
    net = convolutions().train()
    flags = [p.requires_grad for p in net.parameters()]
    before = images.clone()
    bank = fit(net, images, layer="3", n_concepts=3, crop=8)
    bank.importance(images[:4], target=0, designs=8)
    xai.explain(net, images[:2], "gradient", behavior=Concept(bank, 0))
    assert torch.equal(images, before) and net.training
    assert not (bank.basis.flags.writeable or bank.coefficients.flags.writeable)
    assert not (bank.images.flags.writeable or np.shares_memory(bank.images, images.numpy()))
    assert [p.requires_grad for p in net.parameters()] == flags
    assert all(not part._forward_hooks for part in net.modules())
    assert all("forward" not in vars(part) for part in net.modules())


@pytest.mark.parametrize("layer", ["1", "2"])  # before what writes on it, and that itself
def test_layers_that_write_on_their_input_change_nothing(layer):
    def net(inplace):
        torch.manual_seed(0)
        parts = [nn.ReLU(inplace), nn.Conv2d(1, 4, 3), nn.ReLU(inplace), nn.Flatten()]
        return nn.Sequential(*parts, nn.Linear(4 * 36, 3)).double()

    images = torch.tensor(np.random.default_rng(0).normal(size=(6, 1, 8, 8)))
    kept, found = images.clone(), []
    for own in (net(True), net(False)):
        bank = fit(own, images, layer=layer, n_concepts=2, factors="pca")
        behind = {"players": Channels(layer), "removal": Baseline(0)}
        found.append([
            bank.coefficients, bank.transform(images),
            xai.explain(own, images, "gradient", behavior=Concept(bank, 1)).values,
            xai.explain(own, images, "gradcam", layer=layer).values,
            xai.explain(own, images, "occlusion", **behind).values,
            xai.explain(own, images, "shapley", players=Concepts(bank), removal=Baseline(0)).values,
        ])  # fmt: skip
    for within, apart in zip(*found, strict=True):
        np.testing.assert_array_equal(within, apart)
    assert torch.equal(images, kept)


class Pickled:
    """What a pickle could run when it is read."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was read",)


def test_a_bank_comes_back_from_its_file(textured, tmp_path):
    net, images, bank = textured
    bank.save(tmp_path / "bank.npz")
    loaded = load(tmp_path / "bank.npz", model=net)
    for name in ("basis", "offset", "coefficients", "boxes", "images"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(bank, name))
    assert repr(loaded) == repr(bank) and loaded.input_shape == (1, 16, 16)
    assert not (loaded.basis.flags.writeable or loaded.images.flags.writeable)
    np.testing.assert_array_equal(loaded.transform(images), bank.transform(images))
    bank.save(tmp_path / "small", images=False)
    small = load(tmp_path / "small")
    with pytest.raises(ValueError, match="model="):
        small.transform(images)
    with pytest.raises(ValueError, match="images="):
        small.crops(0)
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    np.save(tmp_path / "array.npy", np.ones(2))
    np.savez(tmp_path / "pickled.npz", concepts=np.array(Pickled(), dtype=object))
    for name in ("other.npz", "pickled.npz", "array.npy"):
        with pytest.raises(ValueError, match="no concept bank"):
            load(tmp_path / name)


@pytest.mark.parametrize("factors", ["semi_nmf", "kmeans", "pca", "nmf"])
def test_every_factorisation_keeps_the_networks_output(textured, factors):
    net, images, _ = textured
    bank = fit(net, images, layer="3", n_concepts=3, crop=8, factors=factors)
    e = xai.explain(net, images[:3], "shapley", players=Concepts(bank), removal=Baseline(0))
    np.testing.assert_allclose(e.values.sum(1) + e.base_values, e.predictions, atol=1e-12)
    assert (bank.coefficients >= 0).all() == (factors != "pca")
    np.testing.assert_allclose(np.linalg.norm(bank.basis, axis=1), 1)


@pytest.mark.parametrize("factors", ["nmf", "semi_nmf", "kmeans", "pca"])
def test_what_a_bank_holds_of_its_places_is_what_it_finds_there_again(textured, factors):
    net, images, _ = textured
    bank = fit(net, images[:6], layer="3", n_concepts=3, factors=factors)
    found = bank.transform(batch_size=4).reshape(-1, 3)
    np.testing.assert_allclose(found, bank.coefficients, atol=1e-9)
    u, a = bank.coefficients, net[:4](images[:6]).detach().movedim(1, -1).reshape(-1, 8).numpy()
    left = np.linalg.norm(a - bank.offset - u @ bank.basis) / np.linalg.norm(a)
    assert bank.error == pytest.approx(left)
    for i in range(3):  # most first, ties as they come
        assert bank.best(i, 20).tolist() == sorted(range(len(u)), key=lambda j: -u[j, i])[:20]


@pytest.mark.parametrize(
    ("factors", "most"), [("nmf", 6), ("semi_nmf", 6), ("kmeans", 6), ("pca", 3)]
)
def test_there_may_be_more_concepts_than_channels_but_in_pca(factors, most):
    A = np.random.default_rng(0).random((6, 3))
    W, offset, _, _ = factorise(A, most, factors, 0)
    assert W.shape == (most, 3) and offset.shape == (3,)
    for r in (0, most + 1):
        with pytest.raises(ValueError, match=f"expected 1 to {most} for 6 crops"):
            factorise(A, r, factors, 0)


def test_of_activations_that_are_0_concepts_are_0():
    W, _, _, converged = factorise(np.zeros((6, 3)), 2, "nmf", 0)
    assert converged and not W.any()


def test_semi_nmf_ends_where_neither_factor_can_do_better():
    A = np.random.default_rng(0).normal(size=(20, 4))
    W, _, _, converged = factorise(A, 3, "semi_nmf", 0)

    def left(W):
        U = coefficients(A, W)
        return U, np.linalg.norm(A - U @ W)

    U, error = left(W)
    better = np.linalg.lstsq(U, A, rcond=None)[0]
    assert converged and left(better)[1] == pytest.approx(error, rel=1e-4)
    assert error < 0.95 * left(factorise(A, 3, "kmeans", 0)[0])[1]


def test_negative_activations_are_said_aloud(textured):
    net, images, _ = textured
    with pytest.warns(UserWarning, match="semi-NMF"):
        bank = fit(net, images, layer="2", n_concepts=3, crop=8)
    assert bank.factors == "semi_nmf" and (bank.coefficients >= 0).all()
    with pytest.raises(ValueError, match="ReLU"):
        fit(net, images, layer="2", n_concepts=3, crop=8, factors="nmf")


def test_refining_looks_at_the_crops_that_have_most(textured):
    _, images, bank = textured
    finer = replace(bank, target=2).refine(1, layer="1", n_concepts=2, percentile=80)
    assert finer.target == 2
    u = bank.coefficients[:, 1]
    np.testing.assert_array_equal(finer.boxes, bank.boxes[u > np.percentile(u, 80)])
    assert finer.layer == "1" and finer.basis.shape == (2, 5)
    assert finer.crops(0, 1)[0].shape == (1, 8, 8)
    assert finer.importance(images[:3], target=0, designs=8).values.shape == (2,)


def test_refining_needs_as_many_crops_as_concepts(textured):
    net, images, bank = textured
    with pytest.raises(ValueError, match="n_concepts=5: lower either"):
        bank.refine(1, layer="1", percentile=99)
    alone = fit(net, images[:1], layer="3", n_concepts=1, crop=16)
    with pytest.raises(ValueError, match="0 of 1 crops"):
        alone.refine(0, layer="1", n_concepts=1)
    for percentile in ("most", 100, -1):
        with pytest.raises(
            ValueError, match=f"percentile={percentile!r}: expected a number from 0"
        ):
            bank.refine(1, layer="1", percentile=percentile)
    for concept in (3, -1, 1.5):
        with pytest.raises(ValueError, match=f"concept {concept}: expected an index from 0 to 2"):
            bank.best(concept)
    with pytest.raises(ValueError, match="k=-1: expected an integer of at least 0"):
        bank.best(0, -1)  # were all crops but the last
    u = np.sort(bank.coefficients[:, 1])
    assert u[-3] < u[-2]
    two = bank.refine(1, layer="1", n_concepts=2, percentile=100 * (len(u) - 2.5) / (len(u) - 1))
    assert len(two.boxes) == 2


@pytest.mark.parametrize("crop", [8, "places"])
def test_nan_is_never_an_amount_of_a_concept(textured, crop):
    net, images, bank = textured
    bad = images.clone()
    bad[3, 0, 4, 4] = torch.nan
    with pytest.raises(ValueError, match="NaN or inf for image 3"):
        fit(net, bad, layer="3", n_concepts=2, crop=crop)
    with pytest.raises(ValueError, match="NaN or inf for image 3"):
        bank.transform(bad)
    with pytest.raises(ValueError, match="row 3"):
        xai.explain(net, bad, "gradient", behavior=Concept(bank, 0))
    A = np.array([[np.nan, 1], [1, 2], [np.inf, 0]])
    np.testing.assert_array_equal(coefficients(A, np.eye(2))[[0, 2]], np.nan)
    np.testing.assert_allclose(coefficients(A, np.eye(2))[1], [1, 2])


def test_coefficients_of_integers_are_not_cut_off():
    np.testing.assert_allclose(coefficients(np.array([[1, 2]]), 2 * np.eye(2)), [[0.5, 1]])
    with pytest.raises(ValueError, match="expected"):
        coefficients(np.ones((2, 3)), np.eye(2))


def test_a_network_in_half_precision_has_concepts(textured):
    _, images, _ = textured
    net = convolutions().bfloat16()
    bank = fit(net, images.bfloat16(), layer="3", n_concepts=3, crop=8)
    assert bank.images.dtype == np.float32 and bank.importance(target=0, designs=8).gap < 0.1


class Skips(nn.Module):
    """A residual net."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.relu, self.head = nn.ReLU(), nn.Linear(6, 3)

    def forward(self, x):
        h = self.relu(self.one(x))
        return self.head(self.relu(self.two(h) + h).mean((2, 3)))


class Tokens(nn.Module):
    """A vision transformer with a class token."""

    def __init__(self):
        super().__init__()
        self.patch, self.token = nn.Conv2d(1, 8, 4, stride=4), nn.Parameter(torch.randn(1, 1, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.last = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        t = self.patch(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.token.expand(len(t), -1, -1), t], 1)
        return self.head(self.last(self.block(t))[:, 0])


@pytest.mark.parametrize(("kind", "layer"), [(Skips, "two"), (Skips, "one"), (Tokens, "block")])
def test_residual_nets_and_transformers_need_no_surgery(textured, kind, layer):
    _, images, _ = textured
    torch.manual_seed(1)
    net = kind().double().eval()
    bank = fit(net, images, layer=layer, n_concepts=3, crop=8, factors="semi_nmf")
    e = xai.explain(net, images[:3], "shapley", players=Concepts(bank), removal=Baseline(0))
    np.testing.assert_allclose(e.values.sum(1) + e.base_values, e.predictions, atol=1e-10)
    alone = xai.explain(net, images[1:2], "shapley", players=Concepts(bank), removal=Baseline(0))
    np.testing.assert_allclose(alone.values[0], e.values[1], atol=1e-10)
    assert bank.transform(images[:3]).shape[:3] == ((3, 16, 16) if kind is Skips else (3, 4, 4))
    assert e.map().shape == (3, 1, 16, 16)
    seen = xai.explain(net, images[:2], "gradient", behavior=Concept(bank, 0))
    assert np.isfinite(seen.values).all() and np.abs(seen.values).max() > 0


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"layer": "conv"}, ValueError, "layer"),
        ({"n_concepts": 0}, ValueError, "n_concepts"),
        ({"n_concepts": 1000}, ValueError, "n_concepts"),
        ({"n_concepts": 3.0}, ValueError, r"n_concepts=3\.0"),
        ({"n_concepts": True}, ValueError, "n_concepts=True"),
        ({"batch_size": 0}, ValueError, "batch_size=0: expected an integer of at least 1"),
        ({"seed": None}, TypeError, "seed must be an int"),
        ({"target": "tabby"}, ValueError, "target='tabby'"),
        ({"crop": "place"}, ValueError, "crop='place'"),
        ({"crop": 5.5}, ValueError, r"crop=5\.5"),
        ({"crop": (5, 5, 5)}, ValueError, "height, width"),
        ({"stride": 2.5}, ValueError, r"stride=2\.5"),
        ({"crop": 17}, ValueError, "crop"),
        ({"stride": 0}, ValueError, "stride"),
        ({"factors": "ica"}, ValueError, "pca"),
    ],
)
def test_what_cannot_be_fitted_is_refused(textured, changes, error, says):
    net, images, _ = textured
    with pytest.raises(error, match=says):
        fit(net, images, **({"layer": "3", "n_concepts": 3, "crop": 8} | changes))


@pytest.mark.parametrize("layer", ["auto", "3"])
def test_concepts_of_a_network_of_several_outputs(textured, layer):
    class Several(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return {"logits": self.net(x), "mean": x.mean((1, 2, 3))}

    net, images, _ = textured
    several = xai.TorchModel(Several(net), output="logits")
    given = {"n_concepts": 3, "target": 0}
    bank = fit(several, images, layer=layer if layer == "auto" else f"net.{layer}", **given)
    alone = fit(net, images, layer=layer, **given)
    np.testing.assert_array_equal(bank.basis, alone.basis)
    values = [b.importance(images[:2], summary="shapley").values for b in (bank, alone)]
    np.testing.assert_allclose(*values, rtol=1e-12)


def test_what_is_no_network_or_no_bank_is_refused(textured):
    net, images, bank = textured
    with pytest.raises(TypeError, match="torch module"):
        fit(lambda x: x, images)
    with pytest.raises(ValueError, match="height, width"):
        fit(nn.Linear(3, 2), torch.ones(4, 3))
    with pytest.raises(ValueError, match=r"xai\.concepts\.fit"):
        xai.explain(net, images, "craft")
    with pytest.raises(ValueError, match="index"):
        xai.explain(net, images, "gradient", behavior=Concept(bank, 9))
    with pytest.raises(TypeError, match="torch module"):
        xai.explain(lambda x: x.mean((1, 2, 3)), images, "gradient", behavior=Concept(bank, 0))
    with pytest.raises(ValueError, match="another network"):
        xai.explain(Skips().double(), images, "craft", bank=bank_of_layer(bank, "two"))


def bank_of_layer(bank, layer):
    return replace(bank, layer=layer)


def test_activations_are_made_in_the_networks_own_memory_format(textured):
    """Else what follows the layer runs in the slower one, or every batch is laid out anew."""
    net, images, bank = textured
    values = []
    for channels_last in (False, True):
        seen = set()
        handle = net[4].register_forward_pre_hook(
            lambda _, given, seen=seen: seen.add(
                given[0].is_contiguous(memory_format=torch.channels_last)
            )
        )
        model = xai.TorchModel(net, channels_last=channels_last)
        values.append(xai.explain(model, images[:2], "craft", bank=bank, target=0).values)
        handle.remove()
        assert seen == {channels_last}
    np.testing.assert_allclose(*values, atol=1e-9)


class Counted(nn.Conv2d):
    """A convolution that counts the rows it is really run on."""

    rows = 0

    def forward(self, x):
        self.rows += len(x)
        return super().forward(x)


def test_neither_the_layer_nor_what_is_before_it_runs_for_each_batch(textured):
    _, images, bank = textured
    net = convolutions()
    for i in (0, 2):
        net[i].__class__ = Counted
    counts = []
    for layer, batch_size in (("2", 100), ("2", 2)):
        own = replace(bank, layer=layer, factors="semi_nmf", model=net)
        net[0].rows = net[2].rows = 0
        own.importance(images[:2], target=0, designs=64, batch_size=batch_size)
        counts.append((net[0].rows, net[2].rows))
    assert counts[0] == counts[1] and max(counts[0]) <= 4


@pytest.mark.parametrize("channels_last", [False, True])
def test_gradients_in_the_concepts_amounts_are_the_heads(problem, channels_last):
    """Activations are made in place, one row's remainder for each run of its masks."""
    W, images, U, weights, net, bank = problem
    model = xai.TorchModel(net, channels_last=channels_last)
    parts = U.mean(axis=(1, 2)) * (W @ weights[2])
    e = xai.explain(
        model, images[:3], "integrated_gradients", players=Concepts(bank), removal=Baseline(0),
        target=2, batch_size=7,
    )  # fmt: skip
    np.testing.assert_allclose(e.values, parts[:3], atol=1e-9)


def test_sobol_is_the_rows_summary():
    (row,) = [record for record in xai.methods() if record.name == "craft"]
    assert row.summary.startswith("Sobol") and "Fel" in row.paper
    assert isinstance(Channels("x"), xai.players.Players) and Sobol().scrambles == 4


def test_read_only_images_are_as_good_as_any(textured):
    net, images, bank = textured
    locked = images.numpy().copy()
    locked.setflags(write=False)
    again = fit(net, locked, layer="3", n_concepts=3, crop=8, stride=8)
    np.testing.assert_array_equal(again.basis, bank.basis)
    assert again.importance(locked[:2], target=0, designs=8).values.shape == (3,)


@pytest.mark.parametrize("name", ["max_sensitivity", "random_logit", "parameter_randomization"])
def test_metrics_that_explain_again_keep_the_bank(problem, name):
    _, images, _, _, net, bank = problem
    given = {"players": Concepts(bank), "removal": Baseline(0), "method": "shapley"}
    e = xai.explain(net, images[:3], target=0, **given)

    def explain(model, x, target):
        return xai.explain(model, x, target=target, **given)

    metric = getattr(xai.metrics, name)
    own, told = metric(net, images[:3], e), metric(net, images[:3], e, explain=explain)
    np.testing.assert_allclose(own.values, told.values, rtol=1e-9)
    assert np.isfinite(own.values).all()


# ------------------------------------------------------------------------- series and volumes


def as_images(kind):
    """A network of series, or of volumes, and the same one of images with an axis of one place."""
    torch.manual_seed(0)
    shape = {"series": (3, 40), "volumes": (3, 1, 8, 10)}[kind]
    conv = nn.Conv1d if kind == "series" else nn.Conv3d
    k = 5 if kind == "series" else (1, 3, 3)
    own = nn.Sequential(
        conv(3, 6, k), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36 if kind == "series" else 6 * 48, 2)
    ).double()
    image = nn.Sequential(
        nn.Conv2d(3, 6, (1, 5) if kind == "series" else 3), nn.ReLU(), nn.Flatten(), own[3]
    ).double()
    image[0].weight.data = own[0].weight.data.reshape(image[0].weight.shape)
    image[0].bias = own[0].bias
    x = torch.tensor(np.random.default_rng(0).normal(size=(12, *shape)))
    return own, x, image, x.unsqueeze(2) if kind == "series" else x.squeeze(2)


@pytest.mark.parametrize("kind", ["series", "volumes"])
@pytest.mark.parametrize("crop", ["auto", "patches"])
def test_concepts_of_series_and_volumes_are_those_of_the_same_images(kind, crop):
    """A series is an image of one line, an image a volume of one slice."""
    own, x, image, pictures = as_images(kind)
    size = crop if crop == "auto" else (20,) if kind == "series" else (1, 5, 6)
    flat = crop if crop == "auto" else (1, 20) if kind == "series" else (5, 6)
    step = {} if crop == "auto" else {"stride": 3}
    one = fit(own, x, layer="auto", n_concepts=3, crop=size, **step)
    two = fit(image, pictures, layer="1", n_concepts=3, crop=flat, **step)
    assert one.layer == "1"
    np.testing.assert_allclose(one.basis, two.basis, atol=1e-6)
    np.testing.assert_allclose(one.coefficients, two.coefficients, atol=1e-6)
    if step:  # places show 2/7 of the shorter side
        for a, b in zip(one.crops(0, 3), two.crops(0, 3), strict=True):
            np.testing.assert_array_equal(a.squeeze(), b.squeeze())
    ours = xai.explain(own, x[:2], "craft", players=Concepts(one), target=0)
    theirs = xai.explain(image, pictures[:2], "craft", players=Concepts(two), target=0)
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-6)
    np.testing.assert_allclose(ours.map().squeeze(), theirs.map().squeeze(), atol=1e-6)
    assert ours.map().shape == (2, *x.shape[1:])
    with pytest.raises(ValueError, match=r"a sheet is of images"):
        one.plot()
