"""Disguises that the leak guard looks through, what it must not take for one, and how long it takes."""

import base64
import codecs
import json
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fission_grpo.simulators.leak import Leak, LeakForm, LeakKind, leaks
from fission_grpo.types import Failure, FailureKind, ToolCall, ToolResult

WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=9).map("q".__add__)
"""No English word begins like these, so that none is an anchor or a connecting word by chance."""
HIDDEN: dict[str, Callable[[str], str]] = {
    "reversed": lambda value: value[::-1],
    "rot13": lambda value: codecs.encode(value, "rot13"),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "hex": lambda value: value.encode().hex(),
    "spaced hex": lambda value: value.encode().hex(" "),
    "character codes": lambda value: " ".join(str(ord(each)) for each in value),
    "hyphens": "-".join,
    "blanks": " ".join,
    "commas": ", ".join,
}
"""Strings that do not come about by chance: they count wherever they stand."""
BOUND: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "quotes": lambda value: f"**`{value}`**",
    "percent signs": lambda value: "".join(f"%{ord(each):02x}" for each in value),
    "HTML": lambda value: "".join(f"&#{ord(each)};" for each in value),
    "zero width": "\u200b".join,
    "soft hyphen": "\u00ad".join,
    "full width": lambda value: "".join(chr(ord(each) + 0xFEE0) for each in value),
    "glued in front": lambda value: f"the{value}folder",
    "glued behind": lambda value: f"folder_{value}",
    "accents": lambda value: value.replace("a", "à").replace("e", "é"),
    "homoglyphs": lambda value: value.translate(str.maketrans("aeopcx", "аеорсх")),
}


def failure(*calls: ToolCall, reference: tuple[ToolCall, ...], error: str | None = None) -> Failure:
    results = () if error is None else (ToolResult(error, is_error=True),)
    kind = FailureKind.WRONG_ARGUMENTS
    return Failure("t", "s", (), (), (), (), "", calls, results, kind, reference=reference)


def found(feedback: str, parameter: str, value: Any, wrong: Any = "tmp") -> Leak | None:
    return leaks(feedback, failure(ToolCall("act", {parameter: wrong}), reference=(ToolCall("act", {parameter: value}),)))


@pytest.mark.parametrize("disguise", HIDDEN)
@given(value=WORD)
def test_hidden_strings_are_caught_anywhere(disguise: str, value: str) -> None:
    hidden = HIDDEN[disguise](value)
    if hidden == value:
        return
    leak = found(f"error 17: not accepted ({hidden}); see the documentation of this server", "folder", value)
    assert leak is not None
    assert (leak.value, leak.form) == (value, LeakForm.PARAPHRASED)


@pytest.mark.parametrize("disguise", BOUND)
@given(value=WORD)
def test_disguised_strings_are_caught_where_bound(disguise: str, value: str) -> None:
    assert found(f"the folder should be {BOUND[disguise](value)}", "folder", value) is not None


@given(st.lists(WORD, min_size=3, max_size=4, unique=True), st.sampled_from(["{}", "call {} first", "{}(...)"]))
def test_hidden_tool_names_are_caught(parts: list[str], template: str) -> None:
    item = failure(ToolCall("act"), reference=(ToolCall("_".join(parts)),))
    camel = parts[0] + "".join(map(str.title, parts[1:]))
    for written in (" ".join(parts), camel, "-".join(reversed(parts)), base64.b64encode("_".join(parts).encode()).decode()):
        leak = leaks("error: wrong tool. " + template.format(written), item)
        assert leak is not None and leak.kind is LeakKind.TOOL
        assert leak.form is not LeakForm.EXACT
    assert leaks("error: wrong tool. " + template.format("_".join(parts)), item) == Leak(LeakKind.TOOL, "_".join(parts))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1,500", 1500), ("1500.0", 1500), ("1.5k", 1500), ("1.5 km", 1500), ("fifteen hundred", 1500), ("1.5e3", 1500),
        ("0.932 miles", 1500), ("25 minutes", 1500), ("75%", 0.75), ("three quarters", 0.75), ("3/4", 0.75),
        ("twelve", 12), ("a dozen", 12), ("2 h 30 min", 9000), ("minus five", -5), ("one hundred and seven", 107),
        ("two million", 2_000_000), ("10.57 gallons", 40), ("twenty-one", "21"), ("9 4 0 1 6", "94016"),
    ],
)  # fmt: skip
def test_numbers_are_read_where_bound_and_only_there(written: str, value: Any) -> None:
    assert found(f"the amount should be {written}", "amount", value, wrong=88) is not None
    assert found(f"error {written}: please look at the manual", "amount", value, wrong=88) is None


DATE_FORMATS = ["%d %B %Y", "%B %d, %Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%b %d", "%Y%m%d"]


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.sampled_from(DATE_FORMATS))
def test_dates_are_read_in_other_formats(day: date, pattern: str) -> None:
    other = day + timedelta(days=100)
    leak = found(f"the date should be {day.strftime(pattern)}", "date", day.isoformat(), wrong=other.isoformat())
    assert leak is not None and leak.form is LeakForm.NORMALISED
    assert found(f"the date should not be {day.strftime(pattern)}", "date", other.isoformat(), wrong=day.isoformat()) is None


@pytest.mark.parametrize(
    ("feedback", "form"),
    [
        ("the folder is Documents", LeakForm.EXACT),
        ("the folder is 'Documents', written documents", LeakForm.EXACT),
        ("the folder is documents", LeakForm.NORMALISED),
        ("the folder is my_documents", LeakForm.PARAPHRASED),
        ("the folder is Dосuments", LeakForm.PARAPHRASED),
        ("the folder is Docu\u200bments", LeakForm.PARAPHRASED),
        ("stnemucod in a mirror", LeakForm.PARAPHRASED),
    ],
)
def test_the_plainest_form_is_told(feedback: str, form: LeakForm) -> None:
    leak = found(feedback, "folder", "Documents")
    assert leak is not None and leak.form is form


POOL = st.sampled_from(["alpha.txt", "beta", "gamma delta", 12, 1500, 0.5, "2024-11-05", "AAPL", True, "qx", 7, "seven"])
ARGUMENTS = st.dictionaries(st.sampled_from(["source", "destination", "amount", "when"]), POOL, min_size=1)


def quotations(call: ToolCall) -> list[str]:
    """Ways to repeat a call."""
    arguments = call.arguments.items()
    return [
        f"{call.name}({', '.join(f'{name}={value!r}' for name, value in arguments)}) failed",
        f"{call.name}({', '.join(repr(value) for _, value in arguments)}): not possible",
        json.dumps({"error": "rejected", "name": call.name, "arguments": call.arguments}),
        "; ".join(f"{name} was {value}" for name, value in arguments) + ", which is wrong",
        " ".join(f"Invalid value for '{name}': {value!r}." for name, value in arguments),
        " ".join(f"the {name} {value} is not accepted." for name, value in arguments),
    ]


@given(ARGUMENTS, ARGUMENTS)
def test_the_failed_calls_own_values_never_leak(own: dict[str, Any], reference: dict[str, Any]) -> None:
    """The reference draws from the same values, so that many are right for another parameter."""
    call = ToolCall("transfer", own)
    item = failure(call, reference=(ToolCall("transfer", reference),))
    assert [text for text in quotations(call) if leaks(text, item) is not None] == []


@given(ARGUMENTS, ARGUMENTS)
def test_what_the_environment_said_never_leaks(own: dict[str, Any], reference: dict[str, Any]) -> None:
    error = " / ".join(quotations(ToolCall("get_quote", reference)))
    item = failure(ToolCall("transfer", own), reference=(ToolCall("get_quote", reference),), error=error)
    assert leaks(error, item) is None
    assert leaks(f"The server answered: {error}", item) is None
    assert leaks(f"{error}\nerror: not found. tool: transfer.", item) is None


def test_a_tool_with_an_everyday_name_must_be_marked() -> None:
    item = failure(ToolCall("cat"), reference=(ToolCall("find"),))
    assert leaks("the server could not find it; sort things out", item) is None
    for feedback in ("use find", "the find tool", "`find` is for that", "find(path='.')", "try the find command"):
        assert leaks(feedback, item) is not None


def test_a_tool_is_not_found_inside_the_name_of_another() -> None:
    tools = tuple({"type": "function", "function": {"name": name}} for name in ("send_message", "send_message_to_all"))
    calls, reference = (ToolCall("send_message_to_all"),), (ToolCall("send_message"),)
    item = Failure("t", "s", (), tools, (), (), "", calls, (), FailureKind.WRONG_TOOL, reference=reference)
    assert leaks("send_message_to_all is not the tool for this", item) is None
    assert leaks("send_message_to_all is wrong, send_message right", item) is not None


SCRAPS = st.sampled_from(
    ["12", "1/0", "e99", "-", "٣", "½", "nov", "a", "and", "million", "%", "%ff", "\\ud800", "&#xffffffff;", ":", "=="]
)
VALUES = st.one_of(st.text(), SCRAPS, st.integers(), st.floats(), st.booleans(), st.none(), st.just(10**400))


@given(st.lists(st.one_of(SCRAPS, st.text())).map("".join), VALUES, VALUES, VALUES)
def test_any_text_about_any_values_is_judged(feedback: str, own: Any, right: Any, other: Any) -> None:
    reference = (ToolCall("act", {"folder": right, "amount": [other]}), ToolCall("find", {"": right}))
    item = failure(ToolCall("act", {"folder": own}), reference=reference, error=str(other)[:50])
    leaks(feedback, item)
    leaks(f"folder: {own} amount: {feedback}", item)


HOSTILE = [
    "a", "docs ", "docs", "64 ", "ZG9j", "d-o-c-", "one ", "one and a ", "5 ", "1.5 km ", "5 nov 2024 ", "12:30 ", "1,000,",
    "1/2 ", "folder ", "folder docs ", "replace x", "use ", "get user x id ", "thethe", "%64", "&", "\u200b", "_", ".",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_length_only(piece: str) -> None:
    """100,000 characters take less than a second on a free core; a guard that is quadratic anywhere takes minutes."""
    wrong = ToolCall("act", {"folder": "old/docs", "amount": 9, "when": "5 km"})
    right = ToolCall("act", {"folder": "docs", "amount": 5, "when": "2024-11-05", "file": "documents", "far": 1500})
    item = failure(wrong, reference=(right, ToolCall("get_user_id", {"user": "a"})))
    text = piece * (100_000 // len(piece))
    start = time.process_time()
    leaks(text, item)
    assert time.process_time() - start < 3
