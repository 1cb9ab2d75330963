"""Pictures of heads whose surface is known: light, paint, surroundings, lens, camera, file, drawn anew every time."""

import numpy as np
import tensorflow as tf

from tfface.geometry.depth import as_channels, edges, normal_maps, slope_maps
from tfface.losses.local import gaussian_matrix
from tfface.morphable import representation
from tfface.pipelines.files import compressed, enlarged
from tfface.pipelines.occluders import occlude, smooth_noise, strands
from tfface.pipelines.sampling import seeds, uniform
from tfface.pipelines.synthetic_detail import LIGHT_WIDTHS
from tfface.rendering.cast_shadow import light_seen
from tfface.rendering.shading import directional, specular


class Photographer:
    """Lights and photographs heads of the bank, and gets their coarse faces somewhat wrong.

    Args:
      config: a `detail_bank.DetailBankConfig`.
      size: width of the pictures, px.
      surroundings: `Surroundings` for pictures of the width of the heads on disk; needed where some are `surrounded`.
    """

    def __init__(self, config, size: int, surroundings=None):
        self.config, self.size, self.surroundings = config, size, surroundings

    def __call__(self, head: dict, seed: tf.Tensor) -> dict:
        """One batch of `detail_dataset`, from heads of the bank and a seed `[2]`."""
        light, camera, fit, brush, thrown, hidden, behind = seeds(seed, 7)
        full = head["depth"].shape[1]
        mask = tf.cast(head["mask"], tf.float32)[..., None]
        depth = head["depth"][..., None] + mask * self._off_model(head["r"], full, fit + 1)
        albedo = tf.cast(head["albedo"], tf.float32)[..., None] * self._paint(full, brush)
        normals = shaded_normals(depth, mask)
        sky = tf.cast(head["sky"], tf.float32)[..., None] / 255.0
        radiance = self._shade(depth * mask, mask, normals, albedo, sky, light)
        image = self._expose(radiance * self._shadow(full, thrown), mask, camera)
        image, shown = self._surround(image, mask, head["r"], behind)
        image = self._cover(image, hidden)
        times = full // self.size
        skin = tf.cast(head["skin"], tf.float32)[..., None] * tf.cast(shown > 0.5, tf.float32)
        batch = {
            "image": shrink(image, times),
            "depth": shrink(depth * mask, times) / times,
            "mask": tf.cast(shrink(mask, times) > 0.999, tf.float32),
            "skin": tf.cast(shrink(skin, times) > 0.999, tf.float32),
            "albedo": shrink(albedo, times),
            "r": head["r"],
            "coarse_r": misfit(self.config, head["r"], fit),
        }
        grain, little, file = seeds(camera + 1, 3)
        image = batch["image"] + self._grain(tf.shape(batch["image"]), grain)
        if self.config.enlarged:
            image = enlarged(image, self.config.enlarged, 2.2, little)
        image = tf.clip_by_value(image, 0.0, 1.0)
        if self.config.jpeg:
            image = compressed(image, self.config.jpeg, (40, 95), file)
        return batch | {"image": image}

    def _off_model(self, r, full, seed):
        """Depth that the face model of r `[B, 290]` doesn't have, px `[B, full, full, 1]`, or 0."""
        if not self.config.off_model:
            return 0.0
        broad, narrow, much, some = seeds(seed, 4)
        batch, one_each = self.config.batch, [self.config.batch, 1, 1, 1]
        rise = 0.0
        for cells, draw in ((6, broad), (12, narrow)):
            # The finer half as high, which leaves it as steep.
            noise = tf.random.stateless_normal([batch, cells, cells, 1], draw) * (6.0 / cells)
            rise += tf.image.resize(noise, [full, full], "bicubic")
        mm = uniform(one_each, much, 0.2, 2.0) * tf.cast(uniform(one_each, some) < self.config.off_model, tf.float32)
        px_per_mm = representation.camera(representation.split(r).pose, full).scale
        return rise * mm * px_per_mm[:, None, None, None]

    def _paint(self, full, seed):
        """What reflectance is multiplied by, `[B, full, full, 1]`: lines, spots and patches that are no shape."""
        line, spot, where, width, dark, hard, some, patch, hatch, bare = seeds(seed, 10)
        batch = self.config.batch

        def noise(cells, seed, across=None):
            values = tf.random.stateless_normal([batch, cells, across or cells, 1], seed)
            return tf.image.resize(values, [full, full], "bicubic")

        one_each = [batch, 1, 1, 1]
        # Level lines of noise 10 mm wide are scribbles of 0.5 to 3 mm, kept where a wider noise is high.
        ink = tf.exp(-tf.square(noise(24, line) / uniform(one_each, width, 0.05, 0.25)))
        ink *= tf.sigmoid((noise(12, where) - 0.5) / 0.1)
        ink = tf.maximum(ink, tf.sigmoid((noise(40, spot) - 1.8) / uniform(one_each, hard, 0.05, 0.4)))
        # Patches 8 by 16 mm, smooth as make-up or hatched as brows and stubble are; on half of those faces.
        hatched = uniform(one_each, bare) * tf.sigmoid(noise(130, hatch) / 0.2)
        patches = tf.sigmoid((noise(30, patch, 15) - 1.2) / uniform(one_each, patch + 1, 0.05, 0.3)) * (1.0 - hatched)
        ink = tf.maximum(ink, patches * tf.cast(uniform(one_each, bare + 1) < 0.5, tf.float32))
        # One in five is brighter than the skin.
        darkness = uniform(one_each, dark, -0.4, 1.6)
        return tf.exp(-ink * darkness * tf.cast(uniform(one_each, some) < self.config.painted, tf.float32))

    def _shadow(self, full, seed):
        """What a shadow leaves of the light, `[B, full, full, 1]` or 1: the face isn't all that stands in its way."""
        if not self.config.shaded:
            return 1.0
        where, width, dark, some = seeds(seed, 4)
        one_each = [self.config.batch, 1, 1, 1]
        region = smooth_noise(self.config.batch, full, 4, 4, where) - uniform(one_each, where + 1, 0.4, 0.7)
        inside = tf.sigmoid(region / uniform(one_each, width, 0.005, 0.1))
        thrown = tf.cast(uniform(one_each, some) < self.config.shaded, tf.float32)
        return 1.0 - inside * uniform(one_each, dark, 0.2, 0.8) * thrown

    def _surround(self, image, mask, r, seed):
        """Some pictures `[B, full, full, 1]` with a photograph around the face's skin, and where heads are seen."""
        if not self.config.surrounded:
            return image, tf.ones_like(image)
        what, some = seeds(seed, 2)
        laid, shown = self.surroundings(image, mask, r, what)
        chosen = uniform([self.config.batch, 1, 1, 1], some) < self.config.surrounded
        return tf.where(chosen, laid, image), tf.where(chosen, shown, 1.0)

    def _grain(self, shape, seed):
        """Noise as sensors have it, and as it is when their colours have been put together and smoothed."""
        noise, much, soft = seeds(seed, 3)
        white, one_each = tf.random.stateless_normal(shape, noise), [self.config.batch, 1, 1, 1]
        share = tf.maximum(uniform(one_each, soft, -1.0, 1.0), 0.0)
        # The mean of 3×3 px has a third of the deviation.
        grain = (1.0 - share) * white + share * 3.0 * tf.nn.avg_pool2d(white, 3, 1, "SAME")
        return grain * uniform(one_each, much, 0.0, 0.015)

    def _cover(self, image, seed):
        """Hair or blobs over some pictures `[B, full, full, 1]`: what hides the skin tells nothing of its shape."""
        if not self.config.covered:
            return image
        hair, blobs, some = seeds(seed, 3)
        draw = uniform([self.config.batch, 1, 1, 1], some)
        hidden = tf.where(draw < 0.7 * self.config.covered, strands(image, hair), occlude(image, blobs))
        return tf.where(draw < self.config.covered, hidden, image)

    def _shade(self, depth, mask, normals, albedo, sky, seed):
        """Lambert and Blinn–Phong under one to three lights, as `synthetic_detail.random_light` draws them."""
        where, strong, ambience, number, shiny, flat, glossy, wide = seeds(seed, 8)
        batch = self.config.batch
        spread = tf.random.stateless_normal([batch, 3, 3], where) * [1.0, 0.6, 0.4] + [0.0, -0.5, 0.8]
        direction = tf.concat([spread[..., :2], tf.abs(spread[..., 2:])], -1)
        direction = tf.math.l2_normalize(direction, axis=-1)
        count = 1 + tf.random.stateless_uniform([batch, 1], number, 0, 3, tf.int32)
        strength = tf.random.stateless_uniform([batch, 3], strong, 0.6, 1.2)
        strength *= tf.cast(tf.range(3) < count, tf.float32) / tf.sqrt(tf.cast(count, tf.float32))
        strength *= tf.cast(tf.random.stateless_uniform([batch, 1], flat) > self.config.flat, tf.float32)
        lit = tf.reduce_sum(strength, axis=-1)[:, None, None, None]
        ambient = 0.05 + 0.7 * tf.square(tf.random.stateless_uniform([batch, 1, 1, 1], ambience))
        ambient = tf.where(lit > 0, ambient, 0.8)
        gloss = tf.random.stateless_uniform([batch, 1, 1, 1], glossy, 0.0, 0.3)  # of reflectance 1
        shininess = tf.random.stateless_uniform([batch], shiny, 6.0, 25.0)
        # Windows and clouds are wide: what a fold hides of the sky, it hides a part of in them.
        direct = 1.0 - uniform([batch, 1, 1, 1], wide) * (1.0 - sky)
        seen = self._seen(depth, mask, direction, where + 1)
        radiance = albedo * directional(normals, direction, strength, seen) * direct
        radiance += gloss * specular(normals, direction, strength, shininess, seen)
        return (radiance + albedo * ambient * sky) / (ambient + 0.6 * lit)

    def _seen(self, depth, mask, direction, seed):
        """What the face leaves of its lights, `[B, full, full, 3]` or 1."""
        if not self.config.cast:
            return 1.0
        wide, some = seeds(seed, 2)
        seen = light_seen(depth, mask, direction, uniform([self.config.batch, 3], wide, *LIGHT_WIDTHS))
        return tf.where(uniform([self.config.batch, 1, 1, 1], some) < self.config.cast, seen, 1.0)

    def _expose(self, radiance, mask, seed):
        """Display-referred grey in 0…1: exposure by the face's mean, a backdrop, a lens, and the camera's curve."""
        exposure, behind, blur = seeds(seed, 3)
        batch, full = self.config.batch, radiance.shape[1]
        mean = tf.reduce_sum(radiance * mask, [1, 2, 3], keepdims=True) / tf.reduce_sum(mask, [1, 2, 3], keepdims=True)
        wanted = tf.random.stateless_uniform([batch, 1, 1, 1], exposure, 0.06, 0.4)
        backdrop = tf.image.resize(tf.random.stateless_uniform([batch, 4, 4, 1], behind, 0.0, 0.8), [full, full])
        picture = tf.where(mask > 0, radiance * wanted / mean, backdrop)
        # Blurring every picture by one of two amounts and mixing them costs two matrix products. Cameras blur by about
        # a pixel, however large the face is.
        lens = gaussian_matrix(full, full / self.size)
        lens /= tf.reduce_sum(lens, axis=1, keepdims=True)
        soft = tf.einsum("ij,bjkc,lk->bilc", lens, picture, lens)
        share = tf.random.stateless_uniform([batch, 1, 1, 1], blur)
        picture = share * soft + (1.0 - share) * picture
        return tf.pow(tf.clip_by_value(picture, 1e-4, 1.0), 1.0 / 2.2)


def shaded_normals(depth: tf.Tensor, mask: tf.Tensor, max_step: float = 4.0) -> tf.Tensor:
    """What a camera sees lit: unit normals `[B, H, W, 3]` of depth in px and a 0/1 mask, both `[B, H, W, 1]`.

    Slopes are of the fourth order, where five pixels in a row are on the mask and no step between them is larger than
    `max_step`. FineNet's answers are measured by central differences, which miss a third of the slope of what is four
    pixels long; the light on it doesn't.
    """
    slopes = []
    for axis, plain in zip((2, 1), slope_maps(depth, mask, max_step), strict=True):
        size = depth.shape[axis]
        step, joined = edges(depth, mask, axis, max_step)
        sides = [[2, 2] if k == axis else [0, 0] for k in range(4)]
        steps, all_joined = tf.pad(step, sides), tf.pad(joined, sides)
        two_before, before, after, two_after = (_cut(steps, axis, k, size) for k in range(4))
        fine = (7.0 * (before + after) - (two_before + two_after)) / 12.0
        known = tf.reduce_prod([_cut(all_joined, axis, k, size) for k in range(4)], axis=0) > 0.0
        slopes.append(tf.where(known, fine, plain))
    return as_channels(normal_maps(*slopes, mask))


def _cut(values: tf.Tensor, axis: int, start: int, length: int) -> tf.Tensor:
    """`length` rows (axis 1) or columns (2) of `[B, H, W, C]`."""
    return values[:, :, start : start + length] if axis == 2 else values[:, start : start + length]


def misfit(config, r: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """r `[B, 290]` of coarse faces that are somewhat wrong, as CoarseNet's answers are; of a seed `[2]`."""
    draw, choose = seeds(seed, 2)
    spread = np.concatenate(
        [
            np.full(representation.IDENTITY_SIZE, config.identity_off),
            np.full(representation.EXPRESSION_SIZE, config.expression_off),
            np.full(3, np.radians(config.angle_off)),
            np.full(3, config.place_off),
        ]
    ).astype(np.float32)
    off = tf.random.stateless_normal(tf.shape(r), draw) * spread
    return r + tf.where(uniform([tf.shape(r)[0], 1], choose) < config.exact, 0.0, off)


def shrink(values: tf.Tensor, times: int) -> tf.Tensor:
    """Means of `[B, H, W, C]` over squares of `times`×`times` px."""
    return values if times == 1 else tf.nn.avg_pool2d(values, times, times, "VALID")
