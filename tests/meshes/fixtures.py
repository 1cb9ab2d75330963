"""A face whose photo is known: the shipped face model, drawn with colours that tell where on the head they lie."""

import numpy as np

from tfface.face import Face, Patch
from tfface.meshes.drawing import draw


def painted_face(
    model, yaw: float = 0.0, colors=None, size: int = 240, shift=(0.0, 0.0), lift=None, background=120, moved=0.0
):
    """A mean head in a photo of `size` px that shows vertex colours `[V, 3]` 0…255.

    Args:
      model: the face model.
      yaw: radians; > 0 faces the image's right.
      colors: `place_colors` by default.
      size: of the photo, px; 1 px is 1.2 mm at 240.
      shift: of the head from the middle, px.
      lift: function of (x, y) in px of the photo, the detail in px; 0 by default.
      background: colour of the rest.
      moved: of the vertices in the model's frame, an expression `[V, 3]` mm.
    """
    sine, cosine = np.sin(yaw), np.cos(yaw)
    rotation = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    vertices = np.float32((model.mean + moved) @ rotation.T)
    mm_per_px = 288.0 / size
    translation = np.array([size / 2, size * 0.55]) + shift
    points = np.float32(vertices * [1, -1, 1] / mm_per_px + [*translation, 0])
    values = place_colors(model) if colors is None else colors
    # Drawn twice as large and averaged, as a camera would.
    picture, mask = draw(points * 2, model.triangles, values, 2 * size, 2 * size)
    picture[~mask] = background
    image = np.uint8(np.rint(picture.reshape(size, 2, size, 2, 3).mean(axis=(1, 3))))
    depth, mask = draw(points, model.triangles, points[:, 2:], size, size)
    coarse = np.where(mask, depth[..., 0], np.nan).astype(np.float32)
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    fine = coarse if lift is None else np.float32(coarse + lift(x, y))
    return Face(
        vertices=vertices,
        triangles=np.asarray(model.triangles, np.int32),
        vertices_image=points,
        landmarks=points[model.landmarks],
        rotation=rotation,
        euler_degrees=(float(np.degrees(yaw)), 0.0, 0.0),
        translation=translation,
        mm_per_px=mm_per_px,
        box=np.array([0.3, 0.3, 0.7, 0.8]) * size,
        score=1.0,
        identity=np.zeros(200, np.float32),
        expression=np.zeros(84, np.float32),
        blendshapes={name: 0.0 for name in model.action_names},
        image=image,
        patch=Patch(0, 0, coarse, fine),
        face_model=model,
    )


def place_colors(model) -> np.ndarray:
    """Skin tones `[V, 3]` that change smoothly with the place, the same on both sides."""
    x, y, z = model.mean.T
    return np.stack([170 + 0.3 * y, 120 + 0.4 * np.abs(x), 100 + 0.2 * (z + 80)], axis=-1)
