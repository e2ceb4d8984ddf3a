"""Jobs have display names, tags and the estimator's name beside their specification; models remember the number of
their newest version, so that a deleted version's number is not given again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ESTIMATOR = {
    "sqlite": "COALESCE(json_extract(spec, '$.estimator.type'), json_extract(spec, '$.train_spec.estimator.type'))",
    "postgresql": "COALESCE(spec #>> '{estimator,type}', spec #>> '{train_spec,estimator,type}')",
}


def upgrade() -> None:
    op.add_column("jobs", sa.Column("display_name", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("estimator", sa.String(100), nullable=True))
    op.execute(f"UPDATE jobs SET estimator = {_ESTIMATOR[op.get_bind().dialect.name]}")
    op.create_index(op.f("ix_jobs_estimator_created_at_id"), "jobs", ["estimator", "created_at", "id"])
    op.create_table(
        "job_tags",
        sa.Column("job_id", sa.String(40), primary_key=True),
        sa.Column("tag", sa.String(100), primary_key=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_tags_job_id_jobs"), ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_job_tags_tag"), "job_tags", ["tag"])
    op.add_column("models", sa.Column("newest", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE models SET newest = COALESCE((SELECT MAX(number) FROM versions WHERE versions.model = models.name), 0)"
    )


def downgrade() -> None:
    # no batch: it makes a SQLite table anew, and dropping the old one would delete all rows that refer to it
    op.drop_column("models", "newest")
    op.drop_index(op.f("ix_job_tags_tag"), "job_tags")
    op.drop_table("job_tags")
    op.drop_index(op.f("ix_jobs_estimator_created_at_id"), "jobs")
    op.drop_column("jobs", "estimator")
    op.drop_column("jobs", "display_name")
