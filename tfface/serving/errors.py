"""What goes wrong with a request, as a status and a sentence."""


class RequestError(Exception):
    """A request that isn't answered.

    Args:
      status: of HTTP.
      message: what was expected, what came and what to do.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
        self.message = message
