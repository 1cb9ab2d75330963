"""What FineNet adds, against the truth: normals and depth of held-out heads with wrinkles, coarse against fine."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfface.geometry.depth import slopes_from_depth
from tfface.pipelines import evaluate_print_through, evaluate_shading, synthetic_skin
from tfface.pipelines.as_photographed import AsPhotographed
from tfface.pipelines.evaluate_normals import angle_row, angular_errors, closer_percent
from tfface.pipelines.synthetic_detail import SEED, DetailWorld, Picture, image_normals, smooth_depth
from tfface.progress import tracked
from tfface.resampling import resample

PROTOCOL = (
    "{faces} synthetic heads, seeds from {seed}, which training does not use: the face model, rounded between its "
    "vertices, with wrinkles and folds (severity up to {severity:g}: 0.1–1 mm at 1, more beyond it) and pores (under "
    "0.15 mm) from a generator of its own, and with "
    "freckles, moles, brows, blush and stubble that are no shape; one to three random lights and light from "
    "everywhere, of which folds hide a part from themselves, some gloss, noise and blur; yaw within ±45°. "
    "{natural}{pictures}"
    "Rendered at {sizes} px. “true coarse”: FineNet starts from the depth of the true r without detail; “CoarseNet”: "
    "from CoarseNet's answer to the picture; detail is added where `tfface reconstruct` adds it, so that skin towards "
    "the crown counts and gets none. “smoothed”: that coarse depth averaged over 2.4 mm, which takes out the "
    "creases between triangles and adds nothing; detail is what “fine” has beyond it. "
    "Pixels: whole ones of skin (no eyes, lips, brows), 2 px from its edge, not seen edge-on, covered by both. "
    "Normals: angle to the truth's in degrees, over all pixels; “closer”: by how much fine's mean is smaller than "
    "coarse's; “heads closer”: heads whose own mean is smaller; “wrinkle”: the same over pixels with more than 0.08 "
    "mm of relief. Rows “… enlarged to …”: what FineNet added at the smaller size, enlarged, on the larger size's "
    "coarse depth, against the larger size's truth; that the larger size shows more means that its own row is better "
    "than this one."
)
DEPTH_PROTOCOL = (
    "The same heads and pixels. Depth: predicted − true in mm, the median of each head taken off, absolute; mean and"
    " 90th percentile over all pixels. Detail correlation: of the slopes of fine − coarse with those of truth − "
    "coarse (uncentred, −1…1); 0 for detail that has nothing to do with the truth."
)
NATURAL = (
    "Natural: lights cast shadows of the face on itself, and 0.2 to 1.6 mm (rms) of a smooth shape, 20 to 60 mm wide, "
    "are added along its normals, which the face model doesn't have; “true coarse” is without it. "
)
SURROUNDED = (
    "Surrounded: of a photograph in {surroundings}, what isn't bare skin lies around the head and before it, hair, "
    "glasses, clothes and a room, moved by what takes the landmarks of one to those of the other; hidden skin doesn't "
    "count. "
)
SMALL = "Small: pictures that were 1 to 2.2 times smaller, enlarged again, and compressed, JPEG quality 40 to 95. "
DEFAULT_FACES = 48
SMOOTH_MM = 2.4
WRINKLE_MM = 0.08


@dataclass(frozen=True)
class DetailEvaluationConfig:
    """What is measured.

    Attributes:
        photos: folder of photographs for the shading residual, see `evaluate_shading`; None leaves it out.
        sizes: widths of the crops in px.
        faces: heads; of print-through and of photographs also at most so many, unless it is 0.
        severity: of the oldest skin, 0.25…4, see `synthetic_skin.wrinkles`; print-through's heads are smooth.
        natural: whether heads have a shape of their own and cast shadows, as on photographs; see `DetailWorld.head`.
        surroundings: folder of `python -m tfface.pipelines.surroundings`, to lay photographs around the heads; None
            leaves them bald, before an empty backdrop. Print-through's always are.
        small: whether pictures were smaller before and are compressed; print-through's never are.
    """

    photos: str | None = None
    sizes: tuple[int, ...] = (200, 400)
    faces: int = 0
    severity: float = 1.0
    natural: bool = False
    surroundings: str | None = None
    small: bool = False

    def __post_init__(self):
        synthetic_skin.check_severity(self.severity)
        if not self.sizes or min(self.sizes) < 32:
            raise ValueError(f"expected sizes of at least 32 px, received {self.sizes}")
        object.__setattr__(self, "sizes", tuple(sorted(set(self.sizes))))


class Refiner:
    """FineNet on single pictures.

    Args:
      networks: has `face_model`, `coarse` and `fine`.
      world: what draws the heads; the evaluation's own if None.
    """

    def __init__(self, networks, world: DetailWorld | None = None):
        self.networks = networks
        self.world = world or DetailWorld(networks.face_model)

    def fine(self, image: np.ndarray, depth: np.ndarray, mask: np.ndarray, detailed: np.ndarray) -> np.ndarray:
        """Refined depth `[S, S]` px of grey `[S, S]` and a coarse surface, as `DetailWorld.coarse` has it."""
        inputs = {"image": image, "depth": depth, "mask": mask, "detailed": detailed}
        batch = {name: tf.constant(value[None, :, :, None], tf.float32) for name, value in inputs.items()}
        return np.asarray(self.networks.fine(batch, training=False), np.float32)[0, ..., 0]

    def coarse(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """CoarseNet's surface of grey `[S, S]`, as `DetailWorld.coarse` has it."""
        size, its_size = len(image), self.networks.coarse.config.size
        small = image if size == its_size else resample(image, 0.0, 0.0, size / its_size, its_size, its_size)
        r = np.asarray(self.networks.coarse(tf.constant(small[None, :, :, None]), training=False))[0]
        return self.world.coarse(r, size)


class _Errors:
    """What one row collects over the heads."""

    def __init__(self):
        self.angles, self.on_wrinkles, self.depth, self.product, self.power = [], [], [], [], []

    def add(self, picture: Picture, depth: np.ndarray, mask: np.ndarray, coarse: np.ndarray) -> None:
        """Compares a depth map with a picture's truth on the skin that both cover."""
        valid = picture.skin & (mask > 0)
        normals = image_normals(depth, mask)
        self.angles.append(angular_errors(normals, picture.normals, valid))
        wrinkled = valid & (np.abs(picture.relief) > WRINKLE_MM)
        self.on_wrinkles.append(angular_errors(normals, picture.normals, wrinkled))
        difference = (depth - picture.depth)[valid] / picture.px_per_mm
        self.depth.append(np.abs(difference - np.median(difference)) if difference.size else difference)
        added, missing = (_slopes(x - coarse, valid) for x in (depth, picture.depth))
        self.product.append(float((added * missing).sum()))
        self.power.append((float((added**2).sum()), float((missing**2).sum())))

    def row(self, name: str, coarse: "_Errors | None" = None) -> dict:
        """The angles, and how much closer they are than the coarse ones."""
        row, wrinkles = angle_row(name, self.angles), np.concatenate(self.on_wrinkles)
        if wrinkles.size:
            row["wrinkle_mean_deg"] = float(wrinkles.mean())
        if coarse is not None:
            row["closer_percent"] = closer_percent(angle_row("", coarse.angles), row)
            pairs = zip(self.angles, coarse.angles, strict=True)
            row["heads_closer"] = sum(bool(a.size and a.mean() < b.mean()) for a, b in pairs)
            before = np.concatenate(coarse.on_wrinkles)
            if wrinkles.size and before.mean() > 0:
                row["wrinkle_closer_percent"] = 100.0 * float(1.0 - wrinkles.mean() / before.mean())
        return row

    def depth_row(self, name: str) -> dict:
        pixels = np.concatenate(self.depth)
        added, missing = np.sum(self.power, axis=0)
        row = {"name": name, "pixels": int(pixels.size)}
        if not pixels.size:
            return row
        return row | {
            "depth_mean_mm": float(pixels.mean()),
            "depth_90_mm": float(np.percentile(pixels, 90)),
            "detail_correlation": sum(self.product) / float(np.sqrt(added * missing)) if added * missing else None,
        }


def _slopes(depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`[H, W, 2]`, zero off the mask."""
    batch = (np.asarray(x, np.float32)[None, :, :, None] for x in (depth, mask))
    return slopes_from_depth(*batch)[0].numpy() * mask[..., None]


def _measure(refiner: Refiner, head, sizes, change) -> dict[str, tuple]:
    """{row name: (picture, depth, mask, coarse depth)} of one head; `change` is an `AsPhotographed`, sizes ascend."""
    found, added = {}, {}
    for size in sizes:
        picture = change(refiner.world.render(head, size), head)
        true = picture.coarse, picture.mask, picture.detailed
        for start, surface in {"true coarse": true, "CoarseNet": refiner.coarse(picture.image)}.items():
            fine, (coarse, mask, _) = refiner.fine(picture.image, *surface), surface
            found[f"{size} px, {start}: coarse"] = picture, coarse, mask, coarse
            smoothed = smooth_depth(coarse, mask, SMOOTH_MM * picture.px_per_mm, picture.px_per_mm)
            found[f"{size} px, {start}: smoothed"] = picture, smoothed, mask, coarse
            found[f"{size} px, {start}: fine"] = picture, fine, mask, coarse
        added[size] = found[f"{size} px, true coarse: fine"][1] - picture.coarse * picture.mask
    for small in sizes[:-1]:
        enlarged = resample(added[small], 0.0, 0.0, small / size, size, size) * (size / small)
        name = f"{small} px, true coarse: fine, enlarged to {size}"
        found[name] = picture, picture.coarse + enlarged, picture.mask, picture.coarse
    return found


def run(networks, config: DetailEvaluationConfig | None = None, world: DetailWorld | None = None) -> dict:
    """Measures detail, print-through and, given photographs, the shading residual.

    Args:
        networks: has `face_model`, `coarse` and `fine`.
        config: see `DetailEvaluationConfig`.
        world: what draws the heads; the evaluation's own if None.

    Returns:
        {"protocol", "faces", "rows": [{"name", "faces", "mean_deg", …, "wrinkle_mean_deg",
        "closer_percent", "heads_closer", "wrinkle_closer_percent"}], "more": [depth, print-through, shading residual]}.

    Raises:
        FileNotFoundError, ValueError: photographs are missing or damaged.
    """
    config = config or DetailEvaluationConfig()
    # Photographs first: what is wrong with them should be said before minutes of rendering.
    shading = []
    if config.photos:
        settings = evaluate_shading.ShadingEvaluationConfig(config.photos, config.sizes, config.faces)
        shading = [evaluate_shading.run(networks, settings)]
    refiner, errors = Refiner(networks, world), {}
    change = AsPhotographed(networks.face_model, config.surroundings, config.small)
    faces = config.faces or DEFAULT_FACES
    for index in tracked(range(faces), "heads"):
        head = refiner.world.head(index, severity=config.severity, natural=config.natural)
        for name, measured in _measure(refiner, head, config.sizes, change).items():
            errors.setdefault(name, _Errors()).add(*measured)
    rows = []
    for name, found in errors.items():
        # Enlarged detail lies on the largest coarse depth.
        start = name.split(": ")[0] if "enlarged" not in name else f"{config.sizes[-1]} px, true coarse"
        rows.append(found.row(name, None if name.endswith(": coarse") else errors[f"{start}: coarse"]))
    sizes = ", ".join(map(str, config.sizes))
    depth = {"protocol": DEPTH_PROTOCOL, "rows": [found.depth_row(name) for name, found in errors.items()]}
    marks = evaluate_print_through.run(refiner, config.sizes, config.faces)
    pictures = SURROUNDED.format(surroundings=config.surroundings) if config.surroundings else ""
    pictures += SMALL if config.small else ""
    return {
        "protocol": PROTOCOL.format(
            faces=faces,
            seed=SEED,
            sizes=sizes,
            severity=config.severity,
            natural=NATURAL if config.natural else "",
            pictures=pictures,
        ),
        "faces": faces,
        "rows": rows,
        "more": [depth, marks, *shading],
    }
