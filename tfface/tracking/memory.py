"""Ids of faces: one that comes back soon is given its own again."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Look:
    """What a face is known by.

    Attributes:
      identity: `[200]` coefficients.
      side: of its crop, px of the frame.
    """

    identity: np.ndarray
    side: float

    def difference(self, other: "Look") -> float:
        """How unlike another it is.

        The root mean square between the 30 strongest identity coefficients; the others are mostly noise. A size that
        is e times the other's counts as 0.1.
        """
        identity = np.sqrt(np.mean((self.identity - other.identity)[:30] ** 2))
        return float(identity + 0.1 * abs(np.log(self.side / other.side)))


class Memory:
    """Numbers faces, and knows those that were seen lately.

    Args:
      seconds: for which a face is remembered that is gone.
      likeness: difference from which a face is somebody else.
    """

    def __init__(self, seconds: float, likeness: float):
        self.seconds, self.likeness = seconds, likeness
        self._gone: dict[int, tuple[Look, float]] = {}
        self._next = 0

    def keep(self, number: int, look: Look, time: float):
        """Remembers a face that is gone since `time`, s."""
        self._gone[number] = look, time

    def names(self, looks: list[Look], missed: dict[int, Look], time: float) -> list[int]:
        """Ids of faces that come at `time`, s: the most alike get those of faces that are gone, the others new ones.

        Args:
          looks: of the faces.
          missed: by id, of faces that are followed, but weren't found in this frame: they may have moved.
          time: seconds.
        """
        self._gone = {number: kept for number, kept in self._gone.items() if time - kept[1] < self.seconds}
        free = {number: look for number, (look, _) in self._gone.items()} | (missed if self.seconds > 0 else {})
        pairs = [
            (look.difference(old), index, number) for index, look in enumerate(looks) for number, old in free.items()
        ]
        found = {}
        for difference, index, number in sorted(pairs):
            if difference < self.likeness and index not in found and number in free:
                found[index] = number
                del free[number]
                self._gone.pop(number, None)
        for index in range(len(looks)):
            if index not in found:
                found[index], self._next = self._next, self._next + 1
        return [found[index] for index in range(len(looks))]
