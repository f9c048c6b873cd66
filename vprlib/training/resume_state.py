"""Resume state of a training job. A resumed run is bit-identical to an uninterrupted one."""

import io
import logging
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vprlib.exceptions import InputError
from vprlib.io.files import write_bytes

log = logging.getLogger(__name__)


@dataclass
class TrainingProgress:
    """Position of a generation in its training, and what it has recorded so far."""

    epoch: int = 0  # finished epochs
    refresh: int = 0  # finished refreshes of the current epoch
    step: int = 0  # finished steps of the current refresh
    tuples: list[list[Any]] = field(default_factory=list)  # of the current refresh
    negatives: dict[int, list[int]] = field(default_factory=dict)  # query -> its last negatives
    # one row per tuple of the current epoch: TupleLoss.statistics_TS
    statistics: list[list[float]] = field(default_factory=list)
    history: list[dict[str, float | None]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)  # epoch, score (its val recall, or the epoch itself), state

    def __str__(self) -> str:
        return f"epoch {self.epoch}, part {self.refresh}, step {self.step}"


class ResumeState:
    """Save and restore a training job: its progress and the state dicts of its parts.

    Args:
        parts: name -> object with `state_dict` and `load_state_dict`; resuming loads the states into them.
        writes: whether this process writes the file. In a distributed run only the first process does.
    """

    def __init__(self, parts: dict[str, Any], writes: bool = True) -> None:
        self.parts, self.writes, self.progress = parts, writes, TrainingProgress()
        self.consistent, self.stop_requested, self.saved = True, False, time.monotonic()

    @property
    def minutes(self) -> float:
        """Return the minutes since the state was last saved."""
        return (time.monotonic() - self.saved) / 60

    def resume(self, path: Path, key: str) -> None:
        """Load the state from `path` if it has this key, and save to `path` from now on.

        Args:
            path: the file of the state; it need not exist.
            key: identifies the recipe and the input files. A state with another key is not used.

        Raises:
            InputError: if the file is damaged.
        """
        self.path, self.key = path, key
        if not path.exists():
            return
        try:
            with zipfile.ZipFile(path) as archive:  # torch itself does not check the checksums
                if archive.testzip():
                    raise ValueError("checksum")
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can raise anything in the reader
            raise InputError(
                f"{path}: is damaged ({type(error).__name__}); remove it to train from the start"
            ) from error
        if state["key"] != key:
            log.info("%s belongs to another recipe or other sources and is not used", path)
            return
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        vars(self.progress).update(state["progress"])
        log.info("resumed after %s", self.progress)

    def save(self) -> None:
        """Write the state atomically."""
        self.saved = time.monotonic()
        if not self.writes:
            return
        state = {name: part.state_dict() for name, part in self.parts.items()}
        content = io.BytesIO()  # torch.save to a full disk ends with an error that does not name the file
        torch.save({"key": self.key, "progress": vars(self.progress)} | state, content)
        write_bytes(self.path, content.getbuffer())

    @contextmanager
    def save_on_sigterm(self) -> Iterator[None]:
        """Save the state and exit on SIGTERM: immediately, or at the end of a running `atomic_update`.

        Only the process that writes exits. The others keep training until it has: otherwise it could wait for them
        in a collective operation and never save.
        """

        def leave(*_: object) -> None:
            self.stop_requested = self.writes
            if self.consistent and self.stop_requested:
                self._save_and_exit()

        before = signal.signal(signal.SIGTERM, leave)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    @contextmanager
    def atomic_update(self) -> Iterator[None]:
        """Delay SIGTERM to the end of the block, so that the state is saved before or after a change, never within."""
        self.consistent = False
        yield
        self.consistent = True
        if self.stop_requested:
            self._save_and_exit()

    def _save_and_exit(self) -> None:
        """Save the state, unless nothing is recorded yet, and exit as a process ended by SIGTERM does.

        Raises:
            SystemExit: always.
        """
        self.consistent = False  # a second signal is ignored
        if self.progress.history:
            self.save()
        log.warning("ended by SIGTERM after %s; run it again to resume", self.progress)
        raise SystemExit(128 + signal.SIGTERM)
