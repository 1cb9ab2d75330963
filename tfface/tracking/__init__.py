"""Faces in moving pictures: followed, smoothed without a visible lag, and written down frame by frame."""

from tfface.tracking.tracker import FaceTracker, TrackedFace, TrackerConfig

__all__ = ["FaceTracker", "TrackedFace", "TrackerConfig"]
