"""Triggers in the run's own database that write down what no attempt may do: change anything once it does not own its
job. They see each write at its moment, whatever code made it."""

from __future__ import annotations

from typing import Any

TABLE = "chaos_witness"

#: table, operation, when it is a fault, what it is called. NEW and OLD as in a trigger.
_STATE = "(SELECT state FROM jobs WHERE id = NEW.job_id)"
_OWNER = "(SELECT attempt FROM jobs WHERE id = NEW.job_id)"
_NOT_RUNNING = f"{_STATE} <> 'RUNNING'"
_NOT_OWNER = f"({_NOT_RUNNING} OR NEW.attempt <> {_OWNER})"
_RULES = [
    ("checkpoints", "INSERT", "NEW.job_id", _NOT_OWNER, "checkpoint of an attempt that is over"),
    ("exports", "INSERT", "NEW.job_id", _NOT_OWNER, "export of an attempt that is over"),
    ("versions", "INSERT", "NEW.job_id", _NOT_RUNNING, "version of a job that does not run"),
    ("evaluations", "INSERT", "NEW.job_id", _NOT_RUNNING, "evaluation of a job that does not run"),
    ("metric_points", "INSERT", "NEW.job_id", _NOT_RUNNING, "metric of a job that does not run"),
    ("metric_points", "UPDATE", "NEW.job_id", _NOT_RUNNING, "metric of a job that does not run"),
    ("attempts", "UPDATE", "NEW.job_id", "OLD.ended_at IS NOT NULL", "change of an attempt that is over"),
    ("jobs", "UPDATE", "NEW.id", "NEW.attempt < OLD.attempt", "attempt number went back"),
    ("jobs", "UPDATE", "NEW.id", "OLD.state = 'SUCCEEDED' AND NEW.state <> 'SUCCEEDED'", "job left SUCCEEDED"),
    (
        "jobs",
        "UPDATE",
        "NEW.id",
        "OLD.state <> 'RUNNING' AND CAST(NEW.progress AS TEXT) <> CAST(OLD.progress AS TEXT)",
        "progress of a job that does not run",
    ),
]


def install(connection: Any, dialect: str) -> None:
    """Once the registry is migrated, before the first fault.

    Args:
        connection: commits each statement.
    """
    connection.execute(f"CREATE TABLE {TABLE} (job_id TEXT, what TEXT)")
    for number, (table, operation, job, condition, what) in enumerate(_RULES):
        insert = f"INSERT INTO {TABLE} (job_id, what) VALUES ({job}, '{what}')"
        if dialect == "sqlite":
            connection.execute(
                f"CREATE TRIGGER chaos_{number} BEFORE {operation} ON {table} WHEN {condition} BEGIN {insert}; END"
            )
            continue
        connection.execute(
            f"CREATE FUNCTION chaos_{number}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {condition} THEN {insert}; END IF; RETURN NEW; END $$"
        )
        connection.execute(
            f"CREATE TRIGGER chaos_{number} BEFORE {operation} ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION chaos_{number}()"
        )
