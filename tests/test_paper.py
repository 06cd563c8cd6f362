"""The paper's index: each equation, algorithm, table and figure has its place, which cites it."""

import inspect
import re

import fake_errors
import pytest

from pmnet.body import camera, rotations
from pmnet.clustering import kmeans
from pmnet.core.errors import InputError
from pmnet.model import losses, network
from pmnet.report import renders, tables
from pmnet.report.figures import distance, reduction
from pmnet.report.files import write_csv
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors
from stages.table import table

REPORT = ReportOptions(tails=[5], bins=4, bootstrap=20, seed=0)
TABLES = {2: "II", 3: "III", 4: "IV", 5: "V", 6: "VI"}
PLACES = {
    "Eq. 1": rotations.mean_rotation,
    "Algorithm 1": kmeans.kmeans,
    "Eq. 3": camera.project,
    "Eqs. 2-5": losses,
    "Eq. 5": losses.total_loss,
    "Fig. 2": network.PMNet,
    "Table II": tables.table2,
    "Table III": tables.table3,
    "Table IV": tables.table4,
    "Table V": tables.table5,
    "Table VI": tables.table6,
    "Fig. 1(b)": distance.draw,
    "Fig. 3": renders.parts_figure,
    "Fig. 4": renders.prototypes_figure,
    "Fig. 5": reduction.draw,
    "Figs. 6-8": renders.gallery_figure,
}


@pytest.mark.parametrize("citation", PLACES)
def test_what_the_paper_has_is_cited_where_it_is(citation):
    text = " ".join((inspect.getdoc(PLACES[citation]) or "").split())
    assert re.search(rf"{re.escape(citation)}(?!\w)", text), f"{citation} is not in: {text}"


@pytest.mark.parametrize(("number", "roman"), TABLES.items())
def test_the_stage_writes_every_table(number, roman, tmp_path):
    """Stages table2 to table6 are one: each number gives the table that the paper's index names."""
    shape = {"samples": 20, "seeds": 1}
    errors = {
        5: fake_errors.write_sweep(tmp_path / "k", "k", [5, 50], **shape),
        6: fake_errors.write_sweep(tmp_path / "limb", "limb_weight", [1.0, 5.0], **shape),
    }.get(number) or fake_errors.write_runs(tmp_path / "runs", **shape)
    table(number, errors, tmp_path / "ours.csv", REPORT)
    expected = PLACES[f"Table {roman}"](RunErrors.read(errors), REPORT)
    write_csv(expected, tmp_path / "expected.csv")
    assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    page = (tmp_path / "ours.md").read_text()
    assert page.startswith(f"# Table {roman}: {tables.TITLES[number]}\n")


def test_a_table_that_the_paper_lacks_is_refused(tmp_path):
    errors = fake_errors.write_runs(tmp_path / "runs", samples=20, seeds=1)
    with pytest.raises(InputError, match="table 7: expected one of 2, 3, 4, 5, 6"):
        table(7, errors, tmp_path / "table7.csv", REPORT)


def test_every_printed_number_has_a_table():
    assert set(tables.paper()["table"]) == set(TABLES)
