"""The signature of a request to a route service, which proves its forwarded URL when the request comes back.

A signature header is an encrypted JSON text with the URL that the request came for, and when; a metadata header holds
the nonce of the encryption. Both are as Gorouter's (spec 5.9), so that routers of both kinds may stand side by side.
"""

import calendar
import hashlib
import os
import re
import time
from base64 import standard_b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec

KEY_SIZE = 16
NONCE_SIZE = 12
_ITERATIONS = 100_001

# Has the shape of `_core.EventLog`.
EventLog = Callable[[int, str, dict[str, Any]], None]
_DEBUG = 0
_ERROR = 3

_EXPIRED = "route service request expired"
_PREVIOUS_KEY_USED = "Decrypt-only secret used to validate route service signature header"
_NOT_AUTHENTIC = "cipher: message authentication failed"


class SignatureError(ValueError):
    """An invalid signature; the text is Gorouter's. `is_expired`: only its time is over."""

    def __init__(self, text: str, *, is_expired: bool = False) -> None:
        super().__init__(text)
        self.is_expired = is_expired


def derive_key(secret: str) -> bytes:
    """Return the key of a secret. Takes 50 ms on purpose: guessing secrets takes as long for each guess."""
    return hashlib.pbkdf2_hmac("sha256", secret.encode(), b"", _ITERATIONS, KEY_SIZE)


class RouteServiceSigner:
    """Signs with one key, and validates what was signed with it or with the one before.

    `key` and `previous_key` are those of `derive_key`; b"" for no previous one. A signature is good for `lifetime`
    seconds, for any number of requests. `log` gets a line for each refused signature.
    """

    def __init__(
        self,
        key: bytes,
        previous_key: bytes = b"",
        *,
        lifetime: float,
        log: EventLog | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        # This import takes 80 ms, which only a router with route services needs.
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        self._invalid_tag = InvalidTag
        self._cipher = AESGCM(key)
        self._previous_cipher = AESGCM(previous_key) if previous_key else None
        self._lifetime_ns = round(lifetime * 1e9)
        self._log = log
        self._clock_ns = clock_ns

    def sign(self, forwarded_url: str) -> tuple[bytes, bytes]:
        """Return signature and metadata, the values of two headers, for a request that came for `forwarded_url` now."""
        contents = _encode_contents(forwarded_url, self._clock_ns())
        nonce = os.urandom(NONCE_SIZE)
        metadata = b'{"nonce":"%b"}' % standard_b64encode(nonce)
        return urlsafe_b64encode(self._cipher.encrypt(nonce, contents, None)), urlsafe_b64encode(metadata)

    def validate(self, signature: bytes, metadata: bytes) -> str:
        """Return the forwarded URL that was signed. Raises SignatureError.

        It is up to the caller whether that URL is one of the route the request is for.
        """
        try:
            forwarded_url, requested_at, requested_ns = self._open(signature, metadata, self._cipher)
        except SignatureError as error:
            if self._previous_cipher is None:
                self._report("proxy-route-service-current-key", error)
                raise
            if self._log is not None:
                self._log(_DEBUG, "proxy-route-service-current-key", {"message": _PREVIOUS_KEY_USED})
            forwarded_url, requested_at, requested_ns = self._open_with_previous_key(
                signature, metadata, self._previous_cipher
            )
        if self._clock_ns() - requested_ns > self._lifetime_ns:
            expired = SignatureError(_EXPIRED, is_expired=True)
            self._report(
                "proxy-route-service-timeout",
                expired,
                {"forwarded-url": forwarded_url, "request-time": requested_at},
            )
            raise expired
        return forwarded_url

    def _open_with_previous_key(self, signature: bytes, metadata: bytes, cipher: Any) -> tuple[str, str, int]:
        try:
            return self._open(signature, metadata, cipher)
        except SignatureError as error:
            self._report("proxy-route-service-previous-key", error)
            raise

    def _open(self, signature: bytes, metadata: bytes, cipher: Any) -> tuple[str, str, int]:
        """Return the forwarded URL and the time, as it stands there and in nanoseconds since 1970."""
        if not metadata:
            raise SignatureError("No metadata found")
        nonce = _decode_metadata(_decode_base64(metadata))
        sealed = _decode_base64(signature)
        if len(nonce) != NONCE_SIZE:
            raise SignatureError("incorrect nonce length")
        try:
            contents = cipher.decrypt(nonce, sealed, None)
        except self._invalid_tag as error:
            raise SignatureError(_NOT_AUTHENTIC) from error
        forwarded_url, requested_at = _decode_contents(contents)
        return forwarded_url, requested_at, _nanoseconds_of(requested_at)

    def _report(self, message: str, error: SignatureError, data: dict[str, Any] | None = None) -> None:
        if self._log is not None:
            self._log(_ERROR, message, {"error": str(error), **(data or {})})


# --- Contents: JSON, as Go writes and reads it ------------------------------------------------------------------------

# Go's encoder escapes characters that are markup in HTML, and those that end a line in JavaScript.
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_ZERO_TIME = "0001-01-01T00:00:00Z"


def _encode_contents(forwarded_url: str, now_ns: int) -> bytes:
    # A URL may hold bytes that are no UTF-8; Go replaces them too.
    url = forwarded_url.encode("utf-8", "replace").decode()
    text = msgspec.json.encode(url).decode().translate(_ESCAPES)
    return f'{{"forwarded_url":{text},"requested_time":"{_format_time(now_ns)}"}}'.encode()


def _decode_contents(contents: bytes) -> tuple[str, str]:
    fields = _decode_object(contents, "Signature")
    url = _text_field(fields, "forwarded_url", "Signature", "string")
    requested_at = _text_field(fields, "requested_time", "Signature", "time.Time")
    return url, requested_at or _ZERO_TIME


def _decode_metadata(text: bytes) -> bytes:
    nonce = _text_field(_decode_object(text, "Metadata"), "nonce", "Metadata", "[]uint8")
    return _decode_base64(nonce.encode(), is_for_urls=False)


def _decode_object(text: bytes, kind: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text.decode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise SignatureError(_json_error(text)) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SignatureError(f"json: cannot unmarshal {_json_kind(value)} into Go value of type routeservice.{kind}")
    # Go takes a name in any case, and the last of several.
    return {name.lower(): item for name, item in value.items()}


def _text_field(fields: dict[str, Any], name: str, kind: str, go_type: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SignatureError(
            f"json: cannot unmarshal {_json_kind(value)} into Go struct field {kind}.{name} of type {go_type}"
        )
    return value


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _json_error(text: bytes) -> str:
    stripped = text.lstrip(b" \t\r\n")
    if not stripped or (stripped[:1] in b'{["' and not stripped.rstrip(b" \t\r\n").endswith((b"}", b"]", b'"'))):
        return "unexpected end of JSON input"
    if stripped[:1] in b'{["-0123456789tfn':
        return "invalid JSON"
    char = stripped.decode("latin-1")[0]
    shown = char if char.isprintable() and char.isascii() else f"\\x{ord(char):02x}"
    return f"invalid character '{shown}' looking for beginning of value"


# --- base64, with Go's errors -----------------------------------------------------------------------------------------

_FOR_URLS = re.compile(rb"[A-Za-z0-9_-]*")
_STANDARD = re.compile(rb"[A-Za-z0-9+/]*")


def _decode_base64(text: bytes, *, is_for_urls: bool = True) -> bytes:
    """Decode padded base64 of either alphabet, as strict as Go's decoder."""
    match = (_FOR_URLS if is_for_urls else _STANDARD).match(text)
    assert match is not None, "the pattern matches an empty text too"
    end = match.end()
    missing = -end % 4
    if text[end:] == b"=" * missing and missing < 3:
        return urlsafe_b64decode(text.translate(_STANDARD_TO_URLS))
    if end == len(text):
        # The text ends within a group of four; Go's error has the offset of that group.
        at = end - end % 4
    elif text[end] != ord("=") or missing in (0, 3):
        at = end
    elif missing == 2 and end + 1 == len(text):
        at = len(text)
    elif missing == 2 and text[end + 1] != ord("="):
        at = end + 1
    else:
        at = end + missing
    raise SignatureError(f"illegal base64 data at input byte {at}")


_STANDARD_TO_URLS = bytes.maketrans(b"+/", b"-_")


# --- RFC 3339 with nanoseconds ----------------------------------------------------------------------------------------

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)


def _format_time(at_ns: int) -> str:
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"


def _nanoseconds_of(text: str) -> int:
    """Return a time as nanoseconds since 1970. Raises SignatureError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise _not_a_time(text)
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    zone_hour, zone_minute = int(match[9] or 0), int(match[10] or 0)
    try:
        date(year, month, day)
    except ValueError as error:
        raise _not_a_time(text) from error
    if hour > 23 or minute > 59 or second > 59 or zone_hour > 23 or zone_minute > 59:
        raise _not_a_time(text)
    offset = (zone_hour * 60 + zone_minute) * 60 * (-1 if match[8] == "-" else 1)
    seconds = calendar.timegm((year, month, day, hour, minute, second)) - offset
    return seconds * 1_000_000_000 + int((match[7] or "")[:9].ljust(9, "0"))


def _not_a_time(text: str) -> SignatureError:
    return SignatureError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse it')
