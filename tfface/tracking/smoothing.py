"""The One Euro filter (Casiez, Roussel, Vogel, CHI 2012): still things are held still, moving ones aren't held back."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class OneEuroConfig:
    """How strongly a signal is smoothed.

    Attributes:
      cutoff: Hz, of the low-pass that a still signal goes through.
      response: Hz per unit of speed, by which a moving signal raises that.
      speed_cutoff: Hz, of the low-pass on the speed itself.
    """

    cutoff: float = 1.0
    response: float = 1.0
    speed_cutoff: float = 1.0


class OneEuro:
    """Smooths a vector by one gain for all of its components, so that they stay together.

    Args:
      config: how strongly.
    """

    def __init__(self, config: OneEuroConfig):
        self.config = config
        self.value = None
        self.place = None
        self.velocity = None

    def __call__(self, value: np.ndarray, place: np.ndarray, seconds: float) -> np.ndarray:
        """The smoothed vector.

        Args:
          value: what is smoothed.
          place: points `[N, D]` that show how fast it moves, in the unit that `response` is meant for.
          seconds: since the last call; > 0.
        """
        value, place = np.asarray(value, np.float64), np.asarray(place, np.float64)
        if self.value is None:
            self.value, self.place, self.velocity = value, place, np.zeros_like(place)
            return value
        share = _share(self.config.speed_cutoff, seconds)
        self.velocity = self.velocity + share * ((place - self.place) / seconds - self.velocity)
        self.place = place
        # Noise moves points to and fro, each its own way; their common motion is what counts, and what a mouth does.
        speed = float(np.sqrt((self.velocity**2).sum(-1).mean()))
        gain = _share(self.config.cutoff + self.config.response * speed, seconds)
        self.value = self.value + gain * (value - self.value)
        return self.value


def _share(cutoff: float, seconds: float) -> float:
    """The gain of a first-order low-pass."""
    turns = 2.0 * np.pi * cutoff * seconds
    return turns / (turns + 1.0)
