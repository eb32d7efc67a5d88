"""The accelerator's sensors: what the programs print, and programs that are missing, end, or hang."""

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from unified_mlx_app.observability.accelerator import AcceleratorProbe, AcceleratorReading, parse_macmon, parse_nvidia

MACMON_OLD = (
    '{"timestamp":"2025-02-24T20:38:15+00:00","temp":{"cpu_temp_avg":43.7,"gpu_temp_avg":36.9},'
    '"memory":{"ram_total":25769803776,"ram_usage":20985479168,"swap_total":0,"swap_usage":0},'
    '"ecpu_usage":[1181,0.08],"pcpu_usage":[1974,0.015],"gpu_usage":[461,0.021],"cpu_power":0.2,"gpu_power":0.017,'
    '"ane_power":0.0,"all_power":0.22,"sys_power":5.87,"ram_power":0.11,"gpu_ram_power":0.0009}'
)
MACMON_NEW = (
    '{"temp":{"cpu_temp_avg":43.7,"gpu_temp_avg":0.0},"memory":{"ram_total":100,"ram_usage":40},'
    '"gpu_freq_mhz":1398,"gpu_scaled_ratio":0.5,"gpu_active_ratio":0.9345,"gpu_power":31.5,"sys_power":0.0}'
)
NVIDIA = "NVIDIA H100 80GB HBM3, 37, 1980, 312.45, 54, 40960, 81559"


def test_lines_of_both_kinds_of_macmon_are_read() -> None:
    old, new = parse_macmon(MACMON_OLD), parse_macmon(MACMON_NEW)

    assert old == AcceleratorReading(
        utilization_percent=2.1,
        frequency_mhz=461,
        power_watts=0.017,
        system_power_watts=5.87,
        temperature_celsius=36.9,
        memory_used_bytes=20985479168,
        memory_total_bytes=25769803776,
    )
    assert new is not None
    assert (new.utilization_percent, new.frequency_mhz, new.power_watts) == (93.5, 1398, 31.5)


def test_a_sensor_that_macmon_did_not_find_is_unknown_and_not_zero() -> None:
    reading = parse_macmon(MACMON_NEW)

    assert reading is not None
    assert (reading.temperature_celsius, reading.system_power_watts) == (None, None)
    assert parse_macmon("{}") == AcceleratorReading()


def test_a_line_of_nvidia_smi_is_read_and_what_a_card_does_not_tell_is_unknown() -> None:
    assert parse_nvidia(NVIDIA) == AcceleratorReading(
        utilization_percent=37,
        frequency_mhz=1980,
        power_watts=312.45,
        temperature_celsius=54,
        memory_used_bytes=40960 * 2**20,
        memory_total_bytes=81559 * 2**20,
        name="NVIDIA H100 80GB HBM3",
    )
    assert parse_nvidia("Old card, [N/A], [Not Supported], [N/A], 40, [N/A], 100") == AcceleratorReading(
        temperature_celsius=40, memory_total_bytes=100 * 2**20, name="Old card"
    )


@pytest.mark.parametrize("line", ["", "\n", "Unable to determine the device handle", "[]", "null", "nan", '{"temp": 3}', "1, 2"])
def test_other_lines_are_no_readings(line: str) -> None:
    assert parse_nvidia(line) is None
    assert parse_macmon(line) in (None, AcceleratorReading())


@pytest.fixture
def use_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a shell script on the path as the sensor program."""

    def install(name: str, script: str) -> Path:
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return tmp_path

    return install


@contextmanager
def following() -> Iterator[AcceleratorProbe]:
    probe = AcceleratorProbe()
    probe.start()
    try:
        yield probe
    finally:
        probe.close()


def wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("name", "line"), [("macmon", MACMON_OLD), ("nvidia-smi", NVIDIA)])
def test_the_program_is_followed_and_ends_with_the_probe(use_program: Callable[[str, str], Path], name: str, line: str) -> None:
    folder = use_program(name, f"echo $$ > {{folder}}/pid; while true; do echo '{line}'; sleep 0.2; done")
    script = folder / name
    script.write_text(script.read_text().replace("{folder}", str(folder)))

    with following() as probe:
        wait_for(lambda: probe.reading is not None)
        state = probe.state
        process_id = int((folder / "pid").read_text())

    assert (state.provider, state.reason) == (name, None)
    wait_for(lambda: not Path(f"/proc/{process_id}").exists() or _is_zombie(process_id))


def _is_zombie(process_id: int) -> bool:
    return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_program_that_hangs_leaves_everything_unknown_and_nobody_waits(use_program: Callable[[str, str], Path]) -> None:
    use_program("nvidia-smi", "exec sleep 600")

    with following() as probe:
        began = time.monotonic()
        wait_for(lambda: "nothing" in (probe.state.reason or ""))

        assert probe.reading is None
        assert time.monotonic() - began < 20


def test_a_program_that_fails_says_so(use_program: Callable[[str, str], Path]) -> None:
    use_program("nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")

    with following() as probe:
        wait_for(lambda: "ended (9)" in (probe.state.reason or ""))

        assert probe.reading is None


def test_without_a_program_there_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with following() as probe:
        assert probe.reading is None
        assert probe.state.provider is None
        assert probe.state.reason
