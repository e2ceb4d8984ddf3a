from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from app.ids import AscendingNumbers, is_id, new_id


def test_identifiers_of_one_process_ascend() -> None:
    made = [new_id("job") for _ in range(5000)]
    assert made == sorted(set(made))
    assert all(is_id(identifier, "job") for identifier in made)


def test_numbers_ascend_within_a_millisecond_and_when_the_clock_is_set_back() -> None:
    times = iter([10.0, 10.0, 10.0, 3.0, 3.0, 10.0, 11.0])
    numbers = AscendingNumbers(lambda: next(times))
    made = [numbers.next() for _ in range(7)]
    assert made == sorted(set(made))
    # the time stands above the 80 random bits, in milliseconds: it never goes back, and follows the clock again
    assert [number >> 80 for number in made] == [10_000] * 6 + [11_000]


def test_identifiers_of_many_threads_are_distinct() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [made for some in threads.map(lambda _: [new_id("ds") for _ in range(500)], range(8)) for made in some]
    assert len(set(made)) == 4000


def test_identifiers_of_a_forked_child_differ_from_its_parents() -> None:
    read, write = os.pipe()
    before = new_id("job")
    child = os.fork()
    if child == 0:
        os.write(write, " ".join(new_id("job") for _ in range(100)).encode())
        os._exit(0)
    os.close(write)
    here = {new_id("job") for _ in range(100)}
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        there = set(pipe.read().split())
    assert len(there | here | {before}) == 201
