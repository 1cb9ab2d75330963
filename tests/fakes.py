"""Stand-ins with the surface of the trained networks, so that tests know every number beforehand."""

import dataclasses

import numpy as np
import tensorflow as tf
from PIL import Image

from tfface.output import write_arrays
from tfface.pipelines.surroundings import TABLE

POSE = (0.1, -0.25, 0.15, 0.04, -0.03, -0.02)
"""θ_x, θ_y, θ_z, u, v, s that the fake CoarseNet always answers."""


class DomeModel:
    """A face model whose mean is the front of an ellipsoid; the first expression component moves it along x."""

    def __init__(self, count: int = 24):
        # A disc of rings, so that the mesh is round, then lifted: x, y in −1…1.
        rings = [np.zeros((1, 2))]
        for ring in range(1, count + 1):
            angle = 2 * np.pi * np.arange(6 * ring) / (6 * ring)
            rings.append(ring / count * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
        disc = np.concatenate(rings)
        from scipy.spatial import Delaunay

        triangles = Delaunay(disc).simplices
        a, b, c = (disc[triangles[:, i]] for i in range(3))
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        triangles[area < 0] = triangles[area < 0][:, ::-1]
        lift = np.sqrt(np.maximum(1.05 - (disc**2).sum(axis=1), 0))
        mean = np.stack([75 * disc[:, 0], 100 * disc[:, 1], 90 * lift - 45], axis=-1)
        self.mean = mean.astype(np.float32)
        self.triangles = triangles[np.abs(area) > 1e-9].astype(np.int32)
        self.region_names = ("skin",)
        self.landmarks = np.linspace(0, len(mean) - 1, 68).astype(np.int32)
        from scipy.spatial import cKDTree

        self.mirror = cKDTree(disc).query(disc * [-1, 1])[1].astype(np.int32)
        self.uv = np.float32(0.5 + 0.49 * disc)
        self.uv_triangles = self.triangles
        self.albedo_mean = np.tile(np.float32([0.36, 0.2, 0.14]), (len(mean), 1))
        self.albedo_basis = 0.05 * np.ones((len(mean), 3, 1), np.float32)
        # One action, which is half of the first expression component.
        self.expression_basis = np.zeros((len(mean), 3, 84), np.float32)
        self.expression_basis[:, 0, 0] = 10.0
        self.action_names = ("jawOpen",)
        self.actions = 0.5 * np.eye(84, dtype=np.float32)[:1]

    def decode(self, identity, expression):
        """Vertices `[B, V, 3]` mm."""
        shift = tf.convert_to_tensor(expression, tf.float32)[:, :1, None] * tf.constant([10.0, 0.0, 0.0])
        return tf.constant(self.mean)[None] + shift + 0.0 * tf.convert_to_tensor(identity)[:, :1, None]

    def region_mask(self, *names):
        """All of it is skin."""
        return np.full(len(self.mean), "skin" in names)

    def blendshapes(self, expression):
        """One made-up weight."""
        return {"jawOpen": float(np.clip(np.ravel(expression)[0], 0, 1))}


class ConstantCoarse:
    """Answers the same r for every crop, and remembers the crops."""

    def __init__(self, pose=POSE, expression: float = 0.5):
        self.r = np.zeros(290, np.float32)
        self.r[200] = expression
        self.r[284:] = pose
        self.crops = []

    def __call__(self, image, training=False):
        assert image.shape[1:] == (200, 200, 1) and image.dtype == np.float32
        assert 0 <= image.min() and image.max() <= 1.0001
        self.crops.append(np.asarray(image))
        return tf.tile(tf.constant(self.r)[None], [image.shape[0], 1])


class LiftingFine:
    """Adds a constant number of the crop's pixels to the depth."""

    def __init__(self, lift: float = 0.0):
        self.lift = lift
        self.sizes = []

    def __call__(self, inputs, training=False):
        assert set(inputs) == {"image", "depth", "mask", "detailed"}
        self.sizes.append(inputs["depth"].shape[1])
        assert inputs["image"].shape == inputs["depth"].shape == inputs["mask"].shape
        return tf.convert_to_tensor(inputs["depth"]) + self.lift * inputs["mask"] * inputs["detailed"]


@dataclasses.dataclass
class FakeNetworks:
    """What `load_pretrained` returns, with known answers."""

    face_model: DomeModel = dataclasses.field(default_factory=DomeModel)
    coarse: ConstantCoarse = dataclasses.field(default_factory=ConstantCoarse)
    fine: LiftingFine = dataclasses.field(default_factory=LiftingFine)


def photo(height: int = 260, width: int = 220, seed: int = 0) -> np.ndarray:
    """A smooth random picture, uint8 RGB."""
    noise = np.random.default_rng(seed).random((8, 8, 3)).astype(np.float32)
    return np.uint8(np.clip(tf.image.resize(noise, (height, width), method="bicubic").numpy(), 0, 1) * 255)


def face_of(networks: FakeNetworks | None = None, box=(60, 50, 140, 160), image=None, **options):
    """One face, reconstructed with fake networks."""
    from tfface.reconstructor import Reconstructor, ReconstructorConfig

    reconstructor = Reconstructor(networks or FakeNetworks(), ReconstructorConfig(**options))
    return reconstructor(photo() if image is None else image, boxes=[box])[0]


def write_around(folder, r, levels) -> None:
    """A folder as `pipelines.surroundings` writes it.

    Args:
      folder: it exists.
      r: `[N, 290]`.
      levels: `[N, 256, 256, 2]` in 0…1, grey and skin.
    """
    for number, its_levels in enumerate(levels):
        Image.fromarray(np.rint(255 * its_levels).astype(np.uint8), "LA").save(folder / f"{number:05d}.png")
    write_arrays(folder / TABLE, {"number": np.arange(len(levels)), "r": np.asarray(r, np.float32)})
