"""Human3.6M and MPI-INF-3DHP: what users get wrong is refused by name of file, key and row."""

import sys

import pytest
from case_names import case_name
from layouts_studio import BROKEN, LAYOUTS
from people import draw_people

from pmnet.core.errors import InputError


@pytest.mark.parametrize(("name", "what", "damage", "message"), BROKEN, ids=case_name)
def test_what_is_broken_is_refused(body, tmp_path, name, what, damage, message):
    layout = LAYOUTS[name]
    layout.write(tmp_path, draw_people(7))
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        layout.read(tmp_path, body)
    assert "hostile_pickle_ran" not in sys.modules
