"""The ASGI application: TF Serving's and KServe's URLs, limits, time-outs, and errors as `{"error": …}`."""

import asyncio
import contextlib
import logging

import orjson
from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tfface.serving import instances, kserve
from tfface.serving.batching import Batcher
from tfface.serving.compression import decompress
from tfface.serving.config import ServingConfig
from tfface.serving.errors import RequestError

LOGGER = logging.getLogger(__name__)
_HANGUP = 499
"""What logs say of a client that left; it never sees it."""


class _WithoutColon(StringConvertor):
    """A part of a path; what follows a colon is TF Serving's verb."""

    regex = "[^/:]+"


register_url_convertor("tfface_name", _WithoutColon())


def build_app(model, config: ServingConfig | None = None) -> Starlette:
    """The application.

    Args:
      model: a `ServedModel`, or what has its `version`, `signatures`, `outputs` and `run`.
      config: limits and waiting times.
    """
    server = _Server(model, config or ServingConfig())
    routes = [
        Route("/v2", _server_metadata, methods=["GET"]),
        Route("/v2/health/live", _ready, methods=["GET"]),
        Route("/v2/health/ready", _ready, methods=["GET"]),
    ]
    name = "models/{name:tfface_name}"
    for named in (name, name + "/versions/{version:tfface_name}"):
        routes += [
            Route(f"/v1/{named}:predict", server.predict, methods=["POST"]),
            Route(f"/v1/{named}", server.status, methods=["GET"]),
            Route(f"/v2/{named}/infer", server.infer, methods=["POST"]),
            Route(f"/v2/{named}/ready", server.ready, methods=["GET"]),
            Route(f"/v2/{named}", server.metadata, methods=["GET"]),
        ]
    return Starlette(
        routes=routes,
        lifespan=server.lifespan,
        exception_handlers={RequestError: _refused, HTTPException: _http_error, Exception: _failed},
    )


class _Server:
    def __init__(self, model, config: ServingConfig):
        self.model = model
        self.config = config
        self.batcher = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app):
        self.batcher = Batcher(self.model.run, self.config)
        worker = asyncio.create_task(self.batcher.work())
        yield
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker

    async def status(self, request: Request) -> Response:
        """`GET /v1/models/NAME`."""
        self._check_name(request)
        state = {
            "version": self.model.version,
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return _json({"model_version_status": [state]})

    async def predict(self, request: Request) -> Response:
        """`POST /v1/models/NAME:predict`."""
        self._check_name(request)
        return await self._answer(request, lambda body: instances.parse(body, self.model.signatures, self.config))

    async def metadata(self, request: Request) -> Response:
        """`GET /v2/models/NAME`."""
        self._check_name(request)
        return _json(kserve.model_metadata(self.model, self.config.name))

    async def ready(self, request: Request) -> Response:
        """`GET /v2/models/NAME/ready`."""
        self._check_name(request)
        return await _ready(request)

    async def infer(self, request: Request) -> Response:
        """`POST /v2/models/NAME/infer`."""
        self._check_name(request)
        return await self._answer(request, lambda body: kserve.parse(body, request.headers, self.model, self.config))

    async def _answer(self, request: Request, parse) -> Response:
        """Answers in time or says why not; `parse` makes `Work` of a body."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.config.timeout_s
        try:
            body = await asyncio.wait_for(self._body(request), self.config.timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            raise RequestError(408, f"expected the whole body within {self.config.timeout_s:g} s") from None
        except ClientDisconnect:
            return Response(status_code=_HANGUP)
        work = asyncio.create_task(self._work(body, request.headers.get("content-encoding", ""), parse))
        hangup = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait({work, hangup}, timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if hangup.done():
                return Response(status_code=_HANGUP)
            raise RequestError(504, f"no answer within {self.config.timeout_s:g} s; the server is busy, try again")
        finally:
            # Rows that still wait are dropped with it.
            work.cancel()
            hangup.cancel()
            await asyncio.gather(work, hangup, return_exceptions=True)

    async def _work(self, body: bytes, coding: str, parse) -> Response:
        work = await asyncio.to_thread(lambda: parse(decompress(body, coding, self._limit)))
        futures = self.batcher.submit(work.signature, work.rows)
        try:
            rows = await asyncio.gather(*futures)
        except RequestError as error:
            index = next(i for i, future in enumerate(futures) if future.done() and future.exception() is error)
            raise RequestError(error.status, f"instance {index}: {error.message}") from error
        finally:
            for future in futures:
                future.cancel()
        return await asyncio.to_thread(work.answer, rows)

    @property
    def _limit(self) -> int:
        """Bytes of a body, as it comes and decompressed."""
        return int(self.config.max_body_mb * 1e6)

    async def _body(self, request: Request) -> bytes:
        parts, size = [], 0
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._limit:
            size = int(announced)
        else:
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > self._limit:
                    break
        if size > self._limit:
            raise RequestError(
                413,
                f"expected a body of at most {self.config.max_body_mb:g} MB; shrink the pictures, send fewer at once, "
                "or send crops in binary",
            )
        return b"".join(parts)

    def _check_name(self, request: Request):
        name, version = request.path_params["name"], request.path_params.get("version", self.model.version)
        if name != self.config.name or version != self.model.version:
            raise RequestError(
                404, f"expected model {self.config.name} (version {self.model.version}), received {name} ({version})"
            )


async def _server_metadata(request: Request) -> Response:
    """`GET /v2`."""
    return _json(kserve.server_metadata())


async def _ready(request: Request) -> Response:
    """`GET /v2/health/…`: the server only answers once its model is loaded."""
    return Response()


async def _disconnected(request: Request):
    """Returns when the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(content, status: int = 200, headers: dict | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def _refused(request: Request, error: RequestError) -> Response:
    headers = {"retry-after": "1"} if error.status == 503 else {}
    if error.status in (408, 413):
        # The rest of the body isn't read.
        headers["connection"] = "close"
    return _json({"error": error.message}, error.status, headers)


def _http_error(request: Request, error: HTTPException) -> Response:
    return _json(
        {"error": f"{error.detail}: {request.method} {request.url.path}"},
        error.status_code,
        dict(error.headers or {}),
    )


def _failed(request: Request, error: Exception) -> Response:
    LOGGER.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _json({"error": "the server failed; its log says why"}, 500)
