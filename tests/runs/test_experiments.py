"""Files of experiments: grids, names and seeds."""

import pytest

from pmnet.core.errors import InputError
from pmnet.runs.experiments import read_experiments


def test_a_list_of_values_is_a_grid(tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text(
        "experiments:\n  some: {label: some, group: g, memories: {m: [3], n: [0, 1]},"
        " set: {steps: 5, learning_rate: [1.0e-4, 0.001], clip_norm: [0.0, 1.0]}}\n"
    )
    found = read_experiments(file)
    assert list(found) == ["some+0.0001+0.0", "some+0.0001+1.0", "some+0.001+0.0", "some+0.001+1.0"]
    assert found["some+0.0001+1.0"].set == {"steps": 5, "learning_rate": 1e-4, "clip_norm": 1.0}
    rows = found["some+0.0001+1.0"].rows("name")
    assert [(row.memory, row.seed) for row in rows] == [("n", 0), ("n", 1), ("m", 3)]
    assert [row.key for row in rows] == ["name-0", "name-1", "name-3"]
    assert rows[0].options_of_train == (
        " --set steps=5 --set learning_rate=0.0001 --set clip_norm=1.0"
    )
    for old, new, words in (
        ("[1.0e-4, 0.001]", "[]", r"some\.set\.learning_rate: an empty list"),
        ("[1.0e-4, 0.001]", "[1.0e-4, '0.0001']", r"some\+0\.0001\+0\.0 is there twice"),
        ("[1.0e-4, 0.001]", "['../../x']", r"'some\+\.\./\.\./x\+0\.0' cannot be a name"),
    ):
        (wrong := tmp_path / "wrong.yaml").write_text(file.read_text().replace(old, new))
        with pytest.raises(InputError, match=words):
            read_experiments(wrong)
    file.write_text(file.read_text().replace("m: [3]", "m: [1]"))
    with pytest.raises(
        InputError, match=r"some\.memories: expected different seeds, got \[1, 0, 1\]"
    ):
        read_experiments(file)
