"""Heads with true wrinkles, folds and pores: pictures with the depth that they were shaded from.

The face model's surface is rounded between its vertices (Phong tessellation, Boubekeur & Alexa 2008) and smoothed over
about a millimetre, because the creases between its triangles are no shape of a face; then the relief of
`pipelines.synthetic_skin`, in mm along the normal, is added to the depth. Surfaces are shaded at 800 px or more and
averaged down, so that pores which no pixel resolves don't alias.
"""

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from scipy.ndimage import binary_erosion, gaussian_filter, zoom

from tfface.geometry.depth import normals_from_depth
from tfface.losses.albedo import grey_albedo
from tfface.morphable.representation import CROP_MM, vertices_image
from tfface.pipelines.sampling import SamplingConfig, sample_r
from tfface.pipelines.synthetic_skin import Chart, random_fullness, random_marks, random_relief
from tfface.rendering.cast_shadow import light_seen
from tfface.rendering.coarse_surface import CoarseSurface
from tfface.rendering.feedback import FeedbackRenderer
from tfface.rendering.skylight import sky_seen
from tfface.rendering.visibility import interpolate

FINE_PX = 800
"""Least width at which surfaces are shaded, px: 0.3 mm a pixel."""
SEED = 880_001
"""Seeds of evaluation start here; training counts its own from 0."""
POSES = SamplingConfig(yaw_degrees=45.0, pitch_degrees=20.0, roll_degrees=15.0)
"""Poses in which most of the skin is seen."""
# Forty shifts of a large picture: one by one they take several times as long.
_sky_graph = tf.function(sky_seen, autograph=False)
_PHONG = 0.5
"""Half way from a flat triangle to its corners' tangent planes lies any quadratic; see `rendering.depth`. More would
bulge every triangle, and FineNet would learn to."""
_SMOOTH_MM = 1.2
_STEEP = 0.3
LIGHT_WIDTHS = (0.03, 0.5)
"""Of lights that cast shadows, as seen from the face, radians: from a flash to a window."""


@dataclass(frozen=True)
class Light:
    """What shines on a head, in the frame of docs/conventions.md's image normals: x right, y down, z near.

    Attributes:
        ambient: the same from everywhere.
        directions: `[L, 3]` unit vectors towards the lights.
        strengths: `[L]`.
        gloss: strength of the highlights.
        shininess: exponent of the highlights.
        wide: 0…1, how much of a light is hidden where the sky is, as that of windows and clouds.
        cast: radians, how wide lights are that cast shadows; 0 for lights that cast none.
    """

    ambient: float
    directions: np.ndarray
    strengths: np.ndarray
    gloss: float = 0.0
    shininess: float = 12.0
    wide: float = 0.0
    cast: float = 0.0

    @property
    def level(self) -> float:
        """How much light falls on a face, about: what a camera is set by."""
        return self.ambient + 0.6 * float(np.sum(self.strengths))

    def shade(self, normals: np.ndarray, albedo: np.ndarray, sky: np.ndarray | float = 1.0, seen=None) -> np.ndarray:
        """Radiance `[H, W]` of unit normals `[H, W, 3]` and reflectance `[H, W]`: Lambert and Blinn–Phong.

        Args:
          normals, albedo: of the surface.
          sky: `[H, W]`, how much of the light from everywhere reaches it; see `rendering.skylight`.
          seen: `[H, W, L]`, how much of each light does; all of it if None. See `rendering.cast_shadow`.
        """
        radiance = albedo * self.ambient * sky
        direct = 1.0 - self.wide * (1.0 - sky)
        for number, (direction, strength) in enumerate(zip(self.directions, self.strengths, strict=True)):
            strength = strength if seen is None else strength * seen[..., number]
            half = direction + [0.0, 0.0, 1.0]
            half = half / max(np.linalg.norm(half), 1e-6)
            radiance = radiance + strength * albedo * np.maximum(normals @ direction, 0.0) * direct
            radiance = radiance + strength * self.gloss * np.maximum(normals @ half, 0.0) ** self.shininess
        return radiance


FLAT = Light(0.8, np.zeros((0, 3)), np.zeros(0))
"""The same light from everywhere: shape shows only where it hides the sky from itself."""


def random_light(rng: np.random.Generator) -> Light:
    """One to three lights in front of and mostly above the face, some ambient light and some gloss."""
    number = int(rng.integers(1, 4))
    directions = rng.normal(size=(number, 3)) * [1.0, 0.6, 0.4] + [0.0, -0.5, 0.8]
    directions[:, 2] = np.abs(directions[:, 2])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strengths = rng.uniform(0.6, 1.2, number) / number**0.5
    ambient = 0.05 + 0.7 * rng.uniform() ** 2
    return Light(ambient, directions, strengths, rng.uniform(0.0, 0.12), rng.uniform(6.0, 25.0), rng.uniform())


@dataclass(frozen=True)
class Head:
    """One head, before it is rendered.

    Attributes:
        r: `[290]`.
        albedo: `[V]`, linear reflectance 0…1, of the face model's subspace.
        relief: chart map in mm; None for smooth skin.
        marks: chart map that multiplies reflectance; None for none.
        light: see `Light`.
        noise: standard deviation of the sensor's noise, in grey levels of 1.
        blur: standard deviation of the lens's blur in mm at the face.
        seed: of background and noise.
        fullness: chart map in mm, a shape that the face model doesn't have; None for none.
    """

    r: np.ndarray
    albedo: np.ndarray
    relief: np.ndarray | None
    marks: np.ndarray | None
    light: Light
    exposure: float = 0.25
    noise: float = 0.0
    blur: float = 0.0
    seed: int = 0
    fullness: np.ndarray | None = None


@dataclass(frozen=True)
class Picture:
    """A rendered head.

    Attributes:
        image: `[S, S]` float32 grey in 0…1, as networks see it.
        depth: `[S, S]` float32 px, the true surface with its detail; 0 off the mask.
        normals: `[S, S, 3]` float32, of `depth`.
        coarse: `[S, S]` float32 px, the face model alone, as the product renders it.
        mask: `[S, S]` float32, 1 where the face model is seen.
        detailed: `[S, S]` float32 in 0…1, by how much detail belongs there, see `CoarseSurface`.
        skin: `[S, S]` bool, where detail is measured: whole pixels of skin, 2 px from its edge, not seen edge-on.
        relief: `[S, S]` float32 mm, what was added along the normals.
        marks: `[S, S]` float32, what reflectance was multiplied by.
        px_per_mm: scale.
    """

    image: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    coarse: np.ndarray
    mask: np.ndarray
    detailed: np.ndarray
    skin: np.ndarray
    relief: np.ndarray
    marks: np.ndarray
    px_per_mm: float


class DetailWorld:
    """Draws heads and renders them at any size.

    Args:
      model: a `MorphableModel`.
      fine_px: least width at which surfaces are shaded, px.
    """

    def __init__(self, model, fine_px: int = FINE_PX):
        self.model, self.fine_px = model, fine_px
        self.chart = Chart(model)
        self.skin = np.asarray(model.region_mask("skin"), np.float32)
        mean, basis = grey_albedo(model)
        self.albedo_mean, self.albedo_basis = mean[:, 0].numpy(), basis.numpy()
        self._coarse_surface = CoarseSurface(model)
        self._renderers = {}
        self._kept = (None, None)

    def head(self, index: int, poses: SamplingConfig = POSES, severity: float = 1.0, natural: bool = False) -> Head:
        """Held-out head number `index`: the same number draws the same head.

        Args:
          index: its number.
          poses: what poses it may have.
          severity: of the oldest skin, see `synthetic_skin.wrinkles`.
          natural: whether its shape isn't quite the face model's and it stands in its own light, as on photographs.
        """
        rng = np.random.default_rng([SEED, index])
        r = sample_r(self.model, 1, tf.constant([SEED, index], tf.int64), poses)[0].numpy()
        weights = np.clip(rng.normal(size=self.albedo_basis.shape[1]), -1.5, 1.5)
        albedo = np.clip((self.albedo_mean + self.albedo_basis @ weights) * rng.uniform(0.8, 1.2), 0.02, 0.9)
        head = Head(
            r=r,
            albedo=albedo.astype(np.float32),
            relief=random_relief(self.chart, rng.uniform(0.25, severity), rng),
            marks=random_marks(self.chart, rng),
            light=random_light(rng),
            exposure=rng.uniform(0.12, 0.4),
            noise=rng.uniform(0.0, 0.012),
            blur=rng.uniform(0.0, 0.6),
            seed=index,
        )
        if not natural:
            return head
        rng = np.random.default_rng([SEED, index, 2])
        light = replace(head.light, cast=rng.uniform(*LIGHT_WIDTHS))
        return replace(head, light=light, fullness=random_fullness(self.chart, rng))

    def render(self, head: Head, size: int) -> Picture:
        """The head in a crop of `size`×`size` px.

        Raises:
          ValueError: the size is below 32 px.
        """
        if size < 32:
            raise ValueError(f"expected a size of at least 32 px, received {size}")
        times = max(-(-self.fine_px // size), 1)
        surface = self._surface(head, size * times)
        true = _shrink(surface["depth"] * surface["mask"], times) / times
        coarse, mask, detailed = self.coarse(head.r, size)
        true_mask = (mask > 0) & (_shrink(surface["mask"], times) > 0.999)
        normals = image_normals(true, true_mask)
        return Picture(
            image=self._photograph(head, surface, size, times),
            depth=true.astype(np.float32) * true_mask,
            normals=normals,
            coarse=coarse,
            mask=mask,
            detailed=detailed,
            skin=_measurable(surface, true_mask, times),
            relief=_shrink(surface["relief"], times),
            marks=_shrink(surface["marks"], times),
            px_per_mm=surface["scale"] / times,
        )

    def surface_sample(self, head: Head, size: int) -> dict[str, np.ndarray]:
        """What a picture of the head is made of but for light and camera, in a crop of `size`×`size` px.

        Returns:
          r `[290]`; `[S, S]`: depth float32 px, albedo float16 (mean 1 over the head's skin), mask uint8, skin uint8,
          where detail counts (see `Picture.skin`), and sky uint8, 255 where all of it is seen (`rendering.skylight`).
        """
        times = max(-(-self.fine_px // size), 1)
        surface = self._surface(head, size * times)
        whole = _shrink(surface["mask"], times) > 0.999
        albedo = np.clip(surface["albedo"] * surface["marks"], 0.005, 1.0) / head.albedo[self.skin > 0.5].mean()
        return {
            "r": head.r.astype(np.float32),
            "depth": (_shrink(surface["depth"] * surface["mask"], times) / times * whole).astype(np.float32),
            "albedo": _shrink(albedo, times).astype(np.float16),
            "mask": whole.astype(np.uint8),
            "skin": _measurable(surface, whole, times).astype(np.uint8),
            "sky": np.rint(255.0 * _shrink(surface["sky"], times)).astype(np.uint8),
        }

    def _renderer(self, size):
        return self._renderers.setdefault(size, FeedbackRenderer(self.model, size))

    def coarse(self, r: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Depth in px, 0/1 mask and `Picture.detailed` `[size, size]` of r `[290]`, as the product renders them."""
        surface = self._coarse_surface(vertices_image(self.model, tf.constant(r[None], tf.float32), size), size, size)
        return tuple(of_one[0, ..., 0].numpy() for of_one in (surface.depth, surface.mask, surface.detailed))

    def _surface(self, head, size) -> dict[str, np.ndarray]:
        """What shading needs, `[size, size]`: depth in px, relief, marks, albedo, skin, facing, mask and sky."""
        # Evaluation renders one head with many marks: its geometry, and the sky it sees, are kept until another comes.
        key = (head.r.tobytes(), head.albedo.tobytes(), size)
        if self._kept[0] != key:
            self._kept = key, self._smooth_surface(head, size)
        surface, relief, marks = self._kept[1], 0.0, 1.0
        if head.fullness is not None:
            rise = self.chart.sample(head.fullness, surface["places"]) * surface["scale"]
            rise = rise / np.maximum(surface["facing"], 0.25)
            surface = surface | {"depth": surface["depth"] + rise * surface["mask"]}
        if head.relief is not None:
            # Fades where the surface is seen edge-on, and a depth map can't hold it.
            fade = np.clip((surface["facing"] - 0.2) / 0.2, 0.0, 1.0) * np.clip(surface["skin"] * 2.0 - 1.0, 0.0, 1.0)
            relief = self.chart.sample(head.relief, surface["places"]) * fade
            rise = relief * surface["scale"] / np.maximum(surface["facing"], 0.25)
            surface = surface | {"depth": surface["depth"] + rise * surface["mask"]}
            surface["sky"] = _sky(surface)
        elif "sky" not in surface:
            surface["sky"] = _sky(surface)
        if head.marks is not None:
            marks = np.where(surface["mask"] > 0, self.chart.sample(head.marks, surface["places"]), 1.0)
        ones = np.ones_like(surface["mask"])
        return surface | {"relief": relief * ones, "marks": marks * ones}

    def _smooth_surface(self, head, size) -> dict[str, np.ndarray]:
        """The surface before relief and marks."""
        vertices, normals, visibility = self._renderer(size).geometry(tf.constant(head.r[None], tf.float32))
        # Image normals: y down.
        normals = normals * tf.constant([1.0, -1.0, 1.0])
        fixed = np.concatenate([self.chart.coordinates, head.albedo[:, None], self.skin[:, None]], axis=1)
        values = tf.concat([vertices, normals, fixed[None]], axis=-1)
        maps = interpolate(visibility, self.model.triangles, values)[0].numpy()
        mask = (visibility.triangle[0].numpy() >= 0).astype(np.float32)
        normal = maps[..., 3:6] / np.maximum(np.linalg.norm(maps[..., 3:6], axis=-1, keepdims=True), 1e-6)
        facing = mask * normal[..., 2]
        rounding = self._rounding(vertices[0].numpy(), normals[0].numpy(), visibility, maps[..., :3], normal)
        scale = float(np.exp(head.r[289])) * size / CROP_MM
        depth = mask * (maps[..., 2] + rounding / np.maximum(facing, 0.25))
        return {
            "depth": smooth_depth(depth, mask, _SMOOTH_MM * scale, 0.15 * scale),
            "places": maps[..., 6:8],
            "albedo": maps[..., 8],
            "skin": mask * maps[..., 9],
            "facing": facing,
            "mask": mask,
            "scale": scale,
        }

    def _rounding(self, vertices, normals, visibility, places, normal) -> np.ndarray:
        """How far Phong tessellation lifts each pixel along its normal, `[size, size]` px."""
        triangle, weights = visibility.triangle[0].numpy(), visibility.barycentric[:, 0].numpy()
        corners = np.asarray(self.model.triangles)[np.maximum(triangle, 0)]
        lift = np.zeros(triangle.shape, np.float32)
        for k in range(3):
            corner, its_normal = vertices[corners[..., k]], normals[corners[..., k]]
            drop = ((places - corner) * its_normal).sum(-1)
            lift -= weights[k] * drop * (its_normal * normal).sum(-1)
        return _PHONG * np.where(triangle >= 0, lift, 0.0)

    def _photograph(self, head, surface, size, times) -> np.ndarray:
        """The camera's picture `[size, size]`, display-referred."""
        rng = np.random.default_rng([SEED, head.seed, 1])
        normals = image_normals(surface["depth"], surface["mask"] > 0, max_step=4.0)
        albedo = np.clip(surface["albedo"] * surface["marks"], 0.005, 1.0)
        # The same for every mark and relief, so that only these change the picture.
        mean = head.albedo[self.skin > 0.5].mean()
        seen = _lights_seen(surface, head.light) if head.light.cast else None
        radiance = head.light.shade(normals, albedo, surface["sky"], seen) * head.exposure / (mean * head.light.level)
        behind = zoom(rng.uniform(0.0, 0.8, (4, 4)), size * times / 4, order=1)[: size * times, : size * times]
        radiance = np.where(surface["mask"] > 0, radiance, behind)
        if head.blur:
            radiance = gaussian_filter(radiance, head.blur * surface["scale"])
        image = np.clip(_shrink(radiance, times), 1e-4, 1.0) ** (1.0 / 2.2)
        image = image + rng.normal(0.0, 1.0, image.shape) * head.noise
        return np.clip(image, 0.0, 1.0).astype(np.float32)


def smooth_depth(depth: np.ndarray, mask: np.ndarray, sigma: float, limit: float) -> np.ndarray:
    """Depth `[H, W]` averaged over `sigma` px inside its mask, but where that would move it by more than `limit` px."""
    weight = np.maximum(gaussian_filter(mask, sigma), 1e-6)
    change = gaussian_filter(depth * mask, sigma) / weight - depth
    # At the rim the average is one-sided and would tilt the surface.
    inside = np.clip(2.0 * weight - 1.0, 0.0, 1.0)
    return depth + mask * inside * change * np.exp(-((change / limit) ** 2))


def _measurable(surface: dict[str, np.ndarray], inside: np.ndarray, times: int) -> np.ndarray:
    """`Picture.skin` of a surface drawn `times` as large, within `inside` `[S, S]` bool."""
    skin = (_shrink(surface["skin"], times) > 0.999) & (_shrink(surface["facing"], times) > _STEEP)
    # Depth that jumps within a pixel, as where the nose hides a cheek, has no slope there.
    spread = _shrink(surface["depth"] ** 2, times) - _shrink(surface["depth"], times) ** 2
    return binary_erosion(skin & inside & (spread < (1.5 * times) ** 2), iterations=2)


def _sky(surface: dict[str, np.ndarray]) -> np.ndarray:
    """What reaches each pixel `[H, W]` of the light from everywhere."""
    depth, mask = (tf.constant(surface[name][None, :, :, None], tf.float32) for name in ("depth", "mask"))
    return _sky_graph(depth, mask, 4.0)[0, ..., 0].numpy()


def _lights_seen(surface: dict[str, np.ndarray], light: Light) -> np.ndarray:
    """What reaches each pixel of each light, `[H, W, L]`."""
    depth, mask = (tf.constant(surface[name][None, :, :, None], tf.float32) for name in ("depth", "mask"))
    directions = tf.constant(light.directions[None], tf.float32)
    return light_seen(depth, mask, directions, tf.fill(directions.shape[:2], light.cast))[0].numpy()


def _shrink(values: np.ndarray, times: int) -> np.ndarray:
    """Means over squares of `times`×`times` pixels."""
    rows, columns = values.shape[0] // times, values.shape[1] // times
    return values.reshape(rows, times, columns, times).mean((1, 3), dtype=np.float64).astype(np.float32)


def image_normals(depth: np.ndarray, mask: np.ndarray, max_step: float | None = None) -> np.ndarray:
    """Image normals `[H, W, 3]` of a depth map `[H, W]` in px; zero off the mask. See `geometry.depth`."""
    batch = (np.asarray(x, np.float32)[None, :, :, None] for x in (depth, mask))
    return normals_from_depth(*batch, max_step)[0].numpy()
