"""What was seen, as lines of text without what no two runs share: ids, times, ports, order of headers."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import gorouter_signature

from .case import Seen
from .envelopes import envelope_line
from .messages import Message, split
from .services import KEY

_ID = re.compile(r"\b(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{16})\b")
_SIGNATURE = re.compile(rb"X-Cf-Proxy-Signature: ([\w=-]+)")
_METADATA = re.compile(rb"X-Cf-Proxy-Metadata: ([\w=-]+)")
_SIGNED_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z")
_DATE = re.compile(r"(Date: )\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
_MILLISECONDS = re.compile(r"(X-Request-Start: )\d{13}\b")
_LOG_TIME = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z\]")
_NOW = re.compile(r"(?<=: current time )\S+")
_SECONDS = re.compile(r"(\b(?:\w+_time):)(\d+\.\d{6})")
_LONGEST = 1000
_STATUS = re.compile(r"\d+ HTTP/1\.\d (\d{3})")
_REQUEST = re.compile(r"[a-z]+\d+ \S+ \S* HTTP/1\.1$")
_LOGGED = re.compile(r'" (\d{3}|"-") \d+ \d+ "')

_REQUEST_IDS = ("VcapRequestIdHeader", "vcap_request_id")
_TRACE_IDS = ("trace-id", "span-id")

NOT_COMPARED = frozenset(("dropping-loggregator-access-log",))
"""Debug lines of Gorouter's that ours has not."""

UNTRACED = frozenset(
    (
        "backend",
        "backend-endpoint-failed",
        "backend-request-timeout",
        "backend-too-many-response-headers",
        "connection-limit-reached",
        "endpoint-iterator-with-least-connection-lb-algo",
        "endpoint-iterator-with-round-robin-lb-algo",
        "endpoint-missing-but-request-must-be-sticky",
        "endpoint-missing-choosing-alternate",
        "endpoint-overloaded-but-request-must-be-sticky",
        "gateway-error-and-original-request-context-cancelled",
        "route-service",
        "route-service-connection-failed",
        "route-service-response",
        "route-service-too-many-response-headers",
        "select-endpoint-failed",
        # Of those that look at a signature, one adds them and one does not.
        "signature-validation-failed",
        "status",
        "vcap-request-id-header-set",
    )
)
"""Lines about requests to which Gorouter adds no ids of the trace, and ours does, as spec 6.6 wants it (E17)."""

Aspects = Mapping[str, list[str]]
"""The lines of each of "client", "backend", "service", "access", "log", "counts" and "envelopes"."""

Difference = tuple[str, str, str]
"""An aspect, "-" for Gorouter's or "+" for ours, and a line that only this one has."""


@dataclass(frozen=True)
class Compared:
    """A case with what differs in it, and the outcomes (see `outcome`) with Gorouter and with ours."""

    name: str
    found: list[Difference]
    outcomes: tuple[str, str] = ("", "")


class NormalForm:
    """Knows the ports of one configuration by name, and which ids are given and not made up by a router."""

    def __init__(self, ports: Mapping[int, str], given: str) -> None:
        self._ports = dict(ports)
        self._given = given

    def of(self, seen: Seen) -> Aspects:
        ports = {**self._ports, seen.client_port: "<client>", seen.router_port: "<router>"}
        given = self._given + seen.sent.decode("latin-1")

        def text(raw: bytes) -> str:
            return clean(raw.decode("latin-1"))

        def clean(line: str) -> str:
            line = re.sub(r":(\d{4,5})\b", lambda found: ":" + ports.get(int(found[1]), _unknown(found[1])), line)
            # The port from which a router dials is random.
            line = re.sub(r'((?:local[-_]address"?: ?|tcp )"?127\.0\.0\.1:)\d{4,5}', r"\1<own>", line)
            line = _ID.sub(lambda found: found[0] if found[0] in given else "<id>", line)
            line = _SECONDS.sub(_seconds, _LOG_TIME.sub("[<time>]", _DATE.sub(r"\1<date>", line)))
            line = _NOW.sub("<now>", line)
            if len(line) > _LONGEST:
                digest = hashlib.sha256(line.encode("latin-1", "replace")).hexdigest()[:12]
                line = f"{line[:80]}… {len(line)} characters, {digest}"
            return line.encode("unicode_escape").decode()

        def message_lines(data: bytes, methods: list[bytes] | None, label: str) -> list[str]:
            lines = []
            for number, message in enumerate(split(data, methods), 1):
                if isinstance(message, bytes) and message.startswith(b"\x16\x03\x01"):
                    lines.append(f"{label}{number} ClientHello")
                elif isinstance(message, bytes):
                    lines.append(f"{label}{number} bytes {text(message)}")
                else:
                    lines += [f"{label}{number} {line}" for line in _lines(message, text)]
            return lines

        client = [*message_lines(seen.client, seen.methods or [b"GET"], ""), f"then {seen.client_end}"]
        backend: list[str] = []
        for number, data in enumerate(seen.backend):
            backend += message_lines(data, None, f"{chr(97 + number)}")
        service: list[str] = []
        for number, data in enumerate(seen.service):
            service += message_lines(unsealed(data, seen.sent), None, f"{chr(97 + number)}")

        def timeless(lines: list[str]) -> list[str]:
            if b"request-start" in seen.sent.lower():
                return lines
            return [_MILLISECONDS.sub(r"\1<ms>", line) for line in lines]

        return {
            "client": client,
            "backend": timeless(backend),
            "service": timeless(service),
            "access": [clean(line) for line in seen.access],
            "log": _once([event_line(event, clean) for event in _log_lines(seen, given)]),
            "counts": seen.counts,
            "envelopes": [envelope_line(envelope, seen.access, clean) for envelope in seen.envelopes],
        }


def _unknown(port: str) -> str:
    # Above these are the ports that the kernel gives to connections: of routers to themselves, of services to routers.
    return "<other>" if int(port) >= 32768 else port


def unsealed(data: bytes, sent: bytes) -> bytes:
    """A request for a route service with what its signature holds in its place, if it is one of a router's."""
    signature, metadata = _SIGNATURE.search(data), _METADATA.search(data)
    if metadata is not None and metadata[1] not in sent:
        if signature is not None:
            contents = json.dumps(gorouter_signature.unseal(KEY, signature[1], metadata[1]))
            data = data.replace(signature[1], _SIGNED_TIME.sub("<time>", contents).encode())
        data = data.replace(metadata[1], b"<nonce>")
    return data


def _lines(message: Message, text: Callable[[bytes], str]) -> list[str]:
    start_line = message.start_line
    if start_line.startswith(b"HTTP/"):
        # The reason phrase may be ours (spec 12).
        start_line = b" ".join(start_line.split(b" ")[:2])
    lines = [text(start_line)]
    # Order counts among fields of one name only.
    names: Counter[bytes] = Counter()
    for line in message.lines:
        name = line.partition(b":")[0].lower()
        names[name] += 1
        nth = f"({names[name]}) " if names[name] > 1 else ""
        lines.append(nth + text(line))
    if message.body:
        lines.append(f"body {text(message.body)}")
    lines += [f"trailer {text(line)}" for line in sorted(message.trailers)]
    return lines


def _seconds(found: re.Match[str]) -> str:
    # Nothing at all is told apart from some time, for that is what says that something was not done.
    return found[1] + ("0" if found[2] == "0.000000" else "<s>")


def _once(lines: list[str]) -> list[str]:
    """The lines without repetitions of what Gorouter says each time it looks at a signature, up to four times."""
    told: set[str] = set()
    kept = []
    for line in lines:
        if line not in told or " proxy-route-service-" not in line:
            kept.append(line)
        told.add(line)
    return kept


def _log_lines(seen: Seen, given: str) -> Iterator[Mapping[str, object]]:
    """The lines of the process log, without the ids of a request's own trace where only ours has them.

    They are its own if it came with them, went on with them, or has its request id from them; or if they are zeros,
    which stand for those that a `b3` header of a flag alone does not name.
    """
    messages = b"".join((*seen.backend, *seen.service)).decode("latin-1")
    named = [value for event in seen.log for value in (_data(event).get(key, "") for key in _REQUEST_IDS)]
    sources = (given, messages, *seen.access, *map(str, named), "0" * 16)
    own = " ".join(sources).replace("-", "").lower()
    for event in seen.log:
        data = _data(event)
        if event["message"] in UNTRACED and all(str(data.get(key, "")) in own for key in _TRACE_IDS):
            data = {key: value for key, value in data.items() if key not in _TRACE_IDS}
        if event["message"] not in NOT_COMPARED:
            yield {**event, "data": data}


def _data(event: Mapping[str, object]) -> dict[str, object]:
    data = event.get("data", {})
    assert isinstance(data, dict)
    return data


def event_line(event: Mapping[str, object], clean: Callable[[str], str]) -> str:
    """A line of the process log without its time; of durations it is left whether they are zero."""
    told = {
        key: _duration(value) if key.endswith("-time") or key == "took" else value
        for key, value in _data(event).items()
    }
    # Go writes a whole number without a fraction.
    line = clean(re.sub(r"(?<=\d)\.0(?=[,}])", "", json.dumps(told, sort_keys=True)))
    source = str(event.get("source", "")).removeprefix("gorouter.stdout").removeprefix(".")
    return f"{event['log_level']} {event['message']} {line} ({source})"


def _duration(value: object) -> object:
    return "<s>" if isinstance(value, int | float) and value != 0 else value


def outcome(aspects: Aspects) -> str:
    """How a case ended, in short: statuses that the client got and its end, requests at backends, statuses logged."""
    statuses = [found[1] for line in aspects["client"] if (found := _STATUS.match(line))]
    end = aspects["client"][-1].removeprefix("then ")
    requests = sum(_REQUEST.match(line) is not None for line in aspects["backend"])
    logged = [found[1] for line in aspects["access"] if (found := _LOGGED.search(line))]
    visits = sum(_REQUEST.match(line) is not None for line in aspects["service"])
    sent = f"{requests} sent, {visits} to services" if visits else f"{requests} sent"
    return f"{' '.join([*statuses, end])}; {sent}; logged {' '.join(logged) or 'nothing'}"


def differences(gorouter: Aspects, ours: Aspects) -> list[Difference]:
    """Lines that only one of them has."""
    found: list[Difference] = []
    for aspect, lines in gorouter.items():
        theirs, mine = Counter(lines), Counter(ours[aspect])
        found += [(aspect, "-", line) for line in (theirs - mine).elements()]
        found += [(aspect, "+", line) for line in (mine - theirs).elements()]
    return found
