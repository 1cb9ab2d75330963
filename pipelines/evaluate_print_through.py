"""Print-through: relief that FineNet adds to painted marks, which have none, against that of true wrinkles."""

import dataclasses

import numpy as np
import tensorflow as tf
from scipy.ndimage import binary_dilation

from tfface.pipelines.occluders import strands
from tfface.pipelines.sampling import SamplingConfig
from tfface.pipelines.synthetic_detail import FLAT, Picture, random_light
from tfface.pipelines.synthetic_skin import brows, moles, text, wrinkles
from tfface.progress import tracked

PROTOCOL = (
    "Print-through: {faces} smooth heads, nearly frontal, FineNet starting from their true coarse depth, at {sizes} "
    "px. What is compared is its depth on a picture with marks (or wrinkles) less that on the same picture without. "
    "Wrinkles are true relief under one to three lights. Marks are painted: brows on the forehead, moles, letters on"
    " cheeks and forehead; in flat light (the same from all sides), or in the wrinkles' light. They are as dark as "
    "gives them the wrinkles' contrast, or, “natural”, as dark as brows, moles and ink are. Hair: loose strands drawn "
    "over the picture, as `pipelines.occluders` draws them. Contrast: rms relative change of the picture. "
    "All figures are rms over the pixels of the marks (wrinkles) and 2 px around them, of all"
    " heads. Relief: of the added depth, less its median on the skin; tilt: of its slopes. “of wrinkles”: as a share"
    " of what the true wrinkles get. Edge correlation: of the added depth's steepness with the steepness of the "
    "marks' darkness. “truth”: what the wrinkles really are."
)
DEFAULT_FACES = 12
POSES = SamplingConfig(yaw_degrees=25.0, pitch_degrees=10.0, roll_degrees=8.0, neutral=1.0, expression_noise=0.0)
NATURAL = {"brows": 1.2, "moles": 1.0, "text": 1.8}
"""Darkness: reflectance is multiplied by exp(−this)."""
_FIRST = 10_000
"""Heads from this number on, so that none is shared with `detail`."""


def run(refiner, sizes: tuple[int, ...], faces: int = 0) -> dict:
    """Measures print-through.

    Args:
        refiner: an `evaluate_detail.Refiner`.
        sizes: widths of the crops in px.
        faces: at most so many heads; 0 for the protocol's own number.

    Returns:
        {"protocol", "rows": [{"name", "contrast_percent", "relief_um", "relief_of_wrinkles_percent", "tilt_deg",
        "tilt_of_wrinkles_percent", "edge_correlation"}]}.
    """
    faces = min(faces or DEFAULT_FACES, DEFAULT_FACES)
    rows = []
    for size in sizes:
        sums = {}
        for index in tracked(range(faces), f"painted heads at {size} px"):
            for name, added in _head(refiner, _FIRST + index, size).items():
                sums.setdefault(name, []).append(added)
        found = {name: _row(f"{size} px, {name}", added) for name, added in sums.items()}
        for name, row in found.items():
            if not name.startswith("wrinkles"):
                for figure, unit in (("relief", "um"), ("tilt", "deg")):
                    whole = found["wrinkles"][f"{figure}_{unit}"]
                    row[f"{figure}_of_wrinkles_percent"] = 100.0 * row[f"{figure}_{unit}"] / whole if whole else None
        rows += found.values()
    return {"protocol": PROTOCOL.format(faces=faces, sizes=", ".join(map(str, sizes))), "rows": rows}


def _head(refiner, index: int, size: int) -> dict[str, "_Added"]:
    """What every kind of mark adds to one head."""
    world, rng = refiner.world, np.random.default_rng([index, 2])
    smooth = dataclasses.replace(world.head(index, POSES), relief=None, marks=None, noise=0.0)
    light = dataclasses.replace(random_light(rng), gloss=0.0)
    drawn = {
        "brows": brows(world.chart, rng, above=11.0),
        "moles": moles(world.chart, rng, 12),
        "text": text(world.chart),
    }
    lights = {"flat": FLAT, "lit": light}
    plain = {name: world.render(dataclasses.replace(smooth, light=of), size) for name, of in lights.items()}

    def refined(picture: Picture) -> np.ndarray:
        return refiner.fine(picture.image, picture.coarse, picture.mask, picture.detailed)

    answers = {name: refined(picture) for name, picture in plain.items()}
    found = {}

    def add(key: str, picture: Picture, name: str, area: np.ndarray) -> None:
        change = refined(picture) - answers[name]
        found[key] = _added(change / picture.px_per_mm, picture, plain[name], area)

    folded = world.render(dataclasses.replace(smooth, light=light, relief=wrinkles(world.chart, 0.9, rng)), size)
    area = folded.skin & binary_dilation(np.abs(folded.relief) > 0.03, iterations=2)
    add("wrinkles", folded, "lit", area)
    truth = (folded.depth - plain["lit"].depth) / folded.px_per_mm
    found["wrinkles, truth"] = _added(truth, folded, plain["lit"], area)
    for kind, ink in drawn.items():
        spread = -np.log(world.render(dataclasses.replace(smooth, marks=np.exp(-ink)), size).marks)
        area = folded.skin & binary_dilation(spread > 0.05, iterations=2)
        darkness = equal_darkness(spread[area], found["wrinkles"].contrast)
        for name, of in lights.items():
            picture = world.render(dataclasses.replace(smooth, light=of, marks=np.exp(-darkness * ink)), size)
            add(f"{kind}, {name}", picture, name, area)
        marks = np.exp(-NATURAL[kind] * ink)
        picture = world.render(dataclasses.replace(smooth, light=FLAT, marks=marks), size)
        add(f"{kind}, flat, natural", picture, "flat", area)
    for name, picture in plain.items():
        hairy = strands(tf.constant(picture.image[None, ..., None]), tf.constant([_FIRST, index], tf.int64))
        left = hairy.numpy()[0, ..., 0] / np.maximum(picture.image, 0.02)
        picture = dataclasses.replace(picture, image=hairy.numpy()[0, ..., 0], marks=left)
        add(f"hair, {name}", picture, name, picture.skin & (np.abs(left - 1.0) > 0.03))
    return found


def equal_darkness(spread: np.ndarray, contrast: float) -> float:
    """The darkness at which marks of unit darkness `spread` change a picture by `contrast` (rms, relative)."""
    low, high = 0.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        # Grey is light to the power of 1 / 2.2.
        changed = np.sqrt(np.mean((1.0 - np.exp(-middle * spread / 2.2)) ** 2)) if spread.size else contrast
        low, high = (middle, high) if changed < contrast else (low, middle)
    return (low + high) / 2


@dataclasses.dataclass(frozen=True)
class _Added:
    """Sums over the pixels of one head's marks.

    Attributes:
        contrast: rms relative change of the picture.
        pixels: how many.
        depth: sum of squares, mm².
        slope: sum of squares.
        correlation: of steepness with the marks' own.
    """

    contrast: float
    pixels: int
    depth: float
    slope: float
    correlation: float


def _added(depth: np.ndarray, picture: Picture, before: Picture, area: np.ndarray) -> _Added:
    """The figures of an added depth `[S, S]` in mm."""
    change = (picture.image - before.image)[area] / np.maximum(before.image[area], 0.02)
    depth = depth - np.median(depth[picture.skin]) if picture.skin.any() else depth
    # Slopes are pixels of depth per pixel.
    steep = np.hypot(*np.gradient(depth * picture.px_per_mm))
    edges = np.hypot(*np.gradient(np.log(np.maximum(picture.marks, 1e-3))))
    related = area.any() and steep[area].std() > 0 and edges[area].std() > 0
    return _Added(
        contrast=float(np.sqrt(np.mean(change**2))) if change.size else 0.0,
        pixels=int(area.sum()),
        depth=float((depth[area] ** 2).sum()),
        slope=float((steep[area] ** 2).sum()),
        correlation=float(np.corrcoef(steep[area], edges[area])[0, 1]) if related else np.nan,
    )


def _row(name: str, heads: list[_Added]) -> dict:
    pixels = max(sum(one.pixels for one in heads), 1)
    contrast = np.sqrt(sum(one.contrast**2 * one.pixels for one in heads) / pixels)
    known = [one.correlation for one in heads if np.isfinite(one.correlation)]
    return {
        "name": name,
        "contrast_percent": 100.0 * float(contrast),
        "relief_um": 1000.0 * float(np.sqrt(sum(one.depth for one in heads) / pixels)),
        "tilt_deg": float(np.degrees(np.arctan(np.sqrt(sum(one.slope for one in heads) / pixels)))),
        "edge_correlation": float(np.mean(known)) if known else None,
    }
