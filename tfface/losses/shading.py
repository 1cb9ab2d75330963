"""FineNet's unsupervised criterion: shape from shading (§4.3, eq. 8, 13 and 14).

Two steps, because lighting and albedo need the whole face while the network may be trained on windows of it:
`explain` solves lighting (11) and albedo (12) on the coarse depth; `shading_criterion` compares the image with
what the refined depth would look like in that light. Everything from `explain` is a constant for the
gradient.

Units: depth in px, intensities in 0…1 times `intensity_scale`. Every term is a mean over its valid pixels, so
that its weight doesn't depend on the size of the face.
"""

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from tfface.geometry.depth import laplacian, normals_from_depth, slopes_from_depth
from tfface.losses.albedo import compose_albedo, estimate_albedo
from tfface.losses.lighting import estimate_lighting, shade
from tfface.losses.local import erode, local_means


@dataclass(frozen=True)
class ShadingConfig:
    """The terms of eq. 14 and how they are measured.

    Attributes:
        shading: λ_sh of E_sh (8).
        fidelity: λ_f of E_f (13), per px².
        smoothness: λ_sm of E_sm (13), per 1/px: a Laplacian of px over px².
        slope: weight of ‖∇(ẑ − z₀)‖², a fidelity that doesn't mind the scale; 0 is the paper.
        intensity_scale: the residual of E_sh is in intensities of 0…this. The paper states no units; with
            0…255 its weights balance, with 0…1 smoothness would win by four orders of magnitude. `paper()`
            uses 255.
        gamma: exponent that turns grey values into light; 1 takes them as they are, as the paper does, 2.2
            undoes the camera's encoding.
        lighting_order: 1 for the paper's four harmonics, 2 for nine.
        robust_iterations: Huber rounds in (11) and (12); 0 is plain least squares.
        albedo_prior: see `losses.albedo.estimate_albedo`; 0 is plain least squares.
        local_sigma: px. 0 compares brightness as such. Otherwise the predicted brightness is first matched to
            the image's in a Gaussian neighbourhood of this size, so that light and albedo which the model
            cannot explain (cast shadows, blush, make-up) don't become relief; only detail finer than this is
            shading.
        relative: divide the residual by the image's local brightness (needs `local_sigma`), so that dark skin
            and shaded cheeks weigh as much as bright ones.
        charbonnier: None squares residuals (8). Otherwise the size, in the residual's own units, from which
            on a residual is an outlier: ε² (√(1 + r²/ε²) − 1) · 2.
        smooth_reference: None measures E_sm on ẑ, as the paper does. Otherwise on ẑ − G∗z₀, with G a Gaussian of this
            size in px (0: none): the coarse face's own curvature isn't fought, but the creases between its triangles
            are.
        trust: 0 believes all skin. Otherwise, skin whose neighbourhood is brighter or darker than light and albedo
            predict by more than about this (natural logarithm) fades from E_sh: hair, hats, beards, cast shadows.
        margin: px by which skin is eroded, away from hair, brows, lids, lips and the face's rim.
        l1_epsilon: 1/px; |Δ| is √(Δ² + ε²) − ε, so that the gradient exists at 0.
        max_step: px; surfaces that jump by more between neighbours (nose over cheek) aren't joined. None
            joins all.
    """

    shading: float = 1.0
    fidelity: float = 5e-3
    smoothness: float = 1.0
    slope: float = 0.0
    intensity_scale: float = 255.0
    gamma: float = 1.0
    lighting_order: int = 1
    robust_iterations: int = 0
    albedo_prior: float = 0.0
    local_sigma: float = 0.0
    relative: bool = False
    charbonnier: float | None = None
    smooth_reference: float | None = None
    trust: float = 0.0
    margin: int = 0
    l1_epsilon: float = 1e-3
    max_step: float | None = None

    def __post_init__(self):
        if self.relative and not self.local_sigma:
            raise ValueError("expected local_sigma > 0 when relative is set, received local_sigma=0")
        if self.lighting_order not in (1, 2):
            raise ValueError(f"expected lighting_order 1 or 2, received {self.lighting_order}")


def paper() -> ShadingConfig:
    """Eq. 8–14 as printed, λ_sh = 1, λ_f = 5e-3, λ_sm = 1; intensities in 0…255, depth in px."""
    return ShadingConfig()


def release() -> ShadingConfig:
    """What measured better on photographs; see docs/training.md for the comparison."""
    return ShadingConfig(
        shading=1.0,
        fidelity=1e-3,
        smoothness=0.025,
        slope=0.02,
        intensity_scale=1.0,
        gamma=2.2,
        robust_iterations=3,
        albedo_prior=1e-3,
        local_sigma=6.0,
        relative=True,
        charbonnier=0.15,
        smooth_reference=2.0,
        trust=0.8,
        margin=2,
        max_step=4.0,
    )


class Explanation(NamedTuple):
    """What `explain` found; constants for ẑ's gradient.

    Attributes:
        intensity: [B, H, W, 1], the image as the criterion sees it (after `gamma`), 0…1.
        albedo: [B, H, W, 1], times the local correction if there is one.
        brightness: [B, H, W, 1], by which residuals are divided.
        weight: [B, H, W, 1], 0…1, where E_sh holds.
        reference: [B, H, W, 1], the depth that E_sm compares with; 0 for the paper's.
        lighting: [B, 4 or 9].
        coefficients: [B, K] of the albedo, in standard deviations.
    """

    intensity: tf.Tensor
    albedo: tf.Tensor
    brightness: tf.Tensor
    weight: tf.Tensor
    reference: tf.Tensor
    lighting: tf.Tensor
    coefficients: tf.Tensor

    def map(self, function) -> "Explanation":
        """The same with `function` applied to every image, such as the cutting of a window."""
        images = {name: function(value) for name, value in self._asdict().items() if value.shape.rank == 4}
        return self._replace(**images)


def explain(config, image, coarse, mask, skin, albedo_mean, albedo_basis) -> Explanation:
    """Lighting (11) and albedo (12) of each image on its coarse depth, over the whole face.

    Args:
        config: a `ShadingConfig`.
        image: [B, H, W, 1] grey in 0…1.
        coarse: [B, H, W, 1] depth z₀ in px.
        mask: [B, H, W, 1], 1 on the face.
        skin: [B, H, W, 1], 1 where the face is skin that the model of light and albedo may be asked about.
        albedo_mean: [B, H, W, 1] and albedo_basis: [B, H, W, K], grey (`losses.albedo.grey_albedo`), per pixel.

    Returns:
        An `Explanation`, without gradients.
    """
    intensity = image if config.gamma == 1.0 else tf.pow(tf.maximum(image, 1e-4), config.gamma)
    normals = normals_from_depth(coarse, mask, config.max_step)
    rounds = config.robust_iterations
    skin = erode(skin, config.margin)
    lighting = estimate_lighting(intensity, albedo_mean, normals, skin, config.lighting_order, rounds)
    shading = shade(normals, lighting)
    coefficients = estimate_albedo(intensity, shading, albedo_mean, albedo_basis, skin, config.albedo_prior, rounds)
    albedo = compose_albedo(albedo_mean, albedo_basis, coefficients)
    brightness, weight = tf.ones_like(intensity), skin
    if config.local_sigma or config.trust:
        sigma = config.local_sigma or 6.0
        seen, predicted = local_means([intensity, albedo * shading], skin, sigma)
        seen = tf.maximum(seen, 0.01)
        # Where the model predicts next to no light, a ratio means nothing.
        gain = seen / tf.maximum(predicted, 0.02)
        if config.trust:
            weight = skin * tf.exp(-tf.pow(tf.math.log(gain) / config.trust, 4.0))
        if config.local_sigma:
            albedo = albedo * tf.clip_by_value(gain, 0.2, 5.0)
        if config.relative:
            brightness = seen
    reference = _smooth_depth(coarse, mask, config.smooth_reference)
    found = Explanation(intensity, albedo, brightness, weight, reference, lighting, coefficients)
    return Explanation(*[tf.stop_gradient(x) for x in found])


def _smooth_depth(coarse, mask, sigma):
    """G∗z₀ inside the face; z₀ itself at its rim and at steps, where an average would tilt the surface."""
    if sigma is None:
        return tf.zeros_like(coarse)
    if sigma == 0.0:
        return coarse
    change = local_means([coarse], mask, sigma)[0] - coarse
    inside = erode(mask, max(1, round(2.5 * sigma)))
    return coarse + change * inside * tf.exp(-tf.square(change / 0.5))


class ShadingTerms(NamedTuple):
    """The terms of eq. 14, each [B], unweighted, and their weighted sum.

    Attributes:
        total: [B], eq. 14.
        shading: [B], E_sh.
        fidelity: [B], E_f in px².
        smoothness: [B], E_sm in 1/px.
        slope: [B], ‖∇(ẑ − z₀)‖².
    """

    total: tf.Tensor
    shading: tf.Tensor
    fidelity: tf.Tensor
    smoothness: tf.Tensor
    slope: tf.Tensor


def _mean_over(values, weight, mask):
    """Sum of weight · values [B, H, W, C] per pixel of the mask, per image; 0 where the mask is empty."""
    values = tf.reduce_sum(values, axis=-1, keepdims=True)
    return tf.reduce_sum(values * weight, [1, 2, 3]) / tf.maximum(tf.reduce_sum(mask, [1, 2, 3]), 1.0)


def shading_residual(config, depth, mask, explanation):
    """ρ⟨l, Y(ẑ)⟩ − I of eq. 8, [B, H, W, 1], in units of `intensity_scale` (and of local brightness if relative)."""
    normals = normals_from_depth(depth, mask, config.max_step)
    predicted = explanation.albedo * shade(normals, explanation.lighting)
    return (predicted - explanation.intensity) / explanation.brightness * config.intensity_scale


def shading_criterion(config, refined, coarse, mask, explanation) -> ShadingTerms:
    """Eq. 14 for each image of a batch, or for windows of images.

    Args:
        config: a `ShadingConfig`.
        refined: [B, H, W, 1] depth ẑ in px.
        coarse: [B, H, W, 1] depth z₀ in px; a constant here.
        mask: [B, H, W, 1], 1 on the face.
        explanation: from `explain`, cut to the same window.

    Returns:
        `ShadingTerms`; gradients flow to `refined` only.
    """
    detail = refined - tf.stop_gradient(coarse)
    squared = tf.square(shading_residual(config, refined, mask, explanation))
    if config.charbonnier is not None:
        epsilon2 = config.charbonnier**2
        squared = 2.0 * epsilon2 * (tf.sqrt(1.0 + squared / epsilon2) - 1.0)
    bend = laplacian(refined - explanation.reference, mask, config.max_step)
    epsilon = config.l1_epsilon
    shading = _mean_over(squared, explanation.weight, mask)
    fidelity = _mean_over(tf.square(detail), mask, mask)
    smoothness = _mean_over(tf.sqrt(tf.square(bend) + epsilon**2) - epsilon, mask, mask)
    slope = _mean_over(tf.square(slopes_from_depth(detail, mask)), mask, mask)
    total = (
        config.shading * shading + config.fidelity * fidelity + config.smoothness * smoothness + config.slope * slope
    )
    return ShadingTerms(total, shading, fidelity, smoothness, slope)
