"""Codes that an embedding reads have gradients and halves in what it makes of them."""

from __future__ import annotations

import numpy as np
import pytest

import xai

torch = pytest.importorskip("torch")

CODES, PLACES, WIDTH = 11, 5, 3


class Sum(torch.nn.Module):
    """Adds up a number of each word, in each place."""

    def __init__(self):
        super().__init__()
        self.words, self.head = torch.nn.Embedding(CODES, WIDTH), torch.nn.Linear(WIDTH, 2)
        self.weights = torch.nn.Parameter(torch.linspace(0.5, 2, PLACES)[:, None])

    def forward(self, ids):
        return self.head((self.words(ids) * self.weights).sum(1))


class Attends(torch.nn.Module):
    """Has places and a mask of padding beside the words, which no other row's can stand in for."""

    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(CODES, 8, padding_idx=0)
        self.places = torch.nn.Embedding(PLACES, 8)
        self.layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, ids):
        own = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        return self.head(self.layer(own, src_key_padding_mask=ids == 0)[:, 0])


@pytest.fixture
def ids():
    return torch.tensor([[1, 4, 2, 9, 3], [7, 5, 10, 6, 8]])


@pytest.fixture
def data():
    return torch.as_tensor(np.random.default_rng(1).integers(1, CODES, (6, PLACES)))


def net(kind):
    torch.manual_seed(0)
    return kind()


@pytest.mark.parametrize(
    "method",
    ["integrated_gradients", "gradient_x_input", "expected_gradients"],
)
@pytest.mark.parametrize("rows", ["code", "background"])
def test_of_a_sum_all_are_what_whole_removal_takes(method, rows, ids, data):
    """The game is the same one, with halves: of a sum, its slopes are its differences."""
    removal = xai.removal.Baseline(4) if rows == "code" else xai.removal.Marginal(data)
    whole = xai.explain(net(Sum), ids, "occlusion", removal=removal)
    given = {"budget": 2000} if method == "expected_gradients" else {}
    e = xai.explain(net(Sum), ids, method, removal=removal, target=whole.target, **given)
    error = 0 if e.std_error is None else 8 * e.std_error  # of eight replicates
    assert (abs(e.values - whole.values) <= 1e-5 + error).all()
    assert e.values.shape == (2, PLACES)
    np.testing.assert_allclose(e.predictions, whole.predictions, rtol=1e-6)
    if not np.isnan(e.base_values).any():
        np.testing.assert_allclose(e.base_values, whole.base_values, rtol=1e-5)


def test_sobol_of_a_sum_is_each_places_share_of_the_variance(ids):
    removal = xai.removal.Baseline(4)
    whole = xai.explain(net(Sum), ids, "occlusion", removal=removal).values
    e = xai.explain(net(Sum), ids, "sobol", removal=removal, designs=1024)
    share = whole**2 / (whole**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(e.values, share, atol=0.02)


def test_integrated_gradients_are_captums_of_the_embedding(ids):
    """Summed over its channels; the padding that the network sees stays x's own."""
    captum = pytest.importorskip("captum.attr")
    ids[0, 3:] = 0
    module, reference = net(Attends).eval(), torch.full_like(ids, 10)

    def masked(ids, padding):  # captum runs the references' own padding otherwise
        own = module.words(ids) + module.places(torch.arange(PLACES))
        return module.head(module.layer(own, src_key_padding_mask=padding)[:, 0])

    e = xai.explain(module, ids, "integrated_gradients", removal=xai.removal.Baseline(10), steps=64)
    theirs = captum.LayerIntegratedGradients(masked, module.words).attribute(
        ids, baselines=reference, target=torch.as_tensor(e.target),
        additional_forward_args=(ids == 0,), n_steps=64,
    )  # fmt: skip
    np.testing.assert_allclose(e.values, theirs.sum(-1).detach(), atol=2e-5)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("integrated_gradients", {}),
        ("gradient", {}),
        ("smoothgrad", {"sigma": 0.1}),
        ("expected_gradients", {}),
        ("sobol", {"removal": xai.removal.Baseline(0)}),
    ],
)
def test_rows_cost_and_answers_are_honest(method, options, ids, data):
    """What a counter says was spent, in any batches, row by row, and with the module as it was."""
    module, counted = net(Attends).train(), []
    module.register_forward_pre_hook(lambda _, given: counted.append(len(given[0])))
    options = options if "removal" in options else {"data": data, **options}
    before = ids.clone()
    e = xai.explain(module, ids, method, **options)
    assert sum(counted) <= e.evaluations * len(ids) < sum(counted) + 4 * len(ids)  # rounded up
    assert module.training
    assert len(module._forward_hooks) == len(module.words._forward_hooks) == 0
    assert torch.equal(ids, before)
    small = xai.explain(module, ids, method, batch_size=3, **options)
    np.testing.assert_allclose(small.values, e.values, atol=2e-5)
    assert small.evaluations == e.evaluations
    alone = xai.explain(module, ids[1:], method, **options)
    np.testing.assert_allclose(alone.values[0], e.values[1], atol=2e-5)
    array = xai.explain(module, ids.numpy(), method, **options)
    np.testing.assert_allclose(array.values, e.values, atol=2e-5)


def test_groups_of_places_and_places_that_always_stay(ids):
    """A group has the sum of its places, and -1 is never replaced."""
    module, removal = net(Attends), xai.removal.Baseline(10)
    each = xai.explain(module, ids, "gradient_x_input", removal=removal)
    groups = np.array([-1, 0, 0, 1, 2])
    e = xai.explain(module, ids, "gradient_x_input", removal=removal, players=groups)
    want = np.stack([each.values[:, 1:3].sum(axis=1), *each.values[:, 3:].T], axis=1)
    np.testing.assert_allclose(e.values, want, atol=1e-5)
    assert e.element_players.tolist() == [groups.tolist()] * 2
    named = xai.explain(module, ids, "gradient", feature_names=list("abcde"))
    assert named.feature_names == list("abcde")
    assert each.layer == ""  # the players are x's own
    np.testing.assert_allclose(each.map(), each.values)


def test_metrics_score_them_with_whole_codes(ids, data):
    """As any explanation of these rows, and those that explain again repeat it."""
    module, removal = net(Attends), xai.removal.Baseline(10)
    e = xai.explain(module, ids, "integrated_gradients", removal=removal)
    score = xai.metrics.deletion(module, ids, e)
    plain = xai.metrics.deletion(module, ids, e.values, removal=removal, target=e.target)
    np.testing.assert_allclose(score.values, plain.values)
    assert np.isfinite(xai.metrics.random_logit(module, ids, e).values).all()
    moved = xai.metrics.max_sensitivity(
        module, ids, e, data=data, categorical=range(PLACES), samples=3
    )
    assert np.isfinite(moved.values).all()


def test_what_is_no_code_is_refused(ids, data):
    module = net(Sum)
    for removal, told in [
        (xai.removal.Baseline(0.5), "torch.float32 in place of codes.*from 0 to 10"),
        (xai.removal.Baseline(CODES), "gave 11 to 11 in place of codes"),
        (xai.removal.Baseline("mean"), "torch.float32 in place of codes"),
    ]:
        with pytest.raises(ValueError, match=told):
            xai.explain(module, ids, "integrated_gradients", removal=removal, data=data)

    own = xai.removal.Function(lambda x, kept: torch.where(kept, x, 0), soft=True)
    with pytest.raises(ValueError, match="makes rows of its own"):
        xai.explain(module, ids, "integrated_gradients", removal=own)


class Shifted(Sum):
    """Reads x's codes one further."""

    def forward(self, ids):
        return super().forward((ids + 1) % CODES)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "sobol"])
def test_a_network_whose_embedding_is_given_other_codes_says_what_to_do(method, ids):
    given = {"removal": xai.removal.Baseline(0)}
    with pytest.raises(TypeError, match=r"is given x as it is.*players=xai\.players\.Units"):
        xai.explain(net(Shifted), ids, method, **given)
    inside = xai.explain(net(Shifted), ids, "gradient", players=xai.players.Units("words"))
    assert inside.values.shape == (2, PLACES, WIDTH)


def test_codes_that_the_model_does_not_know_are_named(ids):
    with pytest.raises(IndexError) as caught:
        xai.explain(net(Sum), ids + 5, "occlusion", removal=xai.removal.Baseline(0))
    assert "codes from 6 to 15" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "name",
    ["max_sensitivity", "distance_attack", "worst_case_bound", "input_invariance",
     "shift_consistency"],
)  # fmt: skip
def test_metrics_that_move_x_refuse_codes(name, ids, data):
    e = xai.explain(net(Sum), ids, "gradient")
    with pytest.raises(ValueError, match="codes that the module's embedding reads"):
        getattr(xai.metrics, name)(net(Sum), ids, e, data=data)


def test_choose_and_recourse_refuse_codes(ids, data):
    """Halves of codes were the embedding's to refuse."""
    with pytest.raises(ValueError, match="codes that the module's embedding reads"):
        xai.choose(net(Sum), ids, data=data, methods=["occlusion"])
    with pytest.raises(ValueError, match="codes that the module's embedding reads"):
        xai.metrics.tasks.recourse(net(Sum), ids, step=0.5)


def test_what_is_measured_of_codes_by_itself_moves_none(ids):
    """And a slope in what an embedding makes of a code is not times the code."""
    module, given = net(Sum), {"removal": xai.removal.Baseline(0)}
    e = xai.explain(module, ids, "integrated_gradients", **given)
    assert "max_sensitivity" not in xai.metrics.evaluate(module, ids, e, **given).metrics
    np.testing.assert_allclose(xai.metrics.infidelity(module, ids, e, **given).values, 0, atol=1e-9)
    slopes = xai.explain(module, ids, "gradient")
    with pytest.raises(ValueError, match="score effects"):
        xai.metrics.infidelity(module, ids, slopes, **given)
