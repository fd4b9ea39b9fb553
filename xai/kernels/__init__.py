"""Compiled loops: Numba for arrays on the CPU; tensors stay with torch."""
