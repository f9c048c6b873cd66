import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, precision_recall_curve
from statsmodels.stats import multitest

from vprlib.evaluation.statistics import (
    area_under_curve,
    average_precision,
    error_quantiles,
    holm_adjust,
    precision_recall,
    recall_at_full_precision,
    recall_by_radius,
)

nan = np.nan


@pytest.mark.parametrize("p", [[0.01], [0.04, 0.01, 0.03], [0.5, 0.5, 1, 0.001], [0.2, 0.01, 0.01, 0.9, 0.0]])
def test_holm_agrees_with_statsmodels(p):
    np.testing.assert_allclose(holm_adjust(p), multitest.multipletests(p, method="holm")[1], atol=1e-15)
    assert not len(holm_adjust([]))


@settings(deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.integers(0, 120), st.just(nan)), min_size=1, max_size=20))
def test_recall_within_and_quantiles_agree_with_counting(errors):
    thresholds = np.arange(1, 101)
    found = recall_by_radius(thresholds, np.array(errors, float))
    slow = [sum(error <= threshold for error in errors) / len(errors) for threshold in thresholds]
    np.testing.assert_allclose(found, slow, rtol=1e-12)
    assert (np.diff(found) >= 0).all()
    for share, value in zip((0.25, 0.5, 0.75, 0.9), error_quantiles(np.array(errors, float)), strict=True):
        assert sum(not error > value for error in errors if error == error) >= share * len(errors) or value == np.inf
        assert sum(error < value for error in errors) < share * len(errors)


@st.composite
def answered(draw):
    """(confidences with ties and NaN, whether right, how many queries have a positive)."""
    count = draw(st.integers(1, 12))
    confidence = np.array(
        draw(st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9, nan]), min_size=count, max_size=count))
    )
    correct = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count))) & ~np.isnan(confidence)
    return confidence, correct, draw(st.integers(int(correct.sum()), count))


@settings(deadline=None, derandomize=True)
@given(answered())
def test_precision_and_recall_agree_with_counting(case):
    confidence, correct, answerable = case
    curve = precision_recall(confidence, correct, answerable)
    levels = sorted({value for value in confidence if value == value}, reverse=True)
    assert curve["confidence"].tolist() == levels
    for number, level in enumerate(levels):
        given_ = confidence >= level
        assert curve["answered"][number] == given_.sum()
        assert curve["precision"][number] == correct[given_].mean()
        assert curve["recall"][number] == pytest.approx(correct[given_].sum() / max(answerable, 1))
    full = [correct[confidence >= level].sum() for level in levels if correct[confidence >= level].all()]
    assert recall_at_full_precision(curve) == pytest.approx(max(full, default=0) / max(answerable, 1))


@settings(deadline=None, derandomize=True)
@given(answered())
def test_average_precision_is_scikit_learns_of_the_right_answers(case):
    confidence, correct, answerable = case
    curve = precision_recall(confidence, correct, answerable)
    if not correct.any():
        assert average_precision(curve) == area_under_curve(curve) == 0
        return
    known = ~np.isnan(confidence)
    theirs = average_precision_score(correct[known], confidence[known])
    assert average_precision(curve) == pytest.approx(theirs * correct.sum() / answerable)
    precision, recall, levels = precision_recall_curve(correct[known], confidence[known])
    np.testing.assert_allclose(curve["precision"], precision[:-1][::-1])
    np.testing.assert_allclose(curve["recall"] * answerable / correct.sum(), recall[:-1][::-1])
    np.testing.assert_array_equal(curve["confidence"], levels[::-1])
    assert area_under_curve(curve) == pytest.approx(auc(recall, precision))
    assert recall_at_full_precision(curve) <= average_precision(curve) + 1e-12 <= curve["recall"][-1] + 2e-12


def test_queries_without_a_positive_cost_precision_and_no_recall():
    """Two right answers; a third, surer query has no positive: answering it is wrong, and recall still reaches 1."""
    without, with_it = (
        precision_recall(np.array(c), np.array(r), 2) for c, r in (([0.9, 0.8], [1, 1]), ([0.9, 0.8, 0.95], [1, 1, 0]))
    )
    assert (average_precision(without), recall_at_full_precision(without)) == (1, 1)
    assert with_it["recall"].tolist() == [0, 0.5, 1]
    assert average_precision(with_it) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert recall_at_full_precision(with_it) == 0
    last = precision_recall(np.array([0.9, 0.8, 0.1]), np.array([1, 1, 0]), 2)
    assert (average_precision(last), recall_at_full_precision(last)) == (1, 1)


def test_no_answer_at_all_is_an_empty_curve():
    curve = precision_recall(np.array([nan, nan]), np.array([False, False]), 1)
    assert not len(curve["precision"])
    assert average_precision(curve) == recall_at_full_precision(curve) == 0


def test_the_order_of_queries_changes_nothing():
    rng = np.random.default_rng(0)
    confidence, correct = rng.choice([0.1, 0.2, 0.3], 50), rng.random(50) < 0.5
    order = rng.permutation(50)
    first, second = precision_recall(confidence, correct, 40), precision_recall(confidence[order], correct[order], 40)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
