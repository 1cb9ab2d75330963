"""How the server is set."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """Limits and waiting times of the server.

    Attributes:
      name: of the model, in its URL.
      batch: most faces that one run of the model takes.
      wait_ms: how long the first face of a batch waits for others.
      queue: most faces that wait; beyond them requests are turned away with 503.
      timeout_s: from the arrival of a request to its answer; then 504 (408 while its body is still coming in).
      max_body_mb: largest body of a request, MB; beyond it 413.
      max_instances: most faces in one request.
      max_megapixels: largest picture, refused by its header; beyond it 413.
      detector: finds the face of an instance without a box: "mtcnn" or "haar".
    """

    name: str = "tfface"
    batch: int = 8
    wait_ms: float = 5.0
    queue: int = 64
    timeout_s: float = 30.0
    max_body_mb: float = 16.0
    max_instances: int = 16
    max_megapixels: float = 25.0
    detector: str = "mtcnn"

    @property
    def most_instances(self) -> int:
        """Most faces in one request: more than the queue takes would be told to try again for ever."""
        return min(self.max_instances, self.queue)
