"""Every published layout in miniature from files to numbers: index, verify, search and recall."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from test_layouts import cells, stamped, write_v73
from test_trees import write_msls

from vprlib.data.checks.verify import verify_dataset
from vprlib.data.datasets.msls import VAL
from vprlib.data.datasets.nordland import LIST
from vprlib.data.datasets.tokyotm import SPLITS
from vprlib.data.image_table import read_image_table, select_rows
from vprlib.evaluation.predictions import load_predictions
from vprlib.evaluation.query_table import per_query_table
from vprlib.evaluation.recall_table import recall_table
from vprlib.io.files import write_csv, write_h5
from vprlib.registry import load_object
from vprlib.retrieval.search import search_database


def write_struct(path, database, queries, utm_database, utm_queries, version=5):
    path.parent.mkdir(parents=True, exist_ok=True)
    struct = {"whichSet": "x", "utmDb": np.array(utm_database, float).T, "utmQ": np.array(utm_queries, float).T}
    if version == 7:
        return write_v73(path, struct | {"dbImageFns": database, "qImageFns": queries})
    return savemat(path, {"dbStruct": struct | {"dbImageFns": cells(database), "qImageFns": cells(queries)}})


def pittsburgh(size, version):
    def write(root):
        for at, split in enumerate(("train", "val", "test")):
            database = [f"00{at}/00{at}{place}_pitch1_yaw{view}.jpg" for place in range(3) for view in range(2)]
            queries = [f"00{at}/q{number}.jpg" for number in range(3)]
            where = [[100 * (row // 2), 5000 * at] for row in range(6)]
            asked = [[100 * number + (900 if number == 2 else 4), 5000 * at] for number in range(3)]
            write_struct(root / f"datasets/{size}_{split}.mat", database, queries, where, asked, version)

    return write


def tokyo(root):
    database = [f"{place}/view{view}.png" for place in range(2) for view in range(12)]
    where = [[100 * (row // 12), 0] for row in range(24)]
    write_struct(root / "datasets/tokyo247.mat", database, ["a.jpg", "b.jpg"], where, [[3, 0], [104, 0]])


def time_machine(root):
    (root / "datasets").mkdir(parents=True)
    for split in ("train", "val"):
        struct = stamped(stamps=True)
        for field in ("dbImageFns", "qImageFns"):
            struct[field] = cells([f"{split}/{name[0]}" for name in struct[field]])
        savemat(root / SPLITS[split], {"dbStruct": struct})


def railway(root):
    names = [f"images-0000{number}.png" for number in range(5)]
    for season in ("summer", "winter"):
        for name in names:
            (root / season).mkdir(parents=True, exist_ok=True)
            (root / season / name).touch()
    (root / LIST).write_text("\n".join(names))


def at_names(root):
    for role, offset in (("database", 0), ("queries", 3)):
        (root / "images/test" / role).mkdir(parents=True)
        for number in range(4):
            (root / f"images/test/{role}/@{100 * number + offset}@50@56@J@.jpg").touch()


MINIATURES = {
    "pitts30k": pittsburgh("pitts30k", version=5),
    "pitts250k": pittsburgh("pitts250k", version=7),
    "tokyo247": tokyo,
    "tokyotm": time_machine,
    "msls_val": lambda root: write_msls(root, VAL),
    "nordland": railway,
    "st_lucia": at_names,
}


def describe(folder, table):
    """Descriptors by which each query is nearest to the database image that is nearest to it."""
    query, database = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    rng = np.random.default_rng(0)
    place = database[["east", "north"]].to_numpy()
    nearest = [np.hypot(*(place - own).T).argmin() for own in query[["east", "north"]].to_numpy()]
    stored = rng.normal(size=(len(database), 32))
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    for name, x in (("database", stored), ("queries", stored[nearest])):
        arrays = {f"raw{suffix}": x.astype(np.float16) for suffix in ("", "@shorter")}
        write_h5(folder / f"{name}.h5", arrays if name == "queries" else {"raw": arrays["raw"]},
                       {"checkpoint": "0" * 64, "model": json.dumps({"epoch": 0})})  # fmt: skip
    return {"database": folder / "database.h5", "queries": folder / "queries.h5", "images": folder / "images.csv"}


@pytest.mark.parametrize("name", MINIATURES)
def test_a_published_layout_goes_from_files_to_numbers(name, tmp_path, photo):
    root, out = tmp_path / "data", tmp_path / "out"
    MINIATURES[name](root)
    dataset = replace(load_object("dataset", name), root=root, counts={})
    write_csv(out / "images.csv", dataset.table())
    table = read_image_table(out / "images.csv")
    for number, path in enumerate(table.path):
        photo(root.parent / path, seed=number)
    found = verify_dataset(
        out / "found.json", images=out / "images.csv", dataset=dataset, name=name, max_hash_distance=2, threads=1
    )
    assert sum(found["counts"].values()) == len(table)
    if not (table.split == "test").any():
        assert name == "tokyotm"
        return
    described = describe(out, table)
    scopes = sorted({protocol.search_scope for protocol in dataset.protocols})
    search_database(out / "ranking.h5", **described, depth=24, scopes=scopes)
    for protocol, row in zip(dataset.protocols, [r for r in found["positives"] if r["split"] == "test"], strict=True):
        sources = {"images": out / "images.csv", "protocol": protocol}
        ranked = load_predictions(**sources, ranking=out / "ranking.h5")
        made = sources | {"ks": (1,), "config_hash": "0"}
        selection = {"checkpoint": "best", "train_set": name, "validation": None}
        rows = recall_table(ranked, **made, ranking=out / "ranking.h5", recipe={}, selection=selection)
        (recall,) = rows.recall
        answerable = row["queries"] - len(row["without"])
        assert (rows.queries[0], rows.without_positives[0]) == (row["queries"], len(row["without"]))
        assert rows.protocol[0] == protocol.name
        assert recall == pytest.approx(answerable / row["queries"], abs=1e-12)
        errors = per_query_table(ranked, **made)["error@1"]
        assert ((errors <= protocol.radius).sum(), pd.notna(errors).all()) == (answerable, True)
