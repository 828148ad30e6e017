"""Run by `test_several_processes.py`: what several processes do, as JSON. They are forked from this one."""

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from two_ranks import train_packed

from fission_grpo.training.trainer import FissionGRPOTrainer
from reliability.ranks.forks import Death, Ended, fork_processes, run_processes

SETTINGS = (
    "granularity=episode",
    "trainer.max_steps=2",
    "trainer.save_steps=1",
    "trainer.save_total_limit=null",
    "trainer.per_device_train_batch_size=8",
    "trainer.gradient_accumulation_steps=1",
    "trainer.num_generations=8",
    "fission.recovery_generations=8",
    "rollout.max_new_tokens=32",
    "tasks.train={generate: {count: 8, seed: 5, mix: compact}}",
)


def cut_off(whole: Path, run: Path) -> Path:
    """A copy that ends behind the first checkpoint."""
    shutil.copytree(whole, run)
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "checkpoint-2")
    return run


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    whole, killed = folder / "whole", folder / "killed"
    ended: dict[str, Ended] = {"whole": run_processes(2, whole, SETTINGS)}
    in_the_update = Death(1, FissionGRPOTrainer, "_compute_loss", 1)
    ended["killed"] = run_processes(2, cut_off(whole, killed), death=in_the_update)
    ended["killed_resumed"] = run_processes(2, killed)
    ended["on_one"] = run_processes(1, cut_off(whole, folder / "on_one"))
    ended["sharded"] = run_processes(2, folder / "sharded", (*SETTINGS, "trainer.use_cpu=false"), sharded=True)
    statuses, seconds = fork_processes(2, lambda _: train_packed(folder / "packed"), folder / "packed")
    ended["packed"] = Ended(statuses, seconds, [])
    (folder / "ended.json").write_text(json.dumps({name: asdict(each) for name, each in ended.items()}), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
