"""Labels that were just set: when the lanes of this host answer by them.

Who sets a label and then predicts wants the new version's answer. Lanes look at the registry a few times a second, so a
label that was set is answered once all of them follow it, or after `FOLLOW_S`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from app.errors import ServiceError
from app.serving.service import ServingService

FOLLOW_S = 2.0
_LOOK_EVERY_S = 0.01


class LabelFlips:
    """Waits for labels.

    Args:
        serving: of this process; None where predictions are answered elsewhere, so that nothing is waited for.
        patience_s: the longest wait.
    """

    def __init__(self, serving: ServingService | None = None, *, patience_s: float = FOLLOW_S) -> None:
        self._serving = serving
        self._patience_s = patience_s

    async def followed(self, model: str, label: str, revision: int) -> bool:
        """Returns when all lanes of this host answer by a label as that revision of it says, or a later one. False when
        they did not in time."""
        if self._serving is None:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                if self._serving.look_again is not None:
                    with suppress(ServiceError):  # the loop that follows the registry tries again
                        await self._serving.look_again()
                # what the other lanes have stands in memory, which tells nobody
                while not self._serving.models.follow(model, label, revision):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_EVERY_S)
                return True
        return False
