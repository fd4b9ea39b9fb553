"""What of the model is explained: per-row outputs, and what is made of their mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.behavior import arrays
from xai.model import Model, Scale

Floats: TypeAlias = NDArray[np.floating]
Array: TypeAlias = Any
"""A NumPy array of floats, or a tensor with gradients."""
Step: TypeAlias = Callable[[NDArray[np.intp], Array], Array]
"""(explained row of each line, lines) -> lines; tensors in, tensors with gradients out."""


@dataclass(frozen=True)
class View:
    """What a behavior may know when it is bound.

    Attributes
    ----------
    scale : what the model's outputs are
    labels : classes' labels, where known
    names : one name per output
    outputs : (n, K) the model's outputs on the unmasked rows
    target : (n, t) explained outputs
    y : (n,) class indices where the model knows its labels, else as given; or None
    y_given : (n,) as the user passed them, or None

    Examples
    --------
    >>> outputs = np.array([[0.2, 0.8]])
    >>> view = View("probability", ["no", "yes"], ["no", "yes"], outputs, np.array([[1]]))
    >>> pick(view.target)(np.array([0]), view.outputs)
    array([[0.8]])
    """

    scale: Scale
    labels: Sequence[Any]
    names: Sequence[str]
    outputs: Floats
    target: NDArray[np.intp]
    y: NDArray[Any] | None = None
    y_given: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Linear:
    """Values as weighted sums of the model's outputs on a scale.

    Attributes
    ----------
    scale : "raw" (the outputs as they stand), "log_odds" or "logit"
    places, weights : (n, k, s)
        Value k of row i is the sum of ``weights[i, k]`` times the outputs ``places[i, k]``.
    """

    scale: str
    places: NDArray[np.intp]
    weights: NDArray[np.float64]

    @property
    def contrasts(self) -> bool:
        """Whether what is common to all outputs cancels out."""
        return not self.weights.sum(axis=2).any()


@dataclass(frozen=True)
class Values:
    """A bound behavior.

    Attributes
    ----------
    output : (rows (B,), model outputs (B, K)) -> (B, j)
        Applied to every model row; the game averages it over draws.
    reduce : (rows (B,), means (B, j)) -> (B, k), or None
        Applied after the mean; None where it would change nothing, so that a summary may spend
        one draw for each coalition.
    names : names of the outputs that `target` indexes
    remedy : what to do where values are infinite
    linear : what `output` computes as a weighted sum, where it is one
    unit : what the values are, in words: "probability", "log odds"; "" where that is not known

    Examples
    --------
    >>> values = Values(output=lambda rows, out: 2 * out, reduce=None, names=["twice"])
    >>> values.output(np.array([0]), np.array([[3.0]])), values.reduce is None
    (array([[6.]]), True)
    """

    output: Step
    reduce: Step | None
    names: Sequence[str]
    remedy: str = ""
    linear: Linear | None = None
    unit: str = ""

    def reduced(self, rows: NDArray[np.intp], means: Array) -> Array:
        """Values (B, k) of means (B, j) over draws."""
        return means if self.reduce is None else self.reduce(rows, means)

    def at_one_draw(self, rows: NDArray[np.intp], out: Array) -> Array:
        """Values (B, k) of model outputs (B, K), each of which is all that is averaged."""
        return self.reduced(rows, self.output(rows, out))


@dataclass(frozen=True)
class Behavior(ABC):
    """A quantity of the model. Constructors only store; `bind` meets model and target.

    Examples
    --------
    >>> import xai
    >>> class Squared(Behavior):
    ...     def bind(self, view):
    ...         return Values(output=lambda rows, out: out**2, reduce=None, names=view.names)
    >>> f = lambda x: x.sum(axis=1)
    >>> x = np.array([[1.0, 2.0]])
    >>> xai.explain(f, x, "occlusion", behavior=Squared(), removal="baseline").values
    array([[5., 8.]])
    """

    def observed(self, model: Model) -> Model:
        """The model whose outputs are looked at: as it is, but where a layer of it is meant."""
        return model

    @abstractmethod
    def bind(self, view: View) -> Values:
        """Fix what is computed for the explained rows."""


def pick(target: NDArray[np.intp]) -> Step:
    """Keep each row's explained outputs: (B, K) -> (B, t)."""

    def step(rows: NDArray[np.intp], out: Array) -> Array:
        return arrays.take(out, target.take(rows, axis=0))

    return step
