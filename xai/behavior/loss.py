"""The loss on a row, or on a data set; a game's value is minus the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.behavior import arrays
from xai.behavior.base import Array, Behavior, Step, Values, View
from xai.behavior.prediction import checked_probability
from xai.inputs import is_number, is_tensor, on_host
from xai.suggest import unknown

Loss: TypeAlias = (
    "Literal['auto', 'error', 'cross_entropy', 'squared', '0-1'] | Callable[[Any, Array], Any]"
)
LOSSES = ("auto", "error", "cross_entropy", "squared", "0-1")
NO_LABELS = "a loss needs the true labels: pass y="


@dataclass(frozen=True)
class PredictionLoss(Behavior):
    """Minus the loss of the mean prediction against the true label, row by row.

    Parameters
    ----------
    loss : {"auto", "error", "cross_entropy", "squared", "0-1"} or callable
        "auto": cross entropy for classifiers, squared for regressors. "error": the 0-1 loss for
        classifiers, squared for regressors. "squared" is the Brier score for classifiers. A
        callable takes (y (B,) as given, mean outputs (B, K)) and returns (B,): of arrays, and
        of tensors, too, where a summary takes gradients.
    clip : float
        Smallest probability that cross entropy sees; 0 (the default) clips nothing, and a
        probability of 0 for the true class is an error that says so.

    Notes
    -----
    LossSHAP (Lundberg et al. 2020). Needs `y`. For modules and callables with several outputs
    labels are class indices. One output of a callable is an amount, and so is one output of a
    module where `y` holds floats; where `y` holds integers it is the logit of class 1 against 0.

    Examples
    --------
    >>> PredictionLoss("squared")
    PredictionLoss(loss='squared', clip=0.0)
    """

    loss: Loss = "auto"
    clip: float = 0.0

    def bind(self, view: View) -> Values:
        """Probabilities (or amounts) per model row; the loss after their mean."""
        to_scale, score, name = _loss(self.loss, self.clip, view)

        def reduce(rows: Any, means: Array) -> Array:
            return -score(rows, means)[:, None]

        told = f"minus {name} loss"
        return Values(lambda rows, out: to_scale(out), reduce, [told], unit=told)


@dataclass(frozen=True)
class DatasetLoss(Behavior):
    """Minus the mean loss over all rows of a data set: one explanation for all of them.

    Parameters
    ----------
    loss, clip : as for `PredictionLoss`
    average : {"prediction", "loss"}
        What is averaged over the removal's draws: predictions, before the loss (SAGE), or
        losses (the permutation test).

    Raises
    ------
    ValueError
        An unknown `average`.

    Notes
    -----
    SAGE (Covert, Lundberg & Lee 2020, Eq. 3); permutation test (Breiman 2001). Needs `y`.

    Examples
    --------
    >>> import numpy as np, xai
    >>> x = np.array([[1.0, 0.0], [-1.0, 0.0]])
    >>> f = lambda x: x[:, 0]
    >>> method = xai.Method(behavior=DatasetLoss("squared"))
    >>> xai.explain(f, x, method, y=f(x), data=x).values
    array([[1., 0.]])
    """

    loss: Loss = "auto"
    clip: float = 0.0
    average: Literal["prediction", "loss"] = "prediction"

    def bind(self, view: View) -> Values:
        """The row-wise loss; the game turns rows into draws."""
        if self.average not in ("prediction", "loss"):
            raise ValueError(unknown("average", self.average, ("prediction", "loss")))
        if self.average == "prediction":
            return PredictionLoss(self.loss, self.clip).bind(view)
        to_scale, score, name = _loss(self.loss, self.clip, view)
        told = f"minus {name} loss"
        return Values(
            lambda rows, out: -score(rows, to_scale(out))[:, None], None, [told], unit=told
        )


def _loss(loss: Loss, clip: float, view: View) -> tuple[Callable[[Array], Array], Step, str]:
    """(scale of each model row, loss of means, its name)."""
    y, given = view.y, view.y_given
    if y is None or given is None:
        raise ValueError(NO_LABELS)
    if isinstance(loss, str) and loss not in LOSSES:
        raise ValueError(unknown("loss", loss, LOSSES))
    chosen = _chosen(loss, view) if isinstance(loss, str) else loss
    _check_clip(clip, chosen)
    if not isinstance(chosen, str):
        return _same, _user_loss(chosen, given), getattr(chosen, "__name__", "loss")
    if not _classifies(view):
        if chosen != "squared":
            raise ValueError(
                f"loss={chosen!r} needs a classifier{_AS_INTEGERS * (view.scale == 'module')}; "
                "for amounts use 'squared'"
            )
        truth = _amounts(y, len(view.names))

        def squared(rows: NDArray[np.intp], means: Array) -> Array:
            off: Array = means[:, 0] - arrays.like(truth[rows], means)
            return off * off

        return _same, squared, "squared"
    if view.scale == "score" and chosen != "0-1":
        raise ValueError(
            f"loss={chosen!r} needs probabilities, which decision_function does not give; use "
            "loss='0-1', or calibrate the model (CalibratedClassifierCV)"
        )
    to_scale = _same
    if view.scale == "module":
        to_scale = _probability_of_classes
    elif view.scale == "callable" and chosen != "0-1":
        to_scale = partial(
            checked_probability,
            asked=f"loss={chosen!r} needs probabilities",
            instead="use loss='0-1', or a loss of your own, loss=f with f(y, outputs)",
        )
    return to_scale, _class_losses(chosen, clip, _classes(y, view)), chosen.replace("_", "-")


_AS_INTEGERS = ", whose labels are class indices: y.astype(int)"


def _classifies(view: View) -> bool:
    """Whether outputs are of classes and labels are their indices; else amounts."""
    if view.scale in ("module", "callable") and len(view.names) == 1:
        return view.scale == "module" and view.y is not None and view.y.dtype.kind in "iub"
    return view.scale != "amount"


def _chosen(loss: str, view: View) -> str:
    """The loss that "auto" and "error" stand for."""
    if loss not in ("auto", "error"):
        return loss
    if not _classifies(view):
        return "squared"
    return "0-1" if loss == "error" or view.scale == "indicator" else "cross_entropy"


def _check_clip(clip: Any, loss: Any) -> None:
    if not is_number(clip) or not 0 <= clip < 1:
        raise ValueError(f"clip must be a probability below 1, not {clip!r}")
    if clip and loss != "cross_entropy":
        raise ValueError(f"clip={clip!r} has no effect with loss={loss!r}: it is cross entropy's")


def _amounts(y: NDArray[Any], outputs: int) -> NDArray[np.float64]:
    """True amounts (n,) of a model with one output."""
    if outputs > 1:
        raise ValueError(
            f"the model has {outputs} outputs, and y one amount for each row: pass a loss "
            "of your own, loss=f with f(y, outputs) -> one loss for each row"
        )
    if y.dtype.kind not in "biuf" or not np.isfinite(y).all():
        raise ValueError("y must hold finite numbers")
    return y.astype(np.float64)


def _classes(y: NDArray[Any], view: View) -> NDArray[np.intp]:
    """Class indices (n,)."""
    if len(view.labels):
        return y  # found among the labels already
    k = max(2, len(view.names))  # one logit is of two classes
    if y.dtype.kind not in "iub":
        raise TypeError(
            f"y holds {y.dtype}, but labels are class indices for this model: integers from 0 to "
            f"{k - 1}; for several amounts pass a loss of your own, loss=f with f(y, outputs)"
        )
    bad = y[(y < 0) | (y >= k)]
    if len(bad):
        amounts = "; if y holds amounts, pass floats: y.astype(float)" * (len(view.names) == 1)
        raise ValueError(
            f"y holds the class index {bad[0]}; the model has the classes 0 to {k - 1}{amounts}"
        )
    return y.astype(np.intp)


def _same(out: Array) -> Array:
    return out


def _probability_of_classes(out: Array) -> Array:
    """Probabilities with a column for each class; a single logit becomes two."""
    p = arrays.probability(out)
    if p.shape[1] > 1:
        return p
    if is_tensor(p):
        return (p - arrays.like(np.array([[1.0, 0.0]]), p).to(p.dtype)).abs()
    return np.concatenate([1 - p, p], axis=1)


def _class_losses(loss: str, clip: float, y: NDArray[Any]) -> Step:
    def cross_entropy(rows: NDArray[np.intp], p: Array) -> Array:
        own = arrays.take(p, y[rows][:, None])[:, 0]
        losses: Array = -arrays.log(own.clip(clip, None))
        infinite = ~np.isfinite(on_host(losses))
        if infinite.any():
            row = int(rows[infinite][0])
            raise ValueError(
                f"cross entropy is infinite: the model gives row {row} probability 0 for its true "
                "class; pass clip=1e-6 (say), or loss='squared'"
            )
        return losses

    def squared(rows: NDArray[np.intp], p: Array) -> Array:
        truth = (np.arange(p.shape[1]) == y[rows][:, None]).astype(np.float64)
        off: Array = p - arrays.like(truth, p)
        return (off * off).sum(1)

    def zero_one(rows: NDArray[np.intp], p: Array) -> Array:
        if is_tensor(p):
            raise ValueError("the 0-1 loss has no gradient: use loss='cross_entropy' or 'squared'")
        return np.asarray(p.argmax(axis=1) != y[rows], np.float64)

    return {"cross_entropy": cross_entropy, "squared": squared, "0-1": zero_one}[loss]


def _user_loss(loss: Callable[[Any, Array], Any], given: NDArray[Any]) -> Step:
    def score(rows: NDArray[np.intp], means: Array) -> Array:
        losses = loss(arrays.like(given[rows], means), means)
        if is_tensor(means) and not is_tensor(losses):
            raise TypeError(
                f"the loss returned a {type(losses).__name__}; a summary that takes gradients "
                "gives it tensors, and needs a tensor"
            )
        losses = losses if is_tensor(means) else np.asarray(losses, np.float64)
        if tuple(losses.shape) != (len(rows),):
            raise ValueError(
                f"the loss returned shape {tuple(losses.shape)} for {len(rows)} rows; expected "
                f"one loss per row, ({len(rows)},)"
            )
        return losses

    return score
