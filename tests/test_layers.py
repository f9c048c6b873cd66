import ast
import re

import pytest

from vprlib import registry

LAYERS = [
    {""},
    {"registry", "files", "archives"},
    {"config", "transfer", "unpack"},
    {"geometry", "ledger", "download", "looked", "duplicates", "statistics"},
    {"datasets"},
    {"whiten", "evaluate", "verify", "merge"},
    {"judge"},
    {"compare"},
    {"lines"},
    {"style"},
    {"plots"},
    {"sheets", "maps", "variants", "tables", "errors", "projection", "report"},
    {"parallel", "nodes"},
    {"shares"},
    {"rows"},
    {"neighbours", "search"},
    {"mining", "images", "backbones", "aggregators", "losses", "rerank", "storage", "index"},
    {"model", "sizes"},
    {"weights", "trunk", "pretrain", "objective", "progress"},
    {"cluster", "extract", "refresh", "words"},
    {"published"},
    {"api"},
    {"generation"},
    {"train"},
    {"job"},
    {"launch"},
    {"scripts", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
SHARED = {
    "base",
    "cut",
    "dbstruct",
    "csvfile",
    "pitts",
    "tokyo",
    "atnames",
    "traverse",
}  # files that others of their sub-package may import


def sources(root):
    """(layer, path) of every file of the library and every script."""
    for path in sorted((root / "vprlib").rglob("*.py")):
        layer = path.relative_to(root / "vprlib").parts[0].removesuffix(".py")
        yield ("" if layer == "__init__" else layer), path
    for path in sorted((root / "workflow/scripts").glob("*.py")):
        yield "scripts", path


def imported(path) -> set:
    """The full names of what a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_only_go_down(repository):
    wrong = []
    for layer, path in sources(repository):
        for name in imported(path):
            top, target, *inner = (*name.split("."), "", "")
            if top != "vprlib":
                continue
            target = target if target in RANK else ""
            file = inner[0] if inner else ""
            shared = target == layer and (file in SHARED or file.startswith("city") or layer in ("config", "report"))
            if not shared and RANK[target] >= RANK[layer]:
                wrong.append(f"{path.relative_to(repository)} imports {name}")
    assert not wrong


def test_every_file_has_a_layer(repository):
    assert {layer for layer, _ in sources(repository)} == set(RANK)


def test_what_needs_no_network_never_imports_torch(repository):
    low = [path for layer, path in sources(repository) if RANK[layer] <= RANK["sheets"]]
    heavy = {"torch", "torchvision", "safetensors", "tensorboard"}
    assert not [path for path in low if heavy & {name.split(".")[0] for name in imported(path)}]


def test_the_library_knows_neither_snakemake_nor_yaml(repository):
    library = [path for layer, path in sources(repository) if layer != "scripts"]
    assert not [path for path in library if {"snakemake", "yaml"} & {name.split(".")[0] for name in imported(path)}]


@pytest.mark.parametrize(("family", "name"), [(f, name) for f, names in registry.FAMILIES.items() for name in names])
def test_every_registered_name_resolves(family, name):
    assert registry.load(family, name) is not None


def test_every_rule_has_its_script_and_every_script_is_short(repository):
    rules = {}
    for path in (repository / "workflow/rules").glob("*.smk"):
        for body in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            rules[body.split(":")[0]] = re.search(r'"\.\./scripts/(\w+)\.py"', body)[1]
    scripts = sorted((repository / "workflow/scripts").glob("*.py"))
    assert rules == {path.stem: path.stem for path in scripts}
    for path in scripts:
        assert len(path.read_text().splitlines()) <= 25, path
        assert ast.unparse(ast.parse(path.read_text()).body[-1]).startswith("if __name__ == '__main__':"), path
