"""What a job would do, told before it is created: its rows, lengths, steps and memory."""

from mlx_hub.core.preflight import PreflightReport, run_preflight
from mlx_hub.core.run_config import RunSpec, TrainingError
from mlx_hub.db import Sessions
from mlx_hub.errors import InvalidInputError, WrongStateError
from mlx_hub.services.cache_folder import CacheFolder
from mlx_hub.services.core_process import CoreProcesses
from mlx_hub.services.model_cache import leased_snapshot
from mlx_hub.services.training_prepare import refuse_wild_estimate
from mlx_hub.services.training_request import NewJob, find_dataset, find_model, parse_settings

MAX_SECONDS = 45.0
"""After it the report is on the rows read by then."""
_TIMEOUT_SECONDS = 90.0
_FIELDS = {"bad_dataset": "dataset_id"}


async def preflight_job(
    sessions: Sessions, folder: CacheFolder, core: CoreProcesses, wanted: NewJob, *, memory_bytes: int
) -> tuple[PreflightReport, str | None]:
    """The report, and the commit of the model's weights. Nothing is stored.

    Raises NotFoundError and InvalidInputError that name the field, WrongStateError for a model that is not downloaded, and
    UnavailableError when too much is being computed.
    """
    config = parse_settings(wanted.config)
    async with sessions.begin() as session:
        model = await find_model(session, wanted.model_id)
        dataset = await find_dataset(session, wanted.dataset_id)
    try:
        async with leased_snapshot(sessions, folder, model) as (path, commit):
            spec = RunSpec(model_path=str(path), train_files=(dataset.path,), config=config)
            report = await core.run(run_preflight, spec, MAX_SECONDS, timeout_seconds=_TIMEOUT_SECONDS)
    except WrongStateError as error:
        raise WrongStateError(error.message, field="model_id") from error
    except TrainingError as error:
        raise InvalidInputError(error.message, field=_FIELDS.get(error.code, "model_id")) from error
    return refuse_wild_estimate(report, memory_bytes=memory_bytes), commit
