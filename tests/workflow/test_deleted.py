"""What is made again of a finished experiment if somebody deletes a file: docs/howto/resume_and_rerun.md."""

import pytest

from tests.helpers.workflow import MODEL, RUN, planned

CITY = RUN.format("city")
AGAIN = ("collect_recalls", "compare_runs", "plot_recalls", "plot_tradeoffs", "plot_comparison", "build_report", "all")
EVALUATED = dict.fromkeys(("evaluate", *AGAIN), 1)
RECALLS, RANKING, DATABASE, CHECKPOINT = (
    f"{CITY}/recalls.csv",
    f"{CITY}/ranking.h5",
    f"{CITY}/database.h5",
    f"{MODEL}/best.safetensors",
)
SEARCHED = {"search": 1, "plot_gallery": 1}
EXTRACTED = {"extract_descriptors": 2, "merge_descriptors": 1}


@pytest.mark.parametrize(
    ("deleted", "targets", "jobs"),
    [
        # tables are asked for by `all`
        ([RECALLS], ["all"], EVALUATED),
        ([f"{CITY}/queries.csv"], ["all"], EVALUATED),
        # what others are made from is made again if it is named, or if something that is missing needs it
        ([RANKING, DATABASE, CHECKPOINT], ["all"], {}),
        ([RANKING], [RANKING], {"search": 1}),
        ([RANKING, RECALLS], ["all"], EVALUATED | SEARCHED),
        ([DATABASE], [DATABASE], EXTRACTED),
        ([DATABASE, RECALLS], ["all"], EVALUATED),  # the ranking is there
        ([DATABASE, RANKING, RECALLS], [RECALLS], EXTRACTED | {"search": 1, "evaluate": 1}),
        ([CHECKPOINT], [CHECKPOINT], {"train": 1}),
        ([CHECKPOINT, DATABASE], [DATABASE], EXTRACTED | {"train": 1, "fit_whitening": 1}),
    ],
)
def test_what_is_deleted_is_made_again_where_it_is_asked_for_or_needed(done, deleted, targets, jobs):
    away = [(done / path).rename(done / f"away{number}") for number, path in enumerate(deleted)]
    try:
        assert planned(done, *targets) == jobs
    finally:
        for path, kept in zip(deleted, away, strict=True):
            kept.rename(done / path)
