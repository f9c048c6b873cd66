"""Download and unpack the published files of a dataset, and write a manifest of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath
from typing import Any

from vprlib.exceptions import InputError
from vprlib.io.download.fetch import Fetcher, check_room
from vprlib.io.download.http import RetryPolicy
from vprlib.io.download.partial_file import partial_bytes
from vprlib.io.download.progress import DownloadProgress
from vprlib.io.download.record import RECORD, DownloadRecord, RecordEntry, read_json_object
from vprlib.io.download.remote_file import RemoteFile
from vprlib.io.download.unpack import unpack_archive
from vprlib.io.files import write_json


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
    root, remotes = Path(root), list(remotes)
    targets = [root / remote.into / remote.name for remote in remotes]
    if len(set(targets)) < len(targets):
        raise InputError(f"{next(target for target in targets if targets.count(target) > 1)}: is declared twice")
    if not offline:
        check_room(root, sum(map(_needed_bytes, remotes, targets)), "the files")
    with DownloadProgress(f"download {root.name}") as meter, ThreadPoolExecutor(at_once) as pool:
        fetcher = Fetcher(DownloadRecord(root / RECORD), meter, offline, patience or RetryPolicy())
        jobs = [pool.submit(_provide_unpacked, fetcher, remote, root) for remote in remotes]
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


def _needed_bytes(remote: RemoteFile, target: Path) -> int:
    """Return the bytes that are to be downloaded and unpacked for a file, as far as its size is published."""
    if not remote.size or target.exists():
        return 0
    return remote.size * (1 if remote.unpack is None else 2) - partial_bytes(target)


def _provide_unpacked(fetcher: Fetcher, remote: RemoteFile, root: Path) -> dict[str, Any]:
    """Provide one file of a dataset, unpacked if it is an archive; return its entry of the manifest."""
    target = root / remote.into / remote.name
    listing = target.with_name(f"{target.name}.files.json")
    entry = None if target.exists() else _entry_of_removed_archive(remote, root, target, fetcher.record, listing)
    entry = entry or fetcher.provide(remote, target)
    result = {name: entry[name] for name in ("url", "bytes", "sha256")}
    if remote.unpack is None:
        return result
    folder = root / remote.unpack
    sizes = _unpacked_files(listing, entry["sha256"], folder)
    if sizes is None:
        sizes = _unpack(remote, target, folder, fetcher.record)
        write_json(listing, {"sha256": entry["sha256"], "files": sizes})
    return result | {"unpacked": {"folder": remote.unpack, "files": len(sizes), "bytes": sum(sizes.values())}}


def _unpack(remote: RemoteFile, target: Path, folder: Path, record: DownloadRecord) -> dict[str, int]:
    """Unpack an archive; return path -> bytes of its files.

    Raises:
        InputError: the archive is bad. Without a published checksum, its entry is then removed from the record, so that
            another file may replace it.
    """
    try:
        return unpack_archive(target, folder, limit=remote.unpacked)
    except InputError as error:
        if remote.has_checksum:
            raise
        record.remove(target)
        raise InputError(f"{error}; if the file is damaged, remove it, and it is downloaded again") from error


def _entry_of_removed_archive(
    remote: RemoteFile, root: Path, target: Path, record: DownloadRecord, listing: Path
) -> RecordEntry | None:
    """Return the recorded entry of an archive that was removed after unpacking; None if not all of its files exist."""
    entry = record.entry(target)
    if remote.unpack is None or not entry or remote.find_mismatch(entry, {}):
        return None
    return entry if _unpacked_files(listing, entry["sha256"], root / remote.unpack) is not None else None


def _unpacked_files(listing: Path, sha256: str, folder: Path) -> dict[str, int] | None:
    """Return path -> bytes of the files unpacked from the archive of this checksum; None if one is missing or changed.

    A file counts as unchanged if its size is the same.
    """
    unpacked = read_json_object(listing)
    if unpacked.get("sha256") != sha256:
        return None
    try:
        complete = all((folder / path).stat().st_size == size for path, size in unpacked["files"].items())
    except OSError:
        return None
    return unpacked["files"] if complete else None
