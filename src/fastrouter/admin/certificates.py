"""`/v1/certificates`: every certificate that the router shows or trusts, and how long it is valid."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from aiohttp import web
from cryptography import x509

from fastrouter.admin.control_link import ControlLink
from fastrouter.admin.endpoint import Endpoint
from fastrouter.ipc.admin_messages import AskCertificates, CertificateSource
from fastrouter.logs.error_text import error_text

# Seconds that certificates are taken as they were: a dashboard asks every second or so.
_REMEMBERED = 10.0
_DAY = 86400.0


class Certificate(msgspec.Struct, frozen=True):
    """One certificate: `use` is the key of the configuration that has it. `error` says why the rest is empty."""

    use: str
    subject: str = ""
    issuer: str = ""
    names: list[str] = []
    serial_number: str = ""
    not_before: str = ""
    not_after: str = ""
    days_left: float | None = None
    error: str = ""


class CertificateList(msgspec.Struct, frozen=True):
    """All certificates, the one that expires first first."""

    certificates: list[Certificate]


class NextExpiry(msgspec.Struct, frozen=True):
    """The certificate that expires first."""

    use: str
    subject: str
    not_after: str
    days_left: float


class Certificates:
    """Reads what the control process says that it uses."""

    def __init__(self, control: ControlLink) -> None:
        self._control = control
        self._read_at = -_REMEMBERED
        self._certificates: list[Certificate] = []
        self._reading = asyncio.Lock()

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the API."""
        return [
            Endpoint("GET", "/v1/certificates", "read", self._list, "Certificates and their ends.", CertificateList)
        ]

    async def next_expiry(self) -> NextExpiry | None:
        """Return what expires first, if there are certificates."""
        for one in await self._all():
            if one.days_left is not None:
                return NextExpiry(one.use, one.subject, one.not_after, one.days_left)
        return None

    async def _list(self, request: web.Request) -> CertificateList:
        del request
        return CertificateList(await self._all())

    async def _all(self) -> list[Certificate]:
        async with self._reading:
            if time.monotonic() - self._read_at >= _REMEMBERED:
                sources = await self._control.ask(AskCertificates(), tuple[CertificateSource, ...])
                # In a thread: bundles have hundreds, and a disk may hang.
                self._certificates = await asyncio.to_thread(_read_all, sources)
                self._read_at = time.monotonic()
            return self._certificates


def _read_all(sources: tuple[CertificateSource, ...]) -> list[Certificate]:
    certificates = [certificate for source in sources for certificate in _read(source)]
    return sorted(
        certificates, key=lambda one: (one.days_left if one.days_left is not None else float("-inf"), one.use)
    )


def _read(source: CertificateSource) -> Iterator[Certificate]:
    try:
        pem = Path(source.path).read_bytes() if source.path else source.pem.encode()
        certificates = x509.load_pem_x509_certificates(pem)
    except (OSError, ValueError) as error:
        yield Certificate(source.use, error=error_text(error))
        return
    for certificate in certificates:
        yield _describe(source.use, certificate)


def _describe(use: str, certificate: x509.Certificate) -> Certificate:
    end = certificate.not_valid_after_utc
    return Certificate(
        use=use,
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=_names(certificate),
        serial_number=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc.isoformat(),
        not_after=end.isoformat(),
        days_left=round((end - datetime.now(UTC)).total_seconds() / _DAY, 2),
    )


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(name.value) for name in extension.value]
