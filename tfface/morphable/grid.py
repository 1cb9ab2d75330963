"""Faces that every machine decodes to the same vertices, to the bit: coefficients and basis on grids that fit float32.

Sums of float32 depend on their order, which no two runtimes share. They don't where every product and every partial sum
is a multiple of one power of two and below 2²⁴ times that, because nothing is then rounded.
"""

import numpy as np

GRID_MM = 0.3
"""By how much rounded coefficients move the vertices, the root of the mean square."""

_UNIT_MM = 2.0**-16
"""What all products of rounded coefficients and basis are multiples of: sums are exact below 256 mm."""


def coefficient_steps(basis: np.ndarray) -> np.ndarray:
    """Steps `[K]` float32, powers of two, for the coefficients of a basis `[K, 3V]` in mm per unit.

    A number may be rounded the more, the less it moves vertices: steps in proportion to its rms movement to the power
    of −2/3 have the fewest edges for numbers to lie on, Σ 1 / step, of all that move the vertices by `GRID_MM`. Here
    they are rounded to powers of two.
    """
    vertices = basis.shape[1] // 3
    moved = np.sqrt(np.sum(basis.astype(np.float64) ** 2, axis=1) / vertices)  # mm per unit, of each number
    moved = np.maximum(moved, 1e-4)
    steps = GRID_MM * np.sqrt(12.0 / np.sum(moved ** (2 / 3))) * moved ** (-2 / 3)
    return np.exp2(np.round(np.log2(steps))).astype(np.float32)


def exact_basis(basis: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The basis `[K, 3V]` float32 rounded, such that whole `steps` `[K]` of its rows have exact sums.

    A step then moves each coordinate by a multiple of 2⁻¹⁶ mm; faces of the default model differ from those of the
    basis as it was by 0.001 mm.
    """
    unit = (_UNIT_MM / steps.astype(np.float64))[:, None]
    return (np.round(basis / unit) * unit).astype(np.float32)
