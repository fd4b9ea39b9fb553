"""Pipelines of transformers that classify texts, as functions from texts to scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 32
"""Texts that a pipeline pads to one length, where it was not made with a `batch_size`."""


def is_pipeline(model: Any) -> bool:
    """Whether it is a pipeline that gives each text labels with their scores."""
    config = getattr(getattr(model, "model", None), "config", None)
    return getattr(model, "task", None) == "text-classification" and hasattr(config, "id2label")


def scores_of(
    pipeline: Any,
) -> tuple[Callable[[Sequence[str]], NDArray[np.float64]], list[str]]:
    """A function from n texts to all labels' scores (n, k), in the model's order, and the labels.

    Whatever `top_k` the pipeline was made with; its other settings hold.
    """
    known = pipeline.model.config.id2label
    labels = [known[i] for i in sorted(known)]
    pads = getattr(getattr(pipeline, "tokenizer", None), "pad_token", None) is not None
    size = getattr(pipeline, "_batch_size", None) or (BATCH if pads else 1)

    def scores(texts: Sequence[str]) -> NDArray[np.float64]:
        found = pipeline(list(texts), top_k=None, batch_size=size)
        by_label = [{each["label"]: each["score"] for each in one} for one in found]
        return np.array([[one[label] for label in labels] for one in by_label], np.float64)

    return scores, labels
