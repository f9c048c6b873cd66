import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.workflow import snakemake
from vprlib.exceptions import InputError
from vprlib.io.files import file_lock

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Networks that a test builds without a seed of its own are the same in any order of the tests."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture
def real_data() -> Path:
    """The folder of real material, which is never copied here."""
    folder = os.environ.get("VPRLIB_REAL_DATA")
    if not folder or not (Path(folder) / "data").is_dir():
        pytest.skip("VPRLIB_REAL_DATA names no folder with real data")
    return Path(folder) / "data"


@pytest.fixture(scope="session")
def refused():
    """`with refused("this", "that"):` the block ends with an InputError of one line that has these."""

    @contextmanager
    def check(*fragments):
        with pytest.raises(InputError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        assert not [fragment for fragment in fragments if str(fragment) not in message], message

    return check


@pytest.fixture(scope="session")
def photo():
    """Write a photo of smooth noise: photo(path, seed) -> its pixels; the same seed shows the same place."""

    def write(path, seed, size=(32, 24), **options):
        rng = np.random.default_rng(seed)
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        image = small.resize(size, Image.Resampling.BICUBIC)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        return np.asarray(image)

    return write


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    """A folder in which the whole tiny workflow ran; of several workers one does it, and each has its copy."""
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with file_lock(made, wait=True):
        if not made.exists():
            running = made.with_name("running")
            running.mkdir()  # a failed one is there, and fails the others, too
            status, text = snakemake(running, "all")
            assert status == 0, text
            running.rename(made)
    folder = tmp_path_factory.mktemp("workflow") / "copy"
    shutil.copytree(made, folder, symlinks=True)
    return folder
