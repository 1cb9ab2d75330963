"""A slow, obvious rasteriser: every triangle against every pixel, one at a time."""

import numpy as np


def rasterize(vertices, triangles, height, width, cull=False):
    """Triangle index `[H, W]` (−1 none), barycentric coordinates `[H, W, 3]` and depth `[H, W]` of one mesh."""
    index = np.full((height, width), -1)
    weights = np.zeros((height, width, 3))
    depth = np.full((height, width), -np.inf)
    for t, triangle in enumerate(triangles):
        a, b, c = vertices[triangle].astype(np.float64)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area == 0 or (cull and area > 0):
            continue
        for i in range(height):
            for j in range(width):
                x, y = j + 0.5, i + 0.5
                l1 = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
                l2 = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
                l0 = 1 - l1 - l2
                z = l0 * a[2] + l1 * b[2] + l2 * c[2]
                if min(l0, l1, l2) >= 0 and z > depth[i, j]:
                    index[i, j], weights[i, j], depth[i, j] = t, (l0, l1, l2), z
    return index, weights, np.where(index >= 0, depth, 0.0)
