"""A prediction, a contrast between two classes, a margin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.behavior import arrays
from xai.behavior.base import Array, Behavior, Linear, Values, View, pick
from xai.inputs import is_tensor
from xai.model import Scale
from xai.suggest import unknown
from xai.targets import one_index

Output: TypeAlias = Literal["auto", "probability", "logit", "log_odds", "raw"]
OUTPUTS = ("auto", "probability", "logit", "log_odds", "raw")


def transform(output: str, scale: Scale) -> Callable[[Array], Array]:
    """The function from the model's outputs (B, K) to the asked scale: see `Prediction`."""
    if output not in OUTPUTS:
        raise ValueError(unknown("output", output, OUTPUTS))
    if output in ("auto", "raw") or (output == "logit" and scale in ("module", "score")):
        return lambda out: out
    if scale == "amount":
        raise ValueError(f"output={output!r} needs a classifier; a regressor's is 'raw'")
    if scale == "score":
        raise ValueError(
            f"output={output!r} needs probabilities, which this model's decision_function does "
            "not give; use output='raw', or calibrate it (CalibratedClassifierCV)"
        )
    if scale == "module":
        return {"probability": arrays.probability, "log_odds": arrays.log_odds}[output]
    return {"probability": checked_probability, "logit": _log, "log_odds": _logit}[output]


def checked_probability(
    out: Array, asked: str = "probabilities were asked for", instead: str = "use output='raw'"
) -> Array:
    """A callable's outputs, which must lie in [0, 1]; who asked for that, and what else to do."""
    low, high = (out.min().item(), out.max().item()) if is_tensor(out) else _range(out)
    if low < 0 or high > 1:
        raise ValueError(
            f"{asked}, but the callable returned values from {low!r} to {high!r}; {instead}"
        )
    return out


def _range(out: Array) -> tuple[float, float]:
    return float(np.nanmin(out)), float(np.nanmax(out))


def _log(out: Array) -> Array:
    return arrays.log(checked_probability(out))


def _logit(out: Array) -> Array:
    return arrays.logit(checked_probability(out))


_OWN = {
    "probability": "probability",
    "score": "decision function",
    "indicator": "0-1 prediction",
    "module": "raw output",
}
"""What models give themselves, by their scale; an amount or a function's is not known."""


def unit_of(output: str, scale: Scale) -> str:
    """What values on the asked scale are, in words; "" where nobody told."""
    if output in ("auto", "raw"):
        return _OWN.get(scale, "raw output" if output == "raw" else "")
    if output == "logit":
        own = {"module": "logit", "score": _OWN["score"]}
        return own.get(scale, "log probability")
    return output.replace("_", " ")


def _above(output: str, scale: Scale, other: str) -> str:
    """What a difference from another output is, in words."""
    return f"{unit_of(output, scale) or 'output'} above {other}"


def _remedy(output: str, scale: Scale) -> str:
    """What to do where the values are infinite."""
    if output not in ("logit", "log_odds") or scale in ("module", "score"):
        return ""
    return "a probability is exactly 0 or 1: use output='probability'"


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
        The scale. "auto": `predict_proba`'s probability, else the model's own output. "raw":
        the model's own output. "probability": of a module its softmax (of one output the
        sigmoid), of a callable its own output, which must lie in [0, 1]. "logit": a module's or
        `decision_function`'s own output, else log p. "log_odds": log p/(1 − p).

    Raises
    ------
    ValueError
        An unknown scale, or one of probabilities where the model gives none.

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
            unit=unit_of(self.output, view.scale),
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

    Raises
    ------
    ValueError
        The model has one output, or a row's class would be contrasted with itself.

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

        def output(rows: Any, out: Array) -> Array:
            scaled = to_scale(out)
            with np.errstate(invalid="ignore"):  # inf − inf: the game says what to do
                return keep(rows, scaled) - leave(rows, scaled)

        pairs = np.stack([view.target, others], axis=-1)
        linear = _linear(self.output, view.scale, pairs, [1.0, -1.0])
        other = "the runner-up" if self.to is None else repr(str(view.names[others[0, 0]]))
        return Values(
            output,
            None,
            view.names,
            remedy=_remedy(self.output, view.scale),
            linear=linear,
            unit=_above(self.output, view.scale, other),
        )

    def _others(self, view: View) -> NDArray[np.intp]:
        """The other class of each explained output, (n, t)."""
        if self.to is None:
            first, second = np.argsort(-view.outputs, axis=1, kind="stable")[:, :2].T[..., None]
            return np.asarray(np.where(view.target == first, second, first))
        other = one_index(
            self.to, view.labels, view.names, len(view.names), what="to",
            kinds="an int, a label or None",
        )  # fmt: skip
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

    Raises
    ------
    ValueError
        The model has one output.

    Notes
    -----
    The largest is taken after the mean over draws, so draws cannot be spread over coalitions.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([[2.0, 0.0, 1.0], [3.0, 2.0, 0.0]])
    >>> x = np.ones((1, 2))
    >>> xai.explain(f, x, "occlusion", behavior=Margin(), removal="baseline").values
    array([[2., 2.]])
    """

    output: Output = "auto"

    def bind(self, view: View) -> Values:
        """Keep all outputs until after the mean."""
        if len(view.names) < 2:
            raise ValueError("a margin needs at least two outputs; the model has one")
        to_scale = transform(self.output, view.scale)

        def reduce(rows: Any, means: Array) -> Array:
            target = view.target[rows]
            return arrays.take(means, target) - arrays.largest_other(means, target)

        return Values(
            lambda rows, out: to_scale(out),
            reduce,
            view.names,
            remedy=_remedy(self.output, view.scale),
            unit=_above(self.output, view.scale, "the largest other"),
        )
