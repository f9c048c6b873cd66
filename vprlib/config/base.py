"""The base class of all sections of the configuration, its field types, and the wording of its errors."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from vprlib.exceptions import did_you_mean

Values = TypeVar("Values", bound=Sequence)
MAX_FAULTS = 5  # faults that one message names


def matching(pattern: str, kind: str) -> AfterValidator:
    """Return a validator of text that matches a pattern; `kind` describes such text in messages."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not {kind}")
        return value

    return AfterValidator(check)


NAME = "a letter or digit, and then letters, digits, `_`, `-` and `.`"
Name = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9_.-]*", NAME)]  # part of a path

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]  # k-means takes no larger one


def distinct_values(values: Values) -> Values:
    """Return the values if none of them occurs twice.

    Raises:
        ValueError: naming the first that does.
    """
    if len(set(values)) < len(values):
        raise ValueError(f"{next(value for value in values if values.count(value) > 1)!r} is given twice")
    return values


class Section(BaseModel):
    """A section of the configuration. It refuses unknown keys and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def refuse_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a boolean where a number is wanted: YAML also reads yes, no, on and off as booleans."""
        wanted = _kinds(cls.model_fields[info.field_name or ""].annotation)
        given = value if isinstance(value, (list, tuple)) else [value]
        if wanted & {int, float} and bool not in wanted and any(isinstance(part, bool) for part in given):
            raise ValueError(f"must be a number, not {value!r}")
        return value

    def without_defaults(self) -> dict[str, Any]:
        """Return the section as plain data without its defaults: a new key with a default then changes nothing."""
        return self.model_dump(mode="json", exclude_defaults=True)


def _kinds(annotation: Any) -> set[Any]:
    """Return the plain types that a field's type is made of."""
    parts = get_args(annotation)
    return set().union(*map(_kinds, parts)) if parts else {annotation}


def join_faults(faults: list[str]) -> str:
    """Join faults into one line: the first five, and the number of the others."""
    more = f" (and {len(faults) - MAX_FAULTS} more)" if len(faults) > MAX_FAULTS else ""
    return "; also: ".join(faults[:MAX_FAULTS]) + more


def explain_error(section: type[Section], error: ErrorDetails, prefix: str, briefly: bool = False) -> str:
    """Describe one of pydantic's errors: the key, after `prefix`, the value, and what is allowed."""
    key = (prefix + ".".join(str(part) for part in error["loc"])).removesuffix(".")
    if error["type"] == "extra_forbidden":
        fields = _section_at(section, error["loc"][:-1]).model_fields
        return f"{key}: unknown key; {did_you_mean(str(error['loc'][-1]), fields, briefly)}"
    if error["type"] == "missing":
        return f"{key}: missing; this key has no default"
    message = error["msg"].removeprefix("Value error, ")
    given = "" if error["type"] == "value_error" else f", not {error['input']!r}"
    return f"{key}: {message}{given}" if key else message


def _section_at(section: type[Section], location: tuple[int | str, ...]) -> type[Section]:
    """Return the section that a path of keys leads to."""
    for part in location:
        field = section.model_fields.get(str(part))
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
        section = sections[0] if sections else section
    return section
