"""How much each concept matters for a class of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xai.concepts.bank import ConceptBank
    from xai.explanation import Explanation

Floats: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True, eq=False, repr=False)
class Importance:
    """Mean values of concepts over images.

    Attributes
    ----------
    values : (r,)
    std_error : (r,) or None
        Monte-Carlo error with the images fixed, at most: all images share their masks, so their
        errors do not average out. None where values are exact.
    effect : (r,)
        Mean change of the output for a change of the concept's mask: the sign that shares of
        variance lack. For summaries with a sign their own values.
    spread : (r,)
        Standard error of the mean over images, as a sample of more; NaN for a single one.
    explanation : the images' own, `(n, r)`
    reconstruction_error : mean over images of ‖a − uW‖/‖a‖
    gap : mean over images of |value at uW − value|: what the concepts leave unexplained

    Examples
    --------
    >>> import torch, xai
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(),
    ...                           torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    >>> x = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bank = xai.concepts.fit(net, x, layer="1", n_concepts=2)
    >>> found = bank.importance(x[:4], target=0, summary="shapley")
    >>> found.values.shape, found.explanation.values.shape
    ((2,), (4, 2))
    """

    values: Floats
    std_error: Floats | None
    effect: Floats
    spread: Floats
    explanation: Explanation
    reconstruction_error: float
    gap: float

    @property
    def signed(self) -> Floats:
        """Values with the sign of their effect: negative where a concept speaks against."""
        return np.abs(self.values) * np.sign(self.effect)

    @property
    def order(self) -> NDArray[np.intp]:
        """Concepts from the most important for the output to the most important against it."""
        return np.argsort(-self.signed, kind="stable")

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        lines = [f"{self.explanation.summary} over {len(self.explanation)} images"]
        for i in self.order:
            error = "" if self.std_error is None else f" ± {self.std_error[i]:.2g}"
            against = " (against)" if self.effect[i] < 0 and self.values[i] > 0 else ""
            lines.append(f"  concept {i}: {self.values[i]:.3g}{error}{against}")
        lines.append(
            f"  left over: {self.reconstruction_error:.1%} of the activations, {self.gap:.3g} of "
            "the output"
        )
        return "\n".join(lines)


def importance(
    bank: ConceptBank, model: Any, images: Any, *, target: Any, **options: Any
) -> Importance:
    """Explain every image by the bank's concepts, and average."""
    from xai.concepts.players import Concepts
    from xai.explain import explain

    e = explain(model, images, "craft", players=Concepts(bank), target=target, **options)
    if e.values.ndim != 2:
        raise ValueError("importance is for one target: a class, or 'predicted'")
    n = len(e)
    spread = e.values.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(len(bank), np.nan)
    return Importance(
        values=e.values.mean(axis=0),
        std_error=None if e.std_error is None else e.std_error.mean(axis=0),
        effect=e.info.get("slope", e.values).mean(axis=0),
        spread=spread,
        explanation=e,
        reconstruction_error=float(e.info["reconstruction_error"].mean()),
        gap=float(np.abs(e.info["without_remainder"] - e.predictions).mean()),
    )
