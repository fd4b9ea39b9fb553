"""Concepts of a layer: the directions, the crops they came from, and what can be asked of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.archive import write
from xai.concepts.crops import (
    Indices,
    check_count,
    check_finite,
    class_index,
    opened,
    place_rows,
    pooled_crops,
    read_only,
    windows,
    within,
)
from xai.concepts.factors import Factors, factorise
from xai.concepts.importance import Importance, importance
from xai.concepts.nnls import coefficients
from xai.inputs import is_number, is_whole, on_host
from xai.streams import as_seed

if TYPE_CHECKING:
    from torch import Tensor

    from xai.concepts.crops import Network

Floats: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True, eq=False, repr=False)
class ConceptBank:
    """Concepts of a network's layer; `fit` makes one.

    Attributes
    ----------
    basis : (r, C)
        W: each concept as a direction of the layer's channels, of length 1.
    offset : (C,)
        What is subtracted from activations first; 0 but for PCA.
    coefficients : (m, r)
        U: how much of each concept there is in each crop.
    boxes : (m, 5) int
        Image, top, left, height and width of each crop; of series and volumes the image, where
        each axis starts, and how long it is.
    layer : name of the layer
    factors : "nmf", "semi_nmf", "kmeans" or "pca", which ran
    error : ‖A − UW‖/‖A‖ of the crops
    target : the class whose images they are, or None
    input_shape : (channels, height, width)
    images : (n, channels, height, width), read-only, or None
    seed : int
    converged : whether the factorisation met its tolerance
    model : the network; None after `load` without it

    Examples
    --------
    >>> import torch, xai
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(),
    ...                           torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    >>> x = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bank = xai.concepts.fit(net, x, layer="1", n_concepts=2)
    >>> bank.layer, bank.factors, bank.importance(target=0).values.shape
    ('1', 'nmf', (2,))
    """

    basis: Floats
    offset: Floats
    coefficients: Floats
    boxes: Indices
    layer: str
    factors: str
    error: float
    target: int | None
    input_shape: tuple[int, ...]
    seed: int
    converged: bool = True
    images: NDArray[Any] | None = None
    model: Any = None

    def __len__(self) -> int:
        return len(self.basis)

    def __repr__(self) -> str:
        return (
            f"ConceptBank({len(self)} concepts of {self.layer!r} by {self.factors}, "
            f"{len(self.boxes)} crops, error={self.error:.3g}"
            f"{'' if self.converged else ', not converged'})"
        )

    @property
    def names(self) -> list[str]:
        """A name for each concept."""
        return [f"concept {i}" for i in range(len(self))]

    # -- coefficients -------------------------------------------------------------------------

    def basis_like(self, a: Tensor) -> Tensor:
        """W where activations live, in their precision."""
        import torch

        # torch takes no reversed view
        return torch.from_numpy(self.basis.copy()).to(a.device, a.dtype)

    def coefficients_of(self, a: Tensor, axis: int) -> Tensor:
        """Coefficients of a layer's output, place by place, concepts where the channels were.

        They have gradients in `a`. A ValueError where the bank is of another network or layer.
        """
        import torch

        if a.shape[axis] != self.basis.shape[1]:
            raise ValueError(
                f"layer {self.layer!r} gives {a.shape[axis]} channels, and the concepts have "
                f"{self.basis.shape[1]}: this bank is of another network or layer"
            )
        last = torch.movedim(a, axis, -1)
        flat = last.reshape(-1, a.shape[axis])
        if self.offset.any():
            flat = flat - torch.from_numpy(self.offset.copy()).to(a.device, a.dtype)
        u = coefficients(flat, self.basis_like(a), signed=self.factors == "pca")
        return torch.movedim(u.reshape(*last.shape[:-1], len(self)), -1, axis)

    def transform(self, images: Any = None, *, batch_size: int = 32) -> Floats:
        """How much of each concept there is at each place of images.

        Parameters
        ----------
        images : (n, channels, height, width); the bank's own where None

        Returns
        -------
        (n, *places, r), of images (n, h, w, r), or (n, r) where the layer has no places
        """
        from xai.layers import feature_maps

        check_count("batch_size", batch_size)
        parts = []
        with opened(self._network(), self._images(images), self.layer) as network:
            for batch in network.batches(batch_size):
                a, axis = network.activations(batch)
                u = self.coefficients_of(a, axis)
                maps = feature_maps(u, axis, network.sides)
                parts.append(on_host(u) if maps is None else np.moveaxis(maps, 1, -1))
        out = np.concatenate(parts)
        check_finite(out, np.arange(len(out)), self.layer)
        return out

    # -- questions ----------------------------------------------------------------------------

    def importance(
        self,
        images: Any = None,
        *,
        target: Any = None,
        summary: Any = None,
        seed: int | None = None,
        **options: Any,
    ) -> Importance:
        """How much each concept matters for a class: the mean of `explain` over its images.

        Parameters
        ----------
        images : the class's images; the bank's own where None
        target : as for `explain`; the bank's own class, or "predicted"
        summary : total Sobol indices where None; any other, such as "shapley"
        options : further keywords of `explain`, such as ``designs=``, ``budget=``, ``batch_size=``
        """
        if target is None:
            target = "predicted" if self.target is None else self.target
        seed = self.seed if seed is None else seed
        model, images = self._network(), self._images(images)
        return importance(self, model, images, target=target, summary=summary, seed=seed, **options)

    def refine(
        self,
        concept: int,
        *,
        layer: Any,
        n_concepts: int = 5,
        percentile: float = 90.0,
        factors: Factors = "auto",
        batch_size: int = 64,
    ) -> ConceptBank:
        """Sub-concepts: what an earlier layer sees in the crops that have most of a concept.

        Parameters
        ----------
        percentile : of the concept's coefficients; crops above it are taken

        Raises
        ------
        ValueError
            No such concept, a `percentile` outside [0, 100), or too few crops above it.

        Notes
        -----
        The recursion of CRAFT (Fel et al. 2023, §3.1).
        """
        u = self.coefficients[:, self.index(concept)]
        check_count("n_concepts", n_concepts)
        check_count("batch_size", batch_size)
        if not (is_number(percentile) and 0 <= percentile < 100):
            raise ValueError(f"percentile={percentile!r}: expected a number from 0 up to 100")
        boxes = self.boxes[u > np.percentile(u, percentile)]
        if len(boxes) < n_concepts:
            raise ValueError(
                f"{len(boxes)} of {len(u)} crops have more of concept {concept} than its "
                f"percentile={percentile!r}, too few for n_concepts={n_concepts!r}: lower either"
            )
        with opened(self._network(), self._images(None), layer) as network:
            A = pooled_crops(network, boxes, batch_size)
            bank = _bank(network, A, boxes, n_concepts, factors, self.seed, target=self.target)
        return replace(bank, images=self.images, model=self.model)

    def best(self, concept: int, k: int = 10) -> Indices:
        """The k crops that have most of a concept, most first: rows of `boxes`."""
        check_count("k", k, least=0)
        u = self.coefficients[:, self.index(concept)]
        return np.argsort(-u, kind="stable")[:k]

    def crops(self, concept: int, k: int = 10) -> list[NDArray[Any]]:
        """The pixels of these crops, (channels, height, width) each."""
        images = self._images(None)
        return [images[within(box)] for box in self.boxes[self.best(concept, k)]]

    def index(self, concept: int) -> int:
        """A concept's index; a ValueError where there is no such concept."""
        if not is_whole(concept) or not 0 <= concept < len(self):
            raise ValueError(f"concept {concept!r}: expected an index from 0 to {len(self) - 1}")
        return int(concept)

    def plot(self, importance: Importance | None = None, **options: Any) -> Any:
        """Draw the concept sheet; see `xai.plots.concept_sheet`."""
        from xai.plots.concepts import concept_sheet

        return concept_sheet(self, importance, **options)

    def _network(self) -> Any:
        if self.model is None:
            raise ValueError(
                "this bank has no network: load it with xai.concepts.load(path, model=…)"
            )
        return self.model

    def _images(self, images: Any) -> Any:
        if images is not None:
            return images
        if self.images is None:
            raise ValueError("this bank was saved without its images: pass images=")
        return np.array(self.images)  # torch takes no array that is read-only

    # -- files --------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str], *, images: bool = True) -> None:
        """Write one npz file at that very path: arrays, and JSON for the rest; no pickle.

        Parameters
        ----------
        images : whether to write the images too, without which there are no crops to look at
        """
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if images and self.images is not None:
            arrays["images"] = self.images
        meta = json.dumps({name: getattr(self, name) for name in _META})
        write(path, {"concepts": np.array(meta), **arrays})


def as_bank(bank: Any) -> ConceptBank:
    """A bank, checked: a file's path is none, nor is what `ace` returns.

    Raises
    ------
    TypeError
        Anything else.
    """
    if isinstance(bank, ConceptBank):
        return bank
    raise TypeError(
        f"bank={bank!r:.80}: expected a ConceptBank, as xai.concepts.fit and xai.concepts.load "
        f"return it, not {type(bank).__name__}"
    )


_ARRAYS = ("basis", "offset", "coefficients", "boxes")
_META = ("layer", "factors", "error", "target", "input_shape", "seed", "converged")


def load(path: str | PathLike[str], model: Any = None) -> ConceptBank:
    """Read a bank that `ConceptBank.save` wrote.

    Parameters
    ----------
    model : the network it was fitted on, which is not in the file

    Raises
    ------
    ValueError
        The file was not written by `ConceptBank.save`.

    Examples
    --------
    >>> import tempfile, torch, xai
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(),
    ...                           torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    >>> x = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     xai.concepts.fit(net, x, layer="1", n_concepts=2).save(f"{folder}/bank.npz")
    ...     load(f"{folder}/bank.npz", net).basis.shape
    (2, 4)
    """
    refusal = f"{path} is no concept bank: it was not written by ConceptBank.save"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:  # or pickles
        raise ValueError(refusal) from error
    if "concepts" not in arrays:
        raise ValueError(refusal)
    meta: dict[str, Any] = json.loads(str(arrays.pop("concepts")))
    meta["input_shape"] = tuple(meta["input_shape"])
    for array in arrays.values():
        array.setflags(write=False)
    read: dict[str, Any] = arrays | meta
    return ConceptBank(model=model, **read)


def fit(
    model: Any,
    images: Any,
    *,
    layer: Any = "auto",
    n_concepts: int = 10,
    target: int | None = None,
    crop: int | Sequence[int] | Literal["auto", "places", "patches"] = "auto",
    stride: int | None = None,
    factors: Factors = "auto",
    batch_size: int = 64,
    seed: int = 0,
) -> ConceptBank:
    """Find the concepts that a network's layer sees in images.

    Activations of the layer, at each place of the images or averaged over crops of them, are
    factorised: A ≈ UW, rows of W the concepts.

    Parameters
    ----------
    model : torch.nn.Module or TorchModel
    images : (n, channels, height, width) array or tensor
        Or series (n, channels, steps), or volumes, of a network that begins with a convolution.
        All are used. CRAFT takes images which the network gives the class.
    layer : str or module
        "auto": the last that has feature maps. Of a plain or residual net the output of a block,
        of a vision transformer a block's or its norm's.
    target : int, optional
        The class whose images these are: what `ConceptBank.importance` is for.
    crop : {"auto", "places", "patches"}, int or (height, width)
        "places": each place of the whole images' activations, which are what importances and maps
        take apart. "patches", CRAFT's own: crops of 2/7 of the shorter side, as 64 of 224, resized
        to the images' size; a number: crops of such sides in pixels. Enlarged, things have another
        scale than in the images, and more of these is left over; but there are fewer rows than
        an early layer has places. "auto": "places", and "patches" of a layer that has none.
    stride : int, optional
        Pixels from one crop to the next; 4/5 of the crop. Places have none.
    factors : {"auto", "nmf", "semi_nmf", "kmeans", "pca"}
        "auto": NMF; where activations are negative semi-NMF, with a warning.
    seed : int or numpy.random.Generator

    Raises
    ------
    TypeError, ValueError
        No torch module, no batch of images, an unknown layer, crops that do not fit, more
        concepts than crops.

    Notes
    -----
    CRAFT (Fel, Picard, Béthune et al. 2023, CVPR), but for the default `crop`. NMF has no penalty.

    Examples
    --------
    >>> import torch, xai
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 5), torch.nn.ReLU(),
    ...                           torch.nn.Flatten(), torch.nn.Linear(8 * 144, 2))
    >>> x = torch.randn(20, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> bank = fit(net, x, layer="1", n_concepts=3)
    >>> bank.basis.shape, bank.transform(x).shape
    ((3, 8), (20, 12, 12, 3))
    """
    target, seed = None if target is None else class_index(target), as_seed(seed)
    check_count("n_concepts", n_concepts)
    check_count("batch_size", batch_size)
    with opened(model, images, layer) as network:
        shape = network.sides
        word = crop if isinstance(crop, str) else ""
        whole = word in ("auto", "places")
        if stride is not None and whole:
            raise ValueError(
                f"stride={stride!r} is from crop to crop: take crop='patches' or a number of pixels"
            )
        size, step = _sides(shape, None if whole or word == "patches" else crop, stride)
        rows = place_rows(network, size, batch_size) if whole else None
        if rows is not None:
            A, boxes = rows
        elif word == "places":
            raise ValueError(
                f"layer {network.probe.name!r} has no places: take crop='patches', or a number of "
                "pixels"
            )
        else:
            boxes = windows(len(network.images), shape, size, step)
            A = pooled_crops(network, boxes, batch_size)
        bank = _bank(network, A, boxes, n_concepts, factors, seed, target=target)
    return replace(bank, images=read_only(images), model=model)


def _sides(shape: tuple[int, ...], crop: Any, stride: int | None) -> tuple[tuple[int, ...], int]:
    if crop is None:
        crop = max(1, round(min(shape) * 2 / 7))
    sides = (crop,) * len(shape) if is_whole(crop) else crop
    fits = isinstance(sides, Sequence) and len(sides) == len(shape) and all(map(is_whole, sides))
    if not fits or not all(1 <= p <= s for p, s in zip(sides, shape, strict=True)):
        raise ValueError(
            f"crop={crop!r}: expected 'places', 'patches', a number of pixels or (height, width), "
            f"of at most {shape}, the images' sides"
        )
    stride = max(1, int(0.8 * min(sides))) if stride is None else stride
    if not is_whole(stride) or stride < 1:
        raise ValueError(f"stride={stride!r}: expected at least 1 pixel")
    return tuple(map(int, sides)), int(stride)


def _bank(
    network: Network,
    A: Floats,
    boxes: Indices,
    n_concepts: int,
    factors: Factors,
    seed: int,
    *,
    target: int | None,
) -> ConceptBank:
    check_finite(A, boxes[:, 0], network.probe.name)
    W, offset, how, converged = factorise(A, n_concepts, factors, seed)
    U = np.asarray(coefficients(A - offset, W, signed=how == "pca"))
    error = float(np.linalg.norm(A - offset - U @ W)) / max(float(np.linalg.norm(A)), 1e-30)
    for array in (W, offset, U, boxes):
        array.setflags(write=False)
    return ConceptBank(
        W, offset, U, boxes, network.probe.name, how, error,
        target, tuple(int(s) for s in network.images.shape[1:]), int(seed), converged,
    )  # fmt: skip
