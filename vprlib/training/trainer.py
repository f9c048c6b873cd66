"""A generation of training under way: mine, step, validate."""

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vprlib.compute.execution import ComputeSettings
from vprlib.config import TrainConfig
from vprlib.data.dataset import Dataset
from vprlib.data.geometry import within
from vprlib.data.image_table import row_numbers
from vprlib.evaluation.recall import random_recall, recall_at
from vprlib.exceptions import InputError
from vprlib.images.augment import jitter_colours
from vprlib.images.loader import PhotoDataset, load_batches
from vprlib.models.network import DescriptorNetwork, frozen_features
from vprlib.retrieval.exact_search import nearest
from vprlib.retrieval.extract import extract_descriptors
from vprlib.training.history import COLUMNS, QUANTILES, tensorboard_writer
from vprlib.training.miners.tuple_mining import mine_tuples
from vprlib.training.objective import Objective, TrainingTuple, split_into_passes, unique_images, uses_bfloat16
from vprlib.training.resume_state import ResumeState

log = logging.getLogger(__name__)


KS = (1, 5, 10)
ORDERED, MINED, JITTERED = 1, 2, 3  # what a random stream is for; trailing zeros alone would not tell streams apart


class GenerationTrainer:
    """The networks, the optimiser, and the progress that a checkpoint holds.

    In several processes each has all of it and the same numbers; the first one writes.
    """

    def __init__(
        self,
        model: DescriptorNetwork,
        teacher,
        dataset: Dataset,
        table,
        inputs,
        settings: TrainConfig,
        seeds: tuple,
        job: ComputeSettings,
    ):
        self.model, self.settings, self.seeds, self.job = model.to(job.device), settings, seeds, job
        self.table, self.inputs = table, inputs
        self.shown = PhotoDataset(table.path, *model.image.size) if settings.jitter else inputs  # to the training step
        self.objective = Objective(model, teacher.to(job.device) if teacher else None, settings, job.compile)
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.SGD(
            self.trained, lr=settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimiser, settings.decay_every, settings.decay_by)
        parts = {"model": model, "optimiser": self.optimiser, "schedule": self.schedule}
        self.kept = ResumeState(parts, writes=not job.group.rank)
        self.progress = self.kept.progress
        self.query, self.database = row_numbers(table, "train", "query"), row_numbers(table, "train", "database")
        self.protocol = dataset.protocols[0].trained
        self.val_positives = dataset.positives(table, "val") if (table.split == "val").any() else []
        self.val_database = len(row_numbers(table, "val", "database"))
        if self.val_positives and settings.best_by > self.val_database:
            raise InputError(
                f"train.best_by: recall@{settings.best_by} of a val split of {self.val_database} database images"
            )
        if settings.epochs:
            self._pair()

    def _pair(self):
        """Who may be whose positive, and who is nobody's negative."""
        if not len(self.query):
            raise InputError(
                "train: the training set has no train split; use train.epochs: 0 to keep the initial network"
            )
        query, database = (self.table.loc[some].reset_index(drop=True) for some in (self.query, self.database))
        judged = replace(self.protocol, radius=self.settings.positive_m)
        where = [part[["east", "north"]] for part in (query, database)]
        self.positives = judged.positives(query, database)
        self.excluded = within(*where, self.settings.negative_m)  # of any time
        self.usable = np.flatnonzero([len(found) > 0 for found in self.positives])
        dropped = len(self.query) - len(self.usable)
        if not len(self.usable):
            raise InputError(f"train.positive_m: no query has a database image within {self.settings.positive_m:g} m")
        if dropped:
            log.info("%d of %d queries have no positive within %g m and are not trained on",
                     dropped, len(self.query), self.settings.positive_m)  # fmt: skip

    def loop(self, folder: Path):
        """Train to the last epoch, or until `patience` epochs brought no better one."""
        with (
            self.kept.leaving_on_sigterm(),
            tensorboard_writer(folder, self.job.group.rank, len(self.progress.history)) as self.board,
        ):
            if not self.progress.history:
                self._finish_epoch({})
            self._gate()
            while self.progress.epoch < self.settings.epochs and not self._exhausted():
                self._epoch()

    def _exhausted(self) -> bool:
        best = self.progress.best["epoch"]
        return bool(self.val_positives) and self.progress.epoch - max(best, 1) >= self.settings.patience

    def _gate(self):
        """Stop before an epoch is lost on a network that knows nothing."""
        k, least = self.settings.best_by, self.settings.gate
        if not (self.val_positives and self.settings.epochs and least) or self.progress.epoch:
            return
        lucky = random_recall([k], self.val_positives, self.val_database)[k]
        recall = self.progress.history[0][f"val_recall@{k}"]
        needed = lucky + least * (1 - lucky)
        if recall < needed:
            raise InputError(
                f"train.gate: before training, val recall@{k} is {recall:.3f}, below {needed:.3f} (chance is "
                f"{lucky:.3f}): weights or centroids were likely not loaded; check them, or lower train.gate from "
                f"{least:g}"
            )

    def _epoch(self):
        epoch, start = self.progress.epoch, time.monotonic()
        order = np.random.default_rng([ORDERED, *self.seeds, epoch]).permutation(self.usable)
        parts = np.array_split(order, -(-len(order) // self.settings.queries_per_refresh))
        for refresh in range(self.progress.refresh, len(parts)):
            desc = f"epoch {epoch + 1}/{self.settings.epochs}, part {refresh + 1}/{len(parts)}"
            if not self.progress.tuples:
                self._mine(parts[refresh], desc)
            since, photos = time.monotonic(), self._steps(desc)
            speed = photos / max(time.monotonic() - since, 1e-9)
            with self.kept.undivided():
                self.progress.refresh, self.progress.step, self.progress.tuples = refresh + 1, 0, []
            self.board.add_scalar("images_per_second", speed, epoch * len(parts) + refresh + 1)
        self.board.add_scalar("seconds", time.monotonic() - start, epoch + 1)
        self._finish_epoch(self._summary())

    def _summary(self) -> dict:
        """What the tuples of an epoch told: their losses, and quantiles of their distances."""
        told_TS = np.array(self.progress.told)
        hard, soft, positive_T, negative_TN = told_TS[:, 0], told_TS[:, 1], told_TS[:, 2], told_TS[:, 3:]
        weight = self.settings.soft.weight
        row = {"learning_rate": self.optimiser.param_groups[0]["lr"]}
        row |= {"loss": float((hard + weight * soft).mean()), "loss_hard": float(hard.mean())}
        row |= {"loss_soft": float(soft.mean()) if weight else None}
        row |= {"violating": float((negative_TN < positive_T[:, None]).mean())}
        for name, distances in (("positive", positive_T), ("negative", negative_TN)):
            values = np.percentile(distances, QUANTILES)
            row |= {f"{name}_p{q}": float(value) for q, value in zip(QUANTILES, values, strict=True)}
        return row

    def _mine(self, queries, desc: str):
        """Mine the tuples of some queries with the network of the moment."""
        progress, photos = self.progress, {"query": self.query, "database": self.database}
        device, bf16 = self.job.device, uses_bfloat16(self.settings, self.job.device)
        try:
            tuples = mine_tuples(
                queries,
                settings=self.settings,
                describe=lambda role, some: self._describe(photos[role][some], f"{desc}: {role}", bf16),
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
        with self.kept.undivided():
            progress.negatives.update({one.query: one.negatives for one in tuples})
            progress.tuples = [list(one) for one in tuples]

    def _steps(self, desc: str) -> int:
        """Train on the tuples of this refresh that are left, `tuples_per_step` at a time: their number of photos."""
        size, tuples = self.settings.tuples_per_step, [self._rows(*one) for one in self.progress.tuples]
        steps = [tuples[start : start + size] for start in range(0, len(tuples), size)][self.progress.step :]
        passes = [split_into_passes(self.job.group.share(step), self.job.chunk) for step in steps]
        wanted = [unique_images(some) for parts in passes for some in parts]
        loader = iter(load_batches(self.shown, wanted, workers=self.job.workers))
        for step, parts in zip(tqdm(steps, desc=desc, disable=None, unit="step"), passes, strict=True):
            self._step(desc, step, parts, loader)
            if self.kept.minutes > self.job.checkpoint_minutes:
                self.kept.save()
        return sum(2 + len(one.negatives) + len(one.difficult) for step in steps for one in step)

    def _rows(self, query, positive, negatives, difficult) -> TrainingTuple:
        """A tuple by the rows of the image table."""
        own = (self.database[some].tolist() for some in (negatives, difficult))
        return TrainingTuple(int(self.query[query]), int(self.database[positive]), *own)

    def _step(self, desc: str, step: list, parts: list, loader):
        """One update from the tuples of a step, this process' share of them in one or more passes."""
        self.optimiser.zero_grad()
        told = [torch.zeros(0, 3 + self.settings.negatives)]
        for some in parts:
            photos = unique_images(some)
            place = {row: number for number, row in enumerate(photos)}
            own = [
                TrainingTuple(place[q], place[p], [place[n] for n in ns], [place[d] for d in ds])
                for q, p, ns, ds in some
            ]
            cost = self.objective(self._trunk(next(loader), photos), own)
            (cost.loss * (len(some) / len(step))).backward()
            told.append(cost.told_TS.cpu())
        for parameter in self.trained:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        self.job.group.add([parameter.grad for parameter in self.trained])
        told_TS = self.job.group.gather(torch.cat(told).numpy(), len(step))
        bad = np.flatnonzero(~np.isfinite(told_TS[:, :2]).all(1))
        if len(bad):
            self._refuse(desc, step[bad[0]], f"the loss is {told_TS[bad[0], :2].sum()}")
        if not all(torch.isfinite(parameter.grad).all() for parameter in self.trained):
            self._refuse(desc, step[0], "the gradient is not finite")
        with self.kept.undivided():
            self.optimiser.step()
            self.progress.told += told_TS.tolist()
            self.progress.step += 1

    def _refuse(self, desc: str, one: TrainingTuple, what: str):
        """End on a number that is none.

        Raises:
            InputError: with the step, the tuple's photos, and the last good network.
        """
        photos = ", ".join(self.table.path[[one.query, one.positive, *one.negatives, *one.difficult]])
        best = self.progress.best["epoch"]
        raise InputError(
            f"{desc}, step {self.progress.step + 1}: {what}; lower train.learning_rate, which trains from the start "
            f"(the best network so far is that of epoch {best}, train.epochs: {best} would end there); "
            f"the query, its positive and the others: {photos}"
        )

    def _trunk(self, batch_BCHW, photos: list):
        """The trunk's activations of a batch; with jitter, of photos that are changed anew in each step."""
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

    def _describe(self, some, desc: str, bf16: bool = False):
        job = self.job
        part = extract_descriptors(
            self.model, self.inputs, job.group.share(some), device=job.device, batch=job.batch, workers=job.workers,
            desc=desc, bf16=bf16,
        )  # fmt: skip
        return job.group.gather(part, len(some))

    def _finish_epoch(self, row: dict):
        """Measure the network on the val split, add a row to the history, keep the network if it is the best."""
        epoch = self.progress.epoch + bool(row)  # the first row is of the network before training
        recalls = self._validate(epoch)
        row = dict.fromkeys(COLUMNS) | {"epoch": epoch} | row
        row |= {f"val_recall@{k}": recall for k, recall in recalls.items()}
        score = recalls.get(self.settings.best_by, epoch)
        with self.kept.undivided():
            best = self.progress.best
            self.progress.history.append(row)
            if not best or best["epoch"] == 0 or score > best["score"]:
                state = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
                self.progress.best = {"epoch": epoch, "score": score, "state": state}
            if epoch:
                self.schedule.step()
                self.progress.epoch, self.progress.refresh, self.progress.told = epoch, 0, []
                self.kept.save()
        for name, value in row.items():
            if value is not None and name != "epoch":
                self.board.add_scalar(name, value, epoch)
        log.info(", ".join(f"{name} {value:.4g}" for name, value in row.items() if value is not None))

    def _validate(self, epoch: int) -> dict:
        if not self.val_positives:
            return {}
        try:
            query_QD = self._describe(row_numbers(self.table, "val", "query"), "val: queries")
            database_DD = self._describe(row_numbers(self.table, "val", "database"), "val: database")
        except InputError as error:
            raise InputError(f"after epoch {epoch}, {error}") from error
        ks = sorted({*KS, self.settings.best_by})
        ranking, _ = nearest(query_QD, database_DD, max(ks))
        return recall_at([k for k in ks if k <= ranking.shape[1]], ranking, self.val_positives)
