"""Times in what the command line prints."""

from __future__ import annotations

import json
from datetime import datetime

from tests.api.conftest import Api
from tests.api.test_command_line import good


def test_tables_have_the_readers_time_and_json_that_of_the_service(api: Api) -> None:
    api.submit()

    (job,) = json.loads(good(api, "jobs", "list", "--json"))
    assert job["created_at"].endswith("Z")
    here = datetime.fromisoformat(job["created_at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert here in good(api, "jobs", "list")
    assert here in good(api, "jobs", "show", job["id"])
