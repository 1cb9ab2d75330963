"""Random heads from MakeHuman's targets: who people are, as the default model's identity is learnt from them."""

import re

import numpy as np

from tfface.morphable.targets import TARGETS, read_target

MACRO = TARGETS + "macrodetails/"
ANCESTRIES = ("african", "asian", "caucasian")

SPREAD = {
    "head": 0.17,
    "forehead": 0.2,
    "eyebrows": 0.25,
    "eyes": 0.22,
    "nose": 0.18,
    "mouth": 0.18,
    "cheek": 0.23,
    "chin": 0.2,
    "ears": 0.25,
    "neck": 0.2,
}
"""Standard deviation of the parameters of each folder, of their full range; judged on contact sheets."""

_CARICATURES = ("diamond", "oval", "rectangular", "round", "square", "triangular", "invertedtriangular", "fat")
_LEFT_OUT = (
    *("head-age", "head-trans", "neck-trans", "measure", "head-angle", "head-back", "neck-scale", "neck-back"),
    *("ear-shape-pointed", "ear-shape-triangle", "mouth-laugh"),
)
_OPPOSITES = {
    **{"decr": (0, "size"), "incr": (1, "size"), "in": (0, "io"), "out": (1, "io"), "down": (0, "ud")},
    **{"up": (1, "ud"), "backward": (0, "bf"), "forward": (1, "bf"), "concave": (0, "cc"), "convex": (1, "cc")},
    **{"compress": (0, "cp"), "uncompress": (1, "cp")},
}


class RandomHeads:
    """Draws heads: a mixture of ancestries, sexes and ages, a build, and many small independent features.

    Args:
      assets: `tfface.morphable.targets.Assets`.
      base: `[N, 3]` the whole base mesh, decimetres.
      keep: `[V]` base mesh numbers of the model's vertices.
    """

    def __init__(self, assets, base: np.ndarray, keep: np.ndarray):
        self._assets, self._keep, self._count = assets, keep, len(base)
        self._neutral = base[keep] * 100.0
        self._features = self._read_features()
        self._asymmetries = [
            self._target(name) for name in assets.names(TARGETS + "asym/", ".target.gz") if "trunk" not in name
        ]
        self._macros = {}

    def _target(self, name):
        return read_target(self._assets, name, self._keep, self._count)

    def _macro(self, name):
        if name not in self._macros:
            self._macros[name] = self._target(f"{MACRO}{name}.target.gz")
        return self._macros[name]

    def _read_features(self):
        """(folder, name) → one (has sides, negative offsets, positive offsets, one-sided) for each side of the face."""
        pairs = {}
        for folder in SPREAD:
            prefix = f"{TARGETS}{folder}/"
            for file in self._assets.names(prefix, ".target.gz"):
                base = file[len(prefix) : -len(".target.gz")]
                stem, _, last = base.rpartition("-")
                slot, axis = _OPPOSITES.get(last, (1, ""))
                key = (folder, f"{stem}|{axis}" if axis else base)
                if not any(word in key[1] for word in _LEFT_OUT):
                    pairs.setdefault(key, [None, None])[slot] = file
        features = {}
        for (folder, name), (negative, positive) in pairs.items():
            low = None if negative is None else self._target(negative)
            high = np.zeros_like(low) if positive is None else self._target(positive)
            sided = re.match(r"^[lr]-", name) is not None
            group = features.setdefault((folder, re.sub(r"^[lr]-", "", name)), [])
            group.append((sided, np.zeros_like(high) if low is None else low, high, negative is None))
        return features

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One head, `[V, 3]` mm in the base mesh's frame."""
        head = self._neutral + self._person(rng)
        for (folder, name), sides in self._features.items():
            spread = SPREAD[folder]
            if any(name.startswith(f"head-{shape}") for shape in _CARICATURES):
                spread *= 0.5
            amount = np.clip(rng.normal(0, spread), -1, 1)
            for sided, low, high, one_sided in sides:
                here = amount + (rng.normal(0, 0.06) if sided else 0)
                here = abs(here) if one_sided else here
                head += here * high if here > 0 else -here * low
        for offsets in self._asymmetries:
            head += max(0, rng.normal(0, 0.12)) * offsets
        return head

    def _person(self, rng):
        """Offsets of ancestry, sex, age, muscle and weight, composed as MakeHuman does."""
        ancestry = rng.dirichlet([0.35] * 3)
        male = rng.beta(0.5, 0.5)
        ages = {"young": 1.0}
        kind = rng.random()
        if kind < 0.08:
            share = rng.uniform(0, 0.7)
            ages = {"child": share, "young": 1 - share}
        elif kind < 0.55:
            share = rng.uniform(0, 1)
            ages = {"young": 1 - share, "old": share}
        muscle, weight = (_thirds(value) for value in np.clip(rng.normal(0.5, 0.22, 2), 0, 1))
        offsets = np.zeros_like(self._neutral)
        for sex, of_sex in (("male", male), ("female", 1 - male)):
            for age, of_age in ages.items():
                for name, of_name in zip(ANCESTRIES, ancestry, strict=True):
                    offsets += of_sex * of_age * of_name * self._macro(f"{name}-{sex}-{age}")
                for m, of_muscle in muscle.items():
                    for w, of_weight in weight.items():
                        share = of_sex * of_age * of_muscle * of_weight
                        if share > 1e-3:
                            offsets += share * self._macro(f"universal-{sex}-{age}-{m}muscle-{w}weight")
        return offsets


def _thirds(value):
    """Shares of min, average and max for a value in 0…1."""
    return {"min": max(0, 1 - 2 * value), "average": 1 - abs(2 * value - 1), "max": max(0, 2 * value - 1)}
