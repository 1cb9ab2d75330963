"""How distant lights fall on a face: Lambert's law, and Blinn–Phong for the gloss of skin."""

import tensorflow as tf

from tfface.geometry.mesh import normalize


def directional(normals: tf.Tensor, directions: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Lambert's law for distant lights.

    Args:
      normals: `[B, H, W, 3]` unit.
      directions: `[B, L, 3]` unit, from the face to the light.
      strengths: `[B, L]`.

    Returns:
      `[B, H, W, 1]`, Σ strength · max(0, n·l).
    """
    cosine = tf.einsum("bhwc,blc->bhwl", normals, directions)
    return tf.einsum("bhwl,bl->bhw", tf.nn.relu(cosine), strengths)[..., None]


def specular(normals: tf.Tensor, directions: tf.Tensor, strengths: tf.Tensor, shininess: tf.Tensor) -> tf.Tensor:
    """Blinn–Phong highlights `[B, H, W, 1]` of distant lights for a viewer at z = +∞; `shininess` is `[B]`."""
    half = normalize(directions + tf.constant([0.0, 0.0, 1.0]))
    cosine = tf.nn.relu(tf.einsum("bhwc,blc->bhwl", normals, half))
    lobes = tf.pow(cosine + 1e-6, shininess[:, None, None, None])
    return tf.einsum("bhwl,bl->bhw", lobes, strengths)[..., None]
