"""How distant lights fall on a face: Lambert's law, and Blinn–Phong for the gloss of skin."""

import tensorflow as tf

from tfface.geometry.mesh import normalize


def directional(normals: tf.Tensor, directions: tf.Tensor, strengths: tf.Tensor, seen=1.0) -> tf.Tensor:
    """Lambert's law for distant lights.

    Args:
      normals: `[B, H, W, 3]` unit.
      directions: `[B, L, 3]` unit, from the face to the light.
      strengths: `[B, L]`.
      seen: `[B, H, W, L]`, the share of each that isn't hidden; see `cast_shadow`.

    Returns:
      `[B, H, W, 1]`, Σ strength · seen · max(0, n·l).
    """
    cosine = tf.einsum("bhwc,blc->bhwl", normals, directions)
    return tf.einsum("bhwl,bl->bhw", tf.nn.relu(cosine) * seen, strengths)[..., None]


def specular(normals, directions, strengths, shininess: tf.Tensor, seen=1.0) -> tf.Tensor:
    """Blinn–Phong highlights `[B, H, W, 1]` of distant lights for a viewer at z = +∞; `shininess` is `[B]`, the rest as
    in `directional`."""
    half = normalize(directions + tf.constant([0.0, 0.0, 1.0]))
    cosine = tf.nn.relu(tf.einsum("bhwc,blc->bhwl", normals, half))
    lobes = tf.pow(cosine + 1e-6, shininess[:, None, None, None])
    return tf.einsum("bhwl,bl->bhw", lobes * seen, strengths)[..., None]
