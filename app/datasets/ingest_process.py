"""Reads uploaded files in a process of its own: `python -m app.datasets.ingest_process MEMORY_BYTES`.

One JSON object a line comes in on standard input, one goes out on standard output for each; `ingestor.py` is the other
end. The process leaves at the end of its input, also in the middle of a file: its result is not needed then.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import resource
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from app.datasets.ingest import ingest
from app.datasets.limits import Limits
from app.errors import InvalidInput, ServiceError


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What came of one request: `{"made": …}` or `{"error": {"type": …, …}}`."""
    try:
        with Path(request["file"]).open("rb") as stream:
            limits = Limits(**request["limits"])
            made = ingest(stream, request["filename"], Path(request["directory"]), limits, request["schema"])
        return {"made": dataclasses.asdict(made)}
    except ServiceError as error:
        places = [dataclasses.astuple(place) for place in error.errors] if isinstance(error, InvalidInput) else []
        return {"error": {"type": type(error).__name__, "detail": error.detail, "errors": places}}
    except MemoryError:
        return {"error": {"type": "MemoryError"}}
    except OSError as error:
        traceback.print_exc()
        return {"error": {"type": "OSError", "errno": error.errno}}
    except Exception:
        traceback.print_exc()
        return {"error": {"type": "Exception"}}


def main() -> None:
    memory_bytes = int(sys.argv[1])
    if sys.platform == "linux":  # elsewhere the system does not hold a process to it
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    requests: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        for line in sys.stdin.buffer:
            requests.put(line)
        os._exit(0)

    threading.Thread(target=read, name="parent", daemon=True).start()
    while True:
        made = answer(json.loads(requests.get()))
        outgoing.write(json.dumps(made).encode() + b"\n")
        outgoing.flush()


if __name__ == "__main__":
    main()
