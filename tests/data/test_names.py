"""Names of data sets, runs and experiments: one rule, one message."""

import pytest

from pmnet.core.errors import InputError
from pmnet.data.names import check_key, check_name

BAD = ["my set", "it's", "x;touch pwned;", "$(id)", "`id`", "a(1)", "a[0]", "a/b", "..", "../../x", "-k",
       ".hidden", "", "naïve", "a\nb", "a" * 201, "a&b", "a>b", "{key}", "a@b"]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("check", [check_name, check_key])
def test_a_name_that_is_not_safe_in_commands_and_paths_is_refused(name, check):
    with pytest.raises(
        InputError, match=r"here: .* cannot be a name; expected letters .*rename it"
    ):
        check(name, "here")


@pytest.mark.parametrize(
    "name", ["open_train", "p3dh_k24_l5.0", "a+b", "A-1", "_x", "3dh_k50", "a" * 200]
)
def test_other_names_are_as_they_are(name):
    assert check_name(name, "here") == name


def test_the_name_of_a_data_set_has_no_dots():
    with pytest.raises(InputError, match=r"'a\.b' cannot be a name"):
        check_key("a.b", "datasets")
