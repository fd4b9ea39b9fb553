"""Randomisation metrics: constants, noise, antisymmetric heads; the model is left as it was."""

from __future__ import annotations

from importlib import import_module
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr

import xai
from xai import metrics
from xai.metrics.randomisation import channel_floor, layers, randomised

torch = pytest.importorskip("torch")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 8), torch.nn.ReLU(),
        torch.nn.Linear(8, 3),
    ).double()  # fmt: skip


@pytest.fixture
def x():
    return torch.as_tensor(np.random.default_rng(0).normal(size=(5, 6)))


@pytest.mark.parametrize("order", ["bottom_up", "top_down", "independent"])
def test_what_does_not_look_at_the_model_is_always_like_itself(net, x, order):
    constant = lambda model, rows, target: rows  # noqa: E731
    score = metrics.parameter_randomization(net, x, x, order=order, explain=constant)
    assert_allclose(score.curve, np.ones((5, 3)))
    assert ("floor" in score.info) == (order != "bottom_up")
    assert ("floor=" in repr(score)) == (order != "bottom_up")
    entropy = metrics.efficient_parameter_randomization(net, x, x, explain=constant)
    assert_allclose(entropy.values, 0)


def test_sizes_are_compared_where_they_are_asked_for(net, x):
    """An explanation whose signs alone look at the model; and gradients, by hand."""
    turned = lambda model, rows, target: -rows  # noqa: E731
    signed, sizes = (
        metrics.parameter_randomization(net, x, x, target=0, sizes=flag, explain=turned)
        for flag in (False, True)
    )
    assert_allclose(signed.values, -1)
    assert_allclose(sizes.values, 1)
    e = xai.explain(net, x, "gradient", target=0)
    by_hand = lambda *asked: abs(xai.explain(*asked[:2], "gradient", target=asked[2]).values)  # noqa: E731
    ours = metrics.parameter_randomization(net, x, e, sizes=True)
    theirs = metrics.parameter_randomization(net, x, abs(e.values), target=0, explain=by_hand)
    assert_allclose(ours.curve, theirs.curve)


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_like_nothing_and_so_wins(net, x, seed):
    """Sizes of gradient times input keep those of the input; their signs are drawn anew."""
    rng = np.random.default_rng(1)
    wide = torch.as_tensor(rng.normal(size=(40, 6)))
    noise = lambda model, rows, target: rng.normal(size=rows.shape)  # noqa: E731

    def sizes(model, rows, target):
        return np.abs(xai.explain(model, rows, "gradient_x_input", target=target).values)

    random, gradient = (
        metrics.parameter_randomization(
            net, wide, explain(net, wide, 0), target=0, explain=explain, seed=seed
        )
        for explain in (noise, sizes)
    )
    assert abs(random.mean()) < 4 * random.std_error
    assert gradient.mean() > random.mean() + 4 * np.hypot(gradient.std_error, random.std_error)


def test_a_report_tells_the_floor_where_there_is_one(net):
    x = torch.as_tensor(np.random.default_rng(2).normal(size=(9, 6)))
    e = xai.explain(net, x, "gradient_x_input")
    for order in ("top_down", "bottom_up"):
        asked = {"mprt": ("parameter_randomization", {"order": order})}
        report = metrics.evaluate(net, x, e, asked, removal="baseline")
        floor = report["mprt", "random"].beside("floor")
        told = "floor of mprt" if floor is None else f"floor of mprt: {floor:.2g}"
        for shown in (repr(report), report._repr_html_()):
            assert (told in shown) == (floor is not None) == (order == "top_down")


def test_noise_is_best_by_randomisation_and_worst_by_the_faithfulness_beside_it(net):
    """Binder et al. 2023: both are printed together, for each explanation and for the control."""
    x = torch.as_tensor(np.random.default_rng(2).normal(size=(40, 6)))
    e = xai.explain(net, x, "gradient_x_input")
    every = ["parameter_randomization", "random_logit", "efficient_parameter_randomization",
             "deletion"]  # fmt: skip
    # whose layers, drawn anew, keep more signs than they turn: of half of the seeds it is fewer
    report = metrics.evaluate(net, x, e, every, removal="baseline", seed=2)
    mine, noise = (report["parameter_randomization", n] for n in ("gradient_x_input", "random"))
    assert noise.mean() < mine.mean()
    assert abs(noise.beside("faithfulness")) < 0.5 * mine.beside("faithfulness")
    deleted = [report["deletion", n].mean() for n in ("gradient_x_input", "random")]
    assert deleted[0] < deleted[1]
    for metric in ("parameter_randomization", "random_logit", "efficient_parameter_randomization"):
        for name in ("gradient_x_input", "random"):
            score = report[metric, name]
            figure = score.beside("faithfulness")
            assert f"faithfulness (abpc)={figure:.3g}" in repr(score)
            assert f"[{figure:.2g}]" in repr(report)
        own = metrics.abpc(net, x, e, steps=8, removal="baseline")
        assert_allclose(report[metric, "gradient_x_input"].info["faithfulness"], own.values)
    assert "noise" in repr(report)
    plain = metrics.random_logit(net, x, e, steps=0)
    assert plain.beside("faithfulness") is None and "abpc" not in repr(plain)
    unknown = metrics.random_logit(net, x, e)
    assert np.isnan(unknown.beside("faithfulness")) and "pass data=" in repr(unknown)


def test_layers_are_drawn_anew_in_order_and_the_model_stays(net, x):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.random.get_rng_state()
    net.train()
    seen = []

    def explain(model, rows, target):
        same = [torch.equal(value, before[name]) for name, value in model.state_dict().items()]
        seen.append(same[::2])
        return rows

    for order, fresh in (("top_down", [[1, 1, 0], [1, 0, 0], [0, 0, 0]]),
                         ("bottom_up", [[0, 1, 1], [0, 0, 1], [0, 0, 0]]),
                         ("independent", [[0, 1, 1], [1, 0, 1], [1, 1, 0]])):  # fmt: skip
        seen.clear()
        metrics.parameter_randomization(net, x, x, order=order, explain=explain)
        assert_array_equal(seen, np.array(fresh, bool))
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert net.training and not net[4]._forward_pre_hooks


def test_layers_are_drawn_apart_from_each_other_and_from_those_that_they_were():
    """Of one seed, as in Quantus, all of a shape would be alike; of torch's own, as at first."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(3)])
    every = [
        layer for other in (net, *(randomised(net, "012", s) for s in (0, 1))) for layer in other
    ]
    for one, other in combinations(every, 2):
        assert not torch.isin(one.weight, other.weight).any()


def test_smoothing_averages_over_copies(net, x):
    e = xai.explain(net, x, "gradient_x_input")
    one = metrics.parameter_randomization(net, x, e, smooth=1, noise=0.0)
    assert_allclose(one.curve, metrics.parameter_randomization(net, x, e).curve)
    many = metrics.parameter_randomization(net, x, e, smooth=8, noise=0.2)
    assert not np.allclose(many.curve, one.curve)


def test_antisymmetric_heads_give_opposite_explanations():
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=4), rng.normal(size=(3, 4))
    two = lambda rows: np.stack([rows @ w, -rows @ w], axis=1)  # noqa: E731
    e = xai.explain(two, x, "exact_shapley", data=x)
    assert_allclose(metrics.random_logit(two, x, e).values, -1)
    same = metrics.random_logit(two, x, x, explain=lambda model, rows, target: rows)
    assert_allclose(same.values, 1)
    with pytest.raises(ValueError, match="one output"):
        metrics.random_logit(lambda rows: rows @ w, x, x, explain=lambda *_: x)


def test_another_class_is_each_of_the_others_and_never_its_own(x):
    """So many classes on for every row, and as often one as another over the seeds."""
    w, target = np.random.default_rng(1).normal(size=(4, 6)), np.array([0, 1, 2, 3, 0])
    slope = lambda model, rows, target: asked.append(target) or w[target]  # noqa: E731
    given, seen = {"target": target, "explain": slope, "steps": 0}, set()
    for seed in range(20):
        asked = []
        score = metrics.random_logit(lambda z: z @ w.T, x.numpy(), w[target], seed=seed, **given)
        (step,) = {*(asked[0] - target) % 4}
        seen.add(step)
        r = np.corrcoef(w)[target, asked[0]]
        assert_allclose(score.values, r)
    assert seen == {1, 2, 3}


def test_texts_are_read_with_a_faithfulness_too():
    f = lambda texts: np.array([[t.count("a"), t.count("b") ** 2.0] for t in texts])  # noqa: E731
    texts = ["a b b", "b a a b"]
    e = xai.explain(f, texts, "shapley", target=1)
    beside = metrics.random_logit(f, texts, e, steps=2).info["faithfulness"]
    assert_allclose(beside, metrics.abpc(f, texts, e, steps=2).values)
    assert (beside > 0).all()


def test_places_that_a_row_does_not_have_are_no_part_of_its_likeness():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2)).double()
    x, rng = torch.rand(2, 1, 4, 4).double(), np.random.default_rng(0)
    ids = np.stack([np.arange(16) // 4, np.arange(16) // 2]).reshape(2, 1, 4, 4)
    e = xai.explain(net, x, "occlusion", players=ids)
    drawn = np.where(np.isnan(e.values), np.nan, rng.normal(size=e.values.shape))
    score = metrics.parameter_randomization(net, x, e, explain=lambda *_: drawn, steps=0)
    own = [spearmanr(e.values[i, :k], drawn[i, :k]).statistic for i, k in enumerate((4, 8))]
    assert_allclose(score.values, own)
    other = metrics.random_logit(net, x, e, explain=lambda *_: drawn, steps=0)
    own = [np.corrcoef(e.values[i, :k], drawn[i, :k])[0, 1] for i, k in enumerate((4, 8))]
    assert_allclose(other.values, own)


def test_the_floor_is_the_chance_that_an_order_survives():
    """P(|w1| K > |w2|) = (2/pi) arctan K for independent Gaussian weights; Binder et al. 2023."""
    rng = np.random.default_rng(0)
    w = np.abs(rng.normal(size=(200000, 3))) * np.array([1.0, 2.0, 5.0])
    ahead = [(w[:, j] > w[:, i]).mean() for i, j in [(0, 1), (0, 2), (1, 2)]]
    assert_allclose(channel_floor(np.array([1.0, 2.0, 5.0])), 2 * np.mean(ahead) - 1, atol=0.01)


def test_dead_channels_are_equals_and_many_are_sampled():
    assert_allclose(channel_floor(np.array([0.0, 0.0, 1.0])), 2 / 3)
    many = np.random.default_rng(0).exponential(size=(2, 3000))
    i, j = np.triu_indices(3000, 1)
    high, low = (f(many[:, i], many[:, j]) for f in (np.maximum, np.minimum))
    assert_allclose(channel_floor(many), (4 / np.pi * np.arctan(high / low) - 1).mean(1), atol=0.01)


def test_so_many_channels_that_they_are_sampled_have_the_floor_of_all():
    far = 1e6 ** np.arange(49.0)
    assert_allclose(channel_floor(far[:48]), 1, atol=1e-5)
    assert_allclose(channel_floor(far), 1, atol=1e-3)  # 0.979: pairs of a channel with itself


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_last_layer_that_does_not_run_once_for_each_row_has_no_floor(times):
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.last = torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)

        def forward(self, x):
            x = self.body(x)
            for _ in range(times):
                x = self.last(x)
            return x

    net, x = Network(), torch.randn(4, 3)
    given = {"order": "top_down", "explain": lambda model, rows, target: rows, "steps": 0}
    floor = metrics.parameter_randomization(net, x, x, **given).info["floor"]
    assert floor.shape == (4,)
    assert np.isnan(floor).all() == (times != 1)


@pytest.mark.parametrize("convolves", [False, True])
def test_floors_are_of_each_rows_own_channels(convolves):
    """Channels are a convolution's second axis, and what a linear layer takes."""
    torch.manual_seed(0)
    last = (
        [torch.nn.Conv2d(4, 2, 5)] if convolves else [torch.nn.Flatten(), torch.nn.Linear(100, 2)]
    )
    body = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Tanh())
    net = torch.nn.Sequential(body, *last, torch.nn.Flatten()).double()
    x = torch.randn(3, 1, 7, 7).double()
    with torch.no_grad():
        hidden = body(x).numpy()
    size = np.sqrt((hidden**2).mean(axis=(2, 3))) if convolves else np.abs(hidden).reshape(3, -1)
    given = {"order": "top_down", "explain": lambda model, rows, target: rows, "steps": 0}
    score = metrics.parameter_randomization(net, x, x, **given)
    assert_allclose(score.info["floor"], channel_floor(size))
    alone = metrics.parameter_randomization(net, x[1:2], x[1:2], **given)
    assert_allclose(alone.info["floor"], score.info["floor"][1:2])


@pytest.mark.parametrize("layer", ["", "1"])
def test_the_floor_of_a_network_that_writes_to_its_input(layer):
    """Rows are handed out as copies, and layers' players do not change what the floor is of."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.ReLU(inplace=True), torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2)
    ).double()
    x = torch.randn(5, 4).double()
    before, given = x.clone(), {"order": "top_down", "explain": lambda model, rows, target: a}
    players = {"players": xai.players.Units(layer)} if layer else {}
    a = np.random.default_rng(0).normal(size=(5, 6 if layer else 4))
    score = metrics.parameter_randomization(net, x, a, steps=0, **given, **players)
    assert torch.equal(x, before)
    with torch.no_grad():
        assert_allclose(score.info["floor"], channel_floor(net[:3](x.clone()).abs().numpy()))


@pytest.mark.parametrize("name", ["parameter_randomization", "efficient_parameter_randomization"])
def test_layers_are_drawn_anew_where_gradients_are_off_around_it(net, x, name):
    e, randomization = xai.explain(net, x, "gradient"), getattr(metrics, name)
    want = randomization(net, x, e)
    for around in (torch.no_grad, torch.inference_mode):
        with around():
            assert_array_equal(randomization(net, x, e).values, want.values)


def test_layers_are_drawn_on_the_host_wherever_they_live(x):
    """A device's own generator would draw others, and not each has a seed of ours."""
    done = []

    class Layer(torch.nn.Linear):
        def cpu(self):
            done.append("moved")
            return super().cpu()

        def reset_parameters(self):
            done.append("drawn")
            super().reset_parameters()

    net = torch.nn.Sequential(Layer(4, 2)).double()
    done.clear()
    other = randomised(net, ["0"], 3)
    assert done == ["moved", "drawn"]
    assert other[0].weight.dtype == torch.float64 and other[0].weight.requires_grad
    assert torch.equal(other[0].weight, randomised(net, ["0"], 3)[0].weight)
    assert not torch.equal(other[0].weight, net[0].weight)


def test_drawing_anew_leaves_nothing_behind(net, x):
    """torch.manual_seed keeps a traceback for each call while there is no GPU."""
    before = len(torch.cuda._queued_calls)
    metrics.parameter_randomization(net, x, x, explain=lambda model, rows, target: rows)
    assert len(torch.cuda._queued_calls) == before


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("parameter_randomization", {"smooth": -1}),
        ("parameter_randomization", {"noise": -0.1}),
        ("parameter_randomization", {"order": "upwards"}),
        ("efficient_parameter_randomization", {"bins": 0}),
        ("random_logit", {"steps": -1}),
    ],
)
def test_options_that_are_none_are_refused(name, wrong, net, x):
    ((option, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{option}={value!r}"):
        getattr(metrics, name)(net, x, x, explain=lambda model, rows, target: rows, **wrong)


def test_only_modules_have_layers():
    with pytest.raises(TypeError, match="torch"):
        metrics.parameter_randomization(lambda z: z[:, 0], np.ones((1, 2)), np.ones((1, 2)))


def histogram_entropy(row, bins):
    counts = np.histogram(row, bins=bins)[0]
    p = counts[counts > 0] / len(row)
    return -(p * np.log(p)).sum()


@pytest.mark.parametrize("bins", [4, 100])
def test_the_rise_of_entropy_is_that_of_histograms(bins):
    """(H(a_random) − H(a)) / H(a), of one model whose every layer was drawn anew."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(60, 9), torch.nn.Tanh(), torch.nn.Linear(9, 2))
    net, x = net.double(), torch.randn(3, 60).double()
    kept = [p.clone() for p in net.parameters()]
    asked, made = [], np.random.default_rng(3).normal(size=(3, 60))

    def explain(model, rows, target):
        asked.append([torch.equal(p, q) for p, q in zip(model.parameters(), kept, strict=True)])
        return made

    a = np.random.default_rng(4).exponential(size=(3, 60)) ** 3
    given = {"bins": bins, "explain": explain}
    score = metrics.efficient_parameter_randomization(net, x, a, **given)
    own, other = (np.array([histogram_entropy(r, bins) for r in rows]) for rows in (a, made))
    assert_allclose(score.values, (other - own) / own)
    assert (score.values > 0).all() and asked == [[False] * 4]
    flat = metrics.efficient_parameter_randomization(net, x, np.ones((3, 60)), **given)
    assert flat.undefined == 3  # an entropy of 0


@pytest.mark.parametrize("alike", [[1 / 3, 1 / 3 - 5e-17], [1e20, 1e20], [0.0, 0.0], [7.0, 7.0]])
def test_attributions_that_are_alike_but_for_rounding_have_no_entropy(net, alike):
    a, x = np.array([alike * 3, [0.0, 1.0] * 3]), torch.zeros(2, 6).double()
    explain = lambda model, rows, target: a  # noqa: E731
    score = metrics.efficient_parameter_randomization(net, x, a[::-1], explain=explain)
    assert score.values[0] == -1 and np.isnan(score.values[1])


def test_smoothed_likeness_is_that_of_mean_attributions(net, x):
    """Of `smooth` copies with noise of a part of each row's range, the same for every model."""
    asked = []

    def explain(model, rows, target):
        asked.append(rows.numpy())
        with torch.no_grad():
            return rows.numpy() * model(rows).numpy()[:, :1]

    a = explain(net, x, None)
    asked.clear()
    score = metrics.parameter_randomization(net, x, a, smooth=400, noise=0.2, explain=explain)
    copies = asked[0].reshape(5, 400, 6)
    assert all(np.array_equal(rows, asked[0]) for rows in asked) and len(asked) == 4
    reach = np.ptp(x.numpy(), axis=1)
    moved = (copies - x.numpy()[:, None]) / (0.2 * reach[:, None, None])
    assert_allclose(moved, np.tile(moved[:1], (5, 1, 1)))
    assert abs(moved.mean()) < 0.1 and moved.std() == pytest.approx(1, rel=0.1)
    others = []
    metrics.parameter_randomization(
        net, x, a, explain=lambda model, rows, target: others.append(model) or explain(
            model, torch.as_tensor(rows), target
        ),
    )  # fmt: skip
    assert len(others) == 3
    smooth = [explain(m, torch.as_tensor(asked[0]), None).reshape(5, 400, 6).mean(axis=1)
              for m in (net, others[-1])]  # fmt: skip
    ranks = [spearmanr(*pair).statistic for pair in zip(*smooth, strict=True)]
    assert_allclose(score.curve[:, -1], ranks)


def test_noise_leaves_categories_as_they_are(net, x):
    """Their codes are no amounts: neither is one moved, nor does it widen the others' range."""
    asked = []
    x = x.clone()
    x[:, 2] = 1e6
    explain = lambda model, rows, target: asked.append(rows.numpy()) or rows  # noqa: E731
    given = {"smooth": 50, "noise": 0.2, "steps": 0, "explain": explain}
    metrics.parameter_randomization(net, x, x, categorical=[2], **given)
    moved = asked[0].reshape(5, 50, 6) - x.numpy()[:, None]
    assert (moved[:, :, 2] == 0).all() and (np.abs(moved) < 10).all()
    assert (moved[:, :, [0, 1, 3, 4, 5]] != 0).all()
    asked.clear()
    metrics.parameter_randomization(net, x, x, categorical=range(6), **given)
    assert_array_equal(asked[0], np.repeat(x.numpy(), 50, axis=0))


def test_gradients_of_two_probabilities_are_opposite():
    """p1 = 1 − p0, whatever the network below the softmax: any linear method gives −1."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2),
                              torch.nn.Softmax(dim=1)).double()  # fmt: skip
    x = torch.randn(4, 4).double()
    for method in ("gradient", "gradient_x_input", "integrated_gradients"):
        e = xai.explain(net, x, method)
        assert_allclose(metrics.random_logit(net, x, e).values, -1)


def test_the_default_order_has_no_floor_to_fall_to(net, x):
    """From the input up no activation is kept, and the scale of an attribution says nothing."""
    e = xai.explain(net, x, "gradient_x_input")
    plain = metrics.parameter_randomization(net, x, e)
    upwards = metrics.parameter_randomization(net, x, e, order="bottom_up")
    assert_array_equal(plain.curve, upwards.curve)
    assert "floor" not in plain.info
    larger = metrics.parameter_randomization(
        net, x, e.values, target=e.target,
        explain=lambda model, rows, target: 1e6 * xai.explain(
            model, rows, "gradient_x_input", target=target
        ).values,
    )  # fmt: skip
    assert_allclose(larger.curve, plain.curve)


@pytest.mark.parametrize("name", ["linearity_gap", "input_invariance", "parameter_randomization"])
@pytest.mark.parametrize("by", ["gradcam", "occlusion"])
def test_layers_of_other_modules_are_found_by_name_or_as_themselves(name, by):
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), torch.nn.Linear(4, 2),
    )  # fmt: skip
    x, scores = torch.rand(2, 1, 7, 8), []
    for layer in ("0", net[0]):
        own = {"layer": layer} if by == "gradcam" else {"players": xai.players.Channels(layer)}
        e = xai.explain(net, x, by, **own)
        scores.append(getattr(metrics, name)(net, x, e).values)
    assert_array_equal(*scores)
    assert np.isfinite(scores).all() and net.training
    if name == "linearity_gap":
        assert_allclose(scores, 0, atol=1e-5)


AGAIN = ("linearity_gap", "input_invariance", "parameter_randomization",
         "efficient_parameter_randomization", "relative_representation_stability")  # fmt: skip


@pytest.mark.parametrize("name", AGAIN)
def test_the_output_that_was_chosen_is_the_one_that_is_explained_again(name, x):
    class Two(torch.nn.Module):
        def __init__(self, *, both):
            super().__init__()
            self.first, self.last, self.both = torch.nn.Linear(6, 4), torch.nn.Linear(4, 2), both

        def forward(self, x):
            h = self.first(x)
            out = self.last(h.tanh())
            return {"hidden": h, "out": out} if self.both else out

    torch.manual_seed(0)
    two = Two(both=True).double()
    one = Two(both=False).double()
    one.load_state_dict(two.state_dict())
    options = {"layer": "first"} if name == "relative_representation_stability" else {}
    found = [
        getattr(metrics, name)(f, x, xai.explain(f, x, "gradient_x_input"), **options).values
        for f in (one, xai.TorchModel(two, output="out"))
    ]
    assert_allclose(found[1], found[0], atol=1e-12)
    assert two.training and all(p.requires_grad for p in two.parameters())


def test_an_unknown_layer_is_refused_with_the_nearest(net, x):
    e = xai.explain(net, x, "gradient")
    with pytest.raises(ValueError, match="unknown layer '9'"):
        metrics.relative_representation_stability(net, x, e, layer="9")
    with pytest.raises(ValueError, match="Linear is no layer of the model"):
        metrics.relative_representation_stability(net, x, e, layer=torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"layer=1 is no layer .* or its name"):
        metrics.relative_representation_stability(net, x, e, layer=1)


COMPUTED = {
    "parametrized weight norm": torch.nn.utils.parametrizations.weight_norm,
    "parametrized spectral norm": torch.nn.utils.parametrizations.spectral_norm,
    "orthogonal": torch.nn.utils.parametrizations.orthogonal,
    "weight norm": torch.nn.utils.weight_norm,
    "spectral norm": torch.nn.utils.spectral_norm,
    "pruned": lambda layer: import_module("torch.nn.utils.prune").random_unstructured(
        layer, "weight", 0.3
    ),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("kind", COMPUTED)
def test_weights_that_are_computed_of_others_are_drawn_anew_as_plain_ones(net, x, kind):
    plain = randomised(net, layers(net), seed=0)
    for place in (0, 2):
        net[place] = COMPUTED[kind](net[place])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    e = xai.explain(net, x, "gradient")
    drawn = randomised(net, layers(net), seed=0)
    drawn(x)
    for place in (0, 2, 4):
        own, other = (m[place].weight.detach().numpy().ravel() for m in (drawn, plain))
        assert_array_equal(np.sort(own), np.sort(other))  # an orthogonal one lies transposed
    score = metrics.parameter_randomization(net, x, e, order="independent")
    assert (score.curve.min(axis=0) < 0.999).all()
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("name", ["parameter_randomization", "efficient_parameter_randomization"])
def test_copies_are_in_eval_mode_and_the_module_is_in_its_own_again(name, steps):
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Dropout(), torch.nn.Linear(3, 2))
    x, trained = np.eye(4, dtype=np.float32), []

    def explain(model, rows, target):
        trained.extend(part.training for part in model.modules())
        return rows

    getattr(metrics, name)(net, x, x, removal="baseline", explain=explain, steps=steps)
    assert trained and not any(trained)
    assert all(part.training for part in net.modules())
