"""An exported SavedModel over HTTP, as TF Serving and Triton offer theirs (docs/serving.md)."""
