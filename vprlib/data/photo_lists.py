"""Lists of photos whose order matters: the files that stand beside ground truth and descriptors without names."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from vprlib.data.dataset import join_path
from vprlib.data.photos import list_photos
from vprlib.exceptions import InputError

# a camera behind a name, as hloc and COLMAP write it: its model, width, height and parameters
CAMERA = re.compile(
    r"\s+(?:(?:SIMPLE_)?(?:PINHOLE|RADIAL)|(?:SIMPLE_)?RADIAL_FISHEYE|(?:FULL_)?OPENCV|OPENCV_FISHEYE|FOV|"
    r"THIN_PRISM_FISHEYE)(?:\s+[-+.\deE]+){4,}\s*$"
)


def read_photo_list(root: Path, listed: str) -> list[str]:
    """Read the paths of photos, in order, relative to the root (or absolute, where the list has them so).

    Args:
        root: the dataset's root.
        listed: a text file with one path a line (see `read_photo_names`), relative to its folder or absolute; a `.npy`
            array of such paths; or a folder, whose photos are taken in the order of their names. Relative to the root,
            or absolute.

    Raises:
        InputError: the list cannot be read or is empty, or the order of a folder's photos depends on how their numbers
            are read.
    """
    source = root / listed
    if source.is_dir():
        names = list_photos(source)
        _check_order(source, names)
        return [join_path(listed, name) for name in names]
    return [join_path(str(Path(listed).parent), name) for name in read_photo_names(source)]


def read_photo_names(source: Path) -> list[str]:
    """Read the names of a list of photos as they are written, without the cameras of hloc's lists.

    Args:
        source: a text file with one name a line, perhaps with the photo's camera behind it; or a `.npy` array of names.

    Raises:
        InputError: the list cannot be read or is empty.
    """
    if source.suffix == ".npy":
        names = _read_array(source)
    else:
        names = [CAMERA.sub("", line).strip() for line in read_lines(source, "a list of paths") if line.strip()]
    if not names:
        raise InputError(f"{source}: lists no photo; write one path a line")
    return names


class PhotoFinder:
    """Find photos by names: a name is a photo's path, or the end of it, or ends with the whole path.

    Photos are searched in this order among all that a name may mean, so the whole path of one never means another one.

    Args:
        paths: the photos, whose rows are returned.
        among: other photos that a name may mean; `paths` may be among them.

    >>> finder = PhotoFinder(["q/a/1.jpg", "q/b/1.jpg"])
    >>> finder.find("a/1.jpg"), finder.find("1.jpg"), finder.find("/far/q/b/1.jpg"), finder.find("c/1.jpg")
    ([0], [0, 1], [1], [])
    >>> finder.find("../../b/1.jpg")
    [1]
    >>> finder = PhotoFinder(["1.jpg"], among=["q/1.jpg"])
    >>> finder.find("1.jpg"), finder.find("q/1.jpg"), finder.find("/far/q/1.jpg"), finder.find("/far/1.jpg")
    ([0], [], [], [0])
    """

    def __init__(self, paths: Sequence[str], among: Sequence[str] = ()) -> None:
        self.row_of_path = {os.path.normpath(path): row for row, path in enumerate(paths)}
        self.known = dict.fromkeys([*self.row_of_path, *map(os.path.normpath, among)])  # a set in a stable order

    def find(self, name: str) -> list[int]:
        """Return the rows of the photos that a name may mean, none of those that are only `among` them."""
        return [self.row_of_path[path] for path in self._paths(name) if path in self.row_of_path]

    def knows(self, name: str) -> bool:
        """Return whether a name may mean any photo, also one that is only `among` them."""
        return bool(self._paths(name))

    def _paths(self, name: str) -> list[str]:
        """Return the paths that a name may mean."""
        name = os.path.normpath(name)
        if name in self.known:
            return [name]
        name = re.sub(r"^(\.\./)+", "", name)  # steps out of the working folder name no folder
        if paths := self._paths_by_end.get(name):
            return paths
        parts = name.split("/")
        ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
        return next(([end] for end in ends if end in self.known), [])

    @cached_property
    def _paths_by_end(self) -> dict[str, list[str]]:
        """Each end of a path, and the paths that have it; whole paths need none of this."""
        paths_by_end: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.known:
            parts = path.split("/")
            for start in range(len(parts)):
                paths_by_end["/".join(parts[start:])].append(path)
        return paths_by_end


def names_below_common_folder(*lists: Sequence[str]) -> tuple[str, list[list[str]]]:
    """Return the lowest folder that holds all photos of some lists, and each list as paths relative to it.

    >>> names_below_common_folder(["/a/q/1.jpg"], ["/a/db/x/1.jpg", "/a/db/y/1.jpg"])
    ('/a', [['q/1.jpg'], ['db/x/1.jpg', 'db/y/1.jpg']])
    """
    whole = [[os.path.abspath(path) for path in paths] for paths in lists]  # noqa: PTH100 - links are not followed
    root = os.path.commonpath({os.path.dirname(path) for paths in whole for path in paths})  # noqa: PTH120
    return root, [[os.path.relpath(path, root) for path in paths] for paths in whole]


def check_list_length(count: int, names: list[str], *, source: Path, what: str, listed: str) -> None:
    """Check that ground truth has as many rows as its list has photos.

    Args:
        count: number of rows.
        names: the photos.
        source: the file of the ground truth, for the message.
        what: which rows, for the message.
        listed: the list of photos, for the message.

    Raises:
        InputError: the numbers differ.
    """
    if count != len(names):
        raise InputError(
            f"{source}: {what} has {count} rows, and {listed} has {len(names)} photos; one row a photo, in the same "
            "order, is needed"
        )


def read_lines(source: Path, content: str) -> list[str]:
    """Return the lines of a text file.

    Args:
        source: the file, in UTF-8.
        content: what it should hold, for the message.

    Raises:
        InputError: it cannot be read as UTF-8.
    """
    try:
        return source.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: cannot be read as {content} in UTF-8 ({error})") from error


def number_key(name: str) -> list[tuple[int, int | str]]:
    """Return a sort key that compares the numbers in names as numbers.

    >>> sorted(["a10.jpg", "a9.jpg"], key=number_key)
    ['a9.jpg', 'a10.jpg']
    """
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]


def _check_order(folder: Path, names: list[str]) -> None:
    """Check that photos have the same order by name and by number.

    Raises:
        InputError: naming the first two that have not.
    """
    by_number = sorted(names, key=number_key)
    if by_number != names:
        first = next(n for n, (name, other) in enumerate(zip(names, by_number, strict=True)) if name != other)
        raise InputError(
            f"{folder}: the order of its photos is unclear ({names[first]} or {by_number[first]} first); name a text "
            "file instead, one path a line, in the order of the ground truth"
        )


def _read_array(source: Path) -> list[str]:
    """Return the strings of a `.npy` array.

    Raises:
        InputError: it is no array of strings.
    """
    import numpy as np

    try:
        array = np.load(source, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{source}: cannot be read as an array of paths ({error}); write them as text, one a line"
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "US" or array.ndim != 1:
        raise InputError(f"{source}: is no array of strings, one for each photo; write the paths as text, one a line")
    return [str(name) if array.dtype.kind == "U" else name.decode() for name in array]
