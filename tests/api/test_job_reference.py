"""docs/jobs.md: the reference of job requests is that of the types."""

from __future__ import annotations

from pathlib import Path

from app.api.job_examples import EXAMPLES
from app.api.job_reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "jobs.md"


def test_committed_reference_is_current() -> None:
    """Renew it with `scripts/job_reference`."""
    assert PAGE.read_text() == reference()


def test_reference_gives_field_value_default_and_meaning() -> None:
    page = reference()
    line = next(line for line in page.splitlines() if line.startswith("| `data.train.batch_size` |"))
    assert line == "| `data.train.batch_size` | whole number, 1 to 1,000,000 | `32` | Rows per training step. |"
    assert "| `train.max_steps` | whole number from 1 | `null` |" in page
    assert all(example["summary"] in page for example in EXAMPLES.values())
