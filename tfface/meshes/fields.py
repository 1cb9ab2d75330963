"""Smooth fields on the mesh that carry a tone from where it is known to where it isn't."""

import numpy as np

_LIMIT = 5.0
"""Largest |ln ratio|: black hair on fair skin."""
_LASTING = 0.01
"""Pull towards what is usual, against 1 between neighbours: it wins some ten vertices from what is known."""


class Fields:
    """Smooth fields on the mesh that agree with what texels say where they say something.

    Args:
      texels: N of them.
      triangles: `[T, 3]` of the mesh.
      kind: `[V]` int: tone is carried on within a kind of surface, as skin says little about hair.
    """

    def __init__(self, texels, triangles, kind):
        from scipy import sparse

        self.texels, self.count = texels, len(kind)
        a, b = _edges(triangles)
        joined = np.where(kind[a] == kind[b], 1.0, 0.05)
        graph = sparse.coo_matrix((joined, (a, b)), (self.count, self.count))
        graph = graph + graph.T
        self.laplacian = sparse.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph

    def carried(self, ratio, weight, rest=None):
        """A field `[V, 3]` that agrees with the texels where their weight is above 0.

        Args:
          ratio: `[N, 3]` of texels, see `log_ratio`.
          weight: `[N]` 0…1.
          rest: `[V, 3]`, where the field settles far from there, by default 0.
        """
        from scipy.sparse import diags
        from scipy.sparse.linalg import factorized

        mean, total = self.texels.to_vertices(ratio, weight)
        known = np.minimum(total, 1.0)
        if rest is None:
            rest = np.zeros((self.count, 3))
        solve = factorized((self.laplacian + diags(known + _LASTING)).tocsc())
        # What is smooth is how far it is from the rest, which has steps between the kinds.
        beyond = known[:, None] * (mean - rest)
        return np.float32(rest + np.stack([solve(beyond[:, c]) for c in range(3)], axis=-1))


def log_ratio(wanted, have):
    """ln(wanted / have) `[N, 3]` of linear RGB, within what makes sense to carry on."""
    return np.clip(np.log(np.maximum(wanted, 2e-3)) - np.log(np.maximum(have, 2e-3)), -_LIMIT, _LIMIT)


def smoothed(values, triangles, rounds=8):
    """Values `[V]` of vertices, each averaged with its neighbours' a few times."""
    a, b = _edges(triangles)
    values, count = np.asarray(values, np.float64), len(values)
    degree = np.bincount(a, minlength=count) + np.bincount(b, minlength=count)
    for _ in range(rounds):
        values = (values + np.bincount(a, values[b], count) + np.bincount(b, values[a], count)) / (1 + degree)
    return values


def _edges(triangles):
    """Both ends `[2, E]` of the mesh's edges."""
    ends = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64), axis=1)
    # One number per edge: rows as such are sorted ten times slower.
    return np.stack(np.divmod(np.unique(ends @ [1 << 32, 1]), 1 << 32))
