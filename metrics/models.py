"""Models made of a model: shifted, mixed, of the same kind where a kind has gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from xai.model import Model, is_module, wrap
from xai.setting import Setting
from xai.torch_model import TorchModel, as_torch_model


def composed(
    model: Any,
    setting: Setting,
    before: Callable[[Any], Any] = lambda x: x,
    after: Callable[[Any], Any] = lambda out: out,
) -> Any:
    """The model ``x -> after(model(before(x)))``: a module of a module, else a function.

    Of a classifier it has the classes, by which true labels are known. `before` takes and gives
    rows as the model does, `after` outputs (n, K), as `explain` sees them: an estimator's
    probabilities.
    """
    if is_module(model):
        return _module(model, before, after)
    known = wrap(model, setting.inputs)

    def call(x: Any) -> Any:
        rows = _as_fitted(known, setting, before(x))
        n = rows.shape[0] if hasattr(rows, "shape") else len(rows)
        return after(known.read(known.call(rows), n))

    return _Classifier(call, known) if len(known.labels) else call


class _Classifier:
    """A function in the place of a classifier's outputs, of the same kind and classes."""

    def __init__(self, call: Callable[[Any], Any], known: Model) -> None:
        self.call, self.classes_ = call, (classes := np.asarray(known.labels))
        if known.scale in ("probability", "callable"):  # that of transformers has labels
            self.predict_proba = call
        elif known.scale == "score":
            self.decision_function = call
        else:
            self.predict = lambda x: classes[call(x).argmax(axis=1)]

    def __call__(self, x: Any) -> Any:
        return self.call(x)


def _as_fitted(known: Model, setting: Setting, x: Any) -> Any:
    """Rows as an estimator was fitted on them; a function takes them as they are, as texts are."""
    if known.scale == "callable" or setting.inputs.is_text:
        return x
    return known.prepare(setting.inputs.encode(x, "x"))


def _module(model: Any, before: Callable[[Any], Any], after: Callable[[Any], Any]) -> Any:
    runs = as_torch_model(model)

    def end(out: Any) -> Any:
        out = runs.chosen(out)
        return after(out[:, None] if out.ndim == 1 else out)

    if isinstance(model, TorchModel):
        return replace(model, module=_around(model.module, before, lambda out: out), output=end)
    return _around(model, before, end)


def _around(module: Any, before: Callable[[Any], Any], after: Callable[[Any], Any]) -> Any:
    """A module of a module in eval mode; its layers have the names that they have in there."""
    import torch

    class Composed(torch.nn.Module):
        """A class made in a function stays until a collection, with whatever it closes over."""

        def __init__(self, module: Any, *around: Callable[[Any], Any]) -> None:
            super().__init__()
            self.around, self.training = around, module.training
            if not module._modules or isinstance(module, torch.jit.ScriptModule):  # no layers
                self.inner = module
                return
            self.__dict__["inner"] = module  # no layer of its own
            for kind in ("_modules", "_parameters", "_buffers"):
                setattr(self, kind, getattr(module, kind))

        def forward(self, x: Any) -> Any:
            before, after = self.around
            return after(self.inner(before(x)))

    return Composed(module, before, after)


def run_alike(model: Any, module: Any) -> Any:
    """Another module in the place of a model's own, run as that one is."""
    return replace(model, module=module) if isinstance(model, TorchModel) else module
