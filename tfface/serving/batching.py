"""Dynamic batching: faces that arrive together run together."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tfface.serving.config import ServingConfig
from tfface.serving.errors import RequestError

LOGGER = logging.getLogger(__name__)


class Batcher:
    """Collects rows that fit together and runs each group as one batch, one batch at a time.

    Args:
      run: (signature, inputs `[B, …]` by name) → outputs `[B, …]` by name; called in a thread of its own.
      config: batch, wait_ms and queue.
    """

    def __init__(self, run, config: ServingConfig):
        self._run = run
        self._config = config
        self._waiting = []
        self._arrived = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tfface-model")

    def submit(self, signature: str, rows: list[dict[str, np.ndarray]]) -> list[asyncio.Future]:
        """Queues rows; each future gives that row's outputs by name. Cancel one, and its row isn't run.

        Raises:
          RequestError: too many rows wait already.
        """
        # Those whose client has left don't count.
        self._waiting = [item for item in self._waiting if not item[2].done()]
        if len(self._waiting) + len(rows) > self._config.queue:
            raise RequestError(503, "too many faces are waiting; try again in a moment")
        loop = asyncio.get_running_loop()
        futures = []
        for row in rows:
            key = signature, tuple((name, value.shape) for name, value in sorted(row.items()))
            futures.append(loop.create_future())
            self._waiting.append((key, row, futures[-1]))
        self._arrived.set()
        return futures

    async def work(self):
        """Runs batches until it is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                deadline = time.monotonic() + self._config.wait_ms / 1000
                while len(self._waiting) < self._config.batch and (left := deadline - time.monotonic()) > 0:
                    await asyncio.sleep(min(left, 0.001))
                while batch := self._take():
                    await loop.run_in_executor(self._executor, self._answer, loop, batch)
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _take(self) -> list:
        """The next batch: the oldest row and those after it that fit with it."""
        self._waiting = [item for item in self._waiting if not item[2].done()]
        if not self._waiting:
            return []
        key = self._waiting[0][0]
        batch = [item for item in self._waiting if item[0] == key][: self._config.batch]
        taken = {id(item) for item in batch}
        self._waiting = [item for item in self._waiting if id(item) not in taken]
        return batch

    def _answer(self, loop, batch: list):
        """Runs a batch (in the model's thread); where it fails, its rows one by one, so that only the bad ones do."""
        signature = batch[0][0][0]
        try:
            inputs = {name: np.stack([row[name] for _, row, _ in batch]) for name in batch[0][1]}
            outputs = self._run(signature, inputs)
        except Exception as error:  # noqa: BLE001 - whatever it is, someone waits for an answer
            if len(batch) > 1:
                for item in batch:
                    self._answer(loop, [item])
                return
            if not isinstance(error, RequestError):
                LOGGER.exception("the model failed")
                error = RequestError(500, "the model failed; the server's log says why")
            loop.call_soon_threadsafe(_settle, batch[0][2], None, error)
            return
        for index, (_, _, future) in enumerate(batch):
            row = {name: value[index] for name, value in outputs.items()}
            loop.call_soon_threadsafe(_settle, future, row, None)


def _settle(future: asyncio.Future, row, error):
    """Answers a future whose client may have left meanwhile."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(row)
