"""The training loop of one generation: mine tuples, update the network, validate it.

Axes: B images, C channels, H x W positions, T tuples, S statistics of a tuple (hard loss, soft loss, distance to the
positive, distances to the negatives).
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from vprlib.compute.execution import ComputeSettings
from vprlib.config import TrainConfig
from vprlib.data.geometry import within
from vprlib.data.image_table import row_numbers
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError
from vprlib.images.augment import jitter_colours
from vprlib.images.loader import PhotoDataset, load_batches
from vprlib.models.feature_cache import CachedFeatures
from vprlib.models.network import DescriptorNetwork, frozen_features
from vprlib.registry import load_object
from vprlib.retrieval.extract import extract_descriptors
from vprlib.training.history import COLUMNS, summarize_statistics, tensorboard_writer
from vprlib.training.miners.tuple_mining import mine_tuples
from vprlib.training.objective import Objective, TrainingTuple, split_into_passes, unique_images, uses_bfloat16
from vprlib.training.resume_state import ResumeState
from vprlib.training.validation import Validation

log = logging.getLogger(__name__)


# the purpose of a random stream, which comes first in its seed: seeds that differ only in trailing zeros would give
# the same stream
ORDERED, MINED, JITTERED = 1, 2, 3


class GenerationTrainer:
    """Train one generation: hold the networks, the optimiser and the resumable progress.

    In a distributed run every process holds all of it with the same values; only the first process writes.
    """

    def __init__(
        self,
        model: DescriptorNetwork,
        teacher: DescriptorNetwork | None,
        protocol: Protocol,
        table: pd.DataFrame,
        inputs: PhotoDataset | CachedFeatures,
        settings: TrainConfig,
        seeds: tuple[int, ...],
        job: ComputeSettings,
    ) -> None:
        self.model, self.settings, self.seeds, self.job = model.to(job.device), settings, seeds, job
        self.table, self.inputs = table, inputs
        # the training step needs the photos themselves if their colours are jittered
        self.step_inputs = PhotoDataset(table.path, *model.image.size) if settings.jitter else inputs
        self.objective = Objective(model, teacher.to(job.device) if teacher else None, settings, job.compile)
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimiser = load_object("optimiser", settings.optimiser.name)(self.trained, **settings.optimiser.options)
        schedule = load_object("schedule", settings.schedule.name)
        self.schedule = schedule(self.optimiser, **settings.schedule.options)
        parts = {"model": model, "optimiser": self.optimiser, "schedule": self.schedule}
        self.resume_state = ResumeState(parts, writes=not job.group.rank)
        self.progress = self.resume_state.progress
        self.query, self.database = row_numbers(table, "train", "query"), row_numbers(table, "train", "database")
        self.protocol = protocol.for_training
        self.validation = Validation(table, self.protocol, settings)
        if settings.epochs:
            self._find_positives_and_negatives()

    def _find_positives_and_negatives(self) -> None:
        """Find each query's candidate positives and the images that are never its negatives.

        The positives lie within `positive_radius_m` and obey the protocol, for example its rule on times. The images
        within `negative_radius_m` of a query, of any time, are excluded from its negatives.
        """
        if not len(self.query):
            raise InputError(
                "train: the training set has no train split; use train.epochs: 0 to keep the initial network"
            )
        query, database = (self.table.loc[rows].reset_index(drop=True) for rows in (self.query, self.database))
        positive_protocol = replace(self.protocol, radius=self.settings.positive_radius_m)
        self.positives = positive_protocol.positives(query, database)
        self.excluded = within(
            query[["east", "north"]], database[["east", "north"]], self.settings.negative_radius_m
        )  # of any time
        self.usable = np.flatnonzero([len(positives) > 0 for positives in self.positives])
        dropped = len(self.query) - len(self.usable)
        if not len(self.usable):
            raise InputError(
                f"train.positive_radius_m: no query has a database image within {self.settings.positive_radius_m:g} m; "
                f"raise it, or check the positions"
            )
        if dropped:
            log.info("%d of %d queries have no positive within %g m and are not trained on",
                     dropped, len(self.query), self.settings.positive_radius_m)  # fmt: skip

    def loop(self, folder: Path) -> None:
        """Train until the last epoch, or until `patience` epochs in a row have not improved val recall.

        Args:
            folder: where TensorBoard's files are written.

        Raises:
            InputError: if the initial val recall is too low, a photo cannot be decoded, a query lacks negatives, or a
                loss, gradient or descriptor is not finite.
            SystemExit: after SIGTERM, once the state is saved.
        """
        with (
            self.resume_state.save_on_sigterm(),
            tensorboard_writer(folder, self.job.group.rank, len(self.progress.history)) as self.board,
        ):
            if not self.progress.history:
                self._finish_epoch({})
            if self.settings.epochs and not self.progress.epoch:
                self.validation.check_initial_recall(self.progress.history[0])
            while self.progress.epoch < self.settings.epochs and not self._early_stop():
                self._epoch()

    def _early_stop(self) -> bool:
        """Whether `patience` epochs have passed since the best one."""
        best = self.progress.best["epoch"]
        return bool(self.validation.positives) and self.progress.epoch - max(best, 1) >= self.settings.patience

    def _epoch(self) -> None:
        """Train one epoch, or the rest of one that was interrupted: mine and train part after part, then validate."""
        epoch, start = self.progress.epoch, time.monotonic()
        order = np.random.default_rng([ORDERED, *self.seeds, epoch]).permutation(self.usable)
        parts = np.array_split(order, -(-len(order) // self.settings.cache_refresh_queries))
        for refresh in range(self.progress.refresh, len(parts)):
            desc = f"epoch {epoch + 1}/{self.settings.epochs}, part {refresh + 1}/{len(parts)}"
            if not self.progress.tuples:
                self._mine(parts[refresh], desc)
            since, photos = time.monotonic(), self._steps(desc)
            speed = photos / max(time.monotonic() - since, 1e-9)
            with self.resume_state.atomic_update():
                self.progress.refresh, self.progress.step, self.progress.tuples = refresh + 1, 0, []
            self.board.add_scalar("images_per_second", speed, epoch * len(parts) + refresh + 1)
        self.board.add_scalar("seconds", time.monotonic() - start, epoch + 1)
        statistics_TS = np.array(self.progress.statistics)
        row = {"learning_rate": self.optimiser.param_groups[0]["lr"]}
        self._finish_epoch(row | summarize_statistics(statistics_TS, self.settings.soft.weight))

    def _mine(self, queries: NDArray[np.int64], desc: str) -> None:
        """Mine the tuples of `queries` with the current network and store them in the progress."""
        progress, row_numbers_of = self.progress, {"query": self.query, "database": self.database}
        device, bf16 = self.job.device, uses_bfloat16(self.settings, self.job.device)
        try:
            tuples = mine_tuples(
                queries,
                settings=self.settings,
                describe=lambda role, images: self._describe(row_numbers_of[role][images], f"{desc}: {role}", bf16),
                positives=self.positives,
                excluded=self.excluded,
                database=len(self.database),
                known=progress.negatives,
                generator=np.random.default_rng([MINED, *self.seeds, progress.epoch, progress.refresh]),
                device=device,
                group=self.job.group,
            )
        except InputError as error:
            raise InputError(f"{desc}: {error}") from error
        with self.resume_state.atomic_update():
            progress.negatives.update({mined.query: mined.negatives for mined in tuples})
            progress.tuples = [list(mined) for mined in tuples]

    def _steps(self, desc: str) -> int:
        """Train on the remaining tuples of this refresh, `batch_size` per step; return how many photos they have."""
        size, tuples = self.settings.batch_size, [self._table_rows(*mined) for mined in self.progress.tuples]
        steps = [tuples[start : start + size] for start in range(0, len(tuples), size)][self.progress.step :]
        passes = [split_into_passes(self.job.group.local_part(step), self.job.chunk) for step in steps]
        images = [unique_images(subset) for parts in passes for subset in parts]
        loader = iter(load_batches(self.step_inputs, images, workers=self.job.workers))
        for step, parts in zip(tqdm(steps, desc=desc, disable=None, unit="step"), passes, strict=True):
            self._step(desc, step, parts, loader)
            if self.resume_state.minutes > self.job.checkpoint_minutes:
                self.resume_state.save()
        return sum(2 + len(item.negatives) + len(item.difficult) for step in steps for item in step)

    def _table_rows(
        self, query: int, positive: int, negatives: Sequence[int], difficult: Sequence[int]
    ) -> TrainingTuple:
        """Return a tuple of split indices as row numbers of the image table."""
        rows = (self.database[images].tolist() for images in (negatives, difficult))
        return TrainingTuple(int(self.query[query]), int(self.database[positive]), *rows)

    def _step(
        self, desc: str, step: list[TrainingTuple], parts: list[list[TrainingTuple]], loader: Iterator[torch.Tensor]
    ) -> None:
        """Update the weights once.

        Args:
            desc: prefix of error messages.
            step: the tuples of all processes.
            parts: the tuples of this process, by forward pass.
            loader: yields the photos or cached features of each pass.
        """
        self.optimiser.zero_grad()
        statistics = [torch.zeros(0, 3 + self.settings.negatives_per_query)]
        for subset in parts:
            photos = unique_images(subset)
            position = {row: number for number, row in enumerate(photos)}
            batch_tuples = [
                TrainingTuple(position[q], position[p], [position[n] for n in ns], [position[d] for d in ds])
                for q, p, ns, ds in subset
            ]
            cost = self.objective(self._frozen_features(next(loader), photos), batch_tuples)
            (cost.loss * (len(subset) / len(step))).backward()
            statistics.append(cost.statistics_TS.cpu())
        gradients = []
        for parameter in self.trained:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            gradients.append(parameter.grad)
        self.job.group.all_reduce_sum(gradients)
        statistics_TS = self.job.group.gather(torch.cat(statistics).numpy(), len(step))
        bad = np.flatnonzero(~np.isfinite(statistics_TS[:, :2]).all(1))
        if len(bad):
            self._abort_not_finite(desc, step[bad[0]], f"the loss is {statistics_TS[bad[0], :2].sum()}")
        if not all(torch.isfinite(gradient).all() for gradient in gradients):
            self._abort_not_finite(desc, step[0], "the gradient is not finite")
        with self.resume_state.atomic_update():
            self.optimiser.step()
            self.progress.statistics += statistics_TS.tolist()
            self.progress.step += 1

    def _abort_not_finite(self, desc: str, item: TrainingTuple, reason: str) -> None:
        """Stop training because a loss or gradient is not finite.

        Raises:
            InputError: always, with the step, the tuple's photos and the best epoch so far.
        """
        photos = ", ".join(self.table.path[[item.query, item.positive, *item.negatives, *item.difficult]])
        best = self.progress.best["epoch"]
        raise InputError(
            f"{desc}, step {self.progress.step + 1}: {reason}; lower train.optimiser.options.lr and train again "
            f"from the start, or set train.epochs: {best} to keep the best network so far (epoch {best}); "
            f"photos of one tuple of the step: {photos}"
        )

    def _frozen_features(self, batch_BCHW: torch.Tensor, photos: Sequence[int]) -> torch.Tensor:
        """Return the frozen layers' output for a batch, float32; jittered photos get new colours in every step."""
        job, progress, backbone = self.job, self.progress, self.model.backbone
        if self.settings.jitter:
            moment = (JITTERED, *self.seeds, progress.epoch, progress.refresh, progress.step)
            seeds = [(*moment, row) for row in photos]
            batch_BCHW = jitter_colours(batch_BCHW, self.settings.jitter, seeds, job.device)
        with (
            torch.no_grad(),
            torch.autocast(job.device.type, torch.bfloat16, enabled=uses_bfloat16(self.settings, job.device)),
        ):
            parts = [
                frozen_features(backbone, part, self.model.image, job.device) for part in batch_BCHW.split(job.batch)
            ]
        return (torch.cat(parts) if len(parts) > 1 else parts[0]).float()

    def _describe(self, rows: NDArray[np.int64], desc: str, bf16: bool = False) -> NDArray[np.float32]:
        """Return the current network's descriptors of table rows; all processes share the work and get all rows."""
        job = self.job
        part = extract_descriptors(
            self.model,
            self.inputs,
            job.group.local_part(rows),
            device=job.device,
            batch=job.batch,
            workers=job.workers,
            desc=desc,
            bf16=bf16,
        )
        return job.group.gather(part, len(rows))

    def _finish_epoch(self, row: dict[str, float | None]) -> None:
        """Validate the network, append a row to the history, and keep the network if it is the best so far.

        Args:
            row: the epoch's losses and distances; empty for the initial network.
        """
        epoch = self.progress.epoch + bool(row)  # the first row describes the network before training
        recalls = self.validation.recalls(self._describe, epoch)
        row = dict.fromkeys(COLUMNS) | {"epoch": epoch} | row
        row |= {f"val_recall@{k}": recall for k, recall in recalls.items()}
        score = recalls.get(self.settings.monitor_recall_at, epoch)
        with self.resume_state.atomic_update():
            best = self.progress.best
            self.progress.history.append(row)
            if not best or best["epoch"] == 0 or score > best["score"]:
                state = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
                self.progress.best = {"epoch": epoch, "score": score, "state": state}
            if epoch:
                self.schedule.step()
                self.progress.epoch, self.progress.refresh, self.progress.statistics = epoch, 0, []
                self.resume_state.save()
        for name, value in row.items():
            if value is not None and name != "epoch":
                self.board.add_scalar(name, value, epoch)
        log.info(", ".join(f"{name} {value:.4g}" for name, value in row.items() if value is not None))
