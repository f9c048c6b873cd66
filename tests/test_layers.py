"""The table of packages: what each may import, and which never load torch."""

import ast
import re

import pytest

from vprlib import registry

# package -> the packages it may import, beside itself, `exceptions`, `_version` and `registry`
MAY_IMPORT = {
    "exceptions": set(),
    "_version": set(),
    "registry": {"exceptions"},
    "io": set(),
    "config": {"io"},
    "data": {"io"},
    "images": {"data", "io"},
    "compute": {"config", "io"},
    "evaluation": {"data", "io"},
    "models": {"images", "compute", "config", "io"},
    "figures": {"evaluation", "data", "io"},
    "jobs": {"config", "data", "compute", "io"},
    "report": {"evaluation", "figures", "jobs", "data", "config", "io"},
    "retrieval": {"models", "evaluation", "images", "compute", "data", "config", "io"},
    "training": {"retrieval", "evaluation", "models", "images", "data", "compute", "config", "io"},
    "api": None,  # everything
    "commands": None,
    "__main__": {"commands"},
    "__init__": {"api"},
    "scripts": None,
}
GROUND = {"exceptions", "_version", "registry"}
# packages, and single modules of others, that are imported when the Snakefile is parsed or where no network is needed
WITHOUT_TORCH = ("exceptions", "registry", "io", "config", "data", "evaluation", "figures", "jobs", "report")
HEAVY = {"torch", "torchvision", "safetensors", "tensorboard"}
# files of methods and datasets that extend another one
REGISTERED = [(f, name) for f, names in registry.FAMILIES.items() for name in names if "*" not in name]
REGISTERED += [("backbone", "timm/test_vit"), ("optimiser", "SGD"), ("schedule", "StepLR")]
EXTENDS = {("synthetic_city", "pittsburgh"), ("synthetic_city", "tokyo247"), ("tokyotm", "tokyo247")}
EXTENDS |= {(layout, "utm_names") for layout in ("photo_folder", "traverse", "csv_table")}
EXTENDS |= {("two_folders", "photo_folder"), ("two_folders", "csv_table")}
EXTENDS |= {("listed_folder", "photo_folder")}
METHODS = ("models/backbones", "models/aggregators", "training/losses", "data/datasets", "data/layouts")


def sources(root):
    """(package, path) of every file of the library and every script."""
    for path in sorted((root / "vprlib").rglob("*.py")):
        yield path.relative_to(root / "vprlib").parts[0].removesuffix(".py"), path
    for path in sorted((root / "workflow/scripts").glob("*.py")):
        yield "scripts", path


def imported(path) -> set:
    """The full names of what a file imports, wherever in it."""
    names = set()
    tree = ast.parse(path.read_text())
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    hidden = {inner for block in typing for inner in ast.walk(block)}  # what only a type checker imports
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_only_go_down(repository):
    wrong = []
    for package, path in sources(repository):
        allowed = MAY_IMPORT[package]
        for name in imported(path):
            top, target, *_ = (*name.split("."), "__init__")
            if top == "vprlib" and allowed is not None and target not in allowed | GROUND | {package, "__version__"}:
                wrong.append(f"{path.relative_to(repository)} imports {name}")
    assert not wrong


def test_the_table_has_no_circle():
    left = {name: set(below or ()) for name, below in MAY_IMPORT.items() if below is not None and name != "__init__"}
    while left:
        free = {name for name, below in left.items() if not below & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {name: below for name, below in left.items() if name not in free}


def test_modules_have_no_circle(repository):
    below = {}
    for path in (repository / "vprlib").rglob("*.py"):
        module = ".".join(path.relative_to(repository).with_suffix("").parts).removesuffix(".__init__")
        below[module] = imported(path)
    needs = {
        module: {name if name in below else name.rpartition(".")[0] for name in names} & below.keys() - {module}
        for module, names in below.items()
    }
    while needs:
        free = {module for module, names in needs.items() if not names & needs.keys()}
        assert free, f"a circle among {sorted(needs)}"
        needs = {module: names for module, names in needs.items() if module not in free}


def test_every_file_is_in_a_package_of_the_table(repository):
    assert {package for package, _ in sources(repository)} == set(MAY_IMPORT)


def test_method_files_import_no_other_method(repository):
    wrong = []
    for folder in METHODS:
        siblings = {path.stem for path in (repository / "vprlib" / folder).glob("*.py")}
        for path in (repository / "vprlib" / folder).glob("*.py"):
            for name in imported(path):
                prefix = f"vprlib.{folder.replace('/', '.')}."
                target = name.removeprefix(prefix).split(".")[0] if name.startswith(prefix) else ""
                if target in siblings - {"base", path.stem} and (path.stem, target) not in EXTENDS:
                    wrong.append(f"{path.relative_to(repository)} imports {name}")
    assert not wrong


def test_what_needs_no_network_never_imports_torch(repository):
    low = [path for package, path in sources(repository) if package in WITHOUT_TORCH]
    assert not [path for path in low if HEAVY & {name.split(".")[0] for name in imported(path)}]


def test_the_library_knows_neither_snakemake_nor_yaml(repository):
    library = [path for package, path in sources(repository) if package != "scripts"]
    assert not [path for path in library if {"snakemake", "yaml"} & {name.split(".")[0] for name in imported(path)}]


def test_no_public_name_stands_in_two_modules(repository):
    homes = {}
    for _, path in sources(repository):
        if "scripts" in path.parts:
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(repository)))
    assert not {name: paths for name, paths in homes.items() if len(paths) > 1}


@pytest.mark.parametrize(("family", "name"), REGISTERED)
def test_every_registered_name_resolves(family, name):
    assert registry.load_object(family, name) is not None


def test_every_rule_has_its_script_and_every_script_is_short(repository):
    rules = {}
    for path in (repository / "workflow/rules").glob("*.smk"):
        for body in re.split(r"^ *rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            rules[body.split(":")[0]] = re.search(r'"\.\./scripts/(\w+)\.py"', body)[1]
    scripts = sorted((repository / "workflow/scripts").glob("*.py"))
    assert rules.pop("search_shard") == "search", "a shard is searched as the whole is"
    assert rules.pop("all", None) is None
    assert rules == {path.stem: path.stem for path in scripts}
    for path in scripts:
        assert len(path.read_text().splitlines()) <= 25, path
        assert ast.unparse(ast.parse(path.read_text()).body[-1]).startswith("if __name__ == '__main__':"), path
