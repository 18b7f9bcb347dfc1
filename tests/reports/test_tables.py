"""Tables: marks, footnotes, Markdown and LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.records import from_json, merge
from reports.tables import (
    Cell,
    Column,
    Row,
    Table,
    escape_latex,
    marked,
    metric_table,
    number,
    to_latex,
    to_markdown,
)
from reports.tidy import tidy

VALUES = st.lists(
    st.tuples(st.floats(0, 100).map(lambda v: round(v, 2)), st.booleans()), min_size=1, max_size=8
)


@given(VALUES, st.sampled_from([True, False]))
def test_marks_are_those_of_a_plain_ranking(pairs, better):
    cells = [Cell(number(value, "percent"), value=value) for value, _ in pairs]
    rivals = [rival for _, rival in pairs]
    result = marked(cells, rivals, better)
    shown = [float(cell.text) for cell in cells]
    for mine, rival, cell in zip(shown, rivals, result, strict=True):
        others = {v for v, r in zip(shown, rivals, strict=True) if r}
        ahead = sum(v > mine if better else v < mine for v in others)
        expected = {0: "best", 1: "second"}.get(ahead, "") if rival and len(others) > 1 else ""
        assert cell.mark == expected


def test_nothing_is_marked_without_direction_or_rival():
    cells = [Cell("1", value=1), Cell("2", value=2)]
    assert {c.mark for c in marked(cells, [True, True], None)} == {""}
    assert {c.mark for c in marked(cells, [True, False], True)} == {""}


def test_a_missing_value_wins_nothing():
    cells = [Cell("–"), Cell("2.0", value=2), Cell("0.0", value=0)]
    assert [c.mark for c in marked(cells, [True] * 3, False)] == ["", "second", "best"]


@pytest.fixture
def build(cards):
    def table(data, names, **kwargs):
        records, _ = merge([from_json(one, Path()) for one in data])
        frame = tidy(records, cards)
        chosen = [card for name in names for card in cards if card.name == name]
        return metric_table(frame, records, chosen, "t", "Title", "Caption.", **kwargs)

    return table


def test_the_reference_stands_apart_and_wins_nothing(build, made):
    table = build(made(), ["accuracy", "total_features"])
    assert table.rows[0].head == "Dense"
    assert [row.apart for row in table.rows] == [True, False, False, False, False]
    assert {cell.mark for cell in table.rows[0].cells} == {""}
    assert table.rows[1].cells[0].mark == "best"


def test_rows_are_ranked_by_accuracy(build, made):
    table = build(made(seeds=(16, 17, 18)), ["accuracy"])
    means = [row.cells[0].value for row in table.rows[1:]]
    assert means == sorted(means, reverse=True)


def test_one_run_has_no_spread_and_several_have(build, made):
    assert {row.cells[0].spread for row in build(made(), ["accuracy"]).rows} == {""}
    several = build(made(seeds=(16, 17)), ["accuracy", "features_per_class"])
    assert all(row.cells[0].spread.startswith("± ") for row in several.rows)
    assert {row.cells[1].spread for row in several.rows} == {""}  # the same in each run


def test_nulls_are_dashes_with_a_footnote(build, made):
    data = made(dataset="a") + made(dataset="b", grounded=False)
    table = build(data, ["structural_grounding"])
    assert [column.title for column in table.columns] == ["a", "b"]
    assert table.grouped
    assert {row.cells[1].text for row in table.rows} == {"–"}
    assert {row.cells[1].footnote for row in table.rows} == {1}
    assert table.footnotes == ("the dataset has no class attributes",)


def test_nothing_measured_is_no_table(build, made):
    assert build(made(grounded=False), ["structural_grounding"]) is None


NASTY = Table(
    "nasty_name",
    r"100 % of \LaTeX & {co}",
    "It costs $5_000 #1 ~ ^ <b> ≤ 3 …",
    (Column("a_b", "percent", "↑", "G & H"), Column("c", "", "", "G & H"), Column("d", group="I")),
    (
        Row("x|y_z", (Cell("1.0", "± 0.1", "best"), Cell("–", footnote=1), Cell("3")), True),
        Row("w", (Cell("2"), Cell("5", mark="second"), Cell("6"))),
    ),
    (r"no \input{secret} & more",),
)


def test_every_markdown_row_has_every_column():
    body = to_markdown(NASTY).split("\n\n")[0].splitlines()
    counts = {len(re.split(r"(?<!\\)\|", line)) for line in body}
    assert counts == {len(NASTY.columns) + 3}  # the corner, and what is left and right


def test_latex_rows_have_every_column_and_groups_span_them():
    text = to_latex(NASTY)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", text)]
    assert sum(spans) == len(NASTY.columns)
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-4}" in text
    for row in rows[1:]:
        assert len(re.findall(r"(?<!\\)&", row)) == len(NASTY.columns)
    assert r"\midrule" in text.split("x|y")[1]  # the reference row is set apart


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"])))
def test_escaped_text_holds_no_live_character(text):
    plain = re.sub(r"\\(?:[a-z]+\{\}|[&%$#_{}])", "", escape_latex(text))
    assert not set(plain) & set("&%$#_{}~^\\<>")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_latex_compiles(tmp_path):
    document = (
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        + to_latex(NASTY)
        + "\\end{document}\n"
    )
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
