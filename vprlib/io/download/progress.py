"""Progress of downloads that run in parallel, and the event that stops them."""

import logging
import threading
import time
from typing import Self

from tqdm import tqdm

from vprlib.io.files import format_bytes

log = logging.getLogger(__name__)


LOG_SECONDS = 30  # between two lines of progress in the log, without a terminal


class DownloadStopped(Exception):
    """The user stopped the downloads; partial files stay."""


class DownloadProgress:
    """Progress of several files: one bar on a terminal, or a log line every LOG_SECONDS without a terminal.

    Attributes:
        desc: name of the bar.
        done: bytes downloaded.
        left: file -> bytes still to download.
        stopped: event that stops the downloads.
    """

    def __init__(self, desc: str) -> None:
        """Start the clock and draw the bar."""
        self.desc, self.done = desc, 0
        self.left: dict[str, int] = {}
        self.started = self.logged = time.monotonic()
        self.stopped, self.lock = threading.Event(), threading.Lock()
        self.bar = tqdm(desc=desc, unit="B", unit_scale=True, disable=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def expect(self, name: str, number: int) -> None:
        """Set the number of bytes of a file that are still to download."""
        with self.lock:
            self.left[name] = number
            self.bar.total = self.done + sum(self.left.values())
            self.bar.refresh()

    def arrived(self, name: str, number: int) -> None:
        """Count downloaded bytes of a file.

        Raises:
            DownloadStopped: the user stopped the downloads.
        """
        if self.stopped.is_set():
            raise DownloadStopped
        with self.lock:
            self.done += number
            self.left[name] = max(0, self.left.get(name, 0) - number)
            self.bar.update(number)
            if self.bar.disable and time.monotonic() - self.logged > LOG_SECONDS:
                self.logged = time.monotonic()
                log.info("%s: %s", self.desc, self)

    def wait(self, seconds: float) -> None:
        """Wait some seconds.

        Raises:
            DownloadStopped: the user stopped the downloads meanwhile.
        """
        if self.stopped.wait(seconds):
            raise DownloadStopped

    def __str__(self) -> str:
        """Return bytes downloaded, total, speed and minutes left, in readable form."""
        speed = self.done / (time.monotonic() - self.started)
        left = sum(self.left.values())
        minutes = f", {left / speed / 60:.0f} minutes left" if speed and left else ""
        return f"{format_bytes(self.done)} of {format_bytes(self.done + left)}, {format_bytes(speed)}/s{minutes}"
