"""What holds for every legal plan: more of them are drawn than in tests/jobs."""

import pytest
from drawn_plans import a_plan_is_what_happens
from families import FAMILIES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_a_plan_is_what_happens(family, data):
    a_plan_is_what_happens(family, data)
