# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch, transformers and peft ship no complete types.
"""Finds and loads a policy: the bundled one, a local folder, adapters on a base model, or a model of the hub.

torch is imported only once the name was found to be good and the tokenizer to fit.
"""

import json
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from fission_grpo.chat.template import ChatFormat
from fission_grpo.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BUNDLED = "bundled"
"""Name of the policy that comes with the package."""
_ADAPTER_FILE = "adapter_config.json"
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def locate_model(name: str) -> str:
    """The folder of a model, or the name itself where it can only be one of the hub.

    Args:
        name: `bundled`, a folder that holds a model or PEFT adapters, or a name such as `Qwen/Qwen3-1.7B`.

    Raises:
        UserError: the name is of a folder that does not exist, or that holds no model.
    """
    path = _bundled_folder() if name == BUNDLED else Path(name).expanduser()
    if path.is_dir():
        if not any((path / file).is_file() for file in ("config.json", _ADAPTER_FILE)):
            raise UserError(f"model {name!r}: the folder {path} holds neither config.json nor {_ADAPTER_FILE}")
        return str(path)
    if name == BUNDLED:
        raise UserError("model 'bundled': its files are missing; `python -m fission_grpo.bundled.build` makes them")
    if path.exists():
        raise UserError(f"model {name!r}: this is a file; give the folder that holds it")
    if not _HUB_NAME.fullmatch(name):
        raise UserError(f"model {name!r}: no such folder; give 'bundled', a folder with a model, or a name of the hub")
    return name


def load_policy_model(name: str, dtype: str = "float32") -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Loads model and tokenizer onto the CPU. A folder of PEFT adapters is put, trainable, on the base model it names.

    Args:
        name: see `locate_model`.
        dtype: of the weights; `auto` is the checkpoint's own.

    Raises:
        UserError: see `locate_model`; or the tokenizer has no chat template; or the hub does not have or give the model.
    """
    place = locate_model(name)
    adapters = Path(place, _ADAPTER_FILE)
    base = locate_model(_base_of(adapters)) if adapters.is_file() else place
    own_tokenizer = Path(place, "tokenizer_config.json").is_file() or place == base
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(place if own_tokenizer else base)
        ChatFormat(tokenizer)  # says what is wrong with its template before weights are loaded
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    except (OSError, ValueError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"model {name!r}: neither a folder here nor a model that could be loaded ({first_line})") from error
    if adapters.is_file():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, place, is_trainable=True)  # pyright: ignore[reportAssignmentType]
    return model, tokenizer


def _bundled_folder() -> Path:
    return Path(str(resources.files("fission_grpo"))) / "bundled" / "model"


def _base_of(adapters: Path) -> str:
    base = json.loads(adapters.read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise UserError(f"adapters {adapters}, field base_model_name_or_path: missing; name the model they were trained on")
    return str(base)
