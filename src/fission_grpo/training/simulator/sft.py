# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch, transformers and TRL ship no complete types.
"""Fine-tuning a language model as the Error Simulator, with TRL's SFTTrainer.

Only the answer is learnt. Prompt and answer are tokenised here, by the chat format that will ask the simulator later, so
that what it is trained on is token for token what it will read.

    OUT/recipe.yaml      as resolved
    OUT/log.jsonl        losses
    OUT/checkpoint-*/    the best so far and the newest, each whole once `COMPLETE` is in it
    OUT/model/           the weights of the lowest validation loss, with the simulator's card
"""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast, get_type_hints

import torch
from datasets import Dataset
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from fission_grpo.chat.template import ChatFormat
from fission_grpo.disk import write_whole
from fission_grpo.errors import UserError
from fission_grpo.recipe import SimulatorRecipe, dump_recipe, load_simulator_recipe
from fission_grpo.recipe.base import Bound
from fission_grpo.rollout.loading import load_policy_model, places_of, resolve_model
from fission_grpo.simulators.answer import answer_text
from fission_grpo.simulators.local import CARD_FILE, SimulatorCard, fingerprint, load_card
from fission_grpo.simulators.prompt import INSTRUCTION, diagnosis_prompt
from fission_grpo.training import checkpoint
from fission_grpo.training.adapters import lora_config
from fission_grpo.training.config import CPU_DEFAULTS
from fission_grpo.training.refusals import told_as, try_out
from fission_grpo.training.simulator.examples import Example, load_examples
from fission_grpo.training.terminal import quieten

_DEFAULTS: dict[str, Any] = {
    "num_train_epochs": 3,
    "learning_rate": 1e-5,
    "per_device_train_batch_size": 8,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,  # a share: values below 1 are
    "logging_steps": 10,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "report_to": "none",
    "disable_tqdm": True,  # our own progress display is fed by the same log
    "max_length": None,
}
_FIXED: dict[str, Any] = {
    "load_best_model_at_end": True,
    "metric_for_best_model": "eval_loss",
    "greater_is_better": False,
    "restore_callback_states_from_checkpoint": True,  # a resumed training is as patient as one that was not killed
}
LOG_FILE = "log.jsonl"

_TITLES = {"loss": "loss", "eval_loss": "validation"}

LossSink = Callable[[str, int, int], None]
"""Called with the newest losses in words, the number of updates done, and of all."""


def trainer_fields() -> dict[str, Any]:
    """The names that a simulator recipe's `trainer` section may hold, and the types of their values."""
    return {name: kind for name, kind in get_type_hints(SFTConfig).items() if name not in _FIXED} | {"max_grad_norm": Bound}


def train_simulator(recipe: SimulatorRecipe, out: Path, *, resume: bool = False, sink: LossSink | None = None) -> Path:
    """Trains one simulator, or continues from its newest whole checkpoint; returns the model's folder.

    One whose training ended stays as it is.

    Raises:
        UserError: a mistake in recipe, data, model or folder; nothing was loaded or overwritten before it.
    """
    quieten()
    if (out / "recipe.yaml").exists() and not resume:
        raise UserError(f"--out {out}: there is a simulator in it; --resume goes on with it, another folder begins anew")
    if resume and not (out / "recipe.yaml").exists():
        raise UserError(f"--out {out}: there is no training in it to go on with; leave --resume out to begin one")
    if resume and (out / "model" / CARD_FILE).is_file():
        return out / "model"
    if resume:
        _check_same(recipe, out)
    train, validation = (load_examples(Path(recipe.data), part, recipe.fraction) for part in ("train", "validation"))
    _check_sizes(recipe, len(train), len(validation))
    resolve_model(recipe.model)
    args = _config(recipe, out)
    trainer = _trainer(recipe, args, train, validation, sink)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "recipe.yaml", dump_recipe(recipe))  # from here on, --resume takes the training up
    newest = checkpoint.newest_complete(out) if resume else None
    _cut_back(out / LOG_FILE, checkpoint.step_of(newest) if newest else 0)
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    _save(trainer, recipe, out / "model", train)
    return out / "model"


def _check_same(recipe: SimulatorRecipe, out: Path) -> None:
    """A training goes on as it began."""
    if not (out / "recipe.yaml").is_file():
        return
    now, before = (dump_recipe(each) for each in (recipe, load_simulator_recipe(out / "recipe.yaml")))
    for new, old in zip(now.splitlines(), before.splitlines(), strict=False):
        if new != old:
            raise UserError(
                f"--resume: this training began with `{old.strip()}`, not `{new.strip()}`; repeat the command that began "
                "it, settings included, or begin anew in another folder"
            )


def encode(example: Example, chat: ChatFormat, instruction: str) -> dict[str, list[int]]:
    """Token ids (T,) of prompt, answer and end token, and labels (T,) that leave the prompt out."""
    prompt = chat.render(diagnosis_prompt(example.failure, instruction))
    answer = [*chat.tokenize(answer_text(example.answer.kind, example.answer.message)), chat.turn_end_id]
    return {"input_ids": [*prompt, *answer], "labels": [-100] * len(prompt) + answer}


class _Log(TrainerCallback):
    """Hands the trainer's logs on, seals its checkpoints, and deletes older ones, of which `limit` stay and the best."""

    def __init__(self, out: Path, limit: int | None, sink: LossSink | None) -> None:
        self._out = out
        self._limit = limit
        self._sink = sink
        self._losses: dict[str, float] = {}

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        losses = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        self._losses |= {name: losses[name] for name in ("loss", "eval_loss") if name in losses}
        with (self._out / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **losses}) + "\n")
        if self._sink is not None:
            shown = [f"{_TITLES[name]} {value:.3f}" for name, value in self._losses.items()]
            self._sink(", ".join(["training", *shown]), state.global_step, state.max_steps)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        sealed = self._out / f"checkpoint-{state.global_step}"
        checkpoint.seal(sealed)
        checkpoint.rotate(sealed, self._limit, kept=state.best_model_checkpoint)


def _cut_back(log: Path, step: int) -> None:
    """Drops what a killed training logged after the checkpoint that it is continued from: no update stands twice."""
    if log.is_file():
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        log.write_text("".join(kept), encoding="utf-8")


def _check_sizes(recipe: SimulatorRecipe, train: int, validation: int) -> None:
    if not train or not validation:
        raise UserError(
            f"data {recipe.data}: {train} training and {validation} validation examples found, at least 1 of each is "
            "needed; collect more, or raise `fraction`"
        )


def _config(recipe: SimulatorRecipe, out: Path) -> SFTConfig:
    settings: dict[str, Any] = _DEFAULTS | ({} if torch.cuda.is_available() else CPU_DEFAULTS) | recipe.trainer | _FIXED
    with told_as("trainer", TypeError, AssertionError):
        args = SFTConfig(output_dir=str(out), seed=recipe.seed, **settings)
    try_out(args)
    return args


def _trainer(
    recipe: SimulatorRecipe, args: SFTConfig, train: Sequence[Example], validation: Sequence[Example], sink: LossSink | None
) -> SFTTrainer:
    frozen = recipe.lora is not None and torch.cuda.is_available()  # frozen weights need no float32
    model, tokenizer = load_policy_model(recipe.model, "auto" if frozen else "float32")
    chat, instruction = ChatFormat(tokenizer), instruction_of(recipe)
    longest = getattr(model.config, "max_position_embeddings", None)
    encoded = [[encode(example, chat, instruction) for example in part] for part in (train, validation)]
    fitting = [[row for row in rows if longest is None or len(row["input_ids"]) <= longest] for rows in encoded]
    if not all(fitting):
        raise UserError(
            f"model {recipe.model}: no example fits its context of {longest} tokens; take a model of a longer one"
        )
    with warnings.catch_warnings(), told_as("trainer, lora", RuntimeError):
        warnings.filterwarnings("ignore", category=UserWarning)
        trainer = SFTTrainer(
            model=model,
            args=args,
            train_dataset=Dataset.from_list(fitting[0]),
            eval_dataset=Dataset.from_list(fitting[1]),
            processing_class=tokenizer,
            peft_config=lora_config(recipe.lora),
            callbacks=[
                _Log(Path(cast(str, args.output_dir)), args.save_total_limit, sink),
                EarlyStoppingCallback(recipe.patience),
            ],
        )
    trainer.args.save_total_limit = None  # TRL would delete before the new one is sealed
    trainer.remove_callback(PrinterCallback)
    return trainer


def instruction_of(recipe: SimulatorRecipe) -> str:
    """The system message of the training."""
    return INSTRUCTION if recipe.instruction == "full" else ""


def _save(trainer: SFTTrainer, recipe: SimulatorRecipe, folder: Path, examples: Sequence[Example]) -> None:
    """The model, and its card written last: a folder without it is no simulator yet."""
    trainer.save_model(str(folder))
    tokenizer: Any = trainer.processing_class
    place, _ = places_of(recipe.model)
    before, teachers = load_card(place), {example.teacher for example in examples}
    SimulatorCard(
        instruction=instruction_of(recipe),
        tokenizer=fingerprint(tokenizer),
        examples=before.examples + len(examples),
        teacher=teachers.pop() if len(teachers) == 1 else None,
        version=before.version + (before.tokenizer is not None),
    ).save(folder)
