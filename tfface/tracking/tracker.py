"""Follows faces: CoarseNet looks again where one was, and now and then the detector looks everywhere."""

import dataclasses

import numpy as np

from tfface.detection import crop_square, detect
from tfface.morphable import representation
from tfface.tracking.memory import Look, Memory
from tfface.tracking.smoothing import OneEuro, OneEuroConfig


@dataclasses.dataclass(frozen=True)
class TrackerConfig:
    """How faces are followed.

    Attributes:
      detector: "mtcnn" or "haar".
      detect_seconds: time between two looks at the whole frame; without a face, half a second at most.
      patience: looks in which a face that is followed may be missed before it counts as gone.
      doubt_seconds: time to the next look after one that missed a face.
      cut: mean change of the frame's grey, 0…1 on a 16×16 grid, from which it shows another scene: the detector looks
        at once, and what it doesn't find is gone.
      max_faces: followed at once, the largest; 0 for all.
      overlap: intersection over union from which a detection is a face that is followed already.
      pose: smoothing of pose; speeds are in face widths per second.
      expression: smoothing of expression; likewise.
      identity_seconds: time over which identity is averaged.
      memory_seconds: time in which a face that is gone can come back and is given its id again; 0 for never.
      likeness: `Look.difference` from which one that comes is somebody else. A head that turned by 35° in between
        differs from itself by 0.2, 19 of 20 other people by more than 0.25.
    """

    detector: str = "mtcnn"
    detect_seconds: float = 1.0
    patience: int = 2
    doubt_seconds: float = 0.15
    cut: float = 0.12
    max_faces: int = 0
    overlap: float = 0.2
    pose: OneEuroConfig = OneEuroConfig(cutoff=0.7, response=10.0, speed_cutoff=1.5)
    expression: OneEuroConfig = OneEuroConfig(cutoff=1.5, response=10.0, speed_cutoff=1.5)
    identity_seconds: float = 3.0
    memory_seconds: float = 3.0
    likeness: float = 0.3


@dataclasses.dataclass(frozen=True)
class TrackedFace:
    """One face in one frame.

    Attributes:
      id: the same as long as the face is followed, and when it comes back soon.
      r: `[290]`; its last three numbers belong to `square`.
      square: cx, cy, side of the crop, px of the frame.
      vertices_image: `[V, 3]` px of the frame: x right, y down, z nearer.
      landmarks: `[68, 3]` of them.
      euler_degrees: yaw, pitch, roll.
      translation: `[2]` px of the frame, where the model's origin is seen.
      mm_per_px: scale.
      blendshapes: 52 ARKit weights 0…1.
    """

    id: int
    r: np.ndarray
    square: tuple[float, float, float]
    vertices_image: np.ndarray
    landmarks: np.ndarray
    euler_degrees: tuple[float, float, float]
    translation: np.ndarray
    mm_per_px: float
    blendshapes: dict[str, float]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 px around the landmarks."""
        low, high = self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)
        return tuple(float(value) for value in (*low, *high))


@dataclasses.dataclass
class _Track:
    square: tuple[float, float, float]
    pose: OneEuro
    expression: OneEuro
    id: int | None = None
    identity: np.ndarray | None = None
    missed: int = 0
    box: tuple[float, float, float, float] | None = None
    # When the detector last saw it: what CoarseNet was shown since then may be a wall.
    look: Look | None = None


class FaceTracker:
    """Follows the faces of a video.

    Args:
      reconstructor: a `tfface.Reconstructor`, whose CoarseNet is asked.
      config: how.
    """

    def __init__(self, reconstructor, config: TrackerConfig | None = None):
        self.reconstructor = reconstructor
        self.model = reconstructor.face_model
        self.config = config or TrackerConfig()
        self._tracks: list[_Track] = []
        self._memory = Memory(self.config.memory_seconds, self.config.likeness)
        self._time = self._looked = self._glance = None

    def __call__(self, image: np.ndarray, time: float) -> list[TrackedFace]:
        """The faces of the next frame, in the order in which they appeared.

        Args:
          image: uint8 RGB `[H, W, 3]`.
          time: seconds; must grow from call to call.

        Raises:
          ValueError: time did not grow.
        """
        if self._time is not None and not time > self._time:
            raise ValueError(f"expected a time after {self._time:g} s, received {time:g} s")
        seconds, self._time = (time - self._time if self._time is not None else 1.0), time
        self._look(image, time)
        if not self._tracks:
            return []
        answers = self.reconstructor.coarse(image, [track.square for track in self._tracks])
        answers = self._name(answers, time)
        return [self._follow(track, r, seconds) for track, r in zip(self._tracks, answers, strict=True)]

    def _look(self, image, time):
        """Asks the detector, if it is time to: faces that it no longer finds go, new ones come."""
        config = self.config
        cut = self._is_cut(image)
        wait = config.detect_seconds if self._tracks else min(config.detect_seconds, 0.5)
        if any(track.missed for track in self._tracks):
            wait = min(wait, config.doubt_seconds)
        if self._looked is not None and time - self._looked < wait - 1e-9 and not cut:
            return
        self._looked = time
        found = detect(image, config.detector)
        known = {}
        for track in self._tracks:
            overlaps = [_overlap(track.box, detection.box) for detection in found]
            best = int(np.argmax(overlaps)) if overlaps else -1
            if best >= 0 and overlaps[best] > config.overlap and best not in known:
                known[best], track.missed = track, 0
                track.look = Look(track.identity, track.square[2])
            else:
                track.missed += 1
        patience = 0 if cut else config.patience
        for track in self._tracks:
            if track.missed > patience:
                self._memory.keep(track.id, track.look, time)
        self._tracks = [track for track in self._tracks if track.missed <= patience]
        for index, detection in enumerate(found):
            if index in known or (config.max_faces and len(self._tracks) >= config.max_faces):
                continue
            # What lies on a face that is followed is that face, twice found.
            if any(_overlap(track.box, detection.box) > config.overlap for track in self._tracks):
                continue
            square = crop_square(detection.box, detection.style)
            filters = OneEuro(config.pose), OneEuro(config.expression)
            self._tracks.append(_Track(square, *filters, box=detection.box))

    def _name(self, answers: np.ndarray, time: float) -> np.ndarray:
        """Gives new tracks their ids; ends those that came back elsewhere, and leaves out their answers `[N, 290]`."""
        new = [(track, r) for track, r in zip(self._tracks, answers, strict=True) if track.id is None]
        if not new:
            return answers
        for track, r in new:
            track.look = Look(r[: representation.IDENTITY_SIZE], track.square[2])
        missed = {track.id: track.look for track in self._tracks if track.missed}
        names = self._memory.names([track.look for track, _ in new], missed, time)
        stay = [track.id not in names for track in self._tracks]
        self._tracks = [track for track, stays in zip(self._tracks, stay, strict=True) if stays]
        for (track, _), name in zip(new, names, strict=True):
            track.id = name
        return answers[stay]

    def _is_cut(self, image) -> bool:
        """Whether the frame shows another scene than the one before."""
        import cv2

        small = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA)
        before, self._glance = self._glance, small.mean(axis=-1) / 255.0
        return before is not None and float(np.abs(self._glance - before).mean()) > self.config.cut

    def _follow(self, track: _Track, r: np.ndarray, seconds: float) -> TrackedFace:
        """Smooths an answer, moves the track's square to it, and returns the face."""
        first = track.identity is None
        identity, expression, pose = np.split(
            r, np.cumsum([representation.IDENTITY_SIZE, representation.EXPRESSION_SIZE])
        )
        share = 1.0 if first else min(seconds / self.config.identity_seconds, 1.0)
        track.identity = identity if first else track.identity + share * (identity - track.identity)
        points = self._landmarks(np.concatenate([track.identity, expression, pose]), track.square)
        width = track.square[2] / 2.0
        # Expression is what moves the mouth and lids on a head held still.
        still = np.concatenate([track.identity, expression, np.zeros(representation.POSE_SIZE)])
        moved = self._landmarks(still, (0.0, 0.0, 2.0))[17:, :2]
        expression = track.expression(expression, moved, seconds)
        # Nose and corners of the eyes turn with the head and with nothing else; what is smoothed is in the frame's px.
        in_frame = _to_frame(pose, track.square)
        in_frame = track.pose(in_frame, points[[27, 28, 29, 30, 36, 39, 42, 45], :2] / width, seconds)
        square = float(in_frame[3]), float(in_frame[4]), float(np.exp(in_frame[5]))
        smooth = np.concatenate([track.identity, expression, in_frame[:3], np.zeros(3)]).astype(np.float32)
        face = self._face(track.id, smooth, square)
        track.square, track.box = square, face.box
        return face

    def _landmarks(self, r: np.ndarray, square) -> np.ndarray:
        """`[68, 3]` px of the frame."""
        vertices = representation.vertices_image(self.model, r[None].astype(np.float32), square[2])[0].numpy()
        corner = np.array([square[0] - square[2] / 2.0, square[1] - square[2] / 2.0, 0.0])
        return vertices[np.asarray(self.model.landmarks)] + corner

    def _face(self, number: int, r: np.ndarray, square) -> TrackedFace:
        from tfface.geometry.camera import euler_degrees

        camera = representation.camera(r[None, representation.GEOMETRY_SIZE :], square[2])
        corner = np.array([square[0] - square[2] / 2.0, square[1] - square[2] / 2.0, 0.0], np.float32)
        in_frame = representation.vertices_image(self.model, r[None], square[2])[0].numpy() + corner
        expression = r[representation.IDENTITY_SIZE : representation.GEOMETRY_SIZE]
        weights = self.model.blendshapes(expression)
        return TrackedFace(
            id=number,
            r=r,
            square=square,
            vertices_image=in_frame,
            landmarks=in_frame[np.asarray(self.model.landmarks)],
            euler_degrees=tuple(float(angle) for angle in euler_degrees(r[representation.GEOMETRY_SIZE :][:3])),
            translation=camera.translation[0].numpy() + corner[:2],
            mm_per_px=1.0 / float(camera.scale[0]),
            blendshapes={name: float(np.clip(np.ravel(weight)[0], 0.0, 1.0)) for name, weight in weights.items()},
        )


def _to_frame(pose: np.ndarray, square) -> np.ndarray:
    """Angles, where the model's origin is seen in px, and ln of the crop's width around it in px, `[6]`.

    Unlike u, v and s these don't depend on the crop, which moves along.
    """
    cx, cy, side = square
    # A wild answer moves the crop by half of it at most.
    u, v, s = np.clip(pose[3:6], -0.5, 0.5)
    return np.concatenate([pose[:3], [cx + u * side / 2.0, cy + v * side / 2.0, np.log(side) + s]])


def _overlap(box, other) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    if box is None:
        return 0.0
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return shared / max(sum(areas) - shared, 1e-9)
