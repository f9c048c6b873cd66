"""Download, verify and unpack published files once, and write a manifest of them.

`RemoteFile` is plain data and cheap to import. The modules that use the network are imported when they are needed.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vprlib.exceptions import InputError
from vprlib.io.download.partial_file import partial_bytes
from vprlib.io.files import file_lock, format_bytes, write_json
from vprlib.io.fingerprints import hash_stream

if TYPE_CHECKING:
    from vprlib.io.download.http import RetryPolicy
    from vprlib.io.download.progress import DownloadProgress

log = logging.getLogger(__name__)


RECORD = "downloads.json"  # file beside the data: sizes, times and checksums of the verified files
RecordEntry = dict[str, Any]  # of a verified file in the record: bytes, mtime_ns, sha256, md5 if published, url


@dataclass(frozen=True)
class RemoteFile:
    """Declaration of a published file: its addresses and checksums, and its place on disk.

    Attributes:
        name: name of the downloaded file.
        urls: addresses of the same bytes, tried in this order.
        sha256: published checksum, in hexadecimal.
        md5: published checksum, in hexadecimal.
        size: published size in bytes.
        unpack: folder, relative to the root, that an archive is unpacked into ("" is the root); None does not unpack.
        into: folder, relative to the root, of the file itself.
        public: whether the queries of the addresses hold no secret, so that messages may show them.
        unpacked: bytes that an archive unpacks to at most; None means the default of `vprlib.io.download.unpack`.

    Raises:
        InputError: a name or folder leads out of the root, an address is invalid or has a password in it, or a
            checksum is invalid.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None
    unpack: str | None = None
    into: str = ""
    public: bool = False
    unpacked: int | None = None

    def __post_init__(self) -> None:
        if not self.name or self.name in (".", "..") or {"/", "\\"} & set(self.name):
            raise InputError(f"{self.name!r} is no name of a downloaded file; give it without folders")
        for folder in (self.into, self.unpack or ""):
            if PurePosixPath(folder).is_absolute() or ".." in PurePosixPath(folder).parts:
                raise InputError(f"{self.name}: folder {folder!r} leads out of the dataset's folder")
        for url in self.urls:
            parts = urlsplit(url)
            if parts.username or parts.password:
                raise InputError(
                    f"{displayable_url(url)}: has a password in it; put that into ~/.netrc and the address without it"
                )
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise InputError(f"{displayable_url(url)}: is no http or https address")
        for algorithm, digits in (("sha256", 64), ("md5", 32)):
            value = getattr(self, algorithm)
            if value is not None and not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value):
                raise InputError(f"{self.name}: {algorithm} {value!r} is not {digits} hexadecimal digits")


def displayable_url(url: str, public: bool = False) -> str:
    """Return an address without query, fragment, user and password, which may be secret.

    Args:
        url: the address.
        public: whether nothing in it is secret; it is then returned unchanged.

    >>> displayable_url("https://me:secret@example.org/a.zip?key=1")
    'https://example.org/a.zip'
    """
    if public:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


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
    from vprlib.io.download.progress import DownloadProgress

    target = Path(folder) / remote.name
    with DownloadProgress(desc or remote.name) as meter:
        _provide_file(remote, target, Path(recorded or target.with_name(RECORD)), offline, meter, patience)
    return target


def download_dataset(
    out: str | os.PathLike[str],
    *,
    remotes: Iterable[RemoteFile],
    root: str | os.PathLike[str],
    offline: bool = False,
    at_once: int = 4,
    patience: RetryPolicy | None = None,
) -> None:
    """Download a dataset's published files to `root`, unpack archives, and then write the manifest `out`.

    An archive may be removed after it is unpacked, as long as its files stay. The failure of one file does not stop the
    others; a later call uses what they downloaded.

    Args:
        out: JSON manifest without time stamps. For each file it has the address (without query; null if the user put
            the file there), bytes, sha256 and, for an archive, the folder, number and bytes of its files.
        remotes: the published files.
        root: the dataset's folder. `downloads.json` in it records the verified files, `<archive>.files.json` the
            unpacked ones.
        offline: whether to use no network; a missing file is then an error.
        at_once: number of files downloaded in parallel.
        patience: number of tries and timeouts.

    Raises:
        InputError: some files cannot be downloaded or used; the message names all of them.
    """
    from vprlib.io.download.progress import DownloadProgress

    root, remotes = Path(root), list(remotes)
    targets = [root / remote.into / remote.name for remote in remotes]
    if len(set(targets)) < len(targets):
        raise InputError(f"{next(target for target in targets if targets.count(target) > 1)}: is declared twice")
    if not offline:
        needed = [
            remote.size * (1 if remote.unpack is None else 2) - partial_bytes(target)
            for remote, target in zip(remotes, targets, strict=True)
            if remote.size and not target.exists()
        ]
        _check_room(root, sum(needed), "the files")
    with DownloadProgress(f"download {root.name}") as meter, ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(_provide_unpacked, remote, root, offline, meter, patience) for remote in remotes]
        try:
            wait(jobs)
        except BaseException:
            meter.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    errors = [error for job in jobs if (error := job.exception())]
    for error in errors:
        if not isinstance(error, InputError):
            raise error
    if errors:
        raise InputError("; also: ".join(map(str, errors)))
    entries = {str(PurePosixPath(r.into, r.name)): job.result() for r, job in zip(remotes, jobs, strict=True)}
    write_json(out, {"files": entries})


def _provide_unpacked(
    remote: RemoteFile, root: Path, offline: bool, meter: DownloadProgress, patience: RetryPolicy | None
) -> dict[str, Any]:
    """Provide one file of a dataset, unpacked if it is an archive; return its entry of the manifest."""
    target, record = root / remote.into / remote.name, root / RECORD
    listing = target.with_name(f"{target.name}.files.json")
    entry = None if target.exists() else _entry_of_removed_archive(remote, root, target, record, listing)
    entry = entry or _provide_file(remote, target, record, offline, meter, patience)
    result = {name: entry[name] for name in ("url", "bytes", "sha256")}
    if remote.unpack is None:
        return result
    folder = root / remote.unpack
    sizes = _unpacked_files(listing, entry["sha256"], folder)
    if sizes is None:
        sizes = _unpack(remote, target, folder, record)
        write_json(listing, {"sha256": entry["sha256"], "files": sizes})
    return result | {"unpacked": {"folder": remote.unpack, "files": len(sizes), "bytes": sum(sizes.values())}}


def _unpack(remote: RemoteFile, target: Path, folder: Path, record: Path) -> dict[str, int]:
    """Unpack an archive; return path -> bytes of its files.

    Raises:
        InputError: the archive is bad. Without a published checksum, its entry is then removed from the record, so that
            another file may replace it.
    """
    from vprlib.io.download.unpack import unpack_archive

    try:
        return unpack_archive(target, folder, limit=remote.unpacked)
    except InputError as error:
        if remote.sha256 or remote.md5:
            raise
        with file_lock(record, wait=True):
            entries = _read_record(record)
            entries.pop(_record_key(target, record), None)
            write_json(record, {"files": entries})
        raise InputError(f"{error}; if the file is bad, remove it, and it is fetched again") from error


def _entry_of_removed_archive(
    remote: RemoteFile, root: Path, target: Path, record: Path, listing: Path
) -> RecordEntry | None:
    """Return the recorded entry of an archive that was removed after unpacking; None if not all of its files exist."""
    entry = _read_record(record).get(_record_key(target, record))
    if remote.unpack is None or not entry or _find_mismatch(remote, entry, {}):
        return None
    return entry if _unpacked_files(listing, entry["sha256"], root / remote.unpack) is not None else None


def _unpacked_files(listing: Path, sha256: str, folder: Path) -> dict[str, int] | None:
    """Return path -> bytes of the files unpacked from the archive of this checksum; None if one is missing or changed.

    A file counts as unchanged if its size is the same.
    """
    unpacked = _read_json(listing)
    if unpacked.get("sha256") != sha256:
        return None
    try:
        complete = all((folder / path).stat().st_size == size for path, size in unpacked["files"].items())
    except OSError:
        return None
    return unpacked["files"] if complete else None


def _provide_file(
    remote: RemoteFile,
    target: Path,
    record: Path,
    offline: bool,
    meter: DownloadProgress,
    patience: RetryPolicy | None,
) -> RecordEntry:
    """Verify the file if it exists, download it otherwise; return its entry of the record.

    Raises:
        InputError: the file cannot be downloaded, or is not the published one.
    """
    known = _read_record(record).get(_record_key(target, record), {})
    if target.exists():
        return _verify(remote, target, record, known)
    if offline:
        raise InputError(
            f"{target}: is missing, and the network is disabled (offline); download {_sources(remote)} elsewhere and "
            f"put it there"
        )
    with file_lock(target):
        if target.exists():  # another process has downloaded it meanwhile
            return _verify(remote, target, record, _read_record(record).get(_record_key(target, record), {}))
        return _fetch(remote, target, record, known, meter, patience)


def _verify(remote: RemoteFile, target: Path, record: Path, known: RecordEntry) -> RecordEntry:
    """Verify an existing file, and record it; return its entry of the record.

    The file is not read if its size and time are those of its recorded entry.

    Raises:
        InputError: it is not the published file.
    """
    if not target.is_file():
        raise InputError(f"{target}: is no file; move it away")
    algorithms = ["sha256", *(["md5"] if remote.md5 else [])]
    stat = target.stat()
    unchanged = (known.get("bytes"), known.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
    if unchanged and set(algorithms) <= set(known) and not _find_mismatch(remote, known, {}):
        return known
    log.info("%s: verifying %s", target, format_bytes(stat.st_size))
    try:
        with target.open("rb") as file:
            hashes = hash_stream(file, algorithms)
    except OSError as error:
        raise InputError(f"{target}: cannot be read ({error.strerror})") from error
    entry: RecordEntry = {"bytes": stat.st_size} | {name: hashed.hexdigest() for name, hashed in hashes.items()}
    if reason := _find_mismatch(remote, entry, known):
        kept = _set_aside(target, entry["sha256"])
        raise InputError(f"{target}: {reason}; it is kept as {kept} and not used; run it again to fetch the right one")
    entry["url"] = known.get("url") if known.get("sha256") == entry["sha256"] else None
    return _add_to_record(record, target, entry)


def _fetch(
    remote: RemoteFile,
    target: Path,
    record: Path,
    known: RecordEntry,
    meter: DownloadProgress,
    patience: RetryPolicy | None,
) -> RecordEntry:
    """Download a file from the first of its addresses that gives the right one; return its entry of the record.

    Raises:
        InputError: no address gives the right file, or the disk is too small.
    """
    from vprlib.io.download.http import DownloadFailed, RetryPolicy, SafeRedirectSession, Transfer, transfer_file
    from vprlib.io.download.partial_file import PartialFile

    def check_room(coming: int, whole: int) -> None:
        unpacked = 0 if remote.unpack is None else whole  # at least; unpacking checks again
        _check_room(target.parent, coming + unpacked, target.name)

    has_checksum = bool(remote.sha256 or remote.md5)
    reasons = []
    for url in remote.urls:
        with (
            SafeRedirectSession() as session,
            PartialFile(target, ["sha256", *(["md5"] if remote.md5 else [])]) as part,
        ):
            meter.expect(str(target), max(0, (remote.size or 0) - part.bytes))
            transfer = Transfer(
                session,
                url,
                part,
                size=remote.size,
                has_checksum=has_checksum,
                room=check_room,
                meter=meter,
                patience=patience or RetryPolicy(),
            )
            try:
                transfer_file(transfer)
            except DownloadFailed as error:
                log.warning("%s: %s: %s", remote.name, displayable_url(url, remote.public), error)
                reasons.append(f"{displayable_url(url, remote.public)}: {error}")
                continue
            entry: RecordEntry = {"bytes": part.bytes} | {
                name: hashed.hexdigest() for name, hashed in part.hashes.items()
            }
            if reason := _find_mismatch(remote, entry, known):
                kept = _wrong_path(target, entry["sha256"])
                part.become(kept)
                log.warning("%s: %s: %s; kept as %s", remote.name, displayable_url(url), reason, kept)
                reasons.append(f"{displayable_url(url)}: {reason}, kept as {kept}")
                continue
            part.become(target)
        return _add_to_record(record, target, entry | {"url": displayable_url(url)})
    hint = f", or remove its entry from {record} if the publisher changed it" if known and not has_checksum else ""
    raise InputError(
        f"{target}: cannot be fetched ({'; '.join(reasons)}); fetch it by hand and put it there, and it is verified "
        f"and used{hint}"
    )


def _find_mismatch(remote: RemoteFile, entry: RecordEntry, known: RecordEntry) -> str:
    """Return why a file is not the published one, or ''.

    Args:
        remote: the published file.
        entry: bytes and checksums of the file.
        known: its recorded entry, or {}. Without a published checksum, the recorded one must not change.
    """
    for name in ("sha256", "md5"):
        published = getattr(remote, name)
        if published and entry.get(name) != published.lower():
            return f"its {name} is {entry.get(name)}, not the published {published.lower()}"
    if remote.size is not None and entry["bytes"] != remote.size:
        return f"is {entry['bytes']} bytes long, not the published {remote.size}"
    if not (remote.sha256 or remote.md5) and known.get("sha256", entry["sha256"]) != entry["sha256"]:
        return f"its sha256 is {entry['sha256']}, and was {known['sha256']} when it was first recorded"
    return ""


def _wrong_path(target: Path, sha256: str) -> Path:
    """Return the path at which a wrong file is kept."""
    return target.with_name(f"{target.name}.wrong-{sha256[:8]}")


def _set_aside(target: Path, sha256: str) -> Path:
    """Rename a wrong file, unless its folder cannot be written; return its path."""
    try:
        return target.rename(_wrong_path(target, sha256))
    except OSError:
        return target


def _sources(remote: RemoteFile) -> str:
    """Return the displayable addresses of a file, or its name if it has none."""
    return " or ".join(displayable_url(url, remote.public) for url in remote.urls) or remote.name


def _check_room(folder: Path, needed: int, what: str) -> None:
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


def _record_key(target: Path, record: Path) -> str:
    """Return the key of a file in the record: its path relative to the record's folder."""
    return Path(os.path.relpath(target, record.parent)).as_posix()


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; return {} if the file is missing or holds something else.

    Raises:
        InputError: the file cannot be read as JSON.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); remove it to verify the files anew") from error
    return value if isinstance(value, dict) else {}


def _read_record(record: Path) -> dict[str, RecordEntry]:
    """Return the recorded entries of the verified files, by `_record_key`."""
    return _read_json(record).get("files", {})


def _add_to_record(record: Path, target: Path, entry: RecordEntry) -> RecordEntry:
    """Record a verified file; return its entry with the time. If the folder is read-only, log a warning instead."""
    entry = entry | {"mtime_ns": target.stat().st_mtime_ns}
    if not os.access(record.parent, os.W_OK):
        log.warning("%s: cannot be written, so %s is verified each time", record, target)
        return entry
    with file_lock(record, wait=True):
        write_json(record, {"files": _read_record(record) | {_record_key(target, record): entry}})
    return entry
