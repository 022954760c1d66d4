import chex
import pytest


@pytest.fixture(autouse=True)
def _count_traces_from_zero():
    """Chex tells functions apart by their names only."""
    chex.clear_trace_counter()
