"""The section of descriptors that were computed elsewhere, and that a run evaluates instead of a network."""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from vprlib.config.base import Section
from vprlib.exceptions import did_you_mean

DATASET = "{dataset}"  # stands for the name of a dataset in a path
ARRAYS = ("database", "queries")
LISTS = ("database_paths", "queries_paths")


class DescriptorFilesConfig(Section):
    """Descriptors of the test photos that another program computed; `{dataset}` in a path is the dataset's name.

    Give `file`, or `database` and `queries`. Rows are the test photos of the image table in its order, unless a list
    names the photo of each row.
    """

    database: str | None = Field(
        None, description="descriptors of the database: a `.npy` array, or an HDF5 file such as a `database.h5`"
    )
    queries: str | None = Field(None, description="descriptors of the queries, likewise")
    file: str | None = Field(
        None,
        description="instead of these: one HDF5 file with the datasets `database`, `queries`, and perhaps "
        "`database_paths`, `queries_paths`",
    )
    database_paths: str | None = Field(
        None,
        description="list of the photo of each row of `database`: a text file with one path a line, or a `.npy` array",
    )
    queries_paths: str | None = Field(None, description="list of the photo of each row of `queries`, likewise")
    kind: Literal["raw", "whitened"] = Field(
        "raw", description="kind of descriptor in tables and figures; of a `database.h5`, the one that is read"
    )

    @model_validator(mode="after")
    def check_files(self) -> Self:
        """Descriptors are in one file, or in one for each role, which may have a list of its own."""
        for key, named in self.files.items():
            if not named:
                raise ValueError(f"`{key}` is empty; name a file")
            if unknown := [part for part in re.findall(r"\{.*?\}", named) if part != DATASET]:
                raise ValueError(f"`{key}`: {unknown[0]} is unknown; {did_you_mean(unknown[0], (DATASET,))}")
        if (self.file is None) == all(getattr(self, key) is None for key in ARRAYS):
            raise ValueError("give `database` and `queries`, or `file`")
        if missing := [key for key in ARRAYS if self.file is None and getattr(self, key) is None]:
            raise ValueError(f"`{missing[0]}` is missing; give `database` and `queries`, or `file`")
        if idle := [key for key in LISTS if self.file is not None and getattr(self, key) is not None]:
            raise ValueError(f"`{idle[0]}` does nothing beside `file`, which holds its own lists; leave it out")
        return self

    @property
    def files(self) -> dict[str, str]:
        """The files that are named, by their key."""
        return {key: getattr(self, key) for key in ("file", *ARRAYS, *LISTS) if getattr(self, key) is not None}
