"""TCAV and ACE, what their references get wrong, planted concepts, and pictures of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

import xai
from xai.concepts import ace, fit, tcav
from xai.concepts.crops import opened
from xai.concepts.directions import Tcav, direction, from_activations, permutation_p_value
from xai.concepts.segments import _clusters, _crops, box, segment_rows, segmented
from xai.regions import Superpixels

torch = pytest.importorskip("torch")
nn = torch.nn


def linear_net(weights):
    """The mean of each channel behind a ReLU, weighed: its derivative is the same everywhere."""
    net = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        net[3].weight.copy_(torch.tensor(weights))
    return net.double()


def coloured(channel, n=30, side=12, seed=0):
    """Noise, brighter in one channel; None: in none."""
    rng = np.random.default_rng(seed)
    images = rng.random((n, 3, side, side)) * 0.3
    if channel is not None:
        images[:, channel] += 1
    return torch.tensor(images)


# --------------------------------------------------------------------------------------- TCAV


@pytest.mark.parametrize(("channel", "score"), [(0, 1.0), (1, 0.0)])
def test_a_linear_net_is_sensitive_to_all_images_or_none(channel, score):
    net = linear_net([[2.0, -2.0, 0.0], [0.0, 0.0, 1.0]])
    result = tcav(
        net, coloured(None, 10), coloured(channel, seed=1), coloured(None, 90, seed=2),
        layer="0", target=0, size=20,
    )  # fmt: skip
    assert (result.scores == score).all() and result.mean == score and result.std_error == 0
    assert (result.accuracy > 0.95).all() and result.significant(0.001)
    np.testing.assert_allclose(np.linalg.norm(result.vectors, axis=1), 1)
    assert np.abs(result.vectors[:, channel]).min() > 0.9
    with torch.no_grad():  # exact where the rest of the network is linear
        gain = net(coloured(channel, seed=1)).mean(0) - net(coloured(None, 90, seed=2)).mean(0)
    assert result.effect == pytest.approx(float(gain[0]))


@pytest.mark.parametrize("few", [4, 30])
def test_p_values_of_random_examples_are_uniform(few, monkeypatch):
    """The paper's t-test over runs that share four examples calls half of these significant."""
    monkeypatch.setattr("xai.concepts.directions.RESAMPLES", 199)
    rng = np.random.default_rng(0)
    slope = rng.normal(size=12)
    p = np.array([
        permutation_p_value(
            rng.exponential(size=(few, 12)), rng.exponential(size=(40, 12)), slope, seed=seed
        )
        for seed in range(200)
    ])  # fmt: skip
    for level in (0.05, 0.2, 0.5):
        assert abs((p <= level).mean() - level) < 3.5 * np.sqrt(level * (1 - level) / len(p))


def test_a_concept_that_moves_the_class_is_significant_however_few_its_examples():
    rng = np.random.default_rng(0)
    slopes = rng.normal(size=(50, 8))
    slopes[:, 0] = np.abs(slopes[:, 0]) * 10
    random = rng.normal(size=(100, 8))
    for few in (4, 60):
        shown = rng.normal(size=(few, 8)) + 4 * np.eye(8)[0]
        result = from_activations(shown, random, slopes, runs=4, size=40, seed=0)
        assert result.significant() and result.mean > 0.9


def test_all_swaps_of_few_examples_are_tried():
    """Of three and three examples there are 20 splits: one as far apart, and its mirror image."""
    concept, random = np.eye(3) + 5 * np.eye(3)[0], np.eye(3)
    p = [permutation_p_value(concept, random, np.array([1.0, 0, 0]), seed=s) for s in (0, 1)]
    assert p == [pytest.approx(2 / 20)] * 2


@pytest.mark.parametrize("channels", [3, 100])  # fewer than examples, and more
def test_what_is_tested_is_the_sensitivity_along_the_ridge_normal(channels):
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(1)
    concept, random = rng.random((5, channels)) + 0.05, rng.random((5, channels))
    slope = rng.normal(size=channels)
    X = np.concatenate([concept, random])
    S = np.cov(X.T, bias=True)
    alpha = len(X) * np.trace(S @ S) / np.trace(S)

    def along(own):
        return Ridge(alpha=alpha).fit(X, np.isin(np.arange(10), own) * 1.0).coef_ @ slope

    values = np.array([along(own) for own in itertools.combinations(range(10), 5)])
    tails = [(values >= values[0] - 1e-12).mean(), (values <= values[0] + 1e-12).mean()]
    expected = min(1, 2 * min(tails))
    assert permutation_p_value(concept, random, slope, seed=0) == pytest.approx(expected)


def test_what_moves_no_class_is_not_significant():
    a = np.random.default_rng(0).random((20, 3))
    assert permutation_p_value(a + np.eye(3)[0], a, np.zeros(3), seed=0) == 1
    still = from_activations(a + np.eye(3)[0], a, np.zeros((5, 3)), runs=2, size=9, seed=0)
    assert still.mean == still.random_scores.max() == 0  # it rises along no direction
    flat = np.ones((20, 3))
    assert permutation_p_value(flat, flat, np.ones(3), seed=0) == 1


def test_directions_in_which_nothing_varies_are_left_out():
    """A channel of tiny noise that happens to separate the few examples is no concept."""
    rng = np.random.default_rng(0)
    concept, random = rng.normal(size=(5, 30)) * 1e-3, rng.normal(size=(5, 30)) * 1e-3
    concept[:, 0] += 1
    v, accuracy = direction(concept, random)
    assert v[0] > 0.999 and accuracy == 1


def test_channels_in_which_nothing_varies_change_nothing():
    rng = np.random.default_rng(0)
    concept, random, slope = rng.random((12, 4)), rng.random((30, 4)), rng.normal(size=4)

    def wide(a):
        return np.concatenate([a, np.zeros((*a.shape[:-1], 500))], axis=-1)

    v, accuracy = direction(concept, random)
    np.testing.assert_allclose(direction(wide(concept), wide(random))[0], wide(v), atol=1e-9)
    p = [
        permutation_p_value(*both, seed=0)
        for both in ((concept, random, slope), map(wide, (concept, random, slope)))
    ]
    assert p[0] == p[1] and 0 < accuracy <= 1


def test_too_few_examples_are_refused():
    a = np.random.default_rng(0).random((10, 3))
    with pytest.raises(ValueError, match="runs"):
        from_activations(a, a, a, runs=1, size=5, seed=0)
    for concept, random, size in ((a[:1], a, 5), (a, a[:3], 5), (a, a, 1)):
        with pytest.raises(ValueError, match="at least"):
            from_activations(concept, random, a, runs=3, size=size, seed=0)
    assert from_activations(a[:2], a[:4], a, runs=2, size=2, seed=0).scores.shape == (2,)


@pytest.mark.parametrize("target", ["all", "predicted", 1.0, None, [0, 1]], ids=repr)
def test_a_class_is_one_index(target):
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.LazyLinear(2))
    x = torch.rand(8, 1, 9, 9)
    for test in (xai.concepts.tcav, xai.concepts.ace):
        arguments = (x, x) if test is xai.concepts.ace else (x, x, x)
        with pytest.raises(ValueError, match="expected the index of a class"):
            test(net, *arguments, layer="0", target=target)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"runs": "a"}, "runs='a': expected an integer of at least 2"),
        ({"size": 2.5}, r"size=2\.5: expected an integer of at least 2"),
        ({"batch_size": 0}, "batch_size=0: expected an integer of at least 1"),
        ({"seed": "x"}, "seed must be an int or a numpy.random.Generator"),
        ({"n_concepts": 0}, "n_concepts=0: expected an integer"),
        ({"least_segments": "a"}, "least_segments='a': expected an integer"),
        ({"level": 5}, "level=5: expected a probability"),
        ({"segments": 15}, "segments=15: expected a list of numbers"),
        ({"segments": (15, "a")}, "segments='a': expected an integer"),
        ({"sigma": "a"}, r"Superpixels\(sigma='a'\): expected a positive number"),
        ({"sigma": np.inf}, r"Superpixels\(sigma=inf\): expected a positive number"),
    ],
    ids=str,
)
def test_settings_are_refused_before_the_network_runs(setting, message):
    """Most were told by NumPy, scikit-learn or Python, when all images had been through it."""
    x = coloured(0, n=4)
    net = linear_net([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    net.register_forward_pre_hook(lambda *_: pytest.fail("the network runs"))
    with pytest.raises((TypeError, ValueError), match=message):
        ace(net, x, x, layer="0", target=0, **setting)
    if setting.keys() <= {"runs", "size", "batch_size", "seed"}:
        with pytest.raises((TypeError, ValueError), match=message):
            tcav(net, x, x, x, layer="0", target=0, **setting)


@pytest.mark.parametrize("seed", [-1, 2**40, np.random.default_rng(0)], ids=["-1", "2^40", "rng"])
def test_seeds_are_those_of_everything_else(seed):
    """scikit-learn's go from 0 to 2³² − 1."""
    x = coloured(0, n=6)
    net = linear_net([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert len(fit(net, x, layer="0", n_concepts=2, seed=seed)) == 2
    found = ace(net, x, x, layer="0", target=0, n_concepts=2, segments=np.array([4]), seed=seed)
    assert found.layer == "0"


def test_random_sets_and_swaps_are_the_seeds_own(monkeypatch):
    monkeypatch.setattr("xai.concepts.directions.RESAMPLES", 999)
    rng = np.random.default_rng(0)
    shown, random, slopes = rng.random((12, 4)), rng.random((30, 4)), rng.normal(size=(9, 4))
    one, same, other = (
        from_activations(shown, random, slopes, runs=3, size=8, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.vectors, same.vectors)
    assert one.p_value == same.p_value != other.p_value
    slope = slopes.mean(axis=0)
    assert one.effect == pytest.approx(slope @ (shown.mean(axis=0) - random.mean(axis=0)))
    assert one.p_value == permutation_p_value(shown, random, slope, seed=0)
    assert not np.allclose(one.vectors, other.vectors)


def test_concept_and_control_meet_the_same_random_set_and_sets_are_apart(monkeypatch):
    met = []
    monkeypatch.setattr(
        "xai.concepts.directions.direction", lambda *sets: met.append(sets) or (np.ones(1), 1.0)
    )
    shown, random = np.arange(50.0)[:, None], np.arange(100.0, 130.0)[:, None]
    from_activations(shown, random, np.ones((2, 1)), runs=4, size=20, seed=0)
    for (own, other), (instead, same) in zip(met[::2], met[1::2], strict=True):
        np.testing.assert_array_equal(other, same)
        assert len({*own.ravel()}) == 20 and own.max() < 50
        assert len(other) == len(instead) == 15  # half of the random ones
        np.testing.assert_array_equal(np.sort(np.append(other, instead)), random[:, 0])
    for i in (0, 1):  # every run has draws of its own
        assert len({tuple(sorted(sets[i].ravel())) for sets in met[::2]}) == 4


def test_a_score_is_a_mean_over_random_sets_with_its_standard_error():
    scores = np.array([0.2, 0.5, 0.9])
    found = Tcav(scores, scores, 0.01, np.eye(3), np.ones(3))
    assert found.std_error == pytest.approx(np.std(scores, ddof=1) / np.sqrt(3))
    assert found.significant() and not replace(found, p_value=0.011).significant()


@pytest.mark.parametrize("place", ["concept", "random"])
def test_nan_in_examples_names_the_image(place):
    sets = {"concept": coloured(0, 6), "random": coloured(None, 8)}
    sets[place][5, 0] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or inf for image 5 \(0-based\)"):
        tcav(linear_net([[2.0, -2.0, 0.0]] * 2), coloured(None, 4), **sets, layer="0", target=0)


class Root(nn.Module):
    def forward(self, x):
        return x.sqrt()


@pytest.mark.parametrize("place", ["images", "random"])
def test_nan_in_segments_names_the_image(place):
    net, sets = linear_net([[2.0, -2.0, 0.0]] * 2), {"images": squares(4), "random": squares(4)}
    net[0] = Root()
    sets = {name: images.abs() for name, images in sets.items()}
    sets[place][2] *= -1
    with pytest.raises(ValueError, match=r"'0' gives NaN or inf for image 2 \(0-based\)"):
        ace(net, **sets, layer="0", target=0, n_concepts=2, segments=(6,), runs=2, size=4)


# ---------------------------------------------------------------------------------------- ACE


def squares(n=12, side=48, seed=0):
    """Grey images with one red and one green square each, on the same grid of places."""
    rng = np.random.default_rng(seed)
    images = 0.5 + 0.05 * rng.normal(size=(n, 3, side, side))
    for image in images:
        places = rng.permutation(4)[:2]
        for colour, place in zip((0, 1), places, strict=True):
            top, left = (4 + (side // 2) * v for v in divmod(int(place), 2))
            image[:, top : top + 16, left : left + 16] = 0
            image[colour, top : top + 16, left : left + 16] = 1
    return torch.tensor(images)


def test_every_segment_of_every_level_is_there_and_whole():
    """The reference drops the last label, and the last row and column of each crop."""
    images = squares(2)
    image, masks = segmented(images, [8], Superpixels())
    for i in range(2):
        np.testing.assert_array_equal(masks[image == i].sum(axis=0), 1)  # a partition: none lost
    mask = np.zeros((6, 7), bool)
    mask[2:6, 3:7] = True
    assert box(mask) == ((2, 6), (3, 7))


def test_segments_like_coarser_ones_are_left_out():
    image, masks = segmented(squares(2), [8, 20], Superpixels())
    for i in range(2):
        own = masks[image == i].reshape((image == i).sum(), -1).astype(float)
        coarse = len(segmented(squares(2)[i : i + 1], [8], Superpixels())[0])
        both = own[:coarse] @ own[coarse:].T
        union = own[:coarse].sum(1)[:, None] + own[coarse:].sum(1) - both
        assert (both <= 0.5 * union).all() and len(own) > coarse


@dataclass(frozen=True)
class Drawn:
    """Segments (2000 pixels in all) as they are told, level by level."""

    n: int = 0

    def encode(self, inputs, axis):
        coarse, fine = (np.zeros((1, 1, 40, 50), int) for _ in range(2))
        coarse[..., 10:20, :], coarse[..., 0, :3], coarse[..., 1, :2] = 1, 2, 3
        fine[..., 10:15, :] = 1  # half of what was 1; the rest is most of what was 0
        return SimpleNamespace(owner=(coarse, fine)[self.n])


def test_segments_are_kept_from_a_thousandth_up_and_where_no_coarser_one_is_half_alike():
    images = torch.zeros(1, 1, 40, 50)
    _, alone = segmented(images, [0], Drawn())
    assert sorted(alone.sum(axis=(1, 2))) == [3, 500, 1495]  # not the one of 2
    _, both = segmented(images, [0, 1], Drawn())
    assert both[3:].sum(axis=(1, 2)).tolist() == [250]


def test_settings_of_slic_hold_for_every_image():
    """The reference takes them out of the dictionary that all images share."""
    images = squares(1).repeat(3, 1, 1, 1)
    image, masks = segmented(images, [12], Superpixels(compactness=0.1, sigma=3.0))
    default = segmented(images, [12], Superpixels())[1]
    for i in (1, 2):
        np.testing.assert_array_equal(masks[image == i], masks[image == 0])
    assert len(default) != len(masks) or (default != masks).any()


def rows_of(net, images, image, masks, batch_size=64):
    with opened(net, images, "0") as network:
        return segment_rows(network, image, masks, batch_size)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_a_segment_has_the_mean_of_what_the_layer_gives_at_its_pixels(stride):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, stride), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    rng = np.random.default_rng(0)
    images, masks = torch.tensor(rng.random((3, 2, 17, 23))), rng.random((5, 17, 23)) < 0.2
    image = np.array([0, 0, 1, 2, 2])
    a = net[0](images).detach().numpy()
    h, w = a.shape[2:]
    expected = [
        np.mean([a[i, :, r * h // 17, c * w // 23] for r, c in np.argwhere(mask)], axis=0)
        for i, mask in zip(image, masks, strict=True)
    ]
    for batch_size in (1, 2, 64):
        found = rows_of(net, images, image, masks, batch_size)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_segment_smaller_than_a_place_has_its_activation():
    net = nn.Sequential(nn.Conv2d(1, 3, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    images = torch.tensor(np.random.default_rng(0).random((1, 1, 32, 32)))
    masks = np.zeros((2, 32, 32), bool)
    masks[0, 13, 30] = masks[1, 8:16, 24:] = True  # a pixel, and all of its place
    cell = net[0](images)[0, :, 1, 3].detach().numpy()
    np.testing.assert_allclose(rows_of(net, images, np.array([0, 0]), masks), [cell, cell])


def test_ace_of_places_is_a_pass_for_each_image():
    net = linear_net([[2.0, -2.0, 0.0], [0.0, 0.0, 1.0]])
    passed = []
    net[0].register_forward_hook(lambda _, inputs, __: passed.append(len(inputs[0])))
    images, plain = squares(6), squares(8, seed=1)
    options = {"layer": "0", "target": 0, "n_concepts": 3, "segments": (6, 12), "runs": 3}
    found = ace(net, images, plain, **options, size=5)
    assert sum(passed) <= 3 * len(images) + len(plain) < len(found.image)  # gradients take two
    for batch_size in (1, 5):
        again = ace(net, images, plain, **options, size=5, batch_size=batch_size)
        for one, other in zip(
            found.concepts + found.rejected, again.concepts + again.rejected, strict=True
        ):
            np.testing.assert_array_equal(one.segments, other.segments)
            np.testing.assert_allclose(one.centre, other.centre, rtol=1e-12)
            assert one.q_value == other.q_value
    assert min(passed) > 0  # the reference runs an empty batch where a size divides the images


def test_clusters_are_kept_as_the_paper_keeps_them():
    """Of S segments in P of n images: P > S/2; P > S/4, n/4; P > S/10, n/2. And S > 3."""
    n, least = 20, 3
    found = {
        (4, 4): True, (3, 3): False, (20, 10): True, (20, 6): True, (20, 5): False,
        (8, 4): False, (60, 11): True, (60, 10): False, (120, 12): False,
    }  # fmt: skip
    at, rng = np.arange(len(found)) * 100.0, np.random.default_rng(0)
    A = np.concatenate([rng.normal(t, 1, (S, 2)) for t, (S, _) in zip(at, found, strict=True)])
    image = np.concatenate([np.arange(S) % P for S, P in found])
    label = np.repeat(np.arange(len(found)), [S for S, _ in found])
    kept = _clusters(A, image, n, len(found), least, seed=0)
    assert sorted(label[near[0]] for near, _ in kept) == np.flatnonzero([*found.values()]).tolist()
    for near, centre in kept:
        np.testing.assert_array_equal(np.sort(near), np.flatnonzero(label == label[near[0]]))
        np.testing.assert_allclose(centre, A[near].mean(axis=0))
        assert (np.diff(np.linalg.norm(A[near] - centre, axis=1)) >= 0).all()  # nearest first


def test_a_segment_is_cut_out_on_grey_and_enlarged():
    images, grey = squares(2)[:, :, :20, :24], torch.tensor([0.1, 0.2, 0.3]).double()
    masks = np.zeros((3, 20, 24), bool)
    masks[0, 3:9, 5:7] = masks[1, 10:, :4] = masks[2] = True
    masks[0, 4, 5] = False
    with opened(linear_net(np.eye(3)[:2]), images, "0") as network:
        found = torch.cat([*_crops(network, np.array([0, 1, 1]), masks, grey, 2)])
    for crop, image, mask in zip(found, images[[0, 1, 1]], masks, strict=True):
        (top, bottom), (left, right) = box(mask)
        shown = torch.where(torch.tensor(mask), image, grey[:, None, None])
        part = shown[None, :, top:bottom, left:right]
        large = nn.functional.interpolate(part, (20, 24), mode="bilinear")[0]
        np.testing.assert_allclose(crop, large, atol=1e-12)


def test_segments_of_a_layer_without_places_are_cut_out():
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 48 * 48, 4), nn.ReLU(), nn.Linear(4, 2)
    ).double()
    options = {"target": 0, "n_concepts": 2, "segments": (6,), "runs": 3, "size": 5}
    both = [
        ace(net, squares(6), squares(8, seed=1), layer="2", crop=crop, **options)
        for crop in ("auto", "patches")
    ]
    centres = [[c.centre for c in found.concepts + found.rejected] for found in both]
    np.testing.assert_array_equal(*centres)
    assert [found.crop for found in both] == ["patches", "patches"]
    with pytest.raises(ValueError, match="no places"):
        both[0].transform()
    with pytest.raises(ValueError, match="'2' has no places"):
        ace(net, squares(6), squares(8, seed=1), layer="2", crop="places", **options)
    with pytest.raises(ValueError, match="crop='patch'"):
        ace(net, squares(6), squares(8, seed=1), layer="2", crop="patch", **options)


def test_maps_of_ace_are_1_at_a_centre_and_0_at_what_is_common():
    net = linear_net([[2.0, -2.0, 0.0], [0.0, 0.0, 1.0]])
    images = squares(6)
    found = ace(
        net, images, squares(8, seed=1), layer="0", target=0, n_concepts=3, segments=(6, 12),
        runs=3, size=5, level=1.0,
    )  # fmt: skip
    assert found.crop == "places" and len(found.concepts) > 1 and not found.rejected
    others = segmented(squares(8, seed=1), (6, 12), Superpixels())
    common = rows_of(net, squares(8, seed=1), *others).mean(axis=0)
    np.testing.assert_allclose(found.elsewhere, common, rtol=1e-12)
    a = net[0](images).detach().numpy()
    maps = found.transform()
    assert maps.shape == (6, *a.shape[2:], len(found.concepts))
    for i, cluster in enumerate(found.concepts):
        towards = cluster.centre - found.elsewhere
        along = np.einsum("nchw,c->nhw", a, towards) - found.elsewhere @ towards
        np.testing.assert_allclose(maps[..., i], along / (towards @ towards), atol=1e-12)
    pure = nn.Sequential(nn.Identity(), *net[1:])  # images that are activations
    ends = np.stack([found.concepts[0].centre, found.elsewhere])[:, :, None, None]
    again = replace(found, model=pure).transform(torch.tensor(ends).repeat(1, 1, 2, 2))
    np.testing.assert_allclose(again[..., 0], [[[1, 1]] * 2, [[0, 0]] * 2], atol=1e-12)
    np.testing.assert_allclose(found.transform(images[2:5], batch_size=2), maps[2:5], atol=1e-12)
    assert replace(found, concepts=[]).transform().shape[-1] == 0


def test_ace_finds_the_planted_square_and_its_sign():
    import matplotlib.pyplot as plt

    net = nn.Sequential(
        nn.Conv2d(3, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    ).double()
    with torch.no_grad():  # channels: red, green, grey
        net[0].weight.copy_(torch.tensor([[1.0, -1, -1], [-1, 1, -1], [0, 0, 1]])[:, :, None, None])
        net[0].bias.zero_()
        net[4].weight.copy_(torch.tensor([[3.0, -3.0, 0.0], [0.0, 0.0, 0.0]]))
    images = squares()
    plain = squares(12, seed=1)
    plain = 0.5 + 0 * plain + 0.1 * torch.tensor(np.random.default_rng(3).normal(size=plain.shape))
    with torch.no_grad():
        before = images.clone()
        found = ace(
            net, images, plain, layer="1", target=0, n_concepts=4, segments=(6, 12), runs=30,
            size=20,
        )  # fmt: skip
    assert torch.equal(images, before)
    best, worst = found.concepts[0], found.concepts[-1]
    for cluster, colour, score in ((best, 0, 1.0), (worst, 1, 0.0)):
        near = cluster.segments[:5]
        inside = [
            images[found.image[s], colour].numpy()[found.masks[s]].mean()
            - images[found.image[s], 1 - colour].numpy()[found.masks[s]].mean()
            for s in near
        ]
        assert min(inside) > 0.5
        assert cluster.tcav.mean == score and cluster.tcav.significant()
    every = sorted([*found.concepts, *found.rejected], key=lambda cluster: cluster.tcav.p_value)
    scaled = [len(every) / i * cluster.tcav.p_value for i, cluster in enumerate(every, start=1)]
    lowest = np.minimum.accumulate(scaled[::-1])[::-1]
    np.testing.assert_allclose([cluster.q_value for cluster in every], np.minimum(lowest, 1))
    assert all((c.q_value <= 0.01) == (c in found.concepts) for c in every)
    keys = [(c.tcav.mean, c.tcav.effect) for c in found.concepts]
    assert keys == sorted(keys, reverse=True)
    figure = found.plot(crops=3)
    bars, *pictures = figure.axes
    lines = len(found.concepts)
    assert len(pictures) == lines * (3 + 3)
    np.testing.assert_allclose(
        [bar.get_width() for bar in bars.patches], [c.tcav.mean for c in found.concepts]
    )
    shown = pictures[0].images[0].get_array()  # the nearest segment, on grey
    (top, bottom), (left, right) = box(found.masks[best.segments[0]])
    assert shown.shape == (bottom - top, right - left, 3)
    assert len(replace(found, crop="patches").plot(crops=3).axes) == len(figure.axes)
    plt.close("all")
    with pytest.raises(ValueError, match="no significant concept"):
        replace(found, concepts=[], rejected=found.concepts).plot()
    with pytest.raises(ValueError, match="no cluster that enough images share"):
        replace(found, concepts=[], rejected=[]).plot()
    again = ace(
        net, images, plain, layer="1", target=0, n_concepts=4, segments=(6, 12), runs=30, size=20,
        batch_size=len(found.image),  # the reference runs an empty last batch
    )  # fmt: skip
    assert repr(again) == repr(found)
    with pytest.raises(ValueError, match="n_concepts"):
        ace(net, images, plain, layer="1", target=0, n_concepts=10_000, segments=(6,))


# ---------------------------------------------------------------------- planted, and pictures


@pytest.fixture(scope="module")
def planted():
    """Filters of the textures themselves, a little softened: checks and dots decide."""
    data = xai.datasets.textures(60, size=64, noise=0.1)
    concept, images = data.info["concept"], data.data[:, 0]
    cells = images.reshape(60, 4, 16, 4, 16).swapaxes(2, 3)
    kinds = np.fft.rfft2(cells)
    power = np.abs(kinds).reshape(-1, 16 * 9)
    label = concept.ravel()
    means = np.stack([power[label == k].mean(axis=0) for k in range(6)])
    centre = means - means.mean(axis=0)

    class Spectra(nn.Module):
        """How like each texture's spectrum that of each cell is, ≥ 0."""

        def __init__(self):
            super().__init__()
            self.means = nn.Parameter(
                torch.tensor(centre / np.linalg.norm(centre, axis=1)[:, None])
            )
            self.like = nn.ReLU()

        def forward(self, x):
            n = len(x)
            parts = x[:, 0].reshape(n, 4, 16, 4, 16).transpose(2, 3)
            spectrum = torch.fft.rfft2(parts).abs().reshape(n, 4, 4, -1)
            spectrum = spectrum - torch.tensor(means.mean(axis=0))
            return self.like((spectrum @ self.means.T).movedim(-1, 1) - 30)

    head = nn.Linear(6, 3)
    with torch.no_grad():
        head.weight.copy_(torch.eye(3, 6))
        head.bias.zero_()
    net = nn.Sequential(Spectra(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).double()
    x = torch.tensor(data.data)
    return net, x, data, fit(net, x, layer="1", n_concepts=6, crop="places")


def test_planted_concepts_are_found_ranked_and_mapped(planted):
    from sklearn.metrics import roc_auc_score

    net, x, data, bank = planted
    assert (net(x).argmax(1).numpy() == data.target).mean() > 0.95
    for k in range(3):
        own = data.target == k
        found = bank.importance(x[own], target=k)
        top = found.order[0]
        assert found.values[top] > 0.5
        where = bank.transform(x[own])[..., top]
        truth = data.info["concept"][own] == k
        assert roc_auc_score(truth.ravel(), where.ravel()) > 0.95


@pytest.mark.parametrize("target", range(3))
def test_ace_finds_planted_textures_and_puts_them_first(planted, target, monkeypatch):
    """Cut out and enlarged, as in the paper, a texture has another scale: two are not found."""
    monkeypatch.setattr("xai.concepts.directions.RESAMPLES", 999)
    net, x, data, _ = planted
    own = data.target == target
    others = torch.tensor(xai.datasets.textures(40, size=64, noise=0.1, seed=1).data)
    found = ace(net, x[own], others, layer="1", target=target, n_concepts=10, segments=(20,))
    texture = np.kron(data.info["concept"][own], np.ones((1, 16, 16), int))
    shown = [
        np.concatenate([texture[found.image[s]][found.masks[s]] for s in cluster.segments[:20]])
        for cluster in found.concepts
    ]
    share = np.array([(kinds == target).mean() for kinds in shown])
    assert share[0] > 0.6 and found.concepts[0].tcav.mean == 1
    shows = share > 0.45
    assert shows[: shows.sum()].all()  # before all others
    from sklearn.metrics import roc_auc_score

    truth = data.info["concept"][own] == target
    assert roc_auc_score(truth.ravel(), found.transform()[..., 0].ravel()) > 0.9


def test_places_of_whole_images_are_rows(planted):
    net, x, _, bank = planted
    a = net[:2](x).detach().numpy()
    assert len(bank.boxes) == 60 * 16 and bank.boxes[17].tolist() == [1, 0, 15, 18, 18]
    u = bank.transform(x).reshape(-1, 6)
    np.testing.assert_allclose(u, bank.coefficients, atol=1e-7)
    left = np.linalg.norm(np.moveaxis(a, 1, -1).reshape(-1, 6) - u @ bank.basis)
    assert left / np.linalg.norm(a) == pytest.approx(bank.error, rel=1e-6)


def test_the_sheet_has_bars_crops_and_maps(planted):
    import matplotlib.pyplot as plt

    _, x, data, bank = planted
    own = data.target == 0
    found = bank.importance(x[own], target=0)
    figure = bank.plot(found, concepts=3, crops=4)
    bars, *pictures = figure.axes
    assert len(bars.patches) == 3 and len(pictures) == 3 * (4 + 3)
    largest = np.argsort(-np.abs(found.values), kind="stable")[:3]
    order = [i for i in found.order if i in largest]
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], found.signed[order])
    text = [label.get_text() for label in bars.get_yticklabels()]
    assert text[0] == f"concept {order[0]}"
    assert len(bank.plot(concepts=2, crops=2, images=[0]).axes) == 2 * 3
    plt.close("all")


def test_whiskers_are_seen_on_dark(planted):
    import matplotlib.pyplot as plt

    net, x, _, bank = planted
    with plt.style.context("dark_background"):
        bars = xai.explain(net, x[:1], "craft", bank=bank).plot("concepts").axes[-1]
        (whiskers,) = bars.containers[0].lines[2]
        np.testing.assert_array_equal(whiskers.get_color()[0], [1, 1, 1, 1])
        plt.close("all")


def test_what_speaks_against_a_class_is_last_and_its_bar_goes_left(planted):
    import matplotlib.pyplot as plt

    net, x, data, bank = planted
    contest = nn.Linear(6, 3).double()
    with torch.no_grad():  # the second texture speaks against the first class, most of all
        contest.weight.copy_(torch.tensor([[1.0, -3, 0, 0, 0, 0], [0] * 6, [0] * 6]))
    against = replace(bank, model=nn.Sequential(*net[:4], contest))
    found = against.importance(target=0)
    last, first = found.order[-1], found.order[0]
    assert found.values[last] > found.values[first] and found.effect[last] < 0
    bars = against.plot(found, concepts=2, crops=2).axes[0]
    assert [label.get_text() for label in bars.get_yticklabels()] == [
        f"concept {first}", f"concept {last}\n(against)",
    ]  # fmt: skip
    widths = [bar.get_width() for bar in bars.patches]
    np.testing.assert_allclose(widths, [found.values[first], -found.values[last]])
    rows = np.flatnonzero((data.info["concept"] == 1).any(axis=(1, 2)))[:1]
    one = xai.explain(against.model, x[rows], "craft", bank=bank, target=0)
    figure = one.plot("concepts", concepts=6)
    widths = np.array([bar.get_width() for bar in figure.axes[2].patches])
    assert widths[-1] == -one.values[0, last] < 0 and (np.diff(widths) <= 0).all()
    plt.close("all")


def test_whiskers_can_be_seen_on_black(planted):
    import matplotlib.pyplot as plt

    _, x, _, bank = planted
    with plt.style.context("dark_background"):
        bars = bank.plot(bank.importance(x[:5], target=0), concepts=2, crops=2).axes[0]
        whiskers = bars.collections[0]
        np.testing.assert_allclose(whiskers.get_color()[0], [1, 1, 1, 1])
    plt.close("all")


def test_one_image_shows_where_and_how_much(planted):
    import matplotlib.pyplot as plt

    net, x, _, bank = planted
    e = xai.explain(net, x[:2], "craft", bank=bank)
    picture, where, bars = e.plot("concepts", row=1, concepts=3).axes
    assert bars.get_title() == "craft, 95 % intervals"
    exact = xai.explain(net, x[:1], "craft", bank=bank, summary="remove_individual")
    assert exact.std_error is None
    assert exact.plot("concepts").axes[2].get_title() == "craft"  # which has none
    assert len(picture.images) == 1 and len(where.images) == 1 + 3 and len(bars.patches) == 3
    heat = np.stack([image.get_array() for image in where.images[1:]])
    assert ((heat > 0).sum(axis=0) <= 1).all()  # one colour for each pixel
    with pytest.raises(ValueError, match="concepts"):
        xai.explain(net, x[:1], "gradient").plot("concepts")
    assert e.plot().get_title()  # the plain heat map works too
    plt.close("all")


@pytest.mark.parametrize("crop", ["auto", "patches"])
def test_segments_of_a_series_are_found_and_tested_like_those_of_images(crop):
    """A bump that the class has is a concept of it: its segment, and no other, speaks for it."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("skimage")
    nn = torch.nn
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = 0.02 * rng.normal(size=(24, 1, 60))
    x[:, 0, 20:32] += 1.0
    noise = 0.02 * rng.normal(size=(30, 1, 60))
    net = nn.Sequential(
        nn.Conv1d(1, 2, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(2, 2),
    ).double()  # fmt: skip
    with torch.no_grad():
        net[0].weight[:] = torch.tensor([[[0.3] * 3], [[-0.3] * 3]]).double()
        net[0].bias[:], net[4].bias[:] = 0.1, 0.0
        net[4].weight[:] = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]).double()
    found = ace(net, x, noise, layer="1", target=1, n_concepts=2, segments=(5,), runs=20, size=10,
                crop=crop)  # fmt: skip
    best = (found.concepts + found.rejected)[0]
    inside = np.zeros(60, bool)
    inside[20:32] = True
    share = found.masks[best.segments][:, inside].sum() / found.masks[best.segments].sum()
    assert share > 0.7 and best.tcav.mean > 0.9
    assert found.transform(x[:3]).shape[:2] == (3, 60)
    scored = tcav(net, x, x[:10], noise, layer="1", target=1)
    assert scored.mean > 0.9
