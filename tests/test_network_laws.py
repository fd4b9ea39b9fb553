"""The laws for methods of torch networks: each test runs over conftest.py's table of them."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import joblib
import numpy as np
import pytest

import xai
from xai.progress import Progress

torch = pytest.importorskip("torch")

BANK = xai.concepts.ConceptBank(
    np.array([[0.6, 0.0, 0.8, 0.0], [0.0, 1.0, 0.0, 0.0]]), np.zeros(4), np.eye(2),
    np.zeros((2, 5), int), "5", "semi_nmf", 0.0, None, (2, 9, 9), 0,
)  # fmt: skip
FIELDS = ("values", "base_values", "predictions", "std_error")


class Counter(torch.nn.Identity):
    """Passes its input on, and counts the rows: those that reach the end of a network."""

    def __init__(self):
        super().__init__()
        self.rows, self.largest = 0, 0

    def __deepcopy__(self, memo):
        return self  # rows that a copy of the network sees count, too

    def forward(self, x):
        self.rows += len(x)
        self.largest = max(self.largest, len(x))
        return x


def network(seed=0):
    """A net whose first and later ReLUs work in place, in double precision, with a counter."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.ReLU(inplace=True),
        torch.nn.Conv2d(2, 3, 3),
        torch.nn.ReLU(inplace=True),
        torch.nn.Conv2d(3, 4, 3, stride=2),
        torch.nn.BatchNorm2d(4),
        torch.nn.Tanh(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        Counter(),
        torch.nn.Linear(4, 3),
    )
    return net.double()


@pytest.fixture  # anew for each test: what one writes on them, the next must not start from
def images():
    rng = np.random.default_rng(1)
    return torch.tensor(rng.normal(size=(3, 2, 9, 9)))


@pytest.fixture
def background():
    rng = np.random.default_rng(2)
    return torch.tensor(rng.normal(size=(6, 2, 9, 9)))


@pytest.fixture
def run(images, background):
    def call(case, net=None, x=None, **keywords):
        given = {"budget": case.budget} | ({"data": background} if case.needs_data else {})
        if case.concepts:
            given["players"] = xai.players.Concepts(BANK)
        x = images if x is None else x
        return xai.explain(net or network(), x, case.name, **(given | keywords))

    return call


def assert_agree(one, other, exactly=False):
    for field in FIELDS:
        a, b = getattr(one, field), getattr(other, field)
        if a is None or b is None:
            assert a is b is None, field
        elif exactly:
            np.testing.assert_array_equal(a, b, err_msg=field)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10, err_msg=field)


def test_calls_are_as_large_as_the_widest_layer_allows():
    """A network's layers, not its input, are what must fit the cache."""

    nn = torch.nn

    class Counting(nn.Conv2d):
        largest = 0

        def forward(self, batch):
            self.largest = max(self.largest, len(batch))
            return super().forward(batch)

    x = torch.rand(1, 1, 32, 32)
    for channels, rows in [(16, 2**22 // (16 * 32 * 32 * 4 + 8)), (256, 16), (2048, 7)]:
        first = Counting(1, channels, 3, padding=1)
        net = nn.Sequential(first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1))
        xai.explain(net, x, "lime", players=xai.players.Patches(8), removal="baseline", budget=500)
        assert first.largest == rows


@pytest.mark.parametrize("batch_size", [1, 2, 7, 1000])
def test_batch_size_changes_nothing(network_case, run, batch_size):
    net = network()
    batched, default = run(network_case, net, batch_size=batch_size), run(network_case)
    assert net[8].largest <= max(batch_size, 2 if network_case.name == "deeplift" else 1)
    assert batched.evaluations == default.evaluations
    assert_agree(batched, default)


def test_each_row_is_explained_alone(network_case, run, images):
    together = run(network_case)
    for i in range(len(images)):
        alone = run(network_case, x=images[i : i + 1])
        assert_agree(together[i], alone)
        np.testing.assert_allclose(together[i].map(), alone.map(), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("n", [1, 3])
def test_evaluations_are_the_rows_that_the_network_saw(network_case, run, images, n):
    net = network()
    explanation = run(network_case, net, x=images[:n])
    assert explanation.evaluations == -(-net[8].rows // n)
    assert network_case.budget is None or explanation.evaluations <= network_case.budget


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gradient", {}), ("smoothgrad", {}), ("expected_gradients", {"data": True}),
        ("integrated_gradients", {}), ("gradcam", {}), ("deeplift", {}), ("lrp", {}),
        ("extremal_perturbation", {"iterations": 3}),
    ],
)  # fmt: skip
def test_a_bar_ends_where_the_work_does(method, options, images, background, monkeypatch):
    told = []
    monkeypatch.setattr(Progress, "close", lambda bar: told.append((bar.total, bar.done)))
    given = options | ({"data": background} if "data" in options else {})
    xai.explain(network(), images, method, **given)
    ((total, done),) = told
    assert total == done > 0


@pytest.mark.parametrize("method", ["gradcam", "ablation_cam", "layer_integrated_gradients"])
def test_a_background_behind_a_layer_runs_in_batches_and_counts(method, images, background):
    net = network()
    given = {"layer": "5", "removal": "marginal", "data": background}
    explanation = xai.explain(net, images, method, batch_size=2, **given)
    assert net[8].largest == 2
    assert explanation.evaluations == -(-net[8].rows // 3)
    assert_agree(explanation, xai.explain(net, images, method, **given))


@pytest.mark.parametrize("budget", [12, 20, 101])
def test_a_budget_is_never_exceeded(sampling_network_case, run, images, budget):
    net, budget = network(), max(budget, sampling_network_case.least)
    explanation = run(sampling_network_case, net, x=images[:1], budget=budget)
    assert net[8].rows == explanation.evaluations <= budget


def test_a_budget_too_small_says_the_least_that_works(network_case, run, images):
    with pytest.raises(ValueError, match=r"at least \d+") as refused:
        run(network_case, budget=1)
    least = int(str(refused.value).split("at least ")[1].split()[0])
    assert run(network_case, x=images[:1], budget=least).evaluations <= least
    with pytest.raises(ValueError, match="at least"):
        run(network_case, budget=least - 1)


def test_seeds_repeat_and_differ(network_case, run):
    assert_agree(run(network_case, seed=3), run(network_case, seed=3), exactly=True)
    one, other = run(network_case, seed=3), run(network_case, seed=4)
    same = np.allclose(one.values, other.values, rtol=1e-9)
    assert same != network_case.samples


def test_a_network_is_left_as_it_was(network_case, run, images, background):
    net = network().train()
    net[1].requires_grad_(False)
    net[4].eval()
    modes = [part.training for part in net.modules()]
    flags = [p.requires_grad for p in net.parameters()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    x, other = images.clone(), background.clone()
    run(network_case, net, x=x)
    assert torch.equal(other, background)
    assert torch.equal(x, images) and not x.requires_grad and x.grad is None
    assert [part.training for part in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == flags
    assert all(p.grad is None for p in net.parameters())
    assert all(not part._forward_hooks for part in net.modules())
    assert all(torch.equal(state[k], v) for k, v in net.state_dict().items())


def test_nothing_waits_for_a_collection(network_case, run, images, monkeypatch):
    """Network, copies of it and rows are gone with the explanation: they may fill a device."""
    kept = []
    deepcopy = xai.replay.deepcopy

    def copying(module):
        copied = deepcopy(module)
        kept.append(weakref.ref(copied))
        return copied

    monkeypatch.setattr("xai.replay.deepcopy", copying)
    net = network()
    run(network_case, net, batch_size=2)  # imports, what is made once
    gc.collect()
    gc.disable()
    try:
        run(network_case, net, batch_size=2)
        kept += [weakref.ref(net), weakref.ref(net[1].weight)]
        del net
        assert not [ref() for ref in kept if ref() is not None]
    finally:
        gc.enable()


def test_outputs_that_are_not_as_many_as_those_of_x_are_refused(torch_case, run):
    net, calls = network(), []

    def widen(_, given, out):
        calls.append(len(out))
        return torch.cat([out, out[:, :1]], 1) if len(calls) > 1 else out

    net[9].register_forward_hook(widen)
    with pytest.raises(ValueError, match=r"3 outputs in one call and 4|does not reproduce"):
        run(torch_case, net)


def test_finding_concepts_leaves_the_images_as_they_were(images):
    x = images.clone()
    bank = xai.concepts.fit(
        network(), x, layer="5", n_concepts=2, factors="pca", crop="places", target=0
    )
    bank.importance(x, target=0)
    assert torch.equal(x, images)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_gradients_are_off_around_it(network_case, run, around):
    inside = network()
    with around():
        explanation = run(network_case, inside)
    assert_agree(explanation, run(network_case))


def test_torchs_default_device_changes_nothing(network_case, run):
    """Whatever lives where is told; "meta" holds no numbers, so that none may go there unasked."""
    net = network()
    with torch.device("meta"):
        found = run(network_case, net)
    assert_agree(found, run(network_case, net), exactly=True)


def test_metrics_of_gradients_know_no_default_device(images):
    net, scores = network(), []
    for device in ("cpu", "meta"):
        with torch.device(device):
            e = xai.explain(net, images, "integrated_gradients", steps=3)
            scores.append(xai.metrics.worst_case_bound(net, images, e).values)
            scores.append(xai.metrics.input_invariance(net, images, e).values)
    np.testing.assert_array_equal(scores[:2], scores[2:])


def test_a_frozen_network(network_case, run):
    assert_agree(run(network_case, network().requires_grad_(False)), run(network_case))


def test_an_array_is_as_good_as_a_tensor(network_case, run, images):
    assert_agree(run(network_case, x=images.numpy()), run(network_case))


def test_all_outputs_cost_no_more_than_one_and_agree(sharing_network_case, run):
    keywords = {"steps": 8} if "integrated" in sharing_network_case.name else {}
    every = run(sharing_network_case, target="all", **keywords)
    for target in range(3):
        one = run(sharing_network_case, target=target, **keywords)
        assert one.evaluations == every.evaluations
        np.testing.assert_allclose(every.values[..., target], one.values, rtol=1e-9, atol=1e-12)


def test_a_constant_network_is_explained_by_zeros(amount_network_case, run):
    net = network()
    torch.nn.init.zeros_(net[9].weight)
    explanation = run(amount_network_case, net)
    if amount_network_case.change:
        np.testing.assert_array_equal(explanation.values, 0)
    else:
        np.testing.assert_allclose(explanation.values, explanation.values.flat[0])


def test_what_is_saved_comes_back(network_case, run, tmp_path):
    explanation = run(network_case)
    explanation.save(tmp_path / "e.npz")
    loaded = xai.load(tmp_path / "e.npz")
    assert_agree(explanation, loaded, exactly=True)
    np.testing.assert_array_equal(explanation.map(), loaded.map())


def test_maps_are_as_large_as_the_images(network_case, run):
    explanation = run(network_case, target="all")
    assert explanation.map().shape == (3, 2, 9, 9, 3)


@pytest.mark.parametrize("model", ["forest", "function"])
def test_models_without_gradients_are_refused_before_they_are_called(torch_case, images, model):
    calls = []

    def function(x):
        calls.append(x)
        return x.sum(axis=(1, 2, 3))

    x = images.numpy()
    players = xai.players.Concepts(BANK) if torch_case.concepts else None
    with pytest.raises(TypeError, match="torch module"):
        xai.explain(function, x, torch_case.name, data=x, channel_axis=1, players=players)
    assert not calls


def test_nan_in_a_gradient_names_the_row(run, images):
    class Root(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1).sum(1, keepdim=True).abs().sqrt().expand(-1, 2) * 1.0

    x = images.clone()
    x[1] = 0
    with pytest.raises(ValueError, match=r"row 1 \(0-based\)"):
        xai.explain(Root(), x, "gradient", target=0)


# ------------------------------------------------------------------------- how a module is run


class Several(torch.nn.Module):
    """Returns a tuple, a dict, or an object with logits, as trained models do."""

    def __init__(self, kind):
        super().__init__()
        self.net, self.kind = network(), kind

    def forward(self, x):
        out = self.net(x)
        if self.kind == "tuple":
            return out * 2, out
        if self.kind == "dict":
            return {"other": out * 2, "scores": out}
        return type("Output", (), {"logits": out})()


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        ("tuple", 1),
        ("tuple", np.int64(1)),
        ("dict", "scores"),
        ("dict", lambda out: out["scores"]),
        ("object", None),
        ("object", "logits"),
    ],
)
def test_one_of_several_outputs_is_explained(network_case, run, kind, output):
    model, keywords = xai.TorchModel(Several(kind), output=output), {}
    if network_case.concepts:  # in a module around the network, the layer has another name
        keywords["players"] = xai.players.Concepts(replace(BANK, layer="net.5"))
    assert_agree(run(network_case, model, **keywords), run(network_case))


@pytest.mark.parametrize("kind", ["tuple", "dict"])
def test_which_output_must_be_said(kind, run, images):
    for method in ("gradient", "occlusion"):
        with pytest.raises(TypeError, match=r"TorchModel\(module, output=0\)"):
            xai.explain(Several(kind), images, method)


def test_an_output_that_a_module_does_not_return_is_named(images):
    with pytest.raises(ValueError, match=r"unknown output 'score'; did you mean 'scores'"):
        xai.explain(xai.TorchModel(Several("dict"), output="score"), images, "occlusion")


def test_channels_last_changes_nothing_but_the_order_in_memory(network_case, run):
    net = network()
    strides = [p.stride() for p in net.parameters()]
    storage = [p.data_ptr() for p in net.parameters()]
    explanation = run(network_case, xai.TorchModel(net, channels_last=True))
    assert_agree(explanation, run(network_case))
    assert [p.stride() for p in net.parameters()] == strides
    assert [p.data_ptr() for p in net.parameters()] == storage


def test_half_precision_is_nearly_the_same(amount_network_case, run):
    net = network().float()
    keywords = {"steps": 16} if "integrated" in amount_network_case.name else {}
    halved = xai.TorchModel(net, precision="bfloat16")
    whole, half = (run(amount_network_case, model, **keywords) for model in (net, halved))
    assert half.values.dtype.itemsize >= 4
    off = np.abs(half.values - whole.values)
    if "masks" not in whole.info:
        assert 0 < off.max() < 0.25 * np.abs(whole.values).max()
        return
    assert 0 < off.mean() < 0.03  # an edge may come to rest elsewhere: what counts is its score
    if amount_network_case.name == "extremal_perturbation":
        # later the paths of two roundings part: how far, processors decide
        whole, half = (run(amount_network_case, model, budget=40) for model in (net, halved))
        assert (half.info["score"] != whole.info["score"]).any()
    np.testing.assert_allclose(half.info["score"], whole.info["score"], rtol=0.01)


def test_workers_inside_a_network_may_be_processes(images):
    nn = torch.nn
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(147, 2)).double()
    keywords = {"players": xai.players.Channels("1"), "batch_size": 8}
    one = xai.explain(net, images, "shapley", **keywords)
    with joblib.parallel_config(backend="loky"):
        two = xai.explain(net, images, "shapley", n_jobs=2, **keywords)
    assert_agree(one, two)


def test_a_precision_that_is_none_is_refused():
    with pytest.raises(ValueError, match="bfloat16"):
        xai.TorchModel(network(), precision="bf16")
    with pytest.raises(TypeError, match="no torch module"):
        xai.TorchModel(lambda x: x)


# ------------------------------------------------------------------ series, images and volumes


def same_network(kind):
    """A network of series, or of images, and the same one with one more axis, of one place."""
    torch.manual_seed(0)
    conv, more = (("Conv1d", "Conv2d"), ("Conv2d", "Conv3d"))[kind == "images"]
    sides, kernel = ((24,), (5,)) if kind == "series" else ((6, 8), (3, 3))
    pads = tuple(k // 2 for k in kernel)
    nets = [
        torch.nn.Sequential(
            getattr(torch.nn, name)(3, 5, front * (1,) + kernel, padding=front * (0,) + pads),
            torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(5 * int(np.prod(sides)), 3),
        ).double()
        for front, name in enumerate((conv, more))
    ]  # fmt: skip
    for old, new in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        new.data = old.data.reshape(new.shape)
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, 3, *sides)))
    return nets, (x, x.unsqueeze(2))


ALONG = {
    "gradcam": {"layer": "1"}, "gradcam++": {"layer": "1"}, "ablation_cam": {"layer": "1"},
    "score_cam": {"layer": "1"}, "layer_integrated_gradients": {"layer": "1"},
    "occlusion": {"players": xai.players.Windows}, "shapley": {"players": xai.players.Patches},
    "lime": {"players": xai.players.Patches, "budget": 200}, "integrated_gradients": {},
    "blur_integrated_gradients": {"sigma": 2.0}, "smoothgrad": {}, "guided_backprop": {},
    "sobol": {"players": xai.players.Patches}, "hsic": {"players": xai.players.Patches},
    "mean_when_included": {"budget": 100},
    "meaningful_perturbation": {"step": 3.0, "iterations": 20, "sigma": 2.0},
}  # fmt: skip
SCORES = ["deletion", "abpc", "road", "region_perturbation", "infidelity", "max_sensitivity"]


@pytest.mark.parametrize("kind", ["series", "images"])
@pytest.mark.parametrize("method", ALONG)
def test_a_series_is_an_image_of_one_line_and_an_image_a_volume_of_one_slice(method, kind):
    """The engine does not care how many axes places have: values, errors, cost, maps, scores."""
    nets, both = same_network(kind)
    size = (4,) if kind == "series" else (3, 4)
    found = []
    for front, (net, x) in enumerate(zip(nets, both, strict=True)):
        options = dict(ALONG[method])
        if "players" in options:
            options["players"] = options["players"](front * (1,) + size)
        found.append(xai.explain(net, x, method, target=1, channel_axis=1, seed=3, **options))
    one, two = found
    assert one.evaluations == two.evaluations
    for name in ("values", "std_error", "base_values"):
        a, b = getattr(one, name), getattr(two, name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a.ravel(), b.ravel(), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(one.map(), two.map()[:, :, 0], rtol=1e-9, atol=1e-10)
    if method not in ("gradcam", "occlusion", "integrated_gradients"):
        return
    for score in SCORES:
        if score == "road" and kind == "images":
            continue  # no inpainting of volumes
        sizes = [
            {"size": f * (1,) + size} if score == "region_perturbation" else {} for f in (0, 1)
        ]
        if score == "road":  # a line is filled in exactly
            sizes = [{"removal": "baseline"}] * 2
        a, b = (
            getattr(xai.metrics, score)(net, x, e, **given).values
            for net, x, e, given in zip(nets, both, found, sizes, strict=True)
        )
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-10)
