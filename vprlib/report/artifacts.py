"""What a campaign asked for, where its files lie, and which of them are there and current."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from vprlib.config import Config
from vprlib.data.protocol import Protocol
from vprlib.evaluation.recall_table import read_results


class EvaluatedNetwork(NamedTuple):
    """One network of a campaign."""

    run: str
    seed: int
    gen: int
    identity: str  # the fingerprint of its recipe, as the configuration has it now

    def __str__(self):
        return f"{self.run}, seed {self.seed}, generation {self.gen}"

    @property
    def path(self) -> str:
        return f"{self.run}/seed{self.seed}/gen{self.gen}"


class MissingPart(NamedTuple):
    """Something that was asked for and is not on the page."""

    what: str
    why: str


@dataclass(frozen=True)
class Artifacts:
    """Networks to be judged on datasets, and the folders that hold their files."""

    config: Config
    asked: dict  # the configuration as the user wrote it, of all files and the command line; without `execution`
    networks: list  # of Network, in the configuration's order
    protocols: dict  # dataset -> its Protocols
    configfiles: tuple = ()  # those that it was read from; later ones override earlier ones
    overrides: tuple = ()  # `key=value` of the command line
    results: Path = Path("results")
    logs: Path = Path("logs")
    gaps: list = field(default_factory=list)  # found so far

    def model(self, network: EvaluatedNetwork) -> Path:
        return self.results / "models" / network.path

    def evaluation(self, dataset: str, network: EvaluatedNetwork) -> Path:
        return self.results / dataset / network.path

    def rankings(self, dataset: str, network: EvaluatedNetwork) -> dict:
        """Re-ranker (or `none`) -> ranking file, of those that are there."""
        folder = self.evaluation(dataset, network)
        paths = {"none": folder / "ranking.h5"}
        paths |= {one.name: folder / "rerank" / f"{one.name}.h5" for one in self.config.rerank}
        for name, path in paths.items():
            if not path.exists():
                again = "" if name == "none" else f", {name}"
                self.lacks(f"{dataset}: answers of {network}{again}", f"{path} is not there yet")
        return {name: path for name, path in paths.items() if path.exists()}

    def lacks(self, what: str, why: str):
        """Remember a gap, to be shown."""
        if MissingPart(what, why) not in self.gaps:
            self.gaps.append(MissingPart(what, why))

    @cached_property
    def evaluated(self) -> dict:
        """(dataset, network) -> its recalls, of all evaluations that are there and of the recipe of now."""
        found = {}
        for name in self.protocols:
            for network in self.networks:
                path = self.evaluation(name, network) / "recalls.csv"
                what = f"{name}: {network}"
                table = self.table(path, what)
                if table is None:
                    continue
                if set(table.config) != {network.identity}:
                    self.lacks(what, f"{path} was made with another configuration")
                    continue
                found[name, network] = table
        return found

    def table(self, path: Path, what: str):
        """A tidy table, or None where it is missing or empty, which is a gap called `what`."""
        if not path.exists():
            self.lacks(what, f"{path} is not there yet")
            return None
        try:
            table = read_results(path)
        except (ValueError, OSError) as error:  # half a file, as another program may leave it
            self.lacks(what, f"{path} cannot be read ({error})")
            return None
        if table.empty:
            self.lacks(what, f"{path} has no row")
            return None
        return table

    def joined(self, path: Path, what: str, dataset: str):
        """As `table`, of one that joins the evaluations of a dataset's runs: the rows of the networks of now.

        One that is older than an evaluation of its dataset is a gap: it may hold another recipe's numbers. The sizes
        are measured beside the evaluations, and so may be older.
        """
        made = [self.evaluation(dataset, network) / "queries.csv" for network in self.networks]
        newest = max((one.stat().st_mtime for one in made if one.exists()), default=0)
        if path.exists() and path.stat().st_mtime < newest and path.name != "sizes.csv":
            self.lacks(what, f"{path} is older than an evaluation that it should hold")
            return None
        table = self.table(path, what)
        if table is None:
            return None
        asked = [(network.run, network.seed, network.gen) for network in self.networks]
        table = table[pd.MultiIndex.from_frame(table[["run", "seed", "gen"]]).isin(asked)]
        return None if table.empty else table

    @cached_property
    def recalls(self):
        """All recalls that are there, or None."""
        return pd.concat(self.evaluated.values(), ignore_index=True) if self.evaluated else None


def artifacts_of_job(snakemake, config: Config) -> Artifacts:
    """The campaign of a `report` or `preview` job."""
    params = snakemake.params
    return Artifacts(
        config=config,
        asked=params.asked,
        networks=[EvaluatedNetwork(*one) for one in params.networks],
        protocols={name: [Protocol(**one) for one in judged] for name, judged in params.judged.items()},
        configfiles=tuple(params.configfiles),
        overrides=tuple(params.overrides),
    )
