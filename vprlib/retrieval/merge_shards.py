"""Join the shards of an extraction into one descriptor file per role."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import h5py

from vprlib.exceptions import InputError
from vprlib.io.files import h5_writer, open_h5, read_h5_attributes

FILES = {"database": "database.h5", "query": "queries.h5"}


def merge_shards(folder: Path, shards: Sequence[str | os.PathLike[str]]) -> None:
    """Join shards into `database.h5` and `queries.h5` of `folder`, with datasets `raw` and `whitened`, (N, D).

    Queries described with another framing than `fixed` are `raw@<framing>` and `whitened@<framing>` beside them.

    Args:
        folder: where the files are written.
        shards: files that `extract_shard` wrote, in order.

    Raises:
        InputError: if the shards were not made from the same checkpoint.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(open_h5(path)) for path in shards]
        _merge_opened(folder, shards, opened)


def _merge_opened(folder: Path, shards: Sequence[str | os.PathLike[str]], opened: list[h5py.File]) -> None:
    attributes = read_h5_attributes(opened[0])
    for path, file in zip(shards, opened, strict=True):
        if read_h5_attributes(file) != attributes:
            raise InputError(
                f"{path}: made from another checkpoint than {shards[0]}; run again with `-R extract_descriptors`"
            )
    for role, name in FILES.items():
        with h5_writer(folder / name) as out:
            for kind in opened[0][role]:
                parts = [file[role][kind] for file in opened]
                shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
                merged = out.create_dataset(kind, shape, parts[0].dtype)
                for number, part in enumerate(parts):
                    if len(part):
                        merged[number :: len(parts)] = part[:]
            out.attrs.update(attributes)
