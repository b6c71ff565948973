"""Spans on their way to a collector: OTLP over HTTP, in batches, with retries (opentelemetry.io/docs/specs/otlp)."""

import asyncio
import random
import time
from collections import deque
from contextlib import suppress
from typing import NamedTuple

import aiohttp

from fastrouter.logs.logger import Logger, excerpt
from fastrouter.otlp.options import ExportOptions
from fastrouter.otlp.requests import RequestMaker, rejected_spans
from fastrouter.process.background_task import BackgroundTask
from fastrouter.routing_api.session import client_context, failure_text, open_session

# Seconds that spans are gathered before they go, unless there are _BATCH bytes of them.
_INTERVAL = 2.0
_BATCH = 512 * 1024
# Bytes of spans that wait while the collector does not take them.
_MAX_WAITING = 8 * 1024 * 1024
# Seconds a request may take; and how long one is tried again, with pauses that double from the first to the last.
_TIMEOUT = 10.0
_RETRY_FOR = 60.0
_FIRST_PAUSE = 1.0
_LAST_PAUSE = 15.0
# Seconds that the last spans have when the router ends.
_GRACE = 2.0
# Bytes of a response that are read.
_MAX_RESPONSE = 64 * 1024
# Statuses with which a collector asks to try again.
_RETRIED = frozenset({429, 502, 503, 504})


class _Batch(NamedTuple):
    """Spans as fields of `ScopeSpans`, and their number."""

    spans: bytes
    number: int


class _RefusedError(Exception):
    """A request had no effect; the text says why. `pause` is when to try again (seconds), None for never."""

    def __init__(self, reason: str, pause: float | None) -> None:
        super().__init__(reason)
        self.pause = pause


class SpanExporter(BackgroundTask):
    """Sends what it is given. What the collector does not take for too long is dropped; `counts` has it by the reason.

    Raises ssl.SSLError for an identity that is none.
    """

    def __init__(self, options: ExportOptions, logger: Logger) -> None:
        super().__init__()
        # Spans by what became of them.
        self.counts = {"exported": 0, "queue-full": 0, "refused": 0, "not-reached": 0}
        self._url = options.url
        self._headers = {**dict(options.headers), "Content-Type": "application/x-protobuf"}
        self._maker = RequestMaker(dict(options.attributes))
        self._logger = logger
        self._waiting: deque[_Batch] = deque()
        self._size = 0
        self._has_enough = asyncio.Event()
        self._session = open_session(client_context(options.ca_certs, options.cert_chain, options.private_key))

    def add(self, spans: bytes, count: int, lost: int) -> None:
        """Take spans as workers make them; `lost` is the number of those for which a worker had no room."""
        self.counts["queue-full"] += lost
        if self._size + len(spans) > _MAX_WAITING:
            self.counts["queue-full"] += count
            return
        self._waiting.append(_Batch(spans, count))
        self._size += len(spans)
        if self._size >= _BATCH:
            self._has_enough.set()

    async def end(self) -> None:
        """Send what there is, if that is quick, and stop."""
        self.stop()
        try:
            async with asyncio.timeout(_GRACE):
                while self._waiting:
                    await self._send(self._take())
        except (TimeoutError, _RefusedError) as error:
            self._logger.warn("spans-lost-at-the-end", error=str(error) or "i/o timeout")
        await self._session.close()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL):
                    await self._has_enough.wait()
            self._has_enough.clear()
            while self._waiting:
                batches = self._take()
                try:
                    await self._export(batches)
                except asyncio.CancelledError:
                    # There is one more try at the end.
                    self._waiting.extendleft(reversed(batches))
                    raise

    def _take(self) -> list[_Batch]:
        """Return what goes with one request."""
        taken: list[_Batch] = []
        size = 0
        while self._waiting and size < _BATCH:
            batch = self._waiting.popleft()
            taken.append(batch)
            size += len(batch.spans)
        self._size -= size
        return taken

    async def _export(self, batches: list[_Batch]) -> None:
        """Send a request, again and again if the collector asks for it, or cannot be reached."""
        given_up_at = time.monotonic() + _RETRY_FOR
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._send(batches)
            except _RefusedError as error:
                wait = error.pause if error.pause is None else max(error.pause, pause * random.uniform(0.5, 1.0))
                if wait is None or time.monotonic() + wait > given_up_at:
                    count = sum(each.number for each in batches)
                    self.counts["refused" if wait is None else "not-reached"] += count
                    self._logger.error("spans-not-exported", error=str(error), spans=count)
                    return
                await asyncio.sleep(wait)
                pause = min(2 * pause, _LAST_PAUSE)
            else:
                return

    async def _send(self, batches: list[_Batch]) -> None:
        """Send one request. Raises _RefusedError."""
        body = self._maker.request([each.spans for each in batches])
        count = sum(each.number for each in batches)
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers=self._headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
            ) as response:
                text = await response.content.read(_MAX_RESPONSE)
                status, after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, OSError) as error:
            raise _RefusedError(f'Post "{self._url}": {failure_text(error)}', 0.0) from error
        if not 200 <= status < 300:
            reason = f'Post "{self._url}": {status} {excerpt(text.decode(errors="replace"), 256)}'
            # A date instead of seconds is taken for none.
            pause = float(after) if after.isdecimal() else 0.0
            raise _RefusedError(reason, pause if status in _RETRIED else None)
        try:
            rejected, reason = rejected_spans(text)
        except ValueError:
            # It has taken them, whatever it says about that.
            rejected, reason = 0, ""
        rejected = min(max(rejected, 0), count)
        self.counts["exported"] += count - rejected
        self.counts["refused"] += rejected
        if rejected:
            self._logger.error("spans-not-exported", error=excerpt(reason, 256), spans=rejected)
