"""The simulator `local`: a language model of transformers in this process, usually one that was fine-tuned for it."""

import json
import logging
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from fission_grpo.chat.template import ChatFormat
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.rollout.devices import usable_device
from fission_grpo.rollout.drafts import greedy_matches
from fission_grpo.rollout.loading import load_policy_model, load_tokenizer, places_of
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.simulators.answer import answer_text, feedback_of
from fission_grpo.simulators.fixed import fixed_feedback
from fission_grpo.simulators.prompt import INSTRUCTION, case_id, diagnosis_prompt
from fission_grpo.simulators.rules import RulesSimulator, diagnosis_text
from fission_grpo.types import Completion, Failure, Feedback, FeedbackLevel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LOGGER = logging.getLogger(__name__)
REMEMBERED = 4_096
"""Greedy answers kept, the newest: some hundred kilobytes in a checkpoint."""
CARD_FILE = "simulator.json"
"""In the folder of a model that was fine-tuned as a simulator."""


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class SimulatorCard:
    """What has to be known of a simulator to ask it as it was trained.

    Attributes:
        instruction: the system message of its training; empty for none.
        tokenizer: fingerprint of the tokenizer that it was trained with.
        examples: training examples it has seen, all versions together.
        teacher: who wrote all of its newest ones; None where there were several, or it was not trained for this.
        version: 1, and one more for each refresh.
    """

    instruction: str = INSTRUCTION
    tokenizer: str | None = None
    examples: int = 0
    teacher: str | None = None
    version: int = 1

    def save(self, folder: Path) -> None:
        """Writes the card into a model's folder."""
        (folder / CARD_FILE).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


_CARD = TypeAdapter(SimulatorCard)


def load_card(folder: str | Path) -> SimulatorCard:
    """The card of a folder; the default one for a model that has none (any instruct model may be asked).

    Raises:
        UserError: the card is broken.
    """
    path = Path(folder, CARD_FILE)
    if not path.is_file():
        return SimulatorCard()
    try:
        return _CARD.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise UserError(
            f"simulator {folder}: its {CARD_FILE} is broken ({where}: {first['msg']}); train it again"
        ) from error


def fingerprint(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Identity of a tokenizer: equal exactly where equal texts become equal ids."""
    content = {"vocabulary": sorted(tokenizer.get_vocab().items()), "template": tokenizer.chat_template}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def check_simulator(model: str, device: str | None = None) -> SimulatorCard:
    """Reads card and tokenizer of a simulator, before any weights are loaded.

    Raises:
        UserError: no such model, its tokenizer is another than it was trained with, or its device cannot be used.
    """
    usable_device(device, "simulator.local.device")
    if Path(model, "model", CARD_FILE).is_file():
        raise UserError(f"simulator {model}: the model is in a folder below; did you mean {Path(model, 'model')}?")
    if not Path(model).exists() and Path(model).parent.name and Path(Path(model).parts[0]).is_dir():
        raise UserError(f"simulator {model}: no such folder; `fission simulator train` makes one (docs/simulator.md)")
    place, _ = places_of(model)
    card, tokenizer = load_card(place), load_tokenizer(place)
    if card.tokenizer not in (None, fingerprint(tokenizer)):
        raise UserError(
            f"simulator {model}: its tokenizer is not the one it was trained with ({CARD_FILE} says {card.tokenizer}, found "
            f"{fingerprint(tokenizer)}); restore the tokenizer's files, or train the simulator again"
        )
    return card


class LocalSimulator:
    """Diagnoses in batches: greedily at first, and by drawing where it is asked again.

    Both are functions of the failures alone, so that a resumed run gets the same feedback. Greedy answers are remembered:
    a policy makes the same mistake again, and the alignment monitor asks about failures that will be popped.

    Args:
        model: folder or hub name; see `rollout.loading.locate_model`.
        device: default: the first GPU, else the CPU.

    Attributes:
        model: where it was loaded from.
        card: how it was trained.
        tokens: what it read and wrote so far, `prefill` and `sampled`.
        parameters: its size, by which its tokens are weighted beside the policy's.

    Raises:
        UserError: see `check_simulator`; or its vocabulary does not fit its weights.
    """

    name = "local"

    def __init__(self, model: str, device: str | None = None, batch_size: int = 32, max_new_tokens: int = 128) -> None:
        self.model = model
        self.card = check_simulator(model, device)
        place = usable_device(device, "simulator.local.device")
        # It is never trained, so half precision will do where it is fast.
        loaded, tokenizer = load_policy_model(model, "float32" if place == "cpu" else "auto")
        network: Any = loaded  # transformers ships no complete types
        rows = network.get_input_embeddings().num_embeddings
        if len(tokenizer) > rows:
            raise UserError(
                f"simulator {model}: its tokenizer has {len(tokenizer)} entries, its weights {rows}: they are of two models"
            )
        network.to(place).eval()
        network.requires_grad_(False)
        self.parameters = network.num_parameters()
        self.tokens: Counter[str] = Counter()
        self._chat = ChatFormat(tokenizer)
        self._context = int(getattr(network.config, "max_position_embeddings", 0)) or 1 << 30
        self._policy = TransformersPolicy(
            network, cast(int, tokenizer.pad_token_id), self._chat.end_ids, batch_size, context_tokens=self._context
        )
        self._max_new_tokens = max_new_tokens
        self._remembered: dict[str, str] = {}
        self._weights = _weights_id(network)

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        sampling = Sampling(0.0, max_new_tokens=self._max_new_tokens)
        keys = [case_id(failure) for failure in failures]
        new = {key: failure for key, failure in zip(keys, failures, strict=True) if key not in self._remembered}
        answered: dict[str, str | None] = dict(self._drafted(new))
        rest = {key: failure for key, failure in new.items() if key not in answered}
        answered |= dict(zip(rest, self.answers(list(rest.values()), sampling), strict=True))
        found = [self._remembered.get(key, answered.get(key)) for key in keys]
        self._remembered |= {key: answer for key, answer in answered.items() if answer is not None}
        for key in list(self._remembered)[:-REMEMBERED]:
            del self._remembered[key]
        return self._feedbacks(failures, found)

    def diagnose_again(self, failures: Sequence[Failure]) -> list[Feedback]:
        """A second attempt, drawn at temperature 1."""
        sampling = Sampling(1.0, max_new_tokens=self._max_new_tokens, seed=_seed(failures))
        return self._feedbacks(failures, self.answers(failures, sampling))

    def _drafted(self, failures: Mapping[str, Failure]) -> dict[str, str]:
        """The answers that a simulator taught by the rules gives in the very words of the rules, found in one pass.

        Decoding token by token would give the same answers; it takes most of a small simulator's time.
        """
        if self.card.teacher != RulesSimulator.name or not failures:
            return {}
        texts = {key: answer_text(each.kind, diagnosis_text(each, FeedbackLevel.FULL)) for key, each in failures.items()}
        drafts = {key: [*self._chat.tokenize(text), self._chat.turn_end_id] for key, text in texts.items()}
        prompts = {key: self._prompt(failure) for key, failure in failures.items()}
        fitting = [key for key in failures if len(prompts[key]) + len(drafts[key]) <= self._context]
        found: dict[str, str] = {}
        for start in range(0, len(fitting), self._policy.batch_size):
            keys = fitting[start : start + self._policy.batch_size]
            batch = ([prompts[key] for key in keys], [drafts[key] for key in keys])
            with self._own_faults():
                matches = greedy_matches(self._policy.model, *batch, self._policy.pad_id)
            found |= {key: texts[key] for key, same in zip(keys, matches, strict=True) if same}
        self.tokens["prefill"] += sum(len(prompts[key]) + len(drafts[key]) for key in fitting)
        return found

    def _prompt(self, failure: Failure) -> list[int]:
        return self._chat.render(diagnosis_prompt(failure, self.card.instruction))

    def answers(self, failures: Sequence[Failure], sampling: Sampling) -> list[str | None]:
        """The raw answers; None where the failure does not fit the model's context.

        Raises:
            InfrastructureError: the model cannot be run.
        """
        prompts = [self._prompt(failure) for failure in failures]
        fitting = [index for index, ids in enumerate(prompts) if len(ids) < self._context]
        completions = self._generate([prompts[index] for index in fitting], sampling) if fitting else []
        self.tokens["prefill"] += sum(len(prompts[index]) for index in fitting)
        self.tokens["sampled"] += sum(len(completion.ids) for completion in completions)
        answers: list[str | None] = [None] * len(failures)
        for index, completion in zip(fitting, completions, strict=True):
            answers[index] = self._chat.decode(completion.ids)
        return answers

    def _generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        with self._own_faults():
            return self._policy.generate(prompts, sampling)

    @contextmanager
    def _own_faults(self) -> Generator[None]:
        """Out of memory, or any other fault of torch, is the simulator's failure and not the run's."""
        try:
            yield
        except (RuntimeError, UserError) as error:  # the policy's advice would be about the run's settings
            raise InfrastructureError(f"simulator {self.model}: {next(iter(str(error).splitlines()), 'failed')}") from error

    def state_dict(self) -> dict[str, Any]:
        """Token counts and remembered answers, as JSON."""
        return {"tokens": dict(self.tokens), "remembered": dict(self._remembered), "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` was taken; what another model answered is forgotten."""
        self.tokens = Counter(state["tokens"])
        if state["weights"] == self._weights:
            self._remembered = dict(state["remembered"])
        else:
            _LOGGER.warning("simulator %s: its weights are not those of the checkpoint; feedback will differ", self.model)

    def _feedbacks(self, failures: Sequence[Failure], answers: Sequence[str | None]) -> list[Feedback]:
        return [
            fixed_feedback(replaced=self.name, reason="long_context")
            if answer is None
            else feedback_of(answer, failure, self.name)
            for failure, answer in zip(failures, answers, strict=True)
        ]


def _weights_id(network: Any) -> str:
    """Identity of a model by a few values of every parameter."""
    sample = [[name, parameter.flatten()[:8].float().tolist()] for name, parameter in network.named_parameters()]
    return sha256(json.dumps(sample).encode()).hexdigest()[:16]


def _seed(failures: Sequence[Failure]) -> int:
    """A seed of the failures' contents."""
    return int.from_bytes(sha256("".join(map(case_id, failures)).encode()).digest()[:7], "big")
