"""Jobs, trainers and the rest of the worker's work."""

from dashboards.panel import RATE, TOKENS_PER_SECOND, Dashboard, Panel

TRAINING = Dashboard(
    "mlx-training",
    "MLX Model Hub · Training",
    "Jobs, the trainer of each worker, and what follows behind.",
    (
        Panel(
            "Jobs",
            "Training jobs by state.",
            "short",
            {"{{state}}": 'sum by (state) (mlx_hub_rows{table="training_job"})'},
            is_stacked=True,
        ),
        Panel(
            "Loss",
            "Of the job that runs, on rows to learn and rows held out.",
            "short",
            {"{{instance}} {{split}}": "mlx_hub_training_loss"},
        ),
        Panel(
            "Progress",
            "Steps done and steps planned.",
            "short",
            {"{{instance}} done": "mlx_hub_training_step", "{{instance}} planned": "mlx_hub_training_planned_steps"},
        ),
        Panel("Speed", "Tokens of the last step.", TOKENS_PER_SECOND, {"{{instance}}": "mlx_hub_training_tokens_per_second"}),
        Panel(
            "Steps",
            "Of all jobs.",
            "suffix: steps/s",
            {"{{instance}}": f"sum by (instance) (rate(mlx_hub_training_steps_total{RATE}))"},
        ),
        Panel("Learning rate", "Of the last step.", "sci", {"{{instance}}": "mlx_hub_training_learning_rate"}),
        Panel(
            "Gradient",
            "Its norm; a jump is the first sign of a run that breaks.",
            "short",
            {"{{instance}}": "mlx_hub_training_gradient_norm"},
        ),
        Panel(
            "Memory of the trainer",
            "The most that was in use at once.",
            "bytes",
            {"{{instance}}": "mlx_hub_training_peak_memory_bytes"},
        ),
        Panel(
            "What the trainer does",
            "Probing memory, training, or evaluating.",
            "short",
            {"{{instance}} {{mode}}": "mlx_hub_trainer_active"},
        ),
        Panel(
            "Silence",
            "Longest time without a sign of a running job, and of the trainer.",
            "s",
            {"jobs": "max(mlx_hub_job_silence_seconds)", "trainer {{instance}}": "mlx_hub_trainer_silent_seconds"},
        ),
        Panel(
            "Starts of trainers",
            "In the last hour. More than jobs need them says that they die.",
            "short",
            {"{{mode}}": "sum by (mode) (increase(mlx_hub_trainer_starts_total[1h]))"},
        ),
        Panel(
            "Work in hand",
            "Jobs, tasks and downloads that workers have now.",
            "short",
            {"{{kind}}": "sum by (kind) (mlx_hub_work_in_progress)"},
        ),
        Panel(
            "Time that work takes, p95",
            "From the moment that a worker has it in hand.",
            "s",
            {"{{kind}}": "histogram_quantile(0.95, sum by (le, kind) (mlx_hub_work_duration_seconds_bucket))"},
        ),
        Panel(
            "Downloads and tasks",
            "Rows by state.",
            "short",
            {"{{table}} {{state}}": 'sum by (table, state) (mlx_hub_rows{table=~"download|task"})'},
        ),
        Panel(
            "Chores that failed",
            "In the last 15 minutes; they are done again.",
            "short",
            {"{{chore}}": "sum by (chore) (increase(mlx_hub_worker_chore_failures_total[15m]))"},
        ),
        Panel("What MLflow has still to be told", "Rows of the outbox.", "short", {"rows": "sum(mlx_hub_mlflow_pending_rows)"}),
        Panel(
            "Event stream",
            "Events sent to clients, and clients that listen.",
            "short",
            {
                "{{kind}}/s": f"sum by (kind) (rate(mlx_hub_events_sent_total{RATE}))",
                "listeners": "sum(mlx_hub_event_listeners)",
            },
        ),
    ),
)
