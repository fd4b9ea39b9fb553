"""Extremal and meaningful perturbations, and minimal subsets: closed forms and invariants."""

from __future__ import annotations

import numpy as np
import pytest

import xai
from xai.removal import Baseline
from xai.summary import ExtremalSubset, MinimalSubset, PenalizedSubset

torch = pytest.importorskip("torch")

from xai.kernels.surfaces import Interpolated, MaxConvolution, Plain  # noqa: E402 — needs torch
from xai.summary.extremal import closest  # noqa: E402
from xai.summary.learned import Adam, Momentum  # noqa: E402
from xai.summary.penalized import roughness  # noqa: E402

FADE = Baseline(0.0)
VARIANTS = ["preserve", "delete", "dual"]


class Linear(torch.nn.Module):
    """f(x) = Σ w x + bias, in double precision; keeps what it is given."""

    def __init__(self, weights, bias=0.0):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.as_tensor(weights, dtype=torch.float64))
        self.bias, self.seen = bias, []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return torch.tensordot(x, self.weights, dims=x.ndim - 1) + self.bias


def square(side=24, at=(6, 10), size=8, channels=2):
    """Weights (H, W) of 1 on a square of pixels, and of nothing elsewhere."""
    w = np.zeros((channels, side, side, 1))
    w[:, at[0] : at[0] + size, at[1] : at[1] + size] = 1.0
    return w


def curved(seed=0, inside=2):
    """A small network that is not linear, of four outputs."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(inside, 6, 3), torch.nn.ReLU(inplace=True),
        torch.nn.Conv2d(6, 6, 3, stride=2), torch.nn.BatchNorm2d(6), torch.nn.Tanh(),
        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(24, 4),
    ).double()  # fmt: skip


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(4)
    return torch.tensor(0.5 + rng.random((3, 2, 12, 14)))


def extremal(model, x, removal=FADE, behavior=None, **keywords):
    options = {"mirror": False, "target": 0} | keywords
    return xai.explain(
        model, x, "extremal_perturbation", removal=removal, behavior=behavior, **options
    )


def test_iterations_send_no_masks_to_the_host(monkeypatch):
    """Nor choose masks by a boolean index, whose length a device must be waited for."""
    from torch.utils._python_dispatch import TorchDispatchMode

    waits = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function is torch.ops.aten.index.Tensor:
                waits.extend(a for a in args[1] if a is not None and a.dtype == torch.bool)
            return function(*args, **(kwargs or {}))

    real = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: (waits.append(self), real(self))[1])
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 2))
    x, counts = torch.rand(3, 1, 6, 6), []
    for iterations in (2, 19):
        waits.clear()
        with Watching():
            extremal(net, x, xai.removal.BlurPyramid(), area=(0.2, 0.5), iterations=iterations)
        counts.append(len(waits))
    assert counts[0] == counts[1] > 0


# -------------------------------------------------------------------------------------- surfaces


@pytest.mark.parametrize("shape", [(12, 12), (31, 17), (8, 40), (5, 1)])
@pytest.mark.parametrize(("step", "sigma"), [(3.0, 3.0), (7.0, 21.0), (1.0, 1.5), (2.5, 6.0)])
@pytest.mark.parametrize("level", [1.0, 0.4])
def test_equal_parameters_give_an_equal_mask_up_to_every_border(shape, step, sigma, level):
    """Ones give ones: where a grid ends before the image does, the far corner fell to 0.68."""
    like = torch.zeros((), dtype=torch.float64)
    for surface in (
        MaxConvolution.of(shape, step, sigma, like),
        Interpolated.of(shape, step, like),
    ):
        p = torch.full((1, int(np.prod(surface.grid))), level, dtype=torch.float64)
        mask = surface.masks(p).numpy()
        assert mask.shape == (1, shape[0] * shape[1])
        np.testing.assert_allclose(mask, mask[0, 0], rtol=1e-12)
        if level == 1:
            np.testing.assert_allclose(mask, 1, rtol=1e-12)


def test_max_convolution_as_the_paper_has_it():
    """M(u) = smax_i k(|u − s·i| / σ) p_i at the grid's points, here away from the border."""
    step, sigma, side = 2.0, 5.0, 29
    surface = MaxConvolution.of((side, side), step, sigma, torch.zeros((), dtype=torch.float64))
    p = np.random.default_rng(0).random(surface.grid)
    mask = surface.masks(torch.tensor(p).reshape(1, -1)).reshape(side, side).numpy()
    reach = 1 + int(np.ceil(sigma / step))

    def smax(v):
        return (v * np.exp(20 * v)).sum() / np.exp(20 * v).sum()

    for i, j in [(5, 7), (7, 7), (9, 6)]:
        k = np.array([
            [np.exp(-2 * max(0, step * np.hypot(a, b) / sigma - 0.5) ** 2)
             for b in range(-reach, reach + 1)] for a in range(-reach, reach + 1)
        ])  # fmt: skip
        near = p[i - reach : i + reach + 1, j - reach : j + reach + 1]
        assert mask[2 * i, 2 * j] == pytest.approx(smax(k * near) / smax(k), rel=1e-12)


def test_between_grid_points_masks_are_linear():
    surface = Interpolated.of((9, 5), 4.0, torch.zeros((), dtype=torch.float64))
    assert surface.grid == (3, 2)
    ramp = np.add.outer(np.arange(3.0), 10 * np.arange(2.0)) * 4
    mask = surface.masks(torch.tensor(ramp).reshape(1, -1)).reshape(9, 5).numpy()
    np.testing.assert_allclose(mask, np.add.outer(np.arange(9.0), 10 * np.arange(5.0)), atol=1e-12)


@pytest.mark.parametrize("step", [1.0, 2.5, 3.0, 7.0, 40.0])
def test_pixels_are_weighted_means_of_the_grid_points_around_them(step):
    """Points reach both ends, however many steps an image is long: none is extrapolated."""
    down = Interpolated.of((31, 1), step, torch.zeros((), dtype=torch.float64)).lines[0].numpy()
    points = (np.arange(down.shape[1]) - (down.shape[1] - 1) / 2) * step + 15
    assert (down >= 0).all()
    np.testing.assert_allclose(down.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(down @ points, np.arange(31), atol=1e-12)
    away = (down * np.abs(points - np.arange(31)[:, None])).sum(axis=1)
    assert away.max() <= step / 2 + 1e-12


def test_the_nearest_binary_mask_is_the_sorted_reference():
    """mean((sort(m) − r_a)²) without sorting."""
    masks = np.random.default_rng(1).random((3, 50))
    counts = np.array([5, 20, 49])
    best = closest(torch.tensor(masks), torch.tensor(counts)).numpy()
    for mask, binary, count in zip(masks, best, counts, strict=True):
        reference = np.r_[np.zeros(50 - count), np.ones(count)]
        expected = ((np.sort(mask) - reference) ** 2).mean()
        assert ((mask - binary) ** 2).mean() == pytest.approx(expected, rel=1e-12)


def test_equal_masks_share_what_is_left():
    """Where all are equal, as at first, the order of pixels chooses none of them."""
    best = closest(torch.tensor([[0.5, 0.5, 0.9, 0.5], [1.0, 1.0, 1.0, 1.0]]), torch.tensor([2, 1]))
    np.testing.assert_allclose(best, [[1 / 3, 1 / 3, 1, 1 / 3], [0.25] * 4], rtol=1e-6)


def test_roughness_is_the_mean_power_of_differences():
    p = np.random.default_rng(2).random((2, 3, 4))
    down, across = abs(np.diff(p, axis=1)) ** 3, abs(np.diff(p, axis=2)) ** 3
    expected = (down.sum((1, 2)) + across.sum((1, 2))) / 12
    np.testing.assert_allclose(roughness(torch.tensor(p)), expected, rtol=1e-12)


# ------------------------------------------------------------------------------------ invariants


def test_fading_multiplies_the_image_by_the_mask(images):
    model = Linear(np.ones((2, 12, 14, 1)))
    e = extremal(model, images[:1], area=(0.2, 0.4), iterations=5)
    masks = e.info["masks"][0][:, None]
    np.testing.assert_allclose(model.seen[-1], masks * images[:1].numpy(), rtol=1e-12)


@pytest.mark.parametrize("other", ["delete", "dual"])
def test_a_linear_model_has_one_mask_whatever_the_variant(images, other):
    """Preserved or deleted: the gradient in m is w·x; the dual reward has it twice."""
    w = np.random.default_rng(0).normal(size=(2, 12, 14, 1))
    model = Linear(w, bias=3.0)
    one = extremal(model, images, area=(0.1, 0.3), iterations=60)
    two = extremal(model, images, area=(0.1, 0.3), iterations=60, variant=other)
    np.testing.assert_allclose(one.info["masks"], two.info["masks"], rtol=1e-6, atol=1e-8)
    if other == "delete":
        total = one.info["score"] + two.info["score"]
        np.testing.assert_allclose(total, (one.predictions + 3.0)[:, None] * np.ones(2), rtol=1e-6)


@pytest.mark.parametrize("area", [0.05, 0.1, 0.3, 0.6])
def test_the_area_is_that_of_the_visible_mask(area):
    """Taken on a mask that is padded by 16 %, as in a reference implementation, it is half more."""
    model = Linear(square(side=32, at=(10, 12), size=10))
    e = extremal(model, torch.ones(1, 2, 32, 32, dtype=torch.float64), area=area)
    visible = e.info["masks"][0, 0]
    assert visible.shape == (32, 32)
    assert e.info["area"][0, 0] == pytest.approx(visible.mean(), rel=1e-12)
    assert visible.mean() == pytest.approx(area, rel=0.1)
    assert (visible > 0.5).mean() == pytest.approx(area, rel=0.2)


def test_masks_become_binary_and_their_area_exact_with_time():
    """sort(m) meets its reference where players are not smoothed."""
    model = Linear(np.random.default_rng(0).random((40, 1)))
    x = torch.ones(2, 40, dtype=torch.float64)
    gaps = []
    for iterations in (20, 400):
        e = extremal(model, x, area=(0.25, 0.5), iterations=iterations)
        reference = np.arange(40) >= 40 * (1 - np.array([0.25, 0.5]))[:, None]
        gaps.append(((np.sort(e.info["masks"]) - reference) ** 2).mean())
    assert gaps[1] < 1e-4 < 0.01 < gaps[0]
    np.testing.assert_allclose(e.info["area"], [[0.25, 0.5]] * 2, rtol=0.01)


@pytest.mark.parametrize("variant", VARIANTS)
def test_players_without_places_are_chosen_by_what_they_count(variant):
    """Of a linear model the best share of players is known: the largest w·x."""
    w = np.random.default_rng(3).normal(size=20)
    model, x = Linear(w[:, None]), torch.tensor(np.random.default_rng(4).normal(size=(3, 20)))
    e = extremal(model, x, area=(0.1, 0.4), variant=variant)
    for i, (masks, count) in enumerate((m, c) for m in e.info["masks"] for c in (2, 8)):
        best = np.argsort(-w * x[i // 2].numpy())[:count]
        assert set(np.flatnonzero(masks[i % 2] > 0.5)) == set(best)
    assert e.info["masks"].shape == (3, 2, 20)
    np.testing.assert_allclose(e.values, e.info["masks"].mean(axis=1))
    top = np.sort(w * x.numpy())[:, ::-1]
    kept = np.stack([top[:, :2].sum(1), top[:, :8].sum(1)], axis=1)
    left = (w * x.numpy()).sum(1, keepdims=True) - kept
    names = {"preserve": {"score": kept}, "delete": {"score": left}}
    for name, expected in names.get(variant, {"score": kept, "score_without": left}).items():
        np.testing.assert_allclose(e.info[name], expected, atol=0.05)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_square_that_counts_is_found(variant):
    model = Linear(square())
    e = extremal(
        model, torch.ones(1, 2, 24, 24, dtype=torch.float64), area=64 / 576, variant=variant
    )
    inside = square()[0, ..., 0] > 0
    mask = e.info["masks"][0, 0]
    assert mask[inside].mean() > 0.8 > 0.1 > mask[~inside].mean()


@pytest.mark.parametrize("method", ["extremal_perturbation", "meaningful_perturbation"])
@pytest.mark.parametrize("shape", [(48,), (1, 48), (2, 10, 9, 8)])
def test_the_interval_or_the_box_that_counts_is_found(method, shape):
    """Of series without channels and with one, and of volumes."""
    sides = shape if len(shape) == 1 else shape[1:]
    inside = np.zeros(sides, bool)
    inside[tuple(slice(1, 1 + max(5, side // 3)) for side in sides)] = True
    w = np.broadcast_to(inside, shape).astype(float)[..., None]
    model = Linear(w)
    e = xai.explain(
        model, torch.ones(1, *shape, dtype=torch.float64), method, removal=FADE,
        channel_axis=int(len(shape) > 1), behavior="prediction",
        mirror=False, **({"area": inside.mean()} if method.startswith("ex") else {"size": 1.0}),
    )  # fmt: skip
    assert e.values.shape == (1, *sides)
    mask = e.values[0]
    assert mask[inside].mean() > 0.6 > 0.2 > mask[~inside].mean()  # a round brush fills a box


def test_a_series_is_never_mirrored():
    model = Linear(np.arange(12.0)[None, :, None])
    x = torch.arange(1.0, 13, dtype=torch.float64)[None, None]
    xai.explain(
        model, x, "extremal_perturbation", removal=FADE, area=0.3, iterations=4, channel_axis=1
    )
    assert all((seen.diff(dim=-1) > -1).all() for seen in model.seen[:3])


def test_channels_inside_a_network_have_masks(images):
    net = curved()
    players = xai.players.Channels("2")
    e = xai.explain(
        net, images, "extremal_perturbation", players=players, removal=FADE, area=(1 / 6, 0.5)
    )
    assert e.info["masks"].shape == (3, 2, 6) and e.values.shape == (3, 6)
    np.testing.assert_allclose(e.info["area"], [[1 / 6, 0.5]] * 3, atol=0.02)
    values = xai.explain(net, images, "include_one", players=players, removal=FADE)
    assert (
        e.info["score"][:, 0] > np.sort(values.values + values.base_values[:, None])[:, 2]
    ).all()


def test_a_constant_model_prefers_no_pixel():
    """At the borders neither, where a bump of the mask covers fewer pixels."""
    e = extremal(Linear(np.zeros((2, 24, 24, 1))), torch.ones(1, 2, 24, 24).double(), area=0.3)
    np.testing.assert_allclose(e.values, 0.3, atol=0.01)


@pytest.mark.parametrize("level", [1.0, 0.5, 0.1, 0.0])
@pytest.mark.parametrize("shape", [(12, 12), (31, 17), (5, 1), (40,), (5, 7, 4)])
def test_shares_are_the_derivatives_of_the_mean_mask(shape, level):
    like = torch.zeros((), dtype=torch.float64)
    smooth = Interpolated.of(shape, 3.0, like), MaxConvolution.of(shape, 3.0, 8.0, like)
    for surface in (Plain(shape), *smooth):
        p = torch.full((1, int(np.prod(surface.grid))), level, dtype=torch.float64)
        (expected,) = torch.autograd.grad(surface.masks(p.requires_grad_()).mean(), p)
        shares = surface.shares(torch.tensor([level], dtype=torch.float64)).expand_as(expected)
        np.testing.assert_allclose(shares, expected, atol=1e-15)
        assert (shares > 0).all()


# ------------------------------------------------------------------------------------ the descent


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_descent_is_its_formula(variant):
    """λ (mean((m − r)²) + μ (mean(m) − a)²) less the reward in its unit, against a plain loop."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(9, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1))
    net, x = net.double(), torch.randn(1, 9).double()
    net[2].bias.data.fill_(40.0)  # of no account
    e = extremal(net, x, area=(1 / 3, 2 / 3), variant=variant, iterations=20)

    def reward(m):
        keeps, leaves = net(m * x).sum(), net((1 - m) * x).sum()
        return {"preserve": keeps, "delete": -leaves, "dual": keeps - leaves}[variant]

    for j, count in enumerate((3, 6)):
        m, velocity = torch.ones(9, dtype=torch.float64), torch.zeros(9, dtype=torch.float64)
        (slope,) = torch.autograd.grad(reward(m.requires_grad_()), m)
        unit = max(slope.abs().sum().item(), abs(e.predictions - e.base_values).item())
        for done in np.arange(20) / 20:
            m = m.detach().requires_grad_()
            r = closest(m.detach()[None], torch.tensor([count]))[0]
            off = (m - r).square().mean() + 20 * done**2 * (m.mean() - count / 9) ** 2
            (gradient,) = torch.autograd.grad(300**done * off - reward(m) / unit, m)
            velocity = 0.9 * velocity + 0.1 * 9 * gradient  # a step of the mean mask, not of each
            m = (m - 0.002 * velocity).clamp(0, 1)
        np.testing.assert_allclose(e.info["masks"][0, j], m.detach(), rtol=1e-9)


def test_adam_is_torchs_and_momentum_is_a_mean_of_gradients():
    gradients = torch.tensor(np.random.default_rng(0).normal(size=(12, 2, 3)))
    p = torch.zeros(2, 3, dtype=torch.float64)
    adam, momentum, every = Adam.of(p, 0.05), Momentum.of(p, 0.05), torch.arange(2)
    theirs = p.clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=0.05)
    for n, theirs.grad in enumerate(gradients, start=1):
        optimizer.step()
        p = p + adam.step(theirs.grad, every)
        np.testing.assert_allclose(p, theirs.detach(), rtol=1e-12)
        weights = 0.1 * 0.9 ** torch.arange(n - 1, -1, -1, dtype=torch.float64)
        expected = -0.05 * torch.tensordot(weights, gradients[:n], dims=1)
        np.testing.assert_allclose(momentum.step(theirs.grad, every), expected, rtol=1e-9)


@pytest.mark.parametrize("sides", [(96, 64), (64, 96)])
def test_step_and_smoothing_are_those_of_the_shorter_side(sides):
    """7 and 21 pixels of 224."""
    model, x = Linear(np.ones((1, *sides, 1))), torch.rand(1, 1, *sides).double()
    usual = extremal(model, x, area=0.2, iterations=2)
    told = extremal(model, x, area=0.2, iterations=2, step=2.0, smoothing=6.0)
    np.testing.assert_array_equal(usual.values, told.values)


# --------------------------------------------------------------------------- batches and rewards


@pytest.mark.parametrize("removal", [FADE, xai.removal.BlurPyramid()], ids=["fade", "blur"])
def test_areas_and_images_of_a_batch_are_each_learned_by_themselves(images, removal):
    keywords = {"removal": removal, "iterations": 45, "mirror": True}
    together = extremal(curved(), images, area=(0.1, 0.3), **keywords)
    small = extremal(curved(), images, area=(0.1, 0.3), batch_size=3, **keywords)
    np.testing.assert_allclose(small.values, together.values, rtol=1e-6, atol=1e-8)
    for i in range(3):
        for j, area in enumerate((0.1, 0.3)):
            alone = extremal(curved(), images[i : i + 1], area=area, **keywords)
            for key in ("masks", "area", "score", "iterations"):
                np.testing.assert_allclose(
                    alone.info[key][0, 0], together.info[key][i, j], rtol=1e-6, atol=1e-8
                )


@pytest.mark.parametrize("behavior", [xai.behavior.Margin(), xai.behavior.Contrast(to=2)])
def test_a_contrastive_reward_is_each_masks_own(images, behavior):
    """(K,) − (K, 1) is (K, K): a reference implementation reports rewards of other areas."""
    net = curved()
    keywords = {"behavior": behavior, "target": 1, "iterations": 30}
    e = extremal(net, images, area=(0.1, 0.2, 0.5), **keywords)
    assert e.info["score"].shape == (3, 3)
    masked = torch.tensor(e.info["masks"][:, :, None]) * images[:, None]
    with torch.no_grad():
        out = net.eval()(masked.flatten(0, 1)).numpy().reshape(3, 3, 4)
    others = (
        out[..., [0, 2, 3]].max(-1) if isinstance(behavior, xai.behavior.Margin) else out[..., 2]
    )
    np.testing.assert_allclose(e.info["score"], out[..., 1] - others, rtol=1e-9, atol=1e-12)
    for j, area in enumerate((0.1, 0.2, 0.5)):
        alone = extremal(net, images, area=area, **keywords)
        np.testing.assert_allclose(alone.info["masks"][:, 0], e.info["masks"][:, j], atol=1e-8)


def test_every_output_has_a_mask_of_its_own(images):
    every = extremal(curved(), images, area=(0.1, 0.3), target="all", iterations=25)
    assert every.values.shape == (3, 12, 14, 4)
    assert every.info["masks"].shape == (3, 2, 12, 14, 4)
    assert every.info["score"].shape == (3, 2, 4)
    for target in range(4):
        one = extremal(curved(), images, area=(0.1, 0.3), target=target, iterations=25)
        np.testing.assert_allclose(every.values[..., target], one.values, rtol=1e-6, atol=1e-8)
        assert every.evaluations - 2 == 4 * (one.evaluations - 2)


@pytest.mark.parametrize("behavior", ["prediction", "margin"])
def test_units_of_the_output_change_nothing(images, behavior):
    """Nor do logits all below the −100 that a reference implementation writes on the target's."""

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = curved()

        def forward(self, x):
            return 1000 * self.net(x) - 70_000

    one = extremal(curved(), images, iterations=40, behavior=behavior)
    other = extremal(Scaled(), images, iterations=40, behavior=behavior)
    np.testing.assert_allclose(one.values, other.values, rtol=1e-6, atol=1e-8)


def test_every_other_input_is_mirrored_and_its_mask_is_not(images):
    """Weights that look alike from both sides, so that nothing else changes."""
    w = np.random.default_rng(0).normal(size=(2, 12, 14, 1))
    w = w + w[:, :, ::-1]
    plain, mirrored = Linear(w), Linear(w)
    keywords = {"area": 0.3, "iterations": 6}
    one = extremal(plain, images[:1], **keywords)
    two = extremal(mirrored, images[:1], mirror=True, **keywords)
    np.testing.assert_allclose(one.info["masks"], two.info["masks"], rtol=1e-9)
    steps = slice(-7, -1)  # then the mask that was learned
    for step, (a, b) in enumerate(zip(plain.seen[steps], mirrored.seen[steps], strict=True)):
        np.testing.assert_allclose(b.flip(-1) if step % 2 else b, a, rtol=1e-9)
    np.testing.assert_allclose(mirrored.seen[-1], plain.seen[-1], rtol=1e-9)


def test_several_draws_take_turns_but_not_under_a_margin(images):
    two = xai.removal.Marginal(images[:2])
    e = extremal(curved(), images[2:], removal=two, iterations=40)
    assert e.evaluations == 4 * (40 + 2) + 2 + 1  # a score is a mean over both
    halves = [
        extremal(curved(), images[2:], removal=Baseline(images[i]), iterations=40) for i in (0, 1)
    ]
    assert not any(np.allclose(e.values, half.values, atol=1e-3) for half in halves)
    with pytest.raises(ValueError, match="one baseline"):
        extremal(curved(), images, removal=xai.removal.Marginal(images[:2]), behavior="margin")


# ------------------------------------------------------------------------- cost, stops, refusals


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("budget", [30, 101, None])
def test_a_forward_and_backward_pass_counts_once(images, variant, budget):
    model = Linear(np.random.default_rng(0).normal(size=(2, 12, 14, 1)))
    given = {"iterations": 13} if budget is None else {"budget": budget}
    e = extremal(model, images[:1], area=(0.1, 0.3), variant=variant, **given)
    assert sum(map(len, model.seen)) == e.evaluations
    sides = 2 if variant == "dual" else 1
    if budget is None:
        assert e.evaluations == 2 + 2 * sides * (13 + 1)
    else:
        assert budget - 2 * sides < e.evaluations <= budget


def test_the_least_budget_is_named(images):
    with pytest.raises(ValueError, match="at least 6 model rows"):
        extremal(curved(), images, area=(0.1, 0.3), budget=5)
    with pytest.raises(ValueError, match="iterations=9 needs at least 22 model rows"):
        extremal(curved(), images, area=(0.1, 0.3), budget=21, iterations=9)
    assert extremal(curved(), images, area=(0.1, 0.3), budget=6).evaluations == 6


def test_what_is_at_rest_is_not_paid_for():
    model = Linear(np.linspace(-1, 1, 30)[:, None])
    x = torch.ones(2, 30, dtype=torch.float64)
    e = extremal(model, x, area=(0.1, 0.5))
    assert e.converged.tolist() == [True, True]
    assert (e.info["iterations"] < 400).all()
    assert e.evaluations == -(-(int(e.info["iterations"].sum()) + 4 + 3) // 2)
    sooner = extremal(model, x, area=(0.1, 0.5), tolerance=0.05)
    assert (sooner.info["iterations"] < e.info["iterations"]).all()
    few = extremal(model, x, area=(0.1, 0.5), iterations=10)
    assert few.converged.tolist() == [False, False]


def test_masks_survive_rows_and_files(images, tmp_path):
    e = extremal(curved(), images, area=(0.1, 0.3), iterations=5)
    assert e.info["masks"].shape == (3, 2, 12, 14)
    assert e[1].info["masks"].shape == (1, 2, 12, 14)
    np.testing.assert_array_equal(e[[2, 0]].info["area"], e.info["area"][[2, 0]])
    e.save(tmp_path / "e.npz")
    loaded = xai.load(tmp_path / "e.npz")
    for key, array in e.info.items():
        np.testing.assert_array_equal(loaded.info[key], array)
    assert repr(eval(e.summary, {"ExtremalSubset": ExtremalSubset})) == e.summary


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"area": 0.0}, "area"), ({"area": 1.0}, "area"), ({"area": [0.1, -0.2]}, "area"),
        ({"area": []}, "area"), ({"area": np.nan}, "area"), ({"variant": "preserv"}, "preserve"),
        ({"iterations": 0}, "iterations=0"), ({"iterations": 2.5}, "iterations=2.5"),
        ({"step": 0}, "step"), ({"smoothing": -1.0}, "smoothing"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(images, option, words):
    with pytest.raises(ValueError, match=words):
        extremal(curved(), images, **option)


def test_nan_names_the_row(images):
    class Root(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1).sum(1, keepdim=True).abs().sqrt().expand(-1, 2) * 1.0

    x = images.clone()
    x[1] = 0
    with pytest.raises(ValueError, match=r"row 1 \(0-based\)"):
        extremal(Root(), x, iterations=3)


def test_set_functions_have_no_gradient():
    game = xai.Game.from_function(lambda S: S.all(axis=1) * 1.0, n_players=3)
    for summary in (ExtremalSubset(), PenalizedSubset()):
        with pytest.raises(TypeError, match="torch module"):
            summary(game)


# ----------------------------------------------------------------------- meaningful perturbation


def meaningful(model, x, **keywords):
    options = {"removal": FADE, "behavior": "prediction", "target": 0} | keywords
    return xai.explain(model, x, "meaningful_perturbation", **options)


def test_a_meaningful_mask_covers_what_counts_and_little_else():
    model, inside = Linear(square()), square()[0, ..., 0] > 0
    x = torch.ones(2, 2, 24, 24, dtype=torch.float64)
    e = meaningful(model, x)
    assert e.values.shape == (2, 24, 24)
    assert e.values[0][inside].mean() > 0.7 > 0.3 > e.values[0][~inside].mean()
    np.testing.assert_allclose(e.info["area"], e.values.mean(axis=(1, 2)), rtol=1e-12)
    assert (e.info["score"] < 0.3 * e.predictions).all()
    kept = meaningful(model, x, variant="preserve")
    np.testing.assert_allclose(kept.values, e.values, atol=1e-6)
    np.testing.assert_allclose(kept.info["score"] + e.info["score"], e.predictions, rtol=1e-6)


def test_a_larger_penalty_is_a_smaller_or_a_smoother_mask():
    model, x = Linear(square()), torch.ones(1, 2, 24, 24, dtype=torch.float64)
    areas = [meaningful(model, x, size=s, smoothness=0.0).info["area"][0] for s in (0.1, 1.0, 20.0)]
    assert areas[0] >= areas[1] > 10 * areas[2]
    rough, smooth = (meaningful(model, x, smoothness=s).values[0] for s in (0.0, 1000.0))
    assert abs(np.diff(smooth)).max() < 0.5 * abs(np.diff(rough)).max()


def test_a_meaningful_mask_explains_a_probability_by_default(images):
    e = xai.explain(curved(), images, "meaningful_perturbation", iterations=10)
    with torch.no_grad():
        p = curved().eval()(images).softmax(1).max(1).values
    np.testing.assert_allclose(e.predictions, p, rtol=1e-9)
    assert e.evaluations == 10 + 3
    assert all(array.shape == (3,) for array in e.info.values())


@pytest.mark.parametrize("option", [{"size": -1.0}, {"smoothness": np.nan}, {"variant": "both"}])
def test_penalties_that_cannot_be_are_refused(images, option):
    with pytest.raises(ValueError, match=next(iter(option))):
        meaningful(curved(), images, **option)


# ------------------------------------------------------------------------------- minimal subsets


def greedy(v, d, threshold):
    """Zhou et al. 2015, slowly: (players in the order they leave, value of those that stay)."""
    kept, value, order = [True] * d, v(np.ones((1, d), bool))[0], []
    while any(kept) and value > threshold:
        candidates = []
        for i in np.flatnonzero(kept):
            without = np.array(kept)
            without[i] = False
            candidates.append((v(without[None])[0], -i))
        best, i = max(candidates)
        if best <= threshold:
            break
        kept[-i], value = False, best
        order.append(-i)
    return order, value


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.6])
def test_a_minimal_subset_is_the_greedy_one(set_function, seed, threshold):
    v = set_function(6, seed=seed)
    v.table += 0.8
    order, value = greedy(v, 6, threshold)
    spent = v.evaluations
    result = MinimalSubset(threshold)(xai.Game.from_function(v, 6))
    assert v.evaluations - spent == result.evaluations <= 6 * 7 // 2 + 1
    expected = np.full(6, float(len(order)))
    expected[order] = np.arange(len(order))
    np.testing.assert_array_equal(result.values, expected)
    assert result.info["kept"] == 6 - len(order)
    assert result.info["score"] == pytest.approx(value)


def test_nobody_leaves_a_value_that_is_no_higher_than_the_threshold():
    game = xai.Game.from_function(lambda S: 1.0 - S[:, 0] + 0 * S[:, 1], n_players=2)
    found = MinimalSubset()(game)
    assert found.info["kept"] == 2 and found.info["score"] == 0 and not found.values.any()
    assert MinimalSubset(-0.5)(game).info["kept"] == 0


def test_removal_stops_where_another_class_would_win():
    """The first class wins while more than 3 of its 5 columns stay; the others do nothing."""

    def model(x):
        first = x[:, :5].sum(axis=1)
        return np.stack([first, np.full(len(x), 3.5)], axis=1)

    x = np.ones((2, 8))
    x[1, 0] = 5.0  # one column of this row is enough
    rows = []

    def counting(x):
        rows.append(len(x))
        return model(x)

    method = xai.Method(FADE, xai.behavior.Margin(), MinimalSubset())
    e = xai.explain(counting, x, method)
    np.testing.assert_array_equal(e.info["kept"], [4, 1])
    np.testing.assert_allclose(e.info["score"], [0.5, 1.5])
    assert e.values[0].max() == 4 and set(np.flatnonzero(e.values[0] == 4)) == {1, 2, 3, 4}
    assert e.values[1].argmax() == 0 and e.values[1, 0] == 7
    assert e.evaluations == -(-sum(rows) // 2)
    alone = [xai.explain(model, x[i : i + 1], method) for i in range(2)]
    np.testing.assert_array_equal(e.values, np.concatenate([a.values for a in alone]))


def test_every_output_has_a_minimal_subset_of_its_own():
    def model(x):
        return np.stack([x[:, 0] + 2 * x[:, 1], x[:, 2] + 2 * x[:, 3]], axis=1) - 0.5

    method = xai.Method(FADE, xai.behavior.Prediction(), MinimalSubset())
    e = xai.explain(model, np.ones((1, 4)), method, target="all")
    np.testing.assert_array_equal(e.values[0], [[2, 0], [3, 1], [0, 2], [1, 3]])
    np.testing.assert_array_equal(e.info["kept"], [[1, 1]])


def test_the_worst_case_of_a_minimal_subset_is_the_least_budget():
    method = xai.Method(FADE, xai.behavior.Prediction(), MinimalSubset())
    x, worst = np.ones((1, 6)), 6 * 7 // 2 - 1 + 2

    def model(x):
        return x.sum(axis=1) + 1

    assert xai.explain(model, x, method, budget=worst).evaluations == worst
    with pytest.raises(ValueError, match=f"at least {worst} model rows"):
        xai.explain(model, x, method, budget=worst - 1)


def test_mir_removes_superpixels_from_images():
    pytest.importorskip("skimage")
    rng = np.random.default_rng(0)
    x = rng.random((2, 24, 24, 3)) * 0.1
    x[:, 8:16, 8:16] += 0.9

    def model(x):
        middle = x[:, 8:16, 8:16].mean(axis=(1, 2, 3))
        return np.stack([middle, np.full(len(x), 0.4)], axis=1)

    e = xai.explain(model, x, "mir", players=xai.players.Patches(8))
    assert e.values.shape == (2, 9)
    assert (e.values.argmax(axis=1) == 4).all()
    assert (e.info["score"] > 0).all()
    assert xai.explain(model, x, "mir").players.startswith("Superpixels")
