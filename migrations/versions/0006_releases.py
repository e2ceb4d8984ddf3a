"""Labels divide their requests; releases and what is counted for them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LABEL: dict[str, sa.types.TypeEngine[Any]] = {
    "canary": sa.Integer(),
    "per_mille": sa.Integer(),
    "split_by": sa.String(100),
    "shadow": sa.Integer(),
}


def upgrade() -> None:
    for name, kind in _LABEL.items():
        op.add_column("labels", sa.Column(name, kind, nullable=True))
    op.create_table(
        "releases",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("base", sa.Integer(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("step_s", sa.Float(), nullable=False),
        sa.Column("step_at", sa.Float(), nullable=False),
        sa.Column("label_revision", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(40), nullable=True),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["model"], ["models.name"], "fk_releases_model_models", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_releases"),
    )
    op.create_index("ix_releases_model_created_at_id", "releases", ["model", "created_at", "id"])
    op.create_index("ix_releases_state", "releases", ["state"])
    op.create_table(
        "release_events",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("release_id", sa.String(40), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"], ["releases.id"], "fk_release_events_release_id_releases", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_release_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_release_events_release_id_id", "release_events", ["release_id", "id"])
    op.create_table(
        "arm_counts",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], "fk_arm_counts_model_models", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_arm_counts"),
    )
    op.create_index("ix_arm_counts_model_label_revision_at", "arm_counts", ["model", "label", "revision", "at"])
    op.create_index("ix_arm_counts_at", "arm_counts", ["at"])


def downgrade() -> None:
    for table in ("arm_counts", "release_events", "releases"):
        op.drop_table(table)
    with op.batch_alter_table("labels") as batch:
        for name in _LABEL:
            batch.drop_column(name)
