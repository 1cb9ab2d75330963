"""How light falls on a face: spherical harmonics for diffuse light, Blinn–Phong for the gloss of skin."""

import tensorflow as tf

from tfface.geometry.mesh import normalize


def spherical_harmonics(normals: tf.Tensor, order: int = 1) -> tf.Tensor:
    """Y(n) of eq. (9): `[..., 3]` unit normals → `[..., 4]` (1, x, y, z), or `[..., 9]` for order 2.

    The basis is left unnormalised, as in the paper: its constants are part of the lighting coefficients.
    """
    if order not in (1, 2):
        raise ValueError(f"expected order 1 or 2, received {order}")
    x, y, z = tf.unstack(normals, axis=-1)
    basis = [tf.ones_like(x), x, y, z]
    if order == 2:
        basis += [x * y, x * z, y * z, x * x - y * y, 3.0 * z * z - 1.0]
    return tf.stack(basis, axis=-1)


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
