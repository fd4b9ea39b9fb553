"""Rows that parts span: any network gives them what it gives the rows themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import xai
from xai.players import Concepts
from xai.removal import Baseline, Marginal

torch = pytest.importorskip("torch")
nn = torch.nn
B, K = 9, 3


def both(shape, channels_last=False):
    """Rows by parts of two sets, and as a plain tensor."""
    from xai.concepts.spanned import Spanned

    torch.manual_seed(0)
    sets = torch.randn(2, K + 1, *shape, dtype=torch.float64)
    stack = torch.cat([sets.flatten(0, 1), torch.zeros(1, *shape, dtype=torch.float64)])
    weights = torch.randn(B, K, dtype=torch.float64)
    rows = np.repeat([0, 1], [4, 5])
    full = torch.stack(
        [
            sets[r, -1] + torch.tensordot(w, sets[r, :-1], 1)
            for w, r in zip(weights, rows, strict=True)
        ]
    )
    if channels_last:
        stack, full = (t.contiguous(memory_format=torch.channels_last) for t in (stack, full))
    return Spanned(stack, weights, rows), full


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        nn.init.normal_(self.norm.running_mean)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.norm(self.conv(x)) + x)


class Writes(nn.Module):
    """Writes on a view, or under one, and reads the other."""

    def __init__(self, sizes, on_view):
        super().__init__()
        self.sizes, self.on_view = sizes, on_view

    def forward(self, x):
        y = x.view(len(x), *self.sizes)[:, :]
        total = y.sum(1)
        (y if self.on_view else x).mul_(2)
        return torch.cat([x.flatten(1).mean(1), y.flatten(1).sum(1), total.flatten()])


def apart(x):
    return torch.cat([part.mean(1) for part in torch.tensor_split(x, [2, 6])])


def own_statistics(x):
    return nn.functional.batch_norm(x, None, None, training=True)


IMAGES = {
    "convolution": nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4)),
    "in place": nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3)),
    "head": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(4, 3)),
    "pools": nn.Sequential(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(3), nn.MaxPool2d(2)),
    "padding": nn.Sequential(nn.ConstantPad2d(1, 3.0), nn.Conv2d(4, 4, 3)),
    "residual": Residual(),
    "instances": nn.InstanceNorm2d(4),
    "groups": nn.GroupNorm(2, 4),
    "enlarged": nn.Upsample(scale_factor=2),
    "shuffled": nn.PixelShuffle(2),
    "all rows": nn.Flatten(0),
    "a batch's own norm": own_statistics,
    "apart": apart,
    "product of itself": lambda x: x * x.mean((2, 3), keepdim=True),
}
PLAIN = {"writes on a view": Writes((4, 64), True), "writes under a view": Writes((-1,), False)}
TOKENS = {
    "linear": nn.Linear(6, 5).double(),
    "first": lambda x: nn.functional.linear(x[:, 0], torch.ones(2, 6).double(), torch.ones(2)),
    "mean": lambda x: x.mean(1, keepdim=True),
    "mean of rows": lambda x: x.mean(0),
    "mean of rows, told from the end": lambda x: x.mean(-3),
    "more rows": lambda x: nn.functional.pad(x, (0, 0, 0, 0, 1, 2), value=3.0),
    "mean of all": lambda x: x.mean(),
    "sum": lambda x: x[:, ::2].sum(1),
    "some rows": lambda x: x[2:5].mean(1) + x[[0, 2, 4]].mean(1),
    "no rows": lambda x: x[:0].mean(1),
    "rows apart": apart,
    "other rows": lambda x: torch.addmm(torch.arange(9.0)[:, None], x[:, 0], torch.ones(6, 2)),
}


def same(run, shape, channels_last=False):
    spanned, full = both(shape, channels_last)
    with torch.no_grad():
        found, expected = run(spanned).clone(), run(full)
    assert type(found) is torch.Tensor and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", IMAGES)
def test_networks_give_what_they_give_the_rows(name, channels_last):
    run = IMAGES[name]
    same(run.double().eval() if isinstance(run, nn.Module) else run, (4, 8, 8), channels_last)


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_written_on_a_view_is_written_on_the_rows(name):
    same(PLAIN[name], (4, 8, 8))


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_too(name):
    torch.set_default_dtype(torch.float64)
    try:
        same(TOKENS[name], (7, 6))
    finally:
        torch.set_default_dtype(torch.float32)


class Counted(nn.Module):
    """Counts the rows it is run on."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.rows = inner, 0

    def forward(self, x):
        self.rows += len(getattr(x, "stack", x))
        return self.inner(x)


class OnHost(nn.Module):
    """Asks for a tensor's own memory, as code outside torch does."""

    def forward(self, x):
        return torch.from_numpy(np.maximum(x.numpy(), 0.1))


def network(first=None):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), first or nn.Identity(),
        nn.Conv2d(8, 6, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 3),
    ).double()  # fmt: skip


@pytest.fixture(scope="module")
def images():
    return torch.tensor(xai.datasets.textures(12, size=16, cells=2).data)


@pytest.mark.parametrize("first", [None, OnHost()])
@pytest.mark.parametrize("removal", [Baseline(0), Marginal()])
def test_concepts_have_the_values_that_their_rows_have(images, first, removal, monkeypatch):
    """With masks, with other images' amounts, and where the network takes no parts."""
    net = network(first)
    bank = xai.concepts.fit(net, images, layer="1", n_concepts=4)

    def explained():
        return xai.explain(
            net, images[:3], "shapley", players=Concepts(bank), removal=removal, data=images[3:6],
            target="all", batch_size=64,
        )  # fmt: skip

    found = explained()
    from xai.concepts.players import _Made

    monkeypatch.setattr(_Made, "spanned", _Made.__call__)
    rows = explained()
    np.testing.assert_allclose(found.values, rows.values, atol=1e-12)
    assert found.evaluations == rows.evaluations
    np.testing.assert_allclose(
        found.values.sum(1) + found.base_values, found.predictions, atol=1e-12
    )


@pytest.mark.parametrize("first", [nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.AvgPool2d(2)])
def test_affine_layers_run_on_parts_alone(images, first):
    """A convolution behind the layer sees each batch's r parts, E and 0, not its rows."""
    affine, last = Counted(first), Counted(nn.Linear(6, 3))
    net = network(affine)
    net[7] = last.double()
    bank = xai.concepts.fit(net, images, layer="1", n_concepts=4)
    affine.rows = last.rows = 0
    e = xai.explain(net, images[:1], "craft", bank=bank, target=0, designs=64, batch_size=100)
    batches = -(-e.evaluations // 100) + 4  # the row itself, what finds the way on, u W
    assert last.rows > 300 and affine.rows <= 6 * batches


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_the_head_ignores_changes_no_bit(images, dtype):
    """A bias would be added and taken away again, were parts not linear ones."""
    torch.manual_seed(0)
    head = nn.Linear(6, 3)
    net = nn.Sequential(nn.ReLU(), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    net = net.to(dtype)
    with torch.no_grad():
        head.weight[:, 2] = 0
        head.bias.fill_(3.7)
    x = torch.rand(8, 6, 6, 6, dtype=dtype)
    bank = replace(xai.concepts.fit(net, x, layer="0", n_concepts=6), basis=np.eye(6))
    found = bank.importance(x, target=1, designs=64)
    assert found.values[2] == found.effect[2] == found.std_error[2] == 0
    assert (np.delete(found.values, 2) > 0).all()


def test_few_rows_of_many_images_are_rows(images):
    """Parts pay where there are half as many as rows."""
    affine = Counted(nn.Conv2d(8, 8, 3))
    net = network(affine)
    bank = xai.concepts.fit(net, images, layer="1", n_concepts=4)
    affine.rows = 0
    e = xai.explain(net, images, "occlusion", players=Concepts(bank), removal=Baseline(0))
    assert affine.rows <= (e.evaluations + 6) * len(images)


@pytest.mark.parametrize("removal", [Baseline(0), Marginal()])
def test_a_head_that_is_affine_to_its_end_has_large_calls_and_small_memory(
    images, removal, monkeypatch
):
    """As many rows as inputs and outputs allow; where these are no parts, a few at a time."""
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 3),
    ).double()  # fmt: skip
    bank = xai.concepts.fit(net, images, layer="1", n_concepts=6)
    row = 8 * 8 * 16 * 16  # bytes of its activations
    monkeypatch.setattr("xai.batches.REST_BATCH_BYTES", 40 * row)
    monkeypatch.setattr("xai.concepts.players.REST_BATCH_BYTES", 40 * row)
    calls, made = [], []
    from xai.concepts.players import _Made

    whole, parts = _Made.__call__, _Made.spanned

    def counted(self, block, rows):
        made.append(len(rows))
        return whole(self, block, rows)

    def spanned(self, block, rows):
        calls.append(len(rows))
        return parts(self, block, rows)

    given = {"removal": removal, "data": images[3:6], "target": 0}

    def explained():
        return xai.explain(net, images[:3], "shapley", players=Concepts(bank), **given)

    monkeypatch.setattr(_Made, "__call__", counted)
    monkeypatch.setattr(_Made, "spanned", spanned)
    found = explained()
    if removal == Baseline(0):
        assert max(calls) > 40 and max(made) <= 3  # three rows are fewer than their parts
    else:
        assert max(calls) > max(made) and max(made) <= 40
    monkeypatch.setattr(_Made, "spanned", lambda self, block, rows: None)
    np.testing.assert_allclose(found.values, explained().values, atol=1e-12)
    assert max(made) <= 40
