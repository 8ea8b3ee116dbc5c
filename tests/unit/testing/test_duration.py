"""Spans and points of time as tests write them."""

from datetime import UTC, datetime, timedelta

import pytest

from pinnace.testing import duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("10m", 600.0), ("1h30m", 5400.0), ("7d", 604800.0), ("2w", 1209600.0), ("250ms", 0.25), (90, 90.0)],
)
def test_a_duration_is_text_or_seconds(written, seconds):
    assert duration.seconds(written) == seconds


def test_a_duration_may_be_a_timedelta():
    assert duration.seconds(timedelta(hours=1, minutes=1)) == 3660.0


@pytest.mark.parametrize("written", ["", "10", "ten minutes", "5x", "-5m", "1h 30m"])
def test_what_is_no_duration_is_told_how_to_write_one(written):
    with pytest.raises(ValueError, match="10m"):
        duration.seconds(written)


def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="does not go back"):
        duration.seconds(-1)


def test_a_moment_is_text_or_a_datetime_and_utc_unless_it_says_otherwise():
    assert duration.moment("1970-01-02T00:00:00Z") == 86400.0
    assert duration.moment(datetime(1970, 1, 2, tzinfo=UTC)) == duration.moment(datetime(1970, 1, 2)) == 86400.0
    with pytest.raises(ValueError, match="2026-03-01T00:00:00Z"):
        duration.moment("next Monday")
