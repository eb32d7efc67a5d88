"""Writes what both services' routes promise to frontend/openapi, from where the dashboard's types are made.

Any Python runs it: each document comes from a child in its service's own environment. With --check nothing is written,
and the status is 1 when a file is not what the routes say.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "frontend/openapi"

_INFERENCE = """
from unified_mlx_app.app import create_app
from unified_mlx_app.config import Settings
app = create_app(Settings(), is_api_only=True)
"""
_BACKEND = """
from mlx_hub.app import create_app
from mlx_hub.config import Settings
app = create_app(Settings())
"""
_PRINT = """
import json, sys
json.dump(app.openapi(), sys.stdout)
"""
SERVICES = {"backend": ("backend", _BACKEND), "inference": ("inference-server", _INFERENCE)}


def _document(member: str, code: str) -> str:
    """Sorted and indented, so that a change of a route is a change of a few lines."""
    python = ROOT / member / ".venv/bin/python"
    printed = subprocess.run([python, "-c", code + _PRINT], cwd=ROOT / member, stdout=subprocess.PIPE, check=True).stdout
    return json.dumps(json.loads(printed), indent=2, sort_keys=True) + "\n"


def main() -> int:
    is_check = "--check" in sys.argv[1:]
    stale = []
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (member, code) in SERVICES.items():
        file, document = FOLDER / f"{name}.json", _document(member, code)
        if file.exists() and file.read_text() == document:
            continue
        if is_check:
            stale.append(file)
        else:
            file.write_text(document)
    for file in stale:
        sys.stderr.write(f"{file.relative_to(ROOT)} is not what the routes say: npm run api:export && npm run api:gen\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
