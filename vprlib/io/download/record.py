"""Record of verified files: their sizes, times and checksums."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vprlib.exceptions import InputError
from vprlib.io.files import file_lock, write_json

log = logging.getLogger(__name__)


RECORD = "downloads.json"  # name of the record, a file beside the data
RecordEntry = dict[str, Any]  # of a verified file in the record: bytes, mtime_ns, sha256, md5 if published, url


@dataclass(frozen=True)
class DownloadRecord:
    """JSON record of the verified files of a folder.

    Attributes:
        path: path of the record. The names of the files in it are relative to its folder.
    """

    path: Path

    def entry(self, file: Path) -> RecordEntry:
        """Return the entry of a file, or {} if it has none.

        Raises:
            InputError: the record is damaged.
        """
        return self._entries().get(self._name(file), {})

    def add(self, file: Path, entry: RecordEntry) -> RecordEntry:
        """Record a verified file; return its entry with the time. If the folder is read-only, log a warning instead.

        Raises:
            InputError: the record is damaged, or cannot be written.
        """
        entry = entry | {"mtime_ns": file.stat().st_mtime_ns}
        if not os.access(self.path.parent, os.W_OK):
            log.warning("%s: cannot be written, so %s is verified each time", self.path, file)
            return entry
        with file_lock(self.path, wait=True):
            write_json(self.path, {"files": self._entries() | {self._name(file): entry}})
        return entry

    def remove(self, file: Path) -> None:
        """Remove the entry of a file, if it has one.

        Raises:
            InputError: the record is damaged, or cannot be written.
        """
        with file_lock(self.path, wait=True):
            entries = self._entries()
            entries.pop(self._name(file), None)
            write_json(self.path, {"files": entries})

    def _entries(self) -> dict[str, RecordEntry]:
        """Return the entries by the files' names."""
        return read_json_object(self.path).get("files", {})

    def _name(self, file: Path) -> str:
        """Return the name of a file in the record: its path relative to the record's folder."""
        return Path(os.path.relpath(file, self.path.parent)).as_posix()


def read_json_object(path: Path) -> dict[str, Any]:
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
