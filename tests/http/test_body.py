"""Compressed bodies: what inflating costs follows from their size, whatever they hold."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
import zlib

import pytest

from app.errors import InvalidInput, TooLarge
from app.http.body import BoundedBody, Message


def whole(body: bytes, limit: int = 2**25) -> bytes:
    """What a body inflates to that comes in one piece."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def read() -> bytes:
        return bytes(await BoundedBody(receive, limit=limit, timeout_s=60.0, gzipped=True).whole())

    return asyncio.run(read())


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 100_000])
def test_members_are_read_across_pieces(size: int) -> None:
    parts = [os.urandom(size), b"", b"a" * size]
    assert whole(b"".join(gzip.compress(part) for part in parts)) == b"".join(parts)


def test_a_member_costs_no_copy_of_what_follows_it() -> None:
    """10,000 members of 1 KB: copying the rest after each would move 50 GB."""
    named = zlib.compressobj(wbits=31)
    member = named.compress(b"x") + named.flush()
    member = member[:3] + b"\x08" + member[4:10] + b"n" * 1010 + b"\0" + member[10:]  # with the name of a file
    started = time.process_time()
    assert whole(member * 10_000) == b"x" * 10_000
    assert time.process_time() - started < 3


def test_many_small_members_are_refused() -> None:
    with pytest.raises(InvalidInput, match="too many small members"):
        whole(gzip.compress(b"") * 100_000)


def test_zeros_stop_at_the_limit() -> None:
    with pytest.raises(TooLarge, match="after decompression"):
        whole(gzip.compress(bytes(2**22)), limit=2**20)


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_body_that_ends_too_early_is_told(cut: int) -> None:
    with pytest.raises(InvalidInput, match="ends too early"):
        whole(gzip.compress(b"abc" * 1000)[:-cut])
