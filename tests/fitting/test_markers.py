"""The table of labels: every label has its place on the skin, mirrored left to right."""

import pytest
import torch
from fitted import LABELS
from people import open_body

from pmnet.body.parts import JOINTS
from pmnet.core.errors import InputError
from pmnet.fitting.markers import known_labels, marker_points, read_table, vertices_of

SIDES = ("LFHD", "LBHD", "LSHO", "LUPA", "LELB", "LFRM", "LFIN", "LTHI", "LKNE", "LANK", "LHEE")
BOTH = (*SIDES, "LTOE")
TRUNK = ("C7", "T10", "CLAV", "STRN", "RBAK")


def both(*left: str) -> list[str]:
    return [*left, *(f"R{label[1:]}" for label in left)]


PLUG_IN_GAIT = [*TRUNK, *both(*BOTH, "LWRA", "LWRB", "LASI", "LPSI", "LTIB")]
CMU = [*TRUNK, *both(*BOTH, "LIWR", "LOWR", "LFWT", "LBWT", "LSHN", "LMT5")]


@pytest.mark.parametrize("layout", [PLUG_IN_GAIT, CMU, LABELS])
def test_the_layouts_of_vicon_cmu_and_amass_are_known(layout):
    known, unknown = known_labels(layout, read_table())
    assert known == list(layout) and unknown == []


def test_labels_may_have_a_subject_and_small_letters():
    assert known_labels(["Anna:lfhd", "*12", "Anna:LXYZ"], read_table()) == (
        ["Anna:lfhd"],
        ["*12", "Anna:LXYZ"],
    )


def test_places_are_on_their_side_and_mirror_each_other():
    body, table = open_body(), read_table()
    rest = body.rest_shape()[0].T
    labels = sorted({label for label in table if label.startswith("L")})
    left = rest[vertices_of(body, [table[label] for label in labels])]
    right = rest[vertices_of(body, [table[f"R{label[1:]}"] for label in labels])]
    assert (left[:, 0] > 0).all()
    assert torch.allclose(left * torch.tensor([-1.0, 1, 1]), right, atol=1e-4)


def test_places_are_where_anatomy_has_them():
    body, table = open_body(), read_table()
    rest, joints = body.rest_shape()[0].T, body.rest_joints(torch.zeros(1, 10))[0]

    def at(label: str) -> torch.Tensor:
        return rest[vertices_of(body, [table[label]])][0]

    knee = joints[JOINTS.index("left_knee")]
    assert at("LKNE")[0] > knee[0] > at("LKNI")[0]
    assert at("CLAV")[2] > 0.05 > at("C7")[2]
    assert at("LHEE")[2] < at("LTOE")[2] and at("LMT5")[0] > at("LMT1")[0]
    assert at("LIWR")[2] > at("LOWR")[2]
    assert at("LFHD")[2] > at("LBHD")[2] and at("LFHD")[1] > joints[JOINTS.index("head"), 1]


def test_markers_lie_off_the_skin():
    body = open_body()
    still = torch.zeros(1, 10)
    points = marker_points(body, LABELS, read_table())
    skin = marker_points(body, LABELS, read_table(), 0.0)
    away = (points.rest(still) - skin.rest(still)).norm(dim=2)
    assert torch.allclose(away, torch.full((1, 48), 0.0095), atol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "expected a mapping LABEL"),
        ("LFOO: {vertex: -3}", "LFOO.vertex: -3 is not the number of a vertex"),
        ("LFOO: {from: {knee: 1}, toward: [0, 0, 1], skin: [head]}", "knee is no joint"),
        ("LFOO: {toward: [0, 0, 1]}", "expected `from` .joints and weights., `toward` and `skin`"),
        ("LFOO: {from: {head: 1}, toward: [0, 1], skin: [head]}", "three in `toward`"),
        ("LFOO: {form: {head: 1}}", "expected the keys"),
        ("LFOO: {", "not a readable table of markers"),
    ],
)
def test_a_bad_table_is_one_error(tmp_path, text, message):
    path = tmp_path / "markers.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_table(path)


def test_a_vertex_that_the_body_lacks(tmp_path):
    path = tmp_path / "markers.yaml"
    path.write_text("LFOO: {vertex: 10475}")
    with pytest.raises(InputError, match="vertex 10475: the body has 6890"):
        marker_points(open_body(), ["LFOO"], read_table(path))
