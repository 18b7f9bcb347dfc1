"""What a run is: typed parameters, refused early and in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark import config
from benchmark.contracts import UserError
from benchmark.plan import cells, groups
from benchmark.recipe import FineTuning, Recipe
from benchmark.registry import discover


@pytest.fixture(scope="module")
def registry():
    return discover()


def settings(**fields):
    return config.build({"methods": ["dense", "qpm"], "datasets": ["toybirds"]} | fields)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["qpm.n_feature=20"], "did you mean n_features"),
        (["qmp.n_features=20"], "did you mean qpm"),
        (["qpm.n_features=0"], "greater than or equal to 1"),
        (["qpm.n_features=many"], "valid integer"),
        (["qpm.similarity=cosine"], "'pearson' or 'auroc'"),
        (["dense.dropout=1.0"], "less than 1"),
        (["data.image_size=7"], "greater than or equal to 16"),
    ],
)
def test_bad_parameters_are_refused_in_words(words, said, registry) -> None:
    with pytest.raises(UserError, match=said) as error:
        config.check(settings(parameters=config.parse_assignments(words)), registry)
    assert words[0].split("=")[0].split(".")[0] in str(error.value)


@pytest.mark.parametrize("word", ["qpm.n_features", "n_features=20", "=3", "qpm.=3"])
def test_a_set_of_the_wrong_form_is_refused(word) -> None:
    with pytest.raises(UserError, match=r"method\.parameter=value"):
        config.parse_assignments([word])


def test_values_are_typed() -> None:
    parsed = config.parse_assignments(
        ["a.x=1", "a.y=1e-4", "a.z=true", "a.w=none", "b.text=pearson"]
    )
    assert parsed == {"a": {"x": 1, "y": 1e-4, "z": True, "w": None}, "b": {"text": "pearson"}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"methods": ["qmp"]}, "did you mean qpm"),
        ({"datasets": ["toybird"]}, "did you mean toybirds"),
    ],
)
def test_unknown_names_come_with_a_suggestion(fields, said, registry) -> None:
    with pytest.raises(UserError, match=said):
        config.check(settings(**fields), registry)


def test_unknown_entries_of_a_configuration_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean methods"):
        config.build({"method": ["qpm"], "datasets": ["toybirds"]})


def test_the_configuration_that_a_run_leaves_replays_it(tmp_path: Path, registry) -> None:
    first = settings(parameters={"qpm": {"n_features": 12}}, seeds=[3])
    config.write(config.resolved(first, registry), tmp_path / "config.yaml")
    second = config.build(config.read(tmp_path / "config.yaml"))
    config.check(second, registry)

    def rows(run):
        return [c for g in groups(run, registry) for c in cells(g, run, registry)]

    assert rows(first) == rows(second)
    assert [c.variant for c in rows(second)] == ["", "n_features=12"]


def test_presets_fill_in_and_the_paper_is_the_declared_default(registry) -> None:
    quick = config.resolve("qpm", "quick", {}, registry)
    paper = config.resolve("qpm", "paper", {}, registry)
    assert (quick.n_features, paper.n_features) == (20, 50)
    assert (paper.epochs, paper.momentum, paper.dropout, paper.step_epochs) == (40, 0.95, 0.1, 10)
    dense = config.resolve("dense", "paper", {}, registry)
    assert (dense.epochs, dense.batch_size, dense.learning_rate) == (150, 16, 5e-3)
    assert (dense.step_epochs, dense.step_factor, dense.dropout) == (30, 0.4, 0.2)


def test_the_papers_datasets_take_the_papers_preset(registry) -> None:
    run = settings(datasets=["cub"])
    (*_,) = groups(run, registry)
    assert [g.seed for g in groups(run, registry)] == [16, 17, 18, 19, 20]
    assert {(g.backbone, g.weights, g.preset) for g in groups(run, registry)} == {
        ("resnet50", "imagenet", "paper")
    }


def test_published_rates_of_fine_tuning() -> None:
    assert FineTuning().start_rate(Recipe()) == 1e-4
    text = FineTuning(learning_rate="text").start_rate(Recipe())
    assert text == pytest.approx(100 * 5e-3 * 0.4**4)
    assert FineTuning(learning_rate=0.3).start_rate(Recipe()) == 0.3


def test_dataset_arguments() -> None:
    assert config.dataset_arguments("folder:/a/b=c") == ("folder", {"path": "/a/b=c"})
    assert config.dataset_arguments("cub") == ("cub", {})
    with pytest.raises(UserError, match="name=value"):
        config.dataset_arguments("toybirds:classes=3,many")
