"""Explanations as HTML: a fragment for notebooks, and self-contained pages.

Whatever comes from the user (names, labels, values) is escaped, and nothing is loaded from the
network: a page forbids it to itself.
"""

from xai.report.fragment import fragment
from xai.report.page import page
from xai.report.scores import scores_page

__all__ = ["fragment", "page", "scores_page"]
