"""How far an exported file's answers lie from the Keras model's.

The feedback has an edge: a pixel's centre lies on the face's outline or off it. `coarse_net.on_grid` sees to it that
all runtimes render the same face there; figures are still counted crop by crop, so that one that differs shows.
"""

import dataclasses

import numpy as np

LANDMARKS_PX, DEPTH_PX, AGREEMENT = 0.05, 0.05, 0.999
"""What counts as the same answer: landmarks and fine depth within so much, depth and mask on that share of pixels."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """How one crop's answers differ."""

    landmarks: float
    """Largest distance of a landmark in the image plane, px."""
    vertices: float
    """The same of all vertices."""
    r: float
    """Largest difference of a number of r."""
    depth: float
    """Mean difference of the fine depth over the pixels in both masks, px."""
    depth_within: float
    """Share of these pixels whose fine depth differs by at most `DEPTH_PX`."""
    normals: float
    """Mean angle between normals over these pixels, degrees."""
    mask: float
    """Share of all pixels on which the masks agree."""

    @property
    def same(self) -> bool:
        """Whether this counts as the same answer."""
        return self.landmarks <= LANDMARKS_PX and min(self.depth_within, self.mask) >= AGREEMENT


def compare(received: dict, expected: dict) -> list[Parity]:
    """Compares outputs of `FaceGraph` (arrays by name, batch first), crop by crop."""
    return [
        _compare(*({name: value[crop] for name, value in outputs.items()} for outputs in (received, expected)))
        for crop in range(len(expected["r"]))
    ]


def _compare(received: dict, expected: dict) -> Parity:
    masks = received["mask"] > 0.5, expected["mask"] > 0.5
    both = masks[0] & masks[1]
    if not both.any():
        raise ValueError("expected faces that share a pixel, received masks without a common one")
    depth = np.abs(received["fine_depth"] - expected["fine_depth"])[both]
    cosine = np.sum(received["normals"] * expected["normals"], axis=-1)[both]

    def farthest(name):
        return float(np.linalg.norm((received[name] - expected[name])[:, :2], axis=-1).max())

    return Parity(
        landmarks=farthest("landmarks"),
        vertices=farthest("vertices"),
        r=float(np.abs(received["r"] - expected["r"]).max()),
        depth=float(depth.mean()),
        depth_within=float((depth <= DEPTH_PX).mean()),
        normals=float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()),
        mask=float((masks[0] == masks[1]).mean()),
    )


def summary(crops: list[Parity]) -> str:
    """One line for people."""
    return (
        f"{sum(crop.same for crop in crops)} of {len(crops)} crops the same; "
        f"landmarks: median {np.median([c.landmarks for c in crops]):.4f}, "
        f"worst {max(c.landmarks for c in crops):.3f} px; "
        f"fine depth: mean {np.mean([c.depth for c in crops]):.4f} px; "
        f"normals: mean {np.mean([c.normals for c in crops]):.3f}°; "
        f"masks agree on {min(c.mask for c in crops):.3%} or more"
    )


def keras_answers(networks, crops: np.ndarray) -> dict[str, np.ndarray]:
    """What the Keras networks say, step by step as `Reconstructor` runs them, on crops of any size.

    Args:
      networks: a `Pretrained`.
      crops: `[B, S, S, 3]` float32 in 0…1.
    """
    from tfface.geometry.depth import normals_from_depth
    from tfface.images import grey
    from tfface.morphable import representation
    from tfface.rendering.coarse_surface import CoarseSurface
    from tfface.resampling import resample

    size, wanted = crops.shape[1], networks.coarse.config.size
    image = grey(crops * 255.0)
    view = image
    if size != wanted:
        view = np.stack([resample(plane, 0.0, 0.0, size / wanted, wanted, wanted) for plane in image])
    image = image[..., None]
    r = networks.coarse(view[..., None], training=False)
    vertices = representation.vertices_image(networks.face_model, r, size)
    surface = CoarseSurface(networks.face_model)(vertices, size, size)
    mask = surface.mask
    inputs = {"image": image, "depth": surface.depth, "mask": mask, "detailed": surface.detailed}
    refined = networks.fine(inputs, training=False)
    return {
        "r": r.numpy(),
        "landmarks": vertices.numpy()[:, networks.face_model.landmarks],
        "vertices": vertices.numpy(),
        "fine_depth": refined.numpy()[..., 0],
        "normals": normals_from_depth(refined, mask).numpy(),
        "mask": mask.numpy()[..., 0],
    }
