"""Writes inference-server/openapi.json from the routes, for clients that generate their types from it."""

import json
from pathlib import Path

from unified_mlx_app.app import create_app
from unified_mlx_app.config import Settings

TARGET = Path(__file__).resolve().parent.parent / "inference-server/openapi.json"


def main() -> None:
    document = create_app(Settings(), is_api_only=True).openapi()
    TARGET.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    print(f"{TARGET}: {len(document['paths'])} paths")


if __name__ == "__main__":
    main()
