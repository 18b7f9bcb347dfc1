"""Correlation between features, and the cosines under it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from benchmark.contracts import NotApplicable, Tables
from metrics import correlation
from metrics.cosine import cosine_matrix
from metrics.redundancy import correlation_of


def test_golden_as_the_authors_compute_it(case, precision, tolerance):
    """Golden item 17: the diagonal is 0 and takes part in the maximum."""
    got = correlation(case.tensor("features_train", precision), zero_diagonal=True).item()
    for key in (f"exp_correlation_{precision}", f"exp_pipeline_correlation_{precision}"):
        assert got == pytest.approx(float(case[key]), rel=0, abs=tolerance)


def test_golden_cosines(case, precision, tolerance):
    got = cosine_matrix(case.tensor("features_train", precision).T, norm_floor=1e-8)
    want = case[f"exp_cosine_matrix_{precision}"]
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_equation_against_scikit_learn(shift):
    features = np.random.default_rng(1).normal(size=(50, 7)) + shift
    cosines = cosine_similarity(features.T)
    np.fill_diagonal(cosines, -np.inf)
    want = cosines.max(axis=0)
    got = correlation(torch.from_numpy(features), reduction="none")
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    assert correlation(torch.from_numpy(features)).item() == pytest.approx(want.mean())


def test_negative_only_counts_as_negative():
    opposed = torch.tensor([[1.0, -1.0], [2.0, -2.0]])
    assert correlation(opposed).item() == pytest.approx(-1)
    assert correlation(opposed, zero_diagonal=True).item() == 0


def test_dead_features_do_not_count():
    """Neither as features nor as a partner; the authors' code counts their cosines as 0."""
    features = torch.tensor([[1.0, 3.0, 0.0], [0.0, 4.0, 0.0]])
    torch.testing.assert_close(
        correlation(features, reduction="none"),
        torch.tensor([0.6, 0.6, torch.nan], dtype=torch.float64),
        equal_nan=True,
    )
    assert correlation(features).item() == pytest.approx(0.6)
    assert correlation(features, zero_diagonal=True).item() == pytest.approx(0.4)
    for too_few in (features[:, 1:], features[:, :1], features[:, :0]):
        with pytest.raises(NotApplicable, match="fewer than two"):
            correlation(too_few)


def test_blocks_do_not_change_the_sums(monkeypatch):
    vectors = torch.randn(6, 500, generator=torch.Generator().manual_seed(0))
    whole = cosine_matrix(vectors)
    monkeypatch.setattr("metrics.blocks.column_slices.__defaults__", (60,))
    torch.testing.assert_close(cosine_matrix(vectors), whole, rtol=0, atol=1e-14)
    want = cosine_similarity(vectors.double().numpy())
    np.testing.assert_allclose(whole, want, rtol=0, atol=1e-14)


def test_adapter():
    features = torch.rand(30, 4)
    tables = Tables(features, torch.rand(30, 3), torch.zeros(30), torch.rand(3, 4))
    assert correlation_of(tables) == correlation(features).item()
