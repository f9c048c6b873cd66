"""Every benchmark runs in its toy size and yields measurements; what they say about speed is not tested here."""

import json
import math

import pytest

from benchmarks import __main__ as command_line
from benchmarks import scale, training
from benchmarks.measure import CPU, Durations, PeakMemory, Row, alternate, duration_row, format_number, rate_row
from benchmarks.suite import SUITE
from tests.helpers import experiment_files as campaign


def is_positive(value):
    return math.isfinite(value) and value > 0


@pytest.mark.parametrize("name", SUITE)
def test_a_benchmark_measures_something_next_to_its_limit(name):
    rows = list(SUITE[name]("toy"))
    assert all(is_positive(row.measured) for row in rows), [str(row) for row in rows]
    limited = [row for row in rows if row.limit is not None]
    assert limited
    assert all(is_positive(row.limit) for row in limited), [str(row) for row in rows]
    assert all(row.ratio is None or is_positive(row.ratio) for row in rows)
    assert all(row.name in str(row) and format_number(row.measured) in str(row) for row in rows)


def test_search_finds_what_a_full_sort_finds():
    rows = {row.name.partition("@")[0]: row for row in scale.search_rows(50, 500, 32, rounds=1)}
    recall = rows["search recall"]
    assert recall.ok
    assert 0 < recall.measured == recall.limit < 1  # some positives are found, and some are not


def test_an_sfrs_step_passes_each_photo_once_through_the_trunk():
    assert training.sfrs_step("toy").passes == 22


def test_cached_features_are_those_of_the_frozen_layers():
    expected = training.frozen_batch("toy", 3)
    with training.feature_cache("toy", 3) as features:
        assert all((features[row] == expected[row]).all() for row in range(3))


def test_the_command_line_prints_and_writes_the_rows_of_the_named_benchmarks(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    command_line.main(["mining", "netvlad", "--toy", "--json", str(tmp_path / "rows.json")])
    written = json.loads((tmp_path / "rows.json").read_text())
    assert [row["name"] for row in written["rows"]] == ["netvlad forward", "netvlad forward+backward", "mining"]
    assert all(row["ok"] is None and is_positive(row["limit"]) for row in written["rows"])
    assert written["machine"]["threads"] >= 1
    printed = capsys.readouterr().out
    assert all(row["name"] in printed for row in written["rows"])


@pytest.mark.parametrize("arguments", [["nettvlad"], ["--toy", "--full"]])
def test_the_command_line_refuses_unknown_names_and_two_sizes(arguments, capsys):
    with pytest.raises(SystemExit):
        command_line.main(arguments)
    assert "error: " in capsys.readouterr().err


def test_the_normal_size_is_the_default(monkeypatch, capsys):
    sizes = []
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setitem(SUITE, "mining", lambda size: sizes.append(size) or [])
    for arguments in (["mining"], ["mining", "--full"], ["mining", "--toy"]):
        command_line.main(arguments)
    assert sizes == ["normal", "full", "toy"]


def test_an_experiment_has_every_file_that_the_report_reads(tmp_path):
    sizes = {"queries": 20, "database": 30, "size": (64, 48), "seeds": {"b": 2}}
    made = campaign.make_campaign(tmp_path, runs=["a", "b"], names=["town"], **sizes)
    assert [(network.run, network.seed) for network in made.networks] == [("a", 0), ("b", 0), ("b", 1)]
    assert len(made.recalls)
    assert not made.gaps
    assert (made.results / "town" / "verification.json").exists()


def test_ratios_are_medians_of_repetitions_side_by_side():
    limit, taken = Durations([(1.0, 1.0), (2.0, 4.0), (4.0, 4.0)]), Durations([(3.0, 2.0), (4.0, 4.0), (4.0, 4.0)])
    row = duration_row("x", "", taken, limit, 1.5, scale=1e3, unit="ms")
    assert (row.measured, row.limit, row.ratio, row.cpu_ratio) == (4000, 2000, 2, 1)
    assert (row.target, row.ok) == ("<= 1.5 x", False)
    rate = rate_row("x", "", 8, taken, limit, 0.5, unit="images/s")
    assert (rate.measured, rate.limit, rate.ratio, rate.ok) == (2, 4, 0.5, True)
    assert taken.plus(limit).wall == 6
    assert taken.times(2).wall == 8


def test_without_cpu_time_there_is_no_ratio_of_it():
    row = duration_row("x", "", Durations([(2.0, 0.0)]), Durations([(1.0, 0.0)]))
    assert (row.ratio, row.cpu_ratio, row.ok) == (2, None, None)


def test_functions_are_timed_in_alternation_after_a_round_that_is_not_timed():
    calls = []
    durations = alternate(lambda: calls.append("a"), lambda: calls.append("b"), rounds=2, device=CPU)
    assert calls == ["a", "b"] * 3
    assert [len(own) for own in durations] == [2, 2]


def test_peak_memory_counts_memory_that_is_freed_before_the_end_of_the_block():
    with PeakMemory() as peak:
        held = bytearray(64 << 20)
        held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
        del held
    assert peak.gb < 1
    with PeakMemory() as peak:
        held = bytearray(64 << 20)
        held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
    assert 0.05 < peak.gb < 1


def test_a_row_shows_a_dash_for_what_it_does_not_have():
    text = str(Row("name", "size", 0.5, "s", load=None, target="<= 1", ok=False))
    assert text.split() == ["name", "size", "0.5", "-", "s", "-", "-", "-", "<=", "1", "missed"]
