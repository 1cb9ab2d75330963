"""An exported SavedModel over HTTP, in the shape of TF Serving's REST API (docs/serving.md)."""
