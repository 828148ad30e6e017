"""What the command line asks for, checked before a model is loaded, and made into a run."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from fission_grpo.credentials import address_fault
from fission_grpo.errors import UserError
from fission_grpo.evaluation.asking import Decoding
from fission_grpo.evaluation.bfcl.backends import Backend
from fission_grpo.evaluation.bfcl.entries import choose_entries
from fission_grpo.evaluation.bfcl.handlers import Handler
from fission_grpo.evaluation.bfcl.local import FORMATS, check_local_format, choose_endpoint_handler, choose_handler
from fission_grpo.evaluation.bfcl.run import Run, Settings
from fission_grpo.rollout.loading import locate_model

BACKENDS = ("transformers", "vllm")
DTYPES = ("auto", "float32", "bfloat16", "float16")
RUNS = Path("runs/eval")


@dataclass(frozen=True)
class Options:
    """The options of `fission eval bfcl`, as its help describes them."""

    model: str
    format: str
    categories: tuple[str, ...]
    limit: int | None
    samples: int
    temperature: float
    seed: int
    max_new_tokens: int
    backend: str
    batch_size: int
    device: str | None
    dtype: str
    base_url: str | None
    concurrency: int
    timeout: float
    retries: int
    out: Path | None


def results_folder(root: Path) -> Path:
    """Where the report of `--from-results` goes: not into the folder of results, which may be somebody else's."""
    return RUNS / f"results-{root.resolve().name}"


def check_options(options: Options) -> None:
    """Says what is wrong, before anything is loaded.

    Raises:
        UserError: a value that is not allowed, or a model that cannot be one.
    """
    if not options.model:
        raise UserError("--model: missing; give 'bundled', a folder, a name of the hub, or --from-results with result files")
    for name, value, allowed in (
        ("--format", options.format, FORMATS),
        ("--backend", options.backend, BACKENDS),
        ("--dtype", options.dtype, DTYPES),
    ):
        if value not in allowed:
            raise UserError(f"{name}: found {value!r}; allowed: {', '.join(allowed)}")
    choose_entries(options.categories, options.limit)
    if options.base_url is None:
        check_local_format(options.format)
        locate_model(options.model)
    elif not re.match(r"https?://", options.base_url):
        raise UserError(f"--base-url: found {options.base_url!r}; give one such as http://localhost:8000/v1")
    elif fault := address_fault(options.base_url):
        raise UserError(f"--base-url: {fault}")


def plan(options: Options) -> Run:
    """Loads what plays, and says where the results go.

    Raises:
        UserError: see `check_options`; or the model cannot be loaded.
    """
    handler, make_backend = _endpoint(options) if options.base_url else _local(options)
    settings = Settings(
        model=options.model,
        format=handler.name,
        temperature=options.temperature,
        max_new_tokens=options.max_new_tokens,
        seed=options.seed,
        samples=options.samples,
        bfcl_eval=version("bfcl-eval"),
    )
    out = options.out or RUNS / ("bfcl-" + re.sub(r"[^\w.-]+", "_", options.model).strip("_."))
    return Run(out, settings, choose_entries(options.categories, options.limit), handler, make_backend)


def _endpoint(options: Options) -> tuple[Handler, Callable[[Decoding], Backend]]:
    from fission_grpo.evaluation.bfcl.endpoint import EndpointBackend
    from fission_grpo.evaluation.endpoint import EndpointSettings

    settings = EndpointSettings(str(options.base_url), options.model, options.concurrency, options.timeout, options.retries)
    return choose_endpoint_handler(options.format, options.model), lambda decoding: EndpointBackend(settings, decoding)


def _local(options: Options) -> tuple[Handler, Callable[[Decoding], Backend]]:
    if options.backend == "vllm":
        from fission_grpo.evaluation.bfcl.vllm_engine import load_vllm

        loaded = load_vllm(options.model, options.batch_size, options.dtype)
    else:
        from fission_grpo.evaluation.bfcl.local import load_transformers

        loaded = load_transformers(options.model, options.batch_size, options.device, options.dtype)
    return choose_handler(options.format, loaded.tokenizer), loaded.make_backend
