"""What users want to know of a model, tested directly: by evaluating it again and again.

Complete and linear attributions (SHAP, Integrated Gradients) can be no better than a guess at
whether raising a feature raises the output, or whether the output depends on it at all: they
answer for the whole range of a feature, and the model may be anything far from the row (Bilodeau,
Jaques, Koh & Kim 2024). `recourse` and `depends_on` answer with exact confidence; `judge` holds any
attribution against the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import fisher_exact

from xai.explanation import Explanation
from xai.foreign import converted
from xai.inputs import on_host
from xai.metrics import checks
from xai.metrics.attributed import labels_of
from xai.metrics.case import Case, Scene
from xai.metrics.findings import (
    Finding,
    Moved,
    check,
    check_features,
    chosen,
    directions,
    found,
    refuse_lost,
)
from xai.metrics.perturb import refuse_codes
from xai.metrics.proportions import clopper_pearson, least_samples
from xai.targets import Target

__all__ = ["Finding", "Judgement", "depends_on", "judge", "least_samples", "recourse"]

SAMPLES = 200
SMALL = 1e-6
"""A change of the output that counts as none: float error."""


def recourse(
    model: Any,
    x: Any,
    *,
    step: ArrayLike | Mapping[int | str, float],
    features: Sequence[int | str] | None = None,
    samples: int = SAMPLES,
    confidence: float = 0.95,
    target: Target = "predicted",
    players: Any = None,
    behavior: Any = None,
    y: ArrayLike | None = None,
    categorical: Sequence[str | int] | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
    n_jobs: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Finding:
    """Whether moving a feature a little raises the output.

    ``rate_j = P(f(x + δ e_j) > f(x))``, δ uniform on (0, step_j]; it holds where the rate is
    above ½.

    Parameters
    ----------
    model, x, target, players, behavior, y, categorical, channel_axis, … : as for `xai.explain`
    step : number, (d,) numbers like ``x[0]``, or {column: number}
        How far; a Series by its names. Negative to ask about lowering. Columns that a mapping
        leaves out stay, as categories must.
    features : indices or names of players
        None: all; of a mapping's single columns these. Of columns, a number moves these alone.
    samples : int
        Displacements tried, the same for every row.
    confidence : float

    Returns
    -------
    Finding

    Examples
    --------
    >>> import numpy as np
    >>> finding = recourse(lambda x: x[:, 0] - x[:, 1] ** 3, np.ones((1, 3)), step=0.1)
    >>> finding.holds, finding.sure.all()
    (array([[ True, False, False]]), np.True_)
    """
    check(samples, confidence)
    check_features(features)
    if isinstance(step, Mapping) and features is None and players is None:
        features = list(step)
    columns = features if checks.is_number(step) and players is None and np.ndim(x) == 2 else None
    moved = Moved(step, samples, columns)  # the other columns stay, and may hold categories
    scene = Scene(
        model, x, target=target, players=players, removal=moved, behavior=behavior, y=y,
        categorical=categorical, channel_axis=channel_axis, batch_size=batch_size, n_jobs=n_jobs,
        seed=seed, progress=progress,
    )  # fmt: skip
    with scene, scene.bar.of("recourse"):
        refuse_codes(scene.setting)
        players = chosen(scene, features)
        refuse_lost(scene, moved, players)
        finding = found("recourse", scene, players, samples, confidence)
        signs = directions(scene, moved.by_element(scene.setting.inputs))
        return replace(finding, signs=signs[:, players])


def depends_on(
    model: Any,
    x: Any,
    *,
    data: Any = None,
    removal: Any = None,
    tau: float = SMALL,
    rare: float = 0.05,
    features: Sequence[int | str] | None = None,
    samples: int = SAMPLES,
    confidence: float = 0.95,
    target: Target = "predicted",
    players: Any = None,
    behavior: Any = None,
    y: ArrayLike | None = None,
    categorical: Sequence[str | int] | None = None,
    channel_axis: int | None = None,
    batch_size: int | None = None,
    n_jobs: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Finding:
    """Whether the output depends on a feature, the others as they are.

    ``rate_j = P(|f(x with x_j ← u) − f(x)| > τ)``, u as the removal draws it: one such sample is
    proof. Without one the answer is no, and sure once the rate is at most `rare`.

    Parameters
    ----------
    model, x, data, removal, target, players, behavior, … : as for `xai.explain`
        None for `removal`: the rows of `data`.
    tau : float
        A change of the output that counts.
    rare : float
        A dependence that may be overlooked: it takes ``least_samples(rare, (1 − confidence)/2)``.
    features, samples, confidence : as for `recourse`
        A removal with no more draws than `samples` is evaluated at all of them.

    Returns
    -------
    Finding

    Raises
    ------
    ValueError
        A negative `tau`, or `rare` or `confidence` that is no probability.

    Examples
    --------
    >>> import numpy as np
    >>> data = np.arange(8.0).reshape(4, 2)
    >>> depends_on(lambda x: x[:, 0], data[:1], data=data).rate
    array([[0.75, 0.  ]])
    """
    check(samples, confidence)
    checks.not_negative("tau", tau)
    if not (checks.is_number(rare) and 0 <= rare < 1):
        raise ValueError(f"rare={rare!r}: expected a probability below 1")
    scene = Scene(
        model, x, target=target, data=data, players=players, removal=removal, behavior=behavior,
        y=y, categorical=categorical, channel_axis=channel_axis, batch_size=batch_size,
        n_jobs=n_jobs, seed=seed, progress=progress,
    )  # fmt: skip
    with scene, scene.bar.of("depends_on"):
        players = chosen(scene, features)
        return found("depends_on", scene, players, samples, confidence, tau, rare)


@dataclass(frozen=True)
class Judgement:
    """How well an attribution answers: what `Finding` is sure of is the truth.

    Attributes
    ----------
    sensitivity, specificity : float
        Shares of the pairs (row, feature) where it holds (where it does not) that the attribution
        tells rightly; NaN without such pairs.
    sensitivity_interval, specificity_interval : (low, high), Clopper-Pearson
    positives, negatives, undecided : numbers of pairs; the undecided are left out
    p_value : float
        Fisher's exact test: the chance that a guess does so well.

    Notes
    -----
    A guess that ignores the model has ``sensitivity + specificity = 1`` on average. Intervals and
    test take pairs for independent; those of one model and one row may not be.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x[:, 0]
    >>> x = np.ones((4, 2))
    >>> found = depends_on(f, x, data=np.zeros((5, 2)))
    >>> told = judge(found, np.tile([1.0, 0.0], (4, 1)))
    >>> told.sensitivity, told.specificity, told.positives
    (1.0, 1.0, 4)
    """

    sensitivity: float
    specificity: float
    sensitivity_interval: tuple[float, float]
    specificity_interval: tuple[float, float]
    positives: int
    negatives: int
    undecided: int
    p_value: float

    @property
    def informedness(self) -> float:
        """``sensitivity + specificity − 1``: 0 for a guess, 1 where every answer is right."""
        return self.sensitivity + self.specificity - 1


def judge(
    finding: Finding, explanation: Any, *, threshold: float = 0.0, confidence: float = 0.95
) -> Judgement:
    """Sensitivity and specificity of an attribution as a predictor of what was found.

    Parameters
    ----------
    finding : from `recourse` or `depends_on`, of all players
    explanation : Explanation, or (n, d) array
        It predicts that raising the feature raises the output where ``a > threshold``, that
        lowering it does where ``−a > threshold``, and dependence where ``|a| > threshold``. A
        bool array is a prediction already. Columns go by name where the findings' have the same.
    threshold, confidence : float

    Raises
    ------
    TypeError
        `finding` is none.
    ValueError
        Attributions of another shape than the findings.

    Examples
    --------
    >>> import numpy as np
    >>> finding = recourse(lambda x: x @ [1.0, -1.0], np.ones((4, 2)), step=0.1)
    >>> judge(finding, np.tile([0.5, -2.0], (4, 1))).informedness
    1.0
    """
    checks.number("threshold", threshold)
    if not isinstance(finding, Finding):
        raise TypeError(f"finding must be what recourse or depends_on found, not {finding!r:.80}")
    explanation = converted(explanation)
    ours = isinstance(explanation, Explanation)
    names = explanation.feature_names if ours else labels_of(explanation)
    place = {name: i for i, name in enumerate(names or ())}
    explanation = on_host(explanation)
    if not ours and np.asarray(explanation).dtype == bool:
        a = np.asarray(explanation)
        says = a[None] if a.ndim == 1 else a.reshape(len(a), -1)
    else:
        says = Case(Scene(None, None), explanation).flat
    if says.shape != finding.holds.shape:
        raise ValueError(f"attributions {says.shape} do not fit the findings {finding.holds.shape}")
    if place.keys() == {*finding.features} and len(place) == says.shape[1]:
        says = says[:, [place[name] for name in finding.features]]
    if says.dtype != bool:
        a = finding.signs * says if finding.task == "recourse" else np.abs(says)
        says = a > threshold
    yes, no = finding.sure & finding.holds, finding.sure & ~finding.holds
    positives, negatives = int(yes.sum()), int(no.sum())
    hits, rejections = int((says & yes).sum()), int((~says & no).sum())

    def rate(right: int, of: int) -> tuple[float, tuple[float, float]]:
        low, high = clopper_pearson(right, of, confidence)
        return right / of if of else float("nan"), (float(low), float(high))

    (sensitivity, first), (specificity, second) = rate(hits, positives), rate(rejections, negatives)
    table = [[hits, positives - hits], [negatives - rejections, rejections]]
    p = float(fisher_exact(table, alternative="greater").pvalue)
    return Judgement(
        sensitivity, specificity, first, second, positives, negatives, finding.undecided, p
    )
