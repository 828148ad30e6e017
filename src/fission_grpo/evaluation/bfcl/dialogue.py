"""One entry of the benchmark while it is played: the loop of bfcl-eval's handlers, one completion at a time.

A message without calls that can be decoded ends the user's turn, with no answer to the model. After 21 messages with calls
in one turn the model is *forced to quit*, and the entry ends there (bfcl-eval's limit says 20, and is checked too late).
"""

from collections.abc import Mapping
from typing import Any

from fission_grpo.environments.bfcl import BFCLEnvironment
from fission_grpo.environments.bfcl.call_text import instance_prefix
from fission_grpo.environments.bfcl.package import package_module
from fission_grpo.evaluation.asking import Completion, Request
from fission_grpo.evaluation.bfcl.decoding import DecodeError, is_empty
from fission_grpo.evaluation.bfcl.entries import Entry
from fission_grpo.evaluation.bfcl.handlers import Handler, Reply
from fission_grpo.types import Message

Log = dict[str, Any]
INFERENCE_ERROR = "Error during inference: "
"""How bfcl-eval begins the result of an entry that its handler could not play to the end."""


class Dialogue:
    """Plays one entry with one handler. It is over once `request` is None.

    Args:
        model: name by which bfcl-eval would name the instances that the calls are executed on.
    """

    def __init__(self, entry: Entry, handler: Handler, model: str) -> None:
        self.entry = entry
        self.request: Request | None = None
        self._handler = handler
        self._prefix = instance_prefix(model.replace("/", "_"), entry.id)
        self._environment = BFCLEnvironment()
        self._environment.reset(entry.task)
        self._functions = list(entry.functions)
        self._history: list[Message] = []
        self._turn = -1
        self._steps_of_turn = 0
        self._replies: list[list[Reply]] = []
        self._completions: list[list[Completion]] = []
        self._log: list[Log] = []
        self._error: str | None = None
        self._limit: int = package_module("constants.default_prompts").MAXIMUM_STEP_LIMIT
        self._next_turn()

    @property
    def position(self) -> tuple[int, int]:
        """User turn and step within it that the request is for, both from 0."""
        return self._turn, self._steps_of_turn

    def advance(self, completion: Completion) -> None:
        """Takes in one completion: executes its calls, or ends the user's turn."""
        reply = self._handler.read(completion)
        self._replies[-1].append(reply)
        self._completions[-1].append(completion)
        self._history.append(reply.message)
        log = self._step_log(reply)
        calls = self._decoded(reply, log)
        if not calls:
            self._next_turn()
            return
        results = [self._environment.call_text(call, self._prefix)[1].content for call in calls]
        self._history += self._handler.results(calls, results, reply)
        log += [{"role": "tool", "content": result} for result in results]
        self._steps_of_turn += 1
        if self._steps_of_turn > self._limit:
            log.append(_handler_log(f"Model has been forced to quit after {self._limit} steps."))
            self.request = None
        else:
            self._ask()

    def fail(self, reason: str) -> None:
        """Ends the entry as bfcl-eval ends one that its model cannot go on with: it counts as wrong."""
        self._error = INFERENCE_ERROR + reason
        self.request = None

    def result(self) -> Mapping[str, Any]:
        """The line of a result file, as bfcl-eval writes it with its state logs left out."""
        if self._error is not None:
            return {"id": self.entry.id, "result": self._error}
        line: dict[str, Any] = {
            "id": self.entry.id,
            "result": [[reply.response for reply in turn] for turn in self._replies],
            "input_token_count": [[completion.input_tokens for completion in turn] for turn in self._completions],
            "output_token_count": [[completion.output_tokens for completion in turn] for turn in self._completions],
            "latency": [[completion.seconds for completion in turn] for turn in self._completions],
            "inference_log": self._log,
        }
        if any(reply.reasoning for turn in self._replies for reply in turn):
            line["reasoning_content"] = [[reply.reasoning for reply in turn] for turn in self._replies]
        return line

    def _next_turn(self) -> None:
        self._turn += 1
        self._steps_of_turn = 0
        if self._turn == len(self.entry.question):
            self.request = None
            return
        messages = self._messages_of_turn()
        if self._turn == 0:
            messages = self._handler.opening(messages, self._functions)
        self._history += messages
        self._replies.append([])
        self._completions.append([])
        self._log.append({"begin_of_turn_query": messages})
        self._ask()

    def _messages_of_turn(self) -> list[Message]:
        added = self.entry.withheld.get(self._turn)
        if added is None:
            return [dict(message) for message in self.entry.question[self._turn]]
        if self._handler.lists_added:
            self._functions += added
        return [{"role": "user", "content": self._handler.added_functions(added)}]

    def _ask(self) -> None:
        try:
            self.request = self._handler.request(self._history, self._functions)
        except (AttributeError, KeyError, TypeError) as error:  # bfcl-eval breaks off an entry where it breaks here
            self.fail(str(error))

    def _step_log(self, reply: Reply) -> list[Log]:
        said: Log = {"role": "assistant", "content": reply.response}
        if reply.reasoning:
            said["reasoning_content"] = reply.reasoning
        log = [said]
        self._log[-1][f"step_{self._steps_of_turn}"] = log
        return log

    def _decoded(self, reply: Reply, log: list[Log]) -> list[str]:
        """The calls of a message; none where it ends the turn."""
        try:
            calls = self._handler.decode(reply.response)
        except DecodeError as error:
            log.append(_handler_log("Error decoding the model response. Proceed to next turn.", error=str(error)))
            return []
        log.append(_handler_log("Successfully decoded model response.", model_response_decoded=calls))
        if is_empty(calls):
            log.append(_handler_log("Empty response from the model. Proceed to next turn.", model_response_decoded=calls))
            return []
        return calls


def _handler_log(content: str, **details: Any) -> Log:
    return {"role": "handler_log", "content": content, **details}
