"""Bad input gets a clear error, and changes nothing."""

from __future__ import annotations

import random
from collections import UserDict
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

import xai
from xai.removal import Baseline, Marginal, Uniform

METHODS = ["occlusion", "shapley", "kernel_shap", "lime"]


def global_random_state():
    """NumPy's and Python's own, as something that compares."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - to see that nothing else sets it
    return name, tuple(keys), *rest, random.getstate()


@pytest.fixture(autouse=True)
def nothing_changes(line, trees, mixed):
    """After each test the shared arrays, tables and the global random state are as before."""
    arrays = [line.x, line.data, trees.x, trees.data, trees.y]
    copies = [a.copy() for a in arrays]
    frame = mixed.frame.copy(deep=True)
    state = global_random_state()
    yield
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert mixed.frame.equals(frame)
    assert global_random_state() == state


def explain(line, **changes):
    given = {"model": line.model, "x": line.x[:2], "method": "shapley", "data": line.data}
    given |= changes
    return xai.explain(given.pop("model"), given.pop("x"), given.pop("method"), **given)


# --------------------------------------------------------------------------------------------- x


@pytest.mark.parametrize("shape", [(0, 4), (0,), (2, 0), (0, 0)])
def test_empty_x(line, shape):
    with pytest.raises(ValueError, match=r"(?i)x .*(empty|no rows|nothing to remove)"):
        explain(line, x=np.empty(shape))


def test_an_empty_frame(mixed):
    with pytest.raises(ValueError, match=r"(?i)x .*(empty|no rows)"):
        xai.explain(mixed.pipeline, mixed.x.iloc[:0], "shapley", data=mixed.data)


@pytest.mark.parametrize("width", [3, 5])
@pytest.mark.parametrize("method", METHODS)
def test_x_with_another_number_of_columns_than_the_model_wants(line, method, width):
    with pytest.raises(ValueError, match=f"^x has {width} columns, but the model was fitted on 4$"):
        explain(line, x=np.ones((2, width)), data=np.ones((3, width)), method=method)


def test_a_row_of_the_wrong_width(line):
    with pytest.raises(ValueError, match=r"(?s)3.*4|4.*3"):
        explain(line, x=np.ones(3), data=np.ones((3, 3)))


def test_a_frame_that_lacks_a_column(mixed):
    with pytest.raises(ValueError, match="town"):
        xai.explain(mixed.pipeline, mixed.x.drop(columns="town"), "shapley", data=mixed.data)


def test_a_frame_with_an_extra_column(mixed):
    x = mixed.x.assign(shoe=1)
    with pytest.raises(ValueError, match="shoe"):
        xai.explain(mixed.pipeline, x, "shapley", data=mixed.data.assign(shoe=1))


def test_a_frame_with_a_column_twice(mixed):
    import pandas as pd

    x = pd.concat([mixed.x, mixed.x[["age"]]], axis=1)
    with pytest.raises(ValueError, match="age"):
        xai.explain(mixed.pipeline, x, "shapley", data=mixed.data)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("column", [["age"], ["age", "town"]])
def test_a_frame_of_no_rows_as_background(mixed, column, method):
    x = mixed.x[column]
    for given in ({"data": x.iloc[:0]}, {"removal": Marginal(x.iloc[:0])}):
        with pytest.raises(ValueError, match=r"^(data|the removal) has no rows$"):
            xai.explain(len, x, method, **given)


def test_a_background_that_lacks_a_column(mixed):
    with pytest.raises(ValueError, match=r"(?s)data.*town|town.*data"):
        xai.explain(mixed.pipeline, mixed.x, "shapley", data=mixed.data.drop(columns="town"))


def test_a_background_with_an_extra_column(mixed):
    with pytest.raises(ValueError, match=r"(?s)data.*shoe|shoe.*data"):
        xai.explain(mixed.pipeline, mixed.x, "shapley", data=mixed.data.assign(shoe=1))


def test_a_series_with_another_column_than_its_background(mixed):
    row = mixed.x.iloc[0].rename({"town": "city"})
    with pytest.raises(ValueError, match=r"data lacks \['city'\] and has the extra \['town'\]"):
        xai.explain(mixed.pipeline.predict_proba, row, "shapley", data=mixed.data)


def test_a_background_of_words_for_numbers(line):
    with pytest.raises(TypeError, match=r"^data has dtype <U\d+, but x is numeric \(float64\)"):
        explain(line, data=line.data.astype(str))


def test_a_background_without_names_for_a_frame(mixed):
    """Columns are matched by name, never by position."""
    with pytest.raises((TypeError, ValueError), match="DataFrame"):
        xai.explain(mixed.pipeline, mixed.x, "shapley", data=mixed.data.to_numpy())


@pytest.mark.parametrize("method", ["shapley", "kernel_shap", "ime", "qii", "lime"])
@pytest.mark.parametrize("width", [3, 5])
def test_a_background_with_another_number_of_columns(line, method, width):
    with pytest.raises(ValueError, match=rf"(?s)data.*{width}|background.*{width}"):
        explain(line, data=np.ones((6, width)), method=method)


def test_a_background_in_the_removal_with_other_columns(line):
    with pytest.raises(ValueError, match="3"):
        explain(line, data=None, removal=Marginal(np.ones((6, 3))))


@pytest.mark.parametrize("shape", [(3, 4, 2), (3, 5)])
def test_a_background_in_the_removal_of_another_shape_than_a_frame(line, shape):
    x = pytest.importorskip("pandas").DataFrame(line.x[:2])
    told = rf"the removal has rows of shape \({shape[1]},.*but the rows of x have shape \(4,\)"
    with pytest.raises(ValueError, match=told):
        xai.explain(lambda rows: rows[0], x, "occlusion", removal=Marginal(np.ones(shape)))


@pytest.mark.parametrize("data", [np.empty((0, 4)), "abc", 7])
def test_a_background_that_is_none(line, data):
    with pytest.raises((TypeError, ValueError), match=r"data|background"):
        explain(line, data=data)


@pytest.mark.parametrize("method", METHODS)
def test_nan_in_x_where_the_model_refuses_it(line, method):
    x = line.x[:3].copy()
    x[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"(?i)nan"):
        explain(line, x=x, method=method)


@pytest.mark.parametrize("method", METHODS)
def test_a_plain_string_for_x(line, method):
    with pytest.raises(TypeError, match=r"(?i)string|str"):
        explain(line, x="a plain string", method=method)


@pytest.mark.parametrize("x", [None, 3.5, {"a": 1}, object()])
def test_x_that_is_no_batch(line, x):
    with pytest.raises((TypeError, ValueError), match=r"\bx\b"):
        explain(line, x=x)


@pytest.mark.parametrize(
    "removal", [Baseline("mean"), Baseline("max"), Baseline(0), Uniform(0.0, 1.0)], ids=repr
)
def test_a_numeric_removal_says_so_of_strings(mixed, removal):
    with pytest.raises((TypeError, ValueError), match=r"number.*town|town.*number"):
        xai.explain(mixed.pipeline, mixed.x, "shapley", data=mixed.data, removal=removal)


def test_a_numeric_removal_says_so_of_dates():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"age": [1.0, 2.0], "born": pd.to_datetime(["2000-01-01", "2001-01-01"])})
    with pytest.raises(ValueError, match=r"column 'born' holds .*or dates: use removal='marginal'"):
        xai.explain(len, frame, "shapley", removal=Baseline(0))


def test_a_continuous_neighbourhood_of_a_word_is_no_number(mixed):
    """LIME's own way with categories: drawn by frequency, the same or not."""
    explanation = xai.explain(
        mixed.pipeline, mixed.x, "lime", data=mixed.data, discretise=False, target=1
    )
    assert np.isfinite(explanation.values).all()


# ----------------------------------------------------------------------------------------- model


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change", [lambda out: out[:-1], lambda out: np.append(out, 0), np.sum])
def test_a_model_that_returns_the_wrong_number_of_rows(line, method, change):
    with pytest.raises(ValueError, match=r"(?i)rows|shape"):
        explain(line, model=lambda x: change(line.model.predict(x)), method=method)


def test_a_model_whose_number_of_outputs_changes(line):
    with pytest.raises(ValueError, match=r"(?i)output"):
        explain(line, model=lambda x: np.zeros((len(x), 2 + (len(x) > 5))), batch_size=7)


@pytest.mark.parametrize("out", [None, "word", lambda n: np.array(["a"] * n), lambda n: {"a": 1}])
def test_a_model_that_returns_no_numbers(line, out):
    with pytest.raises((TypeError, ValueError), match=r"(?i)model"):
        explain(line, model=lambda x: out(len(x)) if callable(out) else out)


def test_three_axes_of_outputs_are_refused(line):
    with pytest.raises(ValueError, match=r"(?i)shape|axes|dimension"):
        explain(line, model=lambda x: np.zeros((len(x), 2, 2)))


@pytest.mark.parametrize("kind", [np.asarray, "tensor"])
def test_outputs_of_another_shape_say_what_to_do(kind):
    """A call of one row is the library's own, as of what is left where all is removed."""
    if kind == "tensor":
        kind = pytest.importorskip("torch").tensor
    x, method = kind([[1.0, 2.0], [3.0, 4.0]]), "occlusion" if kind is np.asarray else "gradient"
    given = {"removal": "baseline"}
    with pytest.raises(ValueError, match=r"for 1 rows.*squeeze the batch, too"):
        xai.explain(lambda rows: rows[:, :1].squeeze(), x[:1], method, **given)
    with pytest.raises(ValueError, match=r"\(2, 2, 1\) for 2 rows.*: wrap it"):
        xai.explain(lambda rows: rows[..., None], x, method, **given)


def test_an_unfitted_estimator(line):
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for model in (
        LinearRegression(),
        LogisticRegression(),
        make_pipeline(StandardScaler(), LinearRegression()),
    ):
        with pytest.raises(ValueError, match=r"(?i)fit"):
            explain(line, model=model)


@pytest.mark.parametrize("model", [None, 3, "model", [1, 2], object(), np.ones(3)])
def test_an_object_that_is_no_model(line, model):
    with pytest.raises(TypeError, match=r"(?i)model"):
        explain(line, model=model)


def test_a_class_instead_of_an_instance(line):
    from sklearn.linear_model import LinearRegression

    with pytest.raises(TypeError, match=r"(?i)class|instance"):
        explain(line, model=LinearRegression)


def test_a_transformer_is_no_model(line):
    from sklearn.preprocessing import StandardScaler

    with pytest.raises(TypeError, match=r"(?i)model|predict"):
        explain(line, model=StandardScaler().fit(line.x))


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_models_own_error_is_not_swallowed(case, large, run, kind, call):
    """An error of one call reaches the caller, at the default budget too."""
    calls = []

    def model(x):
        calls.append(len(x))
        if len(calls) == call:
            raise kind("out of coffee")
        return large.model(x)

    with pytest.raises(kind, match="out of coffee"):
        run(case, large, model=model, budget=None, batch_size=100)


# ---------------------------------------------------------------------------------------- target


@pytest.mark.parametrize("target", [3, -1, 17, np.int64(3)])
def test_a_target_out_of_range(trees, target):
    with pytest.raises(ValueError, match=str(int(target))):
        xai.explain(trees.model, trees.x, "shapley", data=trees.data, target=target)


@pytest.mark.parametrize(
    ("labels", "target", "told"),
    [
        ([5, 12], 12, "12"),
        ([5, 12], [5, 12], "5"),
        ([False, True], True, "True"),
        ([1.0, 2.0], 2.0, "2.0"),
    ],
)
def test_a_class_that_is_no_index_is_asked_for_by_label(labels, target, told):
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(random_state=0).fit(np.eye(2), labels)
    with pytest.raises((TypeError, ValueError), match=rf"xai\.Label\({told}\)"):
        xai.explain(tree, np.eye(2), "occlusion", data=np.eye(2), target=target)


@pytest.mark.parametrize("target", ["brich", xai.Label("brich")])
def test_an_unknown_label_names_the_nearest(trees, target):
    with pytest.raises(ValueError, match="birch"):
        xai.explain(trees.model, trees.x, "shapley", data=trees.data, target=target)


@pytest.mark.parametrize("target", [[0, 1], [0, 1, 2, 0], [[0, 1, 2]], [0, 1, 3], [0, -1, 2]])
def test_targets_per_row_that_do_not_fit(trees, target):
    with pytest.raises(ValueError, match="target"):
        xai.explain(trees.model, trees.x, "shapley", data=trees.data, target=target)


@pytest.mark.parametrize(("target", "bad"), [([0, -1, 2], -1), ([0, 3, 2], 3), ([2, 4, -1], 4)])
def test_the_first_target_that_does_not_fit_is_named(trees, target, bad):
    with pytest.raises(ValueError, match=f"^target {bad} is out of range"):
        xai.explain(trees.model, trees.x, "shapley", data=trees.data, target=target)


@pytest.mark.parametrize("target", [1.0, None, True, [0.5, 1.0, 2.0], {"a": 1}])
def test_a_target_of_another_kind(trees, target):
    with pytest.raises((TypeError, ValueError), match="target"):
        xai.explain(trees.model, trees.x, "shapley", data=trees.data, target=target)


@pytest.mark.parametrize("k", [0, -1, 4])
def test_top_of_more_classes_than_there_are(trees, k):
    with pytest.raises(ValueError, match=r"Top|3"):
        xai.explain(trees.model, trees.x, "shapley", data=trees.data, target=xai.Top(k))


# --------------------------------------------------------------------------------------- players


@pytest.mark.parametrize("groups", [[[0, 1], [2]], [[0], [1]], [[0, 1, 2]]])
def test_groups_that_do_not_cover_x(line, groups):
    with pytest.raises(ValueError, match=r"(?i)cover|missing|no group|3"):
        explain(line, players=groups)


def test_groups_of_names_that_do_not_cover_x_name_the_column(mixed):
    with pytest.raises(ValueError, match="town"):
        xai.explain(
            mixed.pipeline, mixed.x, "shapley", data=mixed.data,
            players=[["age", "income"], ["grade"]],
        )  # fmt: skip


def test_groups_that_overlap(line):
    with pytest.raises(ValueError, match=r"1"):
        explain(line, players=[[0, 1], [1, 2, 3]])


@pytest.mark.parametrize("groups", [[[0, 1, 2, 3], [4]], [[0, 1, 2, 3, -9]]])
def test_groups_of_columns_that_x_lacks(line, groups):
    with pytest.raises(ValueError, match=r"4|-9"):
        explain(line, players=groups)


def test_an_unknown_name_in_a_group(mixed):
    with pytest.raises(ValueError, match="incom"):
        xai.explain(
            mixed.pipeline, mixed.x, "shapley", data=mixed.data,
            players=[["age", "incom"], ["town", "grade", "income"]],
        )  # fmt: skip


def test_names_for_an_array_without_names(line):
    with pytest.raises((TypeError, ValueError), match="age"):
        explain(line, players=[["age"], ["b", "c", "d"]])


@pytest.mark.parametrize("shape", [(3,), (5,), (3, 4), (2, 3), (1, 2, 4)])
def test_ids_of_another_shape(line, shape):
    with pytest.raises(ValueError, match=r"(?i)players|shape"):
        explain(line, players=np.zeros(shape, dtype=int))


@pytest.mark.parametrize(
    "ids", [np.array([0.5, 1, 2, 3]), np.array([-2, 0, 1, 2]), np.array([-1, -1, -1, -1])]
)
def test_ids_that_are_none(line, ids):
    with pytest.raises((TypeError, ValueError), match=r"(?i)players|ids|integer"):
        explain(line, players=ids)


@pytest.mark.parametrize("players", [[], [[], [0, 1, 2, 3]], "elemnts", 3, object()])
def test_players_of_another_kind(line, players):
    with pytest.raises((TypeError, ValueError), match=r"(?i)players|group|empty|elements"):
        explain(line, players=players)


@pytest.mark.parametrize("players", [xai.players.Patches(2), xai.players.Windows(2)])
def test_images_without_channels_are_told_how_to_be_images(players):
    x = np.ones((2, 6, 6))
    told = r"are for images .* rows of \(6, 6\): pass x\[\.\.\., None\] .*x\[None\].*group ids"
    with pytest.raises(ValueError, match=told):
        xai.explain(len, x, "occlusion", players=players, removal=Baseline(0))
    model = lambda x: x.reshape(len(x), -1).sum(axis=1)  # noqa: E731
    e = xai.explain(model, x[..., None], "occlusion", players=players, removal=Baseline(0))
    np.testing.assert_array_equal(e.values, np.full_like(e.values, 4.0))


def test_patches_are_for_images(line):
    with pytest.raises(ValueError, match=r"(?i)image"):
        explain(line, players=xai.players.Patches(2))


# ---------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("method", ["loss_shap", "permutation_test", "sage"])
def test_a_loss_without_labels(trees, method):
    with pytest.raises(ValueError, match=r"\by="):
        xai.explain(trees.model, trees.x, method, data=trees.data)


@pytest.mark.parametrize("clip", ["a", None, 1, -0.1, True])
def test_a_clip_that_is_no_probability(trees, clip):
    with pytest.raises(ValueError, match="clip must be a probability below 1, not "):
        xai.explain(
            trees.model,
            trees.x,
            "loss_shap",
            data=trees.data,
            y=["birch"] * len(trees.x),
            clip=clip,
        )


@pytest.mark.parametrize("noise", ["a", -1, np.inf])
def test_a_noise_of_inpainting_that_is_none(noise):
    x = np.ones((1, 1, 8, 8))
    with pytest.raises(ValueError, match="noise must be a finite number, and not negative"):
        xai.explain(lambda x: x.sum(axis=(1, 2, 3)), x, "occlusion", removal="inpaint", noise=noise)


@pytest.mark.parametrize("method", ["loss_shap", "permutation_test", "sage"])
def test_labels_of_another_number(trees, method):
    with pytest.raises(ValueError, match=r"(?s)\by\b.*2.*3|\by\b.*3.*2"):
        xai.explain(trees.model, trees.x, method, data=trees.data, y=trees.y[:2])


def test_a_label_that_the_model_does_not_know(trees):
    with pytest.raises(ValueError, match="oak"):
        xai.explain(trees.model, trees.x, "loss_shap", data=trees.data, y=["all", "oak", "birch"])


def test_indices_are_no_labels_for_an_estimator_of_strings(trees):
    with pytest.raises(ValueError, match=r"(?i)label|class"):
        xai.explain(trees.model, trees.x, "loss_shap", data=trees.data, y=np.array([0, 1, 2]))


@pytest.mark.parametrize("y", [[0, 1, 3], [0, -1, 2]])
def test_an_index_that_a_callable_does_not_have(trees, y):
    with pytest.raises(ValueError, match=r"3|-1"):
        xai.explain(trees.model.predict_proba, trees.x, "loss_shap", data=trees.data, y=np.array(y))


def test_nan_among_the_labels(line):
    with pytest.raises(ValueError, match=r"(?i)nan|finite"):
        explain(line, method="loss_shap", y=np.array([1.0, np.nan]))


# --------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("budget", [0, -5, 2.5, "many", True, np.nan])
def test_a_budget_of_no_use(line, budget):
    with pytest.raises((TypeError, ValueError), match="budget"):
        explain(line, budget=budget)


@pytest.mark.parametrize("size", [0, -5, 2.5, "many"])
def test_a_batch_size_of_no_use(line, size):
    with pytest.raises((TypeError, ValueError), match="batch_size"):
        explain(line, batch_size=size)


@pytest.mark.parametrize("tolerance", [0, -0.1, "small", np.nan])
def test_a_tolerance_of_no_use(line, tolerance):
    with pytest.raises((TypeError, ValueError), match="tolerance"):
        explain(line, tolerance=tolerance)


@pytest.mark.parametrize("seed", [1.5, "one", None])
def test_a_seed_of_no_use(line, seed):
    with pytest.raises((TypeError, ValueError), match="seed"):
        explain(line, seed=seed)


@pytest.mark.parametrize("jobs", [0, 1.5, "all"])
def test_jobs_of_no_use(line, jobs):
    with pytest.raises((TypeError, ValueError), match="n_jobs"):
        explain(line, n_jobs=jobs)


@pytest.mark.parametrize("method", [3, None, object(), ["shapley"]])
def test_a_method_of_another_kind(line, method):
    with pytest.raises((TypeError, ValueError), match="method"):
        explain(line, method=method)


@pytest.mark.parametrize(
    ("third", "wrong", "right"),
    [("removal", "marginl", "marginal"), ("behavior", "margn", "margin"),
     ("summary", "shaply", "shapley")],
)  # fmt: skip
def test_an_unknown_third_names_the_nearest(line, third, wrong, right):
    with pytest.raises(ValueError, match=right):
        explain(line, **{third: wrong})


@pytest.mark.parametrize("third", ["removal", "behavior", "summary"])
@pytest.mark.parametrize("wrong", [3, [1]])
def test_a_third_of_another_kind(line, third, wrong):
    with pytest.raises(TypeError, match=third):
        explain(line, **{third: wrong})


def test_thirds_in_each_others_place(line):
    with pytest.raises(TypeError, match="removal"):
        explain(line, removal=xai.behavior.Margin())
    with pytest.raises(TypeError, match="summary"):
        explain(line, summary=Baseline(0))
    with pytest.raises(TypeError, match="behavior"):
        explain(line, behavior=xai.summary.Shapley())


@pytest.mark.parametrize("p", [0, 1, -0.5, 1.5])
def test_a_probability_of_keeping_out_of_range(line, p):
    with pytest.raises(ValueError, match=r"\bp\b"):
        explain(line, method="mean_when_included", p=p)


def test_a_kernel_that_gives_no_weights(line):
    with pytest.raises(ValueError, match=r"(?i)kernel|weights"):
        explain(line, summary=xai.summary.LinearFit(kernel=lambda Z: np.ones(3)))
    with pytest.raises(ValueError, match=r"(?i)kernel|weights"):
        explain(line, summary=xai.summary.LinearFit(kernel=lambda Z: -np.ones(len(Z))))


def test_an_unknown_kernel_or_regularizer_names_the_nearest(line):
    with pytest.raises(ValueError, match="exponential"):
        explain(line, summary=xai.summary.LinearFit(kernel="exponental"))
    with pytest.raises(ValueError, match="ridge"):
        explain(line, summary=xai.summary.LinearFit(kernel="shapley", regularizer="rigde"))


def test_a_game_of_no_players():
    with pytest.raises(ValueError, match="n_players"):
        xai.Game.from_function(lambda Z: np.zeros(len(Z)), n_players=0)
    with pytest.raises(TypeError, match="a function of coalitions, not ndarray"):
        xai.Game.from_function(np.zeros(8), n_players=3)


@dataclass
class Returned:
    value: np.ndarray


RETURNED = {  # what a set function may return, and what is said of it
    "nothing": (lambda Z: None, "returned None"),
    "a number": (lambda Z: 1.0, r"of shape \(\) for 2 rows"),
    "a dict": (lambda Z: {"value": Z.sum(axis=1)}, "returned a dict"),
    "a dataclass": (lambda Z: Returned(Z.sum(axis=1)), "returned a Returned: say which of its"),
    "a generator": (lambda Z: (z.sum() for z in Z), "returned <generator"),
    "ragged": (lambda Z: [[1.0] * (1 + i) for i in range(len(Z))], "parts do not have the same"),
    "no outputs": (lambda Z: np.empty((len(Z), 0)), "no outputs"),
    "another width": (lambda Z: np.ones((len(Z), 1 + (len(Z) > 2))), "1 outputs in one call and 2"),
    "masked": (lambda Z: np.ma.masked_less(Z.sum(axis=1), 1), "a masked array"),
    "NaN": (
        lambda Z: np.where(Z[:, 1] & ~Z[:, 2], np.nan, 1.0),
        r"NaN or inf for the coalition of players \[1\]",
    ),
}


@pytest.mark.parametrize("returned", RETURNED)
def test_what_a_set_function_returns_is_read_as_a_models_outputs_are(returned):
    v, told = RETURNED[returned]
    with pytest.raises((TypeError, ValueError), match=f"the set function .*{told}"):
        xai.summary.Shapley()(xai.Game.from_function(v, n_players=3))


def test_a_set_function_may_return_tensors_fractions_and_half_precision():
    torch = pytest.importorskip("torch")
    weights = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    functions = [
        lambda Z: torch.as_tensor(Z).float() @ weights,
        lambda Z: (torch.as_tensor(Z).float() @ weights).bfloat16(),
        lambda Z: [Fraction(int(z @ [1, 2, 4])) for z in Z],
    ]
    for v in functions:
        values = xai.summary.Shapley()(xai.Game.from_function(v, n_players=3)).values
        np.testing.assert_allclose(values, [1, 2, 4])


# ------------------------------------------------------------------------ what a message must say


def total(x):
    return np.asarray(x.sum(axis=1)).ravel() * 1.0


@pytest.mark.parametrize("where", ["x", "data", "removal"])
def test_a_masked_array_is_refused(line, where):
    """Behind a mask are numbers that nobody means."""
    masked = np.ma.array(line.x[:3], mask=line.x[:3] > 0)
    given = {"removal": {"removal": Marginal(masked)}}.get(where, {where: masked})
    with pytest.raises(TypeError, match="masked array; fill it"):
        explain(line, **given)


def test_a_masked_attribution_is_refused(line):
    a = np.ma.array(line.x[:3], mask=line.x[:3] > 0)
    with pytest.raises(TypeError, match="the attribution is a masked array: fill it"):
        xai.metrics.complexity(None, None, a)
    with pytest.raises(TypeError, match="the reference is a masked array: fill it"):
        xai.metrics.rank_correlation(None, None, a.data, reference=a)
    unmasked = np.ma.array(a.data)
    assert xai.metrics.complexity(None, None, unmasked).mean() > 0


@pytest.mark.parametrize("classes", [3, 4])
@pytest.mark.parametrize("wrapped", ["alone", "pipeline", "search"])
def test_scores_of_pairs_of_classes_are_not_taken_for_scores_of_classes(classes, wrapped):
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    x = np.random.default_rng(0).normal(size=(40, 3))
    model = SVC(decision_function_shape="ovo", random_state=0)
    if wrapped == "pipeline":
        model = make_pipeline(model)
    if wrapped == "search":
        model = GridSearchCV(model, {"C": [1.0]}, cv=2)
    model.fit(x, np.arange(40) % classes)
    with pytest.raises(ValueError, match=r"scores pairs of classes, .*'ovr'"):
        xai.explain(model, x[:2], "occlusion", data=x)


def test_scores_of_two_classes_are_no_pairs():
    from sklearn.svm import SVC

    x = np.random.default_rng(0).normal(size=(40, 3))
    model = SVC(decision_function_shape="ovo", random_state=0).fit(x, x[:, 0] > 0)
    explanation = xai.explain(model, x[:2], "occlusion", data=x)
    np.testing.assert_array_equal(explanation.target, model.predict(x[:2]))


def test_a_label_is_none_of_outputs_that_are_not_one_for_each_label():
    class Positive:
        """Two classes, of which it gives the second one's probability."""

        classes_ = ("no", "yes")

        def predict_proba(self, x):
            return np.full((len(x), 1), 0.5)

    with pytest.raises(ValueError, match="yes"):
        xai.explain(Positive(), np.ones((1, 2)), "occlusion", removal="baseline", target="yes")


@pytest.mark.parametrize("names", [["a"], ["a"] * 5, "abcd"])
def test_names_that_do_not_fit_are_refused_before_anything_is_evaluated(line, counting, names):
    model = counting(line.model.predict)
    kind, told = (TypeError, "a list") if names == "abcd" else (ValueError, f"{len(names)} names")
    with pytest.raises(kind, match=f"feature_names .*{told}"):
        explain(line, model=model, feature_names=names)
    assert model.rows == 0


def test_names_of_outputs_are_a_list(trees):
    for given in ("abc", 5, iter("abc")):
        for name in ("output_names", "feature_names"):
            with pytest.raises(TypeError, match=f"{name} must be a list of names, not "):
                xai.explain(trees.model, trees.x, "occlusion", data=trees.data, **{name: given})


def test_a_model_that_masks_what_it_returns(line):
    model = lambda x: np.ma.masked_greater(x[:, 0], -10.0)  # noqa: E731
    with pytest.raises(TypeError, match="masked array"):
        explain(line, model=model)


def test_a_model_that_returns_nothing():
    with pytest.raises(TypeError, match=r"model returned None.*return missing"):
        xai.explain(lambda x: None, np.eye(2), "occlusion", removal=Baseline(0))


@pytest.mark.parametrize("cell", [[1.0, 2.0], {"a": 1}, np.zeros(2)], ids=["list", "dict", "array"])
def test_a_cell_that_is_a_collection_is_named_by_its_column(cell):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"age": [1.0, 2.0], "path": [cell, cell]})
    with pytest.raises(TypeError, match=r"column 'path' holds a (list|dict|ndarray)"):
        xai.explain(len, frame, "shapley", data=frame)


@pytest.mark.parametrize("kind", ["MultiOutputClassifier", "ClassifierChain"])
def test_a_model_of_several_classes_is_told_what_to_pass(kind):
    from sklearn import multioutput
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(0).normal(size=(20, 2))
    model = getattr(multioutput, kind)(LogisticRegression()).fit(x, x > 0)
    told = r"lambda x: model.predict_proba\(x\)\[0\], or model.predict_proba where that"
    with pytest.raises(TypeError, match=told):
        xai.explain(model, x[:2], "occlusion", data=x)
    one = model.predict_proba if kind == "ClassifierChain" else lambda x: model.predict_proba(x)[0]
    xai.explain(one, x[:2], "occlusion", data=x)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        ("MultiOutputClassifier", lambda model: lambda x: model.predict(x)[:, 0] == 1),
        ("ClassifierChain", lambda model: model.decision_function),
    ],
)
def test_several_classes_without_probabilities_are_told_what_to_pass(kind, call):
    from sklearn import multioutput
    from sklearn.svm import LinearSVC

    x = np.random.default_rng(0).normal(size=(20, 2))
    y = np.stack([x[:, 0] > 0, np.digitize(x[:, 1], [0, 1])], axis=1).astype(int)
    y = y if kind == "MultiOutputClassifier" else (y > 0).astype(int)
    model = getattr(multioutput, kind)(LinearSVC(random_state=0)).fit(x, y)
    told = {
        "MultiOutputClassifier": r"lambda x: model.predict\(x\)\[:, 0\] == label",
        "ClassifierChain": "example model.decision_function where that is one",
    }
    with pytest.raises(TypeError, match=told[kind]):
        xai.explain(model, x[:2], "occlusion", data=x)
    xai.explain(call(model), x[:2], "occlusion", data=x)


@pytest.mark.parametrize(
    ("give", "told"),
    [
        (lambda n: ["cat"] * n, "returned 'cat'; expected numbers"),
        (lambda n: [{"label": "cat", "score": 0.5}] * n, r"returned \{'label': 'cat'"),
        (lambda n: [0.5, None][:n], "returned None; expected numbers"),
        (lambda n: (0.5 for _ in range(n)), "returned <generator"),
        (lambda n: np.zeros(n, "M8[s]"), "returned values of dtype datetime64"),
        (lambda n: (np.zeros((n, 2)), None), "returned a tuple whose parts do not have the same"),
        (lambda n: [[0.0], [0.0, 1.0]][:n], "returned a list whose parts do not have the same"),
    ],
    ids=["labels", "dicts", "missing", "generator", "dates", "a tuple", "ragged"],
)
def test_what_a_model_returned_that_is_no_number_is_shown(give, told):
    with pytest.raises((TypeError, ValueError), match=told):
        xai.explain(lambda x: give(len(x)), np.eye(2), "occlusion", removal=Baseline(0))


@pytest.mark.parametrize("kind", ["x", "data", "baseline"])
def test_ragged_rows_are_named(kind):
    ragged = [[1.0, 2.0], [3.0]]
    x = ragged if kind == "x" else np.eye(2)
    data = ragged if kind == "data" else None
    removal = Baseline(ragged if kind == "baseline" else 0)
    with pytest.raises(ValueError, match=f"rows of .*{kind} do not have the same shape.*1 or 2"):
        xai.explain(total, x, "occlusion", removal=removal, data=data)


def test_tensors_of_several_inputs_are_no_batch():
    torch = pytest.importorskip("torch")
    both = (torch.ones(4, 3), torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"rows of x do not have the same shape.*8 or 12") as told:
        xai.explain(total, both, "occlusion", removal=Baseline(0))
    assert "Several inputs of a model are joined" in str(told.value)

    class Pair(torch.nn.Module):
        def forward(self, x, y):
            return x.sum(dim=1) + y.sum(dim=1)

    with pytest.raises(TypeError, match="required positional argument: 'y'") as told:
        xai.explain(Pair(), torch.ones(4, 3), "occlusion", removal=Baseline(0))
    assert "Several inputs of a model are joined" in told.value.__notes__[0]


def test_one_image_that_is_taken_for_several_rows_is_told_of():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(32, 2))
    image = torch.rand(1, 6, 6)
    assert xai.explain(net, image[None], "gradient").values.shape == (1, 6, 6)
    with pytest.raises(RuntimeError) as told:
        xai.explain(net, image, "gradient")
    (note,) = told.value.__notes__
    assert note == (
        "x of shape (1, 6, 6) is a batch of 1 rows: one image is a batch of one, x[None]"
    )


@pytest.mark.parametrize("axis", ["last", 1.0, True])
def test_a_channel_axis_that_is_no_integer(axis):
    with pytest.raises(TypeError, match=r"channel_axis must be 1 .*-1"):
        xai.explain(total, np.zeros((1, 4, 4, 3)), "occlusion", channel_axis=axis)
    with pytest.raises(TypeError, match=r"channel_axis must be 1 .*-1"):
        xai.metrics.pointing_game(None, None, np.zeros((1, 4, 4, 3)), mask=[1], channel_axis=axis)


def test_a_channel_axis_that_the_attributions_lack():
    """An axis beyond the last is no other one counted round."""
    a, mask = np.ones((1, 4, 4, 3)), np.ones((4, 4), bool)
    assert xai.metrics.relevance_mass(None, None, a, mask=mask, channel_axis=-1).mean() == 1
    with pytest.raises(ValueError, match="does not fit the attributions"):
        xai.metrics.relevance_mass(None, None, a, mask=mask, channel_axis=7)


def test_a_method_may_name_its_parts(line):
    named = xai.Method(removal="marginal", behavior="prediction", summary="banzhaf")
    one = explain(line, method=named)
    assert (one.removal, one.summary) == ("Marginal()", repr(xai.summary.Banzhaf()))
    with pytest.raises(ValueError, match="marginal"):
        explain(line, method=xai.Method(removal="marginl"))
    with pytest.raises(TypeError, match=r"summary must be an xai\.summary object"):
        explain(line, method=xai.Method(summary=xai.summary.Shapley))
    with pytest.raises(TypeError, match="has no behavior"):
        explain(line, method=xai.Method(behavior=None))


@pytest.mark.parametrize("kind", ["array", "list", "tensor", "sparse"])
def test_a_background_of_other_columns_that_the_removal_does_not_use(kind):
    from scipy import sparse

    x, data = np.eye(3), np.ones((2, 4))
    if kind == "tensor":
        torch = pytest.importorskip("torch")
        x, data = torch.tensor(x), torch.tensor(data)
    elif kind == "sparse":
        x, data = sparse.csr_array(x), sparse.csr_array(data)
    elif kind == "list":
        data = data.tolist()
    with pytest.raises(ValueError, match=r"data has rows of shape \(4,\)"):
        xai.explain(total, x, "occlusion", removal=Baseline(0), data=data)


def test_a_frame_as_background_of_an_array_that_needs_none(mixed):
    with pytest.raises(ValueError, match="DataFrame"):
        xai.explain(total, np.eye(4), "occlusion", removal=Baseline(0), data=mixed.data)


# ------------------------------------------------------------------------------------------ texts


def lengths(texts):
    assert isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return np.array([float(len(text)) for text in texts])


@pytest.mark.parametrize("kind", ["array", "object array", "pandas", "polars"])
def test_strings_that_may_be_texts_or_a_row_are_refused_with_a_hint(kind):
    """One row of string columns, as any 1-D x, or a batch of texts: nothing says which."""
    x = {"array": np.array, "object array": lambda v: np.array(v, object)}.get(kind)
    x = (x or pytest.importorskip(kind).Series)(["good film", "bad film"])
    for removal in (None, Baseline(0)):
        with pytest.raises(TypeError, match=r"one row of string columns.*list\(x\)"):
            xai.explain(lengths, x, "shapley", removal=removal)


def test_texts_have_no_background():
    with pytest.raises(ValueError, match=r"data=.*texts"):
        xai.explain(lengths, ["good film"], "shapley", data=["a film"])


@pytest.mark.parametrize("method", ["ime", "qii", "loss_shap", "sage", "permutation_test"])
def test_a_method_that_is_not_for_texts_says_so(method):
    with pytest.raises(ValueError, match=rf"{method}.*not for texts.*Baseline\(0\)"):
        xai.explain(lengths, ["good film"], method, y=[1.0])


@pytest.mark.parametrize("method", ["sobol", "rise"])
def test_a_method_of_soft_masks_does_not_ask_texts_for_another_removal(method):
    with pytest.raises(ValueError, match=rf"{method}.*not for texts.*such as 'shapley'$"):
        xai.explain(lengths, ["good film"], method)


@pytest.mark.parametrize(
    "removal",
    ["marginal", "permuted", "uniform", Uniform(0, 1), Baseline(3), Baseline("mean"),
     Baseline(np.zeros(2))],
    ids=repr,
)  # fmt: skip
def test_a_removal_that_is_not_for_texts_says_so(removal):
    with pytest.raises(ValueError, match=r"texts"):
        xai.explain(lengths, ["good film"], "shapley", removal=removal)
    if isinstance(removal, Uniform):  # the removal of the user's own method is never replaced
        with pytest.raises(ValueError, match=r"texts"):
            xai.explain(lengths, ["good film"], xai.Method(removal=removal))


def test_a_text_pipeline_refuses_what_is_no_list_of_texts():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["good", "bad"], [1, 0])
    with pytest.raises(TypeError, match="list of strings"):
        xai.explain(model, np.array([["good film", "bad film"]]), "shapley")
    for x in ([], np.array([], str)):
        with pytest.raises(TypeError, match=r"list of strings.* x is an empty"):
            xai.explain(model, x, "shapley")
    missing = pytest.importorskip("pandas").Series(["good film", None])
    for x in (["good film", None], np.array(["good film", None], object), missing):
        with pytest.raises(TypeError, match=r"list of strings.*row 1 is (None|nan)"):
            xai.explain(model, x, "shapley")


@pytest.mark.parametrize("kind", ["objects", "frame", "texts"])
def test_a_module_says_that_it_takes_numbers(kind):
    torch = pytest.importorskip("torch")
    x, data = (np.array([[word, "b"]], object) for word in "ac")
    if kind == "frame":
        pd = pytest.importorskip("pandas")
        x, data = (pd.DataFrame(rows, columns=["0", "1"]) for rows in (x, data))
    elif kind == "texts":
        x, data = ["good film", "bad film"], None
    wanted = "texts.*tokenizes" if kind == "texts" else "column '0' .*strings"
    with pytest.raises(TypeError, match=f"module takes numbers.*{wanted}"):
        xai.explain(torch.nn.Linear(2, 1), x, "occlusion", data=data)


# -------------------------------------------------------------------- values that cannot be held


def test_values_that_a_columns_dtype_cannot_hold_are_named():
    pd = pytest.importorskip("pandas")

    def model(frame):
        return np.zeros(len(frame))

    seconds = pd.DataFrame({"c": pd.to_datetime(["2020-01-01"]).astype("datetime64[s]")})
    half = pd.DataFrame({"c": pd.to_datetime(["2020-01-01 00:00:00.5"])})
    words = pd.DataFrame({"c": pd.Series(["u"], dtype="string")})
    for x, data in [(seconds, half), (words, pd.DataFrame({"c": [2]}))]:
        with pytest.raises(ValueError, match=r"column 'c' of x has the dtype"):
            xai.explain(model, x, "occlusion", data=data)


@pytest.mark.parametrize("code", [-1, 99, 0.5, np.nan])
def test_a_removal_of_ones_own_that_makes_up_a_code(mixed, code):
    with pytest.raises(ValueError, match=r"column '(town|grade)' the value .*codes from 0 to 2"):
        xai.explain(
            mixed.pipeline, mixed.x[["age", "income", "town", "grade"]], "occlusion",
            data=mixed.data, removal=lambda x, kept: np.where(kept | (np.arange(4) < 2), x, code),
        )  # fmt: skip


@pytest.mark.parametrize("code", [-1, 99])
def test_a_removal_of_ones_own_that_makes_up_a_token(code):
    with pytest.raises(ValueError, match="codes from 0 to 3"):
        xai.explain(
            lengths, ["good film"], "occlusion", removal=lambda x, kept: np.where(kept, x, code)
        )


def test_a_removal_of_ones_own_that_returns_no_rows(line):
    with pytest.raises(TypeError, match="returned a list"):
        explain(line, removal=lambda x, kept: x.tolist())


def test_a_removal_of_ones_own_that_returns_a_frame():
    pd = pytest.importorskip("pandas")
    x = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    with pytest.raises(TypeError, match="returned a DataFrame; expected rows like those"):
        xai.explain(
            lambda z: z["a"], x, "occlusion", removal=lambda x, kept: pd.DataFrame(x * kept)
        )


def test_a_uniform_range_without_an_integer():
    with pytest.raises(ValueError, match=r"no integer lies between 0\.2 and 0\.8"):
        xai.explain(total, np.array([[1, 2]]), "ime", removal=Uniform(0.2, 0.8))


def test_a_method_of_soft_masks_refuses_whole_coalitions_before_any_is_evaluated(line):
    seen = []

    def model(x):
        seen.append(len(x))
        return x.sum(axis=1)

    with pytest.raises(ValueError, match="whole coalitions only"):
        xai.explain(model, line.x[:3], "sobol", removal=lambda x, kept: x * kept)
    assert not seen


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (["good film"], "x holds texts"),
        (sparse.csr_array(np.eye(3)), "x holds sparse rows"),
        (np.array([["Rome", 1.0], ["Oslo", 2.0]], object), "x holds categories"),
    ],
)
@pytest.mark.parametrize("budget", [None, 2])
def test_a_method_of_soft_masks_refuses_what_cannot_be_mixed_likewise(x, told, budget):
    """Whatever the budget: with more of it there would be nothing to mix either."""
    seen = []

    def model(rows):
        seen.append(len(rows))
        return np.zeros(len(rows))

    removal = Marginal(x) if isinstance(x, np.ndarray) else Baseline(0)
    with pytest.raises(ValueError, match=f"soft masks mix amounts, and {told}"):
        xai.explain(model, x, summary=xai.summary.Sobol(), removal=removal, budget=budget)
    assert not seen


@pytest.mark.parametrize(("method", "options"), [("c_lime", {}), ("lime", {"discretise": False})])
def test_slopes_are_of_columns_and_not_of_groups(line, method, options):
    with pytest.raises(ValueError, match="columns, not groups"):
        xai.explain(
            line.model, line.x, method, data=line.data, players=[[0, 1], [2], [3]], **options
        )


@pytest.mark.parametrize("summary", ["gradient", xai.summary.LinearFit(loss="gradient")])
def test_what_takes_gradients_is_told_and_not_the_method_whose_summary_it_replaces(line, summary):
    with pytest.raises(TypeError, match=r"^(Gradient|LinearFit)\(.*\) needs gradients"):
        xai.explain(line.model, line.x, "shapley", removal="baseline", summary=summary)


@pytest.mark.parametrize("columns", ["ab", "a", 0])
def test_categorical_columns_are_a_list(columns):
    pd = pytest.importorskip("pandas")
    x = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    with pytest.raises(TypeError, match=f"categorical must be a list of columns, not {columns!r}"):
        xai.explain(lambda z: z["a"], x, "occlusion", data=x, categorical=columns)


def test_records_are_no_table():
    with pytest.raises(TypeError, match="x is a list of dicts; pass a DataFrame"):
        xai.explain(total, [{"a": 1.0}, {"a": 2.0}], "occlusion", removal=Baseline(0))
    with pytest.raises(TypeError, match=r"x\['a'\]. Several inputs of a model are joined"):
        xai.explain(total, {"a": [1.0], "b": [2.0]}, "occlusion", removal=Baseline(0))


def test_what_a_tokenizer_gives_is_passed_as_its_ids():
    encoded = UserDict(attention_mask=[[1, 1], [1]], input_ids=[[1, 2], [3]])
    message = r"x is a UserDict; .* such as x\['input_ids'\].*attention_mask=\(ids != pad_id\)"
    with pytest.raises(TypeError, match=message):
        xai.explain(total, encoded, "occlusion", removal=Baseline(0))


@pytest.mark.parametrize("method", ["permutation_test", "sage"])
def test_a_data_set_has_the_same_players_in_every_row(line, method):
    x, players = line.x[:2], np.array([[0, 0, 1, 1], [0, 1, 1, 1]])
    with pytest.raises(ValueError, match="a data-set method needs the same players in every row"):
        xai.explain(line.model, x, method, data=line.data, y=np.zeros(2), players=players)


def test_a_series_with_its_channels_last_is_told_how_to_turn_it():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 5), torch.nn.Flatten(), torch.nn.LazyLinear(2))
    net(torch.ones(1, 2, 9))
    with pytest.raises(RuntimeError) as told:
        xai.explain(net, torch.ones(2, 9, 2), "gradcam")
    assert (
        "(2, 9, 2): where channels are last, pass x.transpose(0, 2, 1)" in told.value.__notes__[0]
    )


def test_texts_have_no_axis_of_channels():
    with pytest.raises(ValueError, match="x are texts, which have no axis of channels"):
        xai.explain(lambda t: np.array([len(one) for one in t]), ["a b"], "occlusion",
                    removal="baseline", channel_axis=0)  # fmt: skip


def test_a_mask_of_steps_is_told_what_to_pass():
    x, mask = np.ones((2, 3, 9)), np.zeros((2, 9))
    mask[:, :4] = 1
    model = lambda x: x[:, :, :4].sum(axis=(1, 2))  # noqa: E731
    e = xai.explain(model, x, "occlusion", removal=Baseline(0))
    with pytest.raises(ValueError, match="without their channels: pass channel_axis="):
        xai.metrics.roc_auc(model, x, e, mask=mask)
    assert xai.metrics.roc_auc(model, x, e, mask=mask, channel_axis=1).mean() == 1
    steps = xai.explain(model, x, "occlusion", removal=Baseline(0), channel_axis=1)
    assert xai.metrics.relevance_mass(model, x, steps, mask=mask).mean() == 1
    with pytest.raises(ValueError, match=r"mosaics of images, not for rows of places \(9,\)"):
        xai.metrics.grid_pointing(model, x, steps, cell=0)


@pytest.mark.parametrize(
    ("method", "setting", "message"),
    [
        ("lime", {"width": "a"}, "width must be a number, not 'a'"),
        ("lime", {"kernel": "unifrm"}, "'uniform'"),
        ("shapley", {"estimator": "kernal"}, "'kernel'"),
        ("shapley", {"order": 3}, "order must be 1 or 2, not 3"),
        ("shapley", {"order": 2, "index": "Banzhaf"}, "index"),
        ("banzhaf", {"order": 3}, "order must be 1 or 2, not 3"),
        ("beta_shapley", {"alpha": "16"}, "alpha must be a number, not '16'"),
        ("mean_when_included", {"p": 1}, "p must lie between 0 and 1, not 1"),
        ("mean_when_included", {"p": "a"}, "p must be a number, not 'a'"),
        ("sobol", {"scrambles": 1}, "scrambles=1"),
        ("hsic", {"designs": 33}, "even"),
        ("hsic", {"designs": 6}, "designs=6: HSIC needs an integer of at least 8"),
        ("hsic", {"designs": "a"}, "designs='a': HSIC needs an integer of at least 8"),
        ("lime", {"kernel": 3}, "unknown kernel 3"),
        ("smoothgrad", {"moment": "median"}, "'mean'"),
        ("integrated_gradients", {"steps": 0}, "steps=0"),
        ("deeplift", {"rule": "deeplifft"}, "'deeplift'"),
        ("extremal_perturbation", {"area": "a"}, "area='a': expected shares"),
        ("extremal_perturbation", {"variant": "preserv"}, "'preserve'"),
        ("extremal_perturbation", {"smoothing": np.inf}, "smoothing must be positive and finite"),
        ("meaningful_perturbation", {"size": "a"}, "size must be a number, not 'a'"),
        ("meaningful_perturbation", {"smoothness": np.inf}, "smoothness=inf: expected a finite"),
        ("meaningful_perturbation", {"step": "a"}, "step must be a number, not 'a'"),
        ("mir", {"threshold": "a"}, "threshold must be a number, not 'a'"),
        ("mir", {"threshold": np.nan}, "threshold must be a number, not nan"),
    ],
    ids=str,
)
def test_settings_are_refused_before_the_model_is_called(method, setting, message):
    torch = pytest.importorskip("torch")
    calls, x = [], np.ones((2, 3), np.float32)

    class Model(torch.nn.Module):
        def forward(self, rows):
            calls.append(len(rows))
            return rows.sum(dim=1, keepdim=True)

    with pytest.raises((TypeError, ValueError), match=message):
        xai.explain(Model(), x, method, data=x, **setting)
    assert not calls


def test_background_rows_in_the_methods_place_are_told_theirs(mixed):
    with pytest.raises(TypeError, match=r"not DataFrame \(background rows: pass data=\)"):
        xai.explain(mixed.pipeline, mixed.x, mixed.data)
    with pytest.raises(TypeError, match=r"not int$"):
        xai.explain(mixed.pipeline, mixed.x, 3)


@pytest.mark.parametrize(
    ("groups", "kind", "message"),
    [
        ({"who": ["age", "grade"], "where": ["town"]}, ValueError, "no group holds 'income'"),
        ({1: ["age"]}, TypeError, "names of groups must be strings, not 1$"),
        ({"who": 3.5}, TypeError, "group 'who' must be a column or a list of columns, not 3.5$"),
        ([3.5], TypeError, "group 0 must be a column or a list of columns, not 3.5$"),
        ({"who": ["age"], "where": []}, ValueError, "group 'where' is empty"),
        ({"who": ["age"], "where": ["age"]}, ValueError, "column 'age' is in two groups"),
        ({"who": ["aeg"]}, ValueError, "did you mean 'age'"),
        ({}, ValueError, "no group holds 'age'"),
        ({"age": "age"}.items(), TypeError, "a list or dict of column groups"),
    ],
    ids=str,
)
def test_named_groups_that_are_none_are_refused(mixed, groups, kind, message):
    with pytest.raises(kind, match=message):
        xai.explain(mixed.pipeline, mixed.x, data=mixed.data, players=groups)


def test_columns_without_a_group_are_named_ten_at_most(line):
    x = np.zeros((2, 30))
    with pytest.raises(ValueError, match=r"no group holds '1', .*'10', …; each must be in one"):
        xai.explain(lambda x: x[:, 0], x, data=x, players=[[0]])


def test_one_image_without_an_axis_of_rows_is_told_so():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    with pytest.raises(ValueError, match=r"for 3 rows.*one image or series alone.* x\[None\]"):
        xai.explain(net, torch.ones(3, 8, 8), "gradient")
    assert xai.explain(net, torch.ones(3, 8, 8)[None], "gradient").values.shape == (1, 8, 8)
