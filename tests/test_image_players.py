"""Players of images: what each coalition keeps, by brute force, and what their values say."""

from __future__ import annotations

import inspect
import sys

import numpy as np
import pytest

import xai
from xai import composition, recipe
from xai.inputs import read
from xai.methods import find
from xai.partition import Line, Overlap, run_products
from xai.players import Channels, Grid, Patches, Superpixels, Windows
from xai.removal import Baseline, Marginal
from xai.removal.base import Context


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(2, 3, 7, 9))


def score(x):
    """(n, 3, h, w) -> (n, 2): no sum over pixels, and each of them counts for itself."""
    weight = np.linspace(0.5, 2.0, x[0].size).reshape(x.shape[1:])
    s = (x * weight).sum(axis=(1, 2, 3)) / 10
    return np.stack([s + 0.1 * s**2, np.sin(s)], axis=1)


def last(model):
    """The same model of images whose channels are last."""
    return lambda x: model(np.moveaxis(x, -1, 1))


SHAPES = [  # height, width, size, stride
    (7, 9, 3, 1), (7, 9, (2, 4), (1, 3)), (7, 9, 4, 4), (8, 8, 4, 2), (7, 9, 5, 3),
    (7, 9, (7, 3), 2), (7, 9, 20, 7), (1, 9, (1, 3), 2), (5, 5, 1, 1), (10, 4, (6, 3), (4, 1)),
]  # fmt: skip


def spans_by_hand(height, width, size, stride):
    """Windows at 0, stride, 2 stride, … until all is covered, cut off at the edges."""
    lines = []
    sizes = (size, size) if isinstance(size, int) else size
    strides = (stride, stride) if isinstance(stride, int) else stride
    for length, side, step in zip((height, width), sizes, strides, strict=True):
        line, start = [(0, min(side, length))], 0
        while line[-1][1] < length:
            start += step
            line.append((start, min(start + side, length)))
        lines.append(line)
    return [(*down, *across) for down in lines[0] for across in lines[1]]


def masks_by_hand(coalitions, spans, height, width):
    """A pixel's mask is the product of those of all windows over it."""
    out = np.ones((len(coalitions), height, width))
    for b, coalition in enumerate(coalitions):
        for value, (top, bottom, left, right) in zip(coalition, spans, strict=True):
            out[b, top:bottom, left:right] *= value
    return out


def encoded(players, x, channel_axis=1):
    return players.encode(read(x), channel_axis)


# --------------------------------------------------------------------------------------- windows


@pytest.mark.parametrize(("height", "width", "size", "stride"), SHAPES)
def test_windows_keep_what_no_removed_window_covers(height, width, size, stride):
    x = np.zeros((2, 3, height, width))
    bound = encoded(Windows(size, stride), x)
    spans = spans_by_hand(height, width, size, stride)
    d = len(spans)
    assert bound.counts.tolist() == [d, d] and bound.shape == (d,)
    if bound.overlap is not None:
        np.testing.assert_array_equal(bound.overlap.spans, spans)
    coalitions = np.random.default_rng(1).random((30, d)) < 0.8
    coalitions[0], coalitions[1] = True, False
    got = bound.masks(np.zeros(30, int), coalitions)
    assert got.dtype == bool
    expected = masks_by_hand(coalitions, spans, height, width)
    np.testing.assert_array_equal(np.broadcast_to(got, (30, 1, height, width))[:, 0], expected)
    assert bound.covers(np.arange(2)).all() and not got[1].any()  # every pixel is in some window


@pytest.mark.parametrize(("height", "width", "size", "stride"), SHAPES)
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_soft_masks_of_windows_multiply(torch, height, width, size, stride, kind):
    x = np.zeros((1, 1, height, width))
    bound = encoded(Windows(size, stride), x)
    spans = spans_by_hand(height, width, size, stride)
    soft = np.random.default_rng(1).random((4, len(spans)))
    soft[0, 0] = 0
    if bound.overlap is None:
        return  # pieces are players
    pieces = bound.overlap.pieces(torch.tensor(soft) if kind == "tensor" else soft)
    got = np.asarray(pieces)[:, bound.owner[0, 0]]
    np.testing.assert_allclose(got, masks_by_hand(soft, spans, height, width), rtol=1e-12)


def test_soft_masks_of_windows_are_differentiable_at_zeros(torch):
    bound = encoded(Windows(3, 1), np.zeros((1, 1, 6, 6)))
    soft = torch.rand(2, 16, dtype=torch.float64)
    soft[0, 5], soft[1, [2, 3]] = 0, 0
    soft.requires_grad_()
    assert torch.autograd.gradcheck(bound.overlap.pieces, soft)


def test_a_product_of_a_run_is_that_of_its_members():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 13):
        values = rng.random((3, n, 2))
        first = rng.integers(0, n + 1, 40)
        end = np.minimum(first + rng.integers(0, n + 1, 40), n)
        expected = [values[:, a:b].prod(axis=1) for a, b in zip(first, end, strict=True)]
        got = run_products(values, first, end, axis=1)
        np.testing.assert_allclose(got, np.stack(expected, axis=1), rtol=1e-13)


def test_windows_step_by_half_their_size_where_no_stride_is_given():
    x = np.zeros((1, 8, 8, 3))
    half, given = (encoded(w, x, 3) for w in (Windows((4, 2)), Windows((4, 2), (2, 1))))
    np.testing.assert_array_equal(half.overlap.spans, given.overlap.spans)
    assert encoded(Windows(1), x, 3).counts.tolist() == [64]


@pytest.mark.parametrize("size", [2, 3, (3, 2), (7, 9), 50])
@pytest.mark.parametrize("method", ["occlusion", "shapley", "kernel_shap"])
def test_windows_side_by_side_are_patches(images, size, method):
    keywords = {"removal": Baseline(0), "budget": 300, "channel_axis": 1}
    one = xai.explain(score, images, method, players=Windows(size, size), **keywords)
    other = xai.explain(score, images, method, players=Patches(size), **keywords)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.map(), other.map())
    assert one.evaluations == other.evaluations


@pytest.fixture(scope="module")
def network(torch):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3),
        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(20, 3),
    ).double().eval()  # fmt: skip


@pytest.mark.parametrize(
    ("size", "stride"),
    [((4, 5), (2, 3)), ((3, 3), (1, 1)), ((4, 4), (4, 4)), ((5, 2), (3, 2)), ((6, 6), (5, 4))],
)
@pytest.mark.parametrize("baseline", ["zero", "image"])
def test_occlusion_by_windows_is_captums(torch, network, size, stride, baseline):
    """Where the stride divides the image and where it does not, edges included."""
    captum = pytest.importorskip("captum.attr")
    x = torch.rand(2, 3, 13, 17, dtype=torch.float64)
    other = torch.zeros(1, 3, 13, 17).double() if baseline == "zero" else x.flip(0) ** 2
    ours = xai.explain(
        network, x, "occlusion", players=Windows(size, stride), removal=Baseline(other), target=1
    )
    with torch.no_grad():
        theirs = captum.Occlusion(network).attribute(
            x, (3, *size), (3, *stride), baselines=other, target=1
        )
    np.testing.assert_allclose(ours.map(), theirs.numpy(), rtol=0, atol=1e-8)  # it adds 1e-10
    assert (ours.map() != 0).all()


@pytest.mark.parametrize("axis", [1, 3])
@pytest.mark.parametrize("kind", ["array", "tensor", "device", "function", "function of tensors"])
def test_every_way_to_compose_knows_windows(torch, images, axis, kind, monkeypatch):
    """Compiled on the host, in torch, and as a user's function of the masks."""
    rng = np.random.default_rng(3)
    data = rng.normal(size=(4, 3, 7, 9))
    rows, which, places = (rng.integers(size, size=20) for size in (2, 6, 4))
    spans = spans_by_hand(7, 9, (3, 4), (2, 3))
    table = rng.random((6, len(spans))) < 0.8
    kept = masks_by_hand(table, spans, 7, 9)[which][:, None] > 0
    other = -images[rows] if "function" in kind else data[places]
    expected = np.where(kept, images[rows], other)

    def moved(block):
        return np.moveaxis(block, 1, axis)

    x, background = moved(images), moved(data)
    if kind in ("tensor", "device", "function of tensors"):
        x, background = torch.tensor(x), torch.tensor(background)
    if kind == "device":
        monkeypatch.setattr(composition, "_on_host", lambda block: False)
    where = torch.where if kind == "function of tensors" else np.where
    removal = (
        xai.removal.Function(lambda block, keep: where(keep, block, -block))
        if "function" in kind
        else Marginal(background)
    )
    inputs = read(x)
    bound = Windows((3, 4), (2, 3)).encode(inputs, axis)
    draws = removal.bind(Context(inputs, background, 0, axis))
    out = composition.composer(inputs, bound, draws)(table)(rows, which, places)
    np.testing.assert_array_equal(np.asarray(out), moved(expected))


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("method", ["exact_shapley", "kernel_shap", "banzhaf", "shapley"])
def test_values_of_windows_are_those_of_their_game(images, oracle, method, axis):
    """Six windows, all coalitions, against a game written down from the masks."""
    spans = spans_by_hand(7, 9, (5, 5), (3, 3))
    assert len(spans) == 6
    model = score if axis == 1 else last(score)
    e = xai.explain(
        model, np.moveaxis(images, 1, axis), method, players=Windows(5, 3), target="all",
        removal=Baseline(0), channel_axis=axis, budget=500,
    )  # fmt: skip
    slowly = oracle.banzhaf if method == "banzhaf" else oracle.shapley
    for i in range(2):

        def v(S, image=images[i]):
            return score(masks_by_hand(S, spans, 7, 9)[:, None] * image)

        np.testing.assert_allclose(e.values[i], slowly(v, 6), atol=1e-12)
    assert e.std_error is None


def test_windows_obey_the_laws_of_the_game(counting, images):
    """Batches, budget, rows alone, and efficiency where it samples."""
    keywords = {"players": Windows(3, 2), "removal": Baseline("mean"), "budget": 120,
                "channel_axis": 1}  # fmt: skip
    model = counting(score)
    e = xai.explain(model, images, "shapley", **keywords)
    assert e.evaluations == -(-model.rows // 2) <= 120
    total = e.values.sum(axis=1) + e.base_values
    np.testing.assert_allclose(total, e.predictions, rtol=0, atol=1e-12)
    for batch_size in (1, 7, 1000):
        again = xai.explain(score, images, "shapley", batch_size=batch_size, **keywords)
        np.testing.assert_allclose(again.values, e.values, rtol=0, atol=1e-12)
    for i in range(2):
        alone = xai.explain(score, images[i : i + 1], "shapley", **keywords)
        np.testing.assert_allclose(alone.values[0], e.values[i], rtol=0, atol=1e-12)


def test_windows_over_what_equals_the_baseline_are_null_players(counting):
    """Only a window whose every pixel equals its replacement is left out of the game."""
    x = np.zeros((2, 1, 6, 6))
    x[0, 0, 3, 3] = x[1, 0, :3] = 1
    spans = spans_by_hand(6, 6, 3, 1)
    model = counting(lambda x: (x.sum(axis=(1, 2, 3)) + 1) ** 2)
    e = xai.explain(
        model, x, "exact_shapley", players=Windows(3, 1), removal=Baseline(0), budget=2**20,
        channel_axis=1,
    )  # fmt: skip
    inside = np.array([[x[i, 0, t:b, le:r].any() for t, b, le, r in spans] for i in range(2)])
    assert inside.sum(axis=1).tolist() == [9, 12]
    assert (e.values[~inside] == 0).all() and (e.values[inside] > 0).all()
    assert model.rows <= 2 + 2 + 2**9 + 2**12  # of the others, all coalitions
    np.testing.assert_allclose(e.values.sum(axis=1), e.predictions - e.base_values, atol=1e-9)


# --------------------------------------------------------------- what an explanation says of them


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("target", [0, "all"])
def test_a_pixels_value_is_the_mean_of_the_windows_over_it(images, axis, target):
    x = np.moveaxis(images, 1, axis)
    model = score if axis == 1 else last(score)
    e = xai.explain(
        model, x, "occlusion", players=Windows((3, 4), (2, 1)), removal=Baseline(0),
        channel_axis=axis, target=target,
    )  # fmt: skip
    spans = spans_by_hand(7, 9, (3, 4), (2, 1))
    tail = (2,) if target == "all" else ()
    total, count = np.zeros((2, 7, 9, *tail)), np.zeros((7, 9))
    for i, (top, bottom, left, right) in enumerate(spans):
        count[top:bottom, left:right] += 1
        for row in range(2):
            total[row, top:bottom, left:right] += e.values[row, i]
    mean = total / (count[..., None] if tail else count)
    got = e.map()
    assert got.shape == x.shape + tail
    for channel in range(3):
        np.testing.assert_allclose(np.take(got, channel, axis % 4), mean, atol=1e-14)


def test_an_explanation_by_windows_is_saved_and_cut(images, tmp_path):
    e = xai.explain(
        score, images, "occlusion", players=Windows(3, 2), removal=Baseline(0), channel_axis=1
    )
    e.save(tmp_path / "e.npz")
    back = xai.load(tmp_path / "e.npz")
    np.testing.assert_array_equal(back.spans, e.spans)
    assert back.players == "Windows(size=3, stride=2)"
    np.testing.assert_array_equal(back.map(), e.map())
    np.testing.assert_array_equal(e[1].map(), e.map()[1:])
    patches = xai.explain(
        score, images, "occlusion", players=Patches(3), removal=Baseline(0), channel_axis=1
    )
    patches.save(tmp_path / "p.npz")
    assert xai.load(tmp_path / "p.npz").spans is None
    assert len(e.to_frame()) == 2 * e.values.shape[1] and e.top(3).shape == (2, 3)


def test_a_picture_of_windows_is_their_map(images):
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    e = xai.explain(
        score, images, "occlusion", players=Windows(3, 2), removal=Baseline(0), channel_axis=1
    )
    ax = e[0].plot("image")
    np.testing.assert_array_equal(np.asarray(ax.images[1].get_array()), e.map()[0, 0])
    plt.close("all")


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("players", "error", "words"),
    [
        (Windows(0), ValueError, "at least 1"),
        (Windows(3, 0), ValueError, "at least 1"),
        (Windows(3, 4), ValueError, "no window"),
        (Windows((3, 2), (3, 3)), ValueError, r"at most \(3, 2\)"),
        (Windows(2.5), TypeError, "number of pixels"),
        (Windows((1, 2, 3)), TypeError, "height, width"),
        (Windows(True), TypeError, "number of pixels"),
        (Patches((2, 0)), ValueError, "at least 1"),
        (Patches("4"), TypeError, "number of pixels"),
        (Grid(0), ValueError, "at least 1"),
        (Grid(2.5), TypeError, "number of cells"),
        (Channels("conv1"), TypeError, "torch module"),
        (Superpixels(method="felzenszwalb"), ValueError, "slic"),
        (Superpixels(30, method="quickshift"), ValueError, "n=30.*not for.*quickshift"),
        (Superpixels(ratio=0.5), ValueError, "ratio=0.5.*not for.*slic"),
        (Superpixels(0), ValueError, "positive"),
        (Superpixels(compactness=-1.0), ValueError, "positive"),
        (Superpixels(sigma=-1.0), ValueError, "positive"),
    ],
)
def test_players_that_cannot_be_are_refused_before_the_model_is_called(players, error, words):
    def model(x):
        raise AssertionError("called")

    with pytest.raises(error, match=words):
        xai.explain(model, np.ones((1, 6, 6, 3)), "occlusion", players=players)


@pytest.mark.parametrize("players", [Windows(2), Patches(2), Channels(), Superpixels()])
def test_tables_have_no_regions(players):
    with pytest.raises(ValueError, match="images"):
        xai.explain(lambda x: x.sum(axis=1), np.ones((2, 4)), "occlusion", players=players)


# -------------------------------------------------------------------------------- patches, channels


@pytest.mark.parametrize("cells", [1, 2, 4, 6, 7, 20])
def test_a_grid_has_as_many_cells_along_each_side_as_fit(cells):
    owner = encoded(Grid(cells), np.zeros((1, 3, 5, 7))).owner[0, 0]
    down, across = min(cells, 5), min(cells, 7)
    first, last = owner[:, 0] // across, owner[0]
    for line, count in ((first, down), (last, across)):
        sizes = np.bincount(line)
        assert len(sizes) == count and np.ptp(sizes) <= 1 and (np.diff(line) >= 0).all()
    np.testing.assert_array_equal(owner, first[:, None] * across + last)


def test_patches_may_be_oblong(images):
    e = xai.explain(
        score, images, "occlusion", players=Patches((3, 4)), removal=Baseline(0), channel_axis=1,
        target=0,
    )  # fmt: skip
    for i, (top, bottom, left, right) in enumerate(spans_by_hand(7, 9, (3, 4), (3, 4))):
        gone = images.copy()
        gone[:, :, top:bottom, left:right] = 0
        np.testing.assert_allclose(
            e.values[:, i], score(images)[:, 0] - score(gone)[:, 0], atol=1e-12
        )
    assert e.values.shape == (2, 9)


@pytest.mark.parametrize(("shape", "side"), [((3, 36, 25), 2), ((3, 24, 60), 2), ((3, 7, 9), 1)])
@pytest.mark.parametrize("axis", [1, -1])
def test_patches_are_a_twelfth_of_the_shorter_side_where_none_are_given(shape, side, axis):
    x = np.moveaxis(np.ones((1, *shape)), 1, axis)
    _, players = recipe.composed(find("shapley"), read(x), axis % 4, *[None] * 4, auto=True)
    assert players == Patches(side)


DEFAULTS = {
    "auto": "Patches(size=2)", "lime": "Patches(size=2)", "sobol": "Grid(cells=8)",
    "hsic": "Grid(cells=8)", "mir": "Superpixels()",
}  # fmt: skip


@pytest.mark.parametrize(
    "method", ["auto", *(r.name for r in xai.methods() if "image" in r.inputs.split(";")[0]
                         and "torch" not in r.inputs)],
)  # fmt: skip
def test_players_of_images_where_none_are_given_are_as_help_tells(method):
    """Pixels, but of methods whose papers or costs ask for fewer."""
    if method == "mir":
        pytest.importorskip("skimage")
    x = np.random.default_rng(0).random((1, 3, 24, 30))
    _, players = recipe.composed(find(method), read(x), 1, *[None] * 4, auto=method == "auto")
    expected = DEFAULTS.get(method)
    assert (None if players is None else repr(players)) == expected
    told = inspect.getdoc(xai.explain).split("players :")[1].split("removal, behavior")[0]
    assert (f"`{method}`" in told or f'"{method}"' in told) == (expected is not None)


@pytest.mark.parametrize("method", ["occlusion", "shapley", "sobol", "lime", "rise"])
def test_images_are_replaced_by_those_of_data_but_where_the_paper_means_another(images, method):
    alone, beside = (
        recipe.composed(find(method), read(images), 1, *[None] * 3, data, auto=False)[0].removal
        for data in (None, images)
    )
    assert isinstance(alone, Baseline)
    assert beside == (alone if method in ("lime", "rise") else Marginal())


@pytest.mark.parametrize("kind", ["array", "last", "tensor", "device", "function"])
def test_channels_are_colours(torch, images, oracle, kind, monkeypatch):
    axis = -1 if kind == "last" else 1
    x = np.moveaxis(images, 1, axis)
    model = last(score) if kind == "last" else score
    if kind in ("tensor", "device"):
        x, model = torch.tensor(x), lambda batch: score(batch.numpy())
    if kind == "device":
        monkeypatch.setattr(composition, "_on_host", lambda block: False)
    removal = (lambda rows, kept: np.where(kept, rows, 0)) if kind == "function" else Baseline(0)
    e = xai.explain(
        model, x, "exact_shapley", players=Channels(), removal=removal, channel_axis=axis, target=0
    )
    assert e.feature_names == ["channel 0", "channel 1", "channel 2"]
    for i in range(2):

        def v(S, image=images[i]):
            return score(S[:, :, None, None] * image)[:, 0]

        np.testing.assert_allclose(e.values[i], oracle.shapley(v, 3), atol=1e-12)
    whole = np.moveaxis(e.map(), axis, 1)
    np.testing.assert_array_equal(whole, np.broadcast_to(e.values[..., None, None], images.shape))


# ------------------------------------------------------------------------------------ superpixels


@pytest.fixture(scope="module")
def photographs():
    """Three crops, 64 x 80, (3, 3, 64, 80) in [0, 1]."""
    data = pytest.importorskip("skimage.data")
    whole = data.astronaut()[:192, 60:300].astype(np.float64) / 255
    crops = [whole[a : a + 64, b : b + 80] for a, b in ((0, 100), (64, 120), (120, 0))]
    return np.stack(crops).transpose(0, 3, 1, 2)


SEGMENTATIONS = [Superpixels(20), Superpixels(n=40, compactness=5.0),
                 Superpixels(method="quickshift", kernel_size=2.0, max_dist=8.0)]  # fmt: skip


@pytest.mark.parametrize("players", SEGMENTATIONS, ids=repr)
def test_superpixels_are_connected_regions_of_each_image(photographs, players):
    label = pytest.importorskip("skimage.measure").label
    bound = encoded(players, photographs)
    assert bound.owner.shape == (3, 1, 64, 80)
    for owner, count in zip(bound.owner[:, 0], bound.counts, strict=True):
        assert set(np.unique(owner)) == set(range(count)) and count > 5
        _, first = np.unique(owner, return_index=True)
        assert (np.diff(first) > 0).all()  # numbered as they are met
        if players.method == "slic":
            assert label(owner + 1, connectivity=2).max() <= 1.2 * count
    if players.method == "slic":
        assert (abs(bound.counts - players.n) < 0.5 * players.n).all()
    assert len(set(bound.counts)) > 1


@pytest.mark.parametrize("players", SEGMENTATIONS, ids=repr)
def test_superpixels_do_not_depend_on_range_axes_kind_or_neighbours(torch, photographs, players):
    owner = encoded(players, photographs).owner
    np.testing.assert_array_equal(encoded(players, photographs).owner, owner)
    alone = [encoded(players, photographs[i : i + 1]).owner[0] for i in range(3)]
    np.testing.assert_array_equal(np.stack(alone), owner)
    moved = encoded(players, np.moveaxis(photographs, 1, -1), 3).owner
    np.testing.assert_array_equal(np.moveaxis(moved, 3, 1), owner)
    tensor = torch.tensor(photographs)
    np.testing.assert_array_equal(encoded(players, tensor).owner, owner)
    for same in (photographs * 8 - 4, photographs / 1024):  # powers of two: no rounding
        np.testing.assert_array_equal(encoded(players, same).owner, owner)


def test_superpixels_of_eight_bits_and_of_half_precision(torch, photographs):
    eight = np.round(photographs * 255).astype(np.uint8)
    regions = encoded(Superpixels(20), eight.astype(float)).owner
    np.testing.assert_array_equal(encoded(Superpixels(20), eight).owner, regions)
    half = torch.tensor(photographs).bfloat16()
    expected = encoded(Superpixels(20), half.double()).owner
    np.testing.assert_array_equal(encoded(Superpixels(20), half).owner, expected)


@pytest.mark.parametrize("method", ["slic", "quickshift"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_superpixels_follow_edges_whatever_the_number_of_channels(method, channels):
    """Two halves of different numbers, and noise: no region crosses the border."""
    x = np.zeros((1, channels, 48, 48))
    x[..., 20:] = np.linspace(1, 2, channels)[:, None, None]
    x += np.random.default_rng(0).normal(scale=0.02, size=x.shape)
    options = {"n": 16, "sigma": 0.0} if method == "slic" else {"max_dist": 10.0}
    owner = encoded(Superpixels(method=method, **options), x).owner[0, 0]
    left, right = set(owner[:, :19].ravel()), set(owner[:, 21:].ravel())
    assert not left & right
    if method == "slic":
        assert min(len(left), len(right)) >= 4


def test_superpixels_of_a_constant_image_are_patches_of_some_kind():
    bound = encoded(Superpixels(16), np.full((1, 3, 40, 40), 7.0))
    assert bound.counts[0] == 16 and np.bincount(bound.owner.ravel()).max() <= 150


def test_players_of_images_are_called_what_they_are(photographs):
    """Places are counted down and across; a series has one of them."""
    pytest.importorskip("skimage")

    def names(players, x=photographs, axis=-1):
        model = lambda x: x.reshape(len(x), -1).sum(axis=1)  # noqa: E731
        e = xai.explain(
            model, x, "occlusion", removal=Baseline(0), players=players, channel_axis=axis
        )
        assert set(e[0].to_frame().feature) <= set(e.feature_names)
        return e.feature_names

    x = np.zeros((1, 6, 8, 3))
    assert names(Patches((3, 2)), x)[:5] == [*(f"patch (0, {j})" for j in range(4)), "patch (1, 0)"]
    assert names(Grid(3), x)[-1] == "cell (2, 2)" and len(names(Grid(3), x)) == 9
    assert names(Windows(4, stride=2), x)[-1] == "window (1, 2)"
    assert names(Superpixels(8))[:2] == ["region 0", "region 1"]
    assert names(Patches(1), x)[9] == "[1, 1]"
    assert names(Patches(4), np.zeros((1, 10, 2))) == ["patch 0", "patch 1", "patch 2"]
    assert names(Patches(2), np.zeros((1, 2, 2, 4)), 0)[-1] == "patch (0, 0, 1)"


def test_superpixels_that_differ_in_number_pad_with_nan(photographs):
    e = xai.explain(score, photographs, "occlusion", players=Superpixels(20), channel_axis=1)
    counts = encoded(Superpixels(20), photographs).counts
    assert e.values.shape == (3, counts.max())
    np.testing.assert_array_equal(np.isnan(e.values).sum(axis=1), counts.max() - counts)
    assert e.players == "Superpixels(n=20)" and np.isfinite(e.map()).all()
    for i in range(3):
        alone = xai.explain(
            score, photographs[i : i + 1], "occlusion", players=Superpixels(20), channel_axis=1
        )
        np.testing.assert_allclose(alone.values[0], e.values[i, : counts[i]], atol=1e-12)


@pytest.mark.parametrize(
    "told",
    [
        {"n": 50, "compactness": 20.0, "sigma": 1.0},
        {"method": "quickshift", "kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2},
    ],
)
def test_superpixels_are_told_what_is_written_where_nothing_is_given(photographs, told):
    usual = Superpixels(method=told.get("method", "slic"))
    own, given = (encoded(players, photographs).owner for players in (usual, Superpixels(**told)))
    np.testing.assert_array_equal(own, given)
    assert repr(usual) in ("Superpixels()", "Superpixels(method='quickshift')")


@pytest.mark.parametrize("method", ["slic", "quickshift"])
def test_superpixels_of_one_channel_are_those_of_three_equal_ones(photographs, method):
    one, players = photographs[:, :1], Superpixels(method=method)
    three = encoded(players, one.repeat(3, axis=1)).owner
    np.testing.assert_array_equal(encoded(players, one).owner, three)


def test_superpixels_may_be_found_without_a_blur(photographs):
    assert encoded(Superpixels(sigma=0), photographs).counts.min() > 5


def test_superpixels_refuse_nan_by_row():
    x = np.ones((2, 3, 8, 8))
    x[1, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="row 1"):
        encoded(Superpixels(), x)


def test_without_scikit_image_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(ImportError, match=r'pip install "xai-removal\[image\]"'):
        encoded(Superpixels(), np.ones((1, 3, 8, 8)))


def test_an_overlap_says_which_windows_hold_everywhere():
    """What holds of some pieces holds of a window where it holds of each of its pieces."""
    overlap = Overlap(
        (Line(np.array([0, 2]), np.array([4, 6])), Line(np.array([0]), np.array([5])))
    )
    pieces = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], bool)
    assert overlap.windows(pieces).tolist() == [[True, False], [True, True], [False, True]]


# ------------------------------------------------------------------------------ group ids


@pytest.mark.parametrize(
    "shape",
    [(1, 4, 1), (1, 4, 5), (2, 4, 1), (2, 1, 1), (1, 2, 4, 5), (1, 1, 4, 5), (3, 2, 1, 1),
     (3, 1, 4, 1)],
)  # fmt: skip
def test_group_ids_count_for_all_places_along_an_axis_of_one(shape):
    """As captum's feature_mask; that of all images may have an axis for them."""
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 5))
    f = lambda x: np.stack([(x**2).sum(axis=(1, 2, 3)), x[:, 0, 1, 2] * x[:, 1, 3, 3]], 1)  # noqa: E731
    ids = np.random.default_rng(1).integers(0, 3, shape)
    whole = np.broadcast_to(ids, x.shape if len(shape) == 4 else x[0].shape)
    given = {"removal": xai.removal.Baseline(0), "channel_axis": 1, "target": 0}
    short, long = (xai.explain(f, x, "shapley", players=p, **given) for p in (ids, whole.copy()))
    np.testing.assert_array_equal(short.values, long.values)
    np.testing.assert_array_equal(
        *(np.broadcast_to(e.element_players, x.shape) for e in (short, long))
    )
    again = [xai.metrics.max_sensitivity(f, x, e, samples=2).values for e in (short, long)]
    np.testing.assert_array_equal(*again)


def test_group_ids_may_lie_in_memory_as_they_like(torch):
    """captum views them as a line, which it cannot of a part, or of what is turned."""
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 8))
    f = lambda x: np.stack([(np.asarray(x) ** 2).sum(axis=(1, 2, 3))] * 2, axis=1)  # noqa: E731
    wide = np.arange(2 * 48).reshape(1, 8, 12).transpose(0, 2, 1) // 7
    given = {"removal": xai.removal.Baseline(0), "channel_axis": 1, "target": 0}
    turned = wide[:, ::2]
    found = [xai.explain(f, x, "shapley", players=ids, **given).values
             for ids in (turned.copy(), turned, torch.tensor(wide)[:, ::2])]  # fmt: skip
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("shape", [(5,), (4, 5), (3, 4, 5), (2, 2, 4, 5), (1, 1, 2, 4, 5)])
def test_group_ids_of_another_shape_are_refused(shape):
    x = np.zeros((3, 2, 4, 5))
    with pytest.raises(ValueError, match=r"do not cover x: expected \(2, 4, 5\) or \(3, 2, 4, 5\)"):
        xai.explain(
            lambda x: x.sum(axis=(1, 2, 3)), x, "occlusion", removal=xai.removal.Baseline(0),
            channel_axis=1, players=np.zeros(shape, int),
        )  # fmt: skip


# ------------------------------------------------------------------------- series and volumes

PLACES = {
    "series": ((40,), Patches(7), Windows(8, stride=4), Grid(6)),
    "images": ((6, 9), Patches((2, 4)), Windows((4, 3), stride=2), Grid(3)),
    "volumes": ((4, 5, 6), Patches((2, 2, 3)), Windows((2, 3, 4), stride=(1, 2, 4)), Grid(2)),
}


def axes_of(sides, axis):
    """Rows of 3 channels, or of none, whose places have these sides; and the axis of channels."""
    shape = {1: (3, *sides), -1: (*sides, 3), 0: sides}[axis]
    x = np.random.default_rng(0).normal(size=(2, *shape))
    return x, np.abs(x).sum(axis=axis) if axis else np.abs(x)


@pytest.mark.parametrize("axis", [1, -1, 0])
@pytest.mark.parametrize("kind", PLACES)
def test_places_are_steps_pixels_or_voxels(kind, axis):
    """Occlusion of a sum is the sum over a player's places, however many axes they have."""
    sides, patches, windows, grid = PLACES[kind]
    x, total = axes_of(sides, axis)
    given = {"removal": Baseline(0), "channel_axis": axis}

    def model(x):
        return np.abs(x).reshape(len(x), -1).sum(axis=1)

    pixels = xai.explain(model, x, "occlusion", **given)
    np.testing.assert_allclose(pixels.values, total, atol=1e-12)
    for players in (patches, grid):
        e = xai.explain(model, x, "occlusion", players=players, **given)
        owner = np.take(e.element_players, 0, axis=axis) if axis else e.element_players
        sums = [[row[own == j].sum() for j in range(e.values.shape[1])]
                for row, own in zip(total, owner, strict=True)]  # fmt: skip
        np.testing.assert_allclose(e.values, sums, atol=1e-12)
        assert e.map().shape == x.shape
        assert (np.diff(owner, axis=-1) >= 0).all()  # numbered line by line
    e = xai.explain(model, x, "occlusion", players=windows, **given)
    over, count = np.zeros(total.shape), np.zeros(total.shape)
    for j, span in enumerate(e.spans):
        at = (slice(None), *(slice(*ends) for ends in span.reshape(-1, 2)))
        np.testing.assert_allclose(e.values[:, j], total[at].reshape(2, -1).sum(1), atol=1e-12)
        over[at] += e.values[:, j].reshape(2, *[1] * len(sides))
        count[at] += 1
    assert (count > 0).all() and (count > 1).any()
    mean = np.take(e.map(), 0, axis=axis) if axis else e.map()
    np.testing.assert_allclose(mean, over / count, atol=1e-12)


def test_a_series_has_regions_of_what_is_alike():
    """SLIC along time: the step from one level to the other is the end of a region."""
    pytest.importorskip("skimage")
    x = np.repeat([0.0, 1.0, 0.3], [70, 13, 37])[None, None] * np.array([[1.0], [1000.0]])
    e = xai.explain(
        lambda x: x.sum(axis=(1, 2)), x, "occlusion", players=Superpixels(10),
        removal=Baseline(0), channel_axis=1,
    )  # fmt: skip
    edges = np.flatnonzero(np.diff(e.element_players[0, 0]))
    assert {69, 82} <= set(edges) and 8 <= e.values.shape[1] <= 12
    with pytest.raises(ValueError, match=r"of images, and those of 'slic'.*use Grid"):
        xai.explain(
            lambda x: x.sum(axis=(1, 2)), x, "occlusion", players=Superpixels(method="quickshift"),
            removal=Baseline(0), channel_axis=1,
        )  # fmt: skip


def test_default_players_of_a_series_are_as_many_as_an_images():
    def model(x):
        return x.reshape(len(x), -1).sum(axis=1)

    series, volume = np.ones((1, 1, 1440)), np.ones((1, 1, 10, 20, 25))
    for method, players in [("sobol", (64, 4**3)), ("lime", (144, 5**3))]:
        for x, d in zip((series, volume), players, strict=True):
            e = xai.explain(model, x, method, budget=6000, channel_axis=1)
            assert e.values.shape == (1, d)


@pytest.mark.parametrize("axis", [3, -4, 2])
def test_a_channel_axis_that_x_has_not(axis):
    x = np.ones((1, 5)) if axis == 2 else np.ones((1, 5, 6))
    with pytest.raises(ValueError, match=r"channel_axis=.*0 \(every axis is one of places"):
        xai.explain(lambda x: x.reshape(len(x), -1).sum(axis=1), x, "occlusion",
                    removal=Baseline(0), channel_axis=axis)  # fmt: skip


def test_rows_without_channels_have_none_for_players():
    with pytest.raises(ValueError, match="channel_axis=0 says there are none"):
        xai.explain(lambda x: x.sum(axis=1), np.ones((1, 5)), "occlusion", players=Channels(),
                    removal=Baseline(0), channel_axis=0)  # fmt: skip


def test_explanations_share_the_names_of_pixels_and_not_their_list():
    first, second = (
        xai.explain(lambda x: x.sum(axis=(1, 2, 3)), np.ones((1, 20, 20, 1)), "occlusion")
        for _ in range(2)
    )
    assert first.feature_names == [str([i, j]) for i in range(20) for j in range(20)]
    assert all(a is b for a, b in zip(first.feature_names, second.feature_names, strict=True))
    first.feature_names[0] = "corner"
    assert second.feature_names[0] == "[0, 0]"
