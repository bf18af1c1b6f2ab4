"""Times as providers write them."""

from datetime import datetime
from typing import Any


def unix_s(value: Any) -> float:
    """Unix seconds of an ISO 8601 time; 0 for anything else."""
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return 0.0
