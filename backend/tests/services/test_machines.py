"""Ids, the device, the lock and the lease of a worker."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from fixtures.databases import do_in_session
from mlx_hub.errors import InUseError
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import Machine
from mlx_hub.services.machines import (
    Freshness,
    check_name_is_free,
    describe_device,
    end_lease,
    machine_lock,
    renew_lease,
    store_id,
)
from sqlmodel import select


def test_a_data_folder_has_one_id(tmp_path: Path) -> None:
    assert store_id(tmp_path / "a") == store_id(tmp_path / "a") != store_id(tmp_path / "b")


def test_one_worker_has_a_name_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(InUseError, match="one is already running")
    with machine_lock(tmp_path, "one"), machine_lock(tmp_path, "two"), refused, machine_lock(tmp_path, "one"):
        pass

    with machine_lock(tmp_path, "one"):
        pass


def test_the_device_has_a_name_and_memory() -> None:
    device = describe_device()

    assert device.name
    assert 2**28 < device.memory_bytes <= max(psutil.virtual_memory().total, 2**40)


def test_freshness_is_change_within_the_time_by_our_own_clock() -> None:
    now = 100.0
    freshness = Freshness(10.0, clock=lambda: now)

    def is_fresh_at(second: float, value: int) -> bool:
        nonlocal now
        now = second
        return freshness.is_fresh("a", value)

    assert [is_fresh_at(second, 1) for second in (100, 104, 108, 109.9, 110, 112)] == [True, True, True, True, False, False]
    assert is_fresh_at(113, 0), "any change counts, also one back in time"


def test_time_in_which_nobody_looked_does_not_count() -> None:
    """After the database was away all leases are old; those who hold them must get the time to renew them."""
    now = 100.0
    freshness = Freshness(10.0, clock=lambda: now)
    freshness.is_fresh("a", 1)

    now = 500.0

    assert freshness.is_fresh("a", 1)
    now = 504.0
    assert freshness.is_fresh("a", 1)
    now = 508.0
    assert freshness.is_fresh("a", 1)
    now = 510.0
    assert not freshness.is_fresh("a", 1)


def _machine(**values: Any) -> Machine:
    defaults = {"id": "m", "store_id": "s", "hostname": "h", "device": "d", "memory_bytes": 1, "version": "1"}
    return Machine(**defaults | values)


def test_a_lease_is_renewed_and_ended(migrated_url: str) -> None:
    do_in_session(migrated_url, lambda session: renew_lease(session, _machine(heartbeat_at=utc_now() - timedelta(hours=1))))
    do_in_session(migrated_url, lambda session: renew_lease(session, _machine(version="2")))

    async def read(session: Any) -> list[Machine]:
        return list((await session.exec(select(Machine))).all())

    (row,) = do_in_session(migrated_url, read)
    assert row.version == "2"
    assert utc_now() - row.heartbeat_at < timedelta(minutes=1)

    do_in_session(migrated_url, lambda session: end_lease(session, _machine()))

    assert do_in_session(migrated_url, read) == []


def test_a_name_that_lives_in_another_folder_is_taken(migrated_sqlite_url: str) -> None:
    do_in_session(migrated_sqlite_url, lambda session: renew_lease(session, _machine()))
    other = _machine(store_id="other")

    with pytest.raises(InUseError, match="MLX_HUB_MACHINE_ID"):
        do_in_session(migrated_sqlite_url, lambda session: check_name_is_free(session, other, lease_seconds=60))

    do_in_session(migrated_sqlite_url, lambda session: check_name_is_free(session, _machine(), lease_seconds=60))
    do_in_session(migrated_sqlite_url, lambda session: check_name_is_free(session, other, lease_seconds=0))
