"""The trained models that ship (installs as `tfface.saved_models`)."""
