"""The sections of the datasets: the rendered city, datasets of your own, and how a dataset is verified."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from vprlib.config.base import Name, Section, Seed


class CityConfig(Section):
    """The rendered city: its name and its size."""

    name: Name = Field(
        "city", description="name of its datasets, `{name}` by day and `{name}_night`; another city has another name"
    )
    seed: Seed = Field(0, description="seed of the city: its streets, facades, photos and cars")
    height: PositiveInt = Field(96, description="height of a photo, pixels")
    width: PositiveInt = Field(128, description="width of a photo, pixels")
    blocks: PositiveInt = Field(6, description="blocks along each side of the city")
    spacing: PositiveFloat = Field(10, description="distance between two neighbouring places, metres")
    train_places: PositiveInt = Field(120, description="places of the training split, 12 database photos each")
    train_queries: PositiveInt = Field(1500, description="query photos of the training split")
    val_places: PositiveInt = Field(40, description="places of the validation split")
    val_queries: PositiveInt = Field(300, description="query photos of the validation split")
    test_places: PositiveInt = Field(40, description="places of the test split")
    test_queries: PositiveInt = Field(500, description="query photos of the test split")

    @property
    def size(self) -> dict[str, int | float]:
        """The seed, and the numbers of pixels, places and queries: all that the photos depend on."""
        return self.model_dump(exclude={"name"})


# keys of a dataset's sources, one of which is given; those of BESIDE name the photos of a source without names
SOURCES = ("csv", "folder", "npz", "mat", "positives", "pairs", "database_track")
LISTS_OF_HITS = ("positives", "pairs")
WITH_NAMES = ("csv", "folder", "mat")
BESIDE = ("queries_track", "database", "queries")
DISTANCES = ("radius", "unit", "views_per_place")  # keys that do nothing where positives are listed


class OwnDatasetConfig(Section):
    """A dataset of your own: a CSV, a folder of photos that carry their positions, or ground truth of another format.

    Exactly one of `csv`, `folder`, `npz`, `mat`, `positives`, `pairs` and `database_track` is given.
    """

    csv: str | None = Field(None, description="CSV file with one row per image")
    folder: str | None = Field(
        None, description="folder of photos with GPS in EXIF, with UTM in their names, or with one sub-folder per place"
    )
    npz: str | None = Field(
        None, description="`.npz` file with utmDb, utmQ (metres) and perhaps posDistThr; needs `database`, `queries`"
    )
    mat: str | None = Field(
        None,
        description="MATLAB file with a `dbStruct`; `database` and `queries` are the folders of its photos, or else "
        "these lie beside the file",
    )
    positives: str | None = Field(
        None,
        description="`.npy` or `.json` with a list for each query of the numbers of its positives; needs `database`, "
        "`queries`",
    )
    pairs: str | None = Field(
        None,
        description="text file with the names of a query and of one of its positives in each line, as hloc and COLMAP "
        "write it; needs `database`, `queries`",
    )
    database_track: str | None = Field(
        None,
        description="track of the database's frames, one point a frame: `.gpx`, `.geojson`, KITTI's poses (`.txt`) or "
        "its folder of oxts files; needs `queries_track`, `database`, `queries`",
    )
    queries_track: str | None = Field(None, description="track of the queries' frames, likewise")
    database: str | None = Field(
        None,
        description="database photos in the order of the ground truth: a text file with one path a line, a `.npy` of "
        "paths, or a folder; beside `folder`, a text file of paths below it, as hloc's lists",
    )
    queries: str | None = Field(None, description="query photos, likewise")
    first_index: Literal[0, 1] | None = Field(
        None, description="number of the first photo in `positives`, where the file does not tell"
    )
    radius: PositiveFloat = Field(25, description="largest distance of a hit from its query, in `unit`")
    unit: Literal["m", "frames"] = Field("m", description="unit of the positions: metres (UTM), or frame numbers")
    views_per_place: PositiveInt | None = Field(
        None, description="number of views per place; if given, only the first candidate of each place counts"
    )
    framing: Literal["fixed", "shorter", "crop", "five_mean", "five_nearest"] = Field(
        "fixed", description="how query photos of another shape are fitted to the input size of the network"
    )
    protocol: str = Field("own", description="name of the protocol in tables and figures")

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """A dataset has one source, and lists of photos where the source needs them."""
        given = [key for key in SOURCES if getattr(self, key) is not None]
        if len(given) != 1:
            named = ", not " + " and ".join(f"`{key}`" for key in given) if given else ""
            raise ValueError("give one of " + ", ".join(f"`{key}`" for key in SOURCES) + named)
        if empty := [key for key, named in self.files.items() if not named]:
            raise ValueError(f"`{empty[0]}` is empty; name a file or folder")
        source = given[0]
        lists = () if source == "csv" else ("database", "queries")
        allowed = ("queries_track", *lists) if source == "database_track" else lists
        for key in BESIDE:
            if getattr(self, key) is not None and key not in allowed:
                raise ValueError(f"`{key}` does nothing beside `{source}`; leave it out")
            together = source not in WITH_NAMES or (source == "folder" and (self.database or self.queries))
            if getattr(self, key) is None and key in allowed and together:
                raise ValueError(f"`{source}` needs {', '.join(f'`{name}`' for name in allowed)}; `{key}` is missing")
        self._check_listed(source)
        return self

    def _check_listed(self, source: str) -> None:
        """Check the keys that apply to listed positives only, or not to them."""
        if source != "positives" and self.first_index is not None:
            raise ValueError(f"`first_index` does nothing beside `{source}`; leave it out")
        if source == "database_track" and self.unit != "m":
            raise ValueError(f"`unit` {self.unit!r} does not fit `database_track`, whose positions are in metres")
        for key in DISTANCES:
            if source in LISTS_OF_HITS and key in self.model_fields_set:
                raise ValueError(f"`{key}` does nothing beside `{source}`, which lists the hits; leave it out")

    @property
    def files(self) -> dict[str, str]:
        """The files and folders that are named, by their key."""
        return {key: getattr(self, key) for key in (*SOURCES, *BESIDE) if getattr(self, key) is not None}


class VerifyConfig(Section):
    """The check of a dataset's photos, positions and splits."""

    max_hash_distance: int = Field(
        4,
        ge=0,
        le=31,
        description="largest number of bits, of 64, that differ in the perceptual hashes of near-duplicates",
    )
