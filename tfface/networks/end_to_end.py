"""One trainable model from photograph to detailed depth (§4.4): CoarseNet, the rendering layer, FineNet, criterion."""

import dataclasses

import keras
import tensorflow as tf

from tfface.losses.albedo import grey_albedo
from tfface.losses.detail import detail_criterion, painted
from tfface.losses.landmarks import FeatureShape, ProjectedLandmarks
from tfface.losses.shading import (
    ShadingConfig,
    explain,
    paper,
    shading_criterion,
    shading_residual,
)
from tfface.morphable import representation
from tfface.rendering.coarse_surface import CoarseSurface
from tfface.rendering.visibility import interpolate


@dataclasses.dataclass(frozen=True)
class EndToEndConfig:
    """How the parts are joined and trained.

    Attributes:
        criterion: the terms of eq. 14.
        regions: regions of the face model on which the image is explained by shading.
        window: px; FineNet trains on one random window of this size per batch, which is faster, while
            lighting and albedo are solved on whole faces. 0 trains on whole images.
        supervised: weight of `losses.detail.detail_criterion` on heads of a known surface, where the data has some.
        marks: by how much more than bare skin what is painted on those heads counts; marks are few, and a network that
            learns from every pixel alike takes them for relief.
        coarse_fidelity: weight of the MSE between CoarseNet's r and the one it gave before end-to-end
            training (§4.4).
        coarse_landmarks: weight, per px, of the distance between the landmarks of CoarseNet's face and those of the
            data's r, for photographs whose r was fitted to landmarks, and for `faces`; not in the paper.
        coarse_features: weight, per mm, of the distance between the offsets within features of the two; see
            `losses.landmarks.FeatureShape`. Not in the paper either.
        gradient: of the rendering layer, "paper" (7) or "full".
        coarse_training: whether CoarseNet's batch normalisation uses and updates batch statistics. Off: four
            passes over small batches of photographs would disturb what it learnt on large synthetic ones.
    """

    criterion: ShadingConfig = dataclasses.field(default_factory=paper)
    regions: tuple[str, ...] = ("skin",)
    window: int = 0
    supervised: float = 1.0
    marks: float = 0.0
    coarse_fidelity: float = 1.0
    coarse_landmarks: float = 0.0
    coarse_features: float = 0.0
    gradient: str = "paper"
    coarse_training: bool = False


class EndToEnd(keras.Model):
    """CoarseNet → depth layer → FineNet, trained by Keras `fit` on photographs without labels.

    Inputs, a dict:
        image: [B, H, H, 1] grey in 0…1, a face crop.
        r: [B, 290], the coarse geometry; needed when there is no CoarseNet, and otherwise, if present, the
            original solution that CoarseNet is held to.
        valid: [B, H, H, 1], optional; 1 where the crop shows the photograph and not what lies beyond its
            border.
        clean: [B, H, H, 1], optional; the image that the criterion explains, if `image` was degraded on
            purpose.
        faces: optional; a dict of faces that CoarseNet is to know too, beside the photographs: image [B, S, S, 1] and
            their true r [B, 290].
        heads: optional; a tuple of dicts of heads whose surface is known: image, depth (the true one, px), mask, skin
            and, for `marks`, albedo [B, S, S, 1], and coarse_r [B, 290] to start from.

    Returns a dict: r [B, 290], vertices [B, V, 3] px, coarse_depth, depth and mask [B, H, H, 1].

    Args:
        face_model: a `MorphableModel`.
        fine_net: a `FineNet`.
        coarse_net: an `IterativeCoarseNet`, or None to take the coarse geometry from the data.
        original: a frozen copy of `coarse_net` from before training, asked for its solution when the data has
            no `r`.
        config: an `EndToEndConfig`.
        seed: of the random windows.
    """

    def __init__(self, face_model, fine_net, coarse_net=None, original=None, config=None, seed=0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.config = config or EndToEndConfig()
        self.face_model = face_model
        self.fine_net = fine_net
        self.coarse_net = coarse_net
        self.original = original
        if original is not None:
            original.trainable = False
        # Outside Keras' attribute tracking: constants of the face model are no state of this one.
        self._surface = CoarseSurface(face_model, self.config.gradient)
        mean, basis = grey_albedo(face_model)
        region = tf.cast(face_model.region_mask(*self.config.regions), tf.float32)[:, None]
        self._attributes = tf.concat([region, mean, basis], axis=-1)
        self._seed = seed
        names = ("loss", "shading", "fidelity", "smoothness", "slope", "residual")
        names += ("coarse_fidelity", "landmarks_px", "features_mm", "faces_px") if coarse_net is not None else ()
        self._landmarks = ProjectedLandmarks(face_model) if coarse_net is not None else None
        self._features = FeatureShape(face_model) if coarse_net is not None else None
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        # Of heads with a known surface; not every training has some.
        self._of_heads = {name: keras.metrics.Mean(name=name) for name in ("supervised", "closer")}

    @property
    def metrics(self):
        return [*self._means.values(), *self._of_heads.values()]

    def coarse(self, inputs, training=False):
        """r [B, 290]: CoarseNet's, or the data's when there is no CoarseNet.

        Raises:
            ValueError: neither is there.
        """
        if self.coarse_net is not None:
            return self.coarse_net(inputs["image"], training=training and self.config.coarse_training)
        if "r" not in inputs:
            raise ValueError(f"expected 'r' in the inputs of a model without CoarseNet, received {sorted(inputs)}")
        return tf.cast(inputs["r"], tf.float32)

    def render(self, r, height, width):
        """The depth layer: vertices [B, V, 3] px, and the `Surface` with z₀ and the mask."""
        vertices = representation.vertices_image(self.face_model, r, width)
        return vertices, self._surface(vertices, height, width)

    def call(self, inputs, training=False):
        image = tf.cast(inputs["image"], tf.float32)
        r = self.coarse(inputs, training)
        vertices, surface = self.render(r, image.shape[1], image.shape[2])
        added = self.fine_net.added(image, surface.depth, surface.mask, surface.detailed, training=training)
        refined = surface.depth + added
        return {"r": r, "vertices": vertices, "coarse_depth": surface.depth, "depth": refined, "mask": surface.mask}

    def explain(self, image, surface, valid=None):
        """The `Explanation` of whole images [B, H, W, 1] by their coarse `Surface` (11, 12)."""
        seen = interpolate(surface.visibility, self._surface.triangles, self._attributes)
        depth, mask = surface.depth, surface.mask
        skin = tf.cast(seen[..., :1] > 0.99, tf.float32) * mask
        if valid is not None:
            skin = skin * tf.cast(valid, tf.float32)
        return explain(self.config.criterion, image, depth, mask, skin, seen[..., 1:2], seen[..., 2:])

    def criterion_terms(self, inputs, training=False):
        """The loss of §4.4 and what it is made of.

        Returns:
            A dict of scalars: loss, the unweighted terms of `ShadingTerms`, coarse_fidelity, landmarks_px (of 200 px
            crops) and features_mm if there is a CoarseNet, and residual, the share of the coarse depth's rms shading
            residual that is left.
        """
        image = tf.cast(inputs["image"], tf.float32)
        r = self.coarse(inputs, training)
        _, surface = self.render(r, image.shape[1], image.shape[2])
        clean = tf.cast(inputs.get("clean", image), tf.float32)
        found = self.explain(clean, surface, inputs.get("valid"))
        depth, mask, detailed = surface.depth, surface.mask, surface.detailed
        prepared = self.fine_net.prepare(image, depth, mask, detailed)
        if training and self.config.window:
            cut = self._random_window(image.shape[1], image.shape[2])
            prepared, depth, mask, detailed = cut(prepared), cut(depth), cut(mask), cut(detailed)
            found = found.map(cut)
        refined = depth + detailed * self.fine_net.detail(prepared, mask, training=training)
        terms = shading_criterion(self.config.criterion, refined, depth, mask, found)
        result = {name: tf.reduce_mean(value) for name, value in terms._asdict().items()}
        result["loss"] = result.pop("total")
        result["residual"] = self._residual_left(refined, depth, mask, found)
        if self.coarse_net is not None:
            before = inputs["r"] if "r" in inputs else self._original_r(inputs["image"])
            before = tf.stop_gradient(tf.cast(before, tf.float32))
            result["coarse_fidelity"] = tf.reduce_mean(tf.square(r - before))
            result["landmarks_px"], result["features_mm"], away = self._away(before, r)
            result["loss"] += self.config.coarse_fidelity * result["coarse_fidelity"] + away
        return result

    def all_terms(self, inputs, training=False):
        """`criterion_terms` of the photographs; where the data has some, those of `faces` and `supervised_terms`."""
        known = ("heads", "faces")
        terms = self.criterion_terms({name: value for name, value in inputs.items() if name not in known}, training)
        if "faces" in inputs and self.coarse_net is not None:
            faces = inputs["faces"]
            px, _, away = self._away(tf.cast(faces["r"], tf.float32), self.coarse(faces, training))
            terms = terms | {"faces_px": px, "loss": terms["loss"] + away}
        found = [self.supervised_terms(heads, training) for heads in inputs.get("heads", ())]
        if found:
            means = {name: tf.add_n([one[name] for one in found]) / len(found) for name in self._of_heads}
            terms = terms | means | {"loss": terms["loss"] + self.config.supervised * means["supervised"]}
        return terms

    def supervised_terms(self, heads, training=False):
        """{"supervised", "closer"}, scalars, of one batch of heads whose surface is known; see `losses.detail`."""
        image = tf.cast(heads["image"], tf.float32)
        _, surface = self.render(tf.cast(heads["coarse_r"], tf.float32), image.shape[1], image.shape[2])
        depth, mask, detailed = surface.depth, surface.mask, surface.detailed
        prepared = self.fine_net.prepare(image, depth, mask, detailed)
        # Lips, eyes and ears have no relief of their own here, and much to get wrong: they count, but less than skin.
        valid = mask * heads["mask"] * (0.3 * detailed + 0.7 * heads["skin"])
        if self.config.marks:
            valid *= 1.0 + self.config.marks * painted(heads["albedo"], heads["mask"])
        truth = heads["depth"]
        if training and self.config.window:
            cut = self._random_window(image.shape[1], image.shape[2])
            prepared, depth, mask, detailed, valid, truth = map(cut, (prepared, depth, mask, detailed, valid, truth))
        refined = depth + detailed * self.fine_net.detail(prepared, mask, training=training)
        terms = detail_criterion(refined, truth, depth, valid)
        return {"supervised": tf.reduce_mean(terms.total), "closer": tf.reduce_mean(terms.closer)}

    def _away(self, truth, r):
        """How far r [B, 290] is from another: landmarks in px, features in mm, and what both cost; scalars."""
        px = tf.reduce_mean(self._landmarks.distance(truth, r))
        mm = tf.reduce_mean(self._features.distance(truth, r))
        return px, mm, self.config.coarse_landmarks * px + self.config.coarse_features * mm

    def _original_r(self, image):
        if self.original is None:
            raise ValueError(
                "expected the original CoarseNet solution as 'r' in the data or a frozen copy as `original`, "
                "received neither"
            )
        return self.original(image, training=False)

    def _residual_left(self, refined, depth, mask, found):
        def power(z):
            residual = shading_residual(self.config.criterion, z, mask, found)
            return tf.reduce_sum(tf.square(residual) * found.weight, [1, 2, 3])

        return tf.stop_gradient(tf.reduce_mean(tf.sqrt(power(refined) / tf.maximum(power(depth), 1e-9))))

    def _random_window(self, height, width):
        """A function that cuts the same random window, its centre in the middle half, out of every tensor."""
        size_y, size_x = min(self.config.window, height), min(self.config.window, width)
        # Drawn from the number of the step, which the optimizer saves: a resumed run sees the same windows.
        step = 0 if self.optimizer is None else self.optimizer.iterations
        draw = tf.random.stateless_uniform([2], tf.stack([self._seed, tf.cast(step, tf.int32)]))
        top, left = (
            tf.cast(tf.clip_by_value((0.25 + 0.5 * at) * whole - size / 2.0, 0.0, float(whole - size)), tf.int32)
            for at, whole, size in ((draw[0], height, size_y), (draw[1], width, size_x))
        )

        def cut(x):
            x = x[:, top : top + size_y, left : left + size_x]
            return tf.ensure_shape(x, [None, size_y, size_x, x.shape[-1]])

        return cut

    def _update_metrics(self, terms):
        means = {name: mean for name, mean in (self._means | self._of_heads).items() if name in terms}
        for name, mean in means.items():
            mean.update_state(terms[name])
        return {name: mean.result() for name, mean in means.items()}

    def train_step(self, data):
        inputs = data[0] if isinstance(data, tuple) else data
        with tf.GradientTape() as tape:
            terms = self.all_terms(inputs, training=True)
            loss = self.optimizer.scale_loss(terms["loss"])
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return self._update_metrics(terms)

    def test_step(self, data):
        inputs = data[0] if isinstance(data, tuple) else data
        return self._update_metrics(self.all_terms(inputs, training=False))
