"""Contact sheets of photographs or synthetic faces: photo | overlay | coarse | fine | relief | normals | depth."""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

# fmt: off
PEOPLE_24 = (
    368, 575, 1541, 736, 46, 2346, 920, 506, 1380, 1449, 2047, 184,
    2530, 3588, 4416, 2461, 6624, 5704, 5842, 7843, 8901, 8763, 8533, 10764,
)
PEOPLE_48 = PEOPLE_24 + (
    1219, 667, 851, 2162, 1633, 276, 2691, 4370, 3772, 3243, 4002, 3657,
    6348, 6647, 5980, 5819, 9430, 10143, 9706, 9338, 10396, 10603, 11270, 10925,
)
# fmt: on
"""Validation photographs varied in source, age, skin, pose and expression; fixed, so that sheets compare."""

SYNTHETIC_SEED = 770_002
"""Seed of synthetic faces; training counts its own from 0."""
# Grazes the face: a light that the forehead faces shows nothing of its lines.
_LIGHT = np.array([-0.38, -0.66, 0.65], np.float32)
_WHITE = 255.0
_RELIEF_MM = 0.6
"""Relief that is shown in full red, raised, or blue, sunken."""


@dataclasses.dataclass(frozen=True)
class ContactSheetConfig:
    """What is drawn.

    Attributes:
      photos: folder as `pipelines.landmark_photos` reads it; None draws synthetic faces that no training saw.
      output: PNG file.
      model: folder of trained weights; None for the shipped ones.
      fits: draw the fits of this `fits.npz` instead of a model's predictions.
      people: 24 or 48 of the fixed set, or image numbers; of synthetic faces, how many.
      size: width of a panel, px.
      columns: people side by side.
    """

    photos: str | None = None
    output: str = "runs/contact_sheet.png"
    model: str | None = None
    fits: str | None = None
    people: int | tuple[int, ...] = 24
    size: int = 200
    columns: int = 2


@dataclasses.dataclass(frozen=True)
class Maps:
    """A reconstruction on a crop's grid, NaN off the face; image-space normals (x right, y down, z nearer).

    Attributes:
      normals: `[S, S, 3]`, of the coarse shape.
      depth: `[S, S]` px.
      mouth: `[S, S]` 0…1, how much of a pixel shows the mouth's inside.
      fine_normals: `[S, S, 3]` or None.
      fine_depth: `[S, S]` px or None.
      mm_per_px: of the crop, where there is a fine depth.
    """

    normals: np.ndarray
    depth: np.ndarray
    mouth: np.ndarray
    fine_normals: np.ndarray | None = None
    fine_depth: np.ndarray | None = None
    mm_per_px: float = 1.0


def maps_of_r(model, r: np.ndarray, size: int) -> list[Maps]:
    """The coarse shapes of r `[N, 290]`, as crops of `size` px."""
    import tensorflow as tf

    from tfface.rendering.feedback import FeedbackRenderer
    from tfface.rendering.visibility import interpolate

    renderer = FeedbackRenderer(model, size)
    mouth = tf.constant(model.region_mask("mouth")[None, :, None], tf.float32)
    maps = []
    for one in np.asarray(r, np.float32):
        vertices, normals, visibility = renderer.geometry(tf.constant(one[None]))
        values = tf.concat([normals, vertices[..., 2:], mouth], -1)
        drawn = interpolate(visibility, model.triangles, values)[0].numpy()
        drawn[visibility.triangle[0].numpy() < 0] = np.nan
        normal = drawn[..., :3] / np.linalg.norm(drawn[..., :3], axis=-1, keepdims=True)
        maps.append(Maps(normal * np.float32([1, -1, 1]), drawn[..., 3], drawn[..., 4]))
    return maps


def maps_of_face(face, square, size: int) -> Maps:
    """A `Face`'s maps on the grid of a crop, by the nearest pixel.

    Args:
      face: has depth, coarse_depth `[H, W]`, normals, coarse_normals `[H, W, 3]` on its grid, and the mesh:
        vertices_image `[V, 3]` px, triangles `[T, 3]`, region.
      square: (cx, cy, side) of the crop in the photograph's px.
      size: S in px.
    """
    from tfface.meshes.drawing import draw as draw_mesh

    height, width = face.depth.shape
    steps = (np.arange(size) + 0.5) / size - 0.5
    column = np.floor(square[0] + steps * square[2]).astype(int)
    row = np.floor(square[1] + steps * square[2]).astype(int)
    inside = ((row >= 0) & (row < height))[:, None] & ((column >= 0) & (column < width))[None]
    rows, columns = np.clip(row, 0, height - 1)[:, None], np.clip(column, 0, width - 1)[None]

    def sample(values):
        values = np.array(values[rows, columns], np.float32)
        values[~inside] = np.nan
        return values

    zoom = size / square[2]
    points = (face.vertices_image - [square[0], square[1], 0.0]) * zoom + [size / 2.0, size / 2.0, 0.0]
    mouth, _ = draw_mesh(points, face.triangles, face.region("mouth")[:, None], size, size)
    return Maps(
        sample(face.coarse_normals),
        sample(face.coarse_depth) * zoom,
        mouth[..., 0],
        sample(face.normals),
        sample(face.depth) * zoom,
        face.mm_per_px / zoom,
    )


def shade(normals: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """A clay-like picture `[S, S, 3]` float32 in 0…255 of normals, white off the face, darker between the lips."""
    light = np.clip(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0.0, 1.0)
    grey = (55.0 + 195.0 * light) * (1.0 - 0.5 * mouth)
    return np.repeat(np.where(np.isfinite(grey), grey, _WHITE)[..., None], 3, axis=-1).astype(np.float32)


def panels(photo: np.ndarray, maps: Maps) -> list[np.ndarray]:
    """The pictures of one person, each `[S, S, 3]` float32 in 0…255.

    They are photo, overlay, coarse, where there is a fine depth that and what it adds, then normals and depth.
    """

    coarse = shade(maps.normals, maps.mouth)
    on_face = np.isfinite(maps.depth)[..., None]
    pictures = [photo, np.where(on_face, 0.35 * photo + 0.65 * coarse, photo), coarse]
    normals, depth = maps.normals, maps.depth
    if maps.fine_depth is not None:
        normals, depth = maps.fine_normals, maps.fine_depth
        relief = (maps.fine_depth - maps.depth) * maps.mm_per_px
        pictures += [shade(normals, maps.mouth), _coloured(relief, -_RELIEF_MM, _RELIEF_MM, "RdBu_r")]
    code = (normals * [1, -1, 1] + 1.0) * 127.5
    pictures.append(np.where(np.isfinite(code), code, _WHITE))
    low, high = np.nanpercentile(depth, [2, 98]) if np.isfinite(depth).any() else (0.0, 1.0)
    return [*pictures, _coloured(depth, low, high, "viridis")]


def _coloured(values: np.ndarray, low: float, high: float, colours: str) -> np.ndarray:
    """Values `[S, S]` by a colour map of matplotlib, `[S, S, 3]` float32 in 0…255, white where there is none."""
    import matplotlib

    picture = matplotlib.colormaps[colours](np.clip((values - low) / max(high - low, 1e-6), 0, 1))[..., :3] * 255
    return np.where(np.isfinite(values)[..., None], picture, _WHITE).astype(np.float32)


def grid(people: list[list[np.ndarray]], names: list[str], columns: int) -> np.ndarray:
    """All people's pictures, one person a strip, `columns` strips side by side: `[H, W, 3]` uint8."""
    from PIL import Image, ImageDraw

    strips = []
    for pictures, name in zip(people, names, strict=True):
        strip = Image.fromarray(np.concatenate(pictures, axis=1).clip(0, 255).astype(np.uint8))
        ImageDraw.Draw(strip).text((3, 2), name, fill=(255, 255, 0), stroke_width=1, stroke_fill=(0, 0, 0))
        strips.append(np.asarray(strip))
    while len(strips) % columns:
        strips.append(np.full_like(strips[0], 255))
    return np.concatenate(
        [np.concatenate(strips[i : i + columns], axis=1) for i in range(0, len(strips), columns)], axis=0
    )


@dataclasses.dataclass(frozen=True)
class People:
    """Whom a sheet shows.

    Attributes:
      names: N texts.
      pictures: N of `[H, W, 3]` uint8 RGB.
      points68: `[N, 68, 2]` px.
    """

    names: list[str]
    pictures: list[np.ndarray]
    points68: np.ndarray


def synthetic_people(model, number: int) -> People:
    """Faces of the synthetic world, their landmarks the true ones."""
    import tensorflow as tf

    from tfface.losses.landmarks import ProjectedLandmarks
    from tfface.pipelines.sampling import SamplingConfig
    from tfface.pipelines.synthetic import SyntheticConfig, SyntheticWorld

    sampling = SamplingConfig(yaw_degrees=60.0, pitch_degrees=25.0, roll_degrees=20.0)
    world = SyntheticWorld(model, SyntheticConfig(batch=number, sampling=sampling))
    drawn = world.draw(tf.constant([SYNTHETIC_SEED, number], tf.int64))
    grey = np.rint(drawn["image"].numpy() * 255).astype(np.uint8)
    points = ProjectedLandmarks(model)(drawn["r"]).numpy()[..., :2]
    return People([f"synthetic {i}" for i in range(number)], list(np.repeat(grey, 3, axis=-1)), points)


def draw(people: People, squares: np.ndarray, maps: list[Maps], config: ContactSheetConfig) -> np.ndarray:
    """The sheet `[H, W, 3]` uint8 of N people with their crops `[N, 3]` and maps."""
    from tfface.detection import cut

    rows = zip(people.pictures, squares, maps, strict=True)
    strips = [panels(cut(picture, square, config.size), found) for picture, square, found in rows]
    return grid(strips, people.names, config.columns)


def _reconstruct(reconstructor, people, squares, config) -> list[Maps]:
    """Maps by a `Reconstructor`, given the box of the landmarks; where it finds nothing, empty ones."""
    maps = []
    empty = np.full((config.size, config.size, 3), np.nan, np.float32)
    nobody = Maps(empty, empty[..., 0], empty[..., 0], empty, empty[..., 0])
    for picture, points, square in zip(people.pictures, people.points68, squares, strict=True):
        faces = reconstructor(picture, boxes=[[*points.min(0).tolist(), *points.max(0).tolist()]])
        maps.append(maps_of_face(faces[0], square, config.size) if faces else nobody)
    return maps


def _photos(config):
    """The rows of the photographs that the sheet is to show.

    Raises:
      FileNotFoundError: the folder or a file in it is missing.
      ValueError: none of `people` is in the folder.
    """
    from tfface.pipelines import landmark_photos

    photos = landmark_photos.load(config.photos)
    people = {24: PEOPLE_24, 48: PEOPLE_48}.get(config.people, config.people)
    rows = [row for number in np.atleast_1d(people) for row in np.flatnonzero(photos.number == number)]
    if not rows:
        raise ValueError(f"expected image numbers of {config.photos}, received {people}")
    return photos.take(np.array(rows))


def run(config: ContactSheetConfig, reconstructor=None, networks=None) -> Path:
    """Draws and writes a sheet.

    Args:
      config: see `ContactSheetConfig`.
      reconstructor: a `Reconstructor`; with it the sheet shows fine results.
      networks: has `face_model` and `coarse`; with it, and no reconstructor, the sheet shows photographs' coarse
        results alone.

    Returns:
      The file.

    Raises:
      FileNotFoundError: photographs, fits or weights are missing.
      ValueError: none of `people` is in the folder, or fits or `networks` were given for synthetic faces.
    """
    from PIL import Image

    from tfface.morphable.model import MorphableModel
    from tfface.pipelines import evaluate_landmarks

    if config.photos is None and (config.fits or networks is not None or not isinstance(config.people, int)):
        raise ValueError("expected a number of synthetic faces and a trained model, received what needs --photos")
    if config.photos is None:
        if config.people < 1:
            raise ValueError(f"expected at least one synthetic face, received {config.people}")
        people = synthetic_people(MorphableModel.default(), config.people)
    else:
        photos = _photos(config)
        pictures = [evaluate_landmarks.read_rgb(photos.path(row)) for row in range(len(photos.number))]
        people = People([f"{number:05d}" for number in photos.number], pictures, photos.points68)
    squares = evaluate_landmarks.landmark_squares(people.points68)
    if config.fits:
        with np.load(config.fits) as fits:
            at = np.searchsorted(fits["number"], photos.number)
            squares, r = fits["square"][at], fits["r"][at]
        maps = maps_of_r(MorphableModel.default(), r, config.size)
    elif networks is not None:
        settings = evaluate_landmarks.LandmarkEvaluationConfig(config.photos)
        squares, r = evaluate_landmarks.predict(networks, photos, settings)
        maps = maps_of_r(networks.face_model, r, config.size)
    else:
        if reconstructor is None:
            from tfface.reconstructor import Reconstructor

            reconstructor = Reconstructor.from_pretrained(config.model)
        maps = _reconstruct(reconstructor, people, squares, config)
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw(people, squares, maps, config)).save(output)
    return output


def main(arguments=None) -> int:
    """`python -m tfface.pipelines.contact_sheet [--photos FOLDER]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", help="folder of photographs with landmarks (default: synthetic faces)")
    parser.add_argument("--output", default=ContactSheetConfig.output)
    parser.add_argument("--model", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument("--fits", help="draw the fits of this file instead")
    parser.add_argument(
        "--people", type=int, nargs="+", default=[24], help="24, 48, or image numbers; of synthetic faces, how many"
    )
    parser.add_argument("--size", type=int, default=200, help="width of a panel, px")
    parser.add_argument("--columns", type=int, default=2, help="people side by side")
    options = vars(parser.parse_args(arguments))
    people = options.pop("people")
    counted = people in ([24], [48]) or (options["photos"] is None and len(people) == 1)
    people = people[0] if counted else tuple(people)
    try:
        print(run(ContactSheetConfig(people=people, **options)))
    except (FileNotFoundError, ValueError) as error:
        print(f"tfface: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
