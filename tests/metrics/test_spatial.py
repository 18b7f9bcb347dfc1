"""SID@k and diversity@k against the golden cases, a plain loop, and what must hold for any maps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.contracts import Batch, NotApplicable
from metrics import diversity_at_k, mean_of_whole_blocks, sid_at_k
from metrics.spatial import (
    diversity_at_5_of,
    maps_of,
    scale_invariant,
    share_of_places,
    sid_at_5_of,
    top_features,
)

METRICS = {"sid": sid_at_k, "diversity": diversity_at_k}
ADAPTERS = {"sid": sid_at_5_of, "diversity": diversity_at_5_of}


@pytest.fixture(params=METRICS)
def metric(request):
    return request.param


def with_the_authors_choice(case, precision, metric, k, absolute=False):
    """(N,) values for the features that the authors' run picked, so that ties can't matter."""
    chosen = case["exp_topk_index_absw" if absolute else "exp_topk_index"][:, k - 1, :k]
    predicted = case["outputs_test"].argmax(1)
    index = torch.from_numpy(chosen[predicted])
    enough = (case["weight"] != 0).sum(1)[predicted] >= k
    maps = maps_of(case.used("feature_maps_test", precision), index.clamp(min=0))
    share = share_of_places(scale_invariant(maps) if metric == "sid" else maps)
    return share.masked_fill(~torch.from_numpy(enough), torch.nan)


def values(case, precision, metric, **options):
    return METRICS[metric](
        case.used("feature_maps_test", precision),
        case.tensor("outputs_test", precision),
        case.used("weight", precision),
        reduction="none",
        **options,
    )


@pytest.mark.parametrize("absolute", [False, True])
def test_golden_values_for_every_k(case, precision, tolerance, metric, absolute):
    got = [
        with_the_authors_choice(case, precision, metric, k, absolute).nanmean().item()
        for k in range(1, 6)
    ]
    weights = "absw_" if absolute else ""
    want = case[f"exp_{metric}_at_1to5_{weights}all_{precision}"]
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


def test_golden_value_of_every_sample(case, precision, tolerance, metric):
    got = with_the_authors_choice(case, precision, metric, k=5)
    want = case[f"exp_{metric}5_per_sample_{precision}"]
    np.testing.assert_allclose(got[~got.isnan()], want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["binary", "dense", "edge"])
def test_golden_value_of_every_sample_where_no_tie_decides(
    golden_case, name, precision, tolerance, metric
):
    case = golden_case(name)
    got = values(case, precision, metric)
    want = case[f"exp_{metric}5_per_sample_{precision}"]
    np.testing.assert_allclose(got[~got.isnan()], want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_golden_mean_without_ties(golden_case, precision, tolerance, metric, k):
    case = golden_case("dense")
    got = values(case, precision, metric, k=k).nanmean().item()
    want = case[f"exp_{metric}_at_1to5_all_{precision}"][k - 1]
    assert got == pytest.approx(want, rel=0, abs=tolerance)


@pytest.mark.parametrize("absolute", [False, True])
def test_ties_go_to_the_lowest_index(case, metric, absolute):
    got = values(case, "f64", metric, absolute_weights=absolute).nanmean().item()
    want = case[f"own_{metric}5_{'absw' if absolute else 'signedw'}_lowindex_all"]
    assert got == pytest.approx(want, rel=0, abs=1e-9)


def test_signed_ranking_prefers_weight_zero_to_a_negative_one():
    """Golden item 3."""
    weight = torch.tensor([[0.0, -5.0, 1.0]])
    logits = torch.ones(1, 1)
    assert top_features(logits, weight, k=2)[0].tolist() == [[2, 0]]
    assert top_features(logits, weight, k=2, absolute_weights=True)[0].tolist() == [[1, 2]]


def test_number_of_samples_that_count(case, metric):
    """Golden items 5 and 6: fewer than k nonzero weights do not count, nor do they count as 0."""
    for k, want in enumerate(case["exp_sid_nsamples_1to5_all"], start=1):
        got = values(case, "f32", metric, k=k)
        assert int((~got.isnan()).sum()) == want
        assert bool((got[~got.isnan()] > 0).all())


def test_only_classes_with_exactly_k_features(case, precision, tolerance, metric):
    """The authors' "exclusive" mean follows from the values per sample; it is 0 without any."""
    nonzeros = (case["weight"] != 0).sum(1)[case["outputs_test"].argmax(1)]
    for k, want in enumerate(case[f"exp_{metric}_exclusive_1to5_all_{precision}"], start=1):
        per_sample = with_the_authors_choice(case, precision, metric, k)
        exactly = per_sample[torch.from_numpy(nonzeros == k)]
        got = exactly.mean().item() if len(exactly) else 0.0
        assert got == pytest.approx(want, rel=0, abs=tolerance)


def test_whole_blocks_only(case, precision, tolerance, metric):
    """Golden item 1: the CHiQPM code drops the last block of test samples."""
    got = [
        mean_of_whole_blocks(with_the_authors_choice(case, precision, metric, k)).item()
        for k in range(1, 6)
    ]
    want = case[f"exp_{metric}_at_1to5_codebatches_{precision}"]
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


def test_whole_blocks_counted_with_the_training_set(case, metric):
    """Golden item 2: QPM's and Q-SENN's code; NaN in the file where that code raised an error."""
    want = float(case[f"exp_pipeline_{metric}5_qpm_repo_f32"])
    per_sample = with_the_authors_choice(case, "f32", metric, k=5)
    got = mean_of_whole_blocks(per_sample, count_from=len(case["labels_train"])).item()
    if np.isnan(want):  # the values of the same samples stand in another array of the file
        want = float(case[f"exp_{metric}_at_1to5_codebatches_f32"][4])
    assert got == pytest.approx(want, rel=0, abs=5e-6)


def test_whole_pipeline(case, precision, tolerance, metric):
    key = f"exp_pipeline_{metric}5_{precision}"
    if key not in case.arrays:
        assert case.name == "edge"  # the pipeline that has diversity raised an error there
        return
    got = mean_of_whole_blocks(with_the_authors_choice(case, precision, metric, k=5))
    assert got.item() == pytest.approx(float(case[key]), rel=0, abs=tolerance)


def by_hand(maps, logits, weight, k, scaled):
    """Equations 15 and 16, sample by sample and place by place."""
    results = []
    for sample, scores in zip(maps, logits, strict=True):
        w = weight[int(np.argmax(scores))]
        if np.count_nonzero(w) < k:
            results.append(np.nan)
            continue
        best = sorted(range(len(w)), key=lambda d: (-w[d], d))[:k]
        soft = []
        for d in best:
            m = sample[d] / np.abs(sample[d]).mean() if scaled else sample[d]
            soft.append(np.exp(m) / np.exp(m).sum())
        results.append(np.max(soft, axis=0).sum() / k)
    return np.array(results)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_against_a_plain_loop(metric, k):
    rng = np.random.default_rng(k)
    maps = rng.normal(size=(23, 9, 4, 6))
    logits = rng.normal(size=(23, 7))
    weight = rng.normal(size=(7, 9)) * (rng.random((7, 9)) < 0.5)
    got = METRICS[metric](*map(torch.from_numpy, (maps, logits, weight)), k=k, reduction="none")
    want = by_hand(maps, logits, weight, k, scaled=metric == "sid")
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def random_case(seed: int, n: int = 12, d: int = 8, classes: int = 4):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(n, d, 3, 4, generator=generator, dtype=torch.float64)
    logits = torch.randn(n, classes, generator=generator, dtype=torch.float64)
    weight = torch.randn(classes, d, generator=generator, dtype=torch.float64)
    weight *= torch.rand(classes, d, generator=generator) < 0.6
    return maps, logits, weight


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 6), st.lists(st.integers(1, 11), max_size=4))
def test_any_way_to_cut_batches_gives_the_same(seed, k, cuts):
    maps, logits, weight = random_case(seed)
    for function in METRICS.values():
        whole = function(maps, logits, weight, k=k, reduction="none")
        edges = sorted({0, len(maps), *cuts})
        pieces = [
            function(maps[a:b], logits[a:b], weight, k=k, reduction="none")
            for a, b in pairwise(edges)
        ]
        torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=0, equal_nan=True)
        counted = whole[~whole.isnan()]
        if len(counted):
            assert 1 / k - 1e-12 <= counted.min()
            assert counted.max() <= 1 + 1e-12
            mean = function(maps, logits, weight, k=k)
            torch.testing.assert_close(mean, counted.mean())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.floats(0.01, 1000))
def test_sid_does_not_depend_on_the_scale_of_a_map(seed, scale):
    maps, logits, weight = random_case(seed)
    scales = torch.rand(maps.shape[1], dtype=torch.float64)[:, None, None] * scale + 0.01
    once, again = (sid_at_k(m, logits, weight, reduction="none") for m in (maps, maps * scales))
    torch.testing.assert_close(once, again, equal_nan=True)


def test_extremes():
    same = torch.zeros(1, 5, 2, 3)
    same[..., 0, 0] = 4.0
    apart = torch.eye(6)[:5].view(1, 5, 2, 3) * 1e4
    logits, weight = torch.ones(1, 1), torch.ones(1, 5)
    assert sid_at_k(same, logits, weight).item() == pytest.approx(0.2)
    assert diversity_at_k(apart, logits, weight).item() == pytest.approx(1.0)


def test_a_dead_map_is_uniform():
    """Golden item 12."""
    maps = torch.zeros(1, 2, 2, 5)
    maps[0, 0, 0, 0] = 1.0  # ten times its mean: e^10 against nine times e^0
    top = np.exp(10) / (np.exp(10) + 9)
    want = (top + 9 * 0.1) / 2
    got = sid_at_k(maps, torch.ones(1, 1), torch.ones(1, 2), k=2)
    assert got.item() == pytest.approx(want, abs=1e-6)


def test_nothing_to_measure_is_said_not_counted_as_zero(metric):
    maps, logits = torch.randn(3, 2, 2, 2), torch.randn(3, 4)
    function, weight = METRICS[metric], torch.ones(4, 2)
    assert bool(function(maps, logits, weight, reduction="none").isnan().all())
    with pytest.raises(NotApplicable, match="5 nonzero weights"):
        function(maps, logits, weight)
    assert function(maps[:0], logits[:0], weight, k=2, reduction="none").shape == (0,)


def test_bad_input_is_named(metric):
    function = METRICS[metric]
    maps, logits, weight = torch.randn(3, 6, 2, 2), torch.randn(3, 4), torch.ones(4, 5)
    with pytest.raises(ValueError, match=r"feature maps of shape \(3, 6, 2, 2\) do not fit"):
        function(maps, logits, weight)
    with pytest.raises(ValueError, match="NaN or infinite"):
        function(maps[:, :5] * torch.nan, logits, weight)
    with pytest.raises(ValueError, match="k is 0"):
        function(maps[:, :5], logits, weight, k=0)
    with pytest.raises(ValueError, match="reduction"):
        function(maps[:, :5], logits, weight, reduction="sum")


def test_half_precision_maps_are_computed_in_single(metric):
    maps, logits, weight = random_case(3)
    low = maps.bfloat16()
    got = METRICS[metric](low, logits, weight, k=2, reduction="none")
    assert got.dtype == torch.float32
    torch.testing.assert_close(
        got, METRICS[metric](low.float(), logits, weight, k=2, reduction="none"), equal_nan=True
    )


def test_adapters_read_a_batch(golden_case, metric):
    case = golden_case("edge")
    batch = Batch(
        maps=case.used("feature_maps_test"),
        logits=case.tensor("outputs_test"),
        labels=case.tensor("labels_test"),
        weight=case.used("weight"),
    )
    got = ADAPTERS[metric](batch)
    torch.testing.assert_close(got, values(case, "f64", metric), equal_nan=True)
