"""`estimator-service` and `python -m estimator_client`: the command line."""

from estimator_client.cli.root import app


def main() -> None:
    """Runs the command that the arguments name."""
    app(prog_name="estimator-service")


if __name__ == "__main__":
    main()
