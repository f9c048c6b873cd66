"""Complete a partial file over HTTP: request the bytes that are missing, and retry failures."""

import email.utils
import http.client
import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from vprlib._version import __version__
from vprlib.io.download.archives import find_truncation
from vprlib.io.download.partial_file import PartialFile
from vprlib.io.download.progress import DownloadProgress

log = logging.getLogger(__name__)


CHUNK = 1 << 18  # bytes per read
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP states that may have passed at the next try


class DownloadFailed(Exception):
    """The file cannot be downloaded from an address; the message says why, without the address."""


class TransientFailure(DownloadFailed):
    """The file cannot be downloaded now, but perhaps at the next try, after `wait` seconds at least."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        """Set the reason, and the seconds to wait."""
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class RetryPolicy:
    """Number of tries and timeouts; times are in seconds.

    Attributes:
        tries: tries without a new byte, before the next address is used.
        first: pause between the first two tries; it doubles with each further try.
        longest: longest pause between two tries.
        asked: longest pause that a server may request.
        connect: timeout for a connection.
        read: timeout for the next byte.
    """

    tries: int = 6
    first: float = 1.0
    longest: float = 60.0
    asked: float = 600.0
    connect: float = 20.0
    read: float = 60.0

    def pause(self, failures: int) -> float:
        """Return the seconds before the next try, randomized so that many jobs do not retry at the same time."""
        return min(self.longest, self.first * 2**failures) * random.uniform(0.5, 1)


class SafeRedirectSession(requests.Session):
    """HTTP session that follows redirects, but never from https to http, nor to an address with a password.

    Passwords come from the user's netrc and proxies from the environment, as is requests' default.
    """

    def __init__(self) -> None:
        """Set the headers: the file is requested uncompressed, because the checksums are of the stored bytes."""
        super().__init__()
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": f"vprlib/{__version__}"})

    def get_redirect_target(self, response: requests.Response) -> str | None:
        """Return the address that a response redirects to; None if it does not.

        Raises:
            DownloadFailed: the redirect is unsafe.
        """
        target = super().get_redirect_target(response)
        if target:
            here, there = urlsplit(response.url), urlsplit(urljoin(response.url, target))
            if there.scheme not in ("http", "https") or (here.scheme, there.scheme) == ("https", "http"):
                raise DownloadFailed(f"redirects from {here.scheme} to {there.scheme}, which is refused")
            if there.username or there.password:
                raise DownloadFailed("redirects to an address with a password in it, which is refused")
        return target


@dataclass(frozen=True)
class Transfer:
    """Transfer of one file from one address into its partial file.

    Attributes:
        session: HTTP session.
        url: the address.
        part: the partial file.
        size: published size in bytes, or None.
        has_checksum: whether a published checksum will verify the whole file. Only then is a part resumed for which the
            server sent no version.
        room: called with the number of bytes still to come and that of the whole file, before the first byte; it
            raises if the disk is too small.
        meter: progress of the downloads.
        patience: number of tries and timeouts.
    """

    session: requests.Session
    url: str
    part: PartialFile
    size: int | None
    has_checksum: bool
    room: Callable[[int, int], None]
    meter: DownloadProgress
    patience: RetryPolicy


def transfer_file(transfer: Transfer) -> None:
    """Complete a partial file from one address.

    Dropped connections are resumed. Only tries without a new byte count as failures.

    Raises:
        DownloadFailed: the address does not give the file; the message has the reason.
        InputError: the disk has no room for it.
        DownloadStopped: the user stopped the downloads.
    """
    part, patience = transfer.part, transfer.patience
    failures, furthest = 0, part.bytes
    while True:
        try:
            return _attempt(transfer)
        except TransientFailure as error:
            # A server without ranges starts again from byte 0, so only bytes beyond the furthest one are an advance.
            failures = 0 if part.bytes > furthest else failures + 1
            furthest = max(furthest, part.bytes)
            if failures >= patience.tries:
                raise DownloadFailed(f"{error} ({failures} tries)") from error
            if error.wait > patience.asked:
                raise DownloadFailed(f"{error}; the server requests a pause of {error.wait:.0f} s") from error
            wait = max(error.wait, patience.pause(failures))
            log.warning("%s: %s; again in %.1f s, after byte %d", part.target.name, error, wait, part.bytes)
            transfer.meter.wait(wait)


def _attempt(transfer: Transfer) -> None:
    """Complete a partial file with one request; see `transfer_file`.

    Raises:
        TransientFailure: another try may succeed.
        DownloadFailed: no other try can succeed.
    """
    part, size, patience = transfer.part, transfer.size, transfer.patience
    if part.bytes and not (part.validator or transfer.has_checksum):
        part.restart({})
    headers = {}
    if part.bytes:
        headers["Range"] = f"bytes={part.bytes}-"
        if part.validator:
            headers["If-Range"] = part.validator
    timeout = (patience.connect, patience.read)
    try:
        with transfer.session.get(transfer.url, headers=headers, stream=True, timeout=timeout) as response:
            total = _prepare_part(response, part, size)
            if response.status_code == 416:
                return
            if total is not None:
                transfer.room(total - part.bytes, total)
                transfer.meter.expect(str(part.target), total - part.bytes)
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                part.write(chunk)
                transfer.meter.arrived(str(part.target), len(chunk))
                if size is not None and part.bytes > size:
                    raise DownloadFailed(f"is longer than the published {size} bytes")
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _failure_of(error, patience) from error
    if total is not None and part.bytes < total:  # a proxy may shorten a range
        raise TransientFailure(f"only bytes up to {part.bytes} of {total} were sent")
    if total is None and size is None and not transfer.has_checksum and (reason := find_truncation(part.path)):
        raise TransientFailure(f"the server sends no length, and the file received is no whole archive ({reason})")


def _prepare_part(response: requests.Response, part: PartialFile, size: int | None) -> int | None:
    """Prepare a partial file for the body of a response: keep its bytes if the server continues them, or restart it.

    Args:
        response: response to a request for the rest of the file.
        part: the partial file.
        size: published size in bytes, or None.

    Returns:
        Bytes of the whole file; None if the server sends no length.

    Raises:
        TransientFailure: the server is busy, or its file is another version than the part's.
        DownloadFailed: the server does not send the file, or one of another size.
    """
    status = response.status_code
    if status in PASSING:
        raise TransientFailure(f"{status} {response.reason}", _retry_after(response.headers.get("Retry-After")))
    if status not in (200, 206, 416):
        raise DownloadFailed(f"{status} {response.reason}")
    return _restart_part(response, part, size) if status == 200 else _continue_part(response, part, size)


def _restart_part(response: requests.Response, part: PartialFile, size: int | None) -> int | None:
    """Restart a partial file for a response with the whole file (status 200); see `_prepare_part`."""
    headers = response.headers
    kind = headers.get("Content-Type", "")
    if kind.startswith("text/html") and part.target.suffix not in (".html", ".htm"):
        raise DownloadFailed("sends a web page instead of the file, as for a login or a confirmation")
    length = headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() and "Transfer-Encoding" not in headers else None
    _expect_size(total, size)
    part.restart(_version_of(response))
    return total


def _continue_part(response: requests.Response, part: PartialFile, size: int | None) -> int | None:
    """Check that a response with a range (206), or without one (416), continues a partial file; see `_prepare_part`."""
    status, headers = response.status_code, response.headers
    content_range = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", ""))
    start = int(content_range[1]) if content_range and content_range[1] else None
    total = int(content_range[2]) if content_range and content_range[2] != "*" else None
    _expect_size(total, size)
    # Some servers send a range even if the version in If-Range is outdated.
    same = all(part.version.get(key, value) == value for key, value in _version_of(response).items())
    if not same or not part.bytes or (status == 206 and start != part.bytes) or (status == 416 and total != part.bytes):
        part.restart({})
        raise TransientFailure("the server's file has changed since the download began; it is fetched from its start")
    return total


def _version_of(response: requests.Response) -> dict[str, str]:
    """Return the version of the server's file, as `PartialFile.version`."""
    validators = (("etag", response.headers.get("ETag")), ("modified", response.headers.get("Last-Modified")))
    return {key: value for key, value in validators if value}


def _expect_size(total: int | None, size: int | None) -> None:
    """Compare the server's size with the published one, if both are known.

    Raises:
        DownloadFailed: they differ.
    """
    if None not in (total, size) and total != size:
        raise DownloadFailed(f"is {total} bytes long, not the published {size}")


def _retry_after(value: str | None) -> float:
    """Return the seconds of a Retry-After header, which is a number or a date; 0 if it is missing or invalid."""
    if not value:
        return 0.0
    try:
        return float(value) if value.isdecimal() else email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0


def _failure_of(error: Exception, patience: RetryPolicy) -> DownloadFailed:
    """Return a one-line error for a failed request; the library's own would show the address with its query."""
    chain: list[BaseException] = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) and deeper not in chain:
        chain.append(deeper)
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return DownloadFailed("its certificate cannot be trusted")
    if isinstance(error, requests.TooManyRedirects):
        return DownloadFailed("redirects endlessly")
    if isinstance(error, ValueError):  # raised by requests for an invalid address
        return DownloadFailed("is no address of a file")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        limit = patience.connect if isinstance(error, requests.ConnectTimeout) else patience.read
        return TransientFailure(f"no response within {limit:g} s")
    if any(isinstance(e, http.client.IncompleteRead) for e in chain):
        return TransientFailure("the connection ended early")
    system = [e.strerror for e in chain if isinstance(e, OSError) and e.strerror]
    return TransientFailure(f"the connection failed ({system[-1] if system else type(chain[-1]).__name__})")
