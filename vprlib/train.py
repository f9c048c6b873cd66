"""One generation of weakly supervised training: GPS says which photos may show the same place, mining picks them."""

import fcntl
import inspect
import io
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from vprlib import evaluate, files, registry
from vprlib.config import Aggregator, Backbone, Image, Train
from vprlib.datasets.base import Dataset, read_table, rows
from vprlib.extract import describe
from vprlib.files import BadInput
from vprlib.geometry import within
from vprlib.images import batches
from vprlib.mining import select_tuples
from vprlib.model import Descriptor, build, load_checkpoint, load_weights, save_checkpoint
from vprlib.search import nearest
from vprlib.trunk import Activations, source

log = logging.getLogger(__name__)
KS = (1, 5, 10)


@dataclass
class Sources:
    """The files that one generation is made from; all of them name its resume state."""

    images: Path
    weights: Path
    centroids: Path | None = None
    trunk: Path | None = None
    teacher: Path | None = None

    def digests(self) -> dict:
        """The files' hashes, but the trunk's: the others define it."""
        return {name: files.digest(path) if path else "" for name, path in vars(self).items() if name != "trunk"}


@dataclass
class Job:
    """How to compute: device, images in a forward pass without gradients, loader processes, minutes between saves."""

    device: torch.device
    batch: int
    workers: int
    checkpoint_minutes: float


@dataclass
class Progress:
    """Where a generation stands; saved whole, so that a killed job goes on to the same bytes."""

    epoch: int = 0  # finished epochs
    refresh: int = 0  # finished refreshes of the running epoch
    step: int = 0  # finished steps of the running refresh
    tuples: list = field(default_factory=list)  # of the running refresh
    negatives: dict = field(default_factory=dict)  # query -> its last negatives
    sums: dict = field(default_factory=dict)  # of the running epoch
    history: list = field(default_factory=list)
    best: dict = field(default_factory=dict)  # epoch, recall, state


def train(
    *,
    folder: Path,
    dataset: Dataset,
    sources: Sources,
    image: Image,
    backbone: Backbone,
    aggregator: Aggregator,
    settings: Train,
    generation: int,
    seed: int,
    job: Job,
):
    """Train a generation and write `last.safetensors`, `best.safetensors` and `history.csv` into `folder`.

    SGD with a step schedule over all queries of the training split that have a positive; before every
    `queries_per_refresh` of them, these and the whole database are described by the network of the moment and their
    tuples mined (NetVLAD, OpenIBL `examples/netvlad_img.py`). Row 0 of the history is the initial network. `best` is
    the trained epoch with the highest val recall; without a val split it is the last.

    Departs from OpenIBL, which describes all queries at each refresh: only those that are mined are needed.

    Raises:
        BadInput: as the parts do; or another process trains into the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"train": settings.model_dump(mode="json"), "generation": generation, "seed": seed}
    recipe |= {"sources": sources.digests()}
    sections = {"backbone": backbone, "aggregator": aggregator}
    described = {name: part.model_dump(mode="json") for name, part in {**sections, "image": image}.items()}
    with locked(folder):
        table = read_table(sources.images)
        model = initial(image, backbone, aggregator, sources, settings, generation)
        inputs = source(table, image, sources.trunk)
        recipe |= {"radius_m": dataset.radius_m, "cached_trunk": isinstance(inputs, Activations)}
        run = Generation(model, dataset, table, inputs, settings, (seed, generation), job)
        run.resume(folder / "resume.pt", key=files.fingerprint(recipe | described))
        run.loop(folder)
        states = {"last": model.state_dict(), "best": run.progress.best["state"]}
        for name, state in states.items():
            epoch = run.progress.epoch if name == "last" else run.progress.best["epoch"]
            model.load_state_dict(state)
            save_checkpoint(folder / f"{name}.safetensors", model, **sections, **recipe, epoch=epoch)
        files.write_csv(folder / "history.csv", pd.DataFrame(run.progress.history))
        (folder / "resume.pt").unlink(missing_ok=True)


@contextmanager
def locked(folder: Path):
    """Let one process at a time train into a folder; an orphan of a killed workflow may still be there."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{folder}: another process is training there; end it, or wait for it") from None
        yield


def initial(image, backbone, aggregator, sources: Sources, settings: Train, generation: int) -> Descriptor:
    """The network that a generation starts from."""
    if generation and settings.start == "previous":
        return load_checkpoint(sources.teacher)[0]
    model = build(image, backbone, aggregator)
    load_weights(model.backbone, sources.weights)
    if sources.centroids:
        try:
            model.aggregator.initialise(*files.read_h5(sources.centroids, "centroids", "descriptors"))
        except ValueError as error:
            raise BadInput(f"{sources.centroids}: {error}") from error
    return model


def pick(x_BD, positions_TI):
    """x_BD[positions_TI], (T, I, D), whose gradient is summed in a fixed order.

    The gradient of plain indexing adds by atomic operations from several threads, also on a CPU: a photo that occurs
    twice in a step then gets another last digit in every run.
    """
    return x_BD.index_select(0, positions_TI.flatten()).unflatten(0, positions_TI.shape)


class Generation:
    """A generation under way: the network, its optimiser, and the progress that a checkpoint holds."""

    def __init__(self, model, dataset, table, inputs, settings: Train, seeds: tuple, job: Job):
        self.model, self.settings, self.seeds, self.job = model.to(job.device), settings, seeds, job
        self.table, self.inputs = table, inputs
        self.progress = Progress()
        loss = registry.load("loss", settings.loss)
        options = settings.model_dump()
        self.loss = loss, {name: options[name] for name in inspect.signature(loss).parameters if name in options}
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.SGD(
            trained, lr=settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimiser, settings.decay_every, settings.decay_by)
        self.query, self.database = rows(table, "train", "query"), rows(table, "train", "database")
        self.val_positives = dataset.positives(table, "val") if (table.split == "val").any() else []
        stored = len(rows(table, "val", "database"))
        if self.val_positives and settings.best_by > stored:
            raise BadInput(f"train.best_by: recall@{settings.best_by} of a val split of {stored} database images")
        if settings.epochs:
            self._pair()

    def _pair(self):
        """Who may be whose positive, and who is nobody's negative."""
        if not len(self.query):
            raise BadInput(
                "train: the training set has no train split; use train.epochs: 0 to keep the initial network"
            )
        where = [self.table.loc[some, ["east", "north"]] for some in (self.query, self.database)]
        self.positives = within(*where, self.settings.positive_m)
        self.excluded = within(*where, self.settings.negative_m)
        self.usable = np.flatnonzero([len(found) > 0 for found in self.positives])
        dropped = len(self.query) - len(self.usable)
        if not len(self.usable):
            raise BadInput(f"train.positive_m: no query has a database image within {self.settings.positive_m:g} m")
        if dropped:
            log.info("%d of %d queries have no positive within %g m and are not trained on",
                     dropped, len(self.query), self.settings.positive_m)  # fmt: skip

    def loop(self, folder: Path):
        """Train to the last epoch, or until `patience` epochs brought no better one."""
        from torch.utils.tensorboard import SummaryWriter

        self.saved = time.monotonic()
        with SummaryWriter(folder / "tensorboard", purge_step=len(self.progress.history)) as board:
            if not self.progress.history:
                self._finish_epoch(0, {}, board)
            while self.progress.epoch < self.settings.epochs and not self._exhausted():
                self._epoch(board)

    def _exhausted(self) -> bool:
        best = self.progress.best["epoch"]
        return bool(self.val_positives) and self.progress.epoch - max(best, 1) >= self.settings.patience

    def _epoch(self, board):
        epoch, start = self.progress.epoch, time.monotonic()
        order = np.random.default_rng([*self.seeds, epoch]).permutation(self.usable)
        parts = np.array_split(order, -(-len(order) // self.settings.queries_per_refresh))
        for refresh in range(self.progress.refresh, len(parts)):
            if not self.progress.tuples:
                self.progress.tuples = self._mine(parts[refresh], refresh)
            self._steps(f"epoch {epoch + 1}/{self.settings.epochs}, part {refresh + 1}/{len(parts)}")
            self.progress.refresh, self.progress.step, self.progress.tuples = refresh + 1, 0, []
        sums = self.progress.sums
        rate = self.optimiser.param_groups[0]["lr"]
        row = {
            "learning_rate": rate,
            "loss": sums["loss"] / sums["tuples"],
            "violating": sums["violating"] / sums["tuples"],
        }
        self.schedule.step()
        self.progress.epoch, self.progress.refresh, self.progress.sums = epoch + 1, 0, {}
        board.add_scalar("seconds", time.monotonic() - start, epoch + 1)
        self._finish_epoch(epoch + 1, row, board)
        self._save()

    def _mine(self, queries, refresh: int) -> list:
        """The tuples of some queries, mined with the network of the moment: (query, positive, negatives)."""
        query_QD = self._describe(self.query[queries], "mine: queries")
        database_DD = self._describe(self.database, "mine: database")
        size = self.settings.negatives
        known = self.progress.negatives
        cache = np.array([known.get(int(query), [-1] * size) for query in queries])
        mined = select_tuples(
            query_QD,
            database_DD,
            [self.positives[query] for query in queries],
            [self.excluded[query] for query in queries],
            negatives=size,
            pool=self.settings.negative_pool,
            cache=cache,
            generator=np.random.default_rng([*self.seeds, self.progress.epoch, refresh]),
        )
        tuples = [(int(queries[query]), positive, negatives.tolist()) for query, positive, negatives in mined]
        known.update({query: negatives for query, _, negatives in tuples})
        return tuples

    def _steps(self, desc: str):
        """Train on the tuples of this refresh that are left, `tuples_per_step` at a time."""
        size, tuples = self.settings.tuples_per_step, self.progress.tuples
        steps = [tuples[start : start + size] for start in range(0, len(tuples), size)][self.progress.step :]
        wanted = [np.array([[self.query[q], *self.database[[p, *n]]] for q, p, n in step]) for step in steps]
        unique = [np.unique(rows_TI) for rows_TI in wanted]
        loader = batches(self.inputs, [distinct.tolist() for distinct in unique], workers=self.job.workers)
        shown = tqdm(loader, desc=desc, disable=None, unit="step")
        for rows_TI, distinct, batch_BCHW in zip(wanted, unique, shown, strict=True):
            self._step(batch_BCHW, np.searchsorted(distinct, rows_TI), rows_TI)
            self.progress.step += 1
            if time.monotonic() - self.saved > self.job.checkpoint_minutes * 60:
                self._save()

    def _step(self, batch_BCHW, positions_TI, rows_TI):
        """One update from T tuples of I photos (query, positive, negatives), each distinct photo described once."""
        x_BD = self.model.describe(batch_BCHW, self.job.device)
        x_TID = pick(x_BD, torch.from_numpy(positions_TI).to(x_BD.device))
        loss, options = self.loss
        value = loss(x_TID[:, 0], x_TID[:, 1], x_TID[:, 2:], **options)
        if not torch.isfinite(value):
            where = self.table.path[rows_TI[:, 0]]
            raise BadInput(
                f"train: the loss is {value.item()} in epoch {self.progress.epoch + 1}, step {self.progress.step + 1} "
                f"(queries {', '.join(where)}); lower train.learning_rate"
            )
        self.optimiser.zero_grad()
        value.backward()
        self.optimiser.step()
        with torch.no_grad():
            similar_TI = (x_TID[:, :1] * x_TID[:, 1:]).sum(2)
            violating = (similar_TI[:, 1:] > similar_TI[:, :1]).double().mean().item()
        sums = self.progress.sums
        for name, mean in (("loss", value.item()), ("violating", violating), ("tuples", 1)):
            sums[name] = sums.get(name, 0) + mean * len(rows_TI)

    def _describe(self, some, desc: str):
        job = self.job
        return describe(
            self.model, self.inputs, some, device=job.device, batch=job.batch, workers=job.workers, desc=desc
        )

    def _finish_epoch(self, epoch: int, row: dict, board):
        """Measure the network on the val split, add a row to the history, keep the network if it is the best."""
        recalls = self._validate()
        row = {"epoch": epoch, "learning_rate": None, "loss": None, "violating": None} | row
        row |= {f"val_recall@{k}": recall for k, recall in recalls.items()}
        self.progress.history.append(row)
        score = recalls.get(self.settings.best_by, epoch)
        best = self.progress.best
        if not best or best["epoch"] == 0 or score > best["score"]:
            state = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
            self.progress.best = {"epoch": epoch, "score": score, "state": state}
        for name, value in row.items():
            if value is not None and name != "epoch":
                board.add_scalar(name, value, epoch)
        log.info(", ".join(f"{name} {value:.4g}" for name, value in row.items() if value is not None))

    def _validate(self) -> dict:
        if not self.val_positives:
            return {}
        query_QD = self._describe(rows(self.table, "val", "query"), "val: queries")
        database_DD = self._describe(rows(self.table, "val", "database"), "val: database")
        ks = sorted({*KS, self.settings.best_by})
        ranking, _ = nearest(query_QD, database_DD, max(ks))
        return evaluate.recall_at([k for k in ks if k <= ranking.shape[1]], ranking, self.val_positives)

    def resume(self, path: Path, key: str):
        """Go on from `path` if it was saved for the same recipe and sources; remember where to save."""
        self.path, self.key = path, key
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged file makes of the reader
            raise BadInput(f"{path}: is damaged ({type(error).__name__}); remove it to train from the start") from error
        if state["key"] != key:
            log.info("%s belongs to another recipe or other sources and is not used", path)
            return
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.progress = Progress(**state["progress"])
        log.info("resumed after epoch %d, part %d, step %d",
                 self.progress.epoch, self.progress.refresh, self.progress.step)  # fmt: skip

    def _save(self):
        parts = {"model": self.model, "optimiser": self.optimiser, "schedule": self.schedule}
        state = {name: part.state_dict() for name, part in parts.items()}
        content = io.BytesIO()  # torch.save to a full disk ends with an error that does not name the file
        torch.save({"key": self.key, "progress": vars(self.progress)} | state, content)
        files.write_bytes(self.path, content.getbuffer())
        self.saved = time.monotonic()
