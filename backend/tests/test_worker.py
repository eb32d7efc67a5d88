"""A worker process beside the API: what people ask for over HTTP is done, whatever is killed, stopped or away meanwhile."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.databases import NewDatabase
from fixtures.downloads import model_files, safetensors
from fixtures.hub import Hub, Repo, run_hub
from fixtures.inference import InferenceStandIn
from fixtures.worker import Network, run_worker
from mlx_hub.models.job import Download, Event
from mlx_hub.models.registered_model import ModelVersion
from sqlmodel import col, select

ENDED = {"ready", "failed", "cancelled", "paused"}


@dataclass
class Site:
    """A backend with its data folder and database, and a hub; workers come and go."""

    backend: RunningBackend
    hub: Hub

    def run_worker(self, **options: Any) -> Any:
        variables = {"HF_ENDPOINT": self.hub.endpoint, "MLX_HUB_INFERENCE_URL": "http://127.0.0.1:9", **options}
        return run_worker(self.backend.home, self.backend.database_url, **variables)

    def add_model(self, name: str, num_bytes: int = 200_000) -> str:
        self.hub.repos[name] = Repo(model_files() | {"model.safetensors": safetensors(num_bytes)})
        return name

    def download(self, name: str, path: str = "/api/v1/models/download", **headers: str) -> str:
        answer = self.backend.post(path, {"repo_id": name}, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def read(self, download_id: str) -> dict[str, Any]:
        return self.backend.get(f"/api/v1/downloads/{download_id}").json()

    def ask(self, download_id: str, verb: str) -> httpx.Response:
        return self.backend.post(f"/api/v1/downloads/{download_id}/{verb}")

    def wait_for(self, download_id: str, *statuses: str, seconds: float = 60.0) -> dict[str, Any]:
        """The row once it has one of the statuses."""
        deadline = time.monotonic() + seconds
        while (row := self.read(download_id))["status"] not in statuses:
            assert row["status"] not in ENDED, row
            assert time.monotonic() < deadline, row
            time.sleep(0.02)
        return row

    def wait_for_bytes(self, download_id: str, num_bytes: int) -> None:
        self.backend.wait_until(lambda: self.read(download_id)["num_bytes_done"] >= num_bytes, 60)

    def starts(self, name: str) -> list[int]:
        """First bytes of all requests for the weights of the model."""
        return [seen.start for seen in self.hub.requests if seen.path.startswith(f"cdn/{name}/")]


@pytest.fixture(scope="module")
def shared_hub() -> Iterator[Hub]:
    with run_hub() as hub:
        yield hub


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase, shared_hub: Hub
) -> Iterator[Site]:
    """Shared by the tests of this file, once on each kind of database; each has models of its own."""
    home = tmp_path_factory.mktemp("site")
    with run_backend(home, new_database(request.param, home), HF_ENDPOINT=shared_hub.endpoint) as backend:
        yield Site(backend, shared_hub)


@pytest.fixture
def postgres_site(tmp_path: Path, shared_hub: Hub, new_database: NewDatabase) -> Iterator[Site]:
    """One of the test's own, on PostgreSQL."""
    with run_backend(tmp_path, new_database("postgresql", tmp_path), HF_ENDPOINT=shared_hub.endpoint) as backend:
        yield Site(backend, shared_hub)


@pytest.fixture(autouse=True)
def fresh_hub(shared_hub: Hub) -> None:
    """At full speed, and as if nobody had asked it before."""
    shared_hub.bytes_per_second = None
    shared_hub.requests.clear()


def _events(site: Site, download_id: str) -> list[dict[str, Any]]:
    async def read(session: Any) -> list[dict[str, Any]]:
        found = await session.exec(select(Event.payload).where(Event.subject_id == download_id).order_by(col(Event.id)))
        return list(found.all())

    return site.backend.in_session(read)


def test_a_download_asked_for_twice_becomes_one_registered_model_and_tells_of_each_step(site: Site) -> None:
    name = site.add_model("org/first")
    with site.run_worker() as worker:
        ids = {site.download(name, **{"Idempotency-Key": "the-same"}) for _ in range(3)}
        (download_id,) = ids | {site.download(name, "/api/v1/discover/download")}

        row = site.wait_for(download_id, "ready")

        assert site.backend.get(f"/api/v1/models/{row['model_id']}").json()["name"] == name
        assert row["machine_id"] == worker.machine_id
        told = _events(site, download_id)
        assert [event["status"] for event in told if event["status"] != "running"] == ["queued", "ready"]
        assert told[-1] == site.read(download_id)
    assert site.starts(name) == [0]


def test_killed_or_stopped_it_goes_on_where_it_was(site: Site) -> None:
    num_bytes = 4_000_000
    name = site.add_model("org/interrupted", num_bytes)
    site.hub.bytes_per_second = 1_000_000
    with site.run_worker() as worker:
        download_id = site.download(name)
        site.wait_for_bytes(download_id, num_bytes // 5)
        worker.kill()
    assert site.read(download_id)["status"] == "running"
    with site.run_worker() as worker:
        site.wait_for_bytes(download_id, num_bytes // 2)
        # The rest would take a minute: it cannot be complete before the worker has stopped.
        site.hub.bytes_per_second = 30_000
        asked_at = time.monotonic()

        assert worker.stop(signal.SIGTERM) == 0

        assert time.monotonic() - asked_at < 25
        assert site.read(download_id)["status"] == "running"
    site.hub.bytes_per_second = None
    with site.run_worker():
        row = site.wait_for(download_id, "ready")

    assert Path(row["path"], "model.safetensors").read_bytes() == site.hub.repos[name].files["model.safetensors"]
    first, *later = site.starts(name)
    assert first == 0
    assert later == sorted(later)
    assert later[-1] >= num_bytes // 2 * 0.8


def test_pause_resume_and_cancel_in_every_state(site: Site) -> None:
    # None may be complete before it was asked for everything, however busy the machine is.
    paused, flipped, cancelled = (site.add_model(f"org/{name}", 20_000_000) for name in ("paused", "flipped", "cancelled"))
    queued = site.download(site.add_model("org/cancelled-while-queued"))
    assert site.ask(queued, "cancel").json()["status"] == "cancelled"
    site.hub.bytes_per_second = 300_000
    with site.run_worker():
        ids = {name: site.download(name) for name in (paused, flipped, cancelled)}
        for download_id in ids.values():
            site.wait_for_bytes(download_id, 100_000)

        site.ask(ids[paused], "pause")
        site.ask(ids[cancelled], "cancel")
        for _ in range(20):
            # Whether the worker has noticed the pause or not, the resume is the last wish.
            site.ask(ids[flipped], "pause")
            assert site.ask(ids[flipped], "resume").status_code == 200

        row = site.wait_for(ids[paused], "paused")
        assert 0 < row["num_bytes_done"] < row["num_bytes_total"]
        assert site.wait_for(ids[cancelled], "cancelled")["num_bytes_done"] == 0
        site.hub.bytes_per_second = None
        site.wait_for(ids[flipped], "ready")
        site.ask(ids[paused], "resume")
        site.wait_for(ids[paused], "ready")
        assert site.read(queued)["status"] == "cancelled"
        assert site.ask(ids[paused], "pause").status_code == 409


def test_what_was_promoted_while_the_inference_server_was_down_is_served_later(site: Site) -> None:
    inference = InferenceStandIn()
    inference.is_failing = True
    try:
        model_id = site.backend.create_model()["id"]
        site.backend.in_session(lambda session: _add_version(session, model_id))
        with site.run_worker(MLX_HUB_INFERENCE_URL=inference.base_url) as worker:
            answer = site.backend.request("PUT", f"/api/v1/models/{model_id}/aliases/champion", json={"version": 1})
            assert answer.json()["served"] is False, answer.text
            assert not inference.served

            inference.is_failing = False

            worker.wait_until(lambda: answer.json()["served_name"] in inference.served, 60)
    finally:
        inference.close()


async def _add_version(session: Any, model_id: str) -> None:
    session.add(ModelVersion(model_id=UUID(model_id), version=1, path="/adapters/1"))


def test_two_workers_share_the_work_and_one_takes_over_from_the_dead(postgres_site: Site) -> None:
    site = postgres_site
    names = [site.add_model(f"shared/{number}", 6_000_000) for number in range(8)]
    site.hub.bytes_per_second = 100_000
    first, second = (site.run_worker(machine_id=f"machine-{number}", MLX_HUB_LEASE_SECONDS="10") for number in (1, 2))
    with first as one, second:
        ids = [site.download(name) for name in names]
        for download_id in ids:
            site.wait_for_bytes(download_id, 100_000)
        assert Counter(site.read(download_id)["machine_id"] for download_id in ids) == {"machine-1": 4, "machine-2": 4}
        assert all(len(site.starts(name)) == 1 for name in names), "none runs twice"

        one.kill()

        site.hub.bytes_per_second = 2_000_000
        rows = [site.wait_for(download_id, "ready", seconds=90) for download_id in ids]
    assert all(row["machine_id"] == "machine-2" for row, attempt in zip(rows, _attempts(site, ids), strict=True) if attempt)
    assert all(len(site.starts(name)) <= 2 for name in names)
    assert sorted(_attempts(site, ids)) == [0] * 4 + [1] * 4


def _attempts(site: Site, ids: list[str]) -> list[int]:
    async def read(session: Any) -> dict[str, int]:
        return {str(row.id): row.attempt for row in (await session.exec(select(Download))).all()}

    attempts = site.backend.in_session(read)
    return [attempts[download_id] for download_id in ids]


def test_a_worker_of_another_data_folder_may_not_have_the_same_name(new_database: NewDatabase, tmp_path: Path) -> None:
    url = new_database("postgresql", tmp_path)
    with run_worker(tmp_path / "one", url), run_worker(tmp_path / "other", url, waits=False) as other:
        assert other.process.wait(60) == 2
        assert "MLX_HUB_MACHINE_ID" in other.log()


def test_it_waits_for_a_database_that_is_away_and_works_on_when_it_is_back(postgres_site: Site, tmp_path: Path) -> None:
    site = postgres_site
    parts = urlsplit(site.backend.database_url)
    network = Network((str(parts.hostname), int(parts.port or 0)))
    url = f"postgresql://postgres@127.0.0.1:{network.port}{parts.path}"
    name = site.add_model("away/model", 3_000_000)
    site.hub.bytes_per_second = 400_000
    with run_worker(site.backend.home, url, waits=False, HF_ENDPOINT=site.hub.endpoint) as worker:
        worker.wait_until(lambda: "waiting_for_database" in worker.log(), 60)
        network.restore()
        try:
            worker.wait_until(worker.is_ready, 60)
            download_id = site.download(name)
            site.wait_for_bytes(download_id, 300_000)

            network.cut()
            worker.wait_until(lambda: "progress_not_written" in worker.log())
            site.hub.bytes_per_second = None
            network.restore()

            site.wait_for(download_id, "ready")
            assert worker.stop() == 0
        finally:
            network.cut()
    assert len(site.starts(name)) == 1


def test_a_second_of_the_same_name_is_refused_and_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    with run_worker(tmp_path, url) as first:
        assert first.machine_id in first.log()
        assert "accelerator (1 at a time), io (4 at a time)" in first.log()
        with run_worker(tmp_path, url, waits=False) as second:
            assert second.process.wait(60) == 2
            assert "already running" in second.log()

        first.process.send_signal(signal.SIGTERM)
        first.process.send_signal(signal.SIGINT)

        assert first.process.wait(30) in (0, 1)


def test_it_stops_while_the_database_is_away(tmp_path: Path) -> None:
    nobody = "postgresql://postgres@127.0.0.1:9/hub"
    with run_worker(tmp_path, nobody, waits=False) as worker:
        worker.wait_until(lambda: "waiting_for_database" in worker.log(), 60)

        assert worker.stop() == 0
