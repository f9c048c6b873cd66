"""The input files of every rule, as functions of a job's wildcards.

The functions read the disk through `Disk` only, and end no program.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from vprlib.config import Config
from vprlib.config.published import FORMATS, export_fault, exportable_recipe
from vprlib.data.dataset import Dataset
from vprlib.exceptions import InputError
from vprlib.io.folders import is_utf8, walk_folders
from vprlib.jobs.paths import WILDCARD, Wildcards, fill
from vprlib.jobs.targets import Targets


class Disk:
    """Access to the disk. Tests replace it by another class."""

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        return os.path.exists(path)  # noqa: PTH110 - asked thousands of times

    def folders_below(self, path: str) -> list[str]:
        """The folders below a folder that are read: a photo that is added changes the time of its own folder only."""
        return sorted({folder for folder, _, _ in walk_folders(path)} - {path})

    def stamp(self, path: str) -> list[float]:
        """The size and time of a file or folder; empty if it is not there."""
        if not self.exists(path):
            return []
        status = Path(path).stat()
        return [status.st_size, status.st_mtime]


class Inputs:
    """The input functions of every rule.

    A user's own file that has disappeared (a disk that is not mounted) makes no job run again: it is an input only
    while it exists, or while the artefact made from it is missing.
    """

    def __init__(self, config: Config, catalogue: Mapping[str, Dataset], targets: Targets, disk: Disk | None = None):
        self.config, self.catalogue, self.targets = config, catalogue, targets
        self.paths, self.disk = targets.paths, disk or Disk()

    # of a dataset

    def image_table(self, w: Wildcards) -> list[str]:
        """The files that an image table is read from: rendered or downloaded files, or the raw files that exist.

        A missing raw file is no missing input: the job itself says where to get it, so a dry run needs no data.

        Raises:
            InputError: the user's own dataset is not where the configuration says.
        """
        return [path for path in self._raw_files(w.dataset) if _can_be_input(path)]

    def unwatched(self, w: Wildcards) -> list:
        """Param: the stamps of raw files that are no inputs, because Snakemake cannot take their names."""
        return [self.disk.stamp(path) for path in self._raw_files(w.dataset) if not _can_be_input(path)]

    def _raw_files(self, name: str) -> list[str]:
        declared = self.catalogue[name]
        paths = [str(declared.root / file) for file in declared.files]
        if declared.render:
            return paths[:1]
        indexed = self.disk.exists(fill(self.paths.images, dataset=name))
        manifest = fill(self.paths.download, dataset=name)
        there = [path for path in paths if self.disk.exists(path)]
        if name in self.config.custom_datasets:
            there += [folder for path in there for folder in self.disk.folders_below(path)]
        if not indexed:
            self._check_own(name)
        complete = indexed or (len(there) >= len(paths) and not self._download_begun(declared))
        if declared.remotes and (self.disk.exists(manifest) or not complete):
            return [manifest]
        return list(dict.fromkeys(paths + there)) if indexed else there

    def _download_begun(self, declared: Dataset) -> bool:
        names = ("downloads.json", *(f"{remote.name}.part" for remote in declared.remotes))
        return any(self.disk.exists(str(declared.root / name)) for name in names)

    def _check_own(self, name: str) -> None:
        own = self.config.custom_datasets.get(name)
        if own:
            root, first = self.catalogue[name].root, self.catalogue[name].files[0]
            for number, (key, named) in enumerate(own.files.items()):
                self._require(f"custom_datasets.{name}.{key}", str(root / (named if number else first)))
        elif name in self.config.dataset_roots and not self.catalogue[name].remotes:  # a download makes its folder
            self._require(f"dataset_roots.{name}", self.config.dataset_roots[name])

    def _require(self, key: str, path: str) -> None:
        if not self.disk.exists(path):
            raise InputError(f"config: {key}: {path}: no such file or folder")

    def _named(self, key: str, named: str | None, made: str) -> list[str]:
        """What a job reads of a file that a key of the configuration names: nothing if it names none."""
        if not named:
            return []
        if not self.disk.exists(made):
            self._require(key, named)
        return [named] if _can_be_input(named) else []

    # of a backbone

    def own_weights(self, w: Wildcards) -> list[str]:
        """The file that `backbone.file` names.

        Raises:
            InputError: it is not there.
        """
        made = fill(self.paths.weights, backbone=w.backbone, weights=w.weights)
        file = self.config.sharing(backbone=w.backbone, weights=w.weights).backbone.file
        return self._named("backbone.file", file, made)

    def features_to_cluster(self, w: Wildcards) -> str | list:
        """The cached features that centroids are computed from."""
        run = self.config.sharing(backbone=w.backbone, weights=w.weights, train_set=w.train_set, clustered=True)
        return _optional(self.targets.features_of(run))

    # of a network

    def training_images(self, w: Wildcards) -> str:
        """The image table of a run's training set."""
        return fill(self.paths.images, dataset=self.config.runs[w.run].train_set)

    def features(self, w: Wildcards) -> str | list:
        """The cached features that a run reads; a published network reads none."""
        run = self.config.trained.get(w.run)
        return _optional(self.targets.features_of(run)) if run else []

    def weights(self, w: Wildcards) -> str:
        """The initial weights of a run's backbone."""
        backbone = self.config.runs[w.run].backbone
        return fill(self.paths.weights, backbone=backbone.path, weights=backbone.weights)

    def centroids(self, w: Wildcards) -> str | list:
        """The centroids that a run starts from, if its aggregator needs any."""
        return _optional(self.targets.centroids_of(self.config.runs[w.run], w.seed))

    def teacher(self, w: Wildcards) -> str | list:
        """The generation before, the last or the best of its checkpoints; the first generation has no teacher."""
        gen = int(w.gen)
        which = self.config.runs[w.run].generation(gen).teacher
        path = fill(self.paths.checkpoint(which), run=w.run, seed=w.seed, gen=gen - 1)
        return path if gen else []

    def published_file(self, key: str, made: str) -> Callable[[Wildcards], list[str]]:
        """An input function: the file that a key of a run's `checkpoint` names, for the artefact `made`.

        Raises:
            InputError: it is not there.
        """

        def of_wildcards(w: Wildcards) -> list[str]:
            named = getattr(self.config.runs[w.run].checkpoint, key)
            return self._named(f"runs.{w.run}.checkpoint.{key}", named, fill(made, **_network(w)))

        return of_wildcards

    def evaluated_checkpoint(self, w: Wildcards) -> str:
        """The checkpoint of a network that is evaluated."""
        run = self.config.runs[w.run]
        return fill(self.paths.checkpoint("published" if run.checkpoint else run.extract.checkpoint), **_network(w))

    def whitening(self, w: Wildcards) -> str | list:
        """The whitening of a run that evaluates whitened descriptors."""
        wanted = "whitened" in self.config.runs[w.run].kinds
        return fill(self.paths.whitening, **_network(w)) if wanted else []

    def exported_files(self, w: Wildcards) -> list[str]:
        """The checkpoint that is exported, and its whitening if the format has a PCA layer.

        Raises:
            InputError: the format cannot hold the run's network, which is known before it is trained.
        """
        run = self.config.runs[w.run]
        whitened = bool(FORMATS[w.format].projection)
        fault = "" if run.checkpoint else export_fault(w.format, run.image, run.backbone, run.aggregator)
        if not fault and whitened and "whitened" not in run.extract.descriptors:
            fault = f"the format {w.format!r} has a PCA layer; it holds {exportable_recipe(w.format)}"
        if fault:
            raise InputError(f"config: runs.{w.run}: {fault}")
        return [self.evaluated_checkpoint(w), *([fill(self.paths.whitening, **_network(w))] * whitened)]

    # of an evaluation

    def descriptor_files(self, w: Wildcards) -> list[str]:
        """The files of descriptors that were computed elsewhere.

        Raises:
            InputError: one is not there.
        """
        made = fill(self.paths.database, **_network(w), dataset=w.dataset)
        named = self.targets.descriptor_files(w.run, w.dataset).items()
        return [part for key, path in named for part in self._named(f"runs.{w.run}.descriptors.{key}", path, made)]

    def validation_images(self, w: Wildcards) -> str | list:
        """The image table that the evaluated epoch was selected on; none if the run is not trained here."""
        return self.training_images(w) if w.run in self.config.trained else []

    def rankings(self, w: Wildcards) -> list[str]:
        """The first ranking of an evaluation and those of the re-rankers."""
        names = _network(w) | {"dataset": w.dataset}
        again = [fill(self.paths.reranking, **names, rerank=one.series) for one in self.config.rerank]
        return [fill(self.paths.ranking, **names), *again]

    def database_to_measure(self, w: Wildcards) -> str:
        """The descriptors of a run that is measured at several sizes.

        Raises:
            InputError: the configuration does not ask for the run's sizes.
        """
        if w.run not in self.config.sized:
            raise InputError(
                f"config: descriptor_sizes: the sizes of run {w.run} are not asked for; set descriptor_sizes.dims, and "
                f"name it in descriptor_sizes.runs"
            )
        return fill(self.paths.database, **_network(w), dataset=w.dataset)

    def histories(self, w: Wildcards) -> list[str]:
        """The training histories of all networks.

        Raises:
            InputError: no run is trained here.
        """
        if not self.config.trained:
            raise InputError("config: runs: none is trained here, so there are no training curves to draw")
        return self.targets.training_histories()

    def run_tables(self, pattern: str) -> Callable[[Wildcards], list[str]]:
        """An input function: a table of every network on the wildcards' dataset."""
        return lambda w: self.targets.each(pattern, dataset=w.dataset)

    def sizes(self, w: Wildcards) -> list[str]:
        """The tables of descriptor sizes of a dataset's runs.

        Raises:
            InputError: the configuration asks for no sizes.
        """
        if not self.config.sized:
            table = fill(self.paths.dataset_sizes, dataset=w.dataset)
            raise InputError(
                f"config: descriptor_sizes.dims: no size is asked for, so {table} cannot be made; set it, such as "
                f"descriptor_sizes: {{dims: [256, 64]}}"
            )
        return self.targets.sizes(w.dataset)


def _can_be_input(path: str) -> bool:
    """Whether Snakemake can take a path: it is no pattern and can be written as UTF-8."""
    return not WILDCARD.search(path) and is_utf8(path)


def _optional(path: str | None) -> str | list:
    """An input that may be left out: a named input is one path, or an empty list."""
    return path or []


def _network(w: Wildcards) -> dict[str, str]:
    return {"run": w.run, "seed": w.seed, "gen": w.gen}
