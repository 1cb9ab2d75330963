"""What one person's skin and hair look like in a photo, and what in it is neither."""

import numpy as np

from tfface.geometry.ramps import smooth_step
from tfface.meshes.fields import Fields, log_ratio, smoothed

_INNER_MM = 25.0
"""So far from the outline of the face nothing is questioned: there are brows, beards, a fringe and glasses."""
_OUTER_MM = 8.0
"""So near to it everything is."""
_TEMPLES_MM = (-20.0, 5.0)
"""Height above the brows at which skin ceases to be questioned: there real hair lies over it."""
_FLOORS = (0.4, 0.15)
"""Least tolerances of skin's ln brightness and ln chroma."""
_TOLERANCE = 2.5
"""The same in median deviations of the inner face."""
_BEARD = (1.6, 0.5)
"""The least of dark colours below the nose."""
_PATCH = 0.012
"""Side of the square in which most has to be something else than skin, in texture widths."""
_WHOLE_EAR = 0.6
"""An ear of which a smaller share is skin isn't used at all: half an ear looks worse than none."""
_SIDES_MM = (-45.0, -20.0)
"""Where the albedo model begins to be believed: farther back the photographs behind it show hair and walls."""
_FOREHEAD_MM = 15.0
"""So far above the brows may hair begin."""
_LID_MM = 25.0
"""Nearer to the middle of an eye is none: the face model counts the inside of lids to the scalp."""
_HAIR = 1.5
"""How far from the skin below it hair is, in `_FLOORS`."""
_LIGHT = 0.25
"""How much brighter than skin hair begins to be light, in `_FLOORS`."""
_THICK = 0.4
"""How far in shares of what is farthest: between hairs skin shines through."""
_ENOUGH_HAIR = 0.002
"""Share of the texture that has to tell the colour of the hair."""


class Person:
    """A person's skin and hair, compared to how the head was painted.

    Args:
      model: the face model.
      texels: of its texture, N.
      painted: `[V, 3]` linear RGB, an albedo in the light that was fitted.
      colors: `[N, 3]` linear RGB of the photo.
      weight: `[N]` 0…1, how well the photo shows them.
      from_rim: `[N]` mm from the outline of the face, as `look.Look` has it.
    """

    def __init__(self, model, texels, painted, colors, weight, from_rim):
        self.model, self.texels, self.painted = model, texels, painted
        self.brows = model.mean[model.landmarks[17:27], 1].max()
        inner = (weight > 0.9) & (from_rim > _INNER_MM) & (texels.gather(model.region_mask("skin")) > 0.9)
        self.usual = 0.0, np.zeros(3)
        self.tolerances = _FLOORS
        if inner.any():
            brightness, chroma = _apart(colors[inner], texels.gather(painted)[inner])
            self.usual = np.median(brightness), np.median(chroma, axis=0)
            spread = [np.median(np.abs(found)) for found in self._deviations(brightness, chroma)]
            self.tolerances = [max(least, _TOLERANCE * found) for least, found in zip(_FLOORS, spread, strict=True)]

    def _deviations(self, brightness, chroma):
        return brightness - self.usual[0], np.linalg.norm(chroma - self.usual[1], axis=1)

    def strangeness(self, colors, mirrored=False):
        """`[N]`: how far the photo's colours at texels, or at those opposite, are from skin; up to 1 they pass for it.

        A beard does, too.
        """
        brightness, chroma = self._deviations(*_apart(colors, self.texels.gather(self.painted, mirrored)))
        nose = self.model.mean[self.model.landmarks[33], 1]
        beard = (self.texels.gather(self.model.mean[:, 1], mirrored) < nose) & (brightness < 0)
        limits = [np.where(beard, max(pair), pair[0]) for pair in zip(self.tolerances, _BEARD, strict=True)]
        return np.hypot(brightness / limits[0], chroma / limits[1])

    def covered(self, colors, hidden, from_rim, mirrored=False):
        """`[N]` bool: where something else covers the skin of ears, neck and the sides of the face.

        Args:
          colors, from_rim: at the texels or at those opposite.
          hidden: `[N]` bool, what the photo doesn't show anyway.
        """
        model, gather = self.model, self.texels.gather
        cheeks = model.region_mask("skin") * (1.0 - smooth_step(model.mean[:, 1] - self.brows, *_TEMPLES_MM))
        risk = gather(cheeks, mirrored) * (1.0 - smooth_step(from_rim, _OUTER_MM, _INNER_MM))
        risk += gather(model.region_mask("ears", "neck"), mirrored)
        covered = self.texels.most(risk * self.strangeness(colors, mirrored) > 1.0, _PATCH)
        for side in (-1, 1):
            ear = gather(model.region_mask("ears") & (model.mean[:, 0] * side > 0), mirrored) > 0.5
            if covered[ear & ~hidden].sum() > (1.0 - _WHOLE_EAR) * (ear & ~hidden).sum():
                covered |= ear
        return covered

    def tones(self, colors, weight, shade):
        """What the photo's colours usually are in painted ones, of skin and, where any is seen, of hair.

        Args:
          colors: `[N, 3]` of the texels.
          weight: `[N]` 0…1, how far to trust them.
          shade: `[V]` 0…1, how bright hair is drawn.

        Returns:
          ln of the ratio `[V, 3]`, and where hair is, `[V]` bool.
        """
        model, gather = self.model, self.texels.gather
        hair, skin = scalp(model), model.region_mask("skin")
        ratio, seen = log_ratio(colors, gather(self.painted)), weight > 0.5
        shown = gather(skin) > 0.5
        above = model.mean[:, 1] - self.brows - _FOREHEAD_MM
        tone = np.zeros((len(above), 3))
        if (shown & seen).any():
            tone[:] = np.median(ratio[shown & seen], axis=0)
        crown = self._crown(colors, weight, gather(above))
        if crown.any():
            # Not its ratio: how hair shines isn't what the light on skin says.
            hairs = log_ratio(np.median(colors[crown], axis=0) * shade[:, None], self.painted)
            mean, total = self.texels.to_vertices(ratio, weight)
            alike = np.linalg.norm(mean - hairs, axis=1) < np.linalg.norm(mean - tone, axis=1)
            hair |= skin & (above > 0) & (alike | (total < 0.5))
            tone += smoothed(hair, model.triangles)[:, None] * (hairs - tone)
        return tone, hair

    def _crown(self, colors, weight, height):
        """`[N]` bool: the texels that tell what is on the unseen part of the scalp: hair, a hat, or its skin.

        Hair begins anywhere above the forehead, and of a photo that ends there little of the scalp is seen. It is what
        is unlike the skin below, darker or of another hue; brighter alone is a forehead that shines. What lies high
        tells more than what hangs down.

        Args:
          colors, weight: as in `tones`.
          height: `[N]` mm above where hair may begin.
        """
        gather = self.texels.gather
        on_hair, on_skin = gather(scalp(self.model)) > 0.5, gather(self.model.region_mask("skin")) > 0.5
        strange = self.strangeness(colors) > 1.0
        found = (weight > 0.5) & (on_hair | (on_skin & (height > 0)))
        below = (weight > 0.5) & on_skin & ~strange & (height <= 0)
        enough = _ENOUGH_HAIR * self.texels.inside.size
        if below.any():
            brightness, unlike = self._beside_skin(colors, weight, below)
            hairs = found & (unlike > _HAIR)
            # Hair that is lighter than skin is told from light on a bald head by neither; it is what lies highest.
            if hairs.sum() > enough and brightness[hairs].mean() < _LIGHT:
                found = hairs & (unlike > _THICK * np.percentile(unlike[hairs], 90))
                return found & (height >= np.median(height[found]))
        if found.any():
            found &= (height >= np.median(height[found])) & (on_hair | strange)
        return found & (found.sum() > enough)

    def _beside_skin(self, colors, weight, skin):
        """How much brighter than skin texels are and how far from it `[N]`, in `_FLOORS`; mere brightness isn't far.

        Skin is what is seen of it, carried on over the mesh: light from one side may darken half a face as much as hair
        is dark, and the albedo model's foreheads end in hair.

        Args:
          colors, weight: as in `tones`.
          skin: `[N]` bool, where skin is seen.
        """
        model = self.model
        bare = np.log(np.maximum(colors, 2e-3))
        usual = np.tile(np.median(bare[skin], axis=0), (len(model.mean), 1))
        bare = Fields(self.texels, model.triangles, scalp(model)).carried(bare, weight * skin, usual)
        brightness, chroma = _apart(colors, np.exp(self.texels.gather(bare)))
        chroma = np.linalg.norm(chroma, axis=1) / _FLOORS[1]
        brightness = np.where(chroma < 1.0, np.minimum(brightness, 0.0), brightness) / _FLOORS[0]
        return brightness, np.hypot(brightness, chroma)


def _apart(colors, painted):
    """ln ratio of colours: its mean `[N]` and the rest `[N, 3]`. Dark ones count as greyer: their chroma is noise."""
    ratio = np.log((colors + 0.01) / (painted + 0.01))
    brightness = ratio.mean(axis=1)
    return brightness, ratio - brightness[:, None]


def evened(albedo, model):
    """The albedo `[V, 3]` without what it says of places that photographs seldom show bare: those are of one tone."""
    believed = smooth_step(model.mean[:, 2], *_SIDES_MM) * ~(model.region_mask("ears", "neck") | scalp(model))
    believed = np.maximum(believed, model.region_mask("eyes", "mouth"))[:, None]
    skin = model.region_mask("skin")[:, None] * believed
    return believed * albedo + (1 - believed) * ((albedo * skin).sum(axis=0) / skin.sum())


def scalp(model):
    """`[V]` bool: where hair grows."""
    hair = model.region_mask("scalp")
    for side in (-1, 1):
        eye = model.region_mask("eyes") & (model.mean[:, 0] * side > 0)
        if eye.any():
            hair &= np.linalg.norm(model.mean - model.mean[eye].mean(axis=0), axis=1) > _LID_MM
    return hair
