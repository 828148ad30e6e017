"""Fission-GRPO in one readable script: the whole algorithm at step granularity, from top to bottom.

    python recipes/rl_loop.py --updates 30                 # Fission-GRPO on the bundled policy
    python recipes/rl_loop.py --updates 30 --recovery 0    # plain GRPO, same rows

What differs from the paper (arXiv 2601.15625): failures are executed in the live state, so that the feedback can be the
environment's own words; the update is one on-policy gradient step, so GRPO's clipped ratio is 1 and drops out; groups
whose outcomes agree are left out. The full trainer (`fission train`) adds TRL's losses, several processes, episodes,
failures that changed the state, selection and escalation, and resume.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from fission_grpo.rollout.cpu import configure_cpu

configure_cpu()  # before torch is imported

import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from torch.nn.utils.rnn import pad_sequence  # noqa: E402

from fission_grpo.chat.parsing import parse_message, render_calls  # noqa: E402
from fission_grpo.chat.template import ChatFormat  # noqa: E402
from fission_grpo.environments.bfcl import BFCLEnvironment  # noqa: E402
from fission_grpo.environments.replay import CLOSING_TEXT, replay_reference  # noqa: E402
from fission_grpo.failures import classify_step  # noqa: E402
from fission_grpo.fission import FissionEngine, FissionSettings, SignalFilter, has_signal  # noqa: E402
from fission_grpo.rewards.base import ScoredStep  # noqa: E402
from fission_grpo.rewards.composite import CompositeReward  # noqa: E402
from fission_grpo.rollout.loading import load_policy_model  # noqa: E402
from fission_grpo.rollout.policy import Sampling  # noqa: E402
from fission_grpo.rollout.transformers_policy import TransformersPolicy  # noqa: E402
from fission_grpo.simulators.registry import make_chain  # noqa: E402
from fission_grpo.tasks.generate import SplitShares, generate_tasks  # noqa: E402
from fission_grpo.tasks.mix import Mix  # noqa: E402
from fission_grpo.types import Completion, Failure, Message, Snapshot, Tool, ToolCall  # noqa: E402


@dataclass(frozen=True)
class Instance:
    """One assistant step: the dialogue x, the tools, the reference calls y*, and the live state before it."""

    key: str
    task_id: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    reference: tuple[ToolCall, ...]
    snapshot: Snapshot


@dataclass(frozen=True)
class Group:
    """Completions of one prompt with their rewards, outcomes and group-normalised advantages."""

    prompt: tuple[int, ...]
    completions: list[Completion]
    rewards: list[float]
    outcomes: list[bool]

    @property
    def advantages(self) -> torch.Tensor:
        rewards_G = torch.tensor(self.rewards)
        return (rewards_G - rewards_G.mean()) / (rewards_G.std() + 1e-4)


class Loop:
    """Explore, intercept, diagnose, fission, update."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.model, tokenizer = load_policy_model(args.model)
        self.chat = ChatFormat(tokenizer)
        self.policy = TransformersPolicy(self.model, cast(int, tokenizer.pad_token_id), self.chat.end_ids)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=args.learning_rate, weight_decay=0.0)
        self.reward = CompositeReward()
        self.environment = BFCLEnvironment()
        settings = FissionSettings(recovery_generations=args.group, recovery_fraction=args.recovery)
        self.engine = FissionEngine(settings, make_chain(["environment", "rules", "fixed"]), self.chat)
        self.instances = self.step_instances(args.tasks, args.seed)
        self.by_key = {instance.key: instance for instance in self.instances}
        self.random = random.Random(args.seed)

    def step_instances(self, count: int, seed: int) -> list[Instance]:
        """Every message of every task, with the state before it."""
        environment, instances = self.environment, list[Instance]()
        for task in generate_tasks(count, seed, environment, mix=Mix.COMPACT, shares=SplitShares(1.0, 0.0, 0.0)):
            for turn_index, turn in enumerate(task.turns):
                for step, reference in enumerate((*turn.reference, ())):  # the last message only ends the turn
                    messages = replay_reference(environment, task, turn_index, step)
                    state, tools = environment.snapshot(), tuple(environment.tools)
                    key = f"{task.id}/{turn_index}/{step}"
                    instances.append(Instance(key, task.id, tuple(messages), tools, reference, state))
        return instances

    def update(self, number: int) -> dict[str, float]:
        """One update: recovery groups of earlier failures and fresh exploration, in one gradient step."""
        rows = self.args.prompts * self.args.group
        contexts = self.engine.pop(number, rows)  # diagnosed now, by the simulator
        explored = self.random.sample(self.instances, self.args.prompts - len(contexts))
        starts = [self.by_key[context.failure.row["instance"]] for context in contexts]
        prompts = [self.chat.render(each.messages, each.tools) for each in explored]
        prompts += [list(context.prompt_ids) for context in contexts]
        groups = self.groups(prompts, [*explored, *starts], number)
        for instance, group in zip(explored, groups, strict=False):
            self.engine.intercept(self.failures(instance, group, number))
        for context, group in zip(contexts, groups[len(explored) :], strict=True):
            self.engine.record(context, group.outcomes)
        self.engine.end_update()
        loss = self.gradient_step(groups)
        outcomes = [outcome for group in groups[: len(explored)] for outcome in group.outcomes]
        recovered = [outcome for group in groups[len(explored) :] for outcome in group.outcomes]
        return {
            "right": sum(outcomes) / max(1, len(outcomes)),
            "recovered": sum(recovered) / max(1, len(recovered)),
            "pool": len(self.engine.pool),
            "loss": loss,
        }

    def groups(self, prompts: Sequence[Sequence[int]], instances: Sequence[Instance], number: int) -> list[Group]:
        """G completions of every prompt, scored against the instance's reference."""
        size = self.args.group
        repeated = [prompt for prompt in prompts for _ in range(size)]
        sampling = Sampling(temperature=1.0, max_new_tokens=96, seed=self.args.seed * 100_003 + number)
        completions = self.policy.generate(repeated, sampling)
        groups: list[Group] = []
        for index, (prompt, instance) in enumerate(zip(prompts, instances, strict=True)):
            siblings = completions[index * size : (index + 1) * size]
            scores = [self.reward.score(self.scored(instance, each), number) for each in siblings]
            groups.append(Group(tuple(prompt), siblings, [s.total for s in scores], [s.outcome for s in scores]))
        return groups

    def scored(self, instance: Instance, completion: Completion) -> ScoredStep:
        text = self.chat.decode(completion.ids)
        parsed = parse_message(text)
        reference_length = len(self.chat.tokenize(render_calls(instance.reference) or CLOSING_TEXT))
        length = len(completion.ids)
        return ScoredStep(text, parsed.calls, parsed.error, length, instance.reference, reference_length, instance.tools)

    def failures(self, instance: Instance, group: Group, number: int) -> list[Failure]:
        """Executes the wrong messages from a fork of the state, and keeps those that left it unchanged."""
        failures: list[Failure] = []
        for completion, outcome in zip(group.completions, group.outcomes, strict=True):
            if outcome:
                continue
            text = self.chat.decode(completion.ids)
            parsed = parse_message(text)
            self.environment.restore(instance.snapshot)
            results = tuple(self.environment.call(call) for call in parsed.calls)
            diagnosis = classify_step(parsed.calls, parsed.error, results, instance.reference, instance.tools)
            if diagnosis is None or not self.environment.same_state(instance.snapshot):
                continue
            failures.append(
                Failure(
                    task_id=instance.task_id,
                    scenario=instance.task_id,
                    messages=instance.messages,
                    tools=instance.tools,
                    prompt_ids=group.prompt,
                    completion_ids=completion.ids,
                    text=text,
                    calls=parsed.calls,
                    results=results,
                    kind=diagnosis.kind,
                    error_kind=diagnosis.error_kind,
                    format_error=parsed.error,
                    call_index=diagnosis.call_index,
                    reference=instance.reference,
                    snapshot=instance.snapshot,
                    update=number,
                    row={"instance": instance.key},
                )
            )
        return failures

    def gradient_step(self, groups: Sequence[Group]) -> float:
        """Policy gradient over the tokens of all groups whose outcomes differ, divided by the tokens of the whole batch."""
        tokens = sum(len(completion.ids) for group in groups for completion in group.completions)
        total = 0.0
        for group in groups:
            if has_signal(group.outcomes, SignalFilter.OUTCOME):
                loss = -(self.log_probabilities(group) * group.advantages).sum() / tokens
                loss.backward()
                total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    def log_probabilities(self, group: Group) -> torch.Tensor:
        """Summed log-probability (G,) of every completion of a group."""
        rows = [torch.tensor([*group.prompt, *completion.ids]) for completion in group.completions]
        ids_GT = pad_sequence(rows, batch_first=True)
        mask_GT = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        start = len(group.prompt)
        logits_GTV = self.model(input_ids=ids_GT, attention_mask=mask_GT).logits[:, start - 1 : -1]
        logps_GT = logits_GTV.log_softmax(-1).gather(-1, ids_GT[:, start:, None]).squeeze(-1)
        return (logps_GT * mask_GT[:, start:]).sum(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled", help="bundled, a folder, or a name on the hub")
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--prompts", type=int, default=16, help="prompts an update, recoveries included")
    parser.add_argument("--group", type=int, default=8, help="rollouts of a prompt (G and G')")
    parser.add_argument("--recovery", type=float, default=0.5, help="share of the rows that are recoveries; 0 is plain GRPO")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    loop, console = Loop(args), Console()
    console.print(f"{len(loop.instances)} step instances of {args.tasks} tasks")
    for number in range(1, args.updates + 1):
        metrics = loop.update(number)
        console.print(f"update {number:3d}  " + "  ".join(f"{name} {value:.3f}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
