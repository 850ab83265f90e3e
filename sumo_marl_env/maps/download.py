"""One polite HTTP request: a timeout, a size limit, and retries when the server is busy."""

from __future__ import annotations

import email.utils
import http.client
import ssl
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from sumo_marl_env.errors import FetchError

BUSY = (429, 500, 502, 503, 504)
"""Status codes after which the same request may succeed later."""

_CHUNK = 1 << 16


class Busy(Exception):
    """The same request may succeed after a while.

    Args:
        reason: what went wrong, for the error if it keeps going wrong.
        wait_s: how long the server asks to wait, if it says so.
    """

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Downloader:
    """How to ask a server.

    Attributes:
        timeout_s: longest silence, and longest download altogether.
        attempts: number of requests before giving up on a busy server.
        backoff_s: first wait between two requests where the server names none; each further one is twice as long.
        longest_wait_s: give up if the server asks to wait longer.
        max_bytes: refuse a larger answer.
        option: with which the user names another server.
        sleep: waits the given seconds.
        tell: gets one line about each wait.
    """

    timeout_s: float = 180.0
    attempts: int = 5
    backoff_s: float = 5.0
    longest_wait_s: float = 300.0
    max_bytes: int = 256 * 2**20
    option: str = "--server"
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    tell: Callable[[str], None] = field(default=lambda line: None, repr=False)

    def __post_init__(self) -> None:
        # Sockets accept no longer timeout.
        if self.attempts < 1 or not 0 < self.timeout_s <= threading.TIMEOUT_MAX:
            raise FetchError(
                "a download needs at least one attempt and a positive timeout of no more than "
                f"{threading.TIMEOUT_MAX:.0f} s, not {self.attempts} attempts and {self.timeout_s} s"
            )

    def get(self, url: str, data: bytes | None = None, check: Callable[[bytes], None] = lambda body: None) -> bytes:
        """The body of the answer.

        Args:
            url: http or https.
            data: sent as a form by POST; None asks by GET.
            check: looks at a complete body; raises `Busy` to ask again, or `FetchError`.

        Raises:
            FetchError: if the server cannot be reached, refuses, is busy after all attempts, answers too much, or the
                check fails. Names the server and the remedy.
        """
        if not _is_web_address(url):
            raise FetchError(f"{url!r} is not a server; give a web address that begins with https:// or http://")
        wait_s = self.backoff_s
        for attempt in range(1, self.attempts + 1):
            try:
                body = self._once(url, data)
                check(body)
                return body
            except Busy as busy:
                if attempt == self.attempts:
                    words = f"did not deliver in {attempt} attempts: {busy}. Try again later, or another {self.option}."
                    raise FetchError(f"{url} {words}") from busy
                pause_s = min(wait_s, self.longest_wait_s) if busy.wait_s is None else busy.wait_s
                if pause_s > self.longest_wait_s:
                    raise FetchError(
                        f"{url} asks to wait {pause_s:.0f} s: {busy}. Try again after that, or another {self.option}."
                    ) from busy
                self.tell(f"{busy}; asking again in {pause_s:.0f} s")
                self.sleep(pause_s)
                wait_s *= 2
        raise AssertionError("the last attempt returns or raises")

    def _once(self, url: str, data: bytes | None) -> bytes:
        request = urllib.request.Request(url, data, _headers())
        end_s = time.monotonic() + self.timeout_s
        try:
            with _opener().open(request, timeout=self.timeout_s) as answer:
                return self._read(answer, end_s)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(url, error, self.option) from error
        # ValueError: a redirect to what is no address.
        except (TimeoutError, http.client.HTTPException, ConnectionError, zlib.error, ValueError) as error:
            raise _interruption(url, error, self) from error
        except urllib.error.URLError as error:
            raise _interruption(url, error.reason, self) from error

    def _read(self, answer: Any, end_s: float) -> bytes:
        """The whole body, unpacked; checks the size and the clock as it comes in."""
        unpack = zlib.decompressobj(wbits=31) if answer.headers.get("Content-Encoding") == "gzip" else None
        body = bytearray()
        # read1 returns what has arrived, so that a server that sends a byte at a time runs into the timeout too.
        while chunk := answer.read1(_CHUNK):
            body += unpack.decompress(chunk, self.max_bytes) if unpack else chunk
            if len(body) > self.max_bytes or (unpack and unpack.unconsumed_tail):
                raise FetchError(f"{answer.url} sends more than {self.max_bytes} bytes. Ask for a smaller area.")
            if time.monotonic() > end_s:
                raise TimeoutError
        # read1 ends quietly where the connection does.
        if answer.length or (unpack and not unpack.eof):
            raise http.client.IncompleteRead(bytes(body), answer.length)
        return bytes(body)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        # Half of a pair of brackets.
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would turn a redirected POST into a GET without the query."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirects)


def _headers() -> Mapping[str, str]:
    # Not at the top, because the package may itself import this module. And from here, not from the installed metadata,
    # so that it also works in a checkout.
    from sumo_marl_env import __version__

    # The public servers ask programs to say who they are, and refuse those that pose as a library or a browser.
    return {
        "User-Agent": f"sumo-marl/{__version__} (routing networks for SUMO)",
        "Accept-Encoding": "gzip",
    }


def _refusal(url: str, error: urllib.error.HTTPError, option: str) -> Exception:
    status = f"it answered {error.code} {error.reason}"
    if error.code in BUSY:
        return Busy(status, _retry_after_s(error.headers.get("Retry-After")))
    if 300 <= error.code < 400:
        location = error.headers.get("Location")
        remedy = f"Give {option} {urljoin(url, location)}." if location else f"Give another {option}."
        return FetchError(f"{url} has moved: {status}. {remedy}")
    return FetchError(f"{url} refuses: {status}. Check {option}, or try another one.")


def _retry_after_s(header: str | None) -> float | None:
    """Seconds from now; the header has either seconds or a date. None if it says nothing of use."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def _interruption(url: str, reason: object, downloader: Downloader) -> Exception:
    if isinstance(reason, TimeoutError):
        return Busy(f"it took longer than {downloader.timeout_s:g} s")
    if isinstance(reason, http.client.IncompleteRead | zlib.error):
        return Busy("its answer broke off")
    if isinstance(reason, ssl.SSLError):
        return FetchError(f"{url}: no secure connection ({reason}). Check the clock, or your proxy and certificates.")
    is_dead_end = isinstance(reason, ConnectionRefusedError | http.client.InvalidURL)
    if not is_dead_end and isinstance(reason, http.client.HTTPException | ConnectionError):
        return Busy(f"the connection broke ({reason})")
    return FetchError(f"{url} cannot be reached ({reason}). Check the network, your proxy, and {downloader.option}.")
