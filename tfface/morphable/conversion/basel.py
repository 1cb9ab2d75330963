"""The Basel Face Models: 2009 (`01_MorphableModel.mat`), 2017 and 2019 (`.h5`)."""

import json
from pathlib import Path

import numpy as np

from tfface.morphable.conversion.raw import RawModel, linear_colors, modes

LICENSE = "University of Basel, non-commercial research; not for redistribution"


def read_basel_2009(path: Path) -> RawModel:
    """Paysan et al., "A 3D Face Model for Pose and Illumination Invariant Face Recognition" (AVSS 2009).

    Lengths are in µm, colours 0…255, and `shapeEV`, `texEV` are standard deviations. There are no expressions.

    Raises:
      ValueError: the file is no such model.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        file = loadmat(path)
        mean = file["shapeMU"].reshape(-1, 3) * 1e-3
        identity = modes(file["shapePC"], file["shapeEV"].ravel() * 1e-3)
        color = file["texMU"].reshape(-1, 3) / 255.0
        color_modes = modes(file["texPC"], file["texEV"].ravel() / 255.0)
        triangles = file["tl"].astype(np.int64) - 1
    except (KeyError, ValueError, TypeError, IndexError, NotImplementedError, OSError, MatReadError) as error:
        raise ValueError(
            f"expected {path} to be Basel's 01_MorphableModel.mat with shapeMU, shapePC, shapeEV, texMU, texPC, texEV "
            f"and tl, but: {error}"
        ) from error
    albedo_mean, albedo_basis = linear_colors(color, color_modes)
    return RawModel(
        name="basel-2009",
        version="2009",
        license=LICENSE,
        source=path.name,
        mean=mean,
        identity=identity,
        expression=np.zeros((len(mean), 3, 0)),
        triangles=triangles,
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
    )


def read_basel_hdf5(path: Path) -> RawModel:
    """Gerig et al., "Morphable Face Models – An Open Framework" (2018), releases 2017 and 2019; mm, colours 0…1.

    Raises:
      ValueError: the file is no such model.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            shape, expression, color = (file[f"{part}/model"] for part in ("shape", "expression", "color"))
            mean = (shape["mean"][()] + expression["mean"][()]).reshape(-1, 3)
            identity = modes(shape["pcaBasis"][()], np.sqrt(shape["pcaVariance"][()].ravel()))
            moves = modes(expression["pcaBasis"][()], np.sqrt(expression["pcaVariance"][()].ravel()))
            colors = color["mean"][()].reshape(-1, 3)
            color_modes = modes(color["pcaBasis"][()], np.sqrt(color["pcaVariance"][()].ravel()))
            triangles = np.asarray(file["shape/representer/cells"][()])
            version = _release(file, path)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"expected {path} to be a Basel Face Model .h5 with shape/, expression/ and color/model, but: {error}"
        ) from error
    if triangles.shape[0] == 3 and triangles.shape[1] != 3:
        triangles = triangles.T
    albedo_mean, albedo_basis = linear_colors(colors, color_modes)
    return RawModel(
        name=f"basel-{version}",
        version=version,
        license=LICENSE,
        source=path.name,
        mean=mean,
        identity=identity,
        expression=moves,
        triangles=triangles.astype(np.int64),
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
    )


def _release(file, path: Path) -> str:
    """2017 or 2019, from the file's name or its metadata."""
    text = path.name
    if "metadata" in file:
        text += json.dumps({key: str(value) for key, value in file["metadata"].attrs.items()})
    return "2019" if "2019" in text else "2017"
