"""Tokens for the routing API, from the UAA by the client's credentials (spec 3.12)."""

import asyncio
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from urllib.parse import quote_plus

import aiohttp
import msgspec
import orjson

from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger
from fastrouter.routing_api.options import UAAOptions
from fastrouter.routing_api.session import RoutingAPIError, client_context, failure_text, open_session

# Bytes of a response that are read: a token has some thousands.
_MAX_RESPONSE = 1024 * 1024


class TokenError(RoutingAPIError):
    """There is no token; the text is that of the last attempt."""


class UAAError(Exception):
    """The UAA cannot be asked as it is configured."""


class _Granted(msgspec.Struct, frozen=True):
    access_token: str = ""
    expires_in: float = 0.0


class TokenSource(ABC):
    """Gives tokens for the routing API."""

    @abstractmethod
    async def token(self, *, force_update: bool) -> str:
        """Return a token, a new one with `force_update`. Raises TokenError."""

    @abstractmethod
    async def close(self) -> None:
        """Ask nobody for tokens any more."""


class NoTokens(TokenSource):
    """Where the routing API asks for none."""

    async def token(self, *, force_update: bool) -> str:
        """Return the empty token."""
        del force_update
        return ""

    async def close(self) -> None:
        """Do nothing."""


class TokenFetcher(TokenSource):
    """Fetches tokens from the UAA, and keeps each until shortly before its end. `clock` returns seconds.

    Raises UAAError.
    """

    def __init__(self, options: UAAOptions, logger: Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._logger = logger
        self._client_logger = logger.child("uaa-client")
        self._clock = clock
        self._session = open_session(_context(options))
        self._url = f"https://{options.host}:{options.port}/oauth/token"
        # Who wants a token while one is fetched waits for that.
        self._fetching = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    async def token(self, *, force_update: bool) -> str:
        """Return the token that is kept, or fetch one with some retries. Raises TokenError."""
        logger = self._client_logger
        logger.debug("started-fetching-token", **{"force-update": force_update})
        async with self._fetching:
            if not force_update and self._token and self._clock() < self._renew_at:
                return self._token
            for retry in range(self._options.max_retries + 1):
                if retry:
                    logger.debug("retry-fetching-token", **{"retry-count": retry - 1})
                    await asyncio.sleep(self._options.retry_interval)
                try:
                    granted = await self._fetch()
                    break
                except TokenError as error:
                    logger.error("error-fetching-token", error=str(error))
                    failure = error
            else:
                raise failure
            logger.debug("successfully-fetched-token")
            self._logger.debug("caching-token")
            self._token = granted.access_token
            self._renew_at = self._clock() + granted.expires_in - self._options.expiration_buffer
            return self._token

    async def close(self) -> None:
        """Close the connections to the UAA."""
        await self._session.close()

    async def _fetch(self) -> _Granted:
        options = self._options
        if not options.client_name or not options.client_secret:
            raise TokenError("your configuration provides no way for go-uaa to get a token")
        form = {"grant_type": "client_credentials", "token_format": "jwt"}
        # Encoded, as RFC 6749 section 2.3.1 wants it.
        auth = aiohttp.BasicAuth(quote_plus(options.client_name), quote_plus(options.client_secret))
        try:
            async with self._session.post(self._url, data=form, auth=auth, allow_redirects=False) as response:
                body = await response.content.read(_MAX_RESPONSE)
                while not response.content.at_eof() and len(body) < _MAX_RESPONSE:
                    body += await response.content.read(_MAX_RESPONSE - len(body))
                status, reason = response.status, response.reason
        except (aiohttp.ClientError, OSError) as error:
            raise TokenError(f'Post "{self._url}": {failure_text(error)}') from error
        if not 200 <= status <= 299:
            raise TokenError(_refusal(status, reason or "", body))
        try:
            granted = msgspec.json.decode(body, type=_Granted, strict=False)
        except ValueError as error:
            raise TokenError(f"oauth2: cannot parse json: {error}") from error
        if not granted.access_token:
            raise TokenError("oauth2: server response missing access_token")
        return granted


def _refusal(status: int, reason: str, body: bytes) -> str:
    """Return the text of Go's oauth2 for a response that is no success."""
    try:
        document = orjson.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and (code := document.get("error")):
        described = document.get("error_description")
        return f'oauth2: "{code}"' + (f' "{described}"' if described else "")
    return f"oauth2: cannot fetch token: {status} {reason}\nResponse: {body.decode(errors='replace')}"


def _context(options: UAAOptions) -> ssl.SSLContext:
    if options.port == 0:
        raise UAAError("tls-not-enabled: UAA client requires TLS enabled")
    ca_certs = ""
    if options.ca_file:
        try:
            with open(options.ca_file, encoding="ascii", errors="replace") as file:
                ca_certs = file.read()
        except OSError as error:
            raise UAAError(f"Failed to read ca cert file: {error_text(error)}") from error
    try:
        # A file that is there and empty is as bad as one without a certificate.
        context = client_context(ca_certs or ("-" if options.ca_file else ""))
    except ssl.SSLError as error:
        raise UAAError("Unable to load caCert") from error
    if options.skip_ssl_validation:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
