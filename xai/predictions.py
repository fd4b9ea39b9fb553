"""What the model gives for the unmasked rows, and what that settles: evaluated once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.behavior.base import Values
from xai.finite import refuse_predictions
from xai.inputs import Inputs
from xai.model import Model
from xai.progress import Progress
from xai.targets import Resolved

Floats = NDArray[np.floating]

BESIDE_ROWS = 2**14
"""Most inputs that x goes into a call with: more do not notice what a call costs."""


@dataclass(frozen=True, eq=False)
class Settled:
    """What is known once the unmasked rows are predicted.

    Attributes
    ----------
    outputs : (n, K) the model's
    resolved : which of them are explained
    values : the behavior, bound to them
    """

    outputs: Floats
    resolved: Resolved
    values: Values


@dataclass(eq=False)
class Predictions:
    """The model's outputs on the unmasked rows, evaluated when they are first asked for.

    A call of an ensemble has a price, however few its rows are: there, x goes into the first call
    that is made for something else.

    Parameters
    ----------
    model, inputs : the model, and x
    evaluate : () -> (n, K), of x alone
    settle : what follows from these
    bar : counts the rows of x
    """

    model: Model
    inputs: Inputs
    evaluate: Callable[[], Floats]
    settle: Callable[[Floats], Settled]
    bar: Progress | None = None
    _settled: Settled | None = None

    @property
    def pending(self) -> bool:
        """Whether nobody has asked yet."""
        return self._settled is None

    @property
    def known(self) -> Settled:
        """What they settle."""
        if self._settled is None:
            self._settled = self.settle(self.evaluate())
        return self._settled

    def beside(self, block: Any, most: int) -> Floats:
        """Outputs (B, K) of inputs (B, …): of one call with x, where `most` rows are enough."""
        n, x, reads = self.inputs.n, self.inputs.block, self.model.reads
        alike = block.dtype == x.dtype or (reads is not None and block.dtype == reads)
        if not alike or n + len(block) > most:
            _ = self.known
            return self.model(block)
        out = self.model(np.concatenate([x.astype(block.dtype, copy=False), block]))
        refuse_predictions(out[:n])
        if self.bar is not None:
            self.bar.update(n)
        self._settled = self.settle(out[:n])
        return out[n:]
