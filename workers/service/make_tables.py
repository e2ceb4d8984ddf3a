"""Tables made while the supervisor imports the API: `python -m workers.service.make_tables`.

The API makes them itself where this has not, and tells what stands in the way.
"""

from app.config import Settings
from app.errors import ServiceError
from app.registry.db import make_engine
from app.registry.migrations import migrate


def main() -> None:
    try:
        migrate(make_engine(Settings()))
    except ServiceError:
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
