"""Published files: fetched, verified and unpacked once, and a manifest that says what is here.

`Remote` is plain data and cheap to import; what talks to the network is imported when it is needed.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from vprlib.exceptions import InputError
from vprlib.io.files import file_lock, format_bytes, write_json

log = logging.getLogger(__name__)


RECORD = "downloads.json"  # beside the data: what was verified, and the checksums of what no publisher gave one for


@dataclass(frozen=True)
class RemoteFile:
    """A published file: where it is, and what it must be.

    Raises:
        InputError: a name leads out of its folder, an address is none or has a password in it, a checksum is none.
    """

    name: str  # the file's name once it is here
    urls: tuple[str, ...]  # the same bytes; tried in this order
    sha256: str | None = None  # as published
    md5: str | None = None
    size: int | None = None  # bytes
    unpack: str | None = (
        None  # folder, from the root ("" is the root), an archive is unpacked into; None keeps it a file
    )
    into: str = ""  # folder, from the root, of the file itself
    public: bool = False  # the addresses' queries hold no secret, so messages show them
    unpacked: int | None = None  # bytes that an archive unpacks to at most; None: vprlib.io.download.unpack's default

    def __post_init__(self):
        if not self.name or self.name in (".", "..") or {"/", "\\"} & set(self.name):
            raise InputError(f"{self.name!r} is no name of a downloaded file; give it without folders")
        for folder in (self.into, self.unpack or ""):
            if PurePosixPath(folder).is_absolute() or ".." in PurePosixPath(folder).parts:
                raise InputError(f"{self.name}: folder {folder!r} leads out of the dataset's own")
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
    """An address as it may be shown: without query, fragment, user and password, which may be secret."""
    if public:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def fetch_file(remote: RemoteFile, folder, *, recorded=None, offline=False, desc=None, patience=None) -> Path:
    """Have one verified file, `folder/remote.name`: the one that is there, or else fetched, going on where it stopped.

    Args:
        recorded: JSON file of what was verified, by default `downloads.json` in `folder`. A file whose size and
            time are as recorded is not hashed again; a file without published checksum must stay what it was at first.
        offline: touch no network.
        desc: name of the progress bar.
        patience: `vprlib.io.download.http.RetryPolicy`.

    Raises:
        InputError: it cannot be had, or is not what was published (it is then kept as `name.wrong-<8 digits>`).
    """
    from vprlib.io.download.http import DownloadProgress

    target = Path(folder) / remote.name
    with DownloadProgress(desc or remote.name) as meter:
        _have(remote, target, Path(recorded or target.with_name(RECORD)), offline, meter, patience)
    return target


def download_dataset(out, *, remotes, root, offline=False, at_once=4, patience=None):
    """Have a dataset's published files under `root`, archives unpacked, and then write the manifest `out`.

    An archive may be removed once it is unpacked, as long as its files stay. One file's failure does not stop the
    others; what they fetched is there the next time.

    Args:
        out: JSON; for each file the address it came from (without query; none if the user put it there), bytes,
            sha256 and, of an archive, the folder and the number and bytes of its files. No time stamps.
        remotes: Remotes.
        root: folder; `downloads.json` in it records what was verified, `<archive>.files.json` what was unpacked.
        offline: touch no network; what is missing is an error.
        at_once: files fetched at a time.
        patience: `vprlib.io.download.http.RetryPolicy`.

    Raises:
        InputError: with all that cannot be had or used.
    """
    from vprlib.io.download.http import DownloadProgress

    root, remotes = Path(root), list(remotes)
    targets = [root / remote.into / remote.name for remote in remotes]
    if len(set(targets)) < len(targets):
        raise InputError(f"{next(target for target in targets if targets.count(target) > 1)}: is declared twice")
    if not offline:
        missing = [(r, t) for r, t in zip(remotes, targets, strict=True) if r.size and not t.exists()]
        _check_room(root, sum(r.size * (1 if r.unpack is None else 2) - _begun(t) for r, t in missing), "the files")
    with DownloadProgress(f"download {root.name}") as meter, ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(_provide, remote, root, offline, meter, patience) for remote in remotes]
        try:
            wait(jobs)
        except BaseException:
            meter.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    errors = [job.exception() for job in jobs if job.exception()]
    for error in errors:
        if not isinstance(error, InputError):
            raise error
    if errors:
        raise InputError("; also: ".join(map(str, errors)))
    entries = {str(PurePosixPath(r.into, r.name)): job.result() for r, job in zip(remotes, jobs, strict=True)}
    write_json(out, {"files": entries})


def _provide(remote, root, offline, meter, patience) -> dict:
    """Have one file of a dataset, unpacked if it is an archive; its entry of the manifest."""
    target, record = root / remote.into / remote.name, root / RECORD
    listing = target.with_name(f"{target.name}.files.json")
    entry = None if target.exists() else _unpacked(remote, root, target, record, listing)
    entry = entry or _have(remote, target, record, offline, meter, patience)
    result = {name: entry[name] for name in ("url", "bytes", "sha256")}
    if remote.unpack is None:
        return result
    folder = root / remote.unpack
    found = _whole(listing, entry["sha256"], folder)
    if found is None:
        found = _unpack(remote, target, folder, record)
        write_json(listing, {"sha256": entry["sha256"], "files": found})
    return result | {"unpacked": {"folder": remote.unpack, "files": len(found), "bytes": sum(found.values())}}


def _unpack(remote, target: Path, folder: Path, record: Path) -> dict:
    """Unpack an archive; a bad one that no publisher's checksum vouches for is not recorded as the right one."""
    from vprlib.io.download.unpack import unpack_archive

    try:
        return unpack_archive(target, folder, limit=remote.unpacked)
    except InputError as error:
        if remote.sha256 or remote.md5:
            raise
        with file_lock(record, wait=True):
            entries = _recorded(record)
            entries.pop(_key(target, record), None)
            write_json(record, {"files": entries})
        raise InputError(f"{error}; if the file is bad, remove it, and it is fetched again") from error


def _unpacked(remote, root, target, record, listing) -> dict | None:
    """The record of an archive that the user removed after it was unpacked; None if its files are not all here."""
    entry = _recorded(record).get(_key(target, record))
    known = remote.unpack is not None and entry and not _wrong(remote, entry, {})
    return entry if known and _whole(listing, entry["sha256"], root / remote.unpack) is not None else None


def _whole(listing: Path, sha256: str, folder: Path) -> dict | None:
    """{path: bytes} of what was unpacked from the archive of this checksum, if all of it is there in its size."""
    about = _read_json(listing)
    if about.get("sha256") != sha256:
        return None
    try:
        whole = all((folder / path).stat().st_size == size for path, size in about["files"].items())
    except OSError:
        return None
    return about["files"] if whole else None


def _have(remote, target: Path, record: Path, offline: bool, meter, patience) -> dict:
    """Have one file; its entry of the record."""
    known = _recorded(record).get(_key(target, record), {})
    if target.exists():
        return _verify(remote, target, record, known)
    if offline:
        raise InputError(
            f"{target}: is not here, and the network is forbidden (offline); fetch {_sources(remote)} elsewhere and "
            f"put it there"
        )
    with file_lock(target):
        if target.exists():  # another process has fetched it meanwhile
            return _verify(remote, target, record, _recorded(record).get(_key(target, record), {}))
        return _fetch(remote, target, record, known, meter, patience)


def _verify(remote, target: Path, record: Path, known: dict) -> dict:
    """Verify a file that is here; it is read only if it is not the one that was verified before."""
    if not target.is_file():
        raise InputError(f"{target}: is no file; move it away")
    algorithms = ["sha256", *(["md5"] if remote.md5 else [])]
    stat = target.stat()
    unchanged = (known.get("bytes"), known.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
    if unchanged and set(algorithms) <= set(known) and not _wrong(remote, known, {}):
        return known
    log.info("%s: %s are verified", target, format_bytes(stat.st_size))
    hashes = {name: hashlib.new(name) for name in algorithms}
    try:
        with target.open("rb") as file:
            while chunk := file.read(1 << 20):
                for hashed in hashes.values():
                    hashed.update(chunk)
    except OSError as error:
        raise InputError(f"{target}: cannot be read ({error.strerror})") from error
    entry = {"bytes": stat.st_size} | {name: hashed.hexdigest() for name, hashed in hashes.items()}
    if reason := _wrong(remote, entry, known):
        kept = _set_aside(target, entry["sha256"])
        raise InputError(f"{target}: {reason}; it is kept as {kept} and not used; run it again to fetch the right one")
    entry["url"] = known.get("url") if known.get("sha256") == entry["sha256"] else None
    return _note(record, target, entry)


def _fetch(remote, target: Path, record: Path, known: dict, meter, patience) -> dict:
    """Fetch a file from the first of its addresses that gives the right one."""
    from vprlib.io.download.http import DownloadFailed, PartialFile, RetryPolicy, SafeRedirectSession, transfer_file

    def room(coming, whole):
        extra = 0 if remote.unpack is None else whole  # at least; `unpack` looks again
        _check_room(target.parent, coming + extra, target.name)

    reasons = []
    for url in remote.urls:
        with (
            SafeRedirectSession() as session,
            PartialFile(target, ["sha256", *(["md5"] if remote.md5 else [])]) as part,
        ):
            meter.expect(str(target), max(0, (remote.size or 0) - part.bytes))
            judged = bool(remote.sha256 or remote.md5)
            options = {"size": remote.size, "judged": judged, "room": room}
            try:
                transfer_file(session, url, part, meter=meter, patience=patience or RetryPolicy(), **options)
            except DownloadFailed as error:
                log.warning("%s: %s: %s", remote.name, displayable_url(url, remote.public), error)
                reasons.append(f"{displayable_url(url, remote.public)}: {error}")
                continue
            entry = {"bytes": part.bytes} | {name: hashed.hexdigest() for name, hashed in part.hashes.items()}
            if reason := _wrong(remote, entry, known):
                kept = _aside(target, entry["sha256"])
                part.become(kept)
                log.warning("%s: %s: %s; kept as %s", remote.name, displayable_url(url), reason, kept)
                reasons.append(f"{displayable_url(url)}: {reason}, kept as {kept}")
                continue
            part.become(target)
        return _note(record, target, entry | {"url": displayable_url(url)})
    hint = f", or remove its entry from {record} if the publisher changed it" if known and not judged else ""
    raise InputError(
        f"{target}: cannot be fetched ({'; '.join(reasons)}); fetch it by hand and put it there, and it is verified "
        f"and used{hint}"
    )


def _wrong(remote, entry: dict, known: dict) -> str:
    """Why a file is not the published one, or where no checksum is published, not the one that was recorded; or ''."""
    for name in ("sha256", "md5"):
        published = getattr(remote, name)
        if published and entry.get(name) != published.lower():
            return f"its {name} is {entry.get(name)}, not the published {published.lower()}"
    if remote.size is not None and entry["bytes"] != remote.size:
        return f"is {entry['bytes']} bytes long, not the published {remote.size}"
    if not (remote.sha256 or remote.md5) and known.get("sha256", entry["sha256"]) != entry["sha256"]:
        return f"its sha256 is {entry['sha256']}, and was {known['sha256']} when it was first recorded"
    return ""


def _aside(target: Path, sha256: str) -> Path:
    return target.with_name(f"{target.name}.wrong-{sha256[:8]}")


def _set_aside(target: Path, sha256: str) -> Path:
    """Rename a wrong file; where the folder cannot be written it stays."""
    try:
        return target.rename(_aside(target, sha256))
    except OSError:
        return target


def _sources(remote) -> str:
    return " or ".join(displayable_url(url, remote.public) for url in remote.urls) or remote.name


def _begun(target: Path) -> int:
    part = target.with_name(f"{target.name}.part")
    return part.stat().st_size if part.exists() else 0


def _check_room(folder: Path, needed: int, what: str):
    """Refuse if the disk of a folder, which may not exist yet, has less than so many bytes free."""
    here = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(here).free
    if needed > free:
        raise InputError(
            f"{folder}: has {format_bytes(free)} free, and {what} needs {format_bytes(needed)}; make room, or link "
            f"it to a larger disk"
        )


def _key(target: Path, record: Path) -> str:
    return Path(os.path.relpath(target, record.parent)).as_posix()


def _read_json(path: Path) -> dict:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); remove it to verify the files anew") from error
    return value if isinstance(value, dict) else {}


def _recorded(record: Path) -> dict:
    return _read_json(record).get("files", {})


def _note(record: Path, target: Path, entry: dict) -> dict:
    """Record a verified file; a folder that cannot be written only costs another reading next time."""
    entry = entry | {"mtime_ns": target.stat().st_mtime_ns}
    if not os.access(record.parent, os.W_OK):
        log.warning("%s: cannot be written, so that %s is verified each time", record, target)
        return entry
    with file_lock(record, wait=True):
        write_json(record, {"files": _recorded(record) | {_key(target, record): entry}})
    return entry
