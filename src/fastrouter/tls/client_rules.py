"""Which certificates a client CA may vouch for (spec 8.6)."""

import ssl
from collections.abc import Callable, Sequence

from cryptography import x509

from fastrouter.config.certificates import distinguished_name
from fastrouter.ipc.messages import ClientRule
from fastrouter.tls.verified_chain import verified_chain


class ClientRules:
    """Checks the verified chains of clients against the rules.

    `on_refused` is called with the subject of a client that is refused.
    """

    def __init__(self, rules: Sequence[ClientRule], on_refused: Callable[[str], object]) -> None:
        self._rules = rules
        self._on_refused = on_refused

    def allows(self, connection: ssl.SSLObject) -> bool:
        """Return whether the rules allow the client of `connection`, whose handshake is complete.

        Every rule for a CA of the client's chain must allow the subject of the first certificate that is no CA's.
        """
        chain = [x509.load_der_x509_certificate(certificate) for certificate in verified_chain(connection)]
        if not chain:
            # There is no certificate, or the session is resumed. Its chain was checked when the ticket was issued, by
            # the same rules, because they are part of the ticket's keys (`server.py`).
            return True
        authorities = {str(distinguished_name(entry.subject)) for entry in chain if _is_authority(entry)}
        leaf = next((str(distinguished_name(entry.subject)) for entry in chain if not _is_authority(entry)), "")
        if all(leaf in rule.subjects for rule in self._rules if rule.issuer in authorities):
            return True
        self._on_refused(leaf)
        return False


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
