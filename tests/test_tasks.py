"""Tasks by direct evaluation, attributions held against them, and what students learn."""

from __future__ import annotations

import doctest
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binom, binomtest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

import xai
from xai import metrics
from xai.metrics import tasks
from xai.metrics.intervals import of_gains
from xai.metrics.proportions import clopper_pearson
from xai.removal import Baseline, Uniform


def curved(x):
    """Rises in x0, falls in x1, is flat in x2; x3 counts only where x0 > 0."""
    x = np.asarray(x)
    return x[:, 0] - x[:, 1] ** 3 + np.where(x[:, 0] > 0, x[:, 3], 0.0)


@pytest.fixture
def rows():
    return np.random.default_rng(0).uniform(0.5, 1.5, (6, 4)) * [[1], [-1], [1], [-1], [1], [-1]]


@pytest.fixture
def data():
    return np.random.default_rng(1).normal(size=(50, 4))


class Counter:
    def __init__(self, f):
        self.f, self.rows = f, 0

    def __call__(self, x):
        self.rows += len(x)
        return self.f(x)


# -------------------------------------------------------------------------------- exact confidence


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (7, 20), (20, 20), (3, 1000)])
def test_intervals_are_clopper_and_pearsons(k, n, confidence):
    theirs = binomtest(k, n).proportion_ci(confidence)
    assert_allclose(clopper_pearson(k, n, confidence), theirs, rtol=1e-9)


@pytest.mark.parametrize("p", [0.0, 0.03, 0.3, 0.5, 0.99, 1.0])
def test_intervals_hold_the_truth_often_enough_for_every_n(p):
    """Summed over all outcomes, not simulated."""
    for n in (1, 5, 40):
        k = np.arange(n + 1)
        low, high = clopper_pearson(k, n, 0.9)
        assert binom.pmf(k, n, p)[(low <= p) & (p <= high)].sum() >= 0.9


def test_no_trials_say_nothing():
    assert_array_equal(clopper_pearson(0, 0), (0.0, 1.0))
    for hits in (3, -1, [1, 3], [-1, 1]):
        with pytest.raises(ValueError, match="hits must lie"):
            clopper_pearson(hits, 2)
    for confidence in (0, 1, 1.5, "high"):
        with pytest.raises(ValueError, match=f"confidence={confidence!r}"):
            clopper_pearson(1, 2, confidence)


@pytest.mark.parametrize(("p", "miss"), [(0.05, 0.05), (0.2, 0.01), (0.001, 0.5), (0.25, 0.421875)])
def test_least_samples_are_the_least(p, miss):
    n = tasks.least_samples(p, miss)
    assert (1 - p) ** n <= miss < (1 - p) ** (n - 1)
    for wrong in ((p, 0), (p, 1), (0, miss), (1, miss)):
        with pytest.raises(ValueError, match="expected probabilities within"):
            tasks.least_samples(*wrong)


# --------------------------------------------------------------------------------------- recourse


def test_recourse_tells_where_the_output_rises(rows):
    found = tasks.recourse(curved, rows, step=0.2)
    positive = rows[:, 0] > 0
    expected = np.stack([np.ones(6, bool), np.zeros(6, bool), np.zeros(6, bool), positive], axis=1)
    assert_array_equal(found.holds, expected)
    assert found.sure.all()
    assert_array_equal(found.rate, expected.astype(float))
    assert_allclose(found.change[:, 0], 0.1, atol=0.01)  # the mean of a uniform step
    low, high = clopper_pearson(200, 200)
    assert (found.low[expected] == low).all()
    assert (found.high[expected] == high).all()


def test_a_number_moves_the_features_named_and_no_categories(mixed):
    asked = {"features": ["income"], "target": 1}
    one = tasks.recourse(mixed.pipeline, mixed.frame[:3], step=2.0, **asked)
    same = tasks.recourse(mixed.pipeline, mixed.frame[:3], step={"income": 2.0}, target=1)
    assert_array_equal(one.rate, same.rate)
    assert_array_equal(one.signs, same.signs)
    with pytest.raises(ValueError, match=r"holds categories.*pass features="):
        tasks.recourse(mixed.pipeline, mixed.frame[:3], step=2.0, target=1)
    with pytest.raises(ValueError, match="unknown column 'incom'; did you mean 'income'"):
        tasks.recourse(mixed.pipeline, mixed.frame[:3], step=2.0, features=["incom"], target=1)


def test_lowering_is_a_negative_step(rows):
    raised, lowered = (tasks.recourse(curved, rows, step=s, features=[0, 1]) for s in (0.1, -0.1))
    assert_array_equal(raised.holds, ~lowered.holds)


def test_rounding_raises_nothing():
    """What a batch of another size makes of the last digits is no effect of a feature."""
    rng = np.random.default_rng(0)
    for d in (30, 64):
        weights = rng.normal(size=d)
        weights[2:4] = 0.0

        def model(x, weights=weights):
            return x @ weights + 0.3

        x = rng.normal(size=(7, d))
        found = tasks.recourse(model, x, step=0.1, features=[2, 3])
        assert_array_equal(found.rate, 0.0)
        assert_array_equal(found.change, 0.0)
        far = tasks.depends_on(lambda x: 1e12 * model(x), x, data=-x, features=[2, 3])
        assert not far.holds.any()


def test_rates_are_the_share_of_the_steps_that_raise():
    """f rises up to .3 and falls back to 0 at .6: of steps up to .8 three quarters raise it."""

    def tent(x):
        return 0.3 - np.abs(np.asarray(x)[:, 0] - 0.3)

    seen = []
    tasks.recourse(lambda x: seen.append(x.copy()) or tent(x), np.zeros((1, 1)), step=0.8)
    assert len(np.unique(np.concatenate(seen))) == 1 + 200  # no step is tried twice
    found = tasks.recourse(tent, np.zeros((1, 1)), step=0.8, samples=20_000)
    assert found.low[0, 0] <= 0.75 <= found.high[0, 0]
    assert found.high[0, 0] - found.low[0, 0] < 0.02
    few = tasks.recourse(tent, np.zeros((1, 1)), step=1.2, samples=50)
    assert not few.sure[0, 0]  # the rate is ½
    assert "undecided 1" in repr(few)


def test_a_rate_of_a_half_is_no_rise():
    """Of two steps the shorter one lowers the output, and the longer one raises it."""
    seen = []
    tasks.recourse(lambda x: seen.append(x.copy()) or x[:, 0], np.zeros((1, 1)), step=1, samples=2)
    between = np.concatenate(seen)[1:].mean()

    def model(x):
        return np.where(x[:, 0] > between, x[:, 0], -x[:, 0])

    found = tasks.recourse(model, np.zeros((1, 1)), step=1, samples=2)
    assert found.rate.item() == 0.5
    assert not found.holds.item()


def test_steps_may_differ_by_column_and_players_move_together(rows):
    one = tasks.recourse(curved, rows, step=[0.2, 0.0, 0.3, 0.4])
    assert_array_equal(one.change[:, 1], 0.0)
    both = tasks.recourse(curved, rows, step=0.2, players=[[0, 2], [1], [3]])
    single = tasks.recourse(curved, rows, step=0.2)
    assert_allclose(both.change[:, 0], single.change[:, 0])
    assert both.features == ["0 + 2", "1", "3"]
    asked = tasks.recourse(curved, rows, step={0: 0.2, 3: 0.4}, features=[3])
    assert asked.features == ["3"]
    named = tasks.recourse(curved, rows, step={0: 0.2}, players=[[0, 2], [1], [3]])
    assert named.features == both.features  # columns that are named are no names of players
    assert_allclose(named.change[:, 0], single.change[:, 0])
    assert_array_equal(named.change[:, 1:], 0)


@pytest.mark.parametrize("players", [None, xai.players.Patches(2), xai.players.Channels()])
@pytest.mark.parametrize("step", [0.1, -0.1])
def test_an_images_channels_move_together_where_its_pixels_are_players(players, step):
    images = np.random.default_rng(0).random((2, 6, 5, 3))
    f = lambda x: x[:, :2].sum(axis=(1, 2, 3)) - x[:, 2:].sum(axis=(1, 2, 3))  # noqa: E731
    finding = tasks.recourse(f, images, step=step, players=players, samples=9)
    rises = np.ones((6, 5)) * np.where(np.arange(6) < 2, 1, -1)[:, None]
    if players == xai.players.Patches(2):
        rises = rises[::2, ::2]
    elif players is not None:
        rises = -np.ones(3)  # of more rows than the first two
    assert_array_equal(finding.signs, np.sign(step))
    assert_array_equal(finding.holds, np.tile(rises.ravel() * step > 0, (2, 1)))


# ------------------------------------------------------------------------------------- dependence


def test_dependence_over_a_background_is_exact(rows, data):
    found = tasks.depends_on(curved, rows, data=data)
    for j in range(4):
        for i, x in enumerate(rows):
            replaced = np.repeat(x[None], len(data), axis=0)
            replaced[:, j] = data[:, j]
            changed = np.abs(curved(replaced) - curved(x[None])) > 1e-6
            assert found.rate[i, j] == pytest.approx(changed.mean())
            assert found.holds[i, j] == changed.any()
    assert_array_equal(found.low, found.rate)
    assert_array_equal(found.high, found.rate)
    assert found.sure.all()
    assert not found.holds[:, 2].any()


def test_dependence_over_a_sample_is_confident(rows):
    background = np.random.default_rng(2).normal(size=(5000, 4))
    found = tasks.depends_on(curved, rows, data=background, samples=300)
    whole = tasks.depends_on(curved, rows, data=background, samples=5000)
    assert found.samples == 300
    assert ((found.low <= whole.rate) & (whole.rate <= found.high)).mean() >= 0.9
    assert (found.low < found.high).all()


def test_what_is_never_seen_is_sure_only_with_enough_samples(rows):
    wide = Uniform(-1.0, 1.0)
    for samples, sure in ((50, False), (200, True)):
        found = tasks.depends_on(curved, rows, removal=wide, samples=samples, features=[2])
        assert (found.sure == sure).all()
        assert found.undecided == (0 if sure else 6)
        assert not found.holds.any()
        never = tasks.depends_on(
            curved, rows, removal=wide, samples=samples, features=[2], rare=0.0
        )
        assert not never.sure.any()  # no sample of an endless removal rules it out
    # one witness is proof, however few the samples
    assert tasks.depends_on(curved, rows, removal=wide, samples=1, features=[0]).sure.all()


def test_no_change_is_a_dependence_however_small_tau_is(rows, data):
    found = tasks.depends_on(curved, rows, data=data, tau=0)
    assert_array_equal(found.rate[:, 2], 0)


def test_a_baseline_is_one_draw(rows):
    found = tasks.depends_on(curved, rows, removal=Baseline(0))
    assert found.samples == 1
    assert_allclose(found.change[:, 1], rows[:, 1] ** 3)


# ------------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize("task", ["recourse", "depends_on"])
def test_losses_and_axes_of_channels_are_asked_about(task, rows, data):
    """What a message says to pass can be passed: `y` of a loss, `channel_axis` of a small image."""
    run = getattr(tasks, task)
    given = {"step": -0.2} if task == "recourse" else {"data": data}
    loss = {"behavior": xai.behavior.PredictionLoss("squared")}
    with pytest.raises(ValueError, match="pass y="):
        run(curved, rows, **given, **loss)
    y = np.random.default_rng(2).normal(size=6)
    beside = run(lambda x: -((curved(x) - x[:, 4]) ** 2), np.c_[rows, y], features=range(4),
                 **{name: np.c_[v, np.zeros(len(v))] if name == "data" else [v] * 4 + [0]
                    for name, v in given.items()})  # fmt: skip
    found = run(curved, rows, **given, **loss, y=y)
    assert_array_equal(found.holds, beside.holds)
    assert_allclose(found.rate, beside.rate, atol=0.1)
    images = rows[:2].reshape(2, 1, 1, 4)
    mean = {"removal": Baseline(9.0)} if task == "depends_on" else given
    first = lambda x: np.asarray(x)[:, 0, 0, 0]  # noqa: E731
    with pytest.raises(ValueError, match="pass channel_axis="):
        run(first, images, **mean)
    for axis, players in ((1, 4), (-1, 1)):
        assert run(first, images, **mean, channel_axis=axis).holds.shape == (2, players)


@pytest.mark.parametrize("task", ["recourse", "depends_on"])
def test_counts_batches_seeds_and_inputs(task, rows):
    wide = {"removal": Uniform(-1.0, 1.0)} if task == "depends_on" else {"step": 0.3}
    run = getattr(tasks, task)
    before = rows.copy()
    counted = Counter(curved)
    first = run(counted, rows, **wide, seed=4)
    assert counted.rows == 6 * (1 + 4 * 200)
    assert first.evaluations == 1 + 4 * 200 and isinstance(first.evaluations, int)
    assert_array_equal(rows, before)
    for batch_size in (1, 7, 1000):
        other = run(curved, rows, **wide, seed=4, batch_size=batch_size)
        assert_array_equal(first.change, other.change)
    assert_array_equal(first.change, run(curved, rows, **wide, seed=4, n_jobs=2).change)
    assert (first.change != run(curved, rows, **wide, seed=5).change).any()
    alone = run(curved, rows[2:3], **wide, seed=4)
    assert_array_equal(alone.change[0], first.change[2])
    some = run(curved, rows, **wide, seed=4, features=[3, "0"])
    assert_array_equal(some.change, first.change[:, [3, 0]])


def test_estimators_and_frames_by_name():
    pandas = pytest.importorskip("pandas")
    cancer = xai.datasets.breast_cancer()
    frame = pandas.DataFrame(cancer.data, columns=cancer.feature_names)
    tree = DecisionTreeClassifier(max_depth=2, random_state=0).fit(frame, cancer.target)
    used = set(np.flatnonzero(tree.feature_importances_))
    found = tasks.depends_on(tree, frame[:40], data=frame[100:300], target=1)
    assert set(np.flatnonzero(found.holds.any(axis=0))) == used
    step = frame.std().to_numpy()
    named = tasks.recourse(tree, frame[:5], step=step, features=["mean radius"], target=1)
    assert named.features == ["mean radius"]
    assert not named.holds.any()  # the tree does not use it


def test_some_columns_of_a_table_with_words_are_moved_by_name():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({"town": ["Ulm", "Kiel"], "age": [30, 40], "debt": [5.0, 2.0]})

    def model(table):
        assert list(table.columns) == ["town", "age", "debt"]
        return table["age"] * (table["town"] == "Ulm") - table["debt"]

    found = tasks.recourse(model, x, step={"debt": 0.5, "age": 10})
    assert found.features == ["debt", "age"]
    assert_array_equal(found.holds, [[False, True], [False, False]])
    lowered = tasks.recourse(model, x, step={"debt": -0.5})
    assert_array_equal(lowered.holds, [[True], [True]])
    alike = tasks.recourse(model, x, step=[0, 0, -0.5], features=["debt"])
    assert_array_equal(lowered.change, alike.change)
    frame = found.to_frame()
    assert frame["feature"].tolist() == ["debt", "age"] * 2
    assert frame["row"].tolist() == [0, 0, 1, 1]
    assert_array_equal(frame["rate"].to_numpy().reshape(2, 2), found.rate)
    numbers = x[["age", "debt"]]
    there = lambda table: table["age"] - table["debt"] ** 3  # noqa: E731
    by_name = tasks.recourse(there, numbers, step=pandas.Series({"debt": -0.5, "age": 10.0}))
    by_place = tasks.recourse(there, numbers, step=[10.0, -0.5])
    assert_array_equal(by_name.change, by_place.change)
    bare = tasks.recourse(curved, np.ones((1, 4)), step=pandas.Series([0.1] * 4))
    assert bare.holds[0, 0]
    turned = pandas.DataFrame(numbers.to_numpy(), columns=[1, 0])  # names, not places
    by_number = tasks.recourse(lambda t: t[1] - t[0] ** 3, turned, step=pandas.Series([-0.5, 10.0]))
    assert_array_equal(by_number.change, by_place.change)
    with pytest.raises(ValueError, match="unknown column 'debts'; did you mean 'debt'"):
        tasks.recourse(there, numbers, step=pandas.Series({"debts": -0.5, "age": 10.0}))
    with pytest.raises(ValueError, match="names a column twice"):
        tasks.recourse(there, numbers, step=pandas.Series([-0.5, 10.0], index=["age"] * 2))
    with pytest.raises(ValueError, match="'town' holds categories"):
        tasks.recourse(model, x, step={"town": 1.0})
    with pytest.raises(ValueError, match="'debt'"):
        tasks.recourse(model, x, step={"debts": 1.0})


def test_modules_are_asked_where_they_live(rows):
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(4, 2).double()
    x = torch.as_tensor(rows)
    found = tasks.recourse(module, x, step=0.1, target=1)
    assert_array_equal(found.holds, np.tile(module.weight[1].detach().numpy() > 0, (6, 1)))
    assert module.training


EACH = np.random.default_rng(2).integers(0, 4, (2, 6, 5, 3))
"""Players of each row's own, one fewer in the second."""
EACH[1] %= 3


@pytest.mark.parametrize("players", [None, xai.players.Patches(2), EACH], ids=["", "2", "own"])
def test_pixels_are_moved_with_all_their_channels(players):
    images = np.random.default_rng(0).random((2, 6, 5, 3))
    weights = np.random.default_rng(1).normal(size=images.shape[1:])

    def model(x):
        return (np.asarray(x) * weights).sum(axis=(1, 2, 3))

    lowered = np.full(images.shape[1:], -0.1)
    for step, sign in ((0.1, 1.0), (lowered, -1.0)):
        found = tasks.recourse(model, images, step=step, players=players)
        e = xai.explain(model, images, "occlusion", players=players, removal=Baseline(images - 1))
        there = ~np.isnan(e.values.reshape(2, -1))
        assert_array_equal(found.holds, sign * e.values.reshape(2, -1) > 0)
        assert_array_equal(found.signs, np.where(there, sign, 0))
        assert tasks.judge(found, e).informedness == 1


def test_units_of_a_layer_are_moved():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    net, units = net.double(), xai.players.Units("1")
    up = net[2].weight.detach().numpy().ravel() > 0
    way = np.array([0.1, -0.1, 0.1, -0.1, 0.1])
    for step in (0.1, way):
        found = tasks.recourse(net, torch.randn(4, 3).double(), step=step, players=units)
        assert_array_equal(found.holds, np.tile(up == (np.broadcast_to(step, 5) > 0), (4, 1)))


@pytest.mark.parametrize("kind", ["array", "frame", "tensor"])
def test_steps_that_xs_dtype_cannot_tell_from_none_are_refused(kind):
    """Where nothing moves nothing rises, however surely it would."""
    x = np.array([[1.0, 1.0, 1.0], [1.0, 1e8, 1.0]], np.float32)
    given = {
        "array": lambda: x,
        "frame": lambda: pytest.importorskip("pandas").DataFrame(x),
        "tensor": lambda: pytest.importorskip("torch").as_tensor(x),
    }[kind]()
    rows = []

    def model(z):
        rows.append(z)
        return np.asarray(z, np.float64).sum(axis=1)

    for players, asked in ((None, [1]), (None, None), ([[0], [1], [2]], None)):
        with pytest.raises(ValueError, match=r"step=0\.5: row 1 \(0-based\) does not move"):
            tasks.recourse(model, given, step=0.5, players=players, features=asked)
    assert sum(map(len, rows)) == 3 * 2  # x alone, before anything is moved
    for options in ({"features": [0, 2]}, {"players": [[0, 1], [2]]}, {"step": [0.5, 0.0, 0.5]}):
        found = tasks.recourse(model, given, **{"step": 0.5} | options)
        assert_array_equal(found.holds, found.signs > 0)
    wide = tasks.recourse(model, x.astype(np.float64), step=0.5)
    assert wide.holds.all()


def test_tensors_of_half_precision_are_moved():
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(2, 1).bfloat16()
    found = tasks.recourse(module, torch.ones(3, 2, dtype=torch.bfloat16), step=64.0)
    assert_array_equal(found.holds, np.tile((module.weight[0] > 0).numpy(), (3, 1)))


def test_texts_of_different_lengths():
    def model(texts):
        return np.array([float("b" in t.split()) for t in texts])

    found = tasks.depends_on(model, ["a b", "a b c"], removal=Baseline(0))
    assert_array_equal(found.holds, [[False, True, False], [False, True, False]])
    assert np.isnan(found.rate[0, 2])
    assert not found.sure[0, 2]
    assert "undecided 0" in repr(found)  # it is not there to be decided on


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tasks.recourse(curved, x, step=0.0), ValueError, "other than 0"),
        (lambda x: tasks.recourse(curved, x, step=np.nan), ValueError, "other than 0"),
        (lambda x: tasks.recourse(curved, x, step=[1, 2]), ValueError, "or one a column"),
        (lambda x: tasks.recourse(curved, x, step="far"), ValueError, "step='far'"),
        (lambda x: tasks.recourse(curved, x, step={0: "far"}), ValueError, "other than 0"),
        (lambda x: tasks.recourse(curved, x, step=1, samples=0), ValueError, "positive"),
        (lambda x: tasks.recourse(curved, x, step=1, samples=2.5), TypeError, "integer"),
        (lambda x: tasks.recourse(curved, x, step=1, features=["z"]), ValueError, "column"),
        (lambda x: tasks.depends_on(curved, x), ValueError, "pass data="),
        *(
            (lambda x, c=c: tasks.recourse(curved, x, step=1, confidence=c), ValueError, f"={c}")
            for c in (0, 1, 1.5)
        ),
        (lambda x: tasks.depends_on(curved, x, data=x, rare="few"), ValueError, "rare='few'"),
        (lambda x: tasks.depends_on(curved, x, data=x, rare=1), ValueError, "rare=1"),
        (lambda x: tasks.recourse(len, ["a b"], step=1), ValueError, "recourse is not for texts"),
        (lambda x: tasks.depends_on(curved, x, data=x, confidence=95), ValueError, "confidence=95"),
        (lambda x: tasks.depends_on(curved, x, data=x, tau=np.nan), ValueError, "tau=nan"),
        (lambda x: tasks.depends_on(curved, x, data=x, tau=-1), ValueError, "tau=-1"),
        (lambda x: tasks.depends_on(curved, x, data=x, rare=5), ValueError, "rare=5"),
        (
            lambda x: tasks.judge(tasks.recourse(curved, x, step=1), x, threshold=np.nan),
            ValueError,
            "threshold=nan",
        ),
        (lambda x: tasks.recourse(curved, x, step=1, categorical=[0]), ValueError, "categories"),
        (
            lambda x: tasks.recourse(curved, x, step=[1, 0, 1, 0], categorical=[1, 2]),
            ValueError,
            "column '2' holds categories",
        ),
        (lambda x: tasks.recourse(curved, x, step=1, target="all"), ValueError, "one output"),
    ],
)
def test_what_cannot_be_is_refused(call, error, message, rows):
    with pytest.raises(error, match=message):
        call(rows)


# ------------------------------------------- attributions as predictors: Bilodeau et al. 2024


def piecewise(x):
    """s t near 0, c elsewhere; s and c are columns that no explanation touches."""
    t, s, c = np.asarray(x).T
    return np.where(np.abs(t) <= 0.5, s * t, c)


ONLY_T = np.array([0, -1, -1])


def twins(slopes, n=150):
    """Models that are alike but for their slope near 0, far away anything: one row each."""
    c = np.random.default_rng(3).normal(size=n)
    return np.stack([np.zeros(2 * n), np.repeat(slopes, n), np.tile(c, 2)], axis=1)


def background():
    """Values of t over (−2, 2), symmetric about 0."""
    t = (np.arange(200) + 0.5) / 50 - 2
    return np.stack([t, np.zeros(200), np.zeros(200)], axis=1)


def complete_and_linear(x):
    """Attributions that are both: SHAP's, and Integrated Gradients' from −2, in one dimension."""
    shap = xai.explain(piecewise, x, "shapley", data=background(), players=ONLY_T)
    start = x.copy()
    start[:, 0] = -2.0
    return {
        "shapley": shap.values,
        "integrated_gradients": (piecewise(x) - piecewise(start))[:, None],
    }


def slopes_of(x, step=0.1):
    ahead = x + np.array([step, 0, 0])
    return ((piecewise(ahead) - piecewise(x)) / step)[:, None]


@pytest.mark.parametrize("task", ["recourse", "depends_on"])
def test_complete_and_linear_attributions_are_no_better_than_a_guess(task):
    """Whatever is read off them: twins with opposite answers have the same attribution."""
    x = twins([1.0, -1.0] if task == "recourse" else [1.0, 0.0])
    if task == "recourse":
        found = tasks.recourse(piecewise, x, step=0.4, players=ONLY_T)
    else:
        found = tasks.depends_on(piecewise, x, removal=Uniform(-0.4, 0.4), players=ONLY_T)
    assert found.sure.all()
    assert_array_equal(found.holds[:, 0], x[:, 1] == 1)
    for name, a in complete_and_linear(x).items():
        assert np.std(a) > 0.5, name  # they say something, but nothing of this
        for threshold in (-1.0, 0.0, 0.3, 1.0):
            verdict = tasks.judge(found, a, threshold=threshold)
            assert verdict.informedness == pytest.approx(0, abs=1e-9), name
            assert verdict.p_value > 0.4
        for rule in (a < 0.2, np.abs(np.sin(9 * a)) > 0.5):
            assert tasks.judge(found, rule).informedness == pytest.approx(0, abs=1e-9)
    local = tasks.judge(found, slopes_of(x))
    assert (local.sensitivity, local.specificity) == (1.0, 1.0)
    assert local.p_value < 1e-50


def test_the_two_ramps_that_complete_attributions_cannot_tell_apart():
    """f±(t) = ±t within |t| ≤ ½, back to 0 at |t| = 1: φ(f±, 0) = 0 for both opposite slopes.

    Without the jumps of ±t·1[|t| ≤ ½], which an integral of the gradient does not see.
    """
    torch = pytest.importorskip("torch")

    class Ramp(torch.nn.Module):
        def __init__(self, sign):
            super().__init__()
            self.sign = sign

        def forward(self, x):
            t = x[:, 0]
            back = (t.sign() - t) * (t.abs() <= 1)
            return self.sign * torch.where(t.abs() <= 0.5, t, back)

    zero, mu = torch.zeros(1, 1).double(), torch.as_tensor(background()[:, :1])
    for sign in (1.0, -1.0):
        ramp = Ramp(sign)
        shap = xai.explain(ramp, zero, "exact_shapley", data=mu)
        start = Baseline(-2.0)
        far = xai.explain(ramp, zero, "integrated_gradients", removal=start, steps=512)
        lost = xai.explain(ramp, zero, "occlusion", removal=start)
        assert_allclose(shap.values, 0, atol=1e-12)
        assert_allclose(lost.values, 0)
        assert abs(far.values.item()) < 0.01
        slope = xai.explain(ramp, zero, "gradient")
        near = xai.explain(ramp, zero, "c_lime", removal=xai.removal.Noise(0.1, displacements=True))
        assert_allclose(slope.values, sign)
        assert_allclose(near.values, sign, atol=0.05)
        found = tasks.recourse(ramp, zero, step=0.4)
        assert found.sure.all() and found.holds.item() == (sign > 0)


def test_the_two_functions_of_the_counter_example_word_for_word():
    """f±(t) = ±t·1[|t| ≤ ½] and μ = U(−2, 2): φ(f±, 0) = f(0) − E f = 0, and 0 from −2."""
    x = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    for name, a in complete_and_linear(x).items():
        assert_allclose(a, 0, atol=1e-12, err_msg=name)
    assert_allclose(slopes_of(x), x[:, 1:2])
    near = xai.explain(
        piecewise, x, "c_lime", players=ONLY_T,
        removal=xai.removal.Noise([0.1, 0.0, 0.0], displacements=True),
    )  # fmt: skip
    assert_allclose(near.values, x[:, 1:2], atol=0.02)
    found = tasks.recourse(piecewise, x, step=0.4, players=ONLY_T)
    assert found.sure.all()
    assert_array_equal(found.holds, [[True], [False]])


def test_attributions_of_independent_models_are_within_chance():
    """Without twins: slopes and far values drawn apart; the interval of each rate meets a guess."""
    rng = np.random.default_rng(5)
    x = np.stack([np.zeros(600), rng.choice([-1.0, 1.0], 600), rng.normal(size=600)], axis=1)
    found = tasks.recourse(piecewise, x, step=0.4, players=ONLY_T)
    for a in complete_and_linear(x).values():
        verdict = tasks.judge(found, a)
        low, high = verdict.sensitivity_interval
        assert low <= 1 - verdict.specificity <= high
        assert verdict.p_value > 0.05


def test_judgements_by_hand(rows):
    found = tasks.recourse(curved, rows, step=0.2)  # holds for 6 + 3 of 24
    a = np.ones((6, 4))
    a[:, 2] = -1.0
    verdict = tasks.judge(found, a)
    assert (verdict.positives, verdict.negatives, verdict.undecided) == (9, 15, 0)
    assert verdict.sensitivity == 1.0
    assert verdict.specificity == pytest.approx(6 / 15)
    assert_allclose(verdict.specificity_interval, clopper_pearson(6, 15))
    assert verdict.informedness == pytest.approx(0.4)
    assert tasks.judge(found, a, threshold=2.0).sensitivity == 0.0
    lowered = tasks.recourse(curved, rows, step=-0.2)
    assert tasks.judge(lowered, lowered.holds).informedness == 1.0  # told already, for the step
    perfect = tasks.judge(found, found.holds)
    assert (perfect.sensitivity, perfect.specificity) == (1.0, 1.0)
    with pytest.raises(ValueError, match="do not fit"):
        tasks.judge(found, a[:, :3])


@pytest.mark.parametrize("step", [-0.2, [0.2, -0.2, 0.2, -0.2]])
@pytest.mark.parametrize("players", [None, [[3, 1], [0], [2]]])
def test_attributions_are_judged_by_the_way_features_were_moved(rows, step, players):
    weights = np.array([2.0, -1.0, 1.0, -3.0])
    found = tasks.recourse(lambda x: x @ weights, rows, step=step, players=players)
    a = np.tile(weights if players is None else [-4.0, 2.0, 1.0], (6, 1))
    up = np.sign(np.broadcast_to(step, 4) * weights)
    expected = up > 0 if players is None else np.array([up[3], up[0], up[2]]) > 0
    assert_array_equal(found.holds, np.tile(expected, (6, 1)))
    verdict = tasks.judge(found, a)
    right = (verdict.sensitivity == 1.0, verdict.specificity == 1.0)
    assert right == (verdict.positives > 0, verdict.negatives > 0)
    some = tasks.recourse(lambda x: x @ weights, rows, step=step, players=players, features=[1])
    assert_array_equal(some.signs, found.signs[:, [1]])


@pytest.mark.parametrize("step", [0.1, -0.1])
def test_windows_that_overlap_go_one_way(step):
    images, windows = np.ones((2, 6, 5, 1)), xai.players.Windows(2, 1)
    found = tasks.recourse(lambda x: x.sum(axis=(1, 2, 3)), images, step=step, players=windows)
    assert (found.holds == (step > 0)).all() and (found.signs == np.sign(step)).all()
    verdict = tasks.judge(found, np.ones(found.holds.shape))
    told = verdict.sensitivity if step > 0 else verdict.specificity
    assert told == 1


def test_one_row_may_be_told_as_a_line(rows):
    found = tasks.recourse(curved, rows[:1], step=0.2)
    for line in (found.holds[0], found.holds[0].astype(float)):
        verdict = tasks.judge(found, line)
        assert (verdict.sensitivity, verdict.specificity) == (1.0, 1.0)


def test_a_judgement_without_pairs_says_so():
    found = tasks.recourse(lambda x: np.asarray(x)[:, 0], np.ones((3, 1)), step=0.1)
    verdict = tasks.judge(found, np.ones((3, 1)))
    assert verdict.sensitivity == 1.0
    assert np.isnan(verdict.specificity)
    assert verdict.specificity_interval == (0.0, 1.0)


def test_attributions_with_names_are_judged_by_them(rows):
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame(rows, columns=list("abcd"))
    f = lambda z: np.asarray(z["a"]) + 2.0 * np.asarray(z["d"])  # noqa: E731
    found = tasks.depends_on(f, x, data=x)
    other = x[list("cabd")]
    e = xai.explain(f, other, "exact_shapley", data=other)
    table = pandas.DataFrame(e.values, columns=list("cabd"))
    for given in (e, table, table.abs() > 1e-9):
        assert tasks.judge(found, given, threshold=1e-9).informedness == 1.0
    assert tasks.judge(found, e.values, threshold=1e-9).informedness < 1.0  # which has none


def test_explanations_are_judged_as_they_come(data):
    weights = np.array([2.0, -1.0, 0.0, 0.5])

    def model(x):
        return np.asarray(x) @ weights

    x = np.abs(data[:8]) + 3.0  # above the mean: effects have the slopes' signs
    e = xai.explain(model, x, "shapley", data=data)
    assert tasks.judge(tasks.recourse(model, x, step=1.0), e).informedness == 1.0
    found = tasks.depends_on(model, x, data=data)
    assert tasks.judge(found, e, threshold=1e-9).informedness == 1.0


# ---------------------------------------------------------------------------------- simulatability


def opposite(x):
    """Probabilities of a class that no line tells: the sign of x0 x1."""
    x = np.asarray(x)
    p = 1 / (1 + np.exp(-4 * x[:, 0] * x[:, 1]))
    return np.stack([1 - p, p], axis=1)


@pytest.fixture(scope="module")
def lesson():
    x = np.random.default_rng(6).normal(size=(300, 3))
    e = xai.explain(opposite, x, "shapley", target=1, removal=Baseline(0))
    return x, e


@pytest.mark.parametrize(("shown", "least"), [("learning", 0.2), ("always", 0.4)])
def test_explanations_teach_what_rows_alone_do_not(lesson, shown, least):
    x, e = lesson
    score = metrics.simulatability(opposite, x, e, shown=shown)
    assert score.mean() > least
    assert score.info["interval"][0] > 0
    assert set(score.values) <= {-1.0, 0.0, 1.0}
    without = max((score.info[k] for k in ("without", "shuffled")), key=np.mean)
    assert_array_equal(score.values, score.info["with_explanations"] - without)
    assert score.info["without"].mean() < 0.65
    assert float(score.info["std_error"]) == pytest.approx(score.std_error, rel=0.1)


@pytest.mark.parametrize("shown", ["learning", "always"])
def test_noise_and_shuffled_explanations_teach_nothing(lesson, shown):
    x, e = lesson
    rng = np.random.default_rng(7)
    for a in (rng.normal(size=x.shape), e.values[rng.permutation(len(x))]):
        score = metrics.simulatability(opposite, x, a, target=1, shown=shown)
        assert abs(score.mean()) < 3 * float(score.info["std_error"])
        low, high = score.info["interval"]
        assert low < score.mean() < high


@pytest.mark.parametrize("shares", [(0.02, 0.95, 0.03), (0, 0.05, 0.95), (0.1, 0.6, 0.3)])
@pytest.mark.parametrize("n", [10, 20, 100])
def test_intervals_of_gains_hold_rare_ones_too(shares, n):
    """Of resampled rows the first missed 75 % of means of ten rows, most without any width."""
    draws = np.random.default_rng(n).multinomial(n, shares, 1000)
    found = [of_gains(np.repeat([-1.0, 0, 1], counts)) for counts in draws]
    truth = shares[2] - shares[0]
    assert np.mean([low <= truth <= high for _, low, high in found]) > 0.925


def test_the_interval_of_a_gain_is_the_reports(lesson):
    x, e = lesson
    report = metrics.evaluate(opposite, x[:40], {"a": e[range(40)]}, ["simulatability"])
    score = report["simulatability", "a"]
    assert_allclose(report.interval("simulatability", "a"), score.info["interval"])
    assert of_gains(np.zeros(12))[1] < 0 < of_gains(np.zeros(12))[2]


def test_the_order_of_rows_teaches_nothing(lesson):
    """Rows sorted by class are learnt from as any: what explains a student's rows is no less."""
    x, e = lesson
    order = np.lexsort((x[:, 1], x[:, 0] > 0))
    score = metrics.simulatability(opposite, x[order], e[order])
    assert score.mean() > 0.2


def test_shuffled_explanations_are_of_other_rows():
    """Two rows may not keep their own, which give away the class."""
    x = np.random.default_rng(9).normal(size=(8, 1))
    y = np.arange(8) % 2
    seen = []

    class Student(DummyClassifier):
        def fit(self, X, y):
            seen.append(X)
            return super().fit(X, y)

    def model(rows):
        return np.eye(2)[y[np.searchsorted(np.sort(x[:, 0]), np.asarray(rows)[:, 0])]]

    for seed in range(10):
        seen.clear()
        metrics.simulatability(
            model, x, x, folds=2, shown="always", student=Student(), target=0, seed=seed
        )
        alone, dealt, own = seen[:3]
        assert alone.shape[1] == 1
        assert (own[:, 0] == own[:, 1]).all()
        assert (dealt[:, 0] != dealt[:, 1]).all() and np.isin(dealt[:, 1], x).all()


def test_rows_with_players_of_their_own_teach_by_place():
    rng = np.random.default_rng(10)
    x = rng.random((20, 8, 8, 1))

    def model(images):
        top = images[:, :4].mean(axis=(1, 2, 3)) - images[:, 4:].mean(axis=(1, 2, 3))
        return np.stack([top, -top], axis=1)

    ids = rng.integers(0, 3, (20, 8, 8, 1))
    ids[0] = 0  # a row of one player, and rows of three
    e = xai.explain(model, x, "occlusion", players=ids, target=0, removal=Baseline(0))
    assert np.isnan(e.values).any()
    by_place = metrics.simulatability(model, x, e.map(), target=0)
    assert_array_equal(metrics.simulatability(model, x, e).values, by_place.values)


def test_students_are_shown_one_number_for_each_player_and_stay_unfitted(lesson):
    x, _ = lesson
    e = xai.explain(opposite, x[:20], "shapley", players=[[0, 1], [2]], target=1, data=x[:1])
    seen = []

    class Student(DummyClassifier):
        def fit(self, X, y):
            seen.append(X)
            assert_array_equal(y, opposite(X).argmax(axis=1))  # what the model predicts
            return super().fit(X, y)

    student, mimic = Student(), KNeighborsRegressor(3)
    for shown in ("learning", "always"):
        metrics.simulatability(
            opposite, x[:20], e, shown=shown, folds=2, student=student, mimic=mimic
        )
    assert {X.shape[1] for X in seen} == {3, 3 + 2}
    with pytest.raises(ValueError, match="rows"):
        metrics.simulatability(opposite, x[:20], e[range(19)])
    assert "n_features_in_" not in vars(mimic) and "classes_" not in vars(student)


def test_gains_are_balanced_by_whether_the_model_is_right(lesson):
    x, e = lesson
    predicted = opposite(x).argmax(axis=1)
    y = np.where(np.arange(300) < 60, 1 - predicted, predicted)  # wrong on a fifth
    score = metrics.simulatability(opposite, x, e, y=y)
    halves = score.values[60:].mean(), score.values[:60].mean()
    assert float(score.info["balanced"]) == pytest.approx(np.mean(halves))
    assert "balanced" not in metrics.simulatability(opposite, x, e).info
    assert np.isnan(metrics.simulatability(opposite, x, e, y=predicted).info["balanced"])
    forest = RandomForestClassifier(5, random_state=0).fit(x, np.array(["no", "yes"])[predicted])
    named = np.array(["no", "yes"])[y]
    assert np.isfinite(metrics.simulatability(forest, x, e.values, y=named).info["balanced"])
    for wrong in (np.where(y, 1.0, np.nan), y.astype(str), y + 1):
        with pytest.raises(ValueError, match="integers from 0 to 1"):
            metrics.simulatability(opposite, x, e, y=wrong)


def test_what_is_known_already_cannot_be_taught():
    def model(x):
        s = np.asarray(x) @ [3.0, -2.0, 0.0]
        return np.stack([-s, s], axis=1)

    x = np.random.default_rng(8).normal(size=(200, 3))
    e = xai.explain(model, x, "shapley", target=1, removal=Baseline(0))
    score = metrics.simulatability(model, x, e)
    assert score.info["without"].mean() > 0.95
    assert abs(score.mean()) < 0.04


def test_a_lesson_costs_one_look_at_each_row_and_repeats(lesson):
    x, e = lesson
    counted = Counter(opposite)
    score = metrics.simulatability(counted, x, e.values, target=1)
    assert counted.rows == len(x)
    assert score.evaluations == 1
    again = metrics.simulatability(opposite, x, e.values, target=1, batch_size=7)
    assert_array_equal(score.values, again.values)
    other = metrics.simulatability(opposite, x, e.values, target=1, seed=1)
    assert (score.values != other.values).any()


def test_students_may_be_swapped_and_lessons_refused(lesson):
    x, e = lesson
    forest = RandomForestClassifier(30, random_state=0)
    alone = metrics.simulatability(opposite, x, e, student=forest)
    assert alone.info["without"].mean() > 0.8  # a forest learns it from the rows
    with pytest.raises(ValueError, match="one output"):
        metrics.simulatability(curved, np.ones((30, 4)), np.ones((30, 4)))
    with pytest.raises(ValueError, match="always"):
        metrics.simulatability(opposite, x, e, shown="allways")
    with pytest.raises(TypeError, match="needs x of numbers"):
        metrics.simulatability(lambda texts: np.eye(2)[[len(t) % 2 for t in texts]],
                               ["a b", "c dd", "e f", "g h"], np.ones((4, 2)), folds=2)  # fmt: skip
    words = np.array([["a", 1.0], ["b", 2.0]] * 4, object)
    with pytest.raises(TypeError, match="needs x of numbers"):
        metrics.simulatability(lambda z: np.c_[z[:, 0] == "a", z[:, 0] == "b"] * 1.0, words,
                               np.ones((8, 2)), folds=2)  # fmt: skip
    for wrong in (1, 2.5):
        with pytest.raises(ValueError, match=f"folds={wrong}: expected an integer of at least 2"):
            metrics.simulatability(opposite, x, e, folds=wrong)
    with pytest.raises(ValueError, match="two rows a fold"):
        metrics.simulatability(opposite, x[:6], e[range(6)])
    gone = np.where(np.arange(300)[:, None] == 7, np.nan, x)

    def model(rows):
        return opposite(np.nan_to_num(rows))

    trees = HistGradientBoostingClassifier(max_iter=3)
    for given in ({}, {"student": trees}, {"mimic": trees}, {"mimic": trees, "shown": "always"}):
        with pytest.raises(ValueError, match="x holds NaN"):
            metrics.simulatability(model, gone, x, **given)
    metrics.simulatability(model, gone, x, student=trees, shown="always")
    filled = make_pipeline(SimpleImputer(), KNeighborsRegressor(3))
    metrics.simulatability(model, gone[:40], x[:40], student=trees, mimic=filled)


@pytest.mark.parametrize(("n", "folds"), [(4, 2), (6, 2), (7, 3), (10, 5), (12, 2)])
def test_few_rows_teach_little_but_do_not_fail(lesson, n, folds):
    x, e = lesson
    score = metrics.simulatability(opposite, x[:n], e[range(n)], folds=folds)
    assert set(score.values) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("module", ["tasks", "proportions", "intervals"])
def test_examples_run(module):
    done = doctest.testmod(import_module(f"xai.metrics.{module}"))
    assert done.attempted > 0
    assert done.failed == 0
