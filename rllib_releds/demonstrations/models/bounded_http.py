"""An HTTP client whose answers end: one that went on for ever would fill the memory of whoever trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MAX_ANSWER_BYTES = 16_000_000
"""A hundred times what is read of a reply."""


def bounded_client(verify: Any) -> Any:
    """An `httpx.Client` that breaks off answers of more than `MAX_ANSWER_BYTES`, with `httpx.ReadError`.

    Args:
        verify: which certificates to trust, as of `httpx.Client`.
    """
    import httpx

    class Bounded(httpx.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            received = 0
            for part in self._stream:
                received += len(part)
                if received > MAX_ANSWER_BYTES:
                    raise httpx.ReadError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
                yield part

        def close(self) -> None:
            self._stream.close()

    def bound(response: httpx.Response) -> None:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            # Unpacked, a small answer may be of any length.
            raise httpx.ReadError(f"the answer is compressed ({encoding}), which nobody asked for")
        response.stream = Bounded(response.stream)

    return httpx.Client(
        verify=verify,
        follow_redirects=True,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [bound]},
    )
