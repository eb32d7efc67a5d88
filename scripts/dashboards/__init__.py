"""The panels of the Grafana dashboards, in reading order: the one place where they are written down.

`make dashboards` makes Grafana's files of them, `make dashboards-check` runs every query against the real services.
"""

from dashboards.inference import INFERENCE
from dashboards.overview import OVERVIEW
from dashboards.prompt_cache import PROMPT_CACHE
from dashboards.system import SYSTEM
from dashboards.training import TRAINING

DASHBOARDS = (OVERVIEW, INFERENCE, PROMPT_CACHE, TRAINING, SYSTEM)
