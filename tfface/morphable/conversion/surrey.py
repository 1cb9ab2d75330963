"""The Surrey Face Model as eos stores it: a cereal binary archive."""

import struct
from pathlib import Path

import numpy as np

from tfface.morphable.conversion.raw import RawModel, linear_colors, modes


class _Archive:
    """Reads a little-endian cereal archive front to back."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise ValueError(f"it ends at byte {len(self.data)}, {self.at + count - len(self.data)} bytes too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, code: str) -> int:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(code)))[0]

    def matrix(self) -> np.ndarray:
        """An Eigen matrix: rows, columns, then float32 by columns."""
        rows, columns = self.number("i"), self.number("i")
        if rows < 0 or columns < 0:
            raise ValueError(f"a matrix of {rows}×{columns} numbers")
        return np.frombuffer(self.take(4 * rows * columns), "<f4").reshape(columns, rows).T

    def pca(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean `[3V]`, orthonormal basis `[3V, K]`, variances `[K]`, triangles `[T, 3]`."""
        mean, basis, variance = self.matrix(), self.matrix(), self.matrix()
        count = self.number("Q")
        triangles = np.frombuffer(self.take(12 * count), "<i4").reshape(-1, 3)
        return mean.ravel(), basis, variance.ravel(), triangles.astype(np.int64)


def read_surrey(path: Path) -> RawModel:
    """Huber et al., "A Multiresolution 3D Morphable Face Model" (2016), `.bin` of eos 0.10 and later.

    Expressions come from `expression_blendshapes*.bin` in the same folder, if there is one.

    Raises:
      ValueError: the file is no such model.
    """
    try:
        archive = _Archive(path.read_bytes())
        version = archive.number("I")
        if not 1 <= version <= 4:
            raise ValueError(f"it is of version {version}; eos' models have 1 to 4")
        mean, basis, variance, triangles = archive.pca()
        color, color_basis, color_variance, _ = archive.pca()
        blendshapes = _blendshapes(path.parent, len(mean))
    except (ValueError, struct.error, OSError) as error:
        raise ValueError(f"expected {path} to be a face model of eos (.bin), but: {error}") from error
    albedo = (None, None)
    if len(color):
        unit = 255.0 if color.max() > 2 else 1.0
        albedo = linear_colors(color.reshape(-1, 3) / unit, modes(color_basis, np.sqrt(color_variance) / unit))
    names = list(blendshapes)
    moves = np.stack([blendshapes[n] for n in names], -1) if names else np.zeros((len(mean), 0))
    return RawModel(
        name="surrey",
        version=str(version),
        license="University of Surrey; the 3448 shape-only model is free for non-commercial use",
        source=path.name,
        mean=mean.reshape(-1, 3),
        identity=modes(basis, np.sqrt(variance)),
        expression=modes(moves),
        triangles=triangles,
        albedo_mean=albedo[0],
        albedo_basis=albedo[1],
        actions=dict(zip(names, np.eye(len(names)), strict=True)),
    )


def _blendshapes(folder: Path, size: int) -> dict[str, np.ndarray]:
    """Name → displacement `[3V]` of the first file of blendshapes that fits the mesh."""
    for path in sorted(folder.glob("expression_blendshapes*.bin")):
        archive = _Archive(path.read_bytes())
        shapes = {}
        for _ in range(archive.number("Q")):
            name = archive.take(archive.number("Q")).decode("utf-8", "replace")
            shapes[name] = archive.matrix().ravel().astype(np.float64)
        if all(len(shape) == size for shape in shapes.values()):
            return shapes
    return {}
