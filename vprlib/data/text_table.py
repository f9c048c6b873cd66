"""Read CSV tables whose labels are text as written: a place `NA`, `007` or `1e5` is neither missing nor a number."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from vprlib.exceptions import InputError
from vprlib.io.files import TABLE_CHECKSUM, check_csv

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import pandas as pd

MISSING_NUMBERS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "<NA>")  # as spreadsheets and programs write


def read_written_table(
    path: str | os.PathLike[str], is_number: Callable[[str], bool], *, required: bool = False
) -> pd.DataFrame:
    """Read a table that `write_csv` wrote, after comparing it with its checksum; see `read_text_table`.

    Args:
        path, is_number: as in `read_text_table`.
        required: whether a table without a checksum is refused.

    Raises:
        InputError: also if the file changed after it was written.
    """
    check_csv(path, required=required)
    table = read_text_table(path, is_number)
    return table.drop(columns=TABLE_CHECKSUM, errors="ignore")


def read_text_table(path: str | os.PathLike[str], is_number: Callable[[str], bool]) -> pd.DataFrame:
    """Read a CSV table; only the columns of numbers are parsed, and an empty cell is missing.

    Cells beyond the header's last column are ignored.

    Args:
        path: the CSV, in UTF-8.
        is_number: whether a column, by its name, holds numbers. A column of numbers with another cell is text.

    Raises:
        InputError: the file is not UTF-8 or cannot be parsed.
    """
    import pandas as pd

    try:
        columns = pd.read_csv(path, nrows=0, dtype=str).columns
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            return pd.read_csv(
                path,
                dtype={column: str for column in columns if not is_number(column)},
                keep_default_na=False,
                na_values={column: MISSING_NUMBERS if is_number(column) else ("",) for column in columns},
                index_col=False,  # otherwise a comma at the end of each row shifts the columns
            )
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from error
