"""uvicorn's HTTP/1.1 with a limit on how long a request's first line and headers may take."""

from uvicorn.protocols.http.h11_impl import H11Protocol


def impatient(seconds: float) -> type[H11Protocol]:
    """The protocol for `uvicorn.Config(http=…)`.

    uvicorn by itself waits for ever for a client that connects and says nothing, or sends headers drop by drop; the
    application only comes to know of a request when its headers are complete.

    Args:
      seconds: from the connection, or the last answer on it, to the end of a request's headers; then it is closed.
    """

    class ImpatientProtocol(H11Protocol):
        _due = None

        def connection_made(self, transport):
            super().connection_made(transport)
            self._expect_request()

        def on_response_complete(self):
            super().on_response_complete()
            self._expect_request()

        def connection_lost(self, exc):
            self._due.cancel()
            super().connection_lost(exc)

        def _expect_request(self):
            if self._due:
                self._due.cancel()
            self._due = self.loop.call_later(seconds, self._close_unless_busy, self.cycle)

        def _close_unless_busy(self, last):
            # A cycle begins when headers are complete. The last one is a running one where requests were pipelined.
            if self.cycle is last and (last is None or last.response_complete):
                self.transport.close()

    return ImpatientProtocol
