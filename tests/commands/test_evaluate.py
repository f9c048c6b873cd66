"""`vprlib evaluate`, as it is typed: recalls by their definition, and those of the workflow to the last digit."""

import re

import h5py
import numpy as np
import pandas as pd
import pytest

from tests.helpers.workflow import MODEL, RUN
from vprlib.__main__ import main
from vprlib.io.files import write_h5

POSITIONS = {"database": 12, "query": 6}


@pytest.fixture
def place(tmp_path, photo, monkeypatch):
    """Two folders of photos along a street with their positions in the names, and descriptors of them."""
    rng = np.random.default_rng(0)
    for folder, (count, shift) in {"database": (12, 0.0), "queries": (6, 3.0)}.items():
        for number in range(count):
            photo(tmp_path / folder / f"@{500000 + 40 * number + shift:.2f}@5400000.00@{number:02d}@.jpg", seed=number)
        x_ND = rng.normal(size=(count, 4)).astype(np.float32)
        np.save(tmp_path / f"{folder}.npy", x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True))
    monkeypatch.chdir(tmp_path)
    return tmp_path


GIVEN = ["--database", "database", "--queries", "queries"]
ARRAYS = ["--descriptors", "database.npy", "queries.npy"]


def defined_recalls(place, radius, ks):
    """Recall by its definition, one query at a time."""
    database_ND, query_QD = (np.load(place / f"{name}.npy") for name in ("database", "queries"))
    hits = dict.fromkeys(ks, 0)
    for number, query_D in enumerate(query_QD):
        order = sorted(range(len(database_ND)), key=lambda row, x_D=query_D: (-float(database_ND[row] @ x_D), row))
        for k in ks:
            hits[k] += any(abs(40 * row - 40 * number - 3) <= radius for row in order[:k])
    return {k: count / len(query_QD) for k, count in hits.items()}


@pytest.mark.parametrize("radius", [25, 60])
def test_recalls_follow_their_definition(place, capsys, radius):
    assert main(["evaluate", *GIVEN, *ARRAYS, "--radius", str(radius), "--out", "out/recalls.csv"]) == 0
    table = pd.read_csv(place / "out/recalls.csv")
    wanted = defined_recalls(place, radius, (1, 5, 10))
    assert dict(zip(table.k, table.recall, strict=True)) == pytest.approx(wanted)
    assert set(table.of) == {"database.npy, queries.npy"}
    lines = capsys.readouterr().out.splitlines()
    for line, row in zip(lines, table.itertuples(), strict=False):
        values = [float(value) for value in re.findall(r"[\d.]+", line)]
        assert values == pytest.approx([row.k, *(100 * x for x in (row.recall, row.low, row.high))], abs=0.051)
    text = " ".join(lines[len(table) :])
    for part in ("6 queries of 6 places; 12 database photos; 4-D", f"within {radius} m", "95 % intervals"):
        assert part in text


def test_positions_may_stand_in_a_csv_and_photos_in_lists_in_any_order(place, photo, capsys):
    assert main(["evaluate", *GIVEN, *ARRAYS]) == 0
    wanted = capsys.readouterr().out
    rng = np.random.default_rng(1)
    rows = []
    for folder, shift in (("database", 0.0), ("queries", 3.0)):
        names = sorted(path.name for path in (place / folder).iterdir())
        order = rng.permutation(len(names))
        plain = []
        for number in order:
            (place / folder / names[number]).rename(place / folder / f"{number}.jpg")
            plain.append(f"{folder}/{number}.jpg")
            rows.append({"path": plain[-1], "east": 40 * number + shift, "north": 0})
        (place / f"{folder}.txt").write_text("\n".join(plain))
        np.save(place / f"{folder}.npy", np.load(place / f"{folder}.npy")[order])
    pd.DataFrame(rows).sample(frac=1, random_state=0).to_csv(place / "where.csv", index=False)
    lists = ["--database", "database.txt", "--queries", "queries.txt", "--positions", "where.csv"]
    assert main(["evaluate", *lists, *ARRAYS]) == 0
    assert capsys.readouterr().out == wanted


def test_descriptors_with_paths_need_no_order(place, capsys):
    assert main(["evaluate", *GIVEN, *ARRAYS]) == 0
    wanted = capsys.readouterr().out
    with h5py.File(place / "both.h5", "w") as file:
        for folder in ("database", "queries"):
            names = sorted(path.name for path in (place / folder).iterdir())[::-1]
            file[folder], file[f"{folder}_paths"] = np.load(place / f"{folder}.npy")[::-1], names
    assert main(["evaluate", *GIVEN, "--descriptors", "both.h5"]) == 0
    assert capsys.readouterr().out == wanted


def test_without_positions_sub_folders_of_one_name_are_one_place(tmp_path, photo, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("tower", "bridge", "bridge", "gate")):
        photo(tmp_path / f"database/{name}/{number}.jpg", seed=number)
    for name in ("bridge", "tower"):
        photo(tmp_path / f"queries/{name}/q.jpg", seed=9)
    np.save("database.npy", np.eye(4, dtype=np.float32))  # in the order bridge/1, bridge/2, gate/3, tower/0
    np.save("queries.npy", np.eye(4, dtype=np.float32)[[1, 2]])  # bridge is found, tower is not
    assert main(["evaluate", *GIVEN, *ARRAYS, "--recall-at", "1", "4"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"R@1 +50.0 .*\nR@4 +100.0 ", out)
    assert "hold a photo of the query's sub-folder" in out
    assert " m." not in out


def test_a_kind_of_a_run_is_read_by_its_name(place, capsys, caplog):
    """Without one, the only kind that both files hold, or the raw ones with a line about the others."""
    x = {name: np.load(f"{name}.npy") for name in ("database", "queries")}
    other = {name: rows_ND[::-1].copy() for name, rows_ND in x.items()}

    def printed(*options):
        caplog.clear()
        assert main(["evaluate", *GIVEN, "--descriptors", "database.h5", "queries.h5", *options]) == 0
        return capsys.readouterr().out

    def write(**kinds):
        for name in x:
            write_h5(place / f"{name}.h5", {kind: rows[name] for kind, rows in kinds.items()})

    write(raw=x)
    raw = printed()
    write(whitened=other)
    whitened = printed()
    assert raw != whitened
    assert caplog.text == ""
    write(raw=x, whitened=other)
    assert [printed("--kind", "raw"), printed("--kind", "whitened")] == [raw, whitened]
    assert caplog.text == ""
    assert printed() == raw
    assert "the whitened ones beside them are by `--kind whitened`" in caplog.text
    write_h5(place / "database.h5", {"whitened": other["database"]})
    assert printed() == whitened
    assert caplog.text == ""


def test_default_numbers_of_candidates_beyond_the_database_are_left_out(place, capsys, caplog):
    for path in sorted((place / "database").iterdir())[7:]:
        path.unlink()
    np.save("database.npy", np.load("database.npy")[:7])
    assert main(["evaluate", *GIVEN, *ARRAYS]) == 0
    assert re.findall(r"^R@(\d+)", capsys.readouterr().out, re.MULTILINE) == ["1", "5"]
    assert caplog.messages == ["recall@10 left out, because there are 7 database photos"]


OTHERS = "the test photos of database and queries; give"


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ([*GIVEN, "--descriptors", "database.npy", "none.npy"], ["none.npy: no such file"]),
        ([*GIVEN, "--descriptors", "queries.npy", "database.npy"], ["queries.npy: has 6 rows", "12 database photos"]),
        ([*GIVEN, "--descriptors", *["queries.npy"] * 3], ["--descriptors"]),
        ([*GIVEN, "--descriptors", "other.h5", "queries.npy"], ["other.h5: raw: ", "other photos than", OTHERS]),
        ([*GIVEN, *ARRAYS, "--radius", "0"], ["--radius 0"]),
        ([*GIVEN, *ARRAYS, "--radius", "nan"], ["--radius nan"]),
        ([*GIVEN, *ARRAYS, "--recall-at", "0"], ["--recall-at 0"]),
        ([*GIVEN, *ARRAYS, "--recall-at", "13"], ["--recall-at: recall@13 needs 13 database photos, there are 12"]),
        ([*GIVEN, "--network", "noise.pth", "--recall-at", "13"], ["--recall-at: recall@13 needs 13"]),
        ([*GIVEN, "--network", "resnet18", "--kind", "raw"], ["--kind", "--whitening"]),
        (
            [*GIVEN, *ARRAYS, "--kind", "raw"],
            ["--kind raw: database.npy and queries.npy hold one kind", "leave it out"],
        ),
        ([*GIVEN, "--descriptors", "raw.h5", "raw.h5", "--kind", "whitened"], ["raw.h5: has no dataset whitened"]),
        ([*GIVEN, *ARRAYS, "--out", "x.json"], ["x.json", ".csv"]),
        ([*GIVEN, *ARRAYS, "--whitening", "pca.h5"], ["--whitening"]),
        ([*GIVEN, *ARRAYS, "--positions", "none.csv"], ["none.csv: no such file"]),
        ([*GIVEN, *ARRAYS, "--positions", "half.csv"], ["half.csv", "has no row for database/@5"]),
        ([*GIVEN, *ARRAYS, "--positions", "bare.csv"], ["bare.csv", "no column 'north'"]),
        ([*GIVEN[:2], "--queries", "nowhere", *ARRAYS], ["nowhere: no such file"]),
        ([*GIVEN[:2], "--queries", "empty", *ARRAYS], ["empty: holds no photo"]),
        ([*GIVEN, "--network", "none.pth"], ["none.pth: no such file"]),
        ([*GIVEN, "--network", "resnet8"], ["resnet8", "did you mean 'resnet18'"]),
        ([*GIVEN, *ARRAYS, "--radius", "1"], ["within 1 m", "check the radius"]),
    ],
)
def test_bad_arguments_are_one_line(place, capsys, arguments, fragments):
    (place / "empty").mkdir()
    (place / "noise.pth").write_bytes(b"no network, which is read after the number of photos")
    write_h5(place / "raw.h5", {"raw": np.load("database.npy")})
    write_h5(place / "other.h5", {"raw": np.load("database.npy")}, {"photos": "0123456789ab"})
    (place / "half.csv").write_text("path,east,north\nqueries/none.jpg,1,2\n")
    (place / "bare.csv").write_text("path,east\nqueries/none.jpg,1\n")
    assert main(["evaluate", *arguments]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert (said.err.count("\n"), said.out) == (1, "")
    assert not [fragment for fragment in fragments if fragment not in said.err], said.err


def test_a_checkpoint_and_its_own_files_have_the_recalls_of_the_workflow_to_the_last_digit(done, monkeypatch):
    monkeypatch.chdir(done)
    table = pd.read_csv(done / "results/city/images.csv")
    table = table[table.split == "test"]
    for role, name in (("database", "db.txt"), ("query", "q.txt")):
        (done / name).write_text("\n".join(table.path[table.role == role]))
    lists = ["--database", "db.txt", "--queries", "q.txt", "--positions", "results/city/images.csv", "--radius", "10"]
    own, ks = done / RUN.format("city"), ["--recall-at", "1", "5", "10", "20"]
    recalls = pd.read_csv(own / "recalls.csv").set_index("descriptor")
    columns = ["k", "recall", "low", "high", "design_effect", "chance", "queries", "places", "database"]
    for kind, given in {
        "raw": ["--network", f"{MODEL}/best.safetensors"],
        "whitened": ["--network", f"{MODEL}/best.safetensors", "--whitening", f"{MODEL}/pca.h5"],
        "own": ["--descriptors", str(own / "database.h5"), str(own / "queries.h5")],
        "own whitened": ["--descriptors", str(own / "database.h5"), str(own / "queries.h5"), "--kind", "whitened"],
    }.items():
        assert main(["evaluate", *lists, *ks, *given, "--out", "out.csv"]) == 0
        found = pd.read_csv(done / "out.csv")
        wanted = recalls.loc["whitened" if "whitened" in kind else "raw"].reset_index(drop=True)
        pd.testing.assert_frame_equal(found[columns], wanted[columns], check_exact=True)
