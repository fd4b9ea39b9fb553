"""Models made of a model: shifted, mixed, of the same kind where a kind has gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xai.inputs import is_tensor
from xai.model import is_module, wrap
from xai.setting import Setting


def composed(
    model: Any,
    setting: Setting,
    before: Callable[[Any], Any] = lambda x: x,
    after: Callable[[Any], Any] = lambda out: out,
) -> Any:
    """The model ``x -> after(model(before(x)))``: a module of a module, else a function.

    `before` takes and gives rows as the model does, `after` outputs (n, K), as `explain` sees
    them: an estimator's probabilities.
    """
    if is_module(model):
        return _module(model, before, after)
    known = wrap(model, setting.inputs)

    def call(x: Any) -> Any:
        out = known.call(_as_fitted(known, setting, before(x)))
        out = out.detach().cpu().numpy() if is_tensor(out) else np.asarray(out)
        out = out[:, None] if out.ndim == 1 else out
        if known.scale == "score" and out.shape[1] == 1:
            out = np.concatenate([-out, out], axis=1)
        return after(out)

    return call


def _as_fitted(known: Any, setting: Setting, x: Any) -> Any:
    """Rows as an estimator was fitted on them; a function takes them as they are."""
    return known.prepare(setting.inputs.encode(x, "x")) if known.estimator is not None else x


def _module(model: Any, before: Callable[[Any], Any], after: Callable[[Any], Any]) -> Any:
    import torch

    class Composed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model
            self.train(model.training)  # the inner module's own mode is set by whoever calls

        def forward(self, x: Any) -> Any:
            out = self.inner(before(x))
            return after(out[:, None] if out.ndim == 1 else out)

    modes = [(part, part.training) for part in model.modules()]
    made = Composed()
    for part, mode in modes:
        part.training = mode
    return made
