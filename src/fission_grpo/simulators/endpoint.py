"""An error simulator behind any OpenAI-compatible chat endpoint: vLLM, llama.cpp, `transformers serve`, a provider.

Training never waits for it: a question is given up after a time-out, an endpoint from which nothing comes is left alone for
a while, and what it does not answer the chain's next simulator does.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fission_grpo.credentials import API_KEY, address_fault
from fission_grpo.errors import InfrastructureError, UserError
from fission_grpo.simulators.answer import feedback_of
from fission_grpo.simulators.background import run_in_thread
from fission_grpo.simulators.cache import ReplyCache, request_key
from fission_grpo.simulators.chat_endpoint import UNASKED, ChatEndpoint, Loss, Lost, Reply
from fission_grpo.simulators.fixed import fixed_feedback
from fission_grpo.simulators.prompt import INSTRUCTION, diagnosis_prompt
from fission_grpo.types import Failure, FailureKind, Feedback, Message, ToolCall, ToolResult

SECOND_TEMPERATURE = 1.0
"""Of a second attempt, which should say something else."""
GIVE_UP_AFTER = 8
"""Questions of a batch lost one after another, after which its others are not asked."""
LONGEST_REST = 32
"""Batches."""

_PROBE = Failure(
    task_id="probe",
    scenario="probe",
    messages=({"role": "user", "content": "Open the folder docs."},),
    tools=(),
    prompt_ids=(),
    completion_ids=(),
    text="",
    calls=(ToolCall("cd", {"folder": "dosc"}),),
    results=(ToolResult("cd: dosc: No such folder", is_error=True),),
    kind=FailureKind.RUNTIME_ERROR,
    call_index=0,
    reference=(ToolCall("cd", {"folder": "docs"}),),
)


@dataclass(frozen=True)
class EndpointOptions:
    """Where and how to ask. The key is read from the environment variable `OPENAI_API_KEY` and kept nowhere.

    Attributes:
        base_url: up to and including `/v1`, as a rule.
        concurrency: requests under way at a time.
        timeout: seconds that one question may take, all its tries included.
        retries: further tries of a question, where the fault may pass.
        budget: most requests of a run, further tries included; None for no bound.
        max_new_tokens: of an answer; a model that thinks first needs more.
        temperature: of the first attempt at a failure.
        instruction: the system message; empty for a model that was trained for the task and needs none.

    Raises:
        UserError: a number is out of its range, or the address holds a secret.
    """

    base_url: str
    model: str
    concurrency: int = 16
    timeout: float = 30.0
    retries: int = 2
    budget: int | None = None
    max_new_tokens: int = 128
    temperature: float = 0.0
    instruction: str = INSTRUCTION

    def __post_init__(self) -> None:
        if fault := address_fault(self.base_url):
            raise UserError(f"endpoint simulator: base_url {fault}")
        for name in ("concurrency", "timeout", "max_new_tokens"):
            if not getattr(self, name) > 0:
                raise UserError(f"endpoint simulator: {name} is {getattr(self, name)}; it must be above 0")
        for name in ("retries", "budget", "temperature"):
            if not (getattr(self, name) or 0) >= 0:
                raise UserError(f"endpoint simulator: {name} is {getattr(self, name)}; it must not be below 0")


class EndpointSimulator:
    """Asks a model for diagnoses, all failures of a batch at once, replies from the cache first.

    Where a question is lost the fixed sentence stands in for that failure alone, with a reason (`Lost`). Where all that was
    asked is lost, the next 1, 2, 4, ... up to `LONGEST_REST` batches do not ask, until a reply ends the rest.

    Args:
        own_cache: whether the cache is this run's alone. What a killed process asked for behind its last checkpoint then
            counts as asked when it is replayed: budget, counts and tokens go on as if there had been no kill.

    Attributes:
        counts: of failures, `answered` by a reply, `cached`, or lost by reason (`timeout`, `quota`, `resting`, ...), which
            sum to the failures that it was given; of HTTP, `requests`, of which `retried` were further tries.
        tokens: `prompt` and `completion`, as far as the endpoint reports them; replies from the cache cost none.
    """

    name = "endpoint"

    def __init__(self, options: EndpointOptions, cache: ReplyCache, *, own_cache: bool = False) -> None:
        self.options = options
        self.counts: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self._cache = cache
        self._own_cache = own_cache
        self._uncounted = set(cache.keys() if own_cache else ())
        self._last_rest = 0
        self._resting = 0

    def diagnose(self, failures: Sequence[Failure]) -> list[Feedback]:
        """One feedback a failure.

        Raises:
            InfrastructureError: none of them could be answered.
        """
        return self._feedbacks(failures, self.options.temperature, seed=0)

    def diagnose_again(self, failures: Sequence[Failure]) -> list[Feedback]:
        """As `diagnose`, but drawn anew, at `SECOND_TEMPERATURE`."""
        return self._feedbacks(failures, SECOND_TEMPERATURE, seed=1)

    def check(self) -> None:
        """Asks once, as a run will ask, so that none begins with an endpoint that cannot answer.

        What it answers is not judged: the chain counts that.

        Raises:
            UserError: nothing that this endpoint is asked could be answered.
        """
        body = self._body(diagnosis_prompt(_PROBE, self.options.instruction), self.options.temperature, seed=0)
        answer = run_in_thread(self._ask_one(body))
        if isinstance(answer, Loss) and answer.reason not in (Lost.BUDGET, Lost.RATE_LIMIT):
            raise UserError(
                f"endpoint simulator, {self.options.base_url}, model {self.options.model!r}: {self._advice(answer)}"
            )

    def state_dict(self) -> dict[str, Any]:
        """The counts, as JSON, and how many replies there were; the budget is counted on after a resume."""
        return {
            "counts": dict(self.counts),
            "tokens": dict(self.tokens),
            "replies": len(self._cache.keys()),
            "uncounted": sorted(self._uncounted),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.counts, self.tokens = Counter(state["counts"]), Counter(state["tokens"])
        if self._own_cache:
            self._uncounted = {*state["uncounted"], *self._cache.keys()[state["replies"] :]}

    def _feedbacks(self, failures: Sequence[Failure], temperature: float, seed: int) -> list[Feedback]:
        bodies = [self._body(diagnosis_prompt(failure, self.options.instruction), temperature, seed) for failure in failures]
        keys = [request_key(body) for body in bodies]
        self._count_replayed(replayed := self._uncounted.intersection(keys))
        cached = {key for key in keys if self._cache.get(key) is not None}
        lost = self._answer({key: body for key, body in zip(keys, bodies, strict=True) if key not in cached})
        self.counts.update("cached" if key in cached - replayed else str(lost.get(key, "answered")) for key in keys)
        if failures and len(lost) == len(set(keys)):
            raise InfrastructureError(f"endpoint simulator: {lost[keys[0]]}, none of {len(failures)} failures was answered")
        return [
            fixed_feedback(replaced=self.name, reason=lost[key])
            if key in lost
            else feedback_of(self._cache.get(key) or "", failure, self.name)
            for key, failure in zip(keys, failures, strict=True)
        ]

    def _count_replayed(self, keys: set[str]) -> None:
        self._uncounted -= keys
        for prompt, completion in map(self._cache.tokens, keys):
            self.counts["requests"] += 1
            self.tokens.update(prompt=prompt, completion=completion)

    def _body(self, messages: Sequence[Message], temperature: float, seed: int) -> dict[str, Any]:
        return {
            "model": self.options.model,
            "messages": list(messages),
            "temperature": temperature,
            "max_tokens": self.options.max_new_tokens,
            "seed": seed,
        }

    def _answer(self, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Lost]:
        """Puts the replies to requests into the cache, by their keys; returns why there is none to the others."""
        if not bodies:
            return {}
        if self._resting:
            self._resting -= 1
            return dict.fromkeys(bodies, Lost.RESTING)
        lost = run_in_thread(self._ask_all(bodies))
        if len(lost) < len(bodies):
            self._last_rest = 0
        elif not UNASKED.issuperset(lost.values()):
            self._last_rest = self._resting = min(LONGEST_REST, max(1, 2 * self._last_rest))
        return lost

    async def _ask_all(self, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Lost]:
        slots = asyncio.Semaphore(self.options.concurrency)
        lost: dict[str, Lost] = {}
        lost_in_a_row = 0

        async def ask(key: str, body: Mapping[str, Any]) -> None:
            nonlocal lost_in_a_row
            async with slots:
                asked = lost_in_a_row < GIVE_UP_AFTER
                answer = await endpoint.ask(body) if asked else Loss(Lost.RESTING)
                if isinstance(answer, Loss):
                    lost[key] = answer.reason
                    lost_in_a_row += answer.reason not in UNASKED
                else:
                    self._cache.put(key, answer.text, (answer.prompt_tokens, answer.completion_tokens))
                    self.tokens.update(prompt=answer.prompt_tokens, completion=answer.completion_tokens)
                    lost_in_a_row = 0

        async with self._endpoint() as endpoint:
            await asyncio.gather(*(ask(key, body) for key, body in bodies.items()))
        return lost

    async def _ask_one(self, body: Mapping[str, Any]) -> Reply | Loss:
        async with self._endpoint() as endpoint:
            return await endpoint.ask(body)

    def _endpoint(self) -> ChatEndpoint:
        return ChatEndpoint(self.options.base_url, self.options.timeout, self.options.retries, self._may_ask)

    def _may_ask(self, again: bool) -> bool:
        if self.options.budget is not None and self.counts["requests"] >= self.options.budget:
            return False
        self.counts.update(["requests", "retried"] if again else ["requests"])
        return True

    def _advice(self, loss: Loss) -> str:
        """What is wrong, and what to change."""
        said = f" ({loss.detail})" if loss.detail else ""
        match loss.reason, loss.status:
            case Lost.CONNECTION, _:
                return f"no connection{said}; check base_url, and that the server runs"
            case Lost.TIMEOUT, _:
                return f"no reply within {self.options.timeout:g} seconds; check base_url, or raise timeout"
            case Lost.QUOTA, _:
                return f"the quota of this key is used up{said}; add to it, or set {API_KEY} to another key"
            case Lost.REFUSED, 404:
                return f"status 404{said}; check base_url, which as a rule ends in /v1, and model"
            case Lost.REFUSED, status:
                return f"status {status}{said}; set {API_KEY} to a key that may use this model"
            case ((Lost.GARBAGE | Lost.TOO_LONG), _):
                return "the reply is no chat completion; check base_url, which as a rule ends in /v1"
            case _, status:
                return f"status {status}{said}; check model, and what the server's log says"
