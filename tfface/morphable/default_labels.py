"""What the vertices of the default face model are: landmarks, regions and albedo.

Everything here is a fact about MakeHuman's base mesh hm08 and the mean face that `build_default` makes of it.
"""

import io

import numpy as np
from PIL import Image

REGIONS = ("skin", "lips", "eyes", "brows", "ears", "neck", "mouth", "scalp")

# fmt: off
ANCHORS = (
    5754, 859, 869, 912, 894, 892, 922, 5292, 5225, 11898, 7624, 7594, 7596, 7614, 7574, 7564, 12351,  # jaw
    5262, 225, 224, 205, 208, 6983, 6980, 6998, 6999, 11870,  # brows
    132, 131, 201, 5054, 344, 313, 317, 7076, 7105,  # nose
    4856, 0, 54, 66, 4862, 41, 6850, 6838, 6784, 11474, 6825, 11480,  # eyes
    3735, 5352, 461, 467, 7220, 11954, 10403, 7166, 7241, 5337, 486, 406,  # outer lips
    444, 514, 474, 7261, 7204, 7264, 523, 517,  # inner lips
)
"""Base mesh vertices that the model is built around, in the 68 landmarks' order: they centre it, and its regions and
weights are measured from them. Picked on renders of the mean face from the front, from the side and with `jawOpen`,
which tells the upper inner lip from the lower one; the left side mirrors the right."""

JAW = (870, 868, 5246, 912, 5240, 915, 917, 5292, 5225, 11898, 7619, 7617, 11849, 7614, 11854, 7573, 7575)
"""Base mesh vertices of the jaw row as detectors draw it.

Between where OpenFace's mean shape (learnt from hand-made iBUG landmarks) has each point and the vertex nearest to
MediaPipe's row on the fitted training photographs. The two differ most at the ear, by 17 mm: no choice suits both.
"""

LANDMARKS = JAW + ANCHORS[len(JAW) :]
"""Base mesh vertices of the 68 landmarks in iBUG order. Apart from `ANCHORS`, so that picking a point anew leaves the
model's coefficients as they are, and the networks that were trained on them valid."""
# fmt: on

SKIN = (0.36, 0.20, 0.14)
"""Mean linear RGB reflectance, between the light and the dark end of human skin."""


def texture_mask(assets, name: str, uv: np.ndarray) -> np.ndarray:
    """`[V]` bool: where one of MakeHuman's region textures is white, sampled at `uv` `[V, 2]`."""
    image = np.asarray(Image.open(io.BytesIO(assets.read_bytes(f"mpfb2/textures/mpfb_{name}.jpg"))).convert("L"))
    height, width = image.shape
    rows = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    columns = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    return image[rows, columns] > 127


def brow_distance(mean: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Distance `[V]` in mm, seen from the front, to the line through the brow landmarks, on either side."""
    line = np.stack([np.abs(mean[landmarks[17:22], 0]), mean[landmarks[17:22], 1]], axis=1)
    points = np.stack([np.abs(mean[:, 0]), mean[:, 1]], axis=1)
    steps = np.linspace(0, 1, 9)[:, None]
    samples = np.concatenate([(1 - steps) * a + steps * b for a, b in zip(line[:-1], line[1:], strict=True)])
    return np.min(np.linalg.norm(points[:, None] - samples[None], axis=-1), axis=1)


def label_regions(assets, mean, landmarks, uv, eyeballs) -> np.ndarray:
    """Region of each vertex, `[V]` index into `REGIONS`.

    Args:
      assets: `tfface.morphable.targets.Assets`.
      mean: `[V, 3]` mm.
      landmarks: `[68]`.
      uv: `[V, 2]`.
      eyeballs: `[V]` bool.
    """
    of = REGIONS.index
    y, z = mean[:, 1], mean[:, 2]
    lips = texture_mask(assets, "lips", uv)
    regions = np.full(len(mean), of("scalp"))
    regions[texture_mask(assets, "face", uv)] = of("skin")
    rest = regions == of("scalp")
    below_jaw = (y < mean[landmarks[3], 1]) | ((y < mean[landmarks[2], 1]) & (z < mean[landmarks[0], 2]))
    regions[(y < mean[landmarks[8], 1] - 2) | (rest & below_jaw)] = of("neck")
    rest = regions == of("scalp")
    regions[rest & (y < mean[landmarks[0], 1] + 8) & (z > mean[landmarks[0], 2] - 3)] = of("skin")
    regions[texture_mask(assets, "ears", uv)] = of("ears")
    regions[lips] = of("lips")
    regions[texture_mask(assets, "inside-mouth", uv) & ~lips] = of("mouth")
    regions[eyeballs] = of("eyes")
    frontal = z > mean[landmarks[17], 2] - 6
    regions[(brow_distance(mean, landmarks) < 3.6) & frontal & (regions == of("skin"))] = of("brows")
    return regions


def painted_albedo(mean, landmarks, regions) -> np.ndarray:
    """Linear RGB reflectance `[V, 3]` painted by region: where `pipelines.learn_albedo` starts, and what eyes and the
    inside of the mouth keep, which photographs hardly show."""
    y, z = mean[:, 1], mean[:, 2]
    at = mean[landmarks]
    is_region = {name: regions == i for i, name in enumerate(REGIONS)}
    brow = np.exp(-((brow_distance(mean, landmarks) / 4.5) ** 2))
    brow = brow * (z > at[17, 2] - 8) * (is_region["skin"] | is_region["brows"])
    hair = np.clip((y - (at[19, 1] + 52)) / 12, 0, 1)
    hair = np.maximum(hair, np.clip((at[0, 2] - 6 - z) / 15, 0, 1)) * is_region["scalp"]
    albedo = np.tile(np.array(SKIN), (len(mean), 1)) * (1 - 0.6 * brow[:, None])
    albedo[is_region["lips"]] = (0.33, 0.13, 0.11)
    albedo[is_region["mouth"]] = (0.12, 0.04, 0.035)
    albedo *= 1 - 0.55 * hair[:, None]
    _color_eyes(albedo, mean, is_region["eyes"])
    return albedo


def complete_albedo(learnt, mean, landmarks, regions) -> tuple[np.ndarray, np.ndarray]:
    """Mean `[V, 3]` and basis `[V, 3, 10]`: the statistics of photographs, and painted eyes and mouth.

    Args:
      learnt: mapping with `mean` `[V, 3]` and `basis` `[V, 3, 10]`, from `pipelines.learn_albedo`.
      mean: `[V, 3]` mm; with `landmarks` `[68]` and `regions` `[V]` of the face model.

    Raises:
      ValueError: the statistics belong to another mesh.
    """
    if learnt["mean"].shape != mean.shape:
        raise ValueError(f"expected albedo of {len(mean)} vertices, received {list(learnt['mean'].shape)}")
    unseen = np.isin(regions, [REGIONS.index("eyes"), REGIONS.index("mouth")])
    painted = painted_albedo(mean, landmarks, regions)
    albedo = np.where(unseen[:, None], painted, learnt["mean"].astype(np.float64))
    return albedo, np.where(unseen[:, None, None], 0.0, learnt["basis"].astype(np.float64))


def _color_eyes(albedo, mean, eyeballs):
    """Paints pupil, iris and sclera by their angle from straight ahead."""
    for side in (-1, 1):
        eye = np.flatnonzero(eyeballs & (mean[:, 0] * side > 0))
        ray = mean[eye] - mean[eye].mean(axis=0)
        angle = np.degrees(np.arccos(np.clip(ray[:, 2] / np.linalg.norm(ray, axis=1), -1, 1)))
        pupil, colored = angle < 12, (angle >= 12) & (angle < 31)
        albedo[eye] = np.where(pupil[:, None], (0.02, 0.015, 0.015), (0.52, 0.48, 0.45))
        albedo[eye[colored]] = (0.10, 0.055, 0.035)
