"""Writes the tables of every variable into docs/operations.md, from the settings of both services and from .env.example.

Any Python runs it: each service tells its settings in its own environment. With --check nothing is written, and the status is 1
when the page does not say what the settings are.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/operations.md"
ENV_EXAMPLE = ROOT / ".env.example"
DASHBOARD = ROOT / "frontend/src/config/env.ts"
BEGIN, END = "<!-- settings: begin (make settings) -->", "<!-- settings: end -->"

_ASK = """
import json, sys
from dataclasses import asdict
from {package}.config import Settings
from {package}.services.setting_facts import describe_settings
facts = [asdict(fact) for fact in describe_settings(Settings())]
json.dump(facts, sys.stdout)
"""
_SERVICES = (("Inference server", "inference-server", "unified_mlx_app"), ("Backend and worker", "backend", "mlx_hub"))
_EXAMPLE_SECTIONS = ("Both services", "Inference server", "Backend")
_DASHBOARD_WORDS = {
    "API_URL": "Where browsers find the backend.",
    "INFERENCE_URL": "Where browsers find the inference server.",
    "GRAFANA_URL": "Grafana's pages, for links.",
    "PROMETHEUS_URL": "Prometheus' pages, for links.",
    "MLFLOW_URL": "MLflow's pages, for links.",
}
_COMMAND_LINE = (
    ("MLX_HUB_URL", "http://localhost:8002", "The backend; `--url`."),
    ("MLX_HUB_INFERENCE_URL", "http://localhost:8080", "The inference server; `--inference-url`."),
)


@dataclass(frozen=True, slots=True)
class Variable:
    """`default` is None when the server chooses, or nothing is set."""

    name: str
    default: str | None
    words: str


def service_variables(member: str, package: str) -> list[Variable]:
    """As the service itself tells them, in the order of its settings; defaults as people write them in .env.example."""
    python = ROOT / member / ".venv/bin/python"
    code = _ASK.format(package=package)
    printed = subprocess.run([python, "-c", code], cwd=ROOT / member, stdout=subprocess.PIPE, check=True).stdout
    written = {each.name: each.default for title in _EXAMPLE_SECTIONS for each in example_variables(title)}
    return [Variable(fact["variable"], written.get(fact["variable"]), fact["description"]) for fact in json.loads(printed)]


def example_variables(title: str) -> Iterator[Variable]:
    """Of the section of .env.example whose heading begins with `title`; the comment above each is what it means."""
    is_wanted, words = False, ""
    for line in ENV_EXAMPLE.read_text().splitlines():
        if line.startswith("# ----"):
            is_wanted = line.removeprefix("# ----").strip().startswith(title)
        elif is_wanted and (match := re.match(r"#(\w+)=(.*)", line)):
            yield Variable(match[1], match[2].strip("'") or None, words)
        elif line.startswith("# "):
            words = line.removeprefix("# ")


def dashboard_variables() -> Iterator[Variable]:
    """Those that its own configuration reads."""
    for name, default in re.findall(r'process\.env\.NEXT_PUBLIC_(\w+) \|\| "([^"]+)"', DASHBOARD.read_text()):
        yield Variable(f"NEXT_PUBLIC_{name}", default, _DASHBOARD_WORDS[name])


def tables() -> str:
    """All of them, as Markdown."""
    platform = [*example_variables("Platform"), *dashboard_variables()]
    sections = [("`make start` and the dashboard", platform)]
    sections += [(title, service_variables(member, package)) for title, member, package in _SERVICES]
    sections.append(("Command line", [Variable(*facts) for facts in _COMMAND_LINE]))
    sections.append(("Servers in Docker", list(example_variables("Servers in Docker"))))
    return "\n".join(_table(title, variables) for title, variables in sections)


def _table(title: str, variables: list[Variable]) -> str:
    rows = "".join(f"| `{each.name}` | {_shown(each.default)} | {each.words} |\n" for each in variables)
    return f"### {title}\n\n| variable | default | |\n|---|---|---|\n{rows}"


def _shown(default: str | None) -> str:
    return f"`{default}`" if default else ""


def main() -> int:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.stderr.write(f"{PAGE.relative_to(ROOT)} lacks the lines {BEGIN} and {END}.\n")
        return 1
    wanted = f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"
    if wanted == text:
        return 0
    if "--check" in sys.argv[1:]:
        sys.stderr.write(f"{PAGE.relative_to(ROOT)} is not what the settings say: run `make settings`.\n")
        return 1
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
