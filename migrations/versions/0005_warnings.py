"""Warnings stay with the data set and the job that they are about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("datasets", "jobs"):
        op.add_column(table, sa.Column("warnings", sa.JSON(), nullable=True))


def downgrade() -> None:
    for table in ("datasets", "jobs"):
        # no batch: it makes a SQLite table anew, and dropping the old one would delete all rows that refer to it
        op.drop_column(table, "warnings")
