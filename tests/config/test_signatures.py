"""The options of methods, read from their source."""

import sys
import textwrap

import pytest

from vprlib.config.options import check_options, options_of, traits_of
from vprlib.registry import load_object, trust

SOURCE = """
from dataclasses import dataclass
from typing import Annotated, Literal, Optional, Sequence
import math

class Base:
    def __init__(self, channels, power: float = 3.0, *, needed: int):
        pass

class Inherits(Base):
    pass

@dataclass
class Data:
    channels: int
    size: int = 4

class Positional:
    def __init__(self, channels, other: int = 1, /, more: int = 2):
        pass

class Types:
    traits: tuple = ("words",)

    def __init__(
        self,
        channels,
        temperature: Annotated[float, "> 0"] | None = None,
        sizes: list[int] | None = None,
        weights: Sequence[float] | None = None,
        pair: tuple[float, float] = (0.9, 0.99),
        plain: list = [],
        untyped=1e-3,
        kind: Literal["a", 2] = "a",
        odd: Annotated[float, "a nice number"] = 1.0,
        computed=math.pi,
        maybe: Optional[int] = None,
    ):
        pass

if True:
    class Inside(Base):
        pass

Alias = Types
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder with a package of one's own; `lab(name, source)` writes a module of it."""
    monkeypatch.chdir(tmp_path)

    def write(name, source):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))

    return write


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Base", ["power", "needed"]),
        ("Inherits", ["power", "needed"]),
        ("Inside", ["power", "needed"]),
        ("Data", ["size"]),
        ("Positional", ["other", "more"]),
    ],
)
def test_options_are_the_parameters_that_the_pipeline_does_not_give(lab, name, options):
    lab(f"lab_{name}/nets", SOURCE)
    assert list(options_of("aggregator", f"lab_{name}.nets:{name}")) == options


def test_names_are_followed_through_imports(lab):
    lab("lab_i/inner/nets", SOURCE)
    lab("lab_i/inner/__init__", "from .nets import *")
    lab("lab_i/__init__", "from .inner import Types as Renamed")
    assert "pair" in options_of("aggregator", "lab_i:Renamed")
    assert "pair" in options_of("aggregator", "lab_i.inner.nets:Alias")
    assert traits_of("aggregator", "lab_i:Renamed") == {"words"}
    with pytest.raises(ValueError, match="did you mean 'Renamed'"):
        options_of("aggregator", "lab_i:Renamd")


@pytest.mark.parametrize(
    ("option", "value", "taken"),
    [
        ("temperature", "7e-2", 0.07),
        ("temperature", None, None),
        ("sizes", [1, 2], [1, 2]),
        ("weights", [0.5], [0.5]),
        ("pair", ["9e-1", 1], (0.9, 1.0)),
        ("plain", [2, 3], [2, 3]),
        ("untyped", "1e-2", 0.01),
        ("untyped", ".5e-2", 0.005),
        ("kind", 2, 2),
        ("odd", 2, 2.0),
        ("maybe", 3, 3),
    ],
)
def test_a_value_is_given_as_the_method_takes_it(lab, option, value, taken):
    lab("lab_v/nets", SOURCE)
    assert check_options("aggregator", "lab_v.nets:Types", {option: value}) == {option: taken}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("temperature", -1.0, "temperature must be > 0"),
        ("temperature", float("inf"), "temperature must be finite"),
        ("sizes", ["a"], "sizes must be"),
        ("maybe", True, "maybe must be"),
        ("kind", "b", "kind must be 'a' or 2, not 'b'"),
    ],
)
def test_a_value_of_another_kind_is_refused(lab, option, value, words):
    lab("lab_r/nets", SOURCE)
    with pytest.raises(ValueError, match=words):
        check_options("aggregator", "lab_r.nets:Types", {option: value})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class Net(:", r"nets\.py, line 1: is not Python"),
        ("from x_nowhere import Net", "no module 'x_nowhere'"),
        ("from lab_b.nets import Net", "lab_b.nets has no 'Net'"),
        ("class Net:\n    traits = ('wrods',)", "unknown trait 'wrods'; did you mean 'words'"),
        ("class Net:\n    traits = ('centroids',)", "has the trait 'centroids', which needs an option 'clusters'"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(lab, source, words, request):
    lab("lab_b/nets", source)
    from vprlib.config import signatures

    request.addfinalizer(signatures.find_definition.cache_clear)
    signatures.find_definition.cache_clear()
    with pytest.raises(ValueError, match=words) as caught:
        check_options("aggregator", "lab_b.nets:Net", {})
    assert "\n" not in str(caught.value)


def test_no_method_outside_is_imported_that_nobody_named(lab, refused):
    lab("lab_t/nets", "raise SystemExit('imported')")
    with refused("lab_t.nets:Net", "outside vprlib"):
        load_object("aggregator", "lab_t.nets:Net")
    assert "lab_t.nets" not in sys.modules
    lab("lab_u/nets", "class Net:\n    pass")
    trust("lab_u.nets:Net")
    assert load_object("aggregator", "lab_u.nets:Net").__name__ == "Net"
