"""Brings a foreign face model into our format: sizes, frame, landmarks, regions, UVs, albedo and mirror."""

from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from tfface.morphable.conversion import labels
from tfface.morphable.conversion.basel import read_basel_2009, read_basel_hdf5
from tfface.morphable.conversion.flame import read_flame
from tfface.morphable.conversion.ict import read_ict
from tfface.morphable.conversion.raw import RawModel
from tfface.morphable.conversion.surrey import read_surrey
from tfface.morphable.model import MorphableModel
from tfface.morphable.representation import EXPRESSION_SIZE, IDENTITY_SIZE

READERS = {
    "basel-2009": read_basel_2009,
    "basel": read_basel_hdf5,
    "flame": read_flame,
    "ict": read_ict,
    "surrey": read_surrey,
}
KINDS = tuple(READERS)
_ENDINGS = {".mat": "basel-2009", ".h5": "basel", ".hdf5": "basel", ".pkl": "flame", ".bin": "surrey"}


def convert(path, kind: str | None = None) -> MorphableModel:
    """Reads someone else's face model.

    What the file lacks is carried over from the default model, which is fitted to the foreign mean face: landmarks,
    regions, albedo. Components beyond 200 identity and 84 expression ones are dropped, missing ones are zero.

    Args:
      path: the model's file; a folder for ICT-FaceKit.
      kind: one of `KINDS`; None goes by the ending.

    Raises:
      FileNotFoundError: there is nothing at `path`.
      ValueError: the kind is unknown, or the file isn't of it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"expected a face model at {path}, found nothing")
    kind = kind or ("ict" if path.is_dir() else _ENDINGS.get(path.suffix.lower()))
    if kind not in READERS:
        raise ValueError(f"expected a face model of kind {', '.join(KINDS)}, received {path.name}; name its kind")
    return into_our_format(READERS[kind](path), MorphableModel.default())


def into_our_format(raw: RawModel, default: MorphableModel) -> MorphableModel:
    """A `MorphableModel` of a foreign one; see `convert`."""
    count = len(raw.mean)
    if raw.triangles.size == 0 or raw.triangles.min() < 0 or raw.triangles.max() >= count:
        raise ValueError(f"expected triangles of vertices 0…{count - 1} in {raw.source}, received others")
    for part in (raw.mean, raw.identity, raw.expression):
        if len(part) != count or not np.isfinite(part).all():
            raise ValueError(f"expected finite numbers for {count} vertices in {raw.source}, received others")
    fitted = labels.register(default, raw.mean)
    distance, nearest = cKDTree(fitted).query(raw.mean)
    # Ties between the tree and our own landmarks go to the visible skin: eyes and mouth lie behind it.
    skin = np.flatnonzero(np.isin(np.arange(count), raw.triangles.ravel()))
    landmarks = raw.landmarks
    if landmarks is None:
        landmarks = skin[cKDTree(raw.mean[skin]).query(fitted[default.landmarks])[1]]
    shift = raw.mean[landmarks].mean(axis=0)
    regions = default.regions[nearest].copy()
    # What the default head doesn't reach is neither skin nor eyes.
    regions[distance > labels.FACE_REACH_MM] = default.region_names.index("neck")
    albedo_mean, albedo_basis = raw.albedo_mean, raw.albedo_basis
    if albedo_mean is None:
        albedo_mean, albedo_basis = default.albedo_mean[nearest], default.albedo_basis[nearest]
    uv, uv_triangles = raw.uv, raw.uv_triangles
    triangles = labels.outward(raw.mean, raw.triangles)
    if uv is None:
        uv, uv_triangles = _cylinder(raw.mean), triangles
    elif triangles is not raw.triangles:
        uv_triangles = uv_triangles[:, ::-1]
    names = list(raw.actions)
    actions = np.array([raw.actions[name] for name in names]).reshape(len(names), raw.expression.shape[-1])
    return MorphableModel(
        name=raw.name,
        version=raw.version,
        license=raw.license,
        source=raw.source,
        mean=raw.mean - shift,
        identity_basis=_resized(raw.identity, IDENTITY_SIZE),
        expression_basis=_resized(raw.expression, EXPRESSION_SIZE),
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
        triangles=triangles,
        uv=uv,
        uv_triangles=uv_triangles,
        regions=regions,
        region_names=np.array(default.region_names),
        landmarks=landmarks,
        mirror=labels.mirror_partners(raw.mean),
        action_names=np.array(names, dtype=str),
        actions=_resized(actions, EXPRESSION_SIZE),
    )


def _resized(values: np.ndarray, count: int) -> np.ndarray:
    """The last dimension cut or filled with zeros to `count`."""
    kept = values[..., :count]
    return np.concatenate([kept, np.zeros((*kept.shape[:-1], count - kept.shape[-1]))], axis=-1)


def _cylinder(mean: np.ndarray) -> np.ndarray:
    """Texture coordinates `[V, 2]` around the head's axis, for models that bring none."""
    low, high = mean.min(axis=0), mean.max(axis=0)
    axis_z = high[2] - 0.6 * (high[0] - low[0])
    angle = np.arctan2(mean[:, 0] - (low[0] + high[0]) / 2, mean[:, 2] - axis_z)
    return np.stack([0.5 + angle / (2 * np.pi), (mean[:, 1] - low[1]) / max(high[1] - low[1], 1e-9)], axis=-1)
