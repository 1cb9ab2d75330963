"""Weak perspective (eq. 2 and 5 of the paper), in the frames of docs/conventions.md."""

import functools

import tensorflow as tf


def rotation_matrix(euler: tf.Tensor) -> tf.Tensor:
    """Rotation R = R_z·R_y·R_x of Euler angles.

    Args:
      euler: `[..., 3]`, (θ_x, θ_y, θ_z) in radians about the world axes.

    Returns:
      `[..., 3, 3]` float32.
    """
    return _rotations().from_euler(tf.convert_to_tensor(euler, tf.float32))


@functools.cache
def _rotations():
    """tensorflow_graphics' module of rotation matrices.

    Each module of that library lists its names for the library's documentation as it is imported, and finds out by
    `inspect.stack` which one it is. Once TensorFlow is there that takes half as long as TensorFlow did, so nothing is
    listed meanwhile.
    """
    from tensorflow_graphics.util import export_api

    listed = export_api.get_functions_and_classes, export_api.get_modules
    export_api.get_functions_and_classes = export_api.get_modules = list
    try:
        from tensorflow_graphics.geometry.transformation import rotation_matrix_3d
    finally:
        export_api.get_functions_and_classes, export_api.get_modules = listed
    return rotation_matrix_3d


def euler_degrees(euler: tf.Tensor) -> tf.Tensor:
    """(yaw, pitch, roll) in degrees, as people read a head pose, of (θ_x, θ_y, θ_z).

    Yaw > 0 faces the image's right, pitch > 0 looks up, roll > 0 is clockwise in the image.
    """
    theta_x, theta_y, theta_z = tf.unstack(tf.convert_to_tensor(euler, tf.float32), axis=-1)
    degrees = 57.29577951308232
    return tf.stack([theta_y, -theta_x, -theta_z], axis=-1) * degrees


def to_camera(vertices: tf.Tensor, rotation: tf.Tensor) -> tf.Tensor:
    """Vertices turned into the camera's frame: `[B, V, 3]` mm, x right, y up, z nearer."""
    return tf.matmul(vertices, rotation, transpose_b=True)


def project(vertices: tf.Tensor, rotation: tf.Tensor, translation: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Places a mesh above the image plane (eq. 5, z scaled as x and y are).

    Args:
      vertices: `[B, V, 3]` mm.
      rotation: `[B, 3, 3]`.
      translation: `[B, 2]` px, where the origin of the mesh falls in the image (x right, y down).
      scale: `[B]` px per mm.

    Returns:
      `[B, V, 3]` px: x right, y down, z nearer.
    """
    turned = to_camera(vertices, rotation)
    flip = tf.constant([1.0, -1.0, 1.0])
    offset = tf.pad(translation, [[0, 0], [0, 1]])
    return turned * flip * scale[:, None, None] + offset[:, None, :]
