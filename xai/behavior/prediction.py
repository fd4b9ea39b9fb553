"""A prediction, a contrast between two classes, a margin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax, softmax

from xai.behavior.base import Behavior, Floats, Linear, Step, Values, View, pick
from xai.model import Scale
from xai.suggest import unknown
from xai.targets import one_index

Output: TypeAlias = Literal["auto", "probability", "logit", "log_odds", "raw"]
OUTPUTS = ("auto", "probability", "logit", "log_odds", "raw")


def transform(output: str, scale: Scale) -> Callable[[Floats], Floats]:
    """The function from the model's outputs (B, K) to the asked scale.

    "auto" and "raw" change nothing; "probability" is a `predict_proba`'s own, the softmax
    (one output: sigmoid) of a module, a callable's own if it lies in [0, 1]; "logit" is a
    module's output or log p; "log_odds" is log p/(1 − p).
    """
    if output not in OUTPUTS:
        raise ValueError(unknown("output", output, OUTPUTS))
    if output in ("auto", "raw"):
        return lambda out: out
    if scale == "amount":
        raise ValueError(f"output={output!r} needs a classifier; a regressor's is 'raw'")
    if scale == "score":
        if output == "logit":
            return lambda out: out
        raise ValueError(
            f"output={output!r} needs probabilities, which this model's decision_function does "
            "not give; use output='raw', or calibrate it (CalibratedClassifierCV)"
        )
    if scale == "module":
        return {"probability": _probability, "logit": lambda out: out, "log_odds": _log_odds}[
            output
        ]
    return {"probability": _checked, "logit": _log, "log_odds": _logit}[output]


def _probability(out: Floats) -> Floats:
    return np.asarray(expit(out) if out.shape[1] == 1 else softmax(out, axis=1))


def _log_odds(out: Floats) -> Floats:
    if out.shape[1] == 1:
        return out
    # log p − log(1 − p): the others' logsumexp keeps precision where p is close to 1
    wide = out.astype(np.float64)
    others = np.where(np.eye(out.shape[1], dtype=bool), -np.inf, wide[:, None, :])
    top = others.max(axis=2, keepdims=True)
    rest = top[..., 0] + np.log(np.exp(others - top).sum(axis=2))
    return np.asarray(wide - rest)


def _checked(out: Floats) -> Floats:
    if np.nanmin(out) < 0 or np.nanmax(out) > 1:
        raise ValueError(
            "probabilities were asked for, but the callable returned values from "
            f"{np.nanmin(out):.3g} to {np.nanmax(out):.3g}; use output='raw'"
        )
    return out


def _log(out: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(_checked(out)))


def _logit(out: Floats) -> Floats:
    p = _checked(out)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p) - np.log1p(-p))


def _remedy(output: str, scale: Scale) -> str:
    """What to do where the values are infinite."""
    if output not in ("logit", "log_odds") or scale in ("module", "score"):
        return ""
    return "a probability is exactly 0 or 1: use output='probability'"


def log_probability(scale: Scale) -> Callable[[Floats], Floats]:
    """Log-probabilities from a module's logits, stable in both tails."""
    if scale == "module":
        return lambda out: np.asarray(log_expit(out) if out.shape[1] == 1 else log_softmax(out, 1))
    return _log


def _linear(
    output: str, scale: Scale, places: NDArray[np.intp], weights: list[float]
) -> Linear | None:
    """The weighted sum of outputs at `places` (n, k, s), on the scale on which it is one."""
    as_they_stand = (
        output in ("auto", "raw")
        or (output == "probability" and scale == "probability")
        or (output == "logit" and scale == "score")
    )
    if not as_they_stand and scale != "probability":
        return None
    known = "raw" if as_they_stand else output
    return Linear(known, places, np.broadcast_to(np.array(weights), places.shape))


@dataclass(frozen=True)
class Prediction(Behavior):
    """The explained class's output, row by row.

    Parameters
    ----------
    output : {"auto", "probability", "logit", "log_odds", "raw"}
        The scale; "auto" is `predict_proba`'s probability, else the model's own output.

    Examples
    --------
    >>> Prediction("logit")
    Prediction(output='logit')
    """

    output: Output = "auto"

    def bind(self, view: View) -> Values:
        """Transform, then keep the explained outputs; commutes with the mean over draws."""
        to_scale, keep = transform(self.output, view.scale), pick(view.target)
        return Values(
            lambda rows, out: keep(rows, to_scale(out)),
            None,
            view.names,
            remedy=_remedy(self.output, view.scale),
            linear=_linear(self.output, view.scale, view.target[..., None], [1.0]),
        )


@dataclass(frozen=True)
class Contrast(Behavior):
    """How far the explained class lies above another one.

    Parameters
    ----------
    to : int, label, `Label` or None
        The other class; None: the row's runner-up, which is the largest output of the unmasked
        row beside the explained one, fixed before anything is removed.
    output : the scale, as for `Prediction`

    Notes
    -----
    A contrast of a class with itself is refused, unless it is one of several explained ones
    (`target` "all" or `Top`), where it is 0.

    Examples
    --------
    >>> Contrast(to=0)
    Contrast(to=0, output='auto')
    """

    to: Any = None
    output: Output = "auto"

    def bind(self, view: View) -> Values:
        """The difference of two outputs; commutes with the mean over draws."""
        if len(view.names) < 2:
            raise ValueError("a contrast needs at least two outputs; the model has one")
        to_scale = transform(self.output, view.scale)
        others = self._others(view)
        keep, leave = pick(view.target), pick(others)

        def output(rows: Any, out: Floats) -> Floats:
            scaled = to_scale(out)
            with np.errstate(invalid="ignore"):  # inf − inf: the game says what to do
                return keep(rows, scaled) - leave(rows, scaled)

        pairs = np.stack([view.target, others], axis=-1)
        linear = _linear(self.output, view.scale, pairs, [1.0, -1.0])
        remedy = _remedy(self.output, view.scale)
        return Values(output, None, view.names, remedy=remedy, linear=linear)

    def _others(self, view: View) -> NDArray[np.intp]:
        """The other class of each explained output, (n, t)."""
        if self.to is None:
            explained = np.arange(len(view.names)) == view.target[..., None]
            others = np.where(explained, -np.inf, view.outputs[:, None, :])
            return np.asarray(others.argmax(axis=2))
        other = one_index(self.to, view.labels, view.names, len(view.names))
        same = np.flatnonzero((view.target == other).all(axis=1))
        if len(same):
            raise ValueError(
                f"row {same[0]} (0-based) of x would be contrasted with itself: its explained "
                f"class is to={self.to!r}; pass another target=, or to=None for each row's "
                "runner-up"
            )
        return np.full_like(view.target, other)


@dataclass(frozen=True)
class Margin(Behavior):
    """The explained class's mean output minus the largest mean output of the others.

    Parameters
    ----------
    output : the scale, as for `Prediction`

    Notes
    -----
    The largest is taken after the mean over draws, so draws cannot be spread over coalitions.
    """

    output: Output = "auto"

    def bind(self, view: View) -> Values:
        """Keep all outputs until after the mean."""
        if len(view.names) < 2:
            raise ValueError("a margin needs at least two outputs; the model has one")
        to_scale = transform(self.output, view.scale)

        def reduce(rows: Any, means: Floats) -> Floats:
            target = view.target[rows]
            own = np.take_along_axis(means, target, axis=1)
            hidden = np.arange(means.shape[1]) == target[..., None]
            others = np.where(hidden, -np.inf, means[:, None, :])
            return np.asarray(own - others.max(axis=2))

        step: Step = lambda rows, out: to_scale(out)  # noqa: E731 — one expression, named for its type
        return Values(step, reduce, view.names, remedy=_remedy(self.output, view.scale))
