"""Jobs over several devices and workers: what a job needs, and the seats of a gang."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("devices", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("seats", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("forming_after", sa.Float(), nullable=False, server_default="0"))
    op.create_table(
        "seats",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("lease_expires_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_seats_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "attempt", "number", name="pk_seats"),
    )
    op.create_index("ix_seats_lease_expires_at", "seats", ["lease_expires_at"])


def downgrade() -> None:
    op.drop_table("seats")
    for column in ("devices", "seats", "forming_after"):
        # no batch: it makes a SQLite table anew, and dropping the old one would delete all rows that refer to it
        op.drop_column("jobs", column)
