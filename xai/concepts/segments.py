"""Automatic concept explanations: segments of images, clustered, and tested by TCAV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.concepts.crops import (
    Network,
    check_count,
    check_finite,
    class_index,
    opened,
    place_maps,
    pooled,
    read_only,
    resized,
)
from xai.concepts.directions import Tcav, check_sets, class_gradients, from_activations
from xai.inputs import on_host, read
from xai.regions import Superpixels
from xai.streams import as_seed
from xai.summary.base import check_number

if TYPE_CHECKING:
    from torch import Tensor

Floats: TypeAlias = NDArray[np.floating]
Indices: TypeAlias = NDArray[np.intp]
Crop: TypeAlias = Literal["auto", "places", "patches"]


@dataclass(frozen=True, eq=False, repr=False)
class Cluster:
    """One concept of ACE.

    Attributes
    ----------
    segments : (m,) indices of `Ace.image` and `Ace.masks`, nearest to the centre first
    centre : (C,)
    tcav : the test of the class's sensitivity
    q_value : its p-value, adjusted for as many tests as there are clusters
    """

    segments: Indices
    centre: Floats
    tcav: Tcav
    q_value: float

    def __repr__(self) -> str:
        return f"Cluster({len(self.segments)} segments, {self.tcav!r}, q={self.q_value:.2g})"


@dataclass(frozen=True, eq=False, repr=False)
class Ace:
    """Concepts of a class, by mean TCAV score, equal ones by effect; significant ones alone.

    Attributes
    ----------
    concepts : list of Cluster
    rejected : list of Cluster, which were no more than random
    image : (s,) the image of each segment
    masks : (s, height, width) bool
    layer, target : what was looked at
    crop : "places" or "patches", which ran
    elsewhere : (C,) mean activations of segments of the random images
    images : (n, channels, height, width), read-only
    model : the network

    Examples
    --------
    >>> import torch, xai
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 5), torch.nn.ReLU(),
    ...                           torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
    ...                           torch.nn.Linear(4, 2))
    >>> data = xai.datasets.textures(16, size=32).data
    >>> found = ace(net, data[:6], data[6:], layer="1", target=0, n_concepts=2, segments=(6,),
    ...             runs=3, size=5)
    >>> found.layer, found.crop, found.masks.shape[1:]
    ('1', 'places', (32, 32))
    """

    concepts: list[Cluster]
    rejected: list[Cluster]
    image: Indices
    masks: NDArray[np.bool_]
    layer: str
    target: int
    crop: Literal["places", "patches"]
    elsewhere: Floats
    images: NDArray[Any]
    model: Any

    def __repr__(self) -> str:
        return (
            f"Ace({len(self.concepts)} concepts of output {self.target} in {self.layer!r}, "
            f"{len(self.rejected)} rejected, {len(self.image)} segments)"
        )

    def transform(self, images: Any = None, *, batch_size: int = 64) -> Floats:
        """How near each place of images is to each concept: 1 at its centre, 0 at what is common.

        ``(a − b)ᵀ(c − b) / ‖c − b‖²`` of the activations a at a place, the concept's centre c and
        the mean b of segments of random images: along the line from one to the other. A concept's
        own segments are but a part of this: k-means leaves the rest of a thing to other clusters.

        Parameters
        ----------
        images : (n, channels, height, width); the class's own where None

        Returns
        -------
        (n, h, w, number of concepts)

        Raises
        ------
        ValueError
            The layer has no places.
        """
        check_count("batch_size", batch_size)
        images = np.array(self.images) if images is None else images
        towards = np.array([c.centre for c in self.concepts]).reshape(-1, len(self.elsewhere))
        towards = towards - self.elsewhere
        towards = towards / (towards**2).sum(axis=1, keepdims=True)
        parts = []
        with opened(self.model, images, self.layer) as network:
            for maps in place_maps(network, batch_size):
                if maps is None:
                    raise ValueError(f"layer {self.layer!r} has no places, so there are no maps")
                parts.append((np.moveaxis(maps, 1, -1) - self.elsewhere) @ towards.T)
        out: Floats = np.concatenate(parts)
        check_finite(out, np.arange(len(out)), self.layer)
        return out

    def plot(self, **options: Any) -> Any:
        """Draw the concepts; see `xai.plots.ace_sheet`."""
        from xai.plots.concepts import ace_sheet

        return ace_sheet(self, **options)


def ace(
    model: Any,
    images: Any,
    random: Any,
    *,
    layer: Any,
    target: int,
    n_concepts: int = 25,
    segments: Sequence[int] = (15, 50, 80),
    crop: Crop = "auto",
    least_segments: int = 2,
    runs: int = 20,
    size: int = 40,
    level: float = 0.01,
    compactness: float = 20.0,
    sigma: float = 1.0,
    batch_size: int = 64,
    seed: int = 0,
) -> Ace:
    """Find a class's concepts among the segments of its images.

    The network's activations are averaged over segments of several resolutions, and clustered;
    clusters that are common enough are tested by TCAV.

    Parameters
    ----------
    images : (n, channels, height, width), of the class
    random : (p, channels, height, width) other images, whose segments make the random sets
    layer : str or module
    target : the class
    n_concepts : clusters of k-means, before those too small are dropped
    segments : about how many superpixels, for each resolution, coarse ones first
    crop : {"auto", "places", "patches"}
        "places": the mean, over a segment's pixels, of what the layer gives at their places in the
        whole image. "patches", the paper's own: each segment cut out, on the mean grey of all
        images, and resized to their size. Enlarged, textures have another scale than in the
        images, and each segment is a pass of the network; but of a deep layer, whose places see
        much of their image, clusters follow things and not images. "auto": "places", and "patches"
        of a layer that has none.
    least_segments : a cluster must have more segments than this
    runs, size : random sets of TCAV, and examples in each
    level : concepts whose p-value is above it are rejected
    compactness, sigma : SLIC's, for every image alike

    Raises
    ------
    ValueError
        Too few segments for the clusters, or none in `random`; an unknown `crop`, or "places" of a
        layer that has none; a target that is no index; numbers that are none.

    Notes
    -----
    Ghorbani, Wexler, Zou & Kim (2019), but for the default `crop`. A segment is kept where it
    covers more than 0.1 % of the image and has a Jaccard index of at most ½ with every one kept
    from coarser levels. With S segments from P of D images, a cluster is kept where ``P > S/2``, or
    ``P > S/4`` and ``P > D/4``, or ``P > S/10`` and ``P > D/2``.

    The class's logit often rises along each of many directions in all of its images, and their
    scores are 1 alike: such concepts are ordered by `Tcav.effect`, as the paper leaves open.

    p-values take segments as independent of each other. Those of one image are not, and less so
    where the network saw it whole: a cluster of few images has too small a one.

    Examples
    --------
    >>> import numpy as np, torch, xai
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 5), torch.nn.ReLU(),
    ...                           torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
    ...                           torch.nn.Linear(4, 2))
    >>> data = xai.datasets.textures(16, size=32).data
    >>> found = ace(net, data[:6], data[6:], layer="1", target=0, n_concepts=2, segments=(6,),
    ...             runs=3, size=5)
    >>> len(found.concepts) + len(found.rejected)
    2
    """
    from scipy.stats import false_discovery_control

    if crop not in ("auto", "places", "patches"):
        raise ValueError(f"crop={crop!r}: expected 'auto', 'places' or 'patches'")
    target, seed = class_index(target), as_seed(seed)
    _check(n_concepts, segments, least_segments, level)
    check_sets(runs, size)
    check_count("batch_size", batch_size)
    slic = Superpixels(compactness=compactness, sigma=sigma)
    with opened(model, images, layer) as network:
        name, n = network.probe.name, len(network.images)
        grey = network.images.movedim(1, 0).flatten(1).mean(1)
        image, masks = segmented(network.images, segments, slic)
        if len(image) < n_concepts:
            raise ValueError(f"n_concepts={n_concepts}, but there are {len(image)} segments")
        A, ran = _rows(network, image, masks, crop, grey, batch_size)
        check_finite(A, image, name)
    with opened(model, random, name) as network:
        others = segmented(network.images, segments, slic)
        B, _ = _rows(network, *others, crop, grey, batch_size)
        check_finite(B, others[0], name)
    found = _clusters(A, image, n, n_concepts, least_segments, seed)
    slopes = class_gradients(model, images, layer=name, target=target, batch_size=batch_size)
    tests = [
        from_activations(A[near], B, slopes, runs=runs, size=size, seed=seed) for near, _ in found
    ]
    q_values = false_discovery_control([test.p_value for test in tests]) if tests else []
    tested = [
        Cluster(near, centre, test, float(q))
        for (near, centre), test, q in zip(found, tests, q_values, strict=True)
    ]
    tested.sort(key=lambda cluster: (-cluster.tcav.mean, -cluster.tcav.effect))
    return Ace(
        [cluster for cluster in tested if cluster.q_value <= level],
        [cluster for cluster in tested if cluster.q_value > level],
        image, masks, name, target, ran, B.mean(axis=0), read_only(images), model,
    )  # fmt: skip


def _check(n_concepts: Any, segments: Any, least_segments: Any, level: Any) -> None:
    """Refuse settings that are wrong whatever the images, before anything is evaluated."""
    check_count("n_concepts", n_concepts)
    check_count("least_segments", least_segments, least=0)
    check_number("level", level)
    if not 0 <= level <= 1:
        raise ValueError(f"level={level!r}: expected a probability")
    listed = isinstance(segments, list | tuple | np.ndarray)
    if not listed or len(segments) == 0:
        raise ValueError(f"segments={segments!r}: expected a list of numbers, such as (15, 50, 80)")
    for count in segments:
        check_count("segments", count)


def segmented(
    images: Tensor, levels: Sequence[int], slic: Superpixels
) -> tuple[Indices, NDArray[np.bool_]]:
    """Segments of all images: the image of each (s,), and where it is (s, height, width)."""
    inputs = read(on_host(images))
    owners = [replace(slic, n=n).encode(inputs, 1).owner[:, 0] for n in levels]
    image, masks = [], []
    for i in range(len(images)):
        coarser: list[tuple[Indices, NDArray[np.bool_]]] = []
        for owner in owners:
            labels = owner[i].ravel()
            kept = np.bincount(labels) > 0.001 * len(labels)
            for other, there in coarser:
                kept &= ~_alike(labels, other)[:, there].any(axis=1)
            coarser.append((labels, kept))
            image += [i] * int(kept.sum())
            masks += [owner[i] == label for label in np.flatnonzero(kept)]
    return np.array(image, np.intp), np.array(masks)


def _alike(labels: Indices, others: Indices) -> NDArray[np.bool_]:
    """Whether each segment is half like each of another segmentation, by their Jaccard index."""
    sizes, widths = np.bincount(labels), np.bincount(others)
    pairs = np.bincount(labels * len(widths) + others, minlength=len(sizes) * len(widths))
    both = pairs.reshape(len(sizes), len(widths))
    return np.asarray(both > 0.5 * (sizes[:, None] + widths - both))


def _rows(
    network: Network,
    image: Indices,
    masks: NDArray[np.bool_],
    crop: Crop,
    grey: Tensor,
    batch_size: int,
) -> tuple[Floats, Literal["places", "patches"]]:
    """Activations (s, C) of segments, and by which crop."""
    rows = None if crop == "patches" else segment_rows(network, image, masks, batch_size)
    if rows is not None:
        return rows, "places"
    if crop == "places":
        raise ValueError(f"layer {network.probe.name!r} has no places: take crop='patches'")
    return pooled(network, _crops(network, image, masks, grey, batch_size)), "patches"


def segment_rows(
    network: Network, image: Indices, masks: NDArray[np.bool_], batch_size: int
) -> Floats | None:
    """Activations (s, C) of segments of whole images, in the images' order; None: no places.

    Each is the mean over the segment's pixels of what the layer gives at the place that holds the
    pixel; so the smallest segment has one.
    """
    rows: list[Floats] = []
    for maps in place_maps(network, batch_size):
        if maps is None:
            return None
        for a in maps:
            rows.append(_means(masks[image == len(rows)], a))
    return np.concatenate(rows)


def _means(masks: NDArray[np.bool_], a: Floats) -> Floats:
    """Means (s, C) over the pixels of masks (s, *sides) of what is at places (C, *grid)."""
    grid = a.shape[1:]
    lines = [np.arange(p) * g // p for p, g in zip(masks.shape[1:], grid, strict=True)]
    place = np.asarray(np.ravel_multi_index(np.ix_(*lines), grid))
    size = int(np.prod(grid))
    pixels = np.array([np.bincount(place[mask], minlength=size) for mask in masks], np.float64)
    means: Floats = pixels @ a.reshape(-1, size).T / pixels.sum(axis=1, keepdims=True)
    return means


def _crops(
    network: Network, image: Indices, masks: NDArray[np.bool_], grey: Tensor, batch_size: int
) -> Iterator[Tensor]:
    """Segments on grey, cut out to their bounding boxes and resized."""
    import torch

    def crop(i: int, mask: NDArray[np.bool_]) -> Tensor:
        at = tuple(slice(*ends) for ends in box(mask))
        inside = torch.as_tensor(mask[at], device=grey.device)
        part = network.images[i][(slice(None), *at)]
        shown = torch.where(inside, part, grey.reshape(-1, *[1] * mask.ndim))
        return resized(shown[None], network.sides)

    for start in range(0, len(image), batch_size):
        part = slice(start, start + batch_size)
        yield torch.cat([crop(i, m) for i, m in zip(image[part], masks[part], strict=True)])


def box(mask: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """The first place and the one behind the last along each axis: of images rows, columns."""
    return tuple((int(at.min()), int(at.max()) + 1) for at in np.nonzero(mask))


def _clusters(
    A: Floats, image: Indices, n: int, k: int, least: int, seed: int
) -> list[tuple[Indices, Floats]]:
    """Members, nearest first, and centre of each cluster that is common enough."""
    from sklearn.cluster import KMeans

    model = KMeans(k, n_init=4, random_state=seed % 2**32).fit(A)
    out = []
    for label, centre in enumerate(model.cluster_centers_):
        members = np.flatnonzero(model.labels_ == label)
        S, P = len(members), len(np.unique(image[members]))
        common = P > S / 2 or (P > S / 4 and n / 4 < P) or (P > S / 10 and n / 2 < P)
        if least < S and common:
            order = np.argsort(np.linalg.norm(A[members] - centre, axis=1), kind="stable")
            out.append((members[order], centre))
    return out
