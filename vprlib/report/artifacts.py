"""List the artefacts that a configuration requests, locate their files, and read those that exist and are current."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from vprlib.config import Config
from vprlib.data.catalogue import get_dataset
from vprlib.data.protocol import Protocol
from vprlib.evaluation.recall_table import read_results
from vprlib.jobs.paths import SHARED, Paths, fill
from vprlib.jobs.targets import Targets


class EvaluatedNetwork(NamedTuple):
    """One network of an experiment: a generation of a run, trained with one seed."""

    run: str
    seed: int
    gen: int
    identity: str  # the fingerprint of its recipe in the current configuration

    def __str__(self) -> str:
        return f"{self.run}, seed {self.seed}, generation {self.gen}"

    @property
    def path(self) -> str:
        """The network's part of a path below `results/models` or `results/<dataset>`."""
        return f"{self.run}/seed{self.seed}/gen{self.gen}"


class MissingPart(NamedTuple):
    """A part that was requested and is not on the page, and the reason."""

    what: str
    why: str


@dataclass(frozen=True)
class Artifacts:
    """The artefacts of an experiment: its networks, their evaluations on datasets, and the folders of all files."""

    config: Config
    asked: dict[str, Any]  # the configuration as the user wrote it (files and command line), without `execution`
    networks: list[EvaluatedNetwork]  # in the order of the configuration
    protocols: dict[str, list[Protocol]]  # dataset -> its protocols
    configfiles: tuple[
        str, ...
    ] = ()  # the files that the configuration was read from; later ones override earlier ones
    overrides: tuple[str, ...] = ()  # `key=value` of the command line
    results: Path = Path("results")  # of the experiment
    shared: Path | None = None  # of what all experiments share; None: `results`
    logs: Path = Path("logs")  # of the jobs that make what is shared
    gaps: list[MissingPart] = field(default_factory=list)  # the parts that were found to be missing so far

    def file(self, name: str, dataset: str = "", network: EvaluatedNetwork | None = None, **wildcards: str) -> Path:
        """Return the path of an artefact, by the name of its pattern in `vprlib.jobs.paths.Paths`."""
        names = {"run": network.run, "seed": network.seed, "gen": network.gen} if network else {}
        return Path(fill(getattr(self.paths, name), dataset=dataset, **names, **wildcards))

    @property
    def paths(self) -> Paths:
        """The patterns of all files."""
        return Paths(self.results, self.shared or self.results)

    def model(self, network: EvaluatedNetwork) -> Path:
        """Return the folder of a network's training."""
        return self.file("model", network=network)

    def evaluation(self, dataset: str, network: EvaluatedNetwork) -> Path:
        """Return the folder of a network's evaluation on a dataset."""
        return self.file("evaluation", dataset, network)

    def rankings(self, dataset: str, network: EvaluatedNetwork) -> dict[str, Path]:
        """Return the ranking files that exist, {label of the re-ranking or `none`: file}.

        The others are recorded as missing.
        """
        paths = {"none": self.file("ranking", dataset, network)}
        for series in (one.series for one in self.config.rerank):
            paths[series] = self.file("reranking", dataset, network, rerank=series)
        for name, path in paths.items():
            if not path.exists():
                reranker = "" if name == "none" else f", {name}"
                self.add_missing(f"{dataset}: predictions of {network}{reranker}", f"{path} is not there yet")
        return {name: path for name, path in paths.items() if path.exists()}

    def stage_jobs(self) -> dict[str, list[str]]:
        """Return the jobs that this configuration needs, {rule: names of their logs}."""
        catalogue = {name: get_dataset(name, self.config) for name in self.config.dataset_names}
        return Targets(self.config, catalogue, self.paths).stage_jobs()

    def add_missing(self, what: str, why: str) -> None:
        """Record a missing part, which the page lists as a gap."""
        if MissingPart(what, why) not in self.gaps:
            self.gaps.append(MissingPart(what, why))

    @cached_property
    def evaluated(self) -> dict[tuple[str, EvaluatedNetwork], pd.DataFrame]:
        """The recalls of all evaluations that exist and were made with the current recipe, by (dataset, network)."""
        recalls = {}
        for name in self.protocols:
            for network in self.networks:
                path = self.file("run_recalls", name, network)
                what = f"{name}: {network}"
                table = self.table(path, what)
                if table is None:
                    continue
                if set(table.config_hash) != {network.identity}:
                    self.add_missing(what, f"{path} was made with another configuration")
                    continue
                recalls[name, network] = table
        return recalls

    def table(self, path: Path, what: str) -> pd.DataFrame | None:
        """Read a tidy table; return None, and record `what` as missing, if it does not exist or is empty."""
        if not path.exists():
            self.add_missing(what, f"{path} is not there yet")
            return None
        try:
            table = read_results(path)
        except (ValueError, OSError) as error:  # for example a file that another program left incomplete
            self.add_missing(what, f"{path} cannot be read ({error})")
            return None
        if table.empty:
            self.add_missing(what, f"{path} has no rows")
            return None
        return table

    def joined(self, path: Path, what: str, dataset: str) -> pd.DataFrame | None:
        """Read a table that joins the evaluations of a dataset's runs, and keep the rows of the current networks.

        Returns None, and records `what` as missing, as `table` does. It does so also if the table is older than an
        evaluation of its dataset: it may hold another recipe's numbers. `sizes.csv` may be older, because the sizes are
        measured independently of the evaluations.
        """
        evaluations = [self.file("run_queries", dataset, network) for network in self.networks]
        newest = max((file.stat().st_mtime for file in evaluations if file.exists()), default=0.0)
        if path.exists() and path.stat().st_mtime < newest and path != self.file("dataset_sizes", dataset):
            self.add_missing(what, f"{path} is older than an evaluation that it should contain")
            return None
        table = self.table(path, what)
        if table is None:
            return None
        names = [name for name in ("run", "seed", "gen") if name in table]  # a difference is of all seeds
        networks = [tuple(getattr(network, name) for name in names) for network in self.networks]
        table = table[pd.MultiIndex.from_frame(table[names]).isin(networks)]
        return None if table.empty else table

    @cached_property
    def recalls(self) -> pd.DataFrame | None:
        """The recalls of all evaluations that exist, or None."""
        return pd.concat(self.evaluated.values(), ignore_index=True) if self.evaluated else None


def artifacts_of_job(snakemake: Any, config: Config) -> Artifacts:
    """Return the artefacts of a `build_report` or `preview_report` job."""
    params = snakemake.params
    return Artifacts(
        config=config,
        asked=params.config,
        networks=[EvaluatedNetwork(*fields) for fields in params.networks],
        protocols={name: [Protocol(**fields) for fields in protocols] for name, protocols in params.protocols.items()},
        configfiles=tuple(params.configfiles),
        overrides=tuple(params.overrides),
        results=Path(config.results),
        shared=Path(SHARED),
    )
