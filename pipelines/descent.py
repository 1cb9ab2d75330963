"""FineNet's criterion without FineNet: the depth that explains a picture best, found for each picture by descent.

What it asks of a picture is more than what is there: paint is explained by relief as well as folds are. Measured beside
FineNet (`tfface evaluate … --descent STEPS`) it tells how much of the shading residual is to be had at all, and at what
cost in truth; docs/training.md has the figures.
"""

import numpy as np
import tensorflow as tf

from tfface.losses import shading

STEP = 0.05
"""px; how far Adam's first steps move a pixel at 200 px."""


class Descent:
    """Takes FineNet's place where it is called on whole faces: eq. 14 minimised over ẑ, from ẑ = z₀ on.

    Light and albedo are solved for once, on z₀, as in training; the albedo is constant over the skin, since a depth map
    alone does not say which point of the face model a pixel shows.

    Args:
        fine: the `FineNet` whose `skin`, if it has any, tells where there is skin; all of the face is without.
        steps: of Adam, along a cosine down to 0.
        criterion: a `ShadingConfig`; the release's if None.
    """

    def __init__(self, fine, steps: int, criterion: shading.ShadingConfig | None = None):
        self.fine, self.steps, self.criterion = fine, steps, criterion or shading.release()
        self._descend = tf.function(self._minimise)  # whose loop AutoGraph makes one of the graph

    def __call__(self, inputs, training=False):
        """The depth [B, H, W, 1] in px of {"image", "depth", "mask" and, optional, "detailed"}, each [B, H, W, 1]."""
        image, depth, mask = (tf.cast(inputs[name], tf.float32) for name in ("image", "depth", "mask"))
        kept = inputs.get("detailed", tf.ones_like(mask)) * mask
        if self.fine.skin_net is not None:
            kept *= self.fine.skin(image, depth, mask)
        skin = tf.cast(kept > 0.5, tf.float32)
        # 0.4 is what grey skin reflects; any other constant would only change the light's strength.
        albedo, none = 0.4 * tf.ones_like(image), tf.zeros_like(image)
        found = shading.explain(self.criterion, image, depth, mask, skin, albedo, none)
        return depth * mask + kept * (self._descend(depth, mask, found) - depth)

    def _minimise(self, depth, mask, explanation):
        """ẑ [B, H, W, 1] that minimises eq. 14 for coarse depth [B, H, W, 1], mask and `Explanation`."""
        rate = STEP * depth.shape[1] / 200.0
        refined, mean, square = depth, tf.zeros_like(depth), tf.zeros_like(depth)
        for step in tf.range(1.0, self.steps + 1.0):
            with tf.GradientTape() as tape:
                tape.watch(refined)
                terms = shading.shading_criterion(self.criterion, refined, depth, mask, explanation)
                loss = tf.reduce_sum(terms.total)
            slope = tape.gradient(loss, refined) * mask
            # Adam (Kingma and Ba, ICLR 2015), written out: Keras' own keeps variables of one shape.
            mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * tf.square(slope)
            move = (mean / (1.0 - 0.9**step)) / (tf.sqrt(square / (1.0 - 0.999**step)) + 1e-12)
            refined -= rate * (0.5 + 0.5 * tf.cos(np.pi * (step - 1.0) / self.steps)) * move
        return refined
