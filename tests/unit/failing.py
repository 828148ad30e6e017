"""Failures for tests, as small as they can be, and a chat format to put them into words."""

from collections.abc import Sequence

from fission_grpo.types import Failure, FailureKind, FeedbackLevel, Message, RuntimeErrorKind, Tool, ToolCall, ToolResult


def failure(
    name: str = "a",
    *,
    update: int = 0,
    kind: FailureKind = FailureKind.RUNTIME_ERROR,
    error_kind: RuntimeErrorKind | None = RuntimeErrorKind.NOT_FOUND,
    tool: str = "cat",
    level: FeedbackLevel = FeedbackLevel.FULL,
    attempt: int = 0,
    messages: tuple[Message, ...] = ({"role": "user", "content": "show a"},),
) -> Failure:
    """A call of `tool` that erred; `name` alone decides its identity."""
    call = ToolCall(tool, {"file_name": name})
    return Failure(
        task_id=f"task-{name}",
        scenario="s",
        messages=messages,
        tools=(),
        prompt_ids=tuple(name.encode()),
        completion_ids=(7, 8, 9),
        text=f"cat {name}",
        calls=(call,),
        results=(ToolResult(f"error: no {name}", is_error=True),),
        kind=kind,
        error_kind=error_kind,
        call_index=0,
        reference=(ToolCall("ls", {}),),
        update=update,
        attempt=attempt,
        level=level,
    )


class Letters:
    """A chat format in which every character is a token."""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        return [ord(letter) for message in messages for letter in str(message["content"])]

    def extend(self, ids: Sequence[int], messages: Sequence[Message]) -> list[int]:
        return [*ids, *self.render(messages, ())]

    def assistant_message(self, text: str) -> Message:
        return {"role": "assistant", "content": text}
