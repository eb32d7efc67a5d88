"""How answers are made."""

from dashboards.panel import OF_MODEL, RATE, TOKENS_PER_SECOND, Dashboard, Panel, latency

INFERENCE = Dashboard(
    "mlx-inference",
    "MLX Model Hub · Inference",
    "How soon answers begin, how fast they go on, what waits.",
    (
        Panel("First token", "From the request to its first token.", "s", latency("mlx_time_to_first_token_seconds", OF_MODEL)),
        Panel(
            "First token by cache, p95",
            "What the prompt cache did decides most of it.",
            "s",
            {
                "{{cache}}": "histogram_quantile(0.95, sum by (le, cache) "
                f"(rate(mlx_time_to_first_token_seconds_bucket{OF_MODEL}{RATE})))"
            },
        ),
        Panel("Between tokens", "Time between two pieces of one answer.", "s", latency("mlx_inter_token_seconds", OF_MODEL)),
        Panel(
            "Generated tokens",
            "All answers together, by model.",
            TOKENS_PER_SECOND,
            {"{{model}}": f"sum by (model) (rate(mlx_generated_tokens_total{OF_MODEL}{RATE}))"},
            is_stacked=True,
        ),
        Panel(
            "Prompt tokens",
            "Received, and of these taken from the prompt cache.",
            TOKENS_PER_SECOND,
            {
                "received": f"sum(rate(mlx_prompt_tokens_total{OF_MODEL}{RATE}))",
                "from the cache": f"sum(rate(mlx_cached_prompt_tokens_total{OF_MODEL}{RATE}))",
            },
        ),
        Panel("Speed of one answer", "After its first token.", TOKENS_PER_SECOND, latency("mlx_tokens_per_second", OF_MODEL)),
        Panel("Time in the queue", "Until a request has its place in the batch.", "s", latency("mlx_queue_seconds")),
        Panel(
            "Batch and queue",
            "Rows decoded or prefilled together, requests waiting, and all that the engine was given.",
            "short",
            {
                "running": "sum(mlx_engine_requests_running)",
                "waiting": "sum(mlx_engine_requests_waiting)",
                "in hand": "sum(mlx_engine_requests_in_flight)",
            },
        ),
        Panel(
            "Steps of the engine",
            "Turns of its loop; each decodes one token of every row.",
            "short",
            {"steps/s": f"sum(rate(mlx_engine_steps_total{RATE}))"},
        ),
        Panel(
            "Requests by route",
            "And how they ended.",
            "reqps",
            {"{{route}} {{status}}": f"sum by (route, status) (rate(mlx_http_requests_total{RATE}))"},
        ),
        Panel(
            "Answer time by route, p95",
            "From the request to the last byte.",
            "s",
            {"{{route}}": f"histogram_quantile(0.95, sum by (le, route) (rate(mlx_http_request_duration_seconds_bucket{RATE})))"},
        ),
        Panel(
            "Cancelled answers",
            "Stopped before their end, because the client left or asked for it.",
            "reqps",
            {"{{model}}": f"sum by (model) (rate(mlx_requests_cancelled_total{OF_MODEL}{RATE}))"},
        ),
        Panel(
            "Guessed tokens",
            "Tokens guessed ahead of the model, by whether they were its own; only with a draft model or prompt look-up.",
            TOKENS_PER_SECOND,
            {"{{result}}": f"sum by (result) (rate(mlx_guessed_tokens_total{OF_MODEL}{RATE}))"},
        ),
        Panel(
            "Answers with a format",
            "Prompts whose answer has to keep to a schema, a grammar or a tool's arguments.",
            "reqps",
            {"{{format}}": f"sum by (format) (rate(mlx_constrained_requests_total{OF_MODEL}{RATE}))"},
        ),
        Panel(
            "Memory of models",
            "Own weights of each model in memory.",
            "bytes",
            {"{{model}}": f"sum by (model) (mlx_model_weight_bytes{OF_MODEL})"},
            is_stacked=True,
        ),
        Panel(
            "Memory for weights and KV state",
            "Held, and what they may take together.",
            "bytes",
            {
                "weights": "sum(mlx_model_weight_bytes)",
                "KV state": 'sum(mlx_device_memory_bytes{kind="kv"})',
                "limit": "sum(mlx_memory_limit_bytes)",
            },
        ),
        Panel(
            "Restarts of the engine",
            "In the last 15 minutes, and the time since it was last heard of.",
            "short",
            {
                "restarts": "sum(increase(mlx_engine_restarts_total[15m]))",
                "seconds silent": "max(mlx_engine_heartbeat_age_seconds)",
            },
        ),
    ),
    has_model=True,
)
