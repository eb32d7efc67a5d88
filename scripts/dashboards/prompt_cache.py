"""What the caches do."""

from dashboards.panel import HITS, LOOKUPS, RATE, TOKENS_PER_SECOND, Dashboard, Panel, share

PROMPT_CACHE = Dashboard(
    "mlx-prompt-cache",
    "MLX Model Hub · Prompt cache",
    "What is found again, what is missed and why, what it costs.",
    (
        Panel("Hits", "Share of requests whose shared prefix was in the cache.", "percentunit", {"hits": share(HITS, LOOKUPS)}),
        Panel(
            "Look-ups",
            "One for each request; a miss that reused a shorter prefix is also a partial hit.",
            "reqps",
            {
                "{{result}}": f"sum by (result) (rate(mlx_prompt_cache_lookups_total{RATE}))",
                "partial": f"sum(rate(mlx_prompt_cache_partial_hits_total{RATE}))",
            },
        ),
        Panel(
            "Misses by reason",
            "As each answer's x-cache-reason says.",
            "reqps",
            {"{{reason}}": f"sum by (reason) (rate(mlx_prompt_cache_misses_total{RATE}))"},
            is_stacked=True,
        ),
        Panel(
            "Tokens saved",
            "Prompt tokens that were not computed again.",
            TOKENS_PER_SECOND,
            {"saved": f"sum(rate(mlx_prompt_cache_tokens_saved_total{RATE}))"},
        ),
        Panel("Entries", "Stored prefixes by tier.", "short", {"{{tier}}": "sum by (tier) (mlx_prompt_cache_entries)"}),
        Panel(
            "Bytes",
            "KV state held by each tier, and what it may hold.",
            "bytes",
            {
                "{{tier}}": "sum by (tier) (mlx_prompt_cache_bytes)",
                "{{tier}} limit": "sum by (tier) (mlx_prompt_cache_max_bytes)",
            },
        ),
        Panel(
            "Evictions",
            "Entries dropped to stay within the limits.",
            "reqps",
            {"{{tier}}": f"sum by (tier) (rate(mlx_prompt_cache_evictions_total{RATE}))"},
        ),
        Panel(
            "Faults",
            "In the last 15 minutes: damaged files put aside, and entries that could not be written.",
            "short",
            {
                "put aside": "sum(increase(mlx_prompt_cache_quarantined_total[15m]))",
                "not written": "sum(increase(mlx_prompt_cache_disk_write_errors_total[15m]))",
            },
        ),
        Panel(
            "Writes waiting", "Entries on their way to the disk.", "short", {"entries": "sum(mlx_prompt_cache_pending_writes)"}
        ),
        Panel(
            "Tokens lost to changing text",
            "Computed again because text before them, such as a date, changes from call to call; MLX_PROMPT_CACHE_RULES helps.",
            TOKENS_PER_SECOND,
            {"{{kind}}": f"sum by (kind) (rate(mlx_prompt_cache_volatile_tokens_total{RATE}))"},
        ),
        Panel(
            "Response cache",
            "Whole answers found again; off unless MLX_RESPONSE_CACHE_ENABLED is set.",
            "reqps",
            {"{{result}}": f"sum by (result) (rate(mlx_response_cache_lookups_total{RATE}))"},
        ),
    ),
)
