"""Scene lighting as spherical-harmonic coefficients, solved per image (eq. 8, 9 and 11)."""

import tensorflow as tf

from tfface.losses.least_squares import robust_least_squares


def harmonics(normals, order=1):
    """The spherical-harmonic basis Y of eq. 9, unnormalised.

    Args:
        normals: [..., 3] unit normals.
        order: 1 gives the paper's (1, n_x, n_y, n_z); 2 adds the five second-order polynomials
            (n_x n_y, n_x n_z, n_y n_z, n_x² − n_y², 3 n_z² − 1), which carry attached shadows.

    Returns:
        [..., 4] or [..., 9].

    Raises:
        ValueError: order is neither 1 nor 2.
    """
    if order not in (1, 2):
        raise ValueError(f"expected a lighting order of 1 or 2, received {order}")
    x, y, z = normals[..., 0:1], normals[..., 1:2], normals[..., 2:3]
    basis = [tf.ones_like(x), x, y, z]
    if order == 2:
        basis += [x * y, x * z, y * z, x * x - y * y, 3.0 * z * z - 1.0]
    return tf.concat(basis, axis=-1)


def shade(normals, lighting):
    """The shading ⟨l, Y(n)⟩ of eq. 8, without albedo.

    Args:
        normals: [B, H, W, 3] unit normals.
        lighting: [B, 4] or [B, 9] coefficients.

    Returns:
        [B, H, W, 1].

    Raises:
        ValueError: lighting has neither 4 nor 9 coefficients.
    """
    coefficients = lighting.shape[-1]
    if coefficients not in (4, 9):
        raise ValueError(f"expected lighting of shape [B, 4] or [B, 9], received {tuple(lighting.shape)}")
    basis = harmonics(normals, 1 if coefficients == 4 else 2)
    return tf.reduce_sum(basis * lighting[:, None, None, :], axis=-1, keepdims=True)


def estimate_lighting(image, albedo, normals, mask, order=1, iterations=0, ridge=0.0):
    """Eq. 11: one coefficient vector per image, over that image's valid pixels, with a given albedo.

    Args:
        image: [B, H, W, 1] intensities.
        albedo: [B, H, W, 1], usually the model's mean albedo.
        normals: [B, H, W, 3] of the coarse depth.
        mask: [B, H, W, 1], weights ≥ 0 of the pixels to trust (skin).
        order: 1 (4 coefficients, the paper's) or 2 (9 coefficients).
        iterations: rounds of Huber re-weighting; 0 is the paper's least squares.
        ridge: Tikhonov weight, in units of the mean squared residual.

    Returns:
        [B, 4] or [B, 9]; zeros for an image without valid pixels.

    Raises:
        ValueError: order is neither 1 nor 2.
    """
    design = harmonics(normals, order) * albedo
    batch, unknowns = tf.shape(design)[0], design.shape[-1]
    return robust_least_squares(
        tf.reshape(design, [batch, -1, unknowns]),
        tf.reshape(image, [batch, -1]),
        tf.reshape(tf.cast(mask, design.dtype), [batch, -1]),
        ridge=ridge,
        iterations=iterations,
    )
