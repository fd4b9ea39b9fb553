"""Explanations of shap as ours, and ours as shap's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai.archive import as_array, in_numbers, require
from xai.explanation import Explanation
from xai.places import channels_of
from xai.text import tokens_of

if TYPE_CHECKING:
    import shap

Floats = NDArray[np.floating[Any]]


def to_shap(explanation: Explanation) -> shap.Explanation:
    """An `Explanation` as a `shap.Explanation`: for shap's plots.

    Returns
    -------
    shap.Explanation
        The same numbers. Columns that hold no numbers are codes in `data`, as shap's colours need
        them, and themselves in `display_data`. Images have values for every pixel and channel, as
        shap's have: each player's value in equal shares, and the channels last. Outputs are named
        "top 1", "top 2", … where rows differ in the outputs explained.

    Raises
    ------
    ImportError
        shap is not installed.

    Examples
    --------
    >>> import xai
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> e = xai.explain(lambda x: x.sum(axis=1), x, "shapley", data=np.zeros((1, 2)))
    >>> theirs = to_shap(e)  # for shap.plots.beeswarm(theirs) and the like
    >>> theirs.values
    array([[1., 2.],
           [3., 4.]])
    """
    made = require("shap", "shap").Explanation
    outputs = explanation.output_labels if explanation.base_values.ndim == 2 else None
    common = {"base_values": np.array(explanation.base_values), "output_names": outputs}
    data = as_array(explanation.data)
    per_row = len(explanation.element_players) == len(explanation)
    if per_row and isinstance(explanation.data, list) and explanation.players == "Tokens()":
        return made(**_of_texts(explanation), **common)
    mapped = not explanation.layer or explanation.activations is not None
    if per_row and explanation.channel_axis is not None and data is not None and mapped:
        values, axis, last = _over_pixels(explanation), explanation.channel_axis, data.ndim - 1
        if axis:
            values, data = np.moveaxis(values, axis, last), np.moveaxis(data, axis, last)
        return made(values=values, data=data, **common)
    shown = None
    if data is not None and data.ndim == 2 and per_row and not explanation.layer:
        data = _of_players(data, explanation.element_players)
    if data is None or data.shape != explanation.values.shape[: data.ndim]:
        data = None
    elif data.ndim == 2 and data.dtype.kind not in "fiu":
        columns = [in_numbers(column) for column in data.T]
        shown = data.astype(object) if any(kinds for _, kinds in columns) else None
        data = np.stack([numbers for numbers, _ in columns], axis=1)
    return made(
        values=np.array(explanation.values), data=data, display_data=shown,
        feature_names=list(explanation.feature_names) or None, **common,
    )  # fmt: skip


def _of_players(data: NDArray[Any], owners: NDArray[np.intp]) -> NDArray[Any] | None:
    """Columns (n, d) in their players' order; None where a player is not one column."""
    order = np.argsort(owners, axis=1)
    alone = (np.take_along_axis(owners, order, axis=1) == np.arange(owners.shape[1])).all()
    return np.take_along_axis(data, order, axis=1) if alone else None


def _of_texts(explanation: Explanation) -> dict[str, Any]:
    """Words with the spaces behind them; "" of value 0 fills up what has fewer than others."""
    tokens = [tokens_of(text) for text in explanation.data]
    width = max(map(len, tokens))
    values = np.array(explanation.values[:, :width])
    for row, words in enumerate(tokens):
        values[row, len(words) :] = 0.0
    data = [words + [""] * (width - len(words)) for words in tokens]
    names = [[word.strip() for word in words] for words in data]
    return {"values": values, "data": np.array(data, object), "feature_names": names}


def _over_pixels(explanation: Explanation) -> Floats:
    """Values (n, *x.shape[1:][, k]) whose sums are those of the players, where none overlap."""
    spread = explanation.map(signed=True)
    if explanation.spans is not None or explanation.layer:
        shape = explanation.element_players.shape[1:]
        return np.asarray(spread / channels_of(shape, explanation.channel_axis))
    size = np.ones(explanation.element_players.shape)
    for row, owner in enumerate(explanation.element_players):
        owned = owner >= 0
        size[row][owned] = np.bincount(owner[owned])[owner[owned]]
    return np.asarray(spread / (size[..., None] if spread.ndim > size.ndim else size))


def from_shap(found: Any) -> Explanation:
    """A `shap.Explanation` as an `Explanation`: for our pictures, reports and metrics.

    Parameters
    ----------
    found : shap.Explanation
        Of one row or several; of one output or, on the last axis, several; interaction values.

    Returns
    -------
    Explanation
        The same numbers. Predictions are base values plus attributions; what shap does not tell
        (the removal, the cost, which output one output is, how far off it may be) is "unknown", 0,
        -1 or NaN.

    Raises
    ------
    ValueError
        Texts of different lengths: convert them one by one.

    Examples
    --------
    >>> import shap
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> theirs = shap.Explanation(values=x, base_values=np.zeros(2), data=x)
    >>> from_shap(theirs).predictions  # for .plot("beeswarm"), and for metrics
    array([3., 7.])
    """
    if None in found.shape:
        raise ValueError(
            "rows of different lengths, as of texts, are converted one by one: pass explanation[i]"
        )
    values, base, data, several = _in_rows(found)
    n, k = len(values), values.shape[-1] if several else 1
    interactions = None
    if data is not None and data.ndim == 2 and values.ndim == 3 + several:
        interactions, values = values, values.sum(axis=2)
    base = np.broadcast_to(base, (n, k) if several else (n,)).copy()
    shape = values.shape[1:-1] if several else values.shape[1:]
    owner = np.arange(int(np.prod(shape))).reshape(shape)
    sums = values.reshape(n, -1, k).sum(axis=1)
    names, target = _outputs(found.output_names, n, k if several else None)
    features = found.feature_names
    return Explanation(
        values=values, base_values=base, predictions=base + (sums if several else sums[:, 0]),
        std_error=np.full(values.shape, np.nan), evaluations=0, converged=None,
        interactions=interactions, info={},
        data=data,
        feature_names=[str(j) for j in range(owner.size)] if features is None
        else [str(name) for name in features],
        output_names=names, target=target,
        players="elements", method="shap", removal="unknown", behavior="unknown",
        summary="unknown", seed=0, exact=np.zeros(n, bool), runs=np.full(n, ""),
        element_players=np.broadcast_to(owner, (n, *shape)).copy(),
        channel_axis=_channel_axis(shape),
    )  # fmt: skip


def _in_rows(found: Any) -> tuple[Floats, Floats, NDArray[Any] | None, bool]:
    """Values, base values and data of rows, and whether the last axis is of outputs."""
    values, base = np.array(found.values, float), np.array(found.base_values, float)
    shown = found.data if found.display_data is None else found.display_data
    data = None if shown is None else np.asarray(shown)
    # shap's own slices keep `output_dims` and give the one output's name as a string.
    outputs = () if isinstance(found.output_names, str) else tuple(found.output_dims)
    single = values.ndim == 1 or (data is not None and data.ndim == 1)
    single |= bool(outputs) and (values.ndim == 2 or max(outputs) >= values.ndim)
    single |= not outputs and values.ndim == 3 and base.ndim == 0  # an image, as shap draws it
    if single:
        values, base = values[None], base[None] if base.ndim else base
        data = None if data is None else data[None]
        names = None if found.feature_names is None else [str(name) for name in found.feature_names]
        if data is not None and data.ndim == 2 and [str(word).strip() for word in data[0]] == names:
            data = None  # a text's words, which its names say already
    return values, base, data, bool(outputs)


def as_explanation(given: Any) -> Explanation:
    """Ours as it is, shap's converted.

    Raises
    ------
    TypeError
        It is neither.
    """
    ours = converted(given)
    if isinstance(ours, Explanation):
        return ours
    raise TypeError(
        f"expected an Explanation, ours or shap's, not {type(given).__name__}: pass what "
        "xai.explain returned"
    )


def converted(given: Any) -> Any:
    """Shap's explanation as ours, everything else as it is."""
    names = ("values", "base_values", "data", "feature_names")
    foreign = not isinstance(given, Explanation) and all(hasattr(given, name) for name in names)
    return from_shap(given) if foreign else given


def _outputs(given: Any, n: int, k: int | None) -> tuple[list[str], NDArray[np.intp]]:
    """Names of outputs, and which of them are explained: (n, k), or (n,) of one."""
    if k is None:
        name = given if isinstance(given, str) else "output"
        default = re.fullmatch(r"Output (\d+)", name)  # as shap calls them where nobody does
        index = int(default[1]) if default else -1
        return [*(f"Output {i}" for i in range(index)), name], np.full(n, index)
    names = np.array([] if given is None or isinstance(given, str) else given, str)
    if names.shape == (n, k) and names.ndim == 2:  # each row's own, as its k largest
        kinds, place = np.unique(names, return_inverse=True)
        return kinds.tolist(), place.reshape(n, k)
    known = names.tolist() if names.shape == (k,) else [f"output {i}" for i in range(k)]
    return known, np.tile(np.arange(k), (n, 1))


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """Which axis of a batch of images holds the channels, where it is plain."""
    fits = [axis for axis in (1, 3) if len(shape) == 3 and shape[axis - 1] in (1, 3, 4)]
    return fits[0] if len(fits) == 1 else None
