"""A user by rules, the same every time: for tests, for training without a second model, and for trying out a set-up.

He is no stand-in for a language model: a score with him is not a score of the benchmark. What he does:

- answers the greeting with the reason for his call;
- calls the tool of his own that the agent writes as a call, `toggle_airplane_mode()` or `set_network_mode(mode="4g")`, and
  says what came of it;
- answers a question with what he knows, then with what his instructions say, then with "Yes, please go ahead.";
- ends the conversation as tau2's guidelines ask: with `###TRANSFER###` when he is being transferred, and with `###STOP###`
  when the agent tells him something without asking, or after `MAX_REPLIES` replies.
"""

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from fission_grpo.environments.tau2.users.base import STOP, TRANSFER
from fission_grpo.types import Message, Tool

MAX_REPLIES = 20
"""Messages after which he ends the conversation."""

# tau2's prompt, and tau-bench's.
_SCENARIO = re.compile(r"<scenario>\s*(.*?)\s*</scenario>|^You are a user.*?Instruction: (.*?)\s*Rules:", re.DOTALL)
_SECTION = re.compile(r"^\t?(Domain|Reason for call|Known info|Unknown info|Task instructions):[ \t]*(.*)$")
_TRANSFERRED = re.compile(r"transferr?ed to a human|transfer you to a human", re.IGNORECASE)


class ScriptedUser:
    """See the module. Stateless: what he says follows from the conversation alone."""

    name = "scripted"

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        if messages[-1]["role"] == "tool":
            return _say(f"I did that. The result: {messages[-1]['content']}")
        said = str(messages[-1]["content"] or "")
        if _TRANSFERRED.search(said):
            return _say(TRANSFER)
        own = [str(message.get("content")) for message in messages if message["role"] == "assistant"]
        facts = _facts(str(messages[0]["content"]))
        if not own:
            return _say(facts.get("Reason for call") or "I need help.")
        if len(own) >= MAX_REPLIES:
            return _say(f"I have no more time. {STOP}")
        if call := requested_call(said, tools):
            return _call(call, number=len(messages))
        if "?" not in said:
            return _say(f"Thank you, that is all. {STOP}")
        unsaid = (facts.get(name) for name in ("Known info", "Task instructions"))
        return _say(next((fact for fact in unsaid if fact and fact not in own), "Yes, please go ahead."))


def requested_call(said: str, tools: Sequence[Tool]) -> tuple[str, dict[str, Any]] | None:
    """The first tool of the user's that a text writes as a call, with its arguments.

    >>> tools = [{"type": "function", "function": {"name": "set_mode", "parameters": {}}}]
    >>> requested_call('Please do set_mode(mode="4g").', tools)
    ('set_mode', {'mode': '4g'})
    """
    names = "|".join(re.escape(tool["function"]["name"]) for tool in tools)
    found = re.search(rf"\b({names})\(([^()]*)\)", said) if names else None
    if found is None:
        return None
    try:
        tree = ast.parse(f"f({found[2]})", mode="eval").body
        assert isinstance(tree, ast.Call)
        arguments = {each.arg: ast.literal_eval(each.value) for each in tree.keywords if each.arg}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        arguments = {}
    return found[1], arguments


def _facts(system: str) -> dict[str, str]:
    """The sections of the scenario that stands in the user's system text, or all of it as the reason for the call."""
    scenario = _SCENARIO.search(system)
    text = (scenario[1] or scenario[2] or "") if scenario else ""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if match := _SECTION.match(line):
            current = sections.setdefault(match[1], [match[2]])
        else:
            current.append(line.strip())
    facts = {name: "\n".join(lines).strip(" .\n") for name, lines in sections.items()}
    return facts or {"Reason for call": text}


def _say(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _call(call: tuple[str, dict[str, Any]], number: int) -> Message:
    function = {"name": call[0], "arguments": json.dumps(call[1])}
    tool_calls = [{"id": f"user_{number}", "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}
