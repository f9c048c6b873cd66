"""What the Snakefile itself refuses or warns of, before any job."""

import subprocess

import pytest
import yaml

from tests.helpers.workflow import ENVIRONMENT, ROOT, TINY, command, snakemake


def dry_run(folder, *configfiles):
    """A dry run with these configuration files; returns (exit status, all that it printed)."""
    start = [*command(folder, "--dry-run", "all")[:-1], *configfiles]
    done = subprocess.run(start, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("place", [0, 1])
def test_a_key_given_twice_in_any_configuration_file_is_one_line(place, tmp_path):
    files = [tmp_path / "first.yaml", tmp_path / "second.yaml"]
    files[0].write_text(yaml.safe_dump(TINY))
    files[1].write_text("seeds: [3]\n")
    files[place].write_text(files[place].read_text() + "search: {top_k: 30}\nsearch: {top_k: 20}\n")
    status, text = dry_run(tmp_path, *files)
    assert status
    (line,) = [line for line in text.splitlines() if line.startswith("error:")]
    assert files[place].name in line
    assert "search is given twice" in line or "top_k" in line


def test_a_key_that_does_nothing_is_told_once_and_the_run_goes_on(tmp_path):
    status, text = snakemake(tmp_path, "--dry-run", "all", config={"search": {"memory_gb": 2, "top_k": 20}})
    assert status == 0, text
    (line,) = [line for line in text.splitlines() if line.startswith("warning:")]
    assert line == "warning: config: search.memory_gb: no effect: search.index: flat has no index"


@pytest.mark.parametrize("target", ["results/city/sizes.csv", "results/city/sizes.svg"])
def test_sizes_that_are_not_asked_for_are_one_line(target, tmp_path):
    status, text = snakemake(tmp_path, "--dry-run", target)
    assert status
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("error:")]
    assert "descriptor_sizes.dims" in line
