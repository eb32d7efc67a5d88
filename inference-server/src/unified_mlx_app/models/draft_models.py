"""What a registered model may say of speculative decoding, and which models can draft for which. Either process; never MLX.

Whether a model's state can be taken back is told here by its architecture, before it is loaded; the engine looks at the real
caches and has the last word.
"""

import hashlib
import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.models.local_models import LocalModel, UnusableModelError, read_json_object

MAX_DRAFT_TOKENS = 16
_FIELDS = ("draft_model", "num_draft_tokens", "prompt_lookup")
_MAX_TOKENIZER_BYTES = 64 * 2**20
_OTHER_NAMES = {"mistral": "llama", "iquestcoder": "llama", "xverse": "llama", "kimi_k2": "deepseek_v3"}
"""Of `mlx_lm.utils.MODEL_REMAPPING` (0.32.2) those that keep plain KV rows."""
_SLIDES_BY_LAYER = {"llama", "ministral3"}
"""Types of mlx-lm 0.32.2 that make their caches by `layer_types`: plain ones where none of them is a sliding window."""
_OWN_MODEL = re.compile(r"^class Model\(nn\.Module\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DraftConfig:
    """How answers are guessed ahead, as a registration's `config` or the server's settings say.

    `draft_model` is a name; in the settings it may be a folder.
    """

    draft_model: str | None = None
    num_draft_tokens: int = 4
    prompt_lookup: bool = False

    @property
    def is_on(self) -> bool:
        return self.draft_model is not None or self.prompt_lookup


def draft_config(config: dict[str, Any]) -> DraftConfig:
    """What `config` says. Raises InvalidRequestError that names the field."""
    given = {name: config[name] for name in _FIELDS if config.get(name) is not None}
    draft, number, lookup = given.get("draft_model"), given.get("num_draft_tokens", 4), given.get("prompt_lookup", False)
    if draft is not None and (not isinstance(draft, str) or not draft):
        raise InvalidRequestError("draft_model is the name of a base model on this machine.", param="config.draft_model")
    if type(number) is not int or not 1 <= number <= MAX_DRAFT_TOKENS:
        raise InvalidRequestError(
            f"num_draft_tokens is a whole number from 1 to {MAX_DRAFT_TOKENS}.", param="config.num_draft_tokens"
        )
    if type(lookup) is not bool:
        raise InvalidRequestError("prompt_lookup is true or false.", param="config.prompt_lookup")
    return DraftConfig(draft, number, lookup)


def stored_draft_config(config: dict[str, Any]) -> DraftConfig:
    """As `draft_config`; what was stored when this server read none of it counts as nothing."""
    try:
        return draft_config(config)
    except InvalidRequestError:
        return DraftConfig()


def check_drafts(model: LocalModel, draft: LocalModel | None) -> None:
    """Raises InvalidRequestError that says why answers of `model` cannot be guessed ahead, by `draft` if there is one."""
    if reason := why_no_guesses(Path(model.path)):
        param = "config.draft_model" if draft else "config.prompt_lookup"
        raise InvalidRequestError(f"Tokens cannot be guessed ahead for {model.name!r}: {reason}.", param=param)
    if draft is None:
        return
    if reason := why_no_guesses(Path(draft.path)) or why_no_draft(Path(model.path), Path(draft.path)):
        message = f"{draft.name!r} cannot be the draft model of {model.name!r}: {reason}."
        raise InvalidRequestError(message, param="config.draft_model")


def why_no_guesses(folder: Path) -> str | None:
    """Why the model in `folder` cannot check guesses, by its architecture; None if it can."""
    try:
        config = read_json_object(folder / "config.json")
    except UnusableModelError as error:
        return str(error)
    model_type = str(config.get("model_type"))
    module = _OTHER_NAMES.get(model_type, model_type)
    text_config = config.get("text_config")
    layer_types = config.get("layer_types") or (text_config.get("layer_types") if isinstance(text_config, dict) else None) or ()
    if module in _SLIDES_BY_LAYER:
        return "some of its layers see a sliding window" if "sliding_attention" in layer_types else None
    package = importlib.util.find_spec("mlx_lm")
    if package is None or package.origin is None or not module.isidentifier():
        return "mlx-lm does not know its architecture"
    source = Path(package.origin).with_name("models") / f"{module}.py"
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    if _OWN_MODEL.search(text) is None or "def make_cache" in text:
        return f"models of type {model_type} keep more than plain KV rows, from which no token can be taken back"
    return None


def why_no_draft(folder: Path, draft_folder: Path) -> str | None:
    """Why the model in `draft_folder` cannot draft for the one in `folder`: their tokens differ. None if it can."""
    try:
        same = _tokens_of(folder) == _tokens_of(draft_folder)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"the tokenizers cannot be compared: {error}"
    return None if same else "its tokenizer is another one: the same token ids would be other text"


def _tokens_of(folder: Path) -> bytes:
    """A digest of what makes ids of text; normalisers and templates may differ."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return hashlib.sha256((folder / "tokenizer.model").read_bytes()).digest()
    if file.stat().st_size > _MAX_TOKENIZER_BYTES:
        raise ValueError(f"{file.name} is larger than {_MAX_TOKENIZER_BYTES} bytes")
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    model, added = tokenizer["model"], tokenizer.get("added_tokens") or []
    words = [model.get("type"), model["vocab"], model.get("merges"), sorted((one["id"], one["content"]) for one in added)]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).digest()
