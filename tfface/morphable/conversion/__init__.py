"""Other people's face models, read into our format: `convert` is the way in."""

from tfface.morphable.conversion.convert import KINDS, convert

__all__ = ["KINDS", "convert"]
