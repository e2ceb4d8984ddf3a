"""The service that a command speaks to, and how the errors of the conversation end the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from estimator_client.cli.exits import Exit, of_status
from estimator_client.cli.output import fail
from estimator_client.cli.profiles import Profiles

if TYPE_CHECKING:
    from estimator_client.client import Client

DEFAULT_URL = "http://127.0.0.1:8000"
DATA_DIRECTORY = Path("data")


@dataclass
class Target:
    """The options that stand before the command; set by the root of the command line."""

    url: str = ""
    token: str = ""
    profile: str = ""
    data_dir: Path = DATA_DIRECTORY
    patience_s: float = 10.0

    def resolved(self) -> tuple[str, str]:
        """Address and token: from the options, else from the profile, else of this machine's own data directory."""
        try:
            profiles = Profiles.load()
        except ValueError as error:
            fail(str(error))
        name = self.profile or profiles.current
        if self.profile and self.profile not in profiles.profiles:
            known = ", ".join(sorted(profiles.profiles)) or "none"
            fail(f"No profile is called {self.profile}. Known: {known}. Make one: estimator-service login.", Exit.USAGE)
        profile = profiles.profiles.get(name or "")
        # a token is never sent to another address than the one that it was given for
        if profile and not self.token and self.url in ("", profile.url):
            return profile.url, profile.token
        url = self.url or (profile.url if profile else DEFAULT_URL)
        if self.token:
            return url, self.token
        try:
            return url, (self.data_dir / "admin-token").read_text().strip()
        except OSError:
            fail(
                "No token. Log in (estimator-service login), set ESTIMATOR_TOKEN, or name the service's data directory "
                "with --data-dir.",
                Exit.DENIED,
            )


target = Target()


@contextmanager
def client() -> Iterator[Client]:
    """A client of the target. What it raises becomes a sentence on standard error and an exit status."""
    from estimator_client.client import Client
    from estimator_client.errors import ApiError, JobNotSuccessful, Unreachable

    url, token = target.resolved()
    try:
        with Client(url, token, patience_s=target.patience_s) as made:
            yield made
    except ApiError as error:
        fail(f"{error}{_remedy(error)}", of_status(error.status))
    except Unreachable as error:
        fail(
            f"{error}\nIs the service running there? On this machine: estimator-service serve. Another address: --url.",
            Exit.UNAVAILABLE,
        )
    except JobNotSuccessful as error:
        fail(str(error), Exit.JOB_CANCELLED if error.job["state"] == "CANCELLED" else Exit.JOB_FAILED)
    except LookupError as error:
        fail(str(error.args[0] if error.args else error), Exit.NOT_FOUND)
    except TimeoutError as error:
        fail(str(error), Exit.UNAVAILABLE)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        fail(str(error))


def _remedy(error: ApiError) -> str:
    if error.status == 401:
        return "\nLog in with a valid token: estimator-service login."
    if error.retry_after_s:
        return f"\nTry again in {error.retry_after_s:g} s."
    return ""


if TYPE_CHECKING:
    from estimator_client.errors import ApiError
