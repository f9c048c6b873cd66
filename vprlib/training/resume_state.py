"""The state that a killed job goes on from, to the same bytes."""

import io
import logging
import signal
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from vprlib.exceptions import InputError
from vprlib.io.files import write_bytes

log = logging.getLogger(__name__)


@dataclass
class TrainingProgress:
    """Where a generation stands; saved whole, so that a killed job goes on to the same bytes."""

    epoch: int = 0  # finished epochs
    refresh: int = 0  # finished refreshes of the running epoch
    step: int = 0  # finished steps of the running refresh
    tuples: list = field(default_factory=list)  # of the running refresh
    negatives: dict = field(default_factory=dict)  # query -> its last negatives
    told: list = field(default_factory=list)  # of each tuple of the running epoch: Cost.told_TS
    history: list = field(default_factory=list)
    best: dict = field(default_factory=dict)  # epoch, recall, state

    def __str__(self):
        return f"epoch {self.epoch}, part {self.refresh}, step {self.step}"


class ResumeState:
    """Progress and what else a checkpoint holds: `parts` with a state dict each, read into them when resumed."""

    def __init__(self, parts: dict, writes: bool = True):
        self.parts, self.writes, self.progress = parts, writes, TrainingProgress()
        self.whole, self.asked, self.saved = True, False, time.monotonic()

    @property
    def minutes(self) -> float:
        """Since it was saved."""
        return (time.monotonic() - self.saved) / 60

    def resume(self, path: Path, key: str):
        """Go on from `path` if it was saved for the same recipe and sources; remember where to save.

        Raises:
            InputError: if the file is damaged.
        """
        self.path, self.key = path, key
        if not path.exists():
            return
        try:
            with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
                if archive.testzip():
                    raise ValueError("checksum")
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged file makes of the reader
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

    def save(self):
        """Write the state, whole or not at all."""
        self.saved = time.monotonic()
        if not self.writes:
            return
        state = {name: part.state_dict() for name, part in self.parts.items()}
        content = io.BytesIO()  # torch.save to a full disk ends with an error that does not name the file
        torch.save({"key": self.key, "progress": vars(self.progress)} | state, content)
        write_bytes(self.path, content.getbuffer())

    @contextmanager
    def leaving_on_sigterm(self):
        """Save and leave when the system wants the machine back, at once or when the state is whole again.

        The process that writes leaves; others go on until it has, or it could wait for them and never save.
        """

        def leave(*_):
            self.asked = self.writes
            if self.whole and self.asked:
                self._leave()

        before = signal.signal(signal.SIGTERM, leave)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    @contextmanager
    def undivided(self):
        """A change of the state that is saved whole or not at all."""
        self.whole = False
        yield
        self.whole = True
        if self.asked:
            self._leave()

    def _leave(self):
        self.whole = False  # a second signal waits
        if self.progress.history:
            self.save()
        log.warning("ended by SIGTERM after %s; run it again to go on", self.progress)
        raise SystemExit(128 + signal.SIGTERM)
