"""The whole report: files, the self-contained page, failures, merged runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from reports import build
from reports.build import build_report

VOID = {"meta", "link", "img", "br", "col", "hr", "input"}
REPORTS = Path(__file__).parents[2] / "reports"


class Page(HTMLParser):
    """Checks nesting while it reads; collects ids, references and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.references, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        self.references += [
            v for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "data", "action")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def report(tmp_path_factory, cards, made, run_at, record_of, failing):
    """A run of five methods and three seeds, with one more method that failed."""
    folder = tmp_path_factory.mktemp("runs") / "demo"
    broken = record_of("mine", "My <own> method", 0.9, 5, 20, 1, 16)
    data = [*made(seeds=(16, 17, 18)), failing(broken, "ValueError: a row of zeros & more")]
    files = build_report(run_at(folder, data), folder, cards)
    return folder, files


def test_all_promised_files_are_written_and_returned(report):
    folder, files = report
    names = {file.relative_to(folder).as_posix() for file in files}
    assert {"results.csv", "report.md", "report.html"} <= names
    assert {"tables/accuracy_compactness.tex", "tables/interpretability.tex"} <= names
    figures = {name for name in names if name.startswith("figures/")}
    assert {Path(name).suffix for name in figures} == {".png", ".svg"}
    assert "figures/comparison_qpm_1.png" in figures
    assert all(file.stat().st_size > 0 for file in files)
    assert not list(folder.glob(".report*"))


def test_the_page_is_well_formed_and_needs_nothing_else(report):
    text = (report[0] / "report.html").read_text()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for reference in page.references:
        assert reference.startswith(("data:", "#")) or reference == "results.csv"
    assert {r[1:] for r in page.references if r.startswith("#")} <= set(page.ids)
    assert "@import" not in text
    assert not re.search(r"url\((?!#|data:)", text)


def test_the_page_says_what_failed_and_escapes_it(report):
    text = (report[0] / "report.html").read_text()
    assert "<own>" not in text
    page = Page(text).text
    assert "My <own> method" in page
    assert "ValueError: a row of zeros & more" in page
    assert page.index("Cells without a result") < page.index("Accuracy and compactness")


def test_page_and_markdown_show_the_means_of_the_csv(report):
    folder, _ = report
    frame = pd.read_csv(folder / "results.csv")
    means = frame[frame["metric"] == "accuracy"].groupby("method")["value"].agg(["mean", "std"])
    page, markdown = (
        Page((folder / "report.html").read_text()).text,
        (folder / "report.md").read_text().replace("*", "").replace("<u>", "").replace("</u>", ""),
    )
    for mean, std in means.to_numpy():
        assert f"{mean:.1f} ± {std:.1f}" in page
        assert f"{mean:.1f} ± {std:.1f}" in markdown


def test_every_part_of_the_report_is_there(report):
    ids = Page((report[0] / "report.html").read_text()).ids
    parts = ["problems", "accuracy", "interpretability", "classes", "other", "heatmaps"]
    parts += ["training", "time", "solvers", "methods", "provenance"]
    assert [name for name in ids if name in parts] == parts


def test_deviations_provenance_and_the_way_to_replay(report):
    page = Page((report[0] / "report.html").read_text()).text
    assert "QPM stops after 6 epochs, the paper after 40" in page
    assert "0123456789ab" in page
    assert "torch 2.6.0, numpy 2.1.0" in page
    assert re.search(r"python -m benchmark run --config \S*demo\S*config\.yaml", page)


def test_links_in_the_markdown_lead_somewhere(report):
    folder, _ = report
    links = re.findall(r"\]\((figures/[^)]+)\)", (folder / "report.md").read_text())
    assert links
    assert all((folder / link).exists() for link in links)


def test_a_run_of_failures_alone_still_has_a_report(tmp_path, cards, made, run_at, failing):
    data = [failing(record, "MemoryError: 2 GB") for record in made()]
    data[0] = failing(made()[0], "needs a GPU", status="skipped")
    run_at(tmp_path, data)
    build_report(tmp_path, tmp_path, cards)
    page = Page((tmp_path / "report.html").read_text()).text
    assert "no classifier has a result" in page
    assert "4 failed, 1 skipped" in page
    assert page.count("MemoryError: 2 GB") >= 4
    assert len(pd.read_csv(tmp_path / "results.csv")) == 5


def test_runs_are_merged_and_explainers_have_their_own_table(
    tmp_path, cards, made, run_at, explaining
):
    first = run_at(tmp_path / "a", made()[:2])
    second = run_at(
        tmp_path / "b",
        [explaining("cam", "CAM", 0.3, 0.1), *made(dataset="cub", backbone="resnet50")[:2]],
    )
    out = tmp_path / "both"
    names = {f.name for f in build_report([first, second], out, cards)}
    assert {"published_cub_resnet50.tex", "interpretability_thin_resnet.tex"} <= names
    frame = pd.read_csv(out / "results.csv")
    assert set(frame["dataset"]) == {"toybirds", "cub"}
    heat = (out / "tables" / "average_drop_increase_thin_resnet.tex").read_text()
    compact = (out / "tables" / "accuracy_compactness_thin_resnet.tex").read_text()
    assert "toybirds, explaining Dense" in heat
    assert heat.index("CAM") < heat.index("each classifier by its own") < heat.index("glm-saga")
    assert "CAM" not in compact


def test_case_studies_are_on_the_page_and_among_the_figures(
    tmp_path, cards, made, run_at, explaining
):
    explainers = [explaining("cam", "CAM", 0.3, 0.1), explaining("cover", "Cover <1>", 0.2, 0.1)]
    folder = run_at(tmp_path / "run", [made()[0], *explainers])
    names = {f.relative_to(folder).as_posix() for f in build_report(folder, folder, cards)}
    assert {"figures/case_study_dense_1.png", "figures/case_study_dense_2.svg"} <= names
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert "among the explainers of Dense, Cover <1> leads in Average drop" in page.text
    assert "Test image 7, Blue <Toybird>, taken for Red Toybird" in page.text
    assert text.count("data:image/jpeg") == 2 * 2 * (5 + 4)  # images and heat maps of two cases
    assert "(figures/case_study_dense_2.png)" in (folder / "report.md").read_text()


def test_the_same_run_gives_the_same_files(tmp_path, cards, made, run_at):
    folder = run_at(tmp_path / "run", made()[4:])
    outs = [tmp_path / "one", tmp_path / "two"]
    first, second = (build_report(folder, out, cards) for out in outs)
    assert [f.relative_to(outs[0]) for f in first] == [f.relative_to(outs[1]) for f in second]
    for mine, other in zip(first, second, strict=True):
        assert mine.read_bytes() == other.read_bytes(), mine.name


def test_a_report_that_breaks_off_leaves_the_old_one_whole(
    tmp_path, cards, made, run_at, failing, monkeypatch
):
    run_at(tmp_path, [failing(record, "old") for record in made()])
    before = {file: file.read_bytes() for file in build_report(tmp_path, tmp_path, cards)}

    def break_off(*_):
        raise OSError("no space left")

    monkeypatch.setattr(build, "_asset", break_off)
    with pytest.raises(OSError, match="no space"):
        build_report(tmp_path, tmp_path, cards)
    assert {file: file.read_bytes() for file in before} == before
    assert not list(tmp_path.glob(".report*"))


def test_no_method_is_named_in_the_code():
    names = [path.name for path in (REPORTS.parent / "methods").iterdir() if path.is_dir()]
    names = [name for name in names if not name.startswith("_")]
    assert "qpm" in names
    sources = [*REPORTS.glob("*.py"), *REPORTS.glob("templates/*")]
    for source in sources:
        code = re.sub(r">>>.*|'cub' and method.*", "", source.read_text())
        for name in names:
            assert not re.search(rf"['\"]{name}['\"]", code), f"{source.name} names {name}"
