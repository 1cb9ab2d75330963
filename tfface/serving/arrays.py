"""Numbers of a request, checked alike whatever the protocol."""

import numpy as np

from tfface.serving.errors import RequestError
from tfface.serving.model import ArraySpec


def as_numbers(name: str, value, spec: ArraySpec) -> np.ndarray:
    """JSON's lists of numbers as an array of `spec.dtype`, in whatever shape they came.

    Raises:
      RequestError: 400: something else than numbers, lists of unequal lengths, or numbers that the type can't hold.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise ValueError("not all numbers")
        if array.size and array.dtype.kind == "f" and np.dtype(spec.dtype).kind in "iu":
            # Crops in 0…1 would all become black; TF Serving refuses them, too.
            raise ValueError("fractions where whole numbers are wanted")
        if np.dtype(spec.dtype).kind == "u" and (array.min(initial=0) < 0 or array.max(initial=0) > 255):
            raise ValueError("numbers outside 0…255")
        with np.errstate(over="ignore"):  # becomes inf, which `check_finite` refuses
            return array.astype(spec.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError(400, f"expected {name} as numbers of shape {spec.wanted}, received: {error}") from error


def check_shape(name: str, shape, spec: ArraySpec):
    """Refuses (400) a `shape`, without the batch, that isn't the spec's, or an empty one."""
    if len(shape) != len(spec.shape) or any(
        size == 0 or expected not in (None, size) for size, expected in zip(shape, spec.shape, strict=True)
    ):
        raise RequestError(400, f"expected {name} of shape {spec.wanted}, received {list(shape)}")


def check_finite(name: str, array: np.ndarray):
    """Refuses (400) NaN and infinities."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RequestError(400, f"expected finite numbers in {name}")
