"""Checks that files and functions stay small, and says how small they are.

Files: 400 lines of Python, 250 of TypeScript, tests and migrations included. Functions: 60 lines, in `src` only.
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE_LINES = {".py": 400, ".ts": 250, ".tsx": 250}
MAX_FUNCTION_LINES = 60
FOLDERS = ("inference-server", "backend", "frontend", "scripts", "bench")
# Not ours or not written by hand.
SKIPPED_FOLDERS = {".venv", "node_modules", ".next", ".next-dev", "generated"}


@dataclass(frozen=True, slots=True)
class Size:
    """Lines of a file (`name` empty) or of one function in it."""

    path: str
    name: str
    num_lines: int
    limit: int


def source_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in SKIPPED_FOLDERS:
                yield from source_files(path)
        elif path.suffix in MAX_FILE_LINES and not path.name.endswith(".d.ts"):
            yield path


def function_sizes(path: Path, label: str) -> Iterator[Size]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Size(label, node.name, (node.end_lineno or node.lineno) - node.lineno + 1, MAX_FUNCTION_LINES)


def print_distribution(title: str, sizes: list[Size]) -> None:
    lines = sorted(size.num_lines for size in sizes)
    if lines:
        p90 = lines[min(len(lines) - 1, int(len(lines) * 0.9))]
        print(f"{title:<22} {len(lines):5d}   median {statistics.median(lines):4.0f}   p90 {p90:4d}   largest {lines[-1]:4d}")


def main() -> int:
    files, functions = list[Size](), list[Size]()
    for folder in (ROOT / name for name in FOLDERS):
        for path in source_files(folder) if folder.is_dir() else ():
            label = str(path.relative_to(ROOT))
            files.append(Size(label, "", len(path.read_text().splitlines()), MAX_FILE_LINES[path.suffix]))
            if path.suffix == ".py" and "src" in path.relative_to(ROOT).parts:
                functions.extend(function_sizes(path, label))

    print_distribution("files (lines)", files)
    print_distribution("functions in src", functions)
    offenders = sorted((s for s in files + functions if s.num_lines > s.limit), key=lambda s: s.limit - s.num_lines)
    for size in offenders:
        print(f"{size.num_lines:5d} > {size.limit}   {size.path}{' · ' + size.name if size.name else ''}")
    return 1 if offenders else 0


if __name__ == "__main__":
    sys.exit(main())
