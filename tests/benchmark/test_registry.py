"""Cards: built in, in a file, in an installed package; clashes and strangers in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import registry
from benchmark.contracts import DatasetCard, MethodCard, MetricCard, Parameters, UserError, load

ROOT = Path(__file__).resolve().parents[2]


def test_built_ins_are_found_by_their_cards_and_their_code_can_be_loaded() -> None:
    found = registry.discover()
    assert {"dense", "glm_saga", "sldd", "qsenn", "qpm"} <= set(found.methods)
    assert {"toybirds", "cub", "folder"} == set(found.datasets)
    for card in [*found.methods.values(), *found.datasets.values(), *found.metrics.values()]:
        code = {MethodCard: "fit", DatasetCard: "open", MetricCard: "compute"}[type(card)]
        assert callable(load(getattr(card, code)))
    for card in found.methods.values():
        assert (ROOT / "methods" / card.name / "README.md").is_file(), card.name
        card.parameters(**card.quick)  # the quick values are within their ranges
        for name, field in card.parameters.model_fields.items():
            assert field.description, f"{card.name}.{name} has no description"


def test_an_installed_package_is_found_by_its_entry_point(monkeypatch) -> None:
    card = MethodCard("outside", "Outside", "classifier", "none", Parameters, "math:sqrt")

    class Point:
        value = "outside.card:CARD"

        def load(self):
            return card

    def points(group: str):
        return [Point()] if group == "interpretable_benchmark.methods" else []

    monkeypatch.setattr(registry, "entry_points", points)
    assert registry.discover().methods["outside"] is card


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1", "neither CARD nor CARDS"),
        ("CARD = 3", "must be a MethodCard"),
        ("1 / 0", "can't be imported: ZeroDivisionError"),
        (
            "from benchmark.contracts import *\n"
            "CARD = MethodCard('qpm', 'Q', 'classifier', '', Parameters, 'math:sqrt')",
            "taken already",
        ),
    ],
)
def test_plugins_that_are_none_are_refused_in_words(code, said, tmp_path) -> None:
    file = tmp_path / "plugin.py"
    file.write_text(code)
    with pytest.raises(UserError, match=said):
        registry.discover([file])


def test_packages_of_the_same_name_that_come_first_are_named(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/__init__.py").write_text("")
    ran = subprocess.run(
        [sys.executable, "-m", "benchmark", "run", "--methods", "qpm", "--dataset", "toybirds"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert "environment of its own" in ran.stderr
    assert str(tmp_path / "metrics") in ran.stderr
