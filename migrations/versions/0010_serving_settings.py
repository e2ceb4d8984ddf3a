"""Serving settings of models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("serving", sa.JSON(), nullable=True))
    op.add_column("models", sa.Column("serving_revision", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    for column in ("serving", "serving_revision"):
        # no batch: it makes a SQLite table anew, and dropping the old one would delete all rows that refer to it
        op.drop_column("models", column)
