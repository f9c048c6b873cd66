import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from vprlib.data.geometry import within
from vprlib.data.image_table import hash_test_photos, read_image_table, select_rows
from vprlib.data.listed_positives import LISTED, LISTED_RADIUS, listed_table
from vprlib.data.protocol import Protocol
from vprlib.evaluation.comparison import recall_by_threshold
from vprlib.evaluation.intervals import recall_intervals
from vprlib.evaluation.predictions import Predictions, load_predictions
from vprlib.evaluation.query_table import distance_ratios, per_query_table
from vprlib.evaluation.recall import random_recall, suppress_views
from vprlib.evaluation.recall_table import check_recipe, epoch_selection, join_results, query_conditions, recall_table
from vprlib.exceptions import InputError
from vprlib.io.files import open_h5, read_h5, write_csv, write_h5
from vprlib.io.fingerprints import sha256_of_file
from vprlib.retrieval.search import search_database

MODEL = {"epoch": 3, "train": {"margin": 0.3, "monitor_recall_at": 5}}
RECIPE = {"train": [{"loss": {"options": {"margin": 0.3}}}], "centroids": {"images": 40}, "whiten": {"dim": 4}}
FOUR = Protocol("4 m", radius=4)


def judge(images, ranking, protocol, **options):
    found = load_predictions(images=images, ranking=ranking, protocol=protocol)
    return recall_table(found, images=images, ranking=ranking, protocol=protocol, **options)


def answers(images, ranking, protocol, **options):
    found = load_predictions(images=images, ranking=ranking, protocol=protocol)
    return per_query_table(found, images=images, protocol=protocol, **options)


def slow_recall(k, ranking, positives):
    found = [
        any(candidate in set(right) for candidate in row[:k]) for row, right in zip(ranking, positives, strict=True)
    ]
    return sum(found) / len(found)


@pytest.fixture
def made(tmp_path):
    """A searched test split: 6 places with 2 views, 9 queries of which the last is far from all; other splits too."""
    rng = np.random.default_rng(3)
    rows = [["train", "query", None, 0, 0], ["val", "database", "9", 0, 0]]
    rows += [["test", "database", f"{number // 2:03d}", 10 * (number // 2), 0] for number in range(12)]
    rows += [["test", "query", None, 10 * (number % 6) + 2, 1] for number in range(8)] + [
        ["test", "query", None, 1e3, 0]
    ]
    table = pd.DataFrame(rows, columns=["split", "role", "place", "east", "north"])
    table["path"] = [f"{number}.jpg" for number in table.index]
    table["city"] = np.where(table.east < 30, "left", "right")
    table["easy"] = table.index % 2
    write_csv(tmp_path / "images.csv", table)
    for name, count in (("database", 12), ("queries", 9)):
        arrays = {kind: rng.normal(size=(count, dim)).astype(np.float16) for kind, dim in (("raw", 8), ("whitened", 4))}
        sources = {"checkpoint": "f" * 64, "model": json.dumps(MODEL), "recipe": json.dumps(RECIPE)}
        write_h5(tmp_path / f"{name}.h5", arrays, sources)
    search_database(
        tmp_path / "ranking.h5",
        database=tmp_path / "database.h5",
        queries=tmp_path / "queries.h5",
        images=tmp_path / "images.csv",
        depth=10,
        scopes=["all", "city"],
    )
    chosen = {"checkpoint": "best", "train_set": "mine", "validation": tmp_path / "images.csv"}
    said = {"selection": chosen, "recipe": RECIPE, "config_hash": "12345678e901"}
    return {"images": tmp_path / "images.csv", "ranking": tmp_path / "ranking.h5"} | said


@pytest.mark.parametrize(
    ("changes", "difference", "rule"),
    [
        ({"train": [{"loss": {"options": {"margin": 0.2}}}]}, "train.0.loss.options.margin 0.3, not 0.2", "train"),
        ({"train": [{}]}, "train.0.loss {'options': {'margin': 0.3}}, not default", "train"),
        ({"centroids": {"images": 50}}, "centroids.images 40, not 50", "cluster_features"),
        ({"centroids": {}}, "centroids.images 40, not default", "cluster_features"),
        ({"whiten": {"dim": 4, "images": 9}}, "whiten.images default, not 9", "fit_whitening"),
        ({"pretrain": {}}, "pretrain default, not {}", "pretrain_backbone"),
    ],
)
def test_a_network_of_another_recipe_is_refused(made, refused, changes, difference, rule):
    with refused(made["ranking"], f"was made with {difference}", f"`-R {rule}`"):
        judge(**made | {"recipe": RECIPE | changes}, ks=(1,), protocol=FOUR)


def attributes(path):
    with open_h5(path) as file:
        return dict(file.attrs)


def test_what_a_ranking_was_made_from_is_compared(made, tmp_path):
    known = attributes(made["ranking"])
    chosen = made["selection"] | {"validation": tmp_path / "images.csv"}
    check = partial(check_recipe, recipe=RECIPE, selection=chosen, ranking="ranking.h5")
    check(known)

    def trained(**changes):
        return known | {"model": json.dumps(MODEL | changes)}

    check(trained(saved_as="best", sources={"images": sha256_of_file(tmp_path / "images.csv")}))
    check(trained(source={"file": "theirs.pth"}) | {"recipe": json.dumps(RECIPE | {"train": []})}, recipe={})
    check(trained(source={"file": "results/models/a/seed0/gen0/last.safetensors"}, saved_as="last"))
    for changed, said in (
        (trained(saved_as="last"), "extract.checkpoint last, not best"),
        (trained(sources={"images": "0" * 64}), "trained on another"),
        ({name: value for name, value in known.items() if name != "recipe"}, "does not say"),
    ):
        with pytest.raises(InputError, match=said):
            check(changed)


def test_a_ranking_of_other_photos_is_refused(made, refused, tmp_path):
    table = read_image_table(made["images"])
    assert hash_test_photos(table) == hash_test_photos(table[table.split == "test"])
    changed = table.assign(path=table.path.where(table.index != 5, "another.jpg"))
    assert hash_test_photos(changed) != hash_test_photos(table)
    for name in ("database", "queries"):
        arrays = {kind: read_h5(tmp_path / f"{name}.h5", kind)[0] for kind in ("raw", "whitened")}
        photos = {"photos": hash_test_photos(table)}
        write_h5(tmp_path / f"{name}.h5", arrays, attributes(tmp_path / f"{name}.h5") | photos)
    files = {"database": tmp_path / "database.h5", "queries": tmp_path / "queries.h5", "images": made["images"]}
    search_database(made["ranking"], **files, depth=10, scopes=["all"])
    judge(**made, ks=(1,), protocol=FOUR)
    write_csv(made["images"], changed)
    with refused(made["ranking"], "other photos", made["images"]):
        judge(**made, ks=(1,), protocol=FOUR)
    with refused(files["database"], "other photos"):
        search_database(tmp_path / "again.h5", **files, depth=10, scopes=["all"])


@pytest.mark.parametrize("views", [None, 2])
def test_judged_rows_agree_with_the_definition(made, views):
    rows = judge(**made, ks=(1, 3), protocol=replace(FOUR, views_per_place=views))
    assert rows.descriptor.tolist() == ["raw", "raw", "whitened", "whitened"]
    assert rows.dim.tolist() == [8, 8, 4, 4]
    positives = [[2 * (number % 6), 2 * (number % 6) + 1] for number in range(8)] + [[]]
    for row in rows.itertuples():
        (ranking,) = read_h5(made["ranking"], f"all/{row.descriptor}/ranking")
        if views:
            ranking = suppress_views(ranking, np.arange(12) // 2, 10)
        assert row.recall == pytest.approx(slow_recall(row.k, ranking, positives), abs=1e-15)
        pairs = [([row_K], [right]) for row_K, right in zip(ranking, positives, strict=True)]
        hit_QC = np.array([[slow_recall(k, *pair) for k in (1, 3)] for pair in pairs])
        low, high, effect = recall_intervals(np.array([0, 1, 2, 3, 4, 5, 0, 1, 6]), hit_QC.astype(bool))
        column = (1, 3).index(row.k)
        assert (row.low, row.high, row.design_effect) == pytest.approx((low[column], high[column], effect[column]))
        assert row.places == 7
        places = [sorted({right // 2 for right in rights}) for rights in positives]
        assert (
            row.chance == (random_recall([row.k], places, 6) if views else random_recall([row.k], positives, 12))[row.k]
        )
        assert (row.queries, row.database, row.without_positives, row.radius, row.unit) == (9, 12, 1, 4, "m")
        assert (row.epoch, row.checkpoint, row.config_hash, row.protocol) == (3, "f" * 12, "12345678e901", "4 m")
        assert (row.condition, row.train_set, row.epoch_selected_on) == (
            "all",
            "mine",
            "last epoch",
        )  # val has no query


def test_a_protocol_may_ask_some_queries_only(made):
    table = read_image_table(made["images"])
    easy = select_rows(table, "test", "query").easy == 1
    rows = judge(**made, ks=(1, 3), protocol=replace(FOUR, name="easy", queries="easy"))
    everything = load_predictions(images=made["images"], ranking=made["ranking"], protocol=FOUR)
    for row in rows.itertuples():
        some = [right for right, one in zip(everything.positives, easy, strict=True) if one]
        ranking = everything.rankings[row.descriptor][easy]
        assert row.recall == pytest.approx(slow_recall(row.k, ranking, some), abs=1e-15)
        assert (row.queries, row.protocol) == (easy.sum(), "easy")


def test_a_protocol_may_search_each_city_alone(made):
    table = read_image_table(made["images"])
    query, database = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    protocol = replace(FOUR, same_column="city", radius=11)
    found = load_predictions(images=made["images"], ranking=made["ranking"], protocol=protocol)
    everywhere = load_predictions(images=made["images"], ranking=made["ranking"], protocol=FOUR)
    same = [[row for row in range(12) if database.city[row] == city] for city in query.city]
    for q in range(9):
        (near,) = within(query.loc[[q], ["east", "north"]], database[["east", "north"]], 11)
        assert found.positives[q].tolist() == [row for row in near if row in same[q]]
        shown = [row for row in everywhere.rankings["raw"][q] if row in same[q]]
        kept = [row for row in found.rankings["raw"][q] if row >= 0]
        assert kept[: len(shown)] == shown  # of the 10 nearest of all, those of its city, in their order
        assert sorted(kept) == same[q]
    rows = judge(**made, ks=(1,), protocol=protocol)
    lucky = [random_recall([1], [found.positives[q]], len(same[q]))[1] for q in range(9)]
    assert rows.chance[0] == pytest.approx(np.mean(lucky), abs=1e-12)


def test_a_split_without_queries_or_a_protocol_without_any_is_refused(made, refused):
    with refused(made["images"], "'hard'"):
        table = read_image_table(made["images"]).assign(hard=0)
        write_csv(made["images"], table)
        judge(**made, ks=(1,), protocol=replace(FOUR, queries="hard"))
    write_csv(made["images"], table[~((table.split == "test") & (table.role == "query"))])
    with refused(made["images"], "no query"):
        judge(**made, ks=(1,), protocol=FOUR)


def test_a_ranking_of_other_images_or_too_short_is_refused(made, refused):
    with refused("recall@11", "10"):
        judge(**made, ks=(1, 11), protocol=FOUR)
    table = pd.read_csv(made["images"], dtype={"place": str})
    for fewer in (table.iloc[:-1], table.drop(index=[12, 13])):  # a query less, two database images less
        write_csv(made["images"], fewer)
        with refused(made["ranking"], made["images"]):
            judge(**made, ks=(1,), protocol=FOUR)


def test_joined_tables_are_all_of_the_configuration(made, refused, tmp_path):
    one = judge(**made, ks=(1, 3), protocol=FOUR)
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, config in zip(paths, ("12345678e901", "000000000012"), strict=True):
        write_csv(path, one.assign(config_hash=config, recall=0.1 + 0.2))
    joined = join_results(paths, ["12345678e901", "000000000012"])
    assert joined.config_hash.tolist() == 4 * ["12345678e901"] + 4 * ["000000000012"]
    assert (joined.recall == 0.1 + 0.2).all()
    with refused(paths[0], "another configuration"):
        join_results(paths, ["000000000012", "12345678e901"])


def test_queries_of_a_condition_have_rows_of_their_own(made):
    rows = judge(**made, ks=(1, 3), protocol=FOUR, group_by=["city", "easy"])
    everything = load_predictions(images=made["images"], ranking=made["ranking"], protocol=FOUR)
    assert list(rows.condition.unique()) == ["all", "city=left", "city=right", "easy=0", "easy=1"]
    assert rows[rows.condition == "all"].equals(
        judge(**made, ks=(1, 3), protocol=FOUR).set_axis(rows.index[rows.condition == "all"])
    )
    for row in rows[rows.condition != "all"].itertuples():
        column, value = row.condition.split("=")
        chosen = np.flatnonzero(everything.query[column].astype(str) == value)
        some = [everything.positives[q] for q in chosen]
        assert row.recall == pytest.approx(slow_recall(row.k, everything.rankings[row.descriptor][chosen], some))
        assert (row.queries, row.without_positives) == (len(chosen), sum(not len(right) for right in some))
        assert row.chance == pytest.approx(random_recall([row.k], some, 12)[row.k])


def test_conditions_name_missing_values_and_refuse_unknown_columns(refused):
    query = pd.DataFrame({"light": ["day", None, "night", "day"], "season": [1.0, np.nan, 2.0, 2.0]})
    found = {name: rows.tolist() for name, rows in query_conditions(query, ["light", "season"], "i").items()}
    assert found == {
        "all": [0, 1, 2, 3],
        "light=day": [0, 3],
        "light=night": [2],
        "light=none": [1],
        "season=1": [0],
        "season=2": [2, 3],
        "season=none": [1],
    }
    with refused("evaluate.group_by: i", "'ligth'", "did you mean 'light'?"):
        query_conditions(query, ["ligth"], "i")


@pytest.mark.parametrize("views", [None, 2])
@pytest.mark.parametrize("inside", [None, "city"])
def test_answers_agree_with_the_definition(made, views, inside):
    protocol = replace(FOUR, views_per_place=views, same_column=inside)
    table = read_image_table(made["images"])
    query, database = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    sources = {name: made[name] for name in ("images", "ranking", "config_hash")}
    rows = answers(**sources, ks=(1, 3), protocol=protocol, group_by=["city"])
    assert len(rows) == 2 * 9
    found = load_predictions(images=made["images"], ranking=made["ranking"], protocol=protocol)
    for number, row in enumerate(rows.itertuples()):
        q = number % 9
        (near,) = within(query.loc[[q], ["east", "north"]], database[["east", "north"]], 4)
        ranking, score = read_h5(
            made["ranking"], *(f"{inside or 'all'}/{row.descriptor}/{name}" for name in ("ranking", "score"))
        )
        seen, kept = set(), []
        for candidate, similarity in zip(ranking[q], score[q], strict=True):
            place = database.place[candidate] if views and candidate >= 0 else candidate
            if candidate >= 0 and place not in seen:
                seen.add(place)
                kept.append((candidate, float(similarity)))
        kept_ids = [candidate for candidate, _ in kept]
        assert [c for c in found.rankings[row.descriptor][q] if c >= 0] == kept_ids
        ranks = [1 + place for place, candidate in enumerate(kept_ids) if candidate in near]
        assert (row.query, row.positives, row.top1_image, row.score) == (
            q_path(query, q),
            len(near),
            *top(database, kept),
        )
        assert (pd.isna(row.rank) and not ranks) or row.rank == ranks[0]
        off = [np.hypot(*(database.loc[c, ["east", "north"]] - query.loc[q, ["east", "north"]])) for c in kept_ids]
        assert (row[rows.columns.get_loc("error@1") + 1], row[rows.columns.get_loc("error@3") + 1]) == pytest.approx(
            (off[0], min(off[:3]))
        )
        assert row.city == query.city[q]
        away = [
            np.sqrt(max(0, 2 - 2 * similarity))
            for candidate, similarity in kept
            if abs(database.east[candidate] - database.east[kept_ids[0]]) > 4
        ]
        first = np.sqrt(max(0, 2 - 2 * kept[0][1]))
        assert row.distance_ratio == pytest.approx(first / away[0] if away[0] else 1, rel=1e-6)


def q_path(query, q):
    return query.path[q]


def top(database, kept):
    return database.path[kept[0][0]], np.float32(kept[0][1])


def test_the_second_place_lies_beyond_the_radius_of_the_first_candidate():
    database = pd.DataFrame({"east": [0.0, 3.0, 4.0, 50.0], "north": 0.0})
    ranking = np.array([[0, 1, 2, 3], [0, 1, 2, -1], [1, 3, 2, 0], [0, -1, -1, -1], [0, 3, 1, 2], [-1, -1, -1, -1]])
    score = np.array([[0.9, 0.8, 0.7, 0.6]] * 6)
    score[4, :2] = 1  # twice the very same descriptor: nothing tells the first place from the second
    found = Predictions(None, database, [], {"raw": ranking}, {"raw": score}, {}, {})
    far = np.sqrt(2 - 2 * score[0])
    expected = [far[0] / far[3], far[0] / far[2], far[0] / far[1], 1, 1, np.nan]
    np.testing.assert_allclose(distance_ratios(found, "raw", 4), expected)
    np.testing.assert_allclose(distance_ratios(found, "raw", 3.5)[0], far[0] / far[2])


def test_a_query_without_candidates_has_an_empty_answer(made):
    table = pd.read_csv(made["images"], dtype={"place": str})
    write_csv(made["images"], table.assign(city=table.city.where(table.index < len(table) - 1, "nowhere")))
    arrays = {}
    for kind in ("raw", "whitened"):
        ranking, score = read_h5(made["ranking"], f"city/{kind}/ranking", f"city/{kind}/score")
        ranking[-1], score[-1] = -1, -np.inf
        arrays |= {f"city/{kind}/ranking": ranking, f"city/{kind}/score": score, f"city/{kind}/dim": 4}
    write_h5(made["ranking"], arrays, {"checkpoint": "f", "model": "{}"})
    sources = {name: made[name] for name in ("images", "ranking", "config_hash")}
    last = answers(**sources, ks=(1, 3), protocol=replace(FOUR, same_column="city")).iloc[8]
    assert last[["rank", "top1_image", "score", "distance_ratio", "error@1", "error@3"]].isna().all()
    assert last.positives == 0


def test_the_chosen_epoch_names_who_chose_it(tmp_path):
    rows = [
        f"p{number},{split},{role}"
        for number, (split, role) in enumerate(
            (split, role) for split in ("train", "val", "test") for role in ("database", "query")
        )
    ]
    tables = {"own": rows, "noval": [row for row in rows if "val" not in row], "other": [f"x{row}" for row in rows]}
    tables["tests_val"] = [row.replace("val", "test") for row in rows if "val" in row]
    for name, lines in tables.items():
        cells = [line.split(",") for line in lines]
        write_csv(tmp_path / f"{name}.csv", pd.DataFrame(cells, columns=["path", "split", "role"]))

    def said(training, tested, checkpoint="best", epoch=3):
        trained = MODEL | {"epoch": epoch}
        paths = {"validation": tmp_path / f"{training}.csv", "images": tmp_path / f"{tested}.csv"}
        return epoch_selection(checkpoint=checkpoint, trained=trained, train_set=training, **paths)

    assert said("own", "own") == said("own", "other") == "val recall@5 of own"
    assert said("own", "own", checkpoint="last") == said("noval", "own") == "last epoch"
    assert said("own", "own", epoch=0) == "initial network"
    assert said("own", "tests_val") == "test: val recall@5 of own, 2 of whose photos are tested here"


def test_a_table_that_lacks_what_a_protocol_needs_is_refused(made, refused):
    write_csv(made["images"], read_image_table(made["images"]).drop(columns="city").assign(place=None))
    for wanted, column in (
        ({"same_column": "city"}, "city"),
        ({"queries": "hard"}, "hard"),
        ({"views_per_place": 2}, "place"),
    ):
        with refused(made["images"], f"'{column}'", "-R image_table"):
            load_predictions(images=made["images"], ranking=made["ranking"], protocol=replace(FOUR, **wanted))


def test_a_query_without_positives_is_never_right_by_chance():
    assert random_recall([1, 5], [[]], 0) == {1: 0, 5: 0}
    assert random_recall([5], [[], [1]], 3) == {5: 0.5}


@pytest.mark.parametrize("seed", range(3))
def test_listed_positives_are_the_hits_whatever_the_positions_are(made, seed):
    rng = np.random.default_rng(seed)
    table = read_image_table(made["images"])
    paths = {role: list(select_rows(table, "test", role).path) for role in ("database", "query")}
    lists = [np.sort(rng.choice(12, rng.integers(1, 4), replace=False)) for _ in range(9)]
    write_csv(made["images"], listed_table(paths["database"], paths["query"], lists))
    protocol = Protocol("own", LISTED_RADIUS, LISTED)
    found = load_predictions(images=made["images"], ranking=made["ranking"], protocol=protocol)
    table = answers(made["images"], made["ranking"], protocol, ks=[1, 5], config_hash="c")
    for kind, part in table.groupby("descriptor"):
        for k in (1, 5):
            recall = slow_recall(k, found.rankings[kind], lists)
            assert (part["rank"].fillna(99) <= k).mean() == recall
            assert (part[f"error@{k}"] == 0).mean() == recall
    identified = table.assign(dataset="d", run="r", seed=0, gen=0)
    for kind, part in recall_by_threshold(identified).groupby("descriptor"):
        assert set(part.recall) == {slow_recall(1, found.rankings[kind], lists)}
