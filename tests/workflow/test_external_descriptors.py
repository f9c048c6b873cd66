"""Descriptors that were computed elsewhere go through the workflow as those of any run."""

import h5py
import numpy as np
import pandas as pd

from tests.helpers.workflow import RUN, TINY, planned, snakemake

SAME = ["recall", "low", "high", "design_effect", "chance", "queries", "places", "without_positives", "database"]


def test_the_descriptors_of_a_run_given_as_arrays_have_its_recalls_to_the_last_digit(done):
    """As a user does it: two arrays and three lines of YAML."""
    for name in ("database", "queries"):
        with h5py.File(done / RUN.format("city") / f"{name}.h5") as file:
            np.save(done / f"{name}.city.npy", file["raw"][:])
    given = {"database": "database.{dataset}.npy", "queries": "queries.{dataset}.npy"}
    config = {"datasets": ["city"], "runs": TINY["runs"] | {"mine": {"descriptors": given}}, "seeds": [0, 1]}
    target = "results/city/mine/seed0/gen0/recalls.csv"
    assert planned(done, target, config=config) == {"import_descriptors": 1, "search": 1, "evaluate": 1}
    status, text = snakemake(done, target, config=config)
    assert status == 0, text
    mine, theirs = (pd.read_csv(done / path) for path in (target, f"{RUN.format('city')}/recalls.csv"))
    theirs = theirs[theirs.descriptor == "raw"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine[["k", *SAME]], theirs[["k", *SAME]], check_exact=True)
    assert set(mine.epoch_selected_on) == {"computed elsewhere, database.city.npy, queries.city.npy"}
    assert mine.train_set.isna().all()
    assert "import_descriptors" not in planned(done, config=config), "they have one seed, whatever `seeds` says"
    (done / "database.city.npy").unlink()
    assert planned(done, target, config=config) == {}, "a given file that has gone makes nothing run again"
    (done / target).with_name("database.h5").unlink()
    status, text = snakemake(done, "-n", target, config=config)
    fault = "runs.mine.descriptors.database: database.city.npy: no such file or folder"
    assert (status != 0, text.splitlines()[-1]) == (True, f"error: config: {fault}")
