"""`mlx-hub serve`, `cache` and `bench` against the real inference server."""

import pytest
from fixtures.backend import RunningBackend
from fixtures.inference_server import InferenceServer
from fixtures.registered import add_adapter
from fixtures.terminal import CommandLine

PROMPT = "You are a librarian who knows every book on every shelf of the house, and answers briefly."


def _loaded(server: InferenceServer) -> set[str]:
    return {model["name"] for model in server.get("/admin/health")["resident_models"]}


def test_serve_loads_a_model_and_says_how_to_use_it(hub_cli: CommandLine, served: InferenceServer) -> None:
    done = hub_cli.run("serve", "demo")

    assert done.status == 0
    assert "mlx-hub/demo is loaded: " in done.out
    assert "mlx-hub chat mlx-hub/demo" in done.out
    assert f"curl {served.base_url}/v1/chat/completions" in done.out


def test_serve_pins_and_unloads(hub_cli: CommandLine, served: InferenceServer) -> None:
    assert hub_cli.run("serve", "demo", "--pin", "--json").json()["pinned"] is True

    assert hub_cli.run("serve", "demo", "--unload", "--json").json() == {"status": "unloaded", "name": "mlx-hub/demo"}


def test_an_adapter_without_a_served_version_is_told_what_to_do(hub_cli: CommandLine, registry: RunningBackend) -> None:
    adapter = add_adapter(registry)

    done = hub_cli.run("serve", adapter)

    assert done.status == 1
    assert f"mlx-hub models promote {adapter} 1" in done.err


def test_a_base_model_without_weights_is_told_what_to_do(hub_cli: CommandLine, registry: RunningBackend) -> None:
    done = hub_cli.run("serve", registry.create_model(base_model="org/weights")["name"])

    assert done.status == 1
    assert "mlx-hub models pull org/weights" in done.err


@pytest.mark.parametrize("name", ["nobody", "nobody/at-all"])
def test_an_unknown_model_is_refused(hub_cli: CommandLine, name: str) -> None:
    done = hub_cli.run("serve", name, "--json")

    assert (done.status, done.error()["code"]) == (1, "failed")


def test_a_warmed_prompt_is_listed_counted_and_removed_alone(hub_cli: CommandLine) -> None:
    hub_cli.run("cache", "clear", "--yes")

    warmed = hub_cli.run("cache", "warm", "demo", text=PROMPT)
    hub_cli.run("cache", "warm", "--system", f"Another. {PROMPT}")

    assert "tokens are ready for mlx-hub/demo" in warmed.out
    listed = hub_cli.run("cache", "list", "--json").json()
    assert len(listed) == 2
    table = hub_cli.run("cache", "list").out.splitlines()
    assert table[0].split()[:3] == ["KEY", "MODEL", "TOKENS"]
    assert "Another. You are" in table[1]
    key = next(entry["cache_key"] for entry in listed if entry["prompt_preview"].startswith("You"))
    assert hub_cli.run("cache", "rm", key[:10], "--yes", "--json").json() == {"status": "deleted", "entries_removed": 1}
    assert [entry["prompt_preview"][:7] for entry in hub_cli.run("cache", "list", "--json").json()] == ["Another"]


def test_stats_count_hits_and_misses(hub_cli: CommandLine) -> None:
    before = hub_cli.run("cache", "stats", "--json").json()
    for _ in range(2):
        hub_cli.run("chat", "-m", "hello", "--system", f"Counted. {PROMPT}")

    after = hub_cli.run("cache", "stats", "--json").json()

    assert after["total_hits"] - before["total_hits"] == 1
    assert after["total_misses"] - before["total_misses"] == 1
    assert "hit rate" in hub_cli.run("cache", "stats").out


def test_clearing_asks_on_a_terminal_and_needs_yes_elsewhere(hub_cli: CommandLine) -> None:
    hub_cli.run("cache", "warm", "--system", PROMPT)

    done = hub_cli.run("cache", "clear")
    with hub_cli.terminal("cache", "clear") as refused:
        refused.wait_for("Remove every cached prompt?")
        refused.type("n\n")
        refused.wait_for("Nothing was changed.")
        assert refused.wait_for_end() == 1
    assert (done.status, "--yes" in done.err) == (2, True)
    assert len(hub_cli.run("cache", "list", "--json").json()) > 0

    with hub_cli.terminal("cache", "clear") as agreed:
        agreed.wait_for("Remove every cached prompt?")
        agreed.type("y\n")
        assert agreed.wait_for_end() == 0
    assert hub_cli.run("cache", "list", "--json").json() == []
    assert "empty" in hub_cli.run("cache", "list").err


def test_an_unknown_entry_is_refused(hub_cli: CommandLine) -> None:
    done = hub_cli.run("cache", "rm", "zzz", "--yes")

    assert (done.status, done.err) == (1, "✗ There is no cache entry 'zzz'.\n")


def test_bench_tells_cold_and_cached_apart(hub_cli: CommandLine) -> None:
    answer = hub_cli.run("bench", "--rounds", "2", "--prompt-tokens", "600", "--max-tokens", "8", "--json").json()

    assert (answer["model"], answer["rounds"]) == ("mlx-hub/demo", 2)
    assert all(sample["cached_tokens"] == 0 for sample in answer["cold"]["samples"])
    assert all(450 < sample["cached_tokens"] < sample["prompt_tokens"] < 750 for sample in answer["cached"]["samples"])
    assert all(sample["completion_tokens"] == 8 for sample in answer["cached"]["samples"])
    assert answer["cached"]["first_token_seconds"] > 0


def test_bench_prints_a_table(hub_cli: CommandLine) -> None:
    done = hub_cli.run("bench", "demo", "--rounds", "1", "--prompt-tokens", "100", "--max-tokens", "4")

    assert done.status == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["PROMPT", "cold", "cached"]
    assert "times sooner when cached" in done.err


def test_bench_refuses_what_does_not_fit_the_context(hub_cli: CommandLine) -> None:
    done = hub_cli.run("bench", "--max-tokens", "99999")

    assert done.status == 1
    assert "no room" in done.err
