"""Model keys on their way from the submitter to the driver of a job, readable by that driver alone.

Ray's own way (`env_vars` of a runtime environment) shows values to everybody who can open the dashboard, and writes
them into `runtime_env_agent.log` on each node. So the driver makes a key pair and prints the public half, the submitter
answers with a box that only the private half opens, and that half is never anywhere but in the driver's memory.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ANNOUNCEMENT = "reled waits for keys at "
"""Begins the one line of the log that the submitter answers."""
SEALED = "sealed"
"""Name of the metadata that hold the box."""

_PUBLIC_BYTES = 32
_NONCE = bytes(12)  # may stay the same, because every box has a key of its own


class Receiver:
    """The end that opens one box.

    Attributes:
        address: what a sender needs; no secret.
    """

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()
        self.address = base64.b64encode(self._private.public_key().public_bytes_raw()).decode()

    def open(self, box: str) -> dict[str, str]:
        """What was sealed for this receiver.

        Raises:
            ValueError: if the box was damaged or sealed for somebody else.
        """
        content = base64.b64decode(box)
        sender, sealed = content[:_PUBLIC_BYTES], content[_PUBLIC_BYTES:]
        shared = self._private.exchange(X25519PublicKey.from_public_bytes(sender))
        try:
            return json.loads(ChaCha20Poly1305(_derived(shared, sender)).decrypt(_NONCE, sealed, None))
        except InvalidTag:
            raise ValueError("the box was sealed for another receiver") from None


def seal(values: Mapping[str, str], address: str) -> str:
    """A box that only the receiver at `address` can open."""
    own = X25519PrivateKey.generate()
    sender = own.public_key().public_bytes_raw()
    shared = own.exchange(X25519PublicKey.from_public_bytes(base64.b64decode(address)))
    sealed = ChaCha20Poly1305(_derived(shared, sender)).encrypt(_NONCE, json.dumps(dict(values)).encode(), None)
    return base64.b64encode(sender + sealed).decode()


def _derived(shared: bytes, sender: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=b"reled submit" + sender).derive(shared)
