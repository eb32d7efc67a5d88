"""What `mlx-hub backup` and `restore` do in a process of their own: one JSON request on standard input, JSON lines on standard
output: how far it is, and last the result or the error.
"""

import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from mlx_hub.config import read_settings
from mlx_hub.services.backup import Place, check_backup, create_backup, restore_backup
from mlx_hub.services.backup_archive import BackupError

_TELL_SECONDS = 0.2


def main() -> None:
    """Exits with status 2, naming the variable, when the settings are wrong."""
    settings = read_settings()
    request: dict[str, Any] = json.loads(sys.stdin.read())
    file, told = Path(request["path"]), _Told()
    try:
        place = Place.of(settings)
        match request["do"]:
            case "backup":
                result = create_backup(place, file, may_replace=request["force"], on_progress=told.tell)
            case "check":
                result = check_backup(file, told.tell)
            case _:
                result = restore_backup(place, file, may_replace=request["force"], on_progress=told.tell)
    except (BackupError, ValueError) as error:
        _print({"error": str(error)})
    except OSError as error:
        _print({"error": f"{error.filename or file}: {error.strerror or error}."})
    except (sqlite3.Error, psycopg.Error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        _print({"error": f"The database refused: {reason}."})
    else:
        _print({"result": result})


class _Told:
    """A few times a second how far it is."""

    def __init__(self) -> None:
        self._at = 0.0

    def tell(self, done: int, total: int) -> None:
        if time.monotonic() - self._at > _TELL_SECONDS or done == total:
            self._at = time.monotonic()
            _print({"done": done, "total": total})


def _print(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
