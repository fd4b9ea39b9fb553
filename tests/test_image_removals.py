"""Blur, its pyramid, inpainting and noise: each against its definition, and the game's laws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import gaussian_filter

import xai
from xai import streams
from xai.composition import composer
from xai.inputs import read
from xai.kernels import harmonic, planes
from xai.players import Channels, Patches, Windows
from xai.removal import Baseline, Blur, BlurPyramid, Inpaint, Noise, blur
from xai.removal.base import Context
from xai.setting import open_setting


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def images():
    """Two smooth 3 x 20 x 24 images with edges."""
    rng = np.random.default_rng(0)
    x = gaussian_filter(rng.normal(size=(2, 3, 20, 24)), (0, 0, 2, 2)) * 5
    x[:, :, 8:14, 5:12] += 1
    return x


def score(x):
    """(n, 3, 20, 24) -> (n, 2), nothing but + and *."""
    x = np.asarray(x, float)
    weight = np.linspace(-1.0, 2.0, x[0].size).reshape(x.shape[1:])
    s = (x * weight).sum(axis=(1, 2, 3)) / 100
    return np.stack([s + 0.1 * s * s, 1 - s], axis=1)


def bound(removal, x, axis=1, data=None, seed=0):
    return removal.bind(Context(read(x, data), data, seed, axis))


def replacement(removal, x, rows=None, draws=None, **keywords):
    """What stands in for rows whose every feature is removed."""
    rows = np.arange(len(x)) if rows is None else np.asarray(rows)
    draws = np.zeros_like(rows) if draws is None else np.asarray(draws)
    made = bound(removal, x, **keywords)
    block, places = made.source(rows, draws)
    return block[places]


# ------------------------------------------------------------------------------------------ blur


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0, 50.0])
@pytest.mark.parametrize("kind", ["first", "last", "tensor", "tensor last"])
def test_blur_is_scipys(torch, images, sigma, kind):
    axis = 3 if "last" in kind else 1
    x = np.moveaxis(images, 1, axis)
    sigmas = [0 if a in (0, axis) else sigma for a in range(4)]
    expected = gaussian_filter(x, sigmas, mode="reflect")
    got = replacement(Blur(sigma), torch.tensor(x) if "tensor" in kind else x, axis=axis)
    np.testing.assert_allclose(np.asarray(got), expected, rtol=0, atol=1e-13)


def test_no_blur_is_the_image(images):
    np.testing.assert_array_equal(replacement(Blur(0), images), images)


@pytest.mark.parametrize(("height", "width"), [(224, 300), (112, 80)])
def test_blur_is_20_pixels_at_224(height, width):
    x = np.random.default_rng(0).random((1, 1, height, width))
    given = replacement(Blur(20 * min(height, width) / 224), x)
    np.testing.assert_array_equal(replacement(Blur(), x), given)


@pytest.mark.parametrize(
    ("dtype", "room"), [("float32", 1e-6), ("float16", 3e-3), ("uint8", 1e-6), ("bfloat16", 3e-2)]
)
def test_blur_keeps_floats_what_they_are_and_does_not_round_integers(torch, images, dtype, room):
    x = torch.tensor(np.round(images * 20 + 128) if dtype == "uint8" else images)
    x = x.to(getattr(torch, dtype))
    got = replacement(Blur(2), x)
    assert got.dtype == (torch.get_default_dtype() if dtype == "uint8" else x.dtype)
    expected = gaussian_filter(x.double().numpy(), (0, 0, 2, 2))
    np.testing.assert_allclose(got.double().numpy(), expected, rtol=room, atol=room)
    if dtype != "bfloat16":  # NumPy has none
        array = replacement(Blur(2), x.numpy())
        assert array.dtype == (np.float64 if dtype == "uint8" else dtype)
        np.testing.assert_allclose(array, expected, rtol=room, atol=room)


def test_many_images_are_blurred_in_parts(images, monkeypatch):
    whole = replacement(Blur(2), np.concatenate([images] * 4))
    monkeypatch.setattr(blur, "CHUNK_BYTES", 3 * 8 * images[0].size)
    np.testing.assert_array_equal(replacement(Blur(2), np.concatenate([images] * 4)), whole)


# --------------------------------------------------------------------------------------- pyramid


def pyramid_by_hand(x, masks, sigma, levels):
    """Each pixel between the two levels that its mask lies between; loops."""
    sigmas = [sigma * (1 - level / (levels - 1)) for level in range(levels)]
    blurs = [gaussian_filter(x, (0, s, s)) if s > 0 else x for s in sigmas]
    out = np.empty_like(x)
    for place in np.ndindex(x.shape[1:]):
        t = masks[place] * (levels - 1)
        below = min(int(t), levels - 2)
        low, high = (blurs[level][:, *place] for level in (below, below + 1))
        out[:, *place] = low + (t - below) * (high - low)
    return out


@pytest.mark.parametrize("levels", [2, 3, 8])
@pytest.mark.parametrize("kind", ["first", "last", "tensor", "tensor last"])
def test_a_pyramid_lies_between_its_levels(torch, images, levels, kind):
    axis = 3 if "last" in kind else 1
    x, rows = np.moveaxis(images, 1, axis), np.array([1, 0, 1, 1, 0])
    masks = np.random.default_rng(0).random((5, 20, 24))
    masks[0, 0, :2], masks[1, :, 3] = [0, 1], 1
    given = np.expand_dims(masks, axis)
    tensor = "tensor" in kind
    made = bound(BlurPyramid(3.0, levels), torch.tensor(x) if tensor else x, axis)
    got = made.inputs(rows, torch.tensor(given) if tensor else given, np.zeros(5, int))
    expected = [
        pyramid_by_hand(images[row], mask, 3.0, levels)
        for row, mask in zip(rows, masks, strict=True)
    ]
    np.testing.assert_allclose(np.moveaxis(np.asarray(got), axis, 1), expected, atol=1e-12)


def test_a_pyramid_blurs_each_channel_by_its_own_mask(images):
    rows, masks = np.array([1, 0]), np.random.default_rng(0).random((2, 3, 20, 24))
    got = bound(BlurPyramid(3.0, 5), images).inputs(rows, masks, rows)
    for c in range(3):
        alone = bound(BlurPyramid(3.0, 5), images[:, [c]]).inputs(rows, masks[:, [c]], rows)
        np.testing.assert_allclose(got[:, [c]], alone, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_pyramid_ends_exactly_at_the_image_and_at_the_strongest_blur(torch, images, dtype):
    x = torch.tensor(images).to(getattr(torch, dtype))
    rows, ones = np.array([1, 0]), torch.ones(2, 1, 20, 24)
    for levels in (2, 8):
        made = bound(BlurPyramid(levels=levels), x)
        assert torch.equal(made.inputs(rows, ones, rows * 0), x[[1, 0]])
    strongest = replacement(Blur(), x, rows)
    # one image's product may round otherwise than that of many
    room = {"rtol": 0, "atol": 0.02 if dtype == "bfloat16" else 1e-6}
    torch.testing.assert_close(made.inputs(rows, 0 * ones, rows * 0), strongest, **room)


def test_hard_coalitions_of_a_pyramid_are_a_blur(images):
    keywords = {"players": Patches(6), "budget": 300, "channel_axis": 1}
    one = xai.explain(score, images, "shapley", removal="blur_pyramid", sigma=2.5, **keywords)
    other = xai.explain(score, images, "shapley", removal="blur", sigma=2.5, **keywords)
    np.testing.assert_array_equal(one.base_values, other.base_values)
    np.testing.assert_allclose(one.values, other.values, atol=1e-12)


def test_a_pyramid_is_differentiable_in_the_masks(torch, images):
    """Its slope is the difference of two levels, times levels − 1."""
    made = bound(BlurPyramid(2.0, 4), torch.tensor(images[:, :, :4, :5]))
    masks = (torch.rand(3, 1, 4, 5).double() * 0.2 + 0.4).requires_grad_()
    rows = np.array([0, 1, 0])

    def inputs(masks):
        return made.inputs(rows, masks, rows * 0)

    assert torch.autograd.gradcheck(inputs, masks)


def test_a_pyramid_of_halves_is_that_of_floats_to_their_rounding(torch, images):
    """Values and slopes: what Numba does not know is blended by torch, as on a device."""
    rows, slopes, values = np.array([1, 0, 1]), [], []
    for dtype in (torch.bfloat16, torch.float32):
        made = bound(BlurPyramid(2.0, 4), torch.tensor(images).to(dtype))
        masks = (torch.arange(3 * 480).reshape(3, 1, 20, 24) % 97 / 97.5 + 1e-3).requires_grad_()
        out = made.inputs(rows, masks, rows * 0)
        assert out.dtype == dtype
        values.append(out.detach().float())
        slopes.append(torch.autograd.grad(out.float().sum(), masks)[0])
    torch.testing.assert_close(*values, rtol=0, atol=0.03)
    assert np.corrcoef(*(s.numpy().ravel() for s in slopes))[0, 1] > 0.99


def test_a_pyramid_is_computed_once_for_each_row(images, monkeypatch):
    calls = []
    of_row = blur.Blurs.of_row
    monkeypatch.setattr(
        blur.Blurs, "of_row", lambda self, row: calls.append(row) or of_row(self, row)
    )
    made, masks = bound(BlurPyramid(), images), np.full((4, 1, 20, 24), 0.3)
    for rows in ([0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1], [0, 1, 0, 1]):
        made.inputs(np.array(rows), masks, np.zeros(4, int))
    assert calls == [0, 1]


def test_pyramids_beyond_their_memory_are_forgotten(images, monkeypatch):
    many = np.concatenate([images + i for i in range(4)])
    rows, masks = np.arange(8)[::-1].copy(), np.random.default_rng(0).random((8, 1, 20, 24))
    expected = bound(BlurPyramid(), many).inputs(rows, masks, rows)
    for room, kept in ((3.5, 3), (0.5, 1)):  # one is kept however large it is
        monkeypatch.setattr(blur, "PYRAMID_BYTES", int(room * 8 * images[0].nbytes))
        pyramid = blur.Pyramid(blur.Blurs(*parts(many)))
        for batch in (slice(0, 5), slice(5, 8)):
            got = pyramid.inputs(rows[batch], masks[batch])
            np.testing.assert_array_equal(got, expected[batch])
            assert len(pyramid.kept) <= kept
        assert list(pyramid.kept)[-1] == 2 and len(pyramid.kept) == kept


def parts(x):
    """What `Blurs` holds of a default pyramid."""
    sigmas = blur.SIGMA * 20 * (1 - np.arange(8) / 7)
    made = blur.Blurs.of(Context(read(x), None, 0, 1), sigmas)
    return made.block, 1, made.lines, made.sigmas


# ------------------------------------------------------------------------------------ inpainting


def filled_by_hand(x, kept):
    """The equations of ROAD, one for each removed pixel, solved as they stand: x (h, w)."""
    height, width = x.shape
    removed = [tuple(place) for place in np.argwhere(~kept)]
    number = {place: i for i, place in enumerate(removed)}
    A, b = np.zeros((len(removed), len(removed))), np.zeros(len(removed))
    for i, (y, z) in enumerate(removed):
        for dy in (-1, 0, 1):
            for dz in (-1, 0, 1):
                at = (y + dy, z + dz)
                if (dy, dz) == (0, 0) or not (0 <= at[0] < height and 0 <= at[1] < width):
                    continue
                weight = 1 / 12 if dy and dz else 1 / 6
                A[i, i] += weight
                if at in number:
                    A[i, number[at]] -= weight
                else:
                    b[i] += weight * x[at]
    out = x.copy()
    out[tuple(np.transpose(removed))] = np.linalg.solve(A, b)
    return out


def holes():
    """Masks (20, 24), True where kept."""
    rng, whole = np.random.default_rng(1), np.ones((20, 24), bool)
    centre, edge, one = whole.copy(), whole.copy(), ~whole
    centre[4:15, 5:19], edge[:, :9], one[7, 11] = False, False, True
    patches = np.kron(rng.random((5, 6)) < 0.5, np.ones((4, 4), bool)).astype(bool)
    return {
        "centre": centre, "edge": edge, "patches": patches, "pixels": rng.random((20, 24)) < 0.5,
        "few pixels": rng.random((20, 24)) < 0.1, "lines": np.tile(np.arange(24) % 6 == 0, (20, 1)),
        "one kept": one, "one removed": ~one, "all kept": whole,
    }  # fmt: skip


@pytest.mark.parametrize("hole", holes())
def test_inpainting_solves_roads_equations(images, hole):
    """To less than 1 % of the range, root mean square: far less where holes are compact."""
    kept = holes()[hole]
    got = bound(Inpaint(), images).inputs(np.array([1]), kept[None, None], np.array([0]))[0]
    for channel in range(3):
        x = images[1, channel]
        expected = filled_by_hand(x, kept) if not kept.all() else x
        error = (got[channel] - expected)[~kept] / np.ptp(images[1])
        assert np.sqrt((error**2).sum()) <= 0.005 * np.sqrt(max(1, error.size))
        np.testing.assert_array_equal(got[channel][kept], x[kept])


@pytest.mark.parametrize(("share", "most"), [(0.2, 0.01), (0.05, 0.02), (0.02, 0.03)])
def test_inpainting_between_few_pixels(share, most):
    """The errors that are told of pixels kept here and there; the mean over masks."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(8):
        x, kept = rng.random((28, 28)), np.zeros((28, 28), bool)
        kept.ravel()[rng.permutation(784)[: int(share * 784)]] = True
        error = harmonic.filled(x[None, None], kept[None, None])[0, 0] - filled_by_hand(x, kept)
        errors.append(np.sqrt((error[~kept] ** 2).mean()) / np.ptp(x))
    assert np.mean(errors) < most


def test_more_cycles_converge_to_roads_equations(images, monkeypatch):
    kept, worst = holes()["patches"], []
    expected = np.stack([filled_by_hand(x, kept) for x in images[0]])
    for cycles in (1, 3, 6, 12, 24):
        monkeypatch.setattr(harmonic, "CYCLES", cycles)
        worst.append(abs(harmonic.filled(images[:1], kept[None, None])[0] - expected).max())
    assert all(b < 0.6 * a for a, b in pairwise(worst)), worst
    assert worst[-1] < 1e-4 * worst[0]


SIZES = pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 2), (3, 5), (33, 17)])


@SIZES
def test_inpainting_any_size_of_image(size):
    """A plane of one number stays it; what is filled in stays within the range of what is kept."""
    rng = np.random.default_rng(0)
    kept = rng.random((6, 1, *size)) < 0.4
    kept[:, 0, 0, 0] = True
    np.testing.assert_allclose(harmonic.filled(np.full((6, 2, *size), 3.5), kept), 3.5, rtol=1e-12)
    x = rng.normal(size=(6, 2, *size))
    out = harmonic.filled(x, kept)
    low, high = np.where(kept, x, np.inf).min((2, 3)), np.where(kept, x, -np.inf).max((2, 3))
    room = 0.02 * (high - low) + 1e-12
    assert (out.min((2, 3)) >= low - room).all() and (out.max((2, 3)) <= high + room).all()


@SIZES
def test_images_of_any_size_are_filled_in_torch_as_on_the_host(torch, size):
    rng = np.random.default_rng(0)
    x, kept = rng.normal(size=(6, 2, *size)), rng.random((6, 1, *size)) < 0.4
    kept[:, 0, 0, 0] = True
    tensors = harmonic.filled(torch.tensor(x), torch.tensor(kept)).numpy()
    np.testing.assert_allclose(tensors, harmonic.filled(x, kept), rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_what_is_removed_leaves_no_trace(torch, images, kind):
    """Other numbers in a hole give the same filling, unless nothing else is left."""
    kept = np.stack(list(holes().values()))[:, None]
    other = np.where(kept, images[:1], 1e3 * np.random.default_rng(5).normal(size=images[:1].shape))
    same = np.repeat(images[:1], len(kept), axis=0)
    fill = harmonic.filled
    if kind == "tensor":
        kept, same, other = (torch.tensor(a) for a in (kept, same, other))
    np.testing.assert_array_equal(np.asarray(fill(same, kept)), np.asarray(fill(other, kept)))


@pytest.mark.parametrize("size", [(9, 14), (1, 5), (20, 3)])
def test_a_pixel_that_is_kept_alone_fills_its_image(torch, size):
    """As arrays and as tensors: where all but one is removed, every mean is of that one."""
    rng = np.random.default_rng(0)
    x, kept = rng.normal(size=(6, 2, *size)) + 3, np.zeros((6, 1, *size), bool)
    places = rng.integers(size[0] * size[1], size=6)
    kept.reshape(6, -1)[np.arange(6), places] = True
    own = x.reshape(6, 2, -1)[np.arange(6), :, places]
    for filled in (
        harmonic.filled(x, kept),
        harmonic.filled(torch.tensor(x), torch.tensor(kept)).numpy(),
    ):
        np.testing.assert_allclose(filled, np.broadcast_to(own[..., None, None], x.shape))


def test_nothing_kept_is_the_images_own_mean(torch, images):
    nothing = np.zeros((2, 1, 20, 24), bool)
    expected = np.broadcast_to(images.mean((2, 3), keepdims=True), images.shape)
    for axis, given in ((1, images), (3, np.moveaxis(images, 1, 3))):
        e = xai.explain(
            score if axis == 1 else lambda x: score(np.moveaxis(x, 3, 1)), given, "occlusion",
            removal="inpaint", players=Patches(10), channel_axis=axis, target=0,
        )  # fmt: skip
        np.testing.assert_allclose(e.base_values, score(expected)[:, 0], atol=1e-12)
    tensors = harmonic.filled(torch.tensor(images), torch.tensor(nothing))
    np.testing.assert_allclose(tensors.numpy(), expected, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_are_filled_alike_alone_together_and_in_torch(torch, images, dtype):
    """On the host by a compiled pass, on a device by torch's operations."""
    x = np.tile(images, (9, 1, 1, 1))[:9].astype(dtype)
    kept = np.stack(list(holes().values()))[:, None]
    together = harmonic.filled(x, kept)
    assert together.dtype == dtype
    for i in range(9):
        alone = harmonic.filled(x[i : i + 1], kept[i : i + 1])[0]
        np.testing.assert_allclose(together[i], alone, rtol=0, atol=1e-12 + 1e-6 * (x.itemsize < 8))
    tensors = harmonic.filled(torch.tensor(x), torch.tensor(kept)).numpy()
    np.testing.assert_allclose(tensors, together, atol=1e-11 if dtype == "float64" else 2e-5)


@pytest.mark.parametrize("size", [(20, 24), (1, 7), (33, 17), (2, 2)])
def test_the_compiled_passes_are_the_plain_ones(torch, size):
    """Each step of the multigrid: as Python runs it, and as torch's own operations."""
    rng = np.random.default_rng(0)
    u, f, share, weights = rng.normal(size=(4, *size))
    small = rng.normal(size=tuple((n + 1) // 2 for n in size))
    planes.weigh(weights)
    line, given = np.empty(size[1] + 2), [u, f, 0.7 * share, weights]
    tensors = [torch.tensor(a[None, None]) for a in given]
    torchs = {
        planes.restrict: harmonic._restricted(tensors[0]),
        planes.prolong: harmonic._prolonged(torch.tensor(small[None, None]), (1, 1, *size)),
        planes.pull: harmonic._pulled(*tensors, 1),
    }
    np.testing.assert_array_equal(harmonic.Grid(tensors[0]).weights, weights)
    for step, plain in torchs.items():
        for run in (step, step.py_func):
            out = np.empty(plain.shape[2:])
            if step is planes.restrict:
                run(u, out)
            elif step is planes.prolong:
                run(small, out, 0.5)
            else:
                run(u, f, share, 0.7, weights, 1.0, out, line)
            np.testing.assert_allclose(out, plain[0, 0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["array", "tensor", "bfloat16", "uint8"])
def test_inpainting_keeps_xs_kind(torch, images, kind):
    x = np.round(images * 20 + 128).astype(np.uint8) if kind == "uint8" else images
    if kind in ("tensor", "bfloat16"):
        x = torch.tensor(x)
        x = x.bfloat16() if kind == "bfloat16" else x
    kept = holes()["patches"][None, None]
    kept = torch.tensor(kept) if kind in ("tensor", "bfloat16") else kept
    out = bound(Inpaint(), x).inputs(np.array([0]), kept, np.array([0]))
    assert out.dtype == (np.float64 if kind == "uint8" else x.dtype)
    given = np.asarray(x.double() if hasattr(x, "double") else x, float)
    mask = holes()["patches"]
    expected = np.stack([filled_by_hand(channel, mask) for channel in given[0]])
    got = np.asarray(out.double() if hasattr(out, "double") else out)[0]
    np.testing.assert_allclose(got, expected, atol=0.02 * np.ptp(given))


@pytest.mark.parametrize("axis", [1, 3])
def test_inpainting_on_a_device_is_that_on_the_host(torch, images, axis):
    """A tensor's own operations, wherever it lives."""
    kept = torch.tensor(np.expand_dims(np.stack(list(holes().values())), axis))
    x, rows = torch.tensor(np.moveaxis(images, 1, axis).copy()), np.arange(len(kept)) % 2
    filler = bound(Inpaint(0.02), x, axis).inputs.__self__
    host, device = (filler._filled(rows, kept, host=host) for host in (True, False))
    assert host.shape == (len(kept), *x.shape[1:])
    torch.testing.assert_close(device, host, rtol=0, atol=1e-10)


def test_channels_are_inpainted_each_from_itself(images):
    """A colour of which nothing is kept becomes its mean; the others stay."""
    e = xai.explain(
        score, images, "occlusion", removal=Inpaint(), players=Channels(), channel_axis=1, target=0
    )
    for channel in range(3):
        gone = images.copy()
        gone[:, channel] = images[:, channel].mean((1, 2), keepdims=True)
        expected = (score(images) - score(gone))[:, 0]
        np.testing.assert_allclose(e.values[:, channel], expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_soft_masks_cannot_be_inpainted(torch, images, kind):
    x = torch.tensor(images) if kind == "tensor" else images
    with open_setting(score, x, "occlusion", removal="inpaint", players=Patches(10), target=0,
                      options={"channel_axis": 1}) as setting:  # fmt: skip
        [(_, game)] = setting.games()
        with pytest.raises(ValueError, match="whole coalitions only"):
            game.value([0], np.full((1, 6), 0.5))


def test_noise_on_what_is_filled_in(images):
    """Normal, in each image's range, only in holes, the same for every mask."""
    big = np.tile(images, (1, 1, 5, 5)) * np.array([1.0, 7.0])[:, None, None, None]
    kept = np.ones((2, 1, 100, 120), bool)
    kept[:, :, :, 60:] = False
    rows = np.arange(2)
    plain, noisy = (bound(Inpaint(noise), big).inputs(rows, kept, rows) for noise in (0.0, 0.05))
    left = (noisy - plain) / np.ptp(big, axis=(1, 2, 3))[:, None, None, None]
    assert (left[..., :60] == 0).all()
    noise = left[0, :, :, 60:].ravel()
    np.testing.assert_allclose(left[1, :, :, 60:].ravel(), noise, atol=1e-7)
    assert stats.kstest(noise / 0.05, "norm").pvalue > 0.01
    kept[:, :, :50] = False
    more = bound(Inpaint(0.05), big).inputs(rows, kept, rows)
    plain = bound(Inpaint(), big).inputs(rows, kept, rows)
    again = ((more - plain)[0] / np.ptp(big[0]))[:, 50:, 60:]
    np.testing.assert_allclose(again, left[0, :, 50:, 60:], atol=1e-7)


# ----------------------------------------------------------------------------------------- noise


def test_normal_numbers_are_normal_and_independent():
    drawn = streams.normals(3, streams.REPLACEMENT, np.arange(300), 301)
    assert drawn.shape == (300, 301) and drawn.dtype == np.float32
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 0.01
    assert abs(drawn).max() > 4 and abs(drawn.mean()) < 4 / 300
    np.testing.assert_allclose((drawn**4).mean(), 3, rtol=0.05)
    for other in (drawn[:, 1:] * drawn[:, :-1], drawn[1:] * drawn[:-1], drawn[:, 151:] ** 2 - 1):
        assert abs(other.mean()) < 4 * other.std() / np.sqrt(other.size)
    pairs = drawn[:, :150] ** 2 * drawn[:, 151:] ** 2  # of the two numbers that share 64 bits
    assert abs(pairs.mean() - 1) < 4 * pairs.std() / np.sqrt(pairs.size)


def test_normal_numbers_are_the_same_in_torch_and_in_any_batch(torch):
    from xai.kernels import tensors

    samples = np.array([0, 5, 2**33, 7])
    for width in (1, 2, 9):
        drawn = streams.normals(1, streams.REPLACEMENT, samples, width)
        there = tensors.normals(1, streams.REPLACEMENT, torch.tensor(samples), width)
        np.testing.assert_allclose(there.numpy(), drawn, rtol=1e-5, atol=1e-6)
        for i in range(4):
            alone = streams.normals(1, streams.REPLACEMENT, samples[i : i + 1], width)
            np.testing.assert_array_equal(alone[0], drawn[i])


@pytest.mark.parametrize("kind", ["array", "tensor", "device"])
def test_a_draws_noise_is_the_same_for_all_rows(torch, images, kind, monkeypatch):
    """x + 0.15 (max − min) times one field of normal numbers for each draw."""
    x = images * np.array([1.0, 30.0])[:, None, None, None]
    given = x if kind == "array" else torch.tensor(x)
    rows, draws = np.array([0, 1, 1, 0, 1]), np.array([4, 4, 9, 9, 4])
    got = np.asarray(replacement(Noise(), given, rows, draws))
    noise = (got - x[rows]) / (0.15 * np.ptp(x, axis=(1, 2, 3)))[rows, None, None, None]
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-6)
    np.testing.assert_allclose(noise[2], noise[3], atol=1e-6)
    np.testing.assert_allclose(got[1], got[4], atol=1e-6)
    assert abs(np.corrcoef(noise[0].ravel(), noise[2].ravel())[0, 1]) < 0.1
    assert abs(noise[0].std() - 1) < 0.06
    field = streams.normals(0, streams.REPLACEMENT, np.array([4]), 3 * 20 * 24)
    np.testing.assert_allclose(noise[0].ravel(), field[0], atol=1e-5)


def test_a_tables_noise_is_a_share_of_each_columns_deviation():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(500, 3)) * [1.0, 10.0, 0.0] + 5
    x = rng.normal(size=(2, 3))
    draws = np.arange(4000)
    got = replacement(Noise(), x, np.ones(4000, int), draws, axis=None, data=data) - x[1]
    np.testing.assert_allclose(got.std(axis=0), 0.15 * data.std(axis=0), rtol=0.05)
    own = replacement(Noise(data=data), x, np.ones(4000, int), draws, axis=None) - x[1]
    np.testing.assert_array_equal(own, got)
    for sigma in (2.0, [2.0, 0.5, 0.0]):
        given = replacement(Noise(sigma), x, np.ones(4000, int), draws, axis=None) - x[1]
        np.testing.assert_allclose(given.std(axis=0), np.broadcast_to(sigma, 3), rtol=0.05)


def test_noise_of_a_table_needs_a_background_or_a_sigma():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"sigma= or data="):
        xai.explain(lambda x: x.sum(axis=1), x, "occlusion", removal="noise")
    for sigma, words in ((-1.0, "negative"), (np.inf, "finite"), ("big", "number"),
                         ([1.0, 2.0], "shape")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            xai.explain(lambda x: x.sum(axis=1), x, "occlusion", removal=Noise(sigma))
    with pytest.raises(ValueError, match="n_draws"):
        xai.explain(lambda x: x.sum(axis=1), x, "occlusion", removal=Noise(1.0, n_draws=0))


def test_noise_refuses_categories_and_sparse_rows():
    from scipy import sparse

    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, 2.0], "town": ["Bonn", "Kiel"]})
    with pytest.raises(ValueError, match="town"):
        xai.explain(lambda x: x["a"].to_numpy(), frame, "occlusion", removal=Noise(1.0))
    with pytest.raises(TypeError, match="toarray"):
        xai.explain(
            lambda x: x.sum(axis=1), sparse.csr_array(np.eye(3)), "occlusion", removal=Noise(1.0)
        )


@pytest.mark.parametrize("kind", ["array", "frame", "tensor"])
def test_noise_makes_integers_floats(kind):
    x = np.array([[1, 2], [3, 4]])
    given = x
    if kind == "frame":
        given = pytest.importorskip("pandas").DataFrame(x, columns=["a", "b"])
    elif kind == "tensor":
        given = pytest.importorskip("torch").tensor(x)
    seen = []

    def model(rows):
        seen.append(np.asarray(rows))
        return np.asarray(rows).astype(float).sum(axis=1)

    xai.explain(model, given, "shapley", removal=Noise(0.1), budget=300)
    values = np.concatenate(seen)
    noisy = values[values != np.rint(values)]
    assert len(noisy) > 100
    assert np.abs(noisy - np.rint(noisy)).max() > 0.1


def test_noise_leaves_a_linear_models_values_at_zero_on_average():
    """E[f(x with noise)] = f(x): each value is the noise of its mean, as its error says."""
    w, x = np.array([1.0, -2.0, 3.0]), np.ones((1, 3))
    e = xai.explain(lambda x: x @ w, x, "shapley", removal=Noise(1.0, n_draws=2000), budget=20_000)
    assert (np.abs(e.values) < 5 * e.std_error).all() and (e.std_error < 0.1).all()
    square = xai.explain(
        lambda x: (x**2).sum(axis=1), x, "shapley", removal=Noise(2.0, n_draws=2000), budget=20_000
    )
    np.testing.assert_allclose(square.values, -4.0, atol=5 * square.std_error.max())


# ------------------------------------------------------------------------ the laws, for all of them

REMOVALS = {
    "blur": Blur(), "blur_pyramid": BlurPyramid(), "inpaint": Inpaint(),
    "noisy inpaint": Inpaint(0.05), "noise": Noise(n_draws=4),
}  # fmt: skip
METHODS = ["occlusion", "shapley", "kernel_shap", "banzhaf", "lime", "mean_when_included"]


def explained(model, x, method, removal, **keywords):
    rest = {"players": Patches((5, 6)), "budget": 100, "channel_axis": 1, "removal": removal}
    return xai.explain(model, x, method, **(rest | keywords))


@pytest.mark.parametrize("name", [*REMOVALS, "baseline"])
def test_images_written_over_others_are_removed_anew(images, name):
    """shap's masker knows an image by where it lies in memory, and hands on the blur of another."""
    removal = REMOVALS.get(name, Baseline("mean"))
    buffer = images.copy()
    first = explained(score, buffer, "occlusion", removal)
    buffer[:] = images[::-1] ** 2
    second = explained(score, buffer, "occlusion", removal)
    np.testing.assert_array_equal(
        second.values, explained(score, images[::-1] ** 2, "occlusion", removal).values
    )
    assert (second.values != first.values).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", REMOVALS)
def test_budget_batches_and_neighbours(counting, images, name, method):
    model, removal, kept = counting(score), REMOVALS[name], images.copy()
    e = explained(model, images, method, removal)
    np.testing.assert_array_equal(images, kept)
    assert np.isfinite(e.values).all()
    assert e.evaluations == -(-model.rows // 2) <= 100
    for batch_size in (1, 7):
        again = explained(score, images, method, removal, batch_size=batch_size)
        assert again.evaluations == e.evaluations
        np.testing.assert_allclose(again.values, e.values, rtol=1e-9, atol=1e-10)
    for i in range(2):
        alone = explained(score, images[i : i + 1], method, removal)
        np.testing.assert_allclose(alone.values[0], e.values[i], rtol=1e-9, atol=1e-10)
    threads = explained(score, images, method, removal, n_jobs=2)
    np.testing.assert_allclose(threads.values, e.values, rtol=1e-9, atol=1e-10)


@pytest.fixture(scope="module")
def module(torch):
    """`score` as a module, in double precision."""

    class Score(torch.nn.Module):
        def __init__(self):
            super().__init__()
            weight = torch.linspace(-1.0, 2.0, 3 * 20 * 24, dtype=torch.float64)
            self.weight = torch.nn.Parameter(weight.reshape(3, 20, 24))

        def forward(self, x):
            s = (x * self.weight).sum(dim=(1, 2, 3)) / 100
            return torch.stack([s + 0.1 * s * s, 1 - s], dim=1)

    return Score()


@pytest.mark.parametrize("name", REMOVALS)
def test_modules_get_the_same_inputs_as_functions(torch, images, module, name):
    """In torch and in NumPy; the module's own dtype, and nothing of it changed."""
    module.train()
    one = explained(module, torch.tensor(images), "shapley", REMOVALS[name])
    other = explained(score, images, "shapley", REMOVALS[name])
    assert module.training and module.weight.requires_grad and module.weight.grad is None
    np.testing.assert_allclose(one.values, other.values, atol=1e-5)
    np.testing.assert_allclose(one.base_values, other.base_values, atol=1e-5)


SOFT = {"blur": Blur(2.0), "blur_pyramid": BlurPyramid(2.0, 5), "noise": Noise(0.3, n_draws=2)}


@pytest.mark.parametrize("players", [Patches(10), Windows(10, (4, 8))], ids=repr)
@pytest.mark.parametrize("name", SOFT)
def test_soft_coalitions_and_their_gradients(torch, images, module, name, players):
    """Values of masks in [0, 1] in NumPy and torch, and slopes by finite differences."""

    def game(model, x):
        keywords = {"removal": SOFT[name], "players": players, "target": 0}
        with open_setting(model, x, "occlusion", options={"channel_axis": 1}, **keywords) as made:
            return made.games()[0][1]

    rng = np.random.default_rng(0)
    ours, arrays = game(module, torch.tensor(images)), game(score, images)
    d, rows, draws = ours.n_players, np.array([0, 1, 1]), np.array([0, 0, 0])
    masks = rng.uniform(0.1, 0.9, size=(3, d))
    values = ours.value(rows, masks)
    np.testing.assert_allclose(values, arrays.value(rows, masks), atol=1e-6)
    assert np.ptp(values) > 0.01
    hard = masks < 0.5
    np.testing.assert_allclose(ours.value(rows, hard * 1.0), ours.value(rows, hard), atol=1e-12)
    slopes = ours.gradient(rows, masks, draws)[..., 0]
    step = 1e-5
    for i in range(d):
        up, down = masks + step * np.eye(d)[i], masks - step * np.eye(d)[i]
        slope = ours.sample(rows, up, draws) - ours.sample(rows, down, draws)
        np.testing.assert_allclose(slopes[:, i], slope[:, 0] / (2 * step), atol=1e-6)


@pytest.mark.parametrize("name", ["blur", "blur_pyramid", "inpaint"])
def test_values_are_those_of_the_images_that_the_removal_makes(images, oracle, name):
    """Four patches: Shapley values by enumeration of the removal's own inputs."""
    e = explained(score, images, "exact_shapley", name, players=Patches((10, 12)), target="all")
    bound_players = Patches((10, 12)).encode(read(images), 1)
    draws = bound(REMOVALS[name], images)
    for i in range(2):

        def v(S, row=i):
            make = composer(read(images), bound_players, draws)(S)
            rows = np.full(len(S), row)
            return score(make(rows, np.arange(len(S)), 0 * rows))

        np.testing.assert_allclose(e.values[i], oracle.shapley(v, 4), atol=1e-12)
    assert e.std_error is None and e.removal == repr(REMOVALS[name])


@pytest.mark.parametrize("name", ["blur", "blur_pyramid", "inpaint"])
def test_the_removals_of_images_are_not_for_tables(name):
    with pytest.raises(ValueError, match="for images"):
        xai.explain(lambda x: x.sum(axis=1), np.ones((2, 4)), "occlusion", removal=name)


@pytest.mark.parametrize(
    ("removal", "error", "words"),
    [
        (Blur(-1), ValueError, "negative"),
        (Blur(np.inf), ValueError, "finite"),
        (Blur("much"), TypeError, "number of pixels"),
        (Blur(True), TypeError, "number of pixels"),
        (BlurPyramid(levels=1), ValueError, "at least 2"),
        (BlurPyramid(levels=2.5), ValueError, "integer"),
        (Inpaint(-0.1), ValueError, "negative"),
        (Inpaint(np.inf), ValueError, "finite"),
    ],
)
def test_settings_that_cannot_be_are_refused(images, removal, error, words):
    with pytest.raises(error, match=words):
        xai.explain(score, images, "occlusion", removal=removal, channel_axis=1, target=0)


def test_a_fade_is_a_baseline_of_nothing_and_colours_are_baselines(images):
    """What needs no removal of its own: black, the mean colour, another image."""
    for removal, other in (
        (Baseline(0), 0 * images), (Baseline(images[::-1].copy()), images[::-1]),
        (Baseline("mean"), np.broadcast_to(images.mean((2, 3), keepdims=True), images.shape)),
    ):  # fmt: skip
        e = explained(score, images, "occlusion", removal, target=0)
        np.testing.assert_allclose(e.base_values, score(other)[:, 0], atol=1e-12)


@pytest.mark.parametrize("statistic", ["mean", "min", "max"])
@pytest.mark.parametrize("kind", [np.asarray, "tensor"])
def test_an_images_own_colour_leaves_unknown_pixels_out(torch, images, statistic, kind):
    """As a satellite's under clouds."""
    x = images.copy()
    x[0, 1, :3, :5] = np.nan
    expected = getattr(np, f"nan{statistic}")(x, axis=(2, 3), keepdims=True)
    for axis in (1, 3):
        block = np.moveaxis(x, 1, axis)
        given = torch.tensor(block) if kind == "tensor" else block
        got = np.moveaxis(np.asarray(replacement(Baseline(statistic), given, axis=axis)), axis, 1)
        np.testing.assert_allclose(got, np.broadcast_to(expected, x.shape), atol=1e-12)


# ------------------------------------------------------------------------- series and volumes


@pytest.mark.parametrize("axis", [1, -1, 0])
@pytest.mark.parametrize("sides", [(30,), (5, 6, 7)])
@pytest.mark.parametrize("kind", [np.asarray, "tensor"])
def test_blur_is_scipys_along_all_places(torch, sides, axis, kind):
    shape = {1: (2, *sides), -1: (*sides, 2), 0: sides}[axis]
    x = np.random.default_rng(0).normal(size=(3, *shape))
    own = axis % x.ndim
    sigmas = [0 if a == 0 or (own and a == own) else 1.7 for a in range(x.ndim)]
    expected = gaussian_filter(x, sigmas, mode="reflect")
    block = torch.tensor(x) if kind == "tensor" else x
    got = replacement(Blur(1.7), block, axis=own)
    np.testing.assert_allclose(np.asarray(got), expected, rtol=0, atol=1e-13)
    half = bound(BlurPyramid(1.7, levels=2), block, axis=own)
    masks = torch.full(x.shape, 0.25) if kind == "tensor" else np.full(x.shape, 0.25)
    got = half.inputs(np.arange(3), masks, np.zeros(3, int))
    np.testing.assert_allclose(np.asarray(got), expected + (x - expected) / 4, atol=1e-12)


@pytest.mark.parametrize("tensor", [False, True])
def test_long_lines_are_blurred_without_matrices_of_their_squares(torch, monkeypatch, tensor):
    """A second of sound has 16,000 steps: the matrices of a pyramid's blurs took 8 GB."""
    x = np.random.default_rng(0).normal(size=(3, 2, 40))
    block = torch.tensor(x) if tensor else x

    def made():
        pyramid = bound(BlurPyramid(3.0, levels=4), block)
        soft = np.linspace(0, 1, 40)[None, None] * np.ones((3, 1, 1))
        masks = torch.tensor(soft) if tensor else soft
        return [np.asarray(pyramid.inputs(np.arange(3), masks, np.zeros(3, int))),
                np.asarray(replacement(Blur(3.0), block))]  # fmt: skip

    expected = made()
    monkeypatch.setattr(blur, "LONG", 39)
    monkeypatch.setattr(blur, "_matrices", None)
    for a, b in zip(made(), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("axis", [1, -1, 0])
@pytest.mark.parametrize("tensor", [False, True])
def test_a_series_is_filled_in_by_straight_lines(torch, axis, tensor):
    """The equations' own solution on a line; multigrid's, for images, was 8 % of the range off."""
    rng, T = np.random.default_rng(0), 50
    x = rng.normal(size={1: (4, 2, T), -1: (4, T, 2), 0: (4, T)}[axis])
    kept = rng.random((4, T)) < np.array([0.02, 0.3, 0.9, 0.0])[:, None]
    kept[0, 17] = True
    masks = np.expand_dims(kept, axis) if axis else kept
    made = bound(Inpaint(), torch.tensor(x) if tensor else x, axis=axis % x.ndim)
    got = made.inputs(np.arange(4), torch.tensor(masks) if tensor else masks, np.zeros(4, int))
    assert got.shape == x.shape
    lines = np.asarray(got)[:, None] if axis == 0 else np.moveaxis(np.asarray(got), axis, 1)
    own = x[:, None] if axis == 0 else np.moveaxis(x, axis, 1)
    for i, line in np.ndindex(lines.shape[:2]):
        if kept[i].any():
            at = np.flatnonzero(kept[i])
            expected = np.interp(np.arange(T), at, own[i, line, at])
        else:
            expected = np.full(T, own[i, line].mean())
        np.testing.assert_allclose(lines[i, line], expected, atol=1e-12)


def test_a_volume_is_told_what_to_remove_with():
    x = np.ones((1, 1, 4, 5, 6))
    with pytest.raises(ValueError, match=r"no volumes of \(4, 5, 6\): pass removal=xai"):
        xai.explain(lambda x: x.sum(axis=(1, 2, 3, 4)), x, "occlusion", removal="inpaint",
                    channel_axis=1)  # fmt: skip


@pytest.mark.parametrize("name", ["blur", "blur_pyramid", "inpaint"])
def test_series_are_asked_for_their_channels(name):
    x = np.ones((2, 3, 20))
    with pytest.raises(ValueError, match=r"with channel_axis= for series and volumes \(0: "):
        xai.explain(lambda x: x.sum(axis=(1, 2)), x, "occlusion", removal=name)


def test_the_mean_of_a_series_is_its_own():
    x = np.random.default_rng(0).normal(size=(3, 2, 20))
    got = replacement(Baseline("mean"), x, axis=1)
    np.testing.assert_allclose(got, np.broadcast_to(x.mean(-1, keepdims=True), x.shape))
    got = replacement(Baseline("mean"), x[:, 0], axis=0)
    np.testing.assert_allclose(got, np.broadcast_to(x[:, 0].mean(-1, keepdims=True), (3, 20)))
