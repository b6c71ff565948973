"""The signature of route services as spec 5.9 describes it, written a second time from other parts of the library."""

import base64
import json
import os
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC


def key_of(secret: str) -> bytes:
    return PBKDF2HMAC(hashes.SHA256(), length=16, salt=b"", iterations=100_001).derive(secret.encode())


def seal(key: bytes, contents: bytes, *, nonce: bytes | None = None) -> tuple[bytes, bytes]:
    """Signature and metadata of any plain text."""
    nonce = os.urandom(12) if nonce is None else nonce
    encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    sealed = encryptor.update(contents) + encryptor.finalize() + encryptor.tag
    metadata = json.dumps({"nonce": base64.b64encode(nonce).decode()}, separators=(",", ":"))
    return base64.urlsafe_b64encode(sealed), base64.urlsafe_b64encode(metadata.encode())


def sign(key: bytes, forwarded_url: str, *, at: datetime | None = None) -> tuple[bytes, bytes]:
    at = at or datetime.now(UTC)
    contents = json.dumps({"forwarded_url": forwarded_url, "requested_time": at.isoformat()})
    return seal(key, contents.encode())


def unseal(key: bytes, signature: bytes, metadata: bytes) -> dict[str, str]:
    """The content of a signature. Raises some exception for anything else."""
    nonce = base64.b64decode(json.loads(base64.urlsafe_b64decode(metadata))["nonce"], validate=True)
    sealed = base64.urlsafe_b64decode(signature)
    decryptor = Cipher(algorithms.AES(key), modes.GCM(nonce, sealed[-16:])).decryptor()
    contents: dict[str, str] = json.loads(decryptor.update(sealed[:-16]) + decryptor.finalize())
    return contents
