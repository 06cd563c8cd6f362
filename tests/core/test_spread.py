"""Laws of the even spread of rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmnet.core.spread import evenly


@given(st.integers(1, 10_000_000), st.integers(1, 300))
def test_rows_run_from_the_first_to_the_last_in_even_steps(n, count):
    rows = evenly(n, count)
    assert len(rows) == min(n, count)
    assert rows[0] == 0
    if len(rows) > 1:
        steps = rows.diff()
        assert rows[-1] == n - 1
        assert steps.min() > 0 and steps.max() - steps.min() <= 1


@pytest.mark.parametrize("n", [0, 1, 2, 1999])
def test_all_rows_are_taken_where_there_are_few(n):
    assert evenly(n, 2000).tolist() == list(range(n))
