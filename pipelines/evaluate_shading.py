"""The shading residual of photographs (eq. 8), with the coarse depth and with FineNet's."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfface.losses import shading
from tfface.networks.end_to_end import EndToEnd, EndToEndConfig
from tfface.pipelines import evaluate_landmarks
from tfface.progress import tracked

PROTOCOL = (
    "Shading residual: {faces} validation photographs of {folder}, cut around their landmarks at {sizes} px, "
    "geometry by CoarseNet. Light (11) and albedo (12) are solved on the coarse depth and kept. Residual: rms of "
    "albedo × shading − picture over the skin. “release” is the criterion of `tfface train end-to-end` (light "
    "linear, gain matched within 6 px, relative to local brightness, clear outliers excluded); “paper” is eq. 8 as "
    "printed, grey values 0…255. “lower”: by how much fine's residual is below coarse's, per photograph: mean, median "
    "and the share of photographs on which it is lower by 40 % or more.{amounts}"
)
AMOUNTS = " Rows “detail × …”: fine's detail made that much stronger or weaker."
CRITERIA = {"release": shading.release, "paper": shading.paper}
ENOUGH = 0.4


@dataclasses.dataclass(frozen=True)
class ShadingEvaluationConfig:
    """Which photographs.

    Attributes:
        photos: folder as `pipelines.landmark_photos` or `pipelines.aflw2000` reads it.
        sizes: widths of the crops in px.
        limit: use only so many; 0 for all.
        amounts: what FineNet's detail is multiplied by, each in rows of its own: a network that is unsure of what it
            sees adds less than there is.
    """

    photos: str
    sizes: tuple[int, ...] = (200, 400)
    limit: int = 0
    amounts: tuple[float, ...] = (1.0,)


def run(networks, config: ShadingEvaluationConfig) -> dict:
    """Measures the validation photographs of a folder.

    Args:
        networks: has `face_model`, `coarse` and `fine`.
        config: see `ShadingEvaluationConfig`.

    Returns:
        {"protocol", "faces", "rows": [{"name", "faces", "coarse_residual", "fine_residual", "lower_mean_percent",
        "lower_median_percent", "lower_by_40_percent_of_faces"}]}.

    Raises:
        FileNotFoundError: the folder or a file in it is missing.
        ValueError: it isn't such a folder, or it is empty.
    """
    photos, _ = evaluate_landmarks.read_folder(config.photos)
    if not len(photos.number):
        raise ValueError(f"expected validation photographs in {config.photos}, received none: val.txt is empty")
    if config.limit:
        photos = photos.take(np.unique(np.linspace(0, len(photos.number) - 1, config.limit).astype(int)))
    squares, r = evaluate_landmarks.predict(
        networks, photos, evaluate_landmarks.LandmarkEvaluationConfig(config.photos)
    )
    rows, measured = [], Residuals(networks)
    for size in config.sizes:
        residuals = {name: [] for name in CRITERIA}
        for row in tracked(range(len(r)), f"photographs at {size} px"):
            rgb = evaluate_landmarks.read_rgb(photos.path(row))
            image = evaluate_landmarks.grey_crop(rgb, squares[row], size)
            bounds = getattr(photos, "valid", np.tile([0, 0, *rgb.shape[1::-1]], (len(r), 1)))[row]
            found = measured(image, r[row], inside(bounds, squares[row], size), config.amounts)
            for name, values in found.items():
                residuals[name].append(values)
        for name, values in residuals.items():
            table = np.array(values)
            for column, amount in enumerate(config.amounts, start=1):
                more = "" if amount == 1.0 else f", detail × {amount:g}"
                rows.append(_row(f"{size} px, {name}{more}", table[:, [0, column]]))
    sizes, amounts = ", ".join(map(str, config.sizes)), AMOUNTS if config.amounts != (1.0,) else ""
    protocol = PROTOCOL.format(faces=len(r), folder=config.photos, sizes=sizes, amounts=amounts)
    return {"protocol": protocol, "faces": len(r), "rows": rows}


def inside(bounds: np.ndarray, square: np.ndarray, size: int) -> np.ndarray:
    """`[size, size]` float32, 1 where a crop's pixel lies in the rectangle x0, y0, x1, y1 of real pixels."""
    steps = (np.arange(size) + 0.5) / size - 0.5
    x, y = square[0] + steps * square[2], square[1] + steps * square[2]
    columns, rows = (x >= bounds[0]) & (x <= bounds[2]), (y >= bounds[1]) & (y <= bounds[3])
    return (rows[:, None] & columns[None]).astype(np.float32)


class Residuals:
    """Residuals of a crop by every criterion.

    Args:
        networks: has `face_model` and `fine`.
    """

    def __init__(self, networks):
        self.fine = networks.fine
        self.models = {
            name: EndToEnd(networks.face_model, networks.fine, config=EndToEndConfig(criterion=criterion()))
            for name, criterion in CRITERIA.items()
        }

    def __call__(
        self, image: np.ndarray, r: np.ndarray, valid: np.ndarray, amounts: tuple[float, ...] = (1.0,)
    ) -> dict[str, tuple[float, ...]]:
        """By criterion, the residual of a crop's coarse depth, and of those with so much of FineNet's detail.

        Args:
            image: `[S, S, 1]` grey in 0…1.
            r: `[290]`.
            valid: `[S, S]`, 1 where the crop shows the photograph.
            amounts: what the detail is multiplied by.
        """
        picture, size = tf.constant(image[None]), len(image)
        _, surface = self.models["release"].render(tf.constant(r[None]), size, size)
        depth, mask = surface.depth, surface.mask
        inputs = {"image": picture, "depth": depth, "mask": mask, "detailed": surface.detailed}
        refined = self.fine(inputs, training=False)
        surfaces = (depth, *(depth + amount * (refined - depth) for amount in amounts))
        found = {}
        for name, model in self.models.items():
            explanation = model.explain(picture, surface, tf.constant(valid[None, :, :, None]))
            found[name] = tuple(_rms(model.config.criterion, z, mask, explanation) for z in surfaces)
        return found


def _rms(criterion, depth, mask, explanation) -> float:
    residual = shading.shading_residual(criterion, depth, mask, explanation)
    weight = tf.reduce_sum(explanation.weight)
    return float(tf.sqrt(tf.reduce_sum(tf.square(residual) * explanation.weight) / tf.maximum(weight, 1.0)))


def _row(name: str, pairs: np.ndarray) -> dict:
    """The figures of residuals `[N, 2]`; crops without skin are left out."""
    pairs = pairs[pairs[:, 0] > 0]
    row = {"name": name, "faces": len(pairs)}
    if not len(pairs):
        return row
    lower = 1.0 - pairs[:, 1] / pairs[:, 0]
    return row | {
        "coarse_residual": float(pairs[:, 0].mean()),
        "fine_residual": float(pairs[:, 1].mean()),
        "lower_mean_percent": 100.0 * float(lower.mean()),
        "lower_median_percent": 100.0 * float(np.median(lower)),
        "lower_by_40_percent_of_faces": 100.0 * float((lower >= ENOUGH).mean()),
    }
