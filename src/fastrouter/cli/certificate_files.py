"""The certificate of `fastrouter run`: two files, which SIGHUP has read again."""

from fastrouter.control.options import Reread, RereadError
from fastrouter.ipc.messages import Identity, ServerTLS
from fastrouter.logs.error_text import error_text


class CertificateFileError(ValueError):
    """A file that cannot be read, or that is no certificate or key; `option` names it."""

    def __init__(self, text: str, option: str) -> None:
        super().__init__(text)
        self.option = option


def read_front_tls(cert_path: str, key_path: str) -> ServerTLS:
    """Return the TLS of the listener for clients. Raises CertificateFileError."""
    from fastrouter.config.certificates import KeyPairError, check_key_pair, identity_of  # noqa: PLC0415 80 ms

    chain, key = _read(cert_path, "--tls-cert"), _read(key_path, "--tls-key")
    try:
        check_key_pair(chain, key)
    except KeyPairError as error:
        path, option = (cert_path, "--tls-cert") if error.is_certificate else (key_path, "--tls-key")
        raise CertificateFileError(f"{path}: {error}", option) from error
    try:
        identity = Identity(*identity_of(chain), chain, key)
    except ValueError as error:
        raise CertificateFileError(f"{cert_path}: x509: malformed certificate", "--tls-cert") from error
    return ServerTLS((identity,), protocols=("h2", "http/1.1"))


def reread_front_tls(cert_path: str, key_path: str) -> Reread:
    """Do what `read_front_tls` does for a running router. Raises RereadError."""
    try:
        return Reread(read_front_tls(cert_path, key_path), ())
    except CertificateFileError as error:
        raise RereadError([{"error": str(error), "key": error.option}]) from error


def _read(path: str, option: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise CertificateFileError(error_text(error), option) from error
