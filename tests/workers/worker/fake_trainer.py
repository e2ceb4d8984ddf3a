"""Speaks the trainer's protocol without TensorFlow; what it does with an attempt is the estimator argument `do`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from app.process import die_with_parent


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    die_with_parent()
    say({"ready": True})
    for line in sys.stdin:
        message = json.loads(line)
        if "run" not in message:
            continue
        run = message["run"]
        do = run["spec"]["estimator"]["args"].get("do", "succeed")
        if do.startswith("never start"):
            once = Path(do.removeprefix("never start").strip() or os.devnull)
            if do == "never start" or not once.exists():
                once.touch()
                os._exit(4)
        if do == "stay before the start":
            time.sleep(60)
        if do == "start late":
            time.sleep(4)
        say({"started": True, "job_id": run["job_id"], "attempt": run["attempt"]})
        if do == "eat":
            eaten = b"x" * 200_000_000
            time.sleep(60)
            del eaten
        kept = b"x" * (40_000_000 if do == "keep" else 0)  # noqa: F841
        if do == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if do == "exit":
            os._exit(3)
        if do == "drain":
            assert "drain" in json.loads(sys.stdin.readline())
            say({"ended": "queued", "job_id": run["job_id"], "attempt": run["attempt"]})
            continue
        if do == "hang":
            time.sleep(60)
        say({"ended": "succeeded", "job_id": run["job_id"], "attempt": run["attempt"]})


if __name__ == "__main__":
    main()
