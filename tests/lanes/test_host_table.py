"""What lanes share: counters of each seat, levels under a lock, and limits that hold for all seats together."""

from __future__ import annotations

import os
import time

import pytest

from app.errors import Overloaded
from app.host_table import HostTable
from app.http.host_limits import HostAccount, HostConnections, account_maker
from app.http.rate_limit import Accounts, TokenLimits
from tests.fakes import ManualClock


def seats(count: int = 2) -> list[HostTable]:
    """The table as each lane has it; one process can sit on two seats, but not wait for its own lock."""
    first = HostTable.make(count)
    return [HostTable(first.descriptor, count, seat) for seat in range(count)]


def test_rows_in_flight_are_those_of_all_lanes() -> None:
    limits = TokenLimits(rows_in_flight=10)
    here, there = (Accounts(limits, make=account_maker(table)) for table in seats())
    here.take_prediction(here.for_token("tok"), 6)
    here.for_token("tok").rows += 6
    with pytest.raises(Overloaded):
        there.take_prediction(there.for_token("tok"), 5)
    there.take_prediction(there.for_token("other"), 10)
    here.for_token("tok").rows -= 6
    there.take_prediction(there.for_token("tok"), 5)


def test_bytes_in_flight_are_those_of_all_lanes() -> None:
    here, there = (Accounts(TokenLimits(bytes_in_flight=100), make=account_maker(table)) for table in seats())
    here.for_token("tok").bytes += 60
    with pytest.raises(Overloaded):
        there.check_bytes(there.for_token("tok"), 50)
    there.check_bytes(there.for_token("tok"), 40)


def test_rate_is_one_for_all_lanes() -> None:
    clock = ManualClock()
    limits = TokenLimits(predictions_per_s=5.0)  # ten at once
    lanes = [Accounts(limits, make=account_maker(table), clock=clock) for table in seats()]
    for number in range(10):
        lane = lanes[number % 2]
        lane.take_prediction(lane.for_token("tok"), 1)
    for lane in lanes:
        with pytest.raises(Overloaded):
            lane.take_prediction(lane.for_token("tok"), 1)
    clock.advance(0.2)  # one more
    lanes[1].take_prediction(lanes[1].for_token("tok"), 1)
    with pytest.raises(Overloaded):
        lanes[0].take_prediction(lanes[0].for_token("tok"), 1)


def test_lane_that_ends_has_nothing_any_more() -> None:
    here, there = seats()
    accounts = Accounts(TokenLimits(), make=account_maker(there))
    accounts.for_token("tok").rows += 7
    HostConnections(there).here("10.0.0.1", 3, 3)
    there.now_serves()
    row = here.row("token tok")
    assert row is not None
    assert (row.elsewhere(0), here.connections_elsewhere(), here.serving()) == (7, 3, [1])
    here.clear(1)
    assert (row.elsewhere(0), here.connections_elsewhere(), here.serving()) == (0, 0, [])


def test_connections_of_an_address_are_those_of_all_lanes() -> None:
    here, there = (HostConnections(table) for table in seats())
    there.here("10.0.0.1", 2, 5)
    assert (here.of_address("10.0.0.1"), here.of_address("10.0.0.2"), here.all()) == (2, 0, 5)
    there.here("10.0.0.1", 0, 3)
    assert (here.of_address("10.0.0.1"), here.all()) == (0, 3)


def test_row_that_rested_goes_to_another_name_and_its_first_one_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.host_table._SETS", 1)
    table, _ = seats()
    make = account_maker(table)
    accounts = [make(f"tok{number}") for number in range(8)]
    for account in accounts[1:]:
        account.rows += 1
    accounts[0].set_level("requests", 1.0, time.monotonic())
    assert type(make("tok8")) is not HostAccount  # all are in use, one of them by its rate
    accounts[0].set_level("requests", 1.0, time.monotonic() - 61.0)
    assert type(make("tok8")) is HostAccount
    assert [account.valid for account in accounts] == [False] + 7 * [True]


def test_lock_of_a_process_that_died_is_free() -> None:
    table, _ = seats()
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        with table.lock():
            os.write(write, b"locked")
            os._exit(0)
    assert os.read(read, 6) == b"locked"
    os.waitpid(child, 0)
    with table.lock():
        assert table.row("name") is not None
