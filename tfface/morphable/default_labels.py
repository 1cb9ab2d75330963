"""What the vertices of the default face model are: landmarks, regions and an albedo made by hand.

Everything here is a fact about MakeHuman's base mesh hm08 and the mean face that `build_default` makes of it.
"""

import io

import numpy as np
from PIL import Image

REGIONS = ("skin", "lips", "eyes", "brows", "ears", "neck", "mouth", "scalp")

# fmt: off
LANDMARKS = (
    5754, 859, 869, 912, 894, 892, 922, 5292, 5225, 11898, 7624, 7594, 7596, 7614, 7574, 7564, 12351,  # jaw
    5262, 225, 224, 205, 208, 6983, 6980, 6998, 6999, 11870,  # brows
    132, 131, 201, 5054, 344, 313, 317, 7076, 7105,  # nose
    4856, 0, 54, 66, 4862, 41, 6850, 6838, 6784, 11474, 6825, 11480,  # eyes
    3735, 5352, 461, 467, 7220, 11954, 10403, 7166, 7241, 5337, 486, 406,  # outer lips
    444, 514, 474, 7261, 7204, 7264, 523, 517,  # inner lips
)
"""Base mesh vertices of the 68 landmarks in iBUG order, picked on renders of the mean face from the front, from the
side and with `jawOpen`, which tells the upper inner lip from the lower one, and checked against the mean landmarks of
near-frontal photographs; the left side mirrors the right."""
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


def hand_made_albedo(mean, landmarks, regions) -> tuple[np.ndarray, np.ndarray]:
    """Mean `[V, 3]` and ten components `[V, 3, 10]` of linear RGB reflectance, one standard deviation each.

    The components: melanin, blood, brows, hair, beard, flushed cheeks, lips, dark circles, eye shadow, eye colour.
    """
    x, y, z = np.abs(mean[:, 0]), mean[:, 1], mean[:, 2]
    at = mean[landmarks]
    is_region = {name: regions == i for i, name in enumerate(REGIONS)}
    skin = is_region["skin"]
    brow = np.exp(-((brow_distance(mean, landmarks) / 4.5) ** 2))
    brow = brow * (z > at[17, 2] - 8) * (skin | is_region["brows"])
    hair = np.clip((y - (at[19, 1] + 52)) / 12, 0, 1)
    hair = np.maximum(hair, np.clip((at[0, 2] - 6 - z) / 15, 0, 1) * is_region["scalp"])
    hair = np.maximum(hair * (is_region["scalp"] | skin), is_region["scalp"] * np.clip((x - 66) / 6, 0, 1))
    beard = (y < at[33, 1] - 3) & (z > at[4, 2] - 8) & skin & (y > at[8, 1] - 10)
    beard = beard * np.clip((np.abs(y - at[62, 1]) + (x > 24) * 20) / 10, 0, 1)
    beard = np.where((x > 15) & (y > at[48, 1] + 2) & (x < 45), beard * 0.3, beard)
    eye_x = np.abs(at[36:42, 0]).mean()

    def spot(center_x, center_y, radius_x, radius_y):
        return np.exp(-((x - center_x) ** 2) / (2 * radius_x**2) - (y - center_y) ** 2 / (2 * radius_y**2)) * skin

    albedo = np.tile(np.array(SKIN), (len(mean), 1)) * (1 - 0.6 * brow[:, None])
    albedo[is_region["lips"]] = (0.33, 0.13, 0.11)
    albedo[is_region["mouth"]] = (0.12, 0.04, 0.035)
    albedo *= 1 - 0.55 * hair[:, None]
    sclera, iris = _color_eyes(albedo, mean, is_region["eyes"])
    any_skin = np.isin(regions, [REGIONS.index(n) for n in ("skin", "ears", "neck", "brows", "lips", "scalp")])
    components = [
        (any_skin, (0.16, 0.11, 0.09)),
        (any_skin, (0.03, -0.02, -0.02)),
        (brow, (-0.09, -0.06, -0.045)),
        (hair, (-0.14, -0.09, -0.07)),
        (beard, (-0.09, -0.06, -0.045)),
        (spot(38, at[30, 1] - 2, 14, 14), (0.03, -0.03, -0.025)),
        (is_region["lips"], (0.06, -0.04, -0.03)),
        (spot(eye_x, at[41, 1] - 7, 14, 5), (-0.07, -0.05, -0.035)),
        (spot(eye_x, at[37, 1] + 4, 13, 4.5), (-0.08, -0.06, -0.05)),
    ]
    basis = [np.asarray(weight, float)[:, None] * np.array(color) for weight, color in components]
    basis.append(sclera[:, None] * np.array((0.1, 0.1, 0.1)) + iris[:, None] * np.array((0.05, 0.06, 0.08)))
    return albedo, np.stack(basis, axis=-1)


def _color_eyes(albedo, mean, eyeballs):
    """Paints pupil, iris and sclera by their angle from straight ahead; returns weights of sclera and iris `[V]`."""
    sclera, iris = np.zeros(len(mean)), np.zeros(len(mean))
    for side in (-1, 1):
        eye = np.flatnonzero(eyeballs & (mean[:, 0] * side > 0))
        ray = mean[eye] - mean[eye].mean(axis=0)
        angle = np.degrees(np.arccos(np.clip(ray[:, 2] / np.linalg.norm(ray, axis=1), -1, 1)))
        pupil, colored = angle < 12, (angle >= 12) & (angle < 31)
        albedo[eye] = np.where(pupil[:, None], (0.02, 0.015, 0.015), (0.52, 0.48, 0.45))
        albedo[eye[colored]] = (0.10, 0.055, 0.035)
        sclera[eye], iris[eye] = ~pupil & ~colored, colored
    return sclera, iris
