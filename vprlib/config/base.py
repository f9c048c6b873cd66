"""What every section of the configuration is made of: its types, and how its faults are told."""

import re
from typing import Annotated, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict

from vprlib.exceptions import did_you_mean
from vprlib.registry import check_name

NAMED = 5  # faults that one message names


def registered(family: str):
    """A name of this family of methods or datasets."""
    return AfterValidator(lambda name: check_name(family, name))


def matching(pattern: str, kind: str):
    """Text of this pattern, which messages call `kind`."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not {kind}")
        return value

    return AfterValidator(check)


NAME = "a letter or digit, and then letters, digits, `_`, `-` and `.`"
Name = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9_.-]*", NAME)]  # part of a path


def distinct_values(values):
    """Values of which none is given twice."""
    if len(set(values)) < len(values):
        raise ValueError(f"{next(value for value in values if values.count(value) > 1)!r} is given twice")
    return values


class Section(BaseModel):
    """Typo-proof and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)


def join_faults(faults: list) -> str:
    """Several faults in one line: the first five, and how many more there are."""
    more = f" (and {len(faults) - NAMED} more)" if len(faults) > NAMED else ""
    return "; also: ".join(faults[:NAMED]) + more


def explain_error(section: type[Section], error: dict, prefix: str, briefly: bool = False) -> str:
    """One of pydantic's errors in our words: the key, after `prefix`, the value and what is allowed."""
    key = (prefix + ".".join(str(part) for part in error["loc"])).removesuffix(".")
    if error["type"] == "extra_forbidden":
        fields = _section_at(section, error["loc"][:-1]).model_fields
        return f"{key}: unknown key; {did_you_mean(str(error['loc'][-1]), fields, briefly)}"
    if error["type"] == "missing":
        return f"{key}: missing"
    message = error["msg"].removeprefix("Value error, ")
    given = "" if error["type"] == "value_error" else f", not {error['input']!r}"
    return f"{key}: {message}{given}" if key else message


def _section_at(section: type[Section], location) -> type[Section]:
    """The section that a path of keys leads to."""
    for part in location:
        annotation = section.model_fields[part].annotation if part in getattr(section, "model_fields", {}) else section
        sections = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, Section)]
        section = sections[0] if sections else section
    return section
