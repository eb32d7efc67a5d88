"""Whether it is up and well, on one page."""

from dashboards.panel import HITS, LOOKUPS, RATE, TOKENS_PER_SECOND, Dashboard, Panel, latency, share, stat

_ALL_REQUESTS = '{__name__=~"mlx(_hub)?_http_requests_total"'
_FAILED = f'sum by (job) (rate({_ALL_REQUESTS}, status=~"5.."}}{RATE}))'
_REQUESTS = f"sum by (job) (rate({_ALL_REQUESTS}}}{RATE}))"

OVERVIEW = Dashboard(
    "mlx-overview",
    "MLX Model Hub · Overview",
    "Is it up, is it fast, does anything wait or fail.",
    (
        stat("Services up", "Of the inference server, the backend and the worker.", "short", 'sum(up{job!="prometheus"})'),
        stat("Engine", "1 when the process that computes is ready.", "short", "min(mlx_engine_up)"),
        stat("Alerts", "That fire now.", "short", 'count(ALERTS{alertstate="firing"}) or vector(0)', 1, 5),
        stat(
            "First token, p95",
            "19 of 20 answers begin within this time.",
            "s",
            f"histogram_quantile(0.95, sum by (le) (rate(mlx_time_to_first_token_seconds_bucket{RATE})))",
            1,
            10,
        ),
        stat("Throughput", "Tokens generated.", TOKENS_PER_SECOND, f"sum(rate(mlx_generated_tokens_total{RATE}))"),
        stat("Cache hits", "Share of requests whose shared prefix was in the cache.", "percentunit", share(HITS, LOOKUPS)),
        stat("Waiting requests", "In the engine's queue.", "short", "sum(mlx_engine_requests_waiting)", 16, 128),
        stat(
            "Running jobs",
            "Training jobs that a worker has in hand.",
            "short",
            'sum(mlx_hub_rows{table="training_job", state="running"}) or vector(0)',
        ),
        stat(
            "Queued work",
            "Jobs, tasks and downloads that nobody has in hand yet.",
            "short",
            'sum(mlx_hub_rows{table=~"training_job|task|download", state="queued"}) or vector(0)',
            10,
            50,
        ),
        stat("Workers", "Machines whose worker renews its lease.", "short", "sum(mlx_hub_machines_alive)"),
        stat("Database", "1 when it answers the backend.", "short", "min(mlx_hub_database_up)"),
        stat(
            "MLflow behind",
            "Age of the oldest thing that MLflow does not know.",
            "s",
            "max(mlx_hub_mlflow_behind_seconds)",
            60,
            600,
        ),
        Panel("Requests", "Answered by each service.", "reqps", {"{{job}}": _REQUESTS}, is_stacked=True),
        Panel(
            "Failed requests",
            "Share answered with a status of 500 or above.",
            "percentunit",
            {"{{job}}": share(_FAILED, _REQUESTS)},
        ),
        Panel(
            "Requests in hand",
            "Being answered at this moment.",
            "short",
            {"inference": "sum(mlx_http_requests_in_flight)", "backend": "sum(mlx_hub_http_requests_in_flight)"},
        ),
        Panel(
            "Answer time of the backend",
            "From the request to the last byte, of all routes but the event stream.",
            "s",
            latency("mlx_hub_http_request_duration_seconds", '{route!~".*/events"}'),
        ),
        Panel(
            "Requests by status",
            "Of both services.",
            "reqps",
            {"{{job}} {{status}}": f"sum by (job, status) (rate({_ALL_REQUESTS}}}{RATE}))"},
        ),
        Panel(
            "Registry",
            "Rows of the registry by kind.",
            "short",
            {
                "models: {{state}}": 'sum by (state) (mlx_hub_rows{table="registered_model"})',
                "versions": 'sum(mlx_hub_rows{table="model_version"})',
                "datasets": 'sum(mlx_hub_rows{table="dataset"})',
            },
        ),
    ),
)
