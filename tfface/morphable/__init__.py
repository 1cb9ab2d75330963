"""The space of faces (§3.1): the morphable model, the representation r, and the default model."""
