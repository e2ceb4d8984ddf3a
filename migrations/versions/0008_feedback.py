"""Kept predictions and the labels that come back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("keep", sa.JSON(), nullable=True))
    op.create_table(
        "kept_files",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("path", sa.String(200), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], "fk_kept_files_model_models", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_kept_files"),
    )
    op.create_index("ix_kept_files_model_at", "kept_files", ["model", "at"])
    op.create_table(
        "kept_predictions",
        sa.Column("id", sa.String(60), nullable=False),
        sa.Column("file_id", sa.String(40), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("predicted", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["kept_files.id"], "fk_kept_predictions_file_id_kept_files", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_kept_predictions"),
    )
    op.create_index("ix_kept_predictions_file_id", "kept_predictions", ["file_id"])
    op.create_index("ix_kept_predictions_model_at", "kept_predictions", ["model", "at"])
    op.create_table(
        "feedback",
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("prediction_id", sa.String(60), nullable=False),
        sa.Column("label", sa.JSON(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], "fk_feedback_model_models", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model", "prediction_id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_at", "feedback", ["at"])


def downgrade() -> None:
    for table in ("feedback", "kept_predictions", "kept_files"):
        op.drop_table(table)
    # no batch: it makes a SQLite table anew, and dropping the old one would delete all rows that refer to it
    op.drop_column("models", "keep")
