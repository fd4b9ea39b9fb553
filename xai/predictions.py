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
from xai.progress import QUIET, Progress
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
    settled : what follows, where x is predicted already
    """

    model: Model
    inputs: Inputs
    evaluate: Callable[[], Floats]
    settle: Callable[[Floats], Settled]
    bar: Progress = QUIET
    settled: Settled | None = None

    @property
    def pending(self) -> bool:
        """Whether nobody has asked yet."""
        return self.settled is None

    @property
    def known(self) -> Settled:
        """What they settle."""
        if self.settled is None:
            self._announce()
            self.settled = self.settle(self.evaluate())
        return self.settled

    def _announce(self) -> None:
        """Have the bar expect x, too, where it expects others that were planned meanwhile."""
        if self.bar.total is not None:
            self.bar.expect(self.bar.total + self.inputs.n)

    def waits_for(self, block: Any, most: int) -> bool:
        """Whether one call takes x with inputs (B, …): of a dtype, and no more than `most` rows."""
        if not self.pending or self.inputs.n + len(block) > most:
            return False
        own, reads = self.inputs.block.dtype, self.model.reads
        return bool(block.dtype == own or (reads is not None and block.dtype == reads))

    def beside(self, block: Any) -> Floats:
        """Outputs (B, K) of inputs (B, …), evaluated in one call with x."""
        n, x = self.inputs.n, self.inputs.block
        out = self.model(np.concatenate([x.astype(block.dtype, copy=False), block]))
        own = out[:n].copy()  # a view would hold the others as long
        refuse_predictions(own)
        self._announce()
        self.bar.update(n)
        self.settled = self.settle(own)
        return out[n:]
