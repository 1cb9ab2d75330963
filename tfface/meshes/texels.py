"""The texels of a face model's texture: where on the mesh they lie, and what is done to them in the picture."""

import dataclasses
import functools

import numpy as np

from tfface.geometry.ramps import smooth_step


@dataclasses.dataclass(frozen=True, eq=False)
class Texels:
    """The texels inside islands, N of them."""

    inside: np.ndarray
    """`[S, S]` bool."""
    places: object
    """Sparse `[N, V]` float32, where each lies between the vertices."""
    mirror: np.ndarray
    """`[V]`: the vertex on the other side of the head."""

    def gather(self, values, mirrored=False):
        """What vertices have, `[V]` or `[V, C]`, at the texels or at those on the other side: `[N]` or `[N, C]`."""
        return self.places @ np.asarray(values[self.mirror] if mirrored else values, np.float32)

    def to_vertices(self, values, weight):
        """Weighted means `[V, C]` of what texels around each vertex have, and the total weight `[V]` in texels."""
        total = self.places.T @ weight
        return (self.places.T @ (weight[:, None] * values)) / np.maximum(total, 1e-9)[:, None], total

    def most(self, chosen, width):
        """`[N]` bool: where most of the texels in a square of `width` texture widths are among the chosen `[N]`."""
        from scipy import ndimage

        grid = np.zeros((2, *self.inside.shape), np.float32)
        grid[0, self.inside], grid[1, self.inside] = chosen, 1.0
        share, all_of_them = ndimage.uniform_filter(grid, (0, *[max(int(width * len(self.inside)), 1)] * 2))
        return (share > 0.5 * all_of_them)[self.inside]

    def fade(self, hidden, width):
        """`[N]`: 1 far from hidden texels, 0 in them, a ramp of `width` texture widths between; specks are dropped."""
        from scipy import ndimage

        # Outside counts as hidden while specks are dropped, so that thin islands and borders aren't taken for specks.
        mask = ~self.inside
        mask[self.inside] = hidden
        mask = ndimage.binary_opening(mask, np.ones((3, 3))) & self.inside
        if not mask.any():
            return np.ones(len(hidden), np.float32)
        distance = ndimage.distance_transform_edt(~mask)
        return smooth_step(distance[self.inside], 0.0, max(width * len(mask), 1.5))

    def padded(self, values, reach: int = 16):
        """A picture `[S, S, 3]` of the texels' colours `[N, 3]`, carried on beyond the islands.

        So filters at their borders see no black; far from them it is the mean.
        """
        from scipy import ndimage

        image = np.zeros((*self.inside.shape, 3), np.float32)
        image[self.inside] = values
        distance, (row, column) = ndimage.distance_transform_edt(~self.inside, return_indices=True)
        return np.where((distance <= reach)[..., None], image[row, column], values.mean(axis=0))


@functools.lru_cache(maxsize=2)
def texels(layout, model, size) -> Texels:
    """The texels of an `atlas.Atlas` of the face model in a texture of `size` texels a side."""
    from scipy.sparse import csr_matrix

    from tfface.rendering.visibility import rasterize

    flat = np.concatenate([layout.uv * [size, -size] + [0, size], np.zeros((len(layout.uv), 1))], axis=1)
    visibility = rasterize(np.float32(flat)[None], layout.triangles, size, size)
    triangle = visibility.triangle[0].numpy()
    inside = triangle >= 0
    shares, corners = visibility.barycentric[:, 0].numpy()[:, inside].T, model.triangles[triangle[inside]]
    rows = np.arange(0, shares.size + 1, 3)
    places = csr_matrix((shares.ravel(), corners.ravel(), rows), (len(shares), len(model.mean)))
    return Texels(inside, places, np.asarray(model.mirror))
