"""Read the options of a function or class from its source, without importing it.

Definitions are found as Python finds modules; names that a file imports from another one are followed there. An option
is a parameter that the pipeline itself does not give; its type, bounds, default and description are read from the
signature and the docstring. A bound is written beside the type: `Annotated[float, "> 0"]`.
"""

import ast
import operator
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union

from pydantic import TypeAdapter, ValidationError

from vprlib.exceptions import did_you_mean

REQUIRED = object()
TYPES = {"int": int, "float": float, "bool": bool, "str": str, "list": list, "dict": dict, "tuple": tuple}
BOUNDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
BOUND = re.compile(r"\s*(>=|<=|>|<)\s*([-+.\deE]+)\s*")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
GENERIC: dict[str, Any] = {"list": list, "tuple": tuple, "dict": dict}
Parameter = tuple[str, ast.expr | None, ast.expr | None]  # name, annotation, default
ANY = object()  # a type that is not a plain one: every plain value is accepted


@dataclass(frozen=True)
class Option:
    """One option of a method, as its signature and docstring declare it."""

    name: str
    type: Any  # a Python type, or ANY
    type_text: str
    bounds: tuple[str, ...]  # such as "> 0"
    default: Any  # REQUIRED if it has none
    description: str

    def check(self, value: Any) -> Any:
        """Return the value as the method takes it: lists as tuples where it takes those, `1e-3` as a number.

        Raises:
            ValueError: with what is wrong; the message does not name the option.
        """
        wanted = self.type
        if wanted is ANY and isinstance(self.default, (int, float)) and not isinstance(self.default, bool):
            value = _numbers(value)
            if isinstance(value, bool):
                raise ValueError(f"must be a number, not {value!r}")
        checked = value if wanted is ANY else self._validated(value)
        if not all(isfinite(part) for part in _floats(checked)):
            raise ValueError(f"must be finite, not {value!r}")
        for bound in self.bounds:
            match = BOUND.fullmatch(bound)
            if match and checked is not None and not BOUNDS[match[1]](checked, float(match[2])):
                raise ValueError(f"must be {bound}, not {value!r}")
        return checked

    def _validated(self, value: Any) -> Any:
        adapter = TypeAdapter(self.type)
        for candidate in (value, _tuples(value), _numbers(value), _tuples(_numbers(value))):
            try:
                return adapter.validate_python(candidate, strict=True)
            except ValidationError:
                continue
        raise ValueError(f"must be {self.type_text}, not {value!r}")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _numbers(value: Any) -> Any:
    """Numbers that YAML reads as text, such as 1e-3."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_numbers, value))
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def _floats(value: Any) -> list[float]:
    parts = value if isinstance(value, (list, tuple)) else [value]
    return [part for part in parts if isinstance(part, float)]


class Definition(NamedTuple):
    """A function or class in a source file."""

    node: ast.FunctionDef | ast.ClassDef
    module: str
    path: Path


@cache
def find_definition(target: str) -> Definition:
    """Find a function or class by its address, "package.module:name".

    Raises:
        ValueError: if there is no such module or name, or its file is no Python.
    """
    return _find(target, frozenset())


def _find(target: str, visited: frozenset[str]) -> Definition:
    module, _, name = target.partition(":")
    path = _module_file(module)
    names = []
    if target not in visited:
        for node in _statements(path):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.append(node.name)
                if node.name == name:
                    return Definition(node, module, path)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
                if name in [part.id for part in node.targets if isinstance(part, ast.Name)]:
                    return _find(f"{module}:{node.value.id}", visited | {target})
            elif isinstance(node, ast.ImportFrom):
                home = _import_home(node, module, path)
                for alias in node.names:
                    names.append(alias.asname or alias.name)
                    if names[-1] == name:
                        return _find(f"{home}:{alias.name}", visited | {target})
                    if alias.name == "*":
                        try:
                            return _find(f"{home}:{name}", visited | {target})
                        except ValueError:
                            continue
    public = [known for known in names if known[0] not in "_*"]
    classes = [known for known in public if known[0].isupper()]
    raise ValueError(f"{module} has no {name!r}; {did_you_mean(name, classes or public)}")


def _import_home(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The module that an import reads, also of a relative one."""
    if not node.level:
        return node.module or ""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *filter(None, [node.module])])


def _statements(path: Path) -> Iterator[ast.stmt]:
    """The statements at the top of a file, also those inside `if` and `try`."""
    try:
        with tokenize.open(path) as file:
            tree = ast.parse(file.read())
    except (SyntaxError, UnicodeDecodeError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ValueError(f"{path}{where}: is not Python ({getattr(error, 'msg', error)})") from error
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, (ast.If, ast.Try)):
            inner = [*node.body, *node.orelse]
            inner += [part for handler in getattr(node, "handlers", ()) for part in handler.body]
            waiting = inner + waiting


def _module_file(module: str) -> Path:
    """The file of a module, found without importing it or its parents."""
    folders, path = [*sys.path, str(Path.cwd())], None  # a package may lie beside the configuration
    for part in module.split("."):
        spec = PathFinder.find_spec(part, folders)
        if spec is None:
            raise ValueError(f"no module {module!r}; is its package installed, or does it lie in {Path.cwd()}?")
        folders = list(spec.submodule_search_locations or ())
        path = Path(spec.origin) if spec.origin else None
    if path is None or path.suffix != ".py":
        raise ValueError(f"{module!r} is not a file of Python source")
    return path


def read_options(definition: Definition, given: int) -> dict[str, Option]:
    """Read the options of a function or class: its parameters less the first `given`, which the pipeline gives.

    A class without `__init__` has those of its base class, a dataclass its fields.

    Returns:
        Options by name, in the order of the signature. A parameter whose default is no literal is no option.
    """
    node = definition.node
    described = _described(ast.get_docstring(node) or "")
    if isinstance(node, ast.FunctionDef):
        return {one.name: one for one in _parameters(node.args, given, described)}
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            described |= _described(ast.get_docstring(part) or "")
            return {one.name: one for one in _parameters(part.args, given + 1, described)}
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
        pairs: list[Parameter] = [(ast.unparse(part.target), part.annotation, part.value) for part in fields]
        return {one.name: one for one in _options(pairs[given:], described)}
    for base in node.bases:
        try:
            inherited = find_definition(f"{definition.module}:{ast.unparse(base)}")
        except ValueError:  # such as nn.Module, by the name of its package
            continue
        return read_options(inherited, given)
    return {}


def _parameters(signature: ast.arguments, given: int, described: dict[str, str]) -> Iterator[Option]:
    positional = [*signature.posonlyargs, *signature.args]
    first = len(positional) - len(signature.defaults)
    pairs: list[Parameter] = [
        (arg.arg, arg.annotation, signature.defaults[number - first] if number >= first else None)
        for number, arg in enumerate(positional)
    ]
    keywords = zip(signature.kwonlyargs, signature.kw_defaults, strict=True)
    pairs = pairs[given:] + [(arg.arg, arg.annotation, default) for arg, default in keywords]
    return _options(pairs, described)


def _options(pairs: Sequence[Parameter], described: dict[str, str]) -> Iterator[Option]:
    for name, annotation, default in pairs:
        try:
            value = REQUIRED if default is None else ast.literal_eval(default)
        except (ValueError, TypeError):
            continue
        kind, bounds = _type(annotation)
        yield Option(name, kind, _type_text(annotation), bounds, value, described.get(name, ""))


def _type_text(annotation: ast.expr | None) -> str:
    """A type as people read it: without `Annotated`, `Literal` and types of tensors."""
    if annotation is None:
        return "any value"
    if isinstance(annotation, ast.Subscript):
        outer = ast.unparse(annotation.value).rpartition(".")[2]
        parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if outer == "Annotated":
            return _type_text(parts[0])
        if outer == "Literal":
            return " or ".join(ast.unparse(part) for part in parts)
    return ast.unparse(annotation).replace(" | Tensor", "").replace("None", "none")


def _type(node: ast.expr | None) -> tuple[Any, tuple[str, ...]]:
    """(type, bounds) of an annotation. A union has the bounds of its members; one with an unknown member is ANY."""
    if isinstance(node, ast.Constant) and node.value is None:
        return type(None), ()
    if isinstance(node, ast.Name):
        return TYPES.get(node.id, ANY), ()
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([node.left, node.right])
    if not isinstance(node, ast.Subscript):
        return ANY, ()
    outer = ast.unparse(node.value).rpartition(".")[2]
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if outer == "Literal":
        return Literal[tuple(ast.literal_eval(part) for part in inner)], ()
    if outer == "Annotated":
        kind, bounds = _type(inner[0])
        extra = [part.value for part in inner[1:] if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        return kind, (*bounds, *(bound for bound in extra if BOUND.fullmatch(bound)))
    if outer == "Optional":
        return _union([*inner, ast.Constant(None)])
    if outer == "Union":
        return _union(inner)
    kinds = [... if isinstance(part, ast.Constant) and part.value is ... else _type(part)[0] for part in inner]
    if outer in ("list", "tuple", "dict") and ANY not in kinds:
        return GENERIC[outer][tuple(kinds)], ()
    return ANY, ()


def _union(parts: list[ast.expr]) -> tuple[Any, tuple[str, ...]]:
    members = [_type(part) for part in parts if ast.unparse(part).rpartition(".")[2] != "Tensor"]
    kinds, bounds = [kind for kind, _ in members], tuple(bound for _, own in members for bound in own)
    return (ANY if ANY in kinds or not kinds else Union[tuple(kinds)]), bounds  # noqa: UP007


def _described(docstring: str) -> dict[str, str]:
    """Argument -> description, from the section `Args:` of a docstring."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", docstring, re.MULTILINE)
    argument = re.compile(r"^    (\w+)(?: \([^)]*\))?: (.+(?:\n {8}.+)*)", re.MULTILINE)
    return {match[1]: " ".join(match[2].split()) for match in argument.finditer(section[1] if section else "")}
