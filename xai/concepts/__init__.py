"""What a network sees: concepts found in a layer, their importance, and where they are."""

from __future__ import annotations

from xai.concepts.bank import ConceptBank, fit, load
from xai.concepts.directions import Tcav, tcav
from xai.concepts.importance import Importance
from xai.concepts.nnls import coefficients
from xai.concepts.segments import Ace, ace

__all__ = [
    "Ace",
    "ConceptBank",
    "Importance",
    "Tcav",
    "ace",
    "coefficients",
    "fit",
    "load",
    "tcav",
]
