"""Closed forms against enumeration: a callable around the same model has no closed form."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn import ensemble, linear_model, preprocessing, svm, tree
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import Pipeline, make_pipeline

import xai
from xai.exact import linear
from xai.exact.base import Part
from xai.exact.trees import read_trees
from xai.kernels import tree_shapley as kernel
from xai.summary import Banzhaf, BetaShapley, Interactions, Semivalue, Shapley
from xai.summary.closed import of_coins, of_orders

LOG_ODDS = xai.behavior.Prediction("log_odds")
LOGIT_CONTRAST = xai.behavior.Contrast(to=0, output="logit")


@pytest.fixture(scope="module")
def rows() -> SimpleNamespace:
    """90 rows of 5 columns, an amount, two amounts, two and three classes; x and data of them."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(90, 5)).round(2)
    amount = X[:, 0] * X[:, 1] + np.abs(X[:, 2]) + 0.3 * X[:, 3] + 0.2 * rng.normal(size=90)
    X.setflags(write=False)
    return SimpleNamespace(
        X=X, x=X[:4], data=X[10:22], amount=amount, amounts=np.stack([amount, X[:, 4] ** 2], 1),
        two=(amount > 0.7).astype(int), three=np.digitize(amount, [0.3, 1.1]),
    )  # fmt: skip


def output(model: Any) -> Any:
    """The model as a callable, with the outputs that `explain` finds."""
    if hasattr(model, "predict_proba"):
        return model.predict_proba
    if hasattr(model, "decision_function"):

        def scores(x):
            out = model.decision_function(x)
            return np.stack([-out, out], axis=1) if out.ndim == 1 else out

        return scores
    return model.predict


FAMILY = [
    Shapley(order=2),
    Interactions("SII"),
    Banzhaf(order=2),
    BetaShapley(4, 1),
    Semivalue(lambda d: [0.25] + [0] * (d - 2) + [0.75] if d > 1 else [1]),
]
"""Beside Shapley's values; the last two count small coalitions more, and large ones."""


def check(model: Any, x: Any, data: Any, kind: str, **keywords: Any) -> xai.Explanation:
    """Explain by the closed form, and hold it against all coalitions of the callable."""
    found = xai.explain(model, x, data=data, **keywords)
    assert found.ran == f"closed form for {kind}"
    assert found.std_error is None
    removal = keywords.pop("removal", None) or "marginal"
    oracle = xai.explain(output(model), x, "exact_shapley", data=data, removal=removal, **keywords)
    assert oracle.ran == "enumeration"
    scale = max(1.0, float(np.nanmax(np.abs(oracle.values))))
    np.testing.assert_allclose(found.values, oracle.values, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(found.base_values, oracle.base_values, rtol=1e-12, atol=1e-12)
    d = oracle.values.shape[1]
    total = np.nansum(found.values.reshape(len(x), d, -1), axis=1).reshape(found.predictions.shape)
    gap = total + found.base_values - found.predictions
    np.testing.assert_allclose(gap, 0, rtol=0, atol=1e-13 * scale)
    for summary in FAMILY:
        keywords |= {"summary": summary, "data": data, "removal": removal}
        other = xai.explain(model, x, "shapley", **keywords)
        assert other.ran == f"closed form for {kind}" and other.std_error is None
        oracle = xai.explain(output(model), x, "shapley", **keywords, budget=2**d * len(data) + 2)
        assert oracle.ran == "enumeration"
        for name in ("values", "interactions"):
            if getattr(oracle, name) is not None:
                one, two = getattr(other, name), getattr(oracle, name)
                np.testing.assert_allclose(one, two, rtol=0, atol=2e-9 * scale)
    return found


# ------------------------------------------------------------------------------- trees

SMALL = {"random_state": 0, "max_depth": 5}
TREES = {
    "tree": (tree.DecisionTreeClassifier(random_state=0), "two", None),
    "tree of three": (tree.DecisionTreeClassifier(random_state=0), "three", None),
    "regression tree": (tree.DecisionTreeRegressor(random_state=0), "amount", None),
    "extra tree": (tree.ExtraTreeRegressor(random_state=0), "amount", None),
    "forest": (ensemble.RandomForestClassifier(7, random_state=0), "two", None),
    "forest, probability": (
        ensemble.RandomForestClassifier(7, random_state=0),
        "two",
        xai.behavior.Prediction("probability"),
    ),
    "forest, contrast": (
        ensemble.RandomForestClassifier(7, random_state=0),
        "three",
        xai.behavior.Contrast(to=0),
    ),
    "regression forest": (ensemble.RandomForestRegressor(7, **SMALL), "amount", None),
    "extra trees": (ensemble.ExtraTreesClassifier(7, **SMALL), "three", None),
    "extra regression trees": (ensemble.ExtraTreesRegressor(7, **SMALL), "amount", None),
    "bagging": (ensemble.BaggingClassifier(n_estimators=7, random_state=0), "two", None),
    "bagging of columns": (
        ensemble.BaggingRegressor(n_estimators=7, max_features=0.6, random_state=0),
        "amount",
        None,
    ),
    "boosting": (
        ensemble.GradientBoostingClassifier(n_estimators=9, random_state=0),
        "two",
        LOG_ODDS,
    ),
    "boosting, exponential": (
        ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=9, random_state=0),
        "two",
        LOG_ODDS,
    ),
    "boosting, exponential, logit": (
        ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=9, random_state=0),
        "two",
        LOGIT_CONTRAST,
    ),
    "boosting, init zero": (
        ensemble.GradientBoostingClassifier(init="zero", n_estimators=9, random_state=0),
        "two",
        xai.behavior.Contrast(to=0, output="log_odds"),
    ),
    "boosting of three": (
        ensemble.GradientBoostingClassifier(n_estimators=9, random_state=0),
        "three",
        LOGIT_CONTRAST,
    ),
    "boosting of amounts": (
        ensemble.GradientBoostingRegressor(n_estimators=9, random_state=0),
        "amount",
        None,
    ),
    "histograms": (ensemble.HistGradientBoostingClassifier(max_iter=9), "two", LOG_ODDS),
    "histograms, logit": (
        ensemble.HistGradientBoostingClassifier(max_iter=9),
        "two",
        LOGIT_CONTRAST,
    ),
    "histograms of three": (
        ensemble.HistGradientBoostingClassifier(max_iter=9),
        "three",
        LOGIT_CONTRAST,
    ),
    "histograms of amounts": (ensemble.HistGradientBoostingRegressor(max_iter=9), "amount", None),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_trees_meet_enumeration(rows, name):
    model, y, behavior = TREES[name]
    model.fit(rows.X, getattr(rows, y))
    check(model, rows.x, rows.data, "trees", behavior=behavior, target=1 if y != "amount" else 0)


def test_every_output_at_once(rows):
    forest = ensemble.RandomForestClassifier(7, random_state=0).fit(rows.X, rows.three)
    for target in ("all", xai.Top(2), "predicted", [2, 1, 0, 1]):
        check(forest, rows.x, rows.data, "trees", target=target)
        check(forest, rows.x, rows.data, "trees", target=target, behavior="contrast")
    amounts = ensemble.ExtraTreesRegressor(5, random_state=0).fit(rows.X, rows.amounts)
    check(amounts, rows.x, rows.data, "trees", target="all")
    boosting = ensemble.HistGradientBoostingClassifier(max_iter=5).fit(rows.X, rows.three)
    check(boosting, rows.x, rows.data, "trees", target="all", behavior=LOGIT_CONTRAST)


def test_deep_trees_ask_for_the_same_column_again_and_again():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    deep = tree.DecisionTreeRegressor(random_state=0).fit(X, rng.normal(size=400))
    assert deep.get_depth() > 10
    check(deep, X[:5], X[20:90], "trees")


@pytest.mark.parametrize("place", [0, 1])
def test_a_stump_beside_a_deep_tree(rows, place):
    forest = ensemble.RandomForestRegressor(2, random_state=0).fit(rows.X, rows.amount)
    forest.estimators_[place] = tree.DecisionTreeRegressor(max_depth=1).fit(rows.X, rows.amount)
    deepest = max(each.get_depth() for each in forest.estimators_)
    assert read_trees(forest, "amount", "raw", 1).terms.__self__.depth == deepest > 5
    check(forest, rows.x, rows.data, "trees")


def test_float32_rows_and_thresholds_between_floats(rows):
    """Trees compare float32(x): rows that differ after the 8th digit go the same way."""
    x = (rows.x + 1e-9).astype(np.float64)
    forest = ensemble.RandomForestRegressor(7, random_state=0).fit(rows.X, rows.amount)
    check(forest, x, rows.data, "trees")
    check(forest, rows.x.astype(np.float32), rows.data.astype(np.float32), "trees")
    histograms = ensemble.HistGradientBoostingRegressor(max_iter=9).fit(rows.X, rows.amount)
    check(histograms, rows.x.astype(np.float32), rows.data.astype(np.float32), "trees")


@pytest.mark.parametrize(
    "model",
    [
        ensemble.HistGradientBoostingRegressor(max_iter=15, min_samples_leaf=5),
        ensemble.RandomForestRegressor(7, random_state=0),
    ],
    ids=["histograms", "forest"],
)
def test_missing_values(rows, model):
    X = rows.X.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.25] = np.nan
    model.fit(X, rows.amount)
    check(model, X[:4], X[10:22], "trees")


def test_categories_of_histograms(rows):
    rng = np.random.default_rng(1)
    X = np.repeat(rows.X, 5, axis=0)  # of ten rows a category or more: less is not split
    X[:, 1], X[:, 3] = rng.integers(0, 12, 450), rng.integers(0, 40, 450)
    y = np.isin(X[:, 1], [1, 4, 7]) * 2.0 + (X[:, 3] % 3) + X[:, 0]
    X[::9, 3] = np.nan
    model = ensemble.HistGradientBoostingRegressor(
        max_iter=20, min_samples_leaf=3, categorical_features=[1, 3]
    ).fit(X, y)
    sets = [p.raw_left_cat_bitsets for stage in model._predictors for p in stage]
    assert len(np.unique(np.concatenate(sets), axis=0)) > 20
    x, data = X[:20:5].copy(), X[50:110:5].copy()
    x[1, 1] = 77.0  # never seen: goes where missing values go
    check(model, x, data, "trees")
    ids = np.array([0, 1, 0, 1, 2])
    check(model, x, data, "trees", players=ids)


def test_categories_of_a_frame(rows):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rows.X[:, :3], columns=["a", "b", "c"])
    frame.insert(1, "town", pd.Categorical(rng.choice(["Bonn", "Kiel", "Ulm"], 90)))
    y = rows.amount + 2.0 * (frame["town"] == "Kiel")
    model = ensemble.HistGradientBoostingRegressor(
        max_iter=15, min_samples_leaf=3, categorical_features="from_dtype"
    ).fit(frame, y)
    check(model, frame.iloc[:4], frame.iloc[10:22], "trees")
    other = frame[["c", "town", "a", "b"]]  # values in x's own order, the model's in its own
    check(model, other.iloc[:4], other.iloc[10:22], "trees")


def test_missing_numbers_of_pandas_own_dtypes(rows):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.where(np.abs(rows.X) > 1, np.nan, rows.X.round(1))).astype("Float64")
    frame[0] = pd.array((10 * frame[0]).round(), dtype="Int64")
    frame.columns = list("abcde")
    forest = ensemble.RandomForestRegressor(5, random_state=0).fit(frame, rows.amount)
    assert frame.iloc[:22].isna().any().all()
    check(forest, frame.iloc[:4], frame.iloc[10:22], "trees")


def test_one_hot_columns_belong_to_their_category():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"n": rng.normal(size=80), "word": rng.choice(list("abcd"), 80)})
    y = frame["n"] * (frame["word"] == "b") + (frame["word"] == "c")
    encode = ColumnTransformer(
        [("word", preprocessing.OneHotEncoder(), ["word"])], remainder="passthrough"
    )
    forest = ensemble.RandomForestRegressor(5, random_state=0)
    model = make_pipeline(encode, forest).fit(frame, y)
    check(model, frame.iloc[:4], frame.iloc[10:25], "trees")


def test_trees_without_a_split(rows):
    model = ensemble.RandomForestRegressor(3).fit(rows.X, np.full(90, 2.5))
    found = check(model, rows.x, rows.data, "trees")
    assert np.all(found.values == 0) and np.all(found.predictions == 2.5)


def test_polars_and_tensors(rows):
    pl, torch = pytest.importorskip("polars"), pytest.importorskip("torch")
    forest = ensemble.RandomForestRegressor(5, random_state=0).fit(rows.X, rows.amount)
    expected = xai.explain(forest, rows.x, data=rows.data).values
    x, data = (torch.tensor(a, dtype=torch.float64) for a in (rows.x, rows.data))
    found = xai.explain(forest, x, data=data)
    assert found.ran == "closed form for trees"
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-12)
    names = list("abcde")
    whole = pl.DataFrame(rows.X, schema=names)
    model = make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge())
    model.fit(whole, rows.amount)
    straight = check(model, whole[:4], whole[10:22], "a linear model")
    turned = whole[names[::-1]]  # values in x's own order
    found = xai.explain(model, turned[:4], data=turned[10:22])
    np.testing.assert_allclose(found.values[:, ::-1], straight.values, rtol=0, atol=1e-12)


def test_behind_searches_and_scalers(rows):
    search = GridSearchCV(
        make_pipeline(
            preprocessing.StandardScaler(),
            "passthrough",
            SelectKBest(k=3),
            preprocessing.SplineTransformer(4),
            ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0),
        ),
        {"gradientboostingclassifier__max_depth": [2, 3]},
        cv=2,
    ).fit(rows.X, rows.two)
    found = check(search, rows.x, rows.data, "trees", behavior=LOG_ODDS)
    assert (np.abs(found.values).max(axis=0) == 0).sum() == 2  # what was not selected: exactly 0


# ------------------------------------------------------------------------------- linear models

LINEAR = {
    "least squares": (linear_model.LinearRegression(), "amount", None),
    "least squares of two": (linear_model.LinearRegression(), "amounts", None),
    "ridge": (linear_model.Ridge(), "amount", None),
    "lasso": (linear_model.Lasso(0.01), "amount", None),
    "elastic net": (linear_model.ElasticNet(0.01), "amount", None),
    "gradient descent": (linear_model.SGDRegressor(random_state=0), "amount", None),
    "support vectors of amounts": (svm.LinearSVR(random_state=0), "amount", None),
    "kernel of amounts": (svm.SVR(kernel="linear"), "amount", None),
    "logistic": (linear_model.LogisticRegression(), "two", LOG_ODDS),
    "logistic, logit": (linear_model.LogisticRegression(), "two", LOGIT_CONTRAST),
    "logistic of three": (linear_model.LogisticRegression(), "three", LOGIT_CONTRAST),
    "discriminant": (LinearDiscriminantAnalysis(), "three", LOGIT_CONTRAST),
    "ridge classifier": (linear_model.RidgeClassifier(), "two", None),
    "ridge classifier of three": (linear_model.RidgeClassifier(), "three", None),
    "hinge": (linear_model.SGDClassifier(random_state=0), "two", None),
    "logistic descent": (
        linear_model.SGDClassifier(loss="log_loss", alpha=0.1, random_state=0),
        "two",
        LOG_ODDS,
    ),
    "perceptron": (linear_model.Perceptron(random_state=0), "three", None),
    "support vectors": (svm.LinearSVC(random_state=0), "two", xai.behavior.Prediction("logit")),
    "support vectors of three": (svm.LinearSVC(random_state=0), "three", xai.behavior.Contrast(0)),
    "kernel": (svm.SVC(kernel="linear"), "two", None),
}  # fmt: skip


@pytest.mark.parametrize("name", LINEAR)
def test_linear_models_meet_enumeration(rows, name):
    model, y, behavior = LINEAR[name]
    model.fit(rows.X, getattr(rows, y))
    oracle = behavior
    if behavior == xai.behavior.Prediction("logit"):
        oracle = None  # a score's logit is the score itself; of a callable it would be a logarithm
    target = 0 if y == "amount" else 1
    found = check(model, rows.x, rows.data, "a linear model", behavior=oracle, target=target)
    if oracle is not behavior:
        asked = xai.explain(model, rows.x, data=rows.data, behavior=behavior, target=target)
        np.testing.assert_array_equal(asked.values, found.values)


def test_the_formula_of_a_linear_model(line):
    found = xai.explain(line.model, line.x, data=line.data)
    expected = line.w * (line.x - line.data.mean(axis=0))
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("shared", [True, False])
def test_means_of_replacement_rows(rows, kind, shared):
    """Over all draws, be they each row's own."""
    index = np.array([[0, 3, 5, 5], [2, 7, 1, 0], [9, 9, 9, 4]])
    index = index[:1].repeat(3, axis=0) if shared else index
    places, weights = np.zeros((3, 1, 1), np.intp), np.ones((3, 1, 1))
    owner, x, data = np.arange(5)[None], kind(rows.X[:3]), kind(rows.data)
    part = Part(x, data, index, owner, places, weights, n_players=5, masses=of_orders)
    expected = np.broadcast_to(rows.data[index].mean(axis=1), (3, 5))
    found = np.broadcast_to(linear._means(part), (3, 5))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


QUANTILES = (  # scikit-learn 1.5 knows one kind alone; later ones warn where none is named
    {"quantile_method": "averaged_inverted_cdf"}
    if "quantile_method" in preprocessing.KBinsDiscretizer().get_params()
    else {}
)
COLUMNS = {
    "standard": preprocessing.StandardScaler(),
    "min-max": preprocessing.MinMaxScaler(),
    "max-abs": preprocessing.MaxAbsScaler(),
    "robust": preprocessing.RobustScaler(),
    "power": preprocessing.PowerTransformer(),
    "quantiles": preprocessing.QuantileTransformer(n_quantiles=20),
    "splines": preprocessing.SplineTransformer(4),
    "bins": preprocessing.KBinsDiscretizer(4, **QUANTILES),
    "codes": preprocessing.KBinsDiscretizer(4, encode="ordinal", **QUANTILES),
    "selection": SelectKBest(k=3),
    "nothing": preprocessing.FunctionTransformer(),
    "nested": Pipeline([("a", preprocessing.StandardScaler()), ("b", "passthrough")]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_steps_that_keep_columns_apart(rows, name):
    model = make_pipeline(COLUMNS[name], linear_model.LogisticRegression()).fit(rows.X, rows.two)
    check(model, rows.x, rows.data, "a linear model", behavior=LOG_ODDS)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
def test_an_imputer_may_leave_out_what_was_empty(rows, keep):
    X = rows.X.copy()
    X[:, 1], X[::3, 3] = np.nan, np.nan
    imputer = SimpleImputer(keep_empty_features=keep)
    model = make_pipeline(imputer, linear_model.Ridge()).fit(X, rows.amount)
    check(model, X[:4], X[10:22], "a linear model")


def test_a_table_of_numbers_words_and_gaps():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, 80),
            "town": rng.choice(["Bonn", "Kiel", "Ulm"], 80),
            "income": np.where(rng.random(80) < 0.2, np.nan, rng.normal(40.0, 9.0, 80)),
            "grade": pd.Categorical(rng.choice(["low", "mid", "top"], 80)),
            "unused": rng.choice(["x", "y"], 80),
        }
    )
    y = (frame["age"] / 60 + (frame["town"] == "Ulm") + (frame["grade"] == "top") > 1.4).to_numpy()
    columns = ColumnTransformer(
        [
            (
                "word",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"),
                    preprocessing.OneHotEncoder(drop="first", min_frequency=2),
                ),
                ["town"],
            ),
            (
                "number",
                make_pipeline(SimpleImputer(), preprocessing.StandardScaler()),
                ["income", "age"],
            ),
            ("grade", preprocessing.OrdinalEncoder(), ["grade"]),
            ("unused", "drop", ["unused"]),
        ]
    )
    model = make_pipeline(columns, linear_model.LogisticRegression()).fit(frame, y)
    found = check(model, frame.iloc[:4], frame.iloc[20:32], "a linear model", behavior=LOG_ODDS)
    assert np.all(found.values[:, 4] == 0)
    groups = [["age", "grade"], ["town"], ["income", "unused"]]
    check(
        model,
        frame.iloc[:4],
        frame.iloc[20:32],
        "a linear model",
        behavior=LOG_ODDS,
        players=groups,
    )
    turned = frame[frame.columns[::-1]]
    check(model, turned.iloc[:4], turned.iloc[20:32], "a linear model", behavior=LOG_ODDS)


def test_sparse_rows(rows):
    X = np.where(np.abs(rows.X) < 0.6, 0.0, rows.X)
    for model, kind in [
        (linear_model.Ridge(), "a linear model"),
        (svm.SVR(kernel="linear"), "a linear model"),  # its coefficients are sparse, too
        (ensemble.RandomForestRegressor(5, random_state=0), "trees"),
    ]:
        model.fit(sparse.csr_array(X), rows.amount)
        x, data = sparse.csr_array(X[:4]), sparse.csr_array(X[10:22])
        found = xai.explain(model, x, data=data)
        dense = xai.explain(model, X[:4], data=X[10:22])
        assert found.ran == dense.ran == f"closed form for {kind}"
        np.testing.assert_allclose(found.values, dense.values, rtol=0, atol=1e-12)


# -------------------------------------------------------------------- players, removals, draws

BOTH = {
    "trees": ensemble.RandomForestRegressor(7, random_state=0),
    "a linear model": linear_model.Ridge(),
}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "ids",
    [
        np.array([0, 1, 1, 0, 2]),
        np.array([0, -1, 1, 1, -1]),
        np.array([3, 3, 3, 3, 3]),
        np.array([[0, 1, 2, 3, 4], [0, 0, 1, 1, 2], [0, -1, 1, -1, 2], [1, 1, 0, 0, 2]]),
    ],
    ids=["groups", "some never removed", "one", "per row"],
)
def test_groups_of_columns(rows, kind, ids):
    model = BOTH[kind].fit(rows.X, rows.amount)
    check(model, rows.x, rows.data, kind, players=ids)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "removal",
    [
        xai.removal.Baseline(0),
        xai.removal.Baseline("mean"),
        xai.removal.Baseline(np.arange(20.0).reshape(4, 5) / 9 - 1),
    ],
    ids=["zero", "mean", "per row"],
)
def test_removals(rows, kind, removal):
    model = BOTH[kind].fit(rows.X, rows.amount)
    check(model, rows.x, rows.data, kind, removal=removal)


@pytest.mark.parametrize("m", [1, 63, 64, 65, 1025, 2100])
def test_backgrounds_of_every_length(rows, m):
    """Each background row counts once: the values are the mean of the rows' own."""
    model = ensemble.RandomForestRegressor(3, random_state=0).fit(rows.X, rows.amount)
    data = np.random.default_rng(m).normal(size=(m, 5))
    found = xai.explain(model, rows.x[:1], data=data)
    assert found.ran == "closed form for trees"
    several = [
        xai.explain(
            model, np.repeat(rows.x[:1], len(part), axis=0), removal=xai.removal.Baseline(part)
        )
        if len(part) > 1
        else xai.explain(model, rows.x[:1], data=part)
        for part in np.array_split(data, -(-m // 500))
    ]
    each = np.concatenate([e.values for e in several])
    np.testing.assert_allclose(found.values[0], each.mean(axis=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("keywords", [{"n_jobs": 2}, {"n_jobs": -1, "batch_size": 3}])
def test_threads_and_batches_change_nothing(rows, keywords):
    model = ensemble.RandomForestClassifier(7, random_state=0).fit(rows.X, rows.three)
    how = {"data": rows.data, "target": "all", "order": 2}
    one = xai.explain(model, rows.X[:30], "shapley", **how)
    other = xai.explain(model, rows.X[:30], "shapley", **how, **keywords)
    assert one.evaluations == other.evaluations
    np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-14)
    np.testing.assert_allclose(one.interactions, other.interactions, rtol=0, atol=1e-14)


def test_rows_in_several_chunks(rows, monkeypatch):
    model = ensemble.RandomForestClassifier(7, random_state=0).fit(rows.X, rows.two)
    whole = xai.explain(model, rows.X[:7], "shapley", data=rows.data, order=2)
    monkeypatch.setattr("xai.exact.CHUNK", 60)
    parts = xai.explain(model, rows.X[:7], "shapley", data=rows.data, order=2)
    np.testing.assert_array_equal(whole.values, parts.values)
    np.testing.assert_array_equal(whole.interactions, parts.interactions)
    for i in range(3):
        alone = xai.explain(model, rows.X[i : i + 1], data=rows.data)
        np.testing.assert_allclose(alone.values, whole[i].values, rtol=0, atol=1e-14)


def test_what_changes_nothing_gets_exactly_nothing(rows):
    y = rows.X[:, 0] * rows.X[:, 1]
    for model in (
        ensemble.RandomForestRegressor(7, random_state=0).fit(rows.X[:, :2], y),
        linear_model.LinearRegression().fit(rows.X[:, :2], y),
    ):
        wide = make_pipeline(ColumnTransformer([("two", "passthrough", [0, 3])]), model)
        wide.fit(rows.X, y)
        assert np.all(xai.explain(wide, rows.x, data=rows.data).values[:, [1, 2, 4]] == 0)
        same = np.repeat(rows.x[:1], 6, axis=0)
        still = xai.explain(wide, rows.x[:1], data=same)
        assert still.ran.startswith("closed form") and np.all(still.values == 0)


# ------------------------------------------------------------------------- cost, choice, refusal


class CountingForest(ensemble.RandomForestClassifier):
    """A real estimator that counts the rows whose probabilities it is asked for."""

    rows = 0

    def predict_proba(self, X):
        self.rows += len(X)
        return super().predict_proba(X)


@pytest.mark.parametrize(
    "ids", [[0, 1, 1, 0, 2], [0, -1, 1, 1, -1], [[0, 1, 2, 3, 4], [0, -1, 1, -1, 2]]]
)
def test_evaluations_are_what_the_model_saw(rows, ids):
    model = CountingForest(5, random_state=0).fit(rows.X, rows.two)
    found = xai.explain(model, rows.x[:2], data=rows.data, players=np.array(ids))
    assert found.ran == "closed form for trees"
    assert found.evaluations == -(-model.rows // 2)


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("method", ["auto", "shapley", "exact_shapley", "banzhaf"])
def test_a_closed_form_costs_the_ends_alone(rows, n, method, order):
    model = CountingForest(5, random_state=0).fit(rows.X, rows.two)
    how = {"data": rows.data, "budget": 13, "tolerance": 0.01, "order": order}
    found = xai.explain(model, rows.x[:n], method, **how)
    assert found.ran == "closed form for trees"
    assert model.rows == 12 + n and found.evaluations == -(-model.rows // n)
    assert found.converged.all()


def test_a_budget_below_the_ends_names_the_least_that_works(rows):
    model = ensemble.RandomForestClassifier(5, random_state=0).fit(rows.X, rows.two)
    with pytest.raises(ValueError, match=r"budget=12 is too small.*at least 13"):
        xai.explain(model, rows.x, data=rows.data, budget=12)


def test_permutation_walks_stay_walks(rows):
    model = ensemble.RandomForestClassifier(5, random_state=0).fit(rows.X, rows.two)
    walked = xai.explain(model, rows.x, "permutation_shap", data=rows.data, budget=200)
    assert walked.ran == "walks" and walked.std_error is not None
    exact = xai.explain(model, rows.x, data=rows.data)
    largest = walked.std_error.max(axis=1, keepdims=True)
    assert np.all(np.abs(walked.values - exact.values) <= 6 * largest)


def sums_along(X):
    """Every column with those before it."""
    return np.cumsum(X, axis=1)


REFUSED = {
    "boosting's probability": (ensemble.GradientBoostingClassifier(n_estimators=3), "two", {}),
    "histograms' probability": (ensemble.HistGradientBoostingClassifier(max_iter=3), "two", {}),
    "sigmoid": (linear_model.LogisticRegression(), "two", {}),
    "softmax": (linear_model.LogisticRegression(), "three", {}),
    "a softmax's logit": (
        linear_model.LogisticRegression(),
        "three",
        {"behavior": xai.behavior.Prediction("logit")},
    ),
    "a softmax's log-odds": (linear_model.LogisticRegression(), "three", {"behavior": LOG_ODDS}),
    "a forest's log-odds": (
        ensemble.RandomForestClassifier(20, max_depth=2, random_state=0),
        "two",
        {"behavior": LOG_ODDS},
    ),
    "margin": (ensemble.RandomForestClassifier(5), "three", {"behavior": "margin"}),
    "loss": (ensemble.RandomForestRegressor(5), "amount", {"method": "loss_shap"}),
    "endless draws": (ensemble.RandomForestRegressor(5), "amount", {"removal": "uniform"}),
    "a function": (
        ensemble.RandomForestRegressor(5),
        "amount",
        {"removal": lambda x, kept: x * kept},
    ),
    "Poisson": (linear_model.PoissonRegressor(), "positive", {}),
    "Poisson histograms": (
        ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=3),
        "positive",
        {},
    ),
    "an initial model": (
        ensemble.GradientBoostingRegressor(init=linear_model.LinearRegression(), n_estimators=3),
        "amount",
        {},
    ),
    "curved kernel": (svm.SVR(), "amount", {}),
    "mixed columns": (make_pipeline(PCA(3), linear_model.Ridge()), "amount", {}),
    "mixed columns inside": (
        make_pipeline(ColumnTransformer([("p", PCA(2), [0, 1])]), linear_model.Ridge()),
        "amount",
        {},
    ),
    "mixed by a function": (
        make_pipeline(preprocessing.FunctionTransformer(sums_along), linear_model.Ridge()),
        "amount",
        {},
    ),
    "mixed by a partial function": (
        make_pipeline(
            ColumnTransformer(
                [("f", preprocessing.FunctionTransformer(partial(np.cumsum, axis=1)), [0, 3])]
            ),
            linear_model.Ridge(),
        ),
        "amount",
        {},
    ),
    "indicators": (
        make_pipeline(SimpleImputer(add_indicator=True), linear_model.Ridge()),
        "amount",
        {},
    ),
    "members that are no trees": (
        ensemble.BaggingRegressor(linear_model.Ridge(), n_estimators=3),
        "amount",
        {},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_closed_form_is_sampled(rows, name):
    model, y, keywords = REFUSED[name]
    truth = np.abs(rows.amount) if y == "positive" else getattr(rows, y)
    model.fit(rows.X, truth)
    if keywords.get("method") == "loss_shap":
        keywords = keywords | {"y": truth[:4]}
    found = xai.explain(model, rows.x, data=rows.data, **keywords)
    assert found.ran in ("enumeration", "walks")


class Turned(preprocessing.StandardScaler):
    """A scaler that is more than its base: it mixes two columns."""

    def transform(self, X):
        Z = super().transform(X)
        Z[:, 0] += Z[:, 1]
        return Z


def test_a_step_of_ones_own_is_not_taken_for_its_base(rows):
    """Both ends of the game would agree, but not what each column is worth."""
    model = make_pipeline(Turned(), linear_model.Ridge()).fit(rows.X, rows.amount)
    assert xai.explain(model, rows.x, data=rows.data).ran == "enumeration"


class Sampler(BaseEstimator):
    """As imbalanced-learn's: rows that are predicted go by it."""

    def fit_resample(self, X, y):
        return X, y


WRAPPERS = {
    "tuned": lambda forest: TunedThresholdClassifierCV(forest, cv=2),
    "fixed": lambda forest: FixedThresholdClassifier(forest, threshold=0.3),
    "searched": lambda forest: GridSearchCV(forest, {"max_depth": [3]}, cv=2),
}
if find_spec("sklearn.frozen"):  # 1.6 or newer
    WRAPPERS["frozen"] = lambda forest: import_module("sklearn.frozen").FrozenEstimator(forest)


@pytest.mark.parametrize("how", WRAPPERS)
def test_what_hands_on_a_forests_scores_has_its_closed_form(rows, how):
    forest = ensemble.RandomForestClassifier(5, max_depth=3, random_state=0).fit(rows.X, rows.two)
    model = WRAPPERS[how](forest).fit(rows.X, rows.two)
    found = xai.explain(model, rows.x, data=rows.data)
    oracle = xai.explain(model.predict_proba, rows.x, "exact_shapley", data=rows.data)
    assert found.ran == "closed form for trees"
    np.testing.assert_allclose(found.values, oracle.values, rtol=0, atol=1e-12)


def test_rows_that_are_predicted_go_by_a_sampler(rows):
    forest = ensemble.RandomForestClassifier(5, random_state=0).fit(rows.X, rows.two)
    model = Pipeline([("sampler", Sampler()), ("forest", forest)])
    given = {"data": rows.data, "target": [0, 1, 0, 1]}
    model.predict_proba = forest.predict_proba
    found = xai.explain(model, rows.x, **given)
    assert found.ran == "closed form for trees"
    np.testing.assert_array_equal(found.values, xai.explain(forest, rows.x, **given).values)


class Sharpened(ensemble.RandomForestClassifier):
    """A forest whose probabilities are not its trees' mean."""

    rows = 0

    def predict_proba(self, X):
        self.rows += len(X)
        p = super().predict_proba(X) ** 2
        return p / p.sum(axis=1, keepdims=True)


def test_a_model_that_is_not_its_trees_sum_is_sampled_and_nothing_is_paid_twice(rows):
    model = Sharpened(5, random_state=0).fit(rows.X, rows.two)
    found = xai.explain(model, rows.x, data=rows.data, budget=200)
    assert found.ran == "walks" and found.std_error is not None
    assert found.evaluations == -(-model.rows // 4) <= 200
    enumerated = xai.explain(model, rows.x, "exact_shapley", data=rows.data)
    assert enumerated.ran == "enumeration"


def test_a_model_is_held_against_its_trees_at_every_background_row(rows):
    """At the first row, and on average, a sharpened forest is its trees' mean."""
    model = Sharpened(5, random_state=0).fit(rows.X, rows.two)
    for method in ("shapley", "exact_shapley"):
        found = xai.explain(model, rows.x[:1], method, data=rows.data)
        np.testing.assert_array_equal(found.predictions, found.predictions.round())
        oracle = xai.explain(model.predict_proba, rows.x[:1], "exact_shapley", data=rows.data)
        np.testing.assert_allclose(found.values, oracle.values, rtol=0, atol=1e-9)


class Clipped(ensemble.RandomForestRegressor):
    """A forest whose first amount of two is cut off on both sides."""

    limits = 0.4, 1.1

    def predict(self, X):
        out = super().predict(X)
        out[:, 0] = np.clip(out[:, 0], *self.limits)
        return out


class Rounded(ensemble.RandomForestRegressor):
    """A forest whose first amount of two is rounded."""

    def predict(self, X):
        out = super().predict(X)
        out[:, 0] = out[:, 0].round(4)
        return out


@pytest.mark.parametrize("last", [4, -1], ids=["all removed", "one column stays"])
@pytest.mark.parametrize("make", [Clipped, Rounded])
def test_a_model_is_held_against_its_trees_where_each_row_has_a_baseline(rows, make, last):
    """In every output: x lies where the trees are right, what replaces it on either side."""
    model = make(10, random_state=0).fit(rows.X, rows.amounts)
    first = ensemble.RandomForestRegressor.predict(model, rows.X)[:, 0]
    inside = (first > 0.4) & (first < 1.1)
    given = {"method": "exact_shapley", "target": "all", "players": np.array([0, 1, 2, 3, last])}
    given["removal"] = xai.removal.Baseline(rows.X[[first.argmin(), first.argmax()] * 2])
    found = xai.explain(model, rows.X[inside][:4], **given)
    oracle = xai.explain(model.predict, rows.X[inside][:4], **given)
    assert set(found.runs) == {"enumeration"}
    np.testing.assert_array_equal(found.values, oracle.values)


def test_a_model_is_held_against_its_trees_where_each_row_has_its_own_draws(rows):
    """As much is cut off above as below: the draws' mean is the trees', at the first row each."""
    model = Clipped(10, random_state=0).fit(rows.X, rows.amounts)
    first = ensemble.RandomForestRegressor.predict(model, rows.X)[:, 0]
    order = np.argsort(first)
    low, high, inside = order[0], order[-1], order[len(order) // 2 :][:4]
    model.limits = first[low] + 0.1, first[high] - 0.1
    own = rows.X[[[*inside[:2]], [low, high], [*inside[2:]], [high, low]]]
    given = {"method": "exact_shapley", "removal": xai.removal.Marginal(own)}
    found = xai.explain(model, rows.X[inside], target=0, **given)
    oracle = xai.explain(model.predict, rows.X[inside], target=0, **given)
    assert found.runs.tolist() == ["closed form for trees", "enumeration"] * 2
    np.testing.assert_allclose(found.values, oracle.values, rtol=0, atol=1e-9)


def test_one_background_row_near_certainty_costs_no_other_row_its_closed_form(rows):
    """Its log odds, of a probability rounded near 1, are off by 1e-3, and so is their mean."""
    model = linear_model.LogisticRegression().fit(rows.X[:, :1], rows.two)
    slope, start = float(model.coef_[0, 0]), float(model.intercept_[0])
    data = np.vstack([rows.data[:, :1], [[(31.9 - start) / slope]]])
    rounded = xai.explain(model.predict_proba, data[-1:], data=data, behavior=LOG_ODDS, target=1)
    assert abs(rounded.predictions[0] - 31.9) > 1e-4
    e = xai.explain(model, rows.x[:, :1], data=data, behavior=LOG_ODDS, target=1)
    assert e.ran == "closed form for a linear model"
    np.testing.assert_allclose(e.values.sum(axis=1) + e.base_values, e.predictions, atol=1e-12)
    exact = slope * (rows.x[:, 0] - data.mean())
    np.testing.assert_allclose(e.values[:, 0], exact, rtol=0, atol=1e-3)


@pytest.mark.parametrize("target", [[0, 1, 1, 0], [1, 0, 0, 1]])
def test_each_row_is_held_against_its_own_output(rows, target):
    model = Clipped(10, random_state=0).fit(rows.X, rows.amounts)
    first = ensemble.RandomForestRegressor.predict(model, rows.X)[:, 0]
    x = rows.X[(first > 0.4) & (first < 1.1)][:4]
    found = xai.explain(model, x, "exact_shapley", data=rows.data, target=target)
    closed = np.char.startswith(found.runs, "closed form")
    np.testing.assert_array_equal(closed, np.array(target) == 1)


class Capped(ensemble.RandomForestRegressor):
    """A forest whose largest amounts are cut off."""

    rows = 0

    def predict(self, X):
        self.rows += len(X)
        return np.minimum(super().predict(X), 1.1)


def capped(rows):
    """Amounts below the cap in the background, and on both sides of it in x."""
    model = Capped(10, random_state=0).fit(rows.X, rows.amount)
    below = model.predict(rows.X) < 1
    x = np.concatenate([rows.X[~below][:3], rows.X[below][-4:]])[[3, 0, 4, 5, 1, 2, 6]]
    data = rows.X[below][:9].copy()
    data[:, 4], x[4:, 4] = 0.5, 0.5  # a player less in the last rows
    return model, x, data, [1, 4, 5]


def single_precision(rows):
    """A line of float32 numbers, and rows where its large terms cancel but for rounding."""
    model = linear_model.Ridge().fit(rows.X.astype(np.float32), rows.amount.astype(np.float32))
    x = rows.X[:5].astype(np.float32)
    x[[1, 3], 0], x[[1, 3], 2] = 1e5, -1e5 * model.coef_[0] / model.coef_[2]
    return model, x, rows.data.astype(np.float32), [1, 3]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("method", ["shapley", "exact_shapley", "banzhaf"])
@pytest.mark.parametrize("make", [capped, single_precision])
def test_a_row_whose_closed_form_fails_is_estimated_and_no_other(rows, make, method, order):
    model, x, data, failing = make(rows)
    model.rows = 0
    keywords = {"data": data, "budget": 150, "tolerance": 0.05, "order": order}
    keywords |= {"budget": None} if method == "exact_shapley" else {}
    found = xai.explain(model, x, method, **keywords)
    estimated = np.flatnonzero(~np.char.startswith(found.runs, "closed"))
    np.testing.assert_array_equal(estimated, failing)
    if make is capped:
        assert found.evaluations == -(-model.rows // len(x))
    for i in range(len(x)):
        alone = xai.explain(model, x[i : i + 1], method, **keywords)
        assert_the_same_row(found[i], alone)
        assert alone.evaluations <= (keywords["budget"] or np.inf)
    if method != "banzhaf":
        total = found.values.sum(axis=1) + found.base_values
        np.testing.assert_allclose(total, found.predictions, rtol=1e-6, atol=1e-6)
    if order == 2 and method != "banzhaf":
        sums = found.interactions.sum(axis=1)
        np.testing.assert_allclose(sums, found.values, rtol=1e-6, atol=1e-6)


def assert_the_same_row(one, alone):
    """Whatever is said of a row does not depend on the rows beside it."""
    atol = 1000 * np.finfo(one.data.dtype).eps * np.nanmax(np.abs(one.data))
    np.testing.assert_allclose(one.values, alone.values, rtol=0, atol=atol)
    assert (one.ran, one.exact.tolist()) == (alone.ran, alone.exact.tolist())
    assert one.converged is None or one.converged.tolist() == alone.converged.tolist()
    assert (one.std_error is None) == (alone.std_error is None)
    if alone.std_error is not None:
        np.testing.assert_allclose(one.std_error, alone.std_error, rtol=0, atol=atol)
    if alone.interactions is not None:
        np.testing.assert_allclose(one.interactions, alone.interactions, rtol=0, atol=atol)
    assert alone.info.keys() <= one.info.keys()
    for key, told in one.info.items():
        np.testing.assert_allclose(told, alone.info.get(key, 0 * told), rtol=0, atol=atol)


def test_the_explanation_keeps_what_ran(rows, tmp_path):
    model = ensemble.RandomForestClassifier(5, random_state=0).fit(rows.X, rows.two)
    found = xai.explain(model, rows.x, data=rows.data)
    found.save(tmp_path / "e.npz")
    assert xai.load(tmp_path / "e.npz").ran == found[1].ran == "closed form for trees"
    assert "closed form for trees" in repr(found)


# ------------------------------------------------------------------------- other libraries' trees

BOOSTERS = {
    "xgboost": ("xgboost", "XGBRegressor", "amount", {}),
    "xgboost, log-odds": ("xgboost", "XGBClassifier", "two", {"behavior": LOG_ODDS}),
    "xgboost of three": (
        "xgboost",
        "XGBClassifier",
        "three",
        {"behavior": LOGIT_CONTRAST, "target": 1},
    ),
    "lightgbm": ("lightgbm", "LGBMRegressor", "amount", {}),
    "lightgbm, log-odds": ("lightgbm", "LGBMClassifier", "two", {"behavior": LOG_ODDS}),
    "lightgbm of three": (
        "lightgbm",
        "LGBMClassifier",
        "three",
        {"behavior": LOGIT_CONTRAST, "target": 1},
    ),
    "catboost": ("catboost", "CatBoostRegressor", "amount", {}),
    "catboost, log-odds": ("catboost", "CatBoostClassifier", "two", {"behavior": LOG_ODDS}),
}


@pytest.mark.parametrize("name", BOOSTERS)
def test_trees_of_other_libraries(rows, name):
    module, kind, y, keywords = BOOSTERS[name]
    pytest.importorskip("shap")
    options = {"verbose": -1, "min_child_samples": 5} if module == "lightgbm" else {}
    options |= {"verbose": False, "allow_writing_files": False} if module == "catboost" else {}
    model = getattr(pytest.importorskip(module), kind)(n_estimators=8, **options)
    X = rows.X.astype(np.float32).astype(float)  # shap reads thresholds as if x were float32
    model.fit(X, getattr(rows, y))
    found = xai.explain(model, X[:4], data=X[10:22], players=np.array([0, 1, 2, 1, 3]), **keywords)
    assert found.ran == "closed form for trees"
    oracle = xai.explain(
        output(model), X[:4], "exact_shapley", data=X[10:22], players=np.array([0, 1, 2, 1, 3]),
        **keywords,
    )  # fmt: skip
    np.testing.assert_allclose(found.values, oracle.values, rtol=0, atol=2e-5)


@pytest.mark.parametrize("zero_as_missing", [False, True])
def test_gaps_that_shap_does_not_read_are_sampled(rows, zero_as_missing):
    pytest.importorskip("shap")
    lightgbm = pytest.importorskip("lightgbm")
    X = rows.X.copy()
    X[::7, 2] = 0.0 if zero_as_missing else np.nan
    model = lightgbm.LGBMRegressor(
        n_estimators=8, min_child_samples=5, verbose=-1, zero_as_missing=zero_as_missing
    ).fit(X, rows.amount)
    assert xai.explain(model, X[:4], data=X[10:22]).ran == "enumeration"


UNREAD = {
    "lightgbm, categories": (
        "lightgbm",
        "LGBMRegressor",
        {"min_child_samples": 5, "min_data_per_group": 1, "cat_smooth": 0, "cat_l2": 0,
         "max_cat_to_onehot": 1, "verbose": -1},
        {"categorical_feature": [2, 3]},
    ),
    "xgboost, categories": (
        "xgboost",
        "XGBRegressor",
        {"enable_categorical": True, "feature_types": ["q", "q", "c", "c"]},
        {},
    ),
    "xgboost, a number for a gap": ("xgboost", "XGBRegressor", {"missing": 0.0}, {}),
    "xgboost, sparse rows": ("xgboost", "XGBRegressor", {}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_splits_that_shap_does_not_read_are_sampled(name):
    """At x and one baseline alone they may do as shap says, and not at what is mixed of both."""
    pytest.importorskip("shap")
    module, kind, options, fitted = UNREAD[name]
    make = partial(getattr(pytest.importorskip(module), kind), n_estimators=3, max_depth=3)
    take = sparse.csr_matrix if "sparse" in name else np.asarray
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = np.stack([*rng.normal(size=(2, 300)).round(), *rng.integers(0, 6, (2, 300))], axis=1)
        y = X[:, 0] * np.isin(X[:, 2], [1, 4]) + X[:, 1] * np.isin(X[:, 3], [0, 3])
        model = make(**options).fit(take(X), y, **fitted)
        x, data = take(X[:25]), take(X[30:31])
        found = xai.explain(model, x, data=data)
        oracle = xai.explain(model.predict, x, "exact_shapley", data=data)
        assert "closed form" not in found.ran
        np.testing.assert_allclose(found.values, oracle.values, rtol=0, atol=1e-5)


class ReadsWords(ensemble.RandomForestRegressor):
    """A forest that encodes words itself, as boosters take categories."""

    def predict(self, X):
        return super().predict(np.array([[len(word), size] for word, size in np.asarray(X)]))


def test_a_model_that_reads_words_itself_is_sampled():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"word": ["a", "bb", "ccc", "bb"], "size": [1.0, 2.0, 0.0, 4.0]})
    lengths = np.column_stack([table["word"].str.len(), table["size"]])
    model = ReadsWords(10, random_state=0).fit(lengths, np.array([1.0, 2.0, 5.0, 3.0]))
    found = xai.explain(model, table, data=table)
    assert found.ran == "enumeration"
    np.testing.assert_array_equal(found.predictions, model.predict(table))


@pytest.mark.parametrize("module", ["lightgbm", "xgboost", "catboost"])
def test_boosters_of_words_are_sampled(module):
    pytest.importorskip("shap")
    pd = pytest.importorskip("pandas")
    library = pytest.importorskip(module)
    rng = np.random.default_rng(0)
    words = pd.Categorical(rng.choice(["no", "some", "yes"], 90))
    table = pd.DataFrame({"size": rng.normal(size=90), "word": words})
    y = table["size"] * (table["word"] == "yes")
    if module == "lightgbm":
        model = library.LGBMRegressor(n_estimators=3, min_child_samples=5, verbose=-1)
    elif module == "xgboost":
        model = library.XGBRegressor(n_estimators=3, enable_categorical=True)
    else:
        model = library.CatBoostRegressor(
            n_estimators=3, cat_features=["word"], verbose=False, allow_writing_files=False
        )
    model.fit(table, y)
    found = xai.explain(model, table[:4], data=table[10:20])
    assert found.ran == "enumeration"
    np.testing.assert_allclose(found.predictions, model.predict(table[:4]), rtol=1e-6)


def test_a_gap_in_one_row_is_no_gap_in_others(rows):
    pytest.importorskip("shap")
    lightgbm = pytest.importorskip("lightgbm")
    X = rows.X.copy()
    X[::7, 2] = np.nan
    model = lightgbm.LGBMRegressor(n_estimators=8, min_child_samples=5, verbose=-1)
    model.fit(X, rows.amount)
    data = X[~np.isnan(X[:, 2])][:12]
    found = xai.explain(model, X[:8], data=data)
    sampled = np.flatnonzero(~np.char.startswith(found.runs, "closed"))
    np.testing.assert_array_equal(sampled, [0, 7])
    for i in range(8):
        assert_the_same_row(found[i], xai.explain(model, X[i : i + 1], data=data))


# ------------------------------------------------------------------------------------ the kernel


def test_the_kernel_as_plain_python(rows, monkeypatch):
    model = ensemble.HistGradientBoostingRegressor(
        max_iter=3, min_samples_leaf=5, categorical_features=[1]
    )
    X = rows.X.copy()
    X[:, 1] = np.random.default_rng(0).integers(0, 6, 90)
    X[::5, 0] = np.nan
    model.fit(X, rows.amount + (X[:, 1] % 2))
    x, data = X[:3], X[10:80]
    how = {"data": data, "players": np.array([0, 1, 2, -1, 1]), "order": 2}
    fast = xai.explain(model, x, "shapley", **how)
    for name, function in vars(kernel).items():
        if hasattr(function, "py_func"):
            monkeypatch.setattr(kernel, name, function.py_func)
    monkeypatch.setattr("xai.exact.trees.tree_shapley", kernel.tree_shapley)
    slow = xai.explain(model, x, "shapley", **how)
    np.testing.assert_allclose(fast.values, slow.values, rtol=0, atol=1e-13)
    np.testing.assert_allclose(fast.interactions, slow.interactions, rtol=0, atol=1e-13)


def test_counting_bits():
    words = np.random.default_rng(0).integers(2**64, size=200, dtype=np.uint64)
    words = np.concatenate([words, np.array([0, 2**64 - 1], np.uint64)])
    for word in words:
        assert kernel.count_bits(word) == kernel.count_bits.py_func(word) == int(word).bit_count()


def test_weights_are_the_formulas():
    from math import factorial as f

    shapley, coins = kernel.moments_of(of_orders, 9), kernel.moments_of(of_coins, 9)
    for a in range(9):
        for b in range(9 - a):
            assert shapley[a, b] == pytest.approx(f(a) * f(b) / f(a + b + 1), rel=1e-13)
            assert coins[a, b] == pytest.approx(0.5 ** (a + b), rel=1e-13)
    assert kernel.moments_of(of_orders, 0).tolist() == [[1.0]]  # trees without a split


@pytest.mark.parametrize(
    "masses", [of_orders, of_coins, BetaShapley(4, 1)._masses, BetaShapley(0.3, 7)._masses]
)
def test_a_semivalue_is_the_same_beside_players_who_do_nothing(masses):
    """A coalition of a of the others is one of a + 1, or of a, of one more: M(a, b) so adds up."""
    moments = kernel.moments_of(masses, 30)
    for a in range(29):
        for b in range(29 - a):
            assert moments[a, b] == pytest.approx(moments[a + 1, b] + moments[a, b + 1], rel=1e-11)


# ---------------------------------------------------------------------------------- beside shap


def test_exact_where_shap_is_not():
    """HistGradientBoosting's margin, against slow enumeration; shap's own values miss it."""
    shap = pytest.importorskip("shap")
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, 20:27]
    model = ensemble.HistGradientBoostingClassifier(max_iter=100).fit(X, y)
    x, data = X[:40], X[100:150]
    found = xai.explain(model, x, data=data, behavior=LOG_ODDS, target=1)
    oracle = xai.explain(
        model.predict_proba, x[:3], "exact_shapley", data=data, behavior=LOG_ODDS, target=1
    )
    np.testing.assert_allclose(found.values[:3], oracle.values, rtol=0, atol=1e-9)
    masker = shap.maskers.Independent(data, max_samples=len(data))
    explainer = shap.TreeExplainer(model, masker, feature_perturbation="interventional")
    peer = explainer.shap_values(x, check_additivity=False)
    margins = model.decision_function(x) - model.decision_function(data).mean()
    np.testing.assert_allclose(found.values.sum(axis=1), margins, rtol=0, atol=1e-9)
    assert np.abs(peer.sum(axis=1) - margins).max() > 1e-6
