"""Messages that would hold the event loop while they are read: a thread reads them, one at a time.

It takes turns with the loop every few milliseconds. What the parser does in one go is bounded by
`app.protocols.elements`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.http.auth import TokenInfo
from app.http.rate_limit import Accounts

T = TypeVar("T")


class LargeMessages:
    """The thread, and who waits for it.

    Args:
        accounts: in which the bytes of messages that wait are counted.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._thread = ThreadPoolExecutor(1, "large-message")
        self._turn = asyncio.Lock()

    async def read(self, token: TokenInfo, size: int, work: Callable[[], T]) -> T:
        """What `work` returns.

        Args:
            size: bytes that nobody else counts meanwhile.

        Raises Overloaded: the token's messages are too large together; and what `work` raises.
        """
        account = self._accounts.for_token(token.id)
        self._accounts.check_bytes(account, size)
        account.bytes += size
        try:
            async with self._turn:  # who leaves takes its message with it: the thread's own queue would keep it
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            account.bytes -= size
