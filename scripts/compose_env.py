"""Writes into .env what docker-compose.yml needs and is not there yet: passwords, and where `make start` finds the servers.

What stands in the file stays. Only its owner can read it afterwards.
"""

import argparse
import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_NUM_BYTES = 24
_LINUX_FILES = "docker-compose.yml:docker/linux.yml"


def missing_lines(text: str, *, is_linux: bool) -> "list[str]":
    """Lines to add to a .env of that text; none when it is complete."""
    known = dict(re.findall(r"^(?:export )?([A-Z_]+)=(.*)$", text, re.MULTILINE))
    lines = []

    def add(name: str, value: str, why: str) -> None:
        if name not in known:
            known[name] = value
            lines.extend(["", f"# {why}", f"{name}={value}"])

    add(
        "POSTGRES_PASSWORD",
        secrets.token_urlsafe(_NUM_BYTES),
        "Of the user mlx_hub of PostgreSQL; it counts when the volume is new.",
    )
    add("GRAFANA_PASSWORD", secrets.token_urlsafe(_NUM_BYTES), "Of the user admin of Grafana; it counts when the volume is new.")
    add(
        "COMPOSE_API_KEY",
        secrets.token_urlsafe(_NUM_BYTES),
        "What clients of the services in containers send, unless MLX_API_KEY is set.",
    )
    if is_linux:
        add("COMPOSE_FILE", _LINUX_FILES, "Containers here do not reach what listens on 127.0.0.1; see docker/linux.yml.")
    password = known["POSTGRES_PASSWORD"].strip("'\"")
    add(
        "DATABASE_URL",
        f"postgresql://mlx_hub:{password}@localhost:5434/mlx_hub",
        "`make start` works on these servers; with a # before both, on a SQLite file and an MLflow of its own.",
    )
    add("MLFLOW_TRACKING_URI", "http://localhost:5001", "The MLflow of docker-compose.yml.")
    return lines


def write_env(path: Path, *, is_linux: bool) -> bool:
    """Whether anything was missing. The file is never readable by others, not even for a moment."""
    text = path.read_text() if path.exists() else ""
    lines = missing_lines(text, is_linux=is_linux)
    if path.exists():
        path.chmod(0o600)
    if lines:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(file, "w") as out:
            out.write(
                ("" if not text or text.endswith("\n") else "\n") + "\n".join(lines).lstrip("\n" if not text else "") + "\n"
            )
    return bool(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Complete .env for docker-compose.yml.")
    parser.add_argument("--file", type=Path, default=ROOT / ".env")
    path = parser.parse_args().file
    is_new = write_env(path, is_linux=sys.platform == "linux")
    print(f"{path}: {'passwords and addresses of the servers added' if is_new else 'complete'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
