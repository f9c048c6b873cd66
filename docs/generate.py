"""Write the pages of the reference that are generated from the code.

`python docs/generate.py FOLDER` writes configuration.md, methods.md, tables.md, datasets.md and api/*.md into FOLDER.
Sphinx does the same before it reads the pages (`docs/conf.py`).
"""

import ast
import re
import sys
from pathlib import Path
from typing import get_args

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from vprlib import registry
from vprlib.config import Config
from vprlib.config.base import Section
from vprlib.config.methods import MethodConfig
from vprlib.config.options import REQUIRED, Option, options_of, traits_of
from vprlib.config.signatures import find_definition
from vprlib.evaluation.columns import TABLES

FAMILIES = {
    "backbone": "Backbones",
    "aggregator": "Aggregators",
    "loss": "Losses",
    "rerank": "Re-rankers",
    "optimiser": "Optimisers",
    "schedule": "Learning rate schedules",
}
SHOWN = {"optimiser": ["SGD", "Adam", "AdamW"], "schedule": ["StepLR", "CosineAnnealingLR", "ExponentialLR"]}
LONGEST = 88  # characters of a signature that stays on one line
EXAMPLES = {"timm/*": "timm/resnet50"}


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines
    )


def shown(value: object) -> str:
    """A default as it is written in YAML."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def anchor(heading: str) -> str:
    """The anchor that MyST gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sections_of(annotation: object) -> list[type[Section]]:
    """The sections in a field's type, such as the values of a dict of sections."""
    parts = [annotation, *get_args(annotation)]
    found = [part for part in parts if isinstance(part, type) and issubclass(part, Section)]
    return found or [inner for part in get_args(annotation) for inner in sections_of(part)]


def allowed(annotation: object, metadata: list) -> str:
    """What a field accepts, in words."""
    text = str(annotation) if get_args(annotation) else getattr(annotation, "__name__", str(annotation))
    many = "tuple" in text and not text.startswith("dict")
    words = re.findall(r"'([^']+)'", text)
    if "Literal" in text and words:
        return ("list of " if many else "") + ", ".join(f"`{word}`" for word in words)
    if text.startswith("dict"):
        return "mapping to lists" if "tuple" in text else "mapping"
    kinds = [
        ("dict", "mapping"),
        ("bool", "true, false"),
        ("int", "whole number"),
        ("float", "number"),
        ("str", "text"),
    ]
    kind = next((name for part, name in kinds if part in text), "")
    kind = f"list of {'name' if kind == 'text' else kind}s" if many else kind
    bounds = []
    for part in metadata:
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="), ("multiple_of", "multiple of")):
            bound = getattr(part, name, None)
            bounds += [f"{sign} {bound:g}"] if isinstance(bound, (int, float)) else []
    return f"{kind} {' and '.join(bounds)}".strip()


def default_of(section: type[Section], name: str) -> str:
    """The default of a key, in the words of YAML."""
    field = section.model_fields[name]
    if issubclass(section, MethodConfig) and section.family in registry.DEFAULTS and name in ("name", "options"):
        return shown(registry.DEFAULTS[section.family][name])
    return "required" if field.is_required() else shown(field.get_default(call_default_factory=True))


def section_path(section: type[Section], name: str, path: str) -> str:
    """The path of a key that holds a section: of a list with brackets, of a mapping with the name that you choose."""
    kind = str(section.model_fields[name].annotation)
    where = f"{path}{name}" + (".<name>" if kind.startswith("dict") else "") + ("[]" if "tuple" in kind else "")
    return where.replace("runs.<name>", "base")


def section_table(section: type[Section], path: str = "") -> str:
    """The keys of a section: default, what is accepted, meaning."""
    rows = []
    for name, field in section.model_fields.items():
        inner = sections_of(field.annotation)
        where = section_path(section, name, path)
        default = "" if inner else default_of(section, name)
        meaning = field.description or ((inner[0].__doc__ or "").splitlines()[0] if inner else "")
        kind = f"[section](#{anchor(where)})" if inner else allowed(field.annotation, field.metadata)
        rows.append(
            [f"`{name}`", default if default == "required" else f"`{default}`" if default else "", kind, meaning]
        )
    return table(["key", "default", "accepts", "meaning"], rows)


def all_sections(section: type[Section], path: str = "") -> dict[str, type[Section]]:
    """Every section below one, by the path of its key."""
    found = {}
    for name, field in section.model_fields.items():
        for inner in sections_of(field.annotation):
            where = section_path(section, name, path)
            found[where] = inner
            found |= all_sections(inner, f"{where}.")
    return found


def configuration() -> str:
    """The page of all keys."""
    text = [
        "# Configuration",
        "",
        (
            "`base` is one complete recipe; each of `runs` names what differs from it. A key that is not given has its "
            "default. An unknown key, a misspelt option or a value out of its bounds ends the program with one line "
            "that names the key. A method (`backbone`, `aggregator`, `train.loss`, `train.optimiser`, "
            "`train.schedule`, `rerank[]`) is written as `{name: ..., options: {...}}`, or as its name alone; its "
            "options are in [Methods](methods.md)."
        ),
        "",
        "## Top level",
        "",
        section_table(Config),
    ]
    for path, section in all_sections(Config).items():
        summary = escaped(" ".join((section.__doc__ or "").split()))
        text += ["", f"## `{path}`", "", summary, "", section_table(section, f"{path}.")]
    return "\n".join(text) + "\n"


def methods() -> str:
    """The page of all methods and their options."""
    text = [
        "# Methods",
        "",
        (
            "Every method stands in the configuration as `{name: ..., options: {...}}`, or as its name alone. The "
            "options are the keyword arguments of the function or class that the registry names. A name with a colon, "
            "`mylab.nets:MyAggregator`, is a method of your own package; its options are checked in the same way."
        ),
    ]
    for family in registry.FAMILIES.keys() - FAMILIES.keys() - {"dataset"}:
        raise ValueError(f"the family {family!r} needs a title in FAMILIES of docs/generate.py")
    for family, title in FAMILIES.items():
        text += ["", f"## {title}"]
        if family in SHOWN:
            text += [
                "",
                f"The classes of `{registry.FAMILIES[family]['*'].target.split(':')[0]}` that training can use. "
                "Three of them:",
            ]
        for name in SHOWN.get(family) or registry.FAMILIES[family]:
            text += ["", f"### {escaped(name)}", "", *method(family, EXAMPLES.get(name, name))]
    return "\n".join(text) + "\n"


def method(family: str, name: str) -> list[str]:
    """The lines on one method: what it is, its traits, its options."""
    options, target = options_of(family, name), registry.find_entry(family, name).target
    lines = [f"`{target}`"]
    if traits := traits_of(family, name):
        lines[0] += "; traits: " + ", ".join(f"`{trait}`" for trait in sorted(traits))
    if summary := ast.get_docstring(find_definition(target).node):
        lines = [escaped(summary.splitlines()[0]), "", *lines]
    if not options:
        return [*lines, "", "No options."]
    rows = [
        [f"`{one.name}`", "required" if one.default is REQUIRED else shown(one.default), accepted(one),
         one.description.replace("*", "\\*")]
        for one in options.values()
    ]  # fmt: skip
    return [*lines, "", table(["option", "default", "accepts", "meaning"], rows)]


def accepted(option: Option) -> str:
    """What an option accepts, such as `float > 0` or `'l2', 'none'`."""
    kind = re.sub(r"Literal\[([^\]]*)\]", r"\1", option.type_text).replace(" | None", "")
    nothing = " or none" if "| None" in option.type_text else ""
    return " ".join([kind, " and ".join(option.bounds)]).strip() + nothing


def tables() -> str:
    """The page of the columns of every table."""
    text = [
        "# Tables",
        "",
        "All tables are CSV, with a header, in UTF-8; numbers keep every digit. Recalls are in [0, 1]. The last "
        "column, `table_checksum`, is the same in every row: a table that changed since it was written is refused.",
    ]
    for path, columns in TABLES.items():
        text += ["", f"## `{path}`", "", table(["column", "meaning"], [[f"`{k}`", v] for k, v in columns.items()])]
    return "\n".join(text) + "\n"


def datasets() -> str:
    """The page of all datasets."""
    text = [
        "# Datasets",
        "",
        "The published datasets by name. The first protocol is the default; training and validation use it. What each "
        "dataset holds, and where papers differ, is in [the background](../../background/datasets.md).",
    ]
    for name in registry.FAMILIES["dataset"]:
        declared = registry.load_object("dataset", name)
        access = declared.access + ("; this library downloads it" if declared.remotes else "")
        facts = {
            "Folder": f"`{declared.root}`",
            "Protocols": "; ".join(f'`"{protocol.name}"`' for protocol in declared.protocols),
            "Photos": "; ".join(
                f"{split} {role} {count:,}" for (split, role), count in sorted(declared.counts.items())
            ),
            "Access": "rendered by this library" if declared.render else escaped(access),
            "Page": f"<{declared.page}>" if declared.page else "",
            "Licence": escaped(declared.licence),
            "Citation": escaped(declared.citation),
        }
        rows = [[key, value] for key, value in facts.items() if value]
        text += ["", f"## `{name}`", "", table(["", ""], rows)]
    return "\n".join(text) + "\n"


def api() -> dict[str, str]:
    """The pages of the library: package -> Markdown."""
    pages: dict[str, list[str]] = {}
    summaries: dict[str, str] = {}
    for path in sorted((ROOT / "vprlib").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if path.name in ("__main__.py", "_version.py"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        package = module.split(".")[1] if "." in module else "vprlib"
        package = "vprlib" if package in ("api", "exceptions", "registry") else package
        if path.name == "__init__.py" and package not in summaries:
            summaries[package] = " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split())
        pages.setdefault(package, []).extend(module_lines(module, tree))
    rows = [[f"[`{name}`]({name}.md)", escaped(summaries.get(name, ""))] for name in pages]
    index = [
        "# The library",
        "",
        "The public functions and classes of every package, from their docstrings. `vprlib.describe` is the interface "
        "for programs; the other packages are the stages of the workflow. Imports go down only: see "
        "[the table of layers](../../../code_in_six_files.md#the-layers).",
        "",
        table(["package", "purpose"], rows),
        "",
        *("```{toctree}", ":hidden:", "", *pages, "```"),
    ]
    texts = {package: f"# `{package}`\n" + "\n".join(lines) + "\n" for package, lines in pages.items()}
    return {"index": "\n".join(index) + "\n", **texts}


def module_lines(module: str, tree: ast.Module) -> list[str]:
    """The Markdown of one module: its docstring, then its public functions and classes."""
    public = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_"]
    lines = ["", f"## `{module}`", "", *prose(ast.get_docstring(tree))]
    for node in public:
        lines += [
            "",
            f"### `{node.name}`",
            "",
            "```python",
            signature(node),
            "```",
            "",
            *prose(ast.get_docstring(node)),
        ]
        for part in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(part, ast.FunctionDef) and part.name[0] != "_" and ast.get_docstring(part):
                lines += ["", "```python", signature(part), "```", "", *prose(ast.get_docstring(part))]
    return lines


def signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """A definition without its body and decorators; of a class, with the arguments of its `__init__`."""
    if isinstance(node, ast.ClassDef):
        head = f"class {node.name}" + (f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else "")
        makers = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        return "\n".join([head, *map(signature, makers)])
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"def {node.name}({ast.unparse(node.args)}){returns}"
    if len(line) <= LONGEST:
        return line
    return f"def {node.name}(\n" + "".join(f"    {part},\n" for part in arguments(node.args)) + f"){returns}"


def arguments(args: ast.arguments) -> list[str]:
    """The arguments of a function, each as it is written."""
    plain = args.posonlyargs + args.args
    defaults = [None] * (len(plain) - len(args.defaults)) + args.defaults
    parts = [argument(arg, default) for arg, default in zip(plain, defaults, strict=True)]
    parts += [f"*{argument(args.vararg, None)}"] if args.vararg else ["*"] if args.kwonlyargs else []
    parts += [argument(arg, default) for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    return parts + ([f"**{argument(args.kwarg, None)}"] if args.kwarg else [])


def argument(arg: ast.arg, default: ast.expr | None) -> str:
    """One argument with its type and default."""
    if default is None:
        return ast.unparse(arg)
    return f"{ast.unparse(arg)} = {ast.unparse(default)}" if arg.annotation else f"{arg.arg}={ast.unparse(default)}"


def prose(docstring: str | None) -> list[str]:
    """A Google-style docstring as Markdown."""
    if not docstring:
        return []
    lines, fenced = [], False
    for line in docstring.splitlines():
        doctest = line.lstrip().startswith(">>>")
        if doctest and not fenced:
            lines.append("```python")
            fenced = True
        elif fenced and not line.strip():
            lines.append("```")
            fenced = False
        if fenced:
            lines.append(line)
        elif re.match(r"^(Args|Returns|Raises|Yields|Attributes):$", line):
            lines += ["", f"**{line[:-1]}**", ""]
        elif match := re.match(r"^    (\*{0,2}[\w, ]+(?: \([^)]*\))?): (.*)", line):
            lines.append(f"- `{match[1]}`: {escaped(match[2])}")
        else:
            lines.append(escaped(line.strip()) if not line.startswith("        ") else "  " + escaped(line.strip()))
    return lines + (["```"] if fenced else [])


def escaped(text: str) -> str:
    """Text in which only code spans keep their meaning in Markdown."""
    parts = text.split("`")
    return "`".join(
        part if number % 2 else re.sub(r"([\\*_<>#\[\]$|{}~])", r"\\\1", part) for number, part in enumerate(parts)
    )


def write(folder: Path) -> None:
    """Write all pages below a folder. A page that has not changed keeps its time, and one of a removed package goes."""
    pages = {"configuration": configuration(), "methods": methods(), "tables": tables(), "datasets": datasets()}
    pages |= {f"api/{package}": text for package, text in api().items()}
    for name, text in pages.items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.md"):
        if path.relative_to(folder).with_suffix("").as_posix() not in pages:
            path.unlink()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
