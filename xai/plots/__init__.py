"""Pictures of explanations; matplotlib is imported when the first one is drawn."""

from xai.plots.choose import plot
from xai.plots.image import image, images
from xai.plots.table import bar, global_bar, waterfall

__all__ = ["bar", "global_bar", "image", "images", "plot", "waterfall"]
