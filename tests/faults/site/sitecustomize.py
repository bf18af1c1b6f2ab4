"""Python imports this when it starts, where PYTHONPATH leads here."""

from tests.faults.scaling import apply

apply()
