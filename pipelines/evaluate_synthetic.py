"""Accuracy on synthetic faces that training never saw: depth as in the paper's Table 1, vertices and pose, per pass."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfface.progress import tracked

PROTOCOL = (
    "{faces} synthetic faces drawn with seed {seed}, which training does not use, in the training's world. Depth: the "
    "coarse depth map rendered from the predicted r against that of the true r, on pixels of the face valid in both, "
    "shifted by the median of their difference, divided by the true scale (px per mm); mean and 90th percentile over "
    "all pixels of all faces, and the mean as a share of the floor's. Vertices: mean distance in mm in the model's own "
    "frame, over the whole mesh and over the face. Pose: mean absolute error of each angle over all faces and over "
    "those within ±{limit:.0f}° of yaw. Floor: the mean face in the true pose."
)


@dataclasses.dataclass(frozen=True)
class SyntheticEvaluationConfig:
    """How many faces are drawn.

    Attributes:
      faces: rounded up to whole batches.
      batch: faces at a time.
      seed: of the dataset; training counts its seeds from 0.
      yaw_limit: degrees; pose errors are also averaged over only the faces that turn by no more.
    """

    faces: int = 512
    batch: int = 16
    seed: int = 770_001
    yaw_limit: float = 60.0


class DepthComparison:
    """Renders two sets of r and compares their depth.

    Args:
      model: a `MorphableModel`.
      size: width of the square maps, px.
    """

    def __init__(self, model, size: int = 200):
        from tfface.rendering.feedback import FeedbackRenderer

        self.model, self.size = model, size
        self.renderer = FeedbackRenderer(model, size)
        self.attribute = tf.constant(model.face_vertices()[:, None], tf.float32)

    def depth(self, r) -> tuple[np.ndarray, np.ndarray]:
        """Depth `[B, size, size]` in px and whether a pixel sees the face `[B, size, size]`, of r `[B, 290]`."""
        from tfface.rendering.visibility import interpolate

        vertices, _, visibility = self.renderer.geometry(tf.constant(r, tf.float32))
        values = tf.concat([vertices[..., 2:], tf.tile(self.attribute[None], [len(r), 1, 1])], -1)
        maps = interpolate(visibility, self.model.triangles, values).numpy()
        return maps[..., 0], maps[..., 1] > 0.5

    def errors(self, r_true, r_predicted) -> list[np.ndarray]:
        """Per face, the absolute depth errors in mm of all pixels valid in both, aligned by their median."""
        scale = np.exp(np.asarray(r_true)[:, 289]) * self.size / 240.0
        (true, true_valid), (found, found_valid) = self.depth(r_true), self.depth(r_predicted)
        errors = []
        for i in range(len(true)):
            both = true_valid[i] & found_valid[i]
            difference = (found[i] - true[i])[both] / scale[i]
            errors.append(np.abs(difference - np.median(difference)) if both.any() else np.zeros(0))
        return errors


def angle_errors(r_true: np.ndarray, r_predicted: np.ndarray) -> np.ndarray:
    """Absolute errors `[B, 3]` of yaw, pitch and roll in degrees."""
    difference = np.asarray(r_predicted)[:, 284:287] - np.asarray(r_true)[:, 284:287]
    wrapped = (difference + np.pi) % (2 * np.pi) - np.pi
    return np.degrees(np.abs(wrapped))[:, [1, 0, 2]]


def _decode(model, r):
    return np.asarray(model.decode(tf.constant(r[:, :200], tf.float32), tf.constant(r[:, 200:284], tf.float32)))


def run(networks, config: SyntheticEvaluationConfig | None = None) -> dict:
    """Measures every pass.

    Args:
      networks: has `face_model` and `coarse` (an `IterativeCoarseNet`).
      config: see `SyntheticEvaluationConfig`.

    Returns:
      {"protocol": str, "faces": int, "rows": [{"name", "depth_mean_mm", "depth_90_mm", "depth_of_floor_percent",
      "vertex_mm", "face_vertex_mm"}], "more": [{"protocol", "rows": [{"name", "yaw_deg", "pitch_deg", "roll_deg",
      "yaw_within_deg", "pitch_within_deg", "roll_within_deg"}]}]}: the floor first, then each pass; the pose errors in
      a table of their own. None where no face counts.
    """
    from tfface.pipelines.synthetic import SyntheticConfig, synthetic_dataset

    config = config or SyntheticEvaluationConfig()
    model, coarse = networks.face_model, networks.coarse
    passes = coarse.config.passes
    names = ["mean face, true pose"] + [f"pass {i + 1}" for i in range(passes)]
    depth, vertex, face_vertex, angles = ([[] for _ in names] for _ in range(4))
    inside = []
    compare, on_face = DepthComparison(model, coarse.config.size), model.face_vertices()
    world = SyntheticConfig(size=coarse.config.size, batch=config.batch)
    batches = -(-config.faces // config.batch)
    drawn = synthetic_dataset(model, world, seed=config.seed).take(batches)
    for batch in tracked(drawn, "faces", total=batches):
        r_true = batch["r"].numpy()
        floor = np.concatenate([np.zeros_like(r_true[:, :284]), r_true[:, 284:]], axis=1)
        estimates = [floor, *np.moveaxis(coarse.all_passes(batch["image"]).numpy(), 1, 0)]
        truth = _decode(model, r_true)
        inside.append(np.abs(np.degrees(r_true[:, 285])) <= config.yaw_limit)
        for i, r in enumerate(estimates):
            depth[i] += compare.errors(r_true, r)
            distance = np.linalg.norm(_decode(model, r) - truth, axis=-1)
            vertex[i].append(distance.mean(1))
            face_vertex[i].append(distance[:, on_face].mean(1))
            angles[i].append(angle_errors(r_true, r))
    inside = np.concatenate(inside)
    rows, pose = [], []
    for i, name in enumerate(names):
        pixels, turn = np.concatenate(depth[i]), np.concatenate(angles[i])
        mean = float(pixels.mean())
        rows.append(
            {
                "name": name,
                "depth_mean_mm": mean,
                "depth_90_mm": float(np.percentile(pixels, 90)),
                "depth_of_floor_percent": 100.0 * mean / (rows[0]["depth_mean_mm"] if rows else mean),
                "vertex_mm": float(np.concatenate(vertex[i]).mean()),
                "face_vertex_mm": float(np.concatenate(face_vertex[i]).mean()),
            }
        )
        pose.append({"name": name} | _angle_row(turn, "deg") | _angle_row(turn[inside], "within_deg"))
    faces = batches * config.batch
    words = {"faces": faces, "seed": config.seed, "limit": config.yaw_limit}
    within = f"Pose error; “within”: the {int(inside.sum())} faces within ±{config.yaw_limit:.0f}° of yaw."
    return {
        "protocol": PROTOCOL.format(**words),
        "faces": faces,
        "rows": rows,
        "more": [{"protocol": within, "rows": pose}],
    }


def _angle_row(errors: np.ndarray, suffix: str) -> dict:
    """Mean errors `[3]` of `[N, 3]` by name; None when no face counts."""
    means = errors.mean(0).tolist() if len(errors) else [None] * 3
    return {f"{angle}_{suffix}": mean for angle, mean in zip(("yaw", "pitch", "roll"), means, strict=True)}
