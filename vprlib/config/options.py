"""The options of registered methods, and of those outside: names, types, bounds, defaults and traits.

They are read from the signature of the function or class that the registry names (`vprlib.config.signatures`), so that
a configuration is checked without importing the method and what it needs (torch).
"""

import ast
from dataclasses import replace
from typing import Any

from vprlib.config.signatures import REQUIRED, Option, find_definition, read_options
from vprlib.exceptions import did_you_mean
from vprlib.registry import FAMILIES, UNSUPPORTED, find_entry

__all__ = ["REQUIRED", "Option", "check_options", "options_of", "traits_of"]

# arguments, from the left, that the pipeline itself gives to the methods of a family
GIVEN = {"backbone": 0, "aggregator": 1, "loss": 3, "optimiser": 1, "schedule": 1, "rerank": 3}
# bounds that torch checks only when a training starts, or not at all
BOUNDS = {"lr": "> 0", "momentum": ">= 0", "weight_decay": ">= 0", "step_size": ">= 1", "gamma": "> 0"}
TRAITS = {"centroids", "regions", "words", "similarity", "other_scores"}


def options_of(family: str, name: str) -> dict[str, Option]:
    """Return the options of a method by name, in the order of its signature.

    Raises:
        ValueError: if there is no such method, or its file cannot be found or read.
    """
    entry = find_entry(family, name)
    definition = find_definition(entry.target)
    if "*" in FAMILIES[family] and entry.target != name:
        _check_torch_class(family, name, definition.node)
    # of an entry such as `timm/*`, the rest of the name is the first argument
    given = GIVEN[family] + (entry in FAMILIES[family].values() and name not in FAMILIES[family])
    options = read_options(definition, given)
    if family in ("optimiser", "schedule"):
        bounded = {key: replace(options[key], bounds=(BOUNDS[key],)) for key in options if key in BOUNDS}
        return options | bounded
    return options


def _check_torch_class(family: str, name: str, node: ast.FunctionDef | ast.ClassDef) -> None:
    """Refuse what torch's module holds beside the optimisers, or the schedules, that training can step.

    Raises:
        ValueError: with the reason.
    """
    if name in UNSUPPORTED:
        raise ValueError(f"{family} {name!r} is not supported: {UNSUPPORTED[name]}")
    if not isinstance(node, ast.ClassDef) or not node.bases:
        raise ValueError(f"{name!r} is no {family}")


def traits_of(family: str, name: str) -> frozenset[str]:
    """Return the traits of a method: those of the registry or, outside, of `traits = (...)` in its class.

    Raises:
        ValueError: as `options_of`; or there is no such trait.
    """
    entry = find_entry(family, name)
    if entry.target != name:
        return entry.traits
    for statement in find_definition(name).node.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and ast.unparse(targets[0] or ast.Name("")) == "traits":
            value = ast.literal_eval(statement.value) if statement.value else ()
            traits = frozenset([value] if isinstance(value, str) else value)
            if unknown := sorted(traits - TRAITS):
                raise ValueError(f"{name} has an unknown trait {unknown[0]!r}; {did_you_mean(unknown[0], TRAITS)}")
            return traits
    return frozenset()


def check_options(family: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Check the options that a configuration gives to a method.

    Returns:
        The same options, with values as the method takes them.

    Raises:
        ValueError: naming the option that is unknown (with the closest known one), missing, or of a wrong value; or
            the option that a trait of the method needs.
    """
    known, checked = options_of(family, name), {}
    for trait, option in (("centroids", "clusters"), ("similarity", "temperature")):
        if trait in traits_of(family, name) and option not in known:
            raise ValueError(f"{name} has the trait {trait!r}, which needs an option {option!r}")
    for option, value in given.items():
        if option not in known:
            hint = did_you_mean(option, known) if known else "it has no options"
            raise ValueError(f"{name} has no option {option!r}; {hint}")
        try:
            checked[option] = known[option].check(value)
        except ValueError as error:
            raise ValueError(f"{option} {error}") from error
    missing = [option.name for option in known.values() if option.default is REQUIRED and option.name not in given]
    if missing:
        raise ValueError(f"{name} needs the option {missing[0]!r}")
    return checked
