"""Which data folder and which machine this is. A store is a data folder; workers that see the same one share its work."""

import os
import re
import socket
import uuid
from pathlib import Path

STORE_FILE = "store-id"


def store_id(data_dir: Path) -> str:
    """The id of the data folder, made when the folder has none. Processes that start together agree on one."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = data_dir / STORE_FILE
    if not file.exists():
        part = data_dir / f".{STORE_FILE}-{uuid.uuid4().hex}"
        part.write_text(uuid.uuid4().hex)
        try:
            os.link(part, file)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return file.read_text().strip()


def default_machine_id() -> str:
    """The host's name and a part of its hardware address: the same after a restart, another on another machine."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())[:40] or "machine"
    return f"{name}-{uuid.getnode():012x}"
