"""The load: `load.py SYSTEM PROTOCOL ADDRESS TOKEN STREAMS ROWS SECONDS EXPORTS`. Prints what it counted, as JSON.

Each stream sends its next call when the last one is answered. The first answer of a stream and every 64th after it is
compared with the direct call of the signature: one that differs is wrong, and so is any status that a valid call cannot
have. A refusal by a limit, or for want of time, is counted apart, by its status.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import uvloop
from messages import GRPC_PATHS, REST_PATHS, Case

_STREAMS_A_CHANNEL = 32
_COMPARED = 64
_REFUSALS = {429, 503, 504}
_RPC_REFUSALS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


class Counts:
    def __init__(self) -> None:
        self.times: list[float] = []
        self.wrong = 0
        self.refused: Counter[str] = Counter()
        self.first_wrong = ""

    def mistaken(self, what: str) -> None:
        self.wrong += 1
        self.first_wrong = self.first_wrong or what


async def by_grpc(case: Case, options: dict[str, Any], counts: Counts, end: float) -> None:
    channels = [
        grpc.aio.insecure_channel(options["address"], options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(-(-options["streams"] // _STREAMS_A_CHANNEL))
    ]
    body, _ = case.request(options["protocol"])
    metadata = [("authorization", f"Bearer {options['token']}")]

    async def stream(number: int) -> None:
        call = channels[number % len(channels)].unary_unary(GRPC_PATHS[options["protocol"]])
        made = 0
        while (started := time.perf_counter()) < end:
            try:
                answer = await call(body, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() in _RPC_REFUSALS:
                    counts.refused[error.code().name] += 1
                else:
                    counts.mistaken(f"{error.code().name}: {error.details()}")
                continue
            counts.times.append(time.perf_counter() - started)
            if (
                options["system"] == "ours"
                and made % _COMPARED == 0
                and not case.right(options["protocol"], answer, {})
            ):
                counts.mistaken(repr(answer[:300]))
            made += 1

    await asyncio.gather(*map(stream, range(options["streams"])))
    for channel in channels:
        await channel.close()


async def by_http(case: Case, options: dict[str, Any], counts: Counts, end: float) -> None:
    body, headers = case.request(options["protocol"])
    host, port = options["address"].split(":")
    lines = {"host": options["address"], "authorization": f"Bearer {options['token']}", "content-length": len(body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **headers}.items())
    request = f"POST {REST_PATHS[options['protocol']]} HTTP/1.1\r\n{head}\r\n".encode() + body

    async def stream(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**24)
        made = 0
        while (started := time.perf_counter()) < end:
            writer.write(request)
            told = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in told.split("\r\n")[1:] if line)
            answer = await reader.readexactly(int(fields["content-length"]))
            status = int(told.split(" ", 2)[1])
            if status in _REFUSALS:
                counts.refused[str(status)] += 1
                continue
            counts.times.append(time.perf_counter() - started)
            if status != 200 or (made % _COMPARED == 0 and not case.right(options["protocol"], answer, fields)):
                counts.mistaken(f"{status}: {answer[:300]!r}")
            made += 1
        writer.close()

    await asyncio.gather(*map(stream, range(options["streams"])))


async def main(arguments: list[str]) -> None:
    names = ("system", "protocol", "address", "token", "streams", "rows", "seconds", "exports")
    options: dict[str, Any] = dict(zip(names, arguments, strict=True))
    options["streams"] = int(options["streams"])
    case = Case(Path(options["exports"]), int(options["rows"]))
    ask = by_grpc if options["protocol"] in GRPC_PATHS else by_http
    await ask(case, options, Counts(), time.perf_counter() + 0.5)  # what is made at the first calls is not counted
    counts = Counts()
    used, started = time.process_time(), time.perf_counter()
    await ask(case, options, counts, started + float(options["seconds"]))
    took = time.perf_counter() - started
    times = sorted(counts.times)
    found = {
        "calls": len(times),
        "calls_per_s": len(times) / took,
        "p50_ms": times[len(times) // 2] * 1e3 if times else 0.0,
        "p99_ms": times[len(times) * 99 // 100] * 1e3 if times else 0.0,
        "client_busy": (time.process_time() - used) / took,
        "wrong": counts.wrong,
        "first_wrong": counts.first_wrong,
        "refused": counts.refused,
    }
    print(json.dumps(found))


uvloop.run(main(sys.argv[1:]))
