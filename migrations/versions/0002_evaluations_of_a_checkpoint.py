"""Evaluations are looked up by the checkpoint that was measured: job and step."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_evaluations_train_job_id_step", "evaluations", ["train_job_id", "step"])
    op.drop_index("ix_evaluations_train_job_id", "evaluations")


def downgrade() -> None:
    op.create_index("ix_evaluations_train_job_id", "evaluations", ["train_job_id"])
    op.drop_index("ix_evaluations_train_job_id_step", "evaluations")
