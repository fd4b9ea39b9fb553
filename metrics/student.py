"""Whether seeing explanations teaches what the model will say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xai.explanation import Explanation
from xai.inputs import host_array, on_host
from xai.metrics import checks
from xai.metrics.case import Case, Result, metric
from xai.metrics.intervals import of_gains
from xai.metrics.score import Floats, Indices


@metric
def simulatability(
    case: Case,
    *,
    shown: Literal["learning", "always"] = "learning",
    folds: int = 5,
    student: Any = None,
    mimic: Any = None,
) -> Result:
    """A student's gain in predicting the model's class from having seen explanations.

    Hase & Bansal 2020, with a model for the student: for each row, whether the student with
    explanations is right (1 or 0) less whether one without is. The latter sees none, or sees those
    of other rows (so that they are taught nothing, but have as much to reckon with), whichever
    does better. Every row is predicted once, by students that learnt from the other folds.

    "learning": explanations are shown while learning only, as in their forward simulation; to
    predict, the student explains to itself, as the `mimic` has learnt. "always": also to predict
    (Chen et al. 2022), which gives away the class wherever the attributions add up to the output.

    Parameters
    ----------
    shown : {"learning", "always"}
    folds : int
    student : scikit-learn classifier
        None: logistic regression on standardised columns.
    mimic : scikit-learn regressor of several outputs
        Rows to attributions. None: five nearest neighbours (fewer of few rows), standardised.

    Returns
    -------
    Score
        ``mean()`` is the gain. `info` holds which rows were told rightly, `with_explanations`,
        `without` and with `shuffled` ones, (n,) 0 or 1 each; the `std_error` () and 95 % `interval`
        (2,) of the gain over rows (Agresti & Min 2005; that other rows to learn from may teach
        more or less is not counted); with `y` the gain `balanced` () between rows that the model
        gets right and wrong, NaN without either. A row's score depends on what the others have
        taught.

    Raises
    ------
    ValueError
        An unknown `shown`, or fewer than two rows a fold.
    TypeError
        A `student` or `mimic` that is no estimator.

    Examples
    --------
    >>> import numpy as np, xai
    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> f = lambda x: np.stack([-x[:, 0] * x[:, 1], x[:, 0] * x[:, 1]], axis=1)
    >>> e = xai.explain(f, x, "occlusion", data=np.zeros((1, 3)))
    >>> score = simulatability(f, x, e, shown="always")
    >>> score.mean() > 0, sorted(score.info)
    (True, ['interval', 'shuffled', 'std_error', 'with_explanations', 'without'])
    """
    checks.word("shown", shown, "learning", "always")
    for name, given in (("student", student), ("mimic", mimic)):
        if not (given is None or _is_estimator(given)):
            raise TypeError(
                f"{name} must be an estimator as scikit-learn's, an object and not its class: "
                f"{given!r:.80}"
            )
    from sklearn.model_selection import KFold

    case.check_rows()
    x, y, a = _rows(case), _classes(case), _explanations(case)
    checks.count("folds", folds, least=2)
    if np.isnan(x).any() and (student is None or (mimic is None and shown == "learning")):
        raise ValueError(
            "x holds NaN, which the student or its mimic cannot learn from: fill them first, or "
            "pass student= and mimic= that can"
        )
    if len(x) < 2 * folds:
        raise ValueError(f"folds={folds}: simulatability needs two rows a fold; x has {len(x)}")
    seed = case.scene.seen.seed % 2**32
    order = np.random.default_rng(seed).permutation(len(a))
    dealt = np.empty_like(a)
    dealt[order] = a[np.roll(order, 1)]  # to rows they are not of
    class_of = _student() if student is None else student
    mimic = _mimic(len(x), folds) if mimic is None else mimic
    dealing = KFold(folds, shuffle=True, random_state=seed)
    lesson = _Lesson(class_of, mimic, dealing, shown == "always")
    right = np.empty((3, len(x)))
    for learnt, asked in dealing.split(x):
        for place, seen in enumerate((None, dealt, a)):
            right[place, asked] = lesson.answers(x, y, seen, learnt, asked) == y[asked]
    gain = right[2] - right[:2][right[:2].mean(axis=1).argmax()]
    info = {"without": right[0], "shuffled": right[1], "with_explanations": right[2]}
    error, *ends = of_gains(gain)
    info |= {"std_error": np.asarray(error), "interval": np.asarray(ends)}
    return Result(gain, info=info | _balanced(case, y, gain))


def _balanced(case: Case, predicted: Indices, gain: Floats) -> dict[str, Floats]:
    """The gain as if the model were right on half of the rows, where their labels are known."""
    if case.scene.y is None:
        return {}
    classes = range(case.scene.seen.outputs.shape[1])
    labels = list(case.scene.seen.model.labels) or list(classes)
    given = np.asarray(on_host(case.scene.y)).tolist()
    for label in given:
        if label not in labels:
            raise ValueError(
                f"y holds {label!r}, but labels are class indices for this model: integers from "
                f"0 to {classes[-1]}"
            )
    truth = np.array([labels.index(v) for v in given])
    parts = [gain[predicted == truth], gain[predicted != truth]]
    halves = [part.mean() if len(part) else np.nan for part in parts]
    return {"balanced": np.asarray(np.mean(halves))}


@dataclass(frozen=True)
class _Lesson:
    """How students learn: classifier, mimic, folds, and whether they see what they are asked."""

    student: Any
    mimic: Any
    folds: Any
    always: bool

    def answers(
        self, x: Floats, y: Indices, a: Floats | None, learnt: Indices, asked: Indices
    ) -> NDArray[Any]:
        """Classes of the rows `asked`, learnt from the rows `learnt` and their explanations."""
        from sklearn.base import clone
        from sklearn.model_selection import cross_val_predict

        before, after = x[learnt], x[asked]
        if a is not None:
            seen, to_come = a[learnt], a[asked]
            if not self.always:  # learn from explanations as good as those there will be
                to_come = clone(self.mimic).fit(before, seen).predict(after)
                seen = cross_val_predict(self.mimic, before, seen, cv=self.folds)
            before, after = np.c_[before, seen], np.c_[after, to_come]
        if (y[learnt] == y[learnt[0]]).all():  # what is always the same needs no learning
            return np.full(len(asked), y[learnt[0]])
        return np.asarray(clone(self.student).fit(before, y[learnt]).predict(after))


def _rows(case: Case) -> Floats:
    """The explained rows as numbers, (n, columns)."""
    inputs = case.scene.seen.inputs
    if inputs.is_text or inputs.worded:
        raise TypeError("simulatability needs x of numbers: its student reads the rows")
    return host_array(inputs.block).astype(np.float64, copy=False).reshape(inputs.n, -1)


def _explanations(case: Case) -> Floats:
    """Attributions (n, d); over x's places, where a row's players are its own."""
    e = case.explanation
    if isinstance(e, Explanation) and (e.element_players != e.element_players[0]).any():
        return case.map.reshape(len(e), -1)
    return case.flat


def _classes(case: Case) -> Indices:
    out = case.scene.seen.outputs
    if out.shape[1] < 2:
        raise ValueError(
            "simulatability is about predicted classes, but the model has one output: pass a "
            "function that returns one number for each class"
        )
    return np.asarray(out.argmax(axis=1))


def _is_estimator(given: Any) -> bool:
    """Whether scikit-learn can make another of it, and fit that."""
    parts = ("get_params", "fit", "predict")
    return not isinstance(given, type) and all(hasattr(given, part) for part in parts)


def _student() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def _mimic(n: int, folds: int) -> Any:
    """Five nearest neighbours, or as many as the rows that are learnt from."""
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learnt = n - -(-n // folds)  # the fewest, and of these again
    return make_pipeline(
        StandardScaler(), KNeighborsRegressor(min(5, learnt - -(-learnt // folds)))
    )
