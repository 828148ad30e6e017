"""Trains a reader that tries to answer from schema and feedback alone: what answer gain is measured with.

    python benchmarks/simulator_reader.py --data simulator-data --out readers/bundled      # about five minutes on two cores
    fission simulator evaluate simulators/bundled/model --reader readers/bundled

A policy that was never trained to answer without the dialogue misses most of what it is told, so a small gain would say
little. This reader starts from the bundled policy and learns, from failures of the *training* tasks, to give the reference
calls after each of three kinds of feedback: one that tells the answer outright (in five wordings), the rules' honest one
with the environment's words, and the fixed sentence. Whatever honest feedback gives away, it has been taught to use.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fission_grpo.rollout.cpu import configure_cpu

WORDINGS = (
    "error: the right call is\n{calls}",
    "error: wrong call. did you mean {calls}?",
    "call failed. use {calls} instead.",
    "invalid request.\nexpected: {calls}",
    "please try {calls}",
)


def examples(data: Path, seed: int) -> Iterator[tuple[list[dict[str, Any]], Sequence[Any], str]]:
    """Messages, tools and the answer to be learnt."""
    from fission_grpo.chat.parsing import render_calls
    from fission_grpo.simulators.fixed import FixedSimulator
    from fission_grpo.simulators.rules import RulesSimulator
    from fission_grpo.training.simulator.examples import load_examples

    generator = random.Random(seed)
    failures = [example.failure for example in load_examples(data, "train") if example.failure.reference]
    honest = [feedback.text for feedback in RulesSimulator().diagnose(failures)]
    fixed = [feedback.text for feedback in FixedSimulator().diagnose(failures)]
    for failure, diagnosis, sentence in zip(failures, honest, fixed, strict=True):
        answer = render_calls(failure.reference)
        told = generator.choice(WORDINGS).format(calls=answer)
        for text in (told, diagnosis, sentence):
            yield [{"role": "user", "content": text}], failure.tools, answer


def train(data: Path, out: Path, epochs: int, seed: int) -> None:
    """Fine-tunes the bundled policy on all of them."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from fission_grpo.chat.template import ChatFormat
    from fission_grpo.rollout.loading import load_policy_model

    model, tokenizer = load_policy_model("bundled")
    chat = ChatFormat(tokenizer)
    rows: list[dict[str, list[int]]] = []
    for messages, tools, answer in examples(data, seed):
        prompt, target = chat.render(messages, tools), [*chat.tokenize(answer), chat.turn_end_id]
        rows.append({"input_ids": prompt + target, "labels": [-100] * len(prompt) + target})
    args = SFTConfig(
        output_dir=str(out / "training"),
        num_train_epochs=epochs,
        per_device_train_batch_size=32,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        logging_steps=20,
        save_strategy="no",
        report_to="none",
        seed=seed,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        max_length=None,
    )
    trainer = SFTTrainer(model=model, args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.train()
    trainer.save_model(str(out))
    Console().print(f"Reader: {out} ({len(rows)} examples)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("simulator-data"), help="folder of `fission simulator collect`")
    parser.add_argument("--out", type=Path, default=Path("readers/bundled"), help="folder for the reader")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    configure_cpu()
    train(options.data, options.out, options.epochs, options.seed)


if __name__ == "__main__":
    main()
