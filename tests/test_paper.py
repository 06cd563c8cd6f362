"""The paper's index: each equation, algorithm, table and figure has its place, which cites it."""

import inspect
import re

import pytest

from pmnet.body import camera, rotations
from pmnet.clustering import kmeans
from pmnet.model import losses, network
from pmnet.report import charts, renders, tables

PLACES = {
    "Eq. 1": rotations.mean_rotation,
    "Algorithm 1": kmeans.kmeans,
    "Eq. 3": camera.project,
    "Eqs. 2-6": losses,
    "Eq. 6": losses.total_loss,
    "Fig. 2": network.PMNet,
    "Table II": tables.table2,
    "Table III": tables.table3,
    "Table IV": tables.table4,
    "Table V": tables.table5,
    "Table VI": tables.table6,
    "Fig. 1(b)": charts.distance_figure,
    "Fig. 3": renders.parts_figure,
    "Fig. 4": renders.prototypes_figure,
    "Fig. 5": charts.reduction_figure,
    "Figs. 6-8": renders.gallery_figure,
}


@pytest.mark.parametrize("citation", PLACES)
def test_what_the_paper_has_is_cited_where_it_is(citation):
    text = " ".join((inspect.getdoc(PLACES[citation]) or "").split())
    assert re.search(rf"{re.escape(citation)}(?!\w)", text), f"{citation} is not in: {text}"


@pytest.mark.parametrize("number", range(2, 7))
def test_every_table_has_a_stage(number):
    stage = __import__(f"stages.table{number}", fromlist=["stage"])
    assert callable(getattr(stage, f"table{number}"))


def test_every_printed_number_has_a_table():
    assert set(tables.paper()["table"]) == set(range(2, 7))
