"""The future of work that is done in legs."""

from __future__ import annotations

from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from serve_app.relay import Relay


def test_the_last_leg_returns_the_result() -> None:
    relay: Relay[str] = Relay()
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:

        def begin(name: str) -> None:
            second.submit(relay.run, str.upper, name)

        first.submit(relay.run, begin, "anna")
        assert relay.result(5.0) == "ANNA"


def test_a_leg_that_fails_fails_all() -> None:
    relay: Relay[int] = Relay()
    relay.run(int, "no number")
    with pytest.raises(ValueError, match="no number"):
        relay.result(0.0)


def test_whoever_waits_is_told_whatever_ends_a_leg() -> None:
    def leave() -> None:
        raise SystemExit(3)

    relay: Relay[None] = Relay()
    relay.run(leave)
    with pytest.raises(SystemExit):
        relay.result(0.0)


def test_no_leg_runs_for_who_has_gone() -> None:
    relay: Relay[bool] = Relay()
    ran: list[bool] = []
    assert relay.cancel()
    relay.run(ran.append, True)
    assert not ran


@pytest.mark.parametrize("fails", [False, True])
def test_a_leg_during_which_somebody_goes_ends_quietly(fails: bool) -> None:
    relay: Relay[int] = Relay()

    def leave() -> int:
        relay.cancel()
        return int("no number" if fails else "1")

    relay.run(leave)
    with pytest.raises(CancelledError):
        relay.result(0.0)
