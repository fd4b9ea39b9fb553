"""How good is an explanation? Faithfulness, robustness, complexity and localisation scores.

The metrics arrive with a later release; this package holds their place.
"""

__all__: list[str] = []
