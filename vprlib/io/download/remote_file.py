"""Declarations of published files: plain data, cheap to import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from vprlib.exceptions import InputError


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
        InputError: a name or folder leads out of the root, an address is invalid or contains a password, or a
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
            raise InputError(f"{self.name!r} is not a file name; give it without folders")
        for folder in (self.into, self.unpack or ""):
            if PurePosixPath(folder).is_absolute() or ".." in PurePosixPath(folder).parts:
                raise InputError(f"{self.name}: folder {folder!r} leads out of the dataset's folder")
        for url in self.urls:
            parts = urlsplit(url)
            if parts.username or parts.password:
                raise InputError(
                    f"{displayable_url(url)}: contains a password; put the password into ~/.netrc, and remove it from "
                    f"the address"
                )
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise InputError(f"{displayable_url(url)}: is not an http or https address")
        for algorithm, digits in (("sha256", 64), ("md5", 32)):
            value = getattr(self, algorithm)
            if value is not None and not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value):
                raise InputError(f"{self.name}: {algorithm} {value!r} is not {digits} hexadecimal digits")

    @property
    def has_checksum(self) -> bool:
        """Return whether a published checksum verifies the whole file."""
        return bool(self.sha256 or self.md5)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Return the names of the hash algorithms that identify the file."""
        return ("sha256", "md5") if self.md5 else ("sha256",)

    def find_mismatch(self, entry: Mapping[str, Any], known: Mapping[str, Any]) -> str:
        """Return why a file is not the published one, or ''.

        Args:
            entry: bytes and checksums of the file.
            known: its recorded entry, or {}. Without a published checksum, the recorded one must not change.
        """
        for name in ("sha256", "md5"):
            published = getattr(self, name)
            if published and entry.get(name) != published.lower():
                return f"its {name} is {entry.get(name)}, not the published {published.lower()}"
        if self.size is not None and entry["bytes"] != self.size:
            return f"is {entry['bytes']} bytes long, not the published {self.size}"
        if not self.has_checksum and known.get("sha256", entry["sha256"]) != entry["sha256"]:
            return f"its sha256 is {entry['sha256']}, and was {known['sha256']} when it was first recorded"
        return ""


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
