"""Compiled loops and torch's operations against NumPy, element by element and bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

import xai
from xai import composition, streams
from xai.inputs import read
from xai.kernels import compiled as compiled_module
from xai.kernels import masks, odd_process, pairs
from xai.kernels.compose import blend_levels, compose_owned, compose_table, ends
from xai.kernels.distance import distances
from xai.kernels.order import places
from xai.known import Known, keys_along, keys_of
from xai.metrics.numerics import average_ranks, levels, pearson
from xai.metrics.paths import ranks
from xai.removal.base import Context
from xai.summary.process import odd_kernel

FORMS = {
    "compiled": (compose_table, compose_owned),
    "plain": (compose_table.py_func, compose_owned.py_func),
}


def test_loops_are_compiled_where_nothing_can_be_written(monkeypatch):
    """Neither beside the source nor at home, as for a nameless user of a container."""
    monkeypatch.setattr("numba.core.caching.CompileResultCacheImpl._locator_classes", [])
    compiled_module._tell.cache_clear()
    with pytest.warns(UserWarning, match="NUMBA_CACHE_DIR") as told:
        loops = [compiled_module.compiled()(lambda a: a + 1) for _ in range(2)]
    assert [loop(1) for loop in loops] == [2, 2]
    assert len(told) == 1


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    rows, places, which = (rng.integers(size, size=20) for size in (3, 4, 7))
    return rng, rows, places, which


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_compose_table(form, dtype, problem):
    rng, rows, places, which = problem
    x, replacement = (rng.integers(-9, 9, size=(n, 5)).astype(dtype) for n in (3, 4))
    table, out = rng.random((7, 5)) < 0.5, np.empty((20, 5), dtype)
    FORMS[form][0](x, replacement, rows, places, table, which, out)
    np.testing.assert_array_equal(out, np.where(table[which], x[rows], replacement[places]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lines", [1, 3])
def test_compose_owned(form, lines, problem):
    """Three channels share the owners of five places, for each row its own or one for all."""
    rng, rows, places, which = problem
    x, replacement = rng.normal(size=(3, 15)), rng.normal(size=(4, 15))
    table, owner = rng.random((7, 4)) < 0.5, rng.integers(-1, 4, size=(lines, 5)).astype(np.int32)
    out = np.empty((20, 15))
    FORMS[form][1](x, replacement, rows, places, table, which, owner, out)
    own = owner[rows] if lines > 1 else np.repeat(owner, 20, axis=0)
    kept = np.tile((own < 0) | np.take_along_axis(table[which], np.maximum(own, 0), 1), 3)
    np.testing.assert_array_equal(out, np.where(kept, x[rows], replacement[places]))


@pytest.mark.parametrize("form", [blend_levels, blend_levels.py_func])
def test_levels_are_met_exactly_and_blended_between(form):
    rng = np.random.default_rng(0)
    levels, soft = rng.normal(size=(3, 2, 4, 5)), rng.random((6, 2, 5))
    soft[:3], soft[3, 1, 2] = np.array([0, 0.5, 1])[:, None, None], np.nan
    out, slope = np.empty((2, 6, 2, 4, 5))
    form(levels, soft, out, slope)
    np.testing.assert_array_equal(out[:3], levels)
    place = 2 * soft[:, :, None]
    expected = np.where(
        place < 1,
        (1 - place) * levels[0] + place * levels[1],
        (2 - place) * levels[1] + (place - 1) * levels[2],
    )
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-15)
    steps = np.where(place[4:] < 1, levels[1] - levels[0], levels[2] - levels[1])
    np.testing.assert_array_equal(slope[4:], 2 * steps)


@pytest.mark.parametrize("d", [1, 5, 32, 33, 70])
def test_ends_keep_everything_or_nothing(d):
    """Of soft coalitions too: one that keeps more than half of every player is no end."""
    own = np.eye(d, dtype=bool)
    table = np.concatenate([*(np.where(own, a, b) for a in (0, 0.7, 1) for b in (0, 0.7, 1))])
    for some in (table, table[(table != 0.7).all(axis=1)].astype(bool)):
        for form in (ends, ends.py_func):
            full, empty = np.empty((2, len(some)), bool)
            form(some, full, empty)
            np.testing.assert_array_equal(full, (some == 1).all(axis=1))
            np.testing.assert_array_equal(empty, (some == 0).all(axis=1))


# ------------------------------------------------------------------------------ players by kind

IMAGES, TABLE = (3, 2, 6, 5), (3, 6)
PLAYERS = {
    "table": (TABLE, lambda rng: "elements"),
    "columns": (TABLE, lambda rng: [[5, 0], [1], [2, 3, 4]]),
    "groups with -1": (TABLE, lambda rng: np.array([0, -1, 1, 1, 2, -1])),
    "groups by row": (TABLE, lambda rng: np.array([rng.permutation([0, -1, 1, 1, 2, 3])] * 3)),
    "elements": (IMAGES, lambda rng: "elements"),
    "pixels": (IMAGES, lambda rng: xai.players.Pixels()),
    "patches": (IMAGES, lambda rng: xai.players.Patches(2)),
    "oblong patches": (IMAGES, lambda rng: xai.players.Patches((4, 3))),
    "grid": (IMAGES, lambda rng: xai.players.Grid(2)),
    "windows": (IMAGES, lambda rng: xai.players.Windows(3, (2, 1))),
    "channels": (IMAGES, lambda rng: xai.players.Channels()),
    "regions with -1": (IMAGES, lambda rng: rng.integers(-1, 3, size=IMAGES[1:])),
    "regions by row": (IMAGES, lambda rng: (np.arange(180) % 7 - 1).reshape(IMAGES)),
}
REMOVALS = {
    "rows": lambda data: xai.removal.Marginal(data),
    "a number": lambda data: xai.removal.Baseline(0.5),
    "own colour": lambda data: xai.removal.Baseline("mean"),
    "endless": lambda data: xai.removal.ProductOfMarginals(data),
    "range": lambda data: xai.removal.Uniform(-1.0, 2.0),
    "function": lambda data: xai.removal.Function(lambda x, kept: x * kept),
    "blur": lambda data: xai.removal.Blur(1.0),
    "pyramid": lambda data: xai.removal.BlurPyramid(1.0),
    "inpainting": lambda data: xai.removal.Inpaint(0.1),
    "noise": lambda data: xai.removal.Noise(0.5),
}

OF_IMAGES = ("own colour", "blur", "pyramid", "inpainting")


def composed(x, data, players, removal, channel_axis, table, rows, which, places):
    """The same inputs from a block of any kind, by `composer`."""
    inputs = read(x, data)
    bound = xai.players.as_players(players, inputs, channel_axis).encode(inputs, channel_axis)
    draws = REMOVALS[removal](data).bind(Context(inputs, data, 3, channel_axis))
    make = composition.composer(inputs, bound, draws)(table[:, : int(bound.counts[0])])
    return make(rows, which, places), bound


def by_definition(x, replacement, owner, table, rows, which):
    """np.where over whole masks: kept where the coalition has the owner, or nobody owns it."""
    own = np.broadcast_to(owner, (len(x), *x.shape[1:]))[rows]
    padded = np.concatenate([table[which], np.ones((len(which), 1), bool)], axis=1)
    flat = own.reshape(len(own), -1)
    kept = np.take_along_axis(padded, np.where(flat < 0, padded.shape[1] - 1, flat), axis=1)
    return np.where(kept.reshape(own.shape), x[rows], replacement)


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("kind", PLAYERS)
def test_arrays_are_composed_by_definition(kind, last):
    rng = np.random.default_rng(1)
    shape, players = PLAYERS[kind]
    players, axis = players(rng), 1 if len(shape) == 4 else None
    x, data = rng.normal(size=shape), rng.normal(size=(4, *shape[1:]))
    if last and axis is not None:
        x, data, axis = np.moveaxis(x, 1, 3), np.moveaxis(data, 1, 3), 3
        if isinstance(players, np.ndarray):
            players = np.moveaxis(players, -3, -1)
    rows, which, places = (rng.integers(size, size=30) for size in (3, 9, 4))
    table = rng.random((9, 200)) < 0.5
    out, bound = composed(x, data, players, "rows", axis, table, rows, which, places)
    if bound.overlap is not None:
        table = bound.overlap.pieces(table[:, : bound.counts[0]])
    expected = by_definition(x, data[places], bound.owner, table, rows, which)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("kind", "removal"),
    [(k, r) for k in PLAYERS for r in REMOVALS if len(PLAYERS[k][0]) == 4 or r not in OF_IMAGES],
)
@pytest.mark.parametrize("host", [True, False], ids=["host", "device"])
def test_tensors_are_composed_as_arrays_are(torch, kind, removal, host, monkeypatch):
    """Both in memory that NumPy shares, and as on a device, where all of it is torch's."""
    rng = np.random.default_rng(2)
    shape, players = PLAYERS[kind]
    players, axis = players(rng), 1 if len(shape) == 4 else None
    x, data = (rng.normal(size=(n, *shape[1:])) for n in (3, 4))
    rows, which = (rng.integers(size, size=30) for size in (3, 9))
    several = removal in ("rows", "endless", "range", "noise")
    places = rng.integers(4, size=30) if several else np.zeros(30, np.intp)
    rest = (players, removal, axis, rng.random((9, 200)) < 0.5, rows, which, places)
    arrays, _ = composed(x, data, *rest)
    monkeypatch.setattr(composition, "_on_host", lambda block: host)
    tensors, _ = composed(torch.tensor(x), torch.tensor(data), *rest)
    assert isinstance(tensors, torch.Tensor)
    np.testing.assert_allclose(tensors.numpy(), arrays, atol=1e-14)  # as their means do


def test_one_row_and_one_baseline_are_shared_by_all_inputs(torch):
    from xai.kernels import tensors

    x, zero = torch.ones(2, 3), torch.zeros(1, 3)
    owners = tensors.Owners.of(np.array([[0, 1, -1]]), x.device, identity=False)
    table = owners.table(np.array([[True, False], [False, True]]), x.device)
    one, nought = np.ones(2, np.intp), np.zeros(2, np.intp)
    out = tensors.compose(x, zero, owners, table, one, np.arange(2), nought)
    assert out.tolist() == [[1, 0, 1], [0, 1, 1]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays_what_it_is(torch, dtype):
    x = torch.rand(2, 3, 4, 4).to(getattr(torch, dtype))
    seen = []

    def model(batch):
        seen.append(batch.dtype)
        return batch.float().sum(dim=(1, 2, 3))

    patches = {"players": xai.players.Patches(2), "channel_axis": 1}
    e = xai.explain(model, x, "occlusion", removal=xai.removal.Baseline(0), **patches)
    assert set(seen) == {x.dtype}
    own = x.double().numpy().sum(1).reshape(2, 2, 2, 2, 2).sum(axis=(2, 4)).reshape(2, 4)
    np.testing.assert_allclose(e.values, own, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("dtype", ["float16", "longdouble", ">i4", ">f8"])
def test_arrays_of_a_dtype_that_numba_lacks(small, dtype):
    """NumPy composes them."""
    x, data = (np.round(10 * rows).astype(dtype) for rows in (small.x, small.data))

    def model(rows):
        assert rows.dtype.newbyteorder("=") == np.dtype(dtype).newbyteorder("=")
        return rows.astype(float) @ np.arange(5.0)

    e = xai.explain(model, x, "shapley", data=data)
    gap = x.astype(float) - data.astype(float).mean(axis=0)
    np.testing.assert_allclose(e.values, gap * np.arange(5.0), atol=1e-9)


def test_replacements_of_a_dtype_that_numba_lacks(torch):
    """Integers that make room for half precision or for long doubles."""
    rows, places, which = np.zeros(4, np.intp), np.zeros(4, np.intp), np.arange(4)
    table = np.eye(4, 6, dtype=bool)
    for x, data in (
        (np.ones((1, 2, 3), int), np.full((1, 2, 3), 0.5, np.longdouble)),
        (np.ones((1, 2, 3), int), np.full((1, 2, 3), 0.5, np.float16)),
        (torch.ones(1, 2, 3, dtype=torch.int64), torch.full((1, 2, 3), 0.5).bfloat16()),
    ):
        out, _ = composed(x, data, "elements", "rows", None, table, rows, which, places)
        expected = np.where(np.eye(4, 6, dtype=bool), 1, 0.5).reshape(4, 2, 3)
        np.testing.assert_array_equal(np.asarray(out.tolist()), expected)


# ------------------------------------------------------------------------------- on one device


@pytest.fixture
def network(torch):
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 3))
    return torch.nn.Sequential(*layers).double()


def test_batches_change_no_input(torch, network, monkeypatch):
    """Every batch size, and composition on the host or as on a device: the same values."""
    x, data = torch.rand(2, 2, 6, 5).double(), torch.rand(5, 2, 6, 5).double()
    found = []
    for host in (True, False):
        monkeypatch.setattr(composition, "_on_host", lambda block, host=host: host)
        for batch_size in (1, 7, None):
            for removal in ("marginal", "uniform"):
                e = xai.explain(
                    network, x, "permutation_shap", data=data, removal=removal, budget=200,
                    players=xai.players.Patches(2), batch_size=batch_size,
                )  # fmt: skip
                found.append((removal, e.values, e.evaluations))
    for removal, values, evaluations in found[2:]:
        first = found[0 if removal == "marginal" else 1]
        np.testing.assert_allclose(values, first[1], atol=1e-12)
        assert evaluations == first[2]


@pytest.mark.parametrize("removal", ["marginal", "uniform", "qii"])
def test_only_outputs_leave_the_device(torch, network, removal, monkeypatch):
    """Once per model call, as many numbers as the model returns; and no mask is sent there."""
    x, data = torch.rand(2, 2, 6, 5).double(), torch.rand(5, 2, 6, 5).double()
    monkeypatch.setattr(composition, "_on_host", lambda block: False)
    calls, left, sent = [], [], []
    network.register_forward_hook(lambda module, args, out: calls.append(out.numel()))
    real_cpu, real_tensor = torch.Tensor.cpu, torch.as_tensor
    monkeypatch.setattr(
        torch.Tensor, "cpu", lambda self: (left.append(self.numel()), real_cpu(self))[1]
    )

    def as_tensor(values, *args, **options):
        if isinstance(values, np.ndarray):
            sent.append(values)
        return real_tensor(values, *args, **options)

    method = {"qii": "qii"}.get(removal, "permutation_shap")
    given = {} if removal == "qii" else {"removal": removal}
    game = {"data": data, "budget": 200, "players": xai.players.Patches(2), "progress": False}
    xai.explain(network, x, method, **game, **given)  # whatever is read before the game
    calls.clear(), left.clear()
    monkeypatch.setattr(torch, "as_tensor", as_tensor)
    e = xai.explain(network, x, method, **game, **given)
    reading = 3 if removal == "uniform" else 0  # the background's range and its dtype
    assert len(left) <= len(calls) + reading
    assert sum(left) <= sum(calls) + reading * data.numel()
    assert e.evaluations > 100
    assert not any(a.dtype == bool and a.shape[1:] == (1, 6, 5) for a in sent)


def test_a_device_is_never_mixed_with_another(torch):
    """Fake tensors of a GPU refuse to meet those of the host."""
    from torch._subclasses import FakeTensorMode

    from xai.kernels import tensors

    table = np.random.default_rng(0).random((9, 6)) < 0.5
    owner = np.arange(6).reshape(1, 1, 2, 3)
    rows, which, places = np.zeros(8, np.intp), np.arange(8), np.arange(8) % 4
    with FakeTensorMode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "pin_memory", lambda self: self)
        x, data = (torch.empty(n, 3, 2, 3, device="cuda") for n in (2, 4))
        for identity in (True, False):
            owners = tensors.Owners.of(owner, x.device, identity=identity)
            kept = owners.table(table, x.device)
            out = tensors.compose(x, data, owners, kept, rows, which, places)
            assert out.device.type == "cuda" and out.shape == (8, 3, 2, 3)
        u = tensors.uniforms(0, 1, torch.arange(4, device="cuda"), 5)
        assert u.device.type == "cuda" and u.dtype == torch.float64


# ---------------------------------------------------------------------------- random numbers

SEEDS = [0, 7, -1, 2**63 - 1, 2**64 + 5]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stream", [streams.PERMUTATION, streams.REPLACEMENT, streams.FLIP])
def test_torch_draws_the_same_numbers(torch, seed, stream):
    from xai.kernels import tensors

    samples = np.array([0, 1, 2, 1000, 2**40, 2**62])
    there = torch.tensor(samples)
    own = tensors.bits(seed, stream, there, 33).numpy().view(np.uint64)
    np.testing.assert_array_equal(own, streams.bits(seed, stream, samples, 33))
    expected = streams.uniforms(seed, stream, samples, 33)
    found = tensors.uniforms(seed, stream, there, 33).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("width", [1, 5])
def test_torch_draws_the_same_sample_whatever_its_neighbours(torch, width):
    from xai.kernels import tensors

    whole = tensors.bits(3, streams.DRAW, torch.arange(20), width)
    parts = [tensors.bits(3, streams.DRAW, part, width) for part in torch.arange(20).split(7)]
    assert torch.equal(torch.cat(parts), whole)


# ------------------------------------------------------------------------- other loops


@pytest.fixture
def walked():
    """Contributions (2, 5, 3, 2) of five pairs, their slots by row, a trend (5, 3, 2)."""
    rng = np.random.default_rng(0)
    slots = np.array([[0, 1, 0, 1, 1], [0, 0, 0, 1, 0]])
    return rng.normal(size=(2, 5, 3, 2)), slots, rng.normal(size=(5, 3, 2)), rng


def mean_by_slot(values, slots):
    """(R, 2, …) by definition."""
    return np.array(
        [[v[s == g].mean(axis=0) for g in (0, 1)] for v, s in zip(values, slots, strict=True)]
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", [distances, distances.py_func])
def test_distances_are_those_of_numbers_in_double_precision(form, dtype):
    rng = np.random.default_rng(0)
    copies, rows = (rng.normal(size=(n, 7)).astype(dtype) for n in (9, 3))
    index, out = np.arange(9) % 3, np.empty(9)
    form(copies, rows, index, out)
    expected = np.linalg.norm(copies.astype(np.float64) - rows.astype(np.float64)[index], axis=1)
    np.testing.assert_allclose(out, expected, rtol=1e-14)


def test_moments_of_masks():
    """Of masks of more pixels than one tile, in double precision, added to what is there."""
    rng = np.random.default_rng(0)
    M, f = rng.random((4, 2 * masks.TILE + 3), np.float32), rng.normal(size=(2, 4))
    sums, products = np.ones((2, M.shape[1])), np.ones((2, 3, M.shape[1]))
    masks.add_moments(M, f, sums, products)
    M = M.astype(np.float64)
    expected = np.stack([f @ M, f @ M**2, f**2 @ M**2], axis=1)
    np.testing.assert_allclose(sums, 1 + np.stack([M.sum(axis=0), (M**2).sum(axis=0)]), rtol=1e-13)
    np.testing.assert_allclose(products, 1 + expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kernel", [pairs.slot_means, pairs.slot_means.py_func])
def test_slot_means(kernel, walked):
    phi, slots, *_ = walked
    flat, out, counts = phi.reshape(2, 5, 6), np.empty((2, 2, 6)), np.empty((2, 2), np.intp)
    kernel(flat, slots, out, counts)
    np.testing.assert_allclose(out, mean_by_slot(flat, slots), rtol=0, atol=1e-15)
    assert counts.tolist() == [[2, 3], [4, 1]]
    kernel(np.full((2, 5, 6), 0.1), slots, out, counts)
    assert (out == 0.1).all()


def test_trends_and_what_they_leave(walked):
    phi, slots, trend, rng = walked
    means, scaled = mean_by_slot(phi, slots), rng.normal(size=(2, 2, 3, 2))
    of_slot, slope = mean_by_slot([trend, trend], slots), rng.normal(size=(2, 3, 2, 4))
    row = np.arange(2)[:, None]
    e, f = phi - means[row, slots], scaled[row, slots]
    a, b = np.moveaxis(trend - of_slot[row, slots], -1, 0)[..., None]
    products = [a * a + 0 * e, a * b + 0 * e, b * b + 0 * e]
    gram = np.array([[(p * f**q).sum(axis=1) for q in range(3)] for p in products])
    regressors = np.stack([a + 0 * e, b + 0 * e, a * f, b * f], axis=-1)
    moment = (e[..., None] * regressors).sum(axis=1)
    left = (e - (regressors * slope[:, None]).sum(axis=-1)) ** 2
    squares = [[left[r][slots[r] == g].sum(axis=0) for g in (0, 1)] for r in (0, 1)]
    for form in (lambda k: k, lambda k: k.py_func):
        found = np.zeros((2, 3, 2, 3, 3)), np.zeros((2, 3, 2, 4)), np.zeros((2, 2, 3, 2))
        given = (phi, means, scaled, trend, of_slot, slots)
        form(pairs.trend_sums)(*given, *found[:2])
        form(pairs.slot_squares)(*given, slope, found[2])
        np.testing.assert_allclose(found[0], np.moveaxis(gram, (0, 1), (-2, -1)))
        np.testing.assert_allclose(found[1], moment)
        np.testing.assert_allclose(found[2], squares)


@pytest.mark.parametrize(
    "kernel", [odd_process.shapley_of_kernel, odd_process.shapley_of_kernel.py_func]
)
def test_shapley_values_of_the_odd_kernel(kernel):
    """Those of the function S -> k(S, z) by enumeration."""
    rng = np.random.default_rng(0)
    d = 5
    z, lam = np.where(rng.random((3, d)) < 0.5, 1.0, -1.0), rng.uniform(0.1, 0.6, d)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    out = np.empty((3, d))
    kernel(z, lam, (nodes + 1) / 2, weights / 2, out)
    for p in range(3):

        def v(S, point=z[p : p + 1]):
            return odd_kernel(np.where(np.atleast_2d(S), 1.0, -1.0), point, lam)[:, 0]

        game = xai.Game.from_function(v, n_players=d)
        np.testing.assert_allclose(out[p], xai.summary.Shapley("exact")(game).values, atol=1e-14)


def test_what_is_known_is_not_evaluated_again():
    """Values by the keys of coalitions, asked for piece by piece, some twice at once."""
    rng = np.random.default_rng(0)
    S = rng.random((3000, 9)) < 0.5  # 512 kinds
    value, asked = S @ np.arange(9) ** 2.0, []
    known, keys = Known(1, 1), keys_of(S)

    def evaluate(at):
        asked.extend(at)
        return value[at][None, :, None]

    for part in np.array_split(np.arange(3000), [5, 6, 40, 900]):
        found = known.look(keys[part], lambda new, part=part: evaluate(part[new]))
        np.testing.assert_array_equal(found[0, :, 0], value[part])
    assert len(asked) == len(np.unique(S, axis=0)) == len(np.unique(keys))


def test_a_coalition_has_one_key_however_it_is_met():
    order = np.argsort(np.random.default_rng(0).random((20, 70)), axis=1)
    sums = keys_along(order, seed=3)
    for s in (0, 1, 33, 70):
        S = np.argsort(order, axis=1) < s
        np.testing.assert_array_equal(keys_of(S, seed=3), sums[:, s])
        np.testing.assert_array_equal(keys_of(~S, seed=3), sums[:, -1] - sums[:, s])
    assert len(np.unique(keys_of(np.eye(300, dtype=bool)))) == 300


@pytest.mark.parametrize("d", [1, 2, 7, 64, 65])
def test_places_are_those_of_a_stable_descending_sort(d):
    rng = np.random.default_rng(d)
    numbers = np.array([-np.inf, -1.0, -0.0, 0.0, 0.5, np.inf, np.nan])
    a = np.concatenate([rng.normal(size=(40, d)), rng.choice(numbers, size=(40, d))])
    expected = np.empty((80, d), int)
    order = np.argsort(-a, axis=1, kind="stable")
    np.put_along_axis(expected, order, np.broadcast_to(np.arange(d), a.shape), axis=1)
    np.testing.assert_array_equal(ranks(a), expected)
    for form in (places, places.py_func):
        out = np.empty((80, d), np.int32)
        form(a, out)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("scale", [1e-250, 1.0, 1e250])
def test_correlations_are_numpys_of_numbers_of_any_size(scale):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30, 5)) + rng.normal(size=(2, 30, 1)) * 9
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(pearson(scale * a, b / scale), expected, rtol=1e-9)
    np.testing.assert_allclose(pearson(scale * a, -3 * scale * a), -1)
    alone = [pearson(scale * x, b[0]) for x in a]
    np.testing.assert_array_equal(pearson(scale * a, b[0]), alone)
    many = rng.normal(size=(2000, 3))
    line = np.where(np.arange(2000)[:, None] % 2, 0.7, -0.7) * many + 0.3
    assert (np.abs(pearson(many, line)) <= 1).all()  # rounding is cut off
    wide = np.array([[0.25, 0.5, 1.0]]) * scale
    for flat in (wide * 0, wide**0 * scale, scale + scale * 1e-13 * np.arange(3)[None]):
        assert np.isnan(pearson(wide, flat)).all() and np.isnan(pearson(flat, wide)).all()
    barely = scale + scale * 1e-11 * np.arange(3)[None]
    for pair in ((barely, wide), (wide, barely)):
        expected = np.corrcoef([0, 1, 2], [1, 2, 4])[0, 1]
        np.testing.assert_allclose(pearson(*pair), expected, rtol=1e-4)


def test_levels_are_dense_ranks_but_for_rounding():
    rng = np.random.default_rng(0)
    a = rng.choice([-np.inf, -1.0, 0.0, 2.0, np.inf], size=(6, 40))
    a[:, 0], a[:, 1] = 0, -1e-200  # all alike
    expected = rankdata(a, "dense", axis=0) - 1
    near = a * (1 + 1e-15 * rng.choice([0, 1], size=a.shape))
    for given in (a, near, 1e200 * a):
        np.testing.assert_array_equal(levels(given), expected)
    np.testing.assert_array_equal(levels(np.array([1.0, 2.0, 9.0]), np.array(2e12)), [0, 0, 1])


def test_average_ranks_are_scipys_but_for_rounding_and_what_is_not_finite():
    rng = np.random.default_rng(0)
    a = rng.choice([0.5, 1.0, 2.0, 3.0], size=(50, 9))
    np.testing.assert_array_equal(average_ranks(a), rankdata(a, axis=1))
    for scale in (1e-300, 1e300):
        np.testing.assert_array_equal(average_ranks(a * scale), rankdata(a, axis=1))
    close = a * (1 + 1e-15 * rng.choice([0, 1], size=a.shape))
    assert (rankdata(close, axis=1) != rankdata(a, axis=1)).any()
    np.testing.assert_array_equal(average_ranks(close), rankdata(a, axis=1))
    chain = 1 + 6e-13 * np.arange(4)  # each an equal of the next, if not of the last
    for alike in (np.zeros((1, 4)), chain[None]):
        np.testing.assert_array_equal(average_ranks(alike), [[2.5] * 4])
    from_0 = np.array([[0.0, 1.0, 1 + 2**-52, 1e-17]])  # the largest says what rounding is
    np.testing.assert_array_equal(average_ranks(from_0), [[1.5, 3.5, 3.5, 1.5]])
    np.testing.assert_array_equal(average_ranks(-from_0), [[3.5, 1.5, 1.5, 3.5]])
    for bad in (np.nan, np.inf, -np.inf):
        worse = a.copy()
        worse[3, 4] = bad
        expected = rankdata(a, axis=1)
        expected[3] = np.nan
        np.testing.assert_array_equal(average_ranks(worse), expected)
