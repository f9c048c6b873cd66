"""The options of a method: the keyword arguments of the function or class that the registry names.

Their names, types, bounds and defaults are read from the source by `ast`, so that a configuration is checked without
importing the method and what it needs (torch). A bound is written beside the type: `Annotated[float, "> 0"]`.
"""

import ast
import operator
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Literal, Union

from pydantic import TypeAdapter, ValidationError

from vprlib.exceptions import did_you_mean
from vprlib.registry import FAMILIES, find_entry

# arguments, from the left, that the pipeline itself gives to the methods of a family
GIVEN = {"backbone": 0, "aggregator": 1, "loss": 3, "optimiser": 1, "schedule": 1, "rerank": 3}
REQUIRED = object()
TYPES = {"int": int, "float": float, "bool": bool, "str": str, "None": None, "list": list, "dict": dict}
NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
BOUNDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True)
class Option:
    """One option of a method, as its signature and docstring declare it."""

    name: str
    type: Any  # a Python type; None: not known, any plain value is taken
    type_text: str
    bounds: tuple[str, ...]  # such as "> 0"
    default: Any  # REQUIRED if it has none
    description: str

    def check(self, value):
        """Return the value as the method takes it.

        Raises:
            ValueError: with what is wrong; the option is not named.
        """
        if isinstance(value, list):
            value = tuple(value)
        if isinstance(value, str) and self.type is float and NUMBER.fullmatch(value):
            value = float(value)  # YAML reads 1e-3 as text
        if self.type is not None:
            try:
                value = TypeAdapter(self.type).validate_python(value, strict=True)
            except ValidationError as error:
                raise ValueError(f"must be {self.type_text}, not {value!r}") from error
        for bound in self.bounds:
            sign, limit = bound.split()
            if value is not None and not BOUNDS[sign](value, float(limit)):
                raise ValueError(f"must be {bound}, not {value!r}")
        return value


def options_of(family: str, name: str) -> dict[str, Option]:
    """Return the options of a method by name, in the order of its signature.

    Raises:
        ValueError: if there is no such method, or its file cannot be found.
    """
    entry = find_entry(family, name)
    # of an entry such as `timm/*`, the rest of the name is the first argument
    given = GIVEN[family] + (entry in FAMILIES[family].values() and name not in FAMILIES[family])
    return {option.name: option for option in _options(_definition(entry.target), given)}


def traits_of(family: str, name: str) -> frozenset:
    """Return the traits of a method: those of the registry or, outside, of `traits = (...)` in its class.

    Raises:
        ValueError: as `options_of`.
    """
    entry = find_entry(family, name)
    if entry.target != name:
        return entry.traits
    for statement in getattr(_definition(entry.target), "body", ()):
        if isinstance(statement, ast.Assign) and [ast.unparse(part) for part in statement.targets] == ["traits"]:
            return frozenset(ast.literal_eval(statement.value))
    return frozenset()


def check_options(family: str, name: str, given: dict) -> dict:
    """Check the options that a configuration gives to a method.

    Returns:
        The same options, with values as the method takes them.

    Raises:
        ValueError: naming the option that is unknown (with the closest known one), missing, or of a wrong value.
    """
    known, checked = options_of(family, name), {}
    for option, value in given.items():
        if option not in known:
            hint = did_you_mean(option, known) if known else "it has none"
            raise ValueError(f"{name} has no option {option!r}; {hint}")
        try:
            checked[option] = known[option].check(value)
        except ValueError as error:
            raise ValueError(f"{option} {error}") from error
    missing = [option.name for option in known.values() if option.default is REQUIRED and option.name not in given]
    if missing:
        raise ValueError(f"{name} needs the option {missing[0]!r}")
    return checked


def source_folders() -> list[str]:
    """Where packages are looked for: as Python does, and in the working folder, beside the configuration."""
    return [*sys.path, str(Path.cwd())]


@cache
def _definition(target: str) -> ast.FunctionDef | ast.ClassDef:
    """The syntax tree of a function or class; names that a file imports from another one are followed there."""
    module, _, attribute = target.partition(":")
    path = _module_file(module)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == attribute:
            return node
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == attribute:
                    return _definition(f"{node.module}:{alias.name}")
    raise ValueError(f"{module} has no {attribute!r}; {did_you_mean(attribute, _public_names(path))}")


def _module_file(module: str) -> Path:
    """The file of a module, found without importing it or its parents."""
    folders = source_folders()
    for part in module.split("."):
        spec = PathFinder.find_spec(part, folders)
        if spec is None or spec.origin is None:
            raise ValueError(f"no module {module!r}; is its package installed, or does it lie in {Path.cwd()!s}?")
        folders = list(spec.submodule_search_locations or ())
        path = Path(spec.origin)
    return path


def _public_names(path: Path) -> list[str]:
    """The classes and functions that a module defines or imports by name."""
    names = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
    return [name for name in names if name[0] != "_" and name[0].isupper()] or [n for n in names if n[0] != "_"]


def _options(node: ast.FunctionDef | ast.ClassDef, given: int) -> Iterator[Option]:
    """Yield the options of a function, or of a class' `__init__`, less the first `given` arguments."""
    described = _described(ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef):
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        if not methods:
            return
        described |= _described(ast.get_docstring(methods[0]) or "")
        signature, given = methods[0].args, given + 1
    else:
        signature = node.args
    first = len(signature.args) - len(signature.defaults)
    pairs = [(arg, signature.defaults[i - first] if i >= first else None) for i, arg in enumerate(signature.args)]
    pairs = pairs[given:] + list(zip(signature.kwonlyargs, signature.kw_defaults, strict=True))
    for arg, default in pairs:
        try:
            value = REQUIRED if default is None else ast.literal_eval(default)
        except ValueError:
            continue  # its default is no plain value, so it is no setting
        kind, bounds = _type(arg.annotation)
        text = ast.unparse(arg.annotation) if arg.annotation else "any value"
        if isinstance(arg.annotation, ast.Subscript) and isinstance(arg.annotation.slice, ast.Tuple) and bounds:
            text = ast.unparse(arg.annotation.slice.elts[0])
        yield Option(arg.arg, kind, text, bounds, value, described.get(arg.arg, ""))


def _type(node: ast.AST | None) -> tuple[Any, tuple[str, ...]]:
    """(type, bounds) of an annotation; None for what is not a plain type. A union keeps its plain members."""
    if isinstance(node, ast.Constant) and node.value is None:
        return type(None), ()
    if isinstance(node, ast.Name):
        return TYPES.get(node.id), ()
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        members = [kind for kind in (_type(node.left)[0], _type(node.right)[0]) if kind is not None]
        return (Union[tuple(members)] if members else None), ()  # noqa: UP007
    if isinstance(node, ast.Subscript):
        outer = ast.unparse(node.value).rpartition(".")[2]
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if outer == "Literal":
            return Literal[tuple(ast.literal_eval(part) for part in inner)], ()
        if outer == "Annotated":
            return _type(inner[0])[0], tuple(ast.literal_eval(part) for part in inner[1:])
        kinds = [_type(part)[0] for part in inner]
        if outer == "Optional" and kinds[0] is not None:
            return kinds[0] | None, ()
        if outer == "Union" and any(kinds):
            return Union[tuple(kind for kind in kinds if kind is not None)], ()  # noqa: UP007
        if outer == "tuple" and all(kind is not None for kind in kinds):
            return tuple.__class_getitem__(tuple(kinds)), ()
    return None, ()


def _described(docstring: str) -> dict[str, str]:
    """Argument -> description, from the section `Args:` of a docstring."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", docstring, re.MULTILINE)
    found = {}
    for match in re.finditer(
        r"^    (\w+)(?: \([^)]*\))?: (.+(?:\n {8}.+)*)", section[1] if section else "", re.MULTILINE
    ):
        found[match[1]] = " ".join(match[2].split())
    return found
