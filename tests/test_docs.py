"""The documentation: the site builds without a warning, its commands run, its configurations parse, its paths exist.

A sentence that ends with "`path`:" in front of a block of code says which file the block is. Such files are written
before the commands of a page run, and a diff is applied to the file that it names.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.helpers.experiment_files import write_photo
from tests.helpers.workflow import ENVIRONMENT, ROOT, TINY

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "config/README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
    if not {"_build", "generated"} & set(path.parts)
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w./-]+\.(?:py|yaml))`[^`]*:$")
# the start of a command that is not run -> why
NOT_RUN = {
    "git clone": "it needs the address of the repository",
    "cd vprlib": "the folder of that clone",
    "source .venv/bin/activate": "the tests run in the environment already",
    "make demo": "it trains for minutes; tests/workflow runs the same rules on a smaller city",
    "make .venv/ready": "it installs the environment",
    "export PATH=$PWD/profiles/slurm/bin": "its sbatch needs a cluster",
    "sinfo": "it needs a cluster",
    "$EDITOR": "it waits for a person",
    "python profiles/slurm/check_cluster.py": "it needs a cluster; tests/slurm runs it",
    "tmux": "it starts a workflow in the background",
    "squeue": "it needs a cluster",
    "scancel": "it needs a cluster",
    "tail -f": "it does not end",
    "tensorboard": "it does not end",
    "ssh": "it needs another machine",
}
REAL = ("cp", "mkdir", "touch", "head", "cd", "export", "python -m vprlib")  # cheap commands, run as they are
EXPERIMENT = {"datasets": ["city"], "base": {"train_set": "city"}, "runs": {"example": {}}}
PARSE = """
import json, sys
from vprlib.config import overlay, parse_config
for raw in json.load(sys.stdin):
    parse_config(raw)
"""


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page):
    """(language, text, file that the block is or None) of every block of code."""
    text, found = read(page), []
    for match in BLOCK.finditer(text):
        name = FILE.search(text[: match.start()].rstrip().rpartition("\n")[2])
        found.append((match[1], match[2], name[1] if name else None))
    return found


def commands(page):
    """Every command of a page's bash blocks."""
    return [line for language, text, _ in blocks(page) if language == "bash" for line in text.splitlines() if line]


def as_run(command):
    """The command as it is run here: real, or as a dry run; None if it is not run."""
    if any(command.startswith(start) for start in NOT_RUN):
        return None
    if " --report " in command:
        return command.replace("config/city.yaml", "finished.yaml")  # a report is made of what has run
    if command.startswith("snakemake "):
        dry = "" if re.search(r" -n | --unlock", command) else " -n"
        return command.replace("snakemake", f"snakemake{dry}", 1)
    if command.startswith("make "):
        return f"make -n {command.removeprefix('make ')}"
    assert command.startswith(tuple(f"{start} " for start in REAL)), (
        f"{command!r} is neither run, nor in NOT_RUN with a reason"
    )
    return command


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The built site, and all that Sphinx said."""
    folder = tmp_path_factory.mktemp("site")
    source = folder / "docs"
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns("_build", "generated", "__pycache__"))
    shutil.copytree(ROOT / "vprlib", folder / "vprlib", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", source, folder / "html"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return folder / "html", built.returncode, built.stdout + built.stderr


def test_the_site_builds_without_a_warning(site):
    html, status, said = site
    assert (status, said) == (0, "")
    for page in ("index", "tour", "reference/generated/configuration", "reference/generated/api/retrieval"):
        assert (html / f"{page}.html").exists()
    notebook = (html / "tutorials/explore.html").read_text(encoding="utf-8")
    assert notebook.count("<img") >= 2, "its figures"
    assert "A network in ten cells" in notebook


def test_the_site_loads_nothing_from_elsewhere(site):
    html, *_ = site
    loads = re.compile(r"""(?:<script[^>]*\bsrc=|<link[^>]*\brel="stylesheet"[^>]*\bhref=|<img[^>]*\bsrc=)"(\w+:)?//""")
    assert not [str(path) for path in html.rglob("*.html") if loads.search(path.read_text(encoding="utf-8"))]
    assert not [str(path) for path in html.rglob("*.css") if re.search(r"url\(['\"]?https?:", path.read_text())]


def test_the_site_has_a_page_for_every_package_and_method(site):
    html, *_ = site
    from vprlib.registry import FAMILIES

    for package in (path.parent.name for path in (ROOT / "vprlib").glob("*/__init__.py")):
        assert (html / f"reference/generated/api/{package}.html").exists()
    page = (html / "reference/generated/methods.html").read_text(encoding="utf-8")
    assert not [name for name in FAMILIES["aggregator"] if f"<h3>{name}<" not in page]


@pytest.fixture
def folder(done, tmp_path):
    """A working folder as the documentation means it: the code, and what the demo left, which is smaller here."""
    target = tmp_path / "vpr"
    shutil.copytree(done, target, symlinks=True, ignore=shutil.ignore_patterns("config.yaml"))
    (target / "results/models/tiny_netvlad").symlink_to("netvlad")
    for name in TINY["datasets"]:
        shutil.copytree(target / "results" / name, target / "results/experiments/strict" / name, symlinks=True)
    shutil.copytree(ROOT / "vprlib", target / "vprlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "Makefile", "config", "profiles", "workflow"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target / name)
    (target / "tests").mkdir()
    shutil.copy(ROOT / "tests/tiny.yaml", target / "tests")
    (target / "finished.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    return target


@pytest.mark.parametrize("page", [page for page in PAGES if "```bash" in read(page)])
def test_the_commands_of_a_page_run(page, folder):
    lines = [command for command in map(as_run, commands(page)) if command]
    write_files(page, folder)
    script = "\n".join(["set -eux", *lines]).replace("/photos/walk", str(folder / "photos"))
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": "1"}
    for name in ("VPRLIB_REAL_DATA", "PYTHONPATH"):
        environment.pop(name, None)
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{page}:\n{ran.stdout[-3000:]}"


def write_files(page, folder):
    """Write the files that a page shows, and photos along a street for what they need."""
    for role, count in (("database", 12), ("query", 3)):
        (folder / "photos" / role).mkdir(parents=True)
        for number in range(count):
            name = f"@{500_000 + 40 * number}.00@5400000.00@{number:02d}@.jpg"
            write_photo(folder / "photos" / role / name, seed=number, size=(48, 36))
    for language, text, name in blocks(page):
        if name and language == "diff":
            apply(text, folder / name)
        elif name and language in ("python", "yaml") and not name.startswith("profiles/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text.replace("/photos/walk", str(folder / "photos")), encoding="utf-8")


def apply(diff, path):
    """Apply a diff without line numbers: its context must occur in the file exactly once."""
    lines = diff.splitlines()
    before = "\n".join(line[1:] for line in lines if line[:1] in " -")
    after = "\n".join(line[1:] for line in lines if line[:1] in " +")
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{path.name} has changed: {before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.parametrize("page", [page for page in PAGES if "```yaml" in read(page)])
def test_the_configurations_of_a_page_are_valid(page, tmp_path):
    from vprlib.config import overlay

    shutil.copytree(ROOT / "vprlib", tmp_path / "vprlib", ignore=shutil.ignore_patterns("__pycache__"))
    write_files(page, tmp_path)
    whole, profiles = [], []
    for language, text, name in blocks(page):
        if language == "yaml" and (name or "").startswith("profiles/"):
            profiles.append((name, yaml.safe_load(text)))
        elif language == "yaml":
            whole.append(yaml.safe_load(text) if name else overlay(EXPERIMENT, yaml.safe_load(text)))
    (tmp_path / "mylab").mkdir(exist_ok=True)
    (tmp_path / "mylab/__init__.py").touch()
    parsed = subprocess.run(
        [sys.executable, "-c", PARSE],
        input=json.dumps(whole),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert parsed.returncode == 0, f"{page}: {parsed.stderr.splitlines()[-1]}"
    for name, keys in profiles:
        known = yaml.safe_load((ROOT / name).read_text())
        assert not set(keys) - set(known), name


@pytest.mark.parametrize("page", PAGES)
def test_the_paths_and_targets_that_a_page_names_exist(page):
    text = read(page)
    shown = {name for _, _, name in blocks(page)}
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+\.(?:py|smk|md|yaml|yml|sh|svg|toml|def))`", text)
    made = ("results/", "data/", "logs/")
    assert not [
        path for path in named if not path.startswith(made) and path not in shown and not (ROOT / path).exists()
    ]
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {command.split()[1] for command in commands(page) if command.startswith("make ")}
    assert not {*used, *re.findall(r"`make ([\w./-]+)`", text)} - targets
    rules = set(
        re.findall(r"^ *rule (\w+):", "".join(path.read_text() for path in (ROOT / "workflow").rglob("*.smk")), re.M)
    )
    assert not set(re.findall(r"-R (\w+)", text)) - rules - {"RULE"}


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_compiles(page):
    for language, text, name in blocks(page):
        if language == "python":
            compile(text, name or page, "exec")


def test_the_hooks_run_what_make_lint_runs():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)[1].split("\n\t")
    wanted = {" ".join(command.split()[:2]).removesuffix(" .").strip() for command in recipe}
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    entries = {" ".join(hook["entry"].removeprefix(".venv/bin/").split()[:2]) for hook in hooks}
    assert entries == wanted


def test_ci_runs_the_project_s_own_script():
    steps = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]["check"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci/run").exists()
