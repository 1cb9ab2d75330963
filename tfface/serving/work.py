"""What any of the protocols makes of a request's body."""

import dataclasses
from collections.abc import Callable

import numpy as np
from starlette.responses import Response


@dataclasses.dataclass(frozen=True)
class Work:
    """Rows for the model, and how to answer with what it makes of them."""

    signature: str
    rows: list[dict[str, np.ndarray]]
    """One dict of inputs, without the batch, for each face."""
    answer: Callable[[list[dict[str, np.ndarray]]], Response]
    """From one dict of outputs for each row, in their order."""
