"""Download and verify published files, once each."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from vprlib.exceptions import InputError
from vprlib.io.download.http import DownloadFailed, RetryPolicy, SafeRedirectSession, Transfer, transfer_file
from vprlib.io.download.partial_file import PartialFile
from vprlib.io.download.progress import DownloadProgress
from vprlib.io.download.record import RECORD, DownloadRecord, RecordEntry
from vprlib.io.download.remote_file import RemoteFile, displayable_url
from vprlib.io.files import file_lock, format_bytes
from vprlib.io.fingerprints import hash_stream

log = logging.getLogger(__name__)


def fetch_file(
    remote: RemoteFile,
    folder: str | os.PathLike[str],
    *,
    recorded: str | os.PathLike[str] | None = None,
    offline: bool = False,
    desc: str | None = None,
    patience: RetryPolicy | None = None,
) -> Path:
    """Download and verify one file, `folder/remote.name`, unless it exists; resume an interrupted download.

    Args:
        remote: the published file.
        folder: folder of the file.
        recorded: JSON record of the verified files, by default `downloads.json` in `folder`. A file whose size and time
            are as recorded is not hashed again. A file without a published checksum must keep its first checksum.
        offline: whether to use no network.
        desc: name of the progress bar; by default the file's name.
        patience: number of tries and timeouts.

    Returns:
        The file's path.

    Raises:
        InputError: the file cannot be downloaded, or is not the published one (it is then kept as
            `name.wrong-<8 digits>`).
    """
    target = Path(folder) / remote.name
    with DownloadProgress(desc or remote.name) as meter:
        record = DownloadRecord(Path(recorded or target.with_name(RECORD)))
        Fetcher(record, meter, offline, patience or RetryPolicy()).provide(remote, target)
    return target


@dataclass(frozen=True)
class Fetcher:
    """Fetcher of published files: it verifies those that exist, and downloads those that are missing.

    Attributes:
        record: record of the verified files.
        meter: progress of the downloads.
        offline: whether to use no network.
        patience: number of tries and timeouts.
    """

    record: DownloadRecord
    meter: DownloadProgress
    offline: bool
    patience: RetryPolicy

    def provide(self, remote: RemoteFile, target: Path) -> RecordEntry:
        """Verify a file if it exists, download it otherwise; return its entry of the record.

        Args:
            remote: the published file.
            target: path of the file.

        Raises:
            InputError: the file cannot be downloaded, or is not the published one.
        """
        known = self.record.entry(target)
        if target.exists():
            return self._verify(remote, target, known)
        if self.offline:
            sources = " or ".join(displayable_url(url, remote.public) for url in remote.urls) or remote.name
            raise InputError(
                f"{target}: is missing, and the network is disabled (offline); download {sources} elsewhere and "
                f"put it there"
            )
        with file_lock(target):
            if target.exists():  # another process has downloaded it meanwhile
                return self._verify(remote, target, self.record.entry(target))
            return self._download(remote, target, known)

    def _verify(self, remote: RemoteFile, target: Path, known: RecordEntry) -> RecordEntry:
        """Verify an existing file, and record it; return its entry of the record.

        The file is not read if its size and time are those of its recorded entry.

        Raises:
            InputError: it is not the published file.
        """
        if not target.is_file():
            raise InputError(f"{target}: is not a regular file; move it away")
        stat = target.stat()
        unchanged = (known.get("bytes"), known.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
        if unchanged and set(remote.algorithms) <= set(known) and not remote.find_mismatch(known, {}):
            return known
        log.info("%s: verifying %s", target, format_bytes(stat.st_size))
        try:
            with target.open("rb") as file:
                hashes = hash_stream(file, remote.algorithms)
        except OSError as error:
            raise InputError(f"{target}: cannot be read ({error.strerror})") from error
        entry: RecordEntry = {"bytes": stat.st_size} | {name: hashed.hexdigest() for name, hashed in hashes.items()}
        if reason := remote.find_mismatch(entry, known):
            kept = _set_aside(target, entry["sha256"])
            raise InputError(
                f"{target}: {reason}; it is kept as {kept} and not used; run it again to fetch the right one"
            )
        entry["url"] = known.get("url") if known.get("sha256") == entry["sha256"] else None
        return self.record.add(target, entry)

    def _download(self, remote: RemoteFile, target: Path, known: RecordEntry) -> RecordEntry:
        """Download a file from the first of its addresses that gives the right one; return its entry of the record.

        Raises:
            InputError: no address gives the right file, or the disk is too small.
        """
        reasons: list[str] = []
        for url in remote.urls:
            with PartialFile(target, remote.algorithms) as part:
                try:
                    self._complete(part, remote, url)
                except DownloadFailed as error:
                    log.warning("%s: %s: %s", remote.name, displayable_url(url, remote.public), error)
                    reasons.append(f"{displayable_url(url, remote.public)}: {error}")
                    continue
                hashes = {name: hashed.hexdigest() for name, hashed in part.hashes.items()}
                entry: RecordEntry = {"bytes": part.bytes} | hashes
                if reason := remote.find_mismatch(entry, known):
                    kept = _wrong_path(target, entry["sha256"])
                    part.become(kept)
                    log.warning("%s: %s: %s; kept as %s", remote.name, displayable_url(url), reason, kept)
                    reasons.append(f"{displayable_url(url)}: {reason}, kept as {kept}")
                    continue
                part.become(target)
            return self.record.add(target, entry | {"url": displayable_url(url)})
        hint = f", or remove its entry from {self.record.path} if the publisher changed it"
        raise InputError(
            f"{target}: cannot be fetched ({'; '.join(reasons)}); fetch it by hand and put it there, and it is "
            f"verified and used{hint if known and not remote.has_checksum else ''}"
        )

    def _complete(self, part: PartialFile, remote: RemoteFile, url: str) -> None:
        """Complete a partial file from one address.

        Raises:
            DownloadFailed: the address does not give the file.
            InputError: the disk is too small.
        """

        def check_room_for(coming: int, whole: int) -> None:
            unpacked = 0 if remote.unpack is None else whole  # at least; unpacking checks again
            check_room(part.target.parent, coming + unpacked, remote.name)

        self.meter.expect(str(part.target), max(0, (remote.size or 0) - part.bytes))
        with SafeRedirectSession() as session:
            transfer = Transfer(
                session,
                url,
                part,
                size=remote.size,
                has_checksum=remote.has_checksum,
                room=check_room_for,
                meter=self.meter,
                patience=self.patience,
            )
            transfer_file(transfer)


def _wrong_path(target: Path, sha256: str) -> Path:
    """Return the path at which a wrong file is kept."""
    return target.with_name(f"{target.name}.wrong-{sha256[:8]}")


def _set_aside(target: Path, sha256: str) -> Path:
    """Rename a wrong file, unless its folder cannot be written; return its path."""
    try:
        return target.rename(_wrong_path(target, sha256))
    except OSError:
        return target


def check_room(folder: Path, needed: int, what: str) -> None:
    """Check that the disk of a folder, which may not exist yet, has enough free bytes.

    Args:
        folder: the folder.
        needed: bytes.
        what: what needs them, for the message.

    Raises:
        InputError: fewer bytes are free.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise InputError(
            f"{folder}: has {format_bytes(free)} free, and {what} needs {format_bytes(needed)}; make room, or link "
            f"it to a larger disk"
        )
