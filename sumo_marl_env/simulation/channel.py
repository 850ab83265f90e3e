"""Messages between an isolated env and its child process."""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

_HEADER = struct.Struct("!I")


class Channel:
    """Messages over a socket. Both ends belong to this package, so they may be pickles.

    Args:
        connection: one end of a socket pair.
        patience_s: how long `receive` and `send` wait for the other side; they then raise BlockingIOError.
    """

    def __init__(self, connection: socket.socket, patience_s: float) -> None:
        self._connection = connection
        self._pending = bytearray()
        self.set_patience(patience_s)

    def set_patience(self, patience_s: float) -> None:
        seconds, fraction = divmod(patience_s, 1.0)
        # By the kernel: a timeout of Python's own would cost another system call per message.
        patience = struct.pack("ll", int(seconds), int(fraction * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._connection.setsockopt(socket.SOL_SOCKET, option, patience)

    def send(self, message: Any) -> None:
        data = pickle.dumps(message, protocol=5)
        self._connection.sendall(_HEADER.pack(len(data)) + data)

    def send_sign_of_life(self) -> None:
        self._connection.sendall(_HEADER.pack(0))

    def receive(self) -> Any:
        """The next message that is not a sign of life.

        Raises:
            EOFError: if the other side closed the channel or died.
            BlockingIOError: if it is silent for too long.
        """
        pending = self._pending
        while True:
            while len(pending) >= _HEADER.size:
                end = _HEADER.size + _HEADER.unpack_from(pending)[0]
                if len(pending) < end:
                    break
                message = bytes(pending[_HEADER.size : end])
                del pending[:end]
                if message:
                    return pickle.loads(message)
            received = self._connection.recv(1 << 16)
            if not received:
                raise EOFError
            pending += received
