"""Command line of the doctor."""

from __future__ import annotations

import sys

from . import diagnose


def main(arguments: list[str]) -> int:
    """Prints the report; 0 if a checkpoint loads without a problem, 1 if not, 2 if the call is wrong."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m tf_estimator.doctor MODEL_DIR", file=sys.stderr)
        return 2
    try:
        diagnosis = diagnose(arguments[0])
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    print(diagnosis.report())
    return 0 if diagnosis.contents.prefix is not None and not diagnosis.contents.problems else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
