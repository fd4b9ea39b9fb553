"""One way to call any model: a batch as the model wants it in, outputs `(n, k)` out."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, is_dataclass, replace
from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.inputs import Block, Inputs, as_tensor, is_tensor, on_host
from xai.pipelines import is_pipeline, scores_of
from xai.tables import cells_of
from xai.threads import one_thread_of_blas
from xai.torch_model import TorchModel, as_torch_model

Scale: TypeAlias = Literal["probability", "score", "indicator", "amount", "module", "callable"]
"""What the outputs are: `predict_proba`'s, a `decision_function`'s, a `predict`-only classifier's,
a regressor's, a torch module's (logits), or an unknown callable's."""


@dataclass(frozen=True)
class Model:
    """A model as the game calls it.

    Attributes
    ----------
    call : what `prepare` gives -> (n,) or (n, k); (inputs, rows) where it goes `by_row`
    prepare : block -> what the model takes
    scale : Scale
    labels : the classes' labels, where the model knows them
    torch_model : the torch module and how it is run, where it is one
    is_ensemble : whether a call runs many members one by one, so that few large calls pay
    reads : the dtype that the model turns every number of an array into, where that is known
    estimator : the fitted estimator, where `call` is its method
    forward : as `call`, with gradients; where it is a torch module
    by_row : whether the model must know the explained row of each input: the rest of a network
        behind one of its layers
    alike : whether equal inputs of different rows have equal outputs: not behind a layer that
        something of each row's own skips
    width : numbers of a row in the widest layer's output, or that are made of it before anything
        else; where these are known, and more than the row's own
    compact : whether calls without gradients run on a few parts that rows are sums of, to the end:
        then these alone are as wide
    reused : names of the module's layers that run more than once in a pass, and how often
    """

    call: Callable[..., Any]
    prepare: Callable[[Block], Any]
    scale: Scale
    labels: Sequence[Any] = ()
    torch_model: TorchModel | None = None
    is_ensemble: bool = False
    reads: Any = None
    estimator: Any = None
    forward: Callable[..., Any] | None = None
    by_row: bool = False
    alike: bool = True
    width: int = 0
    compact: bool = False
    reused: Mapping[str, int] = field(default_factory=dict)

    @property
    def classifies(self) -> bool:
        """Whether the largest of several outputs is a prediction."""
        return self.scale != "amount"

    def __call__(
        self, block: Block, rows: NDArray[np.intp] | None = None, size: int | None = None
    ) -> NDArray[np.floating]:
        """Outputs `(n, k)`, float32 or float64, for inputs made of `rows` (n,), in one call.

        Or in calls of `size` rows, where these are fewer: of tensors.
        """
        n, batch = int(block.shape[0]), self.prepare(block)
        if size is None or size >= n:
            return self.read(self.call(batch, rows) if self.by_row else self.call(batch), n)
        slices = (batch[start : start + size] for start in range(0, n, size))
        with nullcontext() if self.torch_model is None else self.torch_model.no_gradients():
            parts = [self.read(self.call(part), len(part)) for part in slices]
        for part in parts:
            check_width(part.shape[1], parts[0].shape[1])
        return np.concatenate(parts)

    def read(self, given: Any, n: int) -> NDArray[np.floating]:
        """What the model gave for n rows, as numbers (n, k) that no later call writes on."""
        out = as_numbers(given, n)
        out = out[:, None] if out.ndim == 1 else out
        if self.scale == "score" and out.shape[1] == 1:
            return np.concatenate([-out, out], axis=1)
        return out.copy()

    def laid_out(self, block: Block) -> Block:
        """A batch in the memory format that a module was asked to run in."""
        return self.torch_model.laid_out(block) if self.torch_model and is_tensor(block) else block

    def tensor(self, block: Any, rows: NDArray[np.intp]) -> Any:
        """Outputs `(n, k)` of a torch module as a tensor with gradients.

        Raises
        ------
        TypeError
            The model is no torch module.
        """
        if self.forward is None:
            raise TypeError(
                "gradients need a torch module (or a function of tensors, with x a tensor), and "
                "this model is none: choose a method that removes features instead, such as "
                "'shapley' or 'occlusion'"
            )
        out = self.forward(self.prepare(block), *((rows,) if self.by_row else ()))
        if not is_tensor(out):
            raise TypeError(
                f"the model returned a {type(out).__name__}; expected a tensor: say which of its "
                "outputs is explained with xai.TorchModel(module, output=0) or output='a name'"
            )
        if out.ndim not in (1, 2) or len(out) != len(block):
            raise ValueError(_wrong_shape("a tensor", tuple(out.shape), len(block)))
        out = out.float() if out.dtype.itemsize < 4 else out
        return out[:, None] if out.ndim == 1 else out

    @property
    def module(self) -> Any:
        """The torch module, where the model is one."""
        return None if self.torch_model is None else self.torch_model.module

    def session(self) -> AbstractContextManager[None]:
        """Put a torch module in the state in which it is evaluated; restore it afterwards.

        NumPy's threads are held back where the model has others of its own.
        """
        if self.torch_model is not None:
            return self.torch_model.session()
        return one_thread_of_blas() if _boosts_on_threads(self.estimator) else nullcontext()


class Rehearsed(Exception):  # noqa: N818 — it ends a rehearsal, and no caller sees it
    """A rehearsal has come to where the model would be called: nothing was refused before."""


def uncalled(model: Model) -> Model:
    """The model of a rehearsal: it is known, and raises `Rehearsed` where it is called.

    Examples
    --------
    >>> model = Model(call=lambda x: x, prepare=lambda block: block, scale="callable")
    >>> uncalled(model)(np.ones((1, 2)))
    Traceback (most recent call last):
    ...
    xai.model.Rehearsed
    """

    def call(*_: Any) -> Any:
        raise Rehearsed

    return replace(model, call=call, forward=None if model.forward is None else call)


def as_numbers(given: Any, n: int, by: str = "the model") -> NDArray[np.floating]:
    """What a model returned for n rows, as float32 or float64: (n,) or (n, k).

    Parameters
    ----------
    by : who returned it, in messages

    Raises
    ------
    TypeError, ValueError
        What is no numbers, or not so many.

    Examples
    --------
    >>> as_numbers([True, False], 2)
    array([1., 0.])
    """
    out = _as_array(given, by)
    if out.ndim not in (1, 2) or out.shape[0] != n:
        raise ValueError(_wrong_shape("an array", out.shape, n, by))
    if out.ndim == 2 and out.shape[1] == 0:
        raise ValueError(f"{by} returned no outputs")
    return out


def _wrong_shape(kind: str, shape: tuple[int, ...], n: int, by: str = "the model") -> str:
    """What is said of outputs that are neither (n,) nor (n, k)."""
    told = f"{by} returned {kind} of shape {shape} for {n} rows; expected ({n},) or ({n}, k)"
    if len(shape) > 2:
        return f"{told}: wrap it, so that it returns k numbers of each row, such as means of places"
    if n == 1:
        return f"{told}: does it squeeze the batch, too, where that is one row?"
    return f"{told} (one image or series alone is passed as x[None])" if by == "the model" else told


def check_width(k: int, before: int, by: str = "the model") -> None:
    """Refuse outputs of a call that are not as many as in the calls before it."""
    if k != before:
        raise ValueError(
            f"{by} returned {before} outputs in one call and {k} in another; "
            "it must always return the same number"
        )


def _as_array(out: Any, by: str) -> NDArray[np.floating]:
    if is_tensor(out):
        array: NDArray[Any] = on_host(out)
    elif type(out) is np.ndarray:
        array = out
    else:
        array = _of_another_kind(out, by)
    if array.dtype.kind not in "biuf":
        array = _numbers_among(array, by)
    if array.dtype.kind == "f" and array.dtype.itemsize >= 4:
        return array
    return array.astype(np.float64 if array.dtype.kind != "f" else np.float32)


def _of_another_kind(out: Any, by: str) -> NDArray[Any]:
    """An array of what a model returned that is neither array nor tensor."""
    if np.ma.is_masked(out):
        raise TypeError(f"{by} returned a masked array; expected a number for each row")
    if out is None:
        raise TypeError(
            f"{by} returned None; it must return one number, or k, for each row of its batch: "
            "is there a return missing?"
        )
    parts = out if isinstance(out, tuple | list) else ()
    first: Any = parts[0] if parts else None
    arrays = bool(parts) and all(isinstance(part, np.ndarray) and part.ndim > 1 for part in parts)
    if is_tensor(first) and first.ndim == 0:
        return _as_array([on_host(number) for number in out], by)
    if isinstance(out, dict) or is_dataclass(out) or is_tensor(first) or arrays:
        raise TypeError(
            f"{by} returned a {type(out).__name__}: say which of its outputs is explained, "
            "with xai.TorchModel(module, output=0) or output='a name', or wrap it in a function "
            "that returns one array (n, k)"
        )
    if isinstance(first, dict) and any(map(is_tensor, first.values())):
        raise TypeError(
            f"{by} returned a {type(out).__name__} of dicts, as detectors do of images: "
            "say what is explained with xai.TorchModel(module, output=f), f a function of them "
            "that returns numbers (n, k), such as the score of the box nearest to one"
        )
    try:
        return np.asarray(out.toarray() if hasattr(out, "toarray") else out)
    except ValueError as error:
        raise ValueError(
            f"{by} returned a {type(out).__name__} whose parts do not have the same shape; "
            "expected one array, (n,) or (n, k)"
        ) from error


def _numbers_among(array: NDArray[Any], by: str) -> NDArray[np.float64]:
    """Objects that are all numbers as such, or an error that shows the first that is none."""
    if array.dtype.kind in "OSU":
        odd = [value for value in array.ravel().tolist() if not isinstance(value, Real)]
        if not odd:
            return array.astype(np.float64)
        given = reprlib.repr(odd[0])
        if isinstance(odd[0], str):
            raise TypeError(
                f"{by} returned {given}; expected numbers, (n,) or (n, k): of labels, one for each "
                "class, such as np.array(f(x))[:, None] == ['no', 'yes'] of a function f"
            )
    else:
        given = f"values of dtype {array.dtype}"
    raise TypeError(
        f"{by} returned {given}; expected numbers, (n,) or (n, k), such as the probability "
        "or the score of each class"
    )


def is_module(model: object) -> bool:
    """Whether `model` is a torch module, or a `TorchModel` of one; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module | TorchModel)


def wanted_columns(model: Any) -> list[str] | None:
    """Column names an estimator was fitted with, where it knows them."""
    if is_module(model) or not _predicts(model):
        return None
    names = getattr(model, "feature_names_in_", None)
    if names is None and _package(_first(model)) == "catboost":
        names = getattr(_first(model), "feature_names_", None)
        if names is not None and all(name.isdigit() for name in names):
            return None  # it has numbered columns that had no names
    return None if names is None else list(names)


_PREDICTIONS = ("predict_proba", "decision_function", "predict")


def _predicts(model: Any) -> bool:
    """Whether it is called as an estimator is, rather than as a function."""
    return any(hasattr(model, name) for name in _PREDICTIONS)


def takes_texts(model: Any) -> bool:
    """Whether a model begins with one of scikit-learn's text vectorizers, or classifies texts."""
    return hasattr(_first(model), "build_analyzer") or is_pipeline(model)


def _first(model: Any) -> Any:
    """The estimator or transformer that rows come to first, in pipelines, unions and wrappers."""
    if (own := wrapped(model)) is not None:
        return _first(own)
    if is_a(model, "Pipeline", "FeatureUnion"):
        parts = model.steps if is_a(model, "Pipeline") else model.transformer_list
        return _first(parts[0][1]) if parts else model
    return model


def check_model(model: Any) -> None:
    """Refuse what is no fitted model.

    Raises
    ------
    TypeError
        A class, or an object that can neither be called nor predicts.
    sklearn.exceptions.NotFittedError
        A scikit-learn estimator that was not fitted (a ValueError).
    """
    if isinstance(model, type):
        raise TypeError(f"{model.__name__} is a class; pass a fitted instance of it")
    if is_module(model):
        return
    if not callable(model) and not _predicts(model):
        raise TypeError(
            f"{type(model).__name__} is no model: pass a fitted estimator, a torch module, "
            "or a callable from a batch to (n,) or (n, k)"
        )
    if not _predicts(model):
        return  # a function: scikit-learn would take a second to import
    from sklearn.base import BaseEstimator
    from sklearn.utils.validation import check_is_fitted

    if isinstance(model, BaseEstimator) and hasattr(model, "fit"):
        check_is_fitted(model)


def wrap(model: Any, inputs: Inputs) -> Model:
    """Find how to call `model` on rows like `inputs`, and what its outputs mean."""
    if is_module(model):
        runs = as_torch_model(model)
        prepare = _module_inputs(runs.module, inputs)
        return Model(runs.quiet, prepare, "module", torch_model=runs, forward=runs)
    if is_pipeline(model):
        scores, known_labels = scores_of(model)
        return Model(scores, inputs.decode, "callable", known_labels)
    if not _predicts(model):
        forward = model if is_tensor(inputs.block) else None
        members = _has_members(getattr(model, "__self__", None))  # forest.predict_proba
        return Model(model, inputs.decode, "callable", is_ensemble=members, forward=forward)
    prepare = _estimator_inputs(model, inputs)
    labels = getattr(model, "classes_", None)
    known: dict[str, Any] = {"is_ensemble": _has_members(model), "reads": _reads(model)}
    _refuse_several(model, labels)
    if hasattr(model, "predict_proba"):
        return Model(
            model.predict_proba, prepare, "probability", _labels(labels), estimator=model, **known
        )
    if hasattr(model, "decision_function") and (labels is not None or not _is(model, "regressor")):
        _refuse_pairs(model, labels)
        if labels is None and _is(model, "outlier_detector"):
            labels = [-1, 1]  # of an outlier and of an inlier, as its predict names them
        return Model(
            model.decision_function, prepare, "score", _labels(labels), estimator=model, **known
        )
    labels = _clusters(model) if labels is None else labels
    if labels is not None and not _is(model, "regressor"):

        def indicate(batch: Any) -> NDArray[np.float64]:
            predicted = np.asarray(model.predict(batch))
            of_class = np.asarray(predicted[:, None] == np.asarray(labels), np.float64)
            _refuse_others(predicted, of_class, labels)
            return of_class

        return Model(indicate, prepare, "indicator", _labels(labels), **known)
    predict = getattr(model, "inplace_predict", model.predict)  # of XGBoost's Booster
    return Model(predict, prepare, "amount", estimator=model, **known)


_ONE_ARRAY = {
    "predict_proba": "lambda x: model.predict_proba(x)[0], or model.predict_proba where that is "
    "one (a ClassifierChain's)",
    "decision_function": "model.decision_function where that is one (a ClassifierChain's)",
    "predict": "lambda x: model.predict(x)[:, 0] == label, for one of the first output's labels",
}


def _refuse_several(model: Any, labels: Any) -> None:
    """Refuse several outputs of several classes, whose labels are an array for each."""
    if isinstance(labels, list) and any(np.ndim(of_one) > 0 for of_one in labels):
        call = next(name for name in _PREDICTIONS if hasattr(model, name))
        raise TypeError(
            "the model has several outputs of several classes; pass a callable that returns "
            f"one array (n, k), for example {_ONE_ARRAY[call]}"
        )


def _refuse_others(predicted: NDArray[Any], of_class: NDArray[Any], labels: Any) -> None:
    """Refuse predictions that are none of the classes: they would count for nothing."""
    odd = np.flatnonzero(~of_class.reshape(len(predicted), -1).any(axis=1))
    if len(odd):
        given, known = reprlib.repr(predicted[odd[0]].tolist()), reprlib.repr(_labels(labels))
        raise ValueError(
            f"predict gave {given}, which is none of the model's classes, {known}: pass a callable "
            "that returns the numbers to explain, such as model.predict"
        )


def _refuse_pairs(model: Any, labels: Any) -> None:
    """Refuse scores of pairs of classes: none of them is the score of a class."""
    model = _last(model)
    shape = getattr(model, "decision_function_shape", None)
    if shape == "ovo" and labels is not None and len(labels) > 2:
        raise ValueError(
            f"{type(model).__name__}(decision_function_shape='ovo') scores pairs of classes, not "
            "classes: fit it, or set_params of it, with decision_function_shape='ovr'"
        )


def _last(model: Any) -> Any:
    """The estimator at the end of pipelines and wrappers."""
    while (own := wrapped(model)) is not None or is_a(model, "Pipeline"):
        model = model.steps[-1][1] if own is None else own
    return model


def wrapped(model: Any) -> Any:
    """Whose scores a search, a frozen estimator, or one with a threshold of its own hands on."""
    if is_a(model, "FrozenEstimator"):
        return model.estimator
    if is_a(model, "BaseThresholdClassifier"):
        return getattr(model, "estimator_", model.estimator)  # none of its own where it was fitted
    return getattr(model, "best_estimator_", None)


def _has_members(model: Any) -> bool:
    """Whether it is a fitted ensemble, or ends in one."""
    return hasattr(_last(model), "estimators_")


def is_a(estimator: Any, *names: str) -> bool:
    """Whether it is of one of these classes of scikit-learn, by name: nothing is imported."""
    return any(
        cls.__name__ in names and cls.__module__.startswith("sklearn.")
        for cls in type(estimator).__mro__
    )


def _boosts_on_threads(model: Any) -> bool:
    """Whether the estimator at the end is boosting that predicts on OpenMP's threads."""
    last = _last(model)
    boosts = _package(last) in ("lightgbm", "xgboost", "catboost")
    return boosts or is_a(last, "BaseHistGradientBoosting")


def _package(model: Any) -> str:
    """The package that an estimator's class is of."""
    return type(model).__module__.partition(".")[0]


_OF_TREES = {
    f"{kind}{task}"
    for kind in ("DecisionTree", "ExtraTree", "RandomForest", "ExtraTrees", "GradientBoosting")
    for task in ("Classifier", "Regressor")
}


def _reads(model: Any) -> Any:
    """Single precision of scikit-learn's own trees, and of forests and boosting; else None."""
    own = type(model).__module__.startswith("sklearn.")  # others may look at rows themselves
    return np.float32 if own and type(model).__name__ in _OF_TREES else None


def _is(model: Any, kind: str) -> bool:
    """Whether it is a "regressor" or an "outlier_detector", as scikit-learn tells them."""
    from sklearn import base

    try:
        return bool(getattr(base, f"is_{kind}")(model))
    except (AttributeError, TypeError):  # not a scikit-learn estimator: it has no tags
        return False


def _clusters(model: Any) -> Any:
    """The numbers that a clusterer gives its clusters, which are names and no amounts; else None.

    Its `labels_`, where there are any, are of the rows that it was fitted on last.
    """
    last = _last(model)
    if not is_a(last, "ClusterMixin"):
        return None
    centres = np.arange(len(getattr(last, "cluster_centers_", ())))
    known = [centres, *(getattr(last, name, ()) for name in ("labels_", "subcluster_labels_"))]
    found = [part for part in known if len(part)]
    return np.unique(np.concatenate(found)) if found else None


def _labels(classes: Any) -> list[Any]:
    return [] if classes is None else np.asarray(classes).tolist()


def _estimator_inputs(model: Any, inputs: Inputs) -> Callable[[Block], Any]:
    """Batches of the kind the estimator was fitted on: with column names, or without."""
    wanted = getattr(model, "n_features_in_", None)
    names = wanted_columns(model)
    width = inputs.shape[0] if len(inputs.shape) == 1 else None
    if wanted is not None and width is not None and width != wanted and not inputs.is_text:
        raise ValueError(f"x has {width} columns, but the model was fitted on {wanted}")
    if wanted is None or inputs.is_text:
        return inputs.decode
    if names is None and inputs.names is not None:

        def without_names(block: Block) -> Any:
            frame = inputs.decode(block)
            if inputs.worded or not any(column.nullable for column in inputs.columns or ()):
                return frame.to_numpy()
            return np.column_stack([cells_of(frame[c]) for c in frame.columns])  # NA is NaN

        return without_names
    if names is not None and inputs.names is None and not hasattr(inputs.block, "tocsr"):
        import pandas  # the estimator was fitted on a DataFrame

        def with_names(block: Block) -> Any:
            return pandas.DataFrame(on_host(inputs.decode(block)), columns=names)

        return with_names
    return on_host if is_tensor(inputs.block) else inputs.decode


def _module_inputs(module: Any, inputs: Inputs) -> Callable[[Block], Any]:
    """Batches as tensors of the module's own dtype, on its own device."""
    import torch

    if inputs.is_text:
        raise TypeError(
            "a torch module takes numbers, but x holds texts: pass a function from a list of "
            "strings to (n,) or (n, k) that tokenizes and calls the module"
        )
    if inputs.worded:
        raise TypeError(
            f"a torch module takes numbers, but column {inputs.worded[0]!r} of x (or of data) "
            "holds strings, categories or dates: encode them as numbers, and name columns of codes "
            "in categorical="
        )

    first = next((p for p in module.parameters() if p.is_floating_point()), None)
    if first is None:
        first = next((b for b in module.buffers() if b.is_floating_point()), torch.empty(0))
    if hasattr(inputs.block, "tocsr"):
        return lambda block: torch.from_numpy(block.toarray()).to(first.device, first.dtype)

    embeds = torch.nn.Embedding | torch.nn.EmbeddingBag  # whose integers must stay integers
    codes = any(isinstance(part, embeds) for part in module.modules())

    def prepare(block: Block) -> Any:
        batch = as_tensor(block)
        own = codes and not batch.is_floating_point()
        return batch.to(first.device) if own else batch.to(first.device, first.dtype)

    return prepare


def reads_codes(model: Model, inputs: Inputs) -> bool:
    """Whether a module takes whole numbers as they are, for an embedding: no gradients in these."""
    return model.module is not None and not model.prepare(inputs.block[:1]).is_floating_point()


def to_model_device(model: Model, inputs: Inputs) -> Inputs:
    """Keep rows as tensors where the module lives, so that batches are composed there."""
    if model.module is None or hasattr(inputs.block, "tocsr"):
        return inputs

    block = model.prepare(inputs.block)
    outer = inputs.encode

    def encode(rows: Any, what: str) -> Any:
        encoded = as_tensor(outer(rows, what)).to(block.device)
        return encoded.to(block.dtype) if block.is_floating_point() else encoded

    return replace(inputs, block=block, decode=lambda b: b, encode=encode, columns=None)
