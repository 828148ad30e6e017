"""What only a message of Python calls can get wrong."""

from collections.abc import Callable
from typing import Any

from official_bfcl.calls import Call, python_call
from official_bfcl.play import Entry, Kind, Play


def _rewritten(play: Play, text: Callable[[Call], str]) -> Entry:
    """One call as another text in the brackets."""
    place = play.place()
    return play.replaced(place, f"[{text(play.at(place))}]")


def _framed(play: Play, frame: Callable[[str], str]) -> Entry:
    place = play.place()
    return play.replaced(place, frame(python_call(play.at(place))))


def _with_value(play: Play, text: Callable[[Any], str], fits: Callable[[object], bool] = lambda value: True) -> Entry:
    """One argument's value as another expression."""
    place = play.place(lambda call: any(fits(value) for value in call.arguments.values()))
    call = play.at(place)
    name = play.argument(call, fits)
    written = (f"{key}={text(value) if key == name else repr(value)}" for key, value in call.arguments.items())
    return play.replaced(place, f"[{call.name}({', '.join(written)})]")


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: object) -> bool:
    return isinstance(value, str)


def positional_arguments(play: Play) -> Entry:
    """The decoder keeps keywords only: positional arguments vanish."""
    return _rewritten(play, lambda call: f"{call.name}({', '.join(repr(value) for value in call.arguments.values())})")


def first_argument_positional(play: Play) -> Entry:
    place = play.place(lambda call: bool(call.arguments))
    call = play.at(place)
    (name, value), *_ = call.arguments.items()
    keywords = python_call(call.without(name))[len(call.name) + 1 : -1]
    return play.replaced(place, f"[{call.name}({repr(value) + (', ' if keywords else '') + keywords})]")


def keywords_unpacked(play: Play) -> Entry:
    return _rewritten(play, lambda call: f"{call.name}(**{dict(call.arguments)!r})")


def nested_call(play: Play) -> Entry:
    return _with_value(play, lambda value: "pwd()")


def nested_call_with_keywords(play: Play) -> Entry:
    return _with_value(play, lambda value: f"echo(content={value!r})")


def arithmetic(play: Play) -> Entry:
    return _with_value(play, lambda value: f"{value!r} + 0", is_number)


def wrong_arithmetic(play: Play) -> Entry:
    return _with_value(play, lambda value: f"{value!r} + 2 * 3", is_number)


def joined_text(play: Play) -> Entry:
    return _with_value(play, lambda value: f"{value[:1]!r} + {value[1:]!r}", is_text)


def adjacent_text(play: Play) -> Entry:
    return _with_value(play, lambda value: f"{value[:1]!r} {value[1:]!r}", is_text)


def formatted_text(play: Play) -> Entry:
    return _with_value(play, lambda value: f"f{value!r}", is_text)


def triple_quoted_text(play: Play) -> Entry:
    return _with_value(play, lambda value: f'r"""{value}"""', is_text)


def bare_word(play: Play) -> Entry:
    """An unquoted word is read as its own text."""
    return _with_value(play, lambda value: value, lambda value: isinstance(value, str) and value.isidentifier())


def javascript_constants(play: Play) -> Entry:
    return _with_value(play, lambda value: str(value).lower(), lambda value: isinstance(value, bool))


def unary_plus(play: Play) -> Entry:
    """Every unary operator is read as a minus."""
    return _with_value(play, lambda value: f"+{value!r}", lambda value: is_number(value) and repr(value)[0] != "-")


def double_negation(play: Play) -> Entry:
    return _with_value(play, lambda value: f"--{value!r}", is_number)


def negated(play: Play) -> Entry:
    return _with_value(play, lambda value: f"not {value!r}", lambda value: isinstance(value, bool))


def empty_object(play: Play) -> Entry:
    """An empty object breaks the official writer of nested values."""
    return _with_value(play, lambda value: "{}")


def object_of_objects(play: Play) -> Entry:
    """An object whose values are all objects is taken for a nested call."""
    return _with_value(play, lambda value: f"{{'a': {{'b': {value!r}}}}}")


def unknown_tool_with_an_empty_object(play: Play) -> Entry:
    place = play.place()
    return play.replaced(place, f"[zzq9_tool(a={{}}), {python_call(play.at(place))}]")


def set_of_values(play: Play) -> Entry:
    return _with_value(play, lambda value: f"{{{value!r}}}", is_text)


def tuple_for_list(play: Play) -> Entry:
    return _with_value(play, lambda value: repr(tuple(value)), lambda value: isinstance(value, list))


def subscript(play: Play) -> Entry:
    return _with_value(play, lambda value: "names[0]")


def attribute(play: Play) -> Entry:
    return _with_value(play, lambda value: "names.first")


def comparison(play: Play) -> Entry:
    return _with_value(play, lambda value: "1 < 2")


def lambda_value(play: Play) -> Entry:
    return _with_value(play, lambda value: "lambda: 1")


def ellipsis_value(play: Play) -> Entry:
    return _with_value(play, lambda value: "...")


def bytes_value(play: Play) -> Entry:
    return _with_value(play, lambda value: "b'a'", is_text)


def no_brackets(play: Play) -> Entry:
    return _framed(play, lambda text: text)


def opening_bracket_only(play: Play) -> Entry:
    return _framed(play, lambda text: f"[{text}")


def in_a_tuple(play: Play) -> Entry:
    return _framed(play, lambda text: f"({text},)")


def in_nested_lists(play: Play) -> Entry:
    return _framed(play, lambda text: f"[[{text}]]")


def fenced(play: Play) -> Entry:
    return _framed(play, lambda text: f"```\n[{text}]\n```")


def fenced_as_python(play: Play) -> Entry:
    return _framed(play, lambda text: f"```python\n[{text}]\n```")


def one_backtick(play: Play) -> Entry:
    return _framed(play, lambda text: f"`[{text}]`")


def quoted(play: Play) -> Entry:
    return _framed(play, lambda text: f"'[{text}]'")


def indented(play: Play) -> Entry:
    return _framed(play, lambda text: f"[\n    {text},\n]")


def tab_before(play: Play) -> Entry:
    return _framed(play, lambda text: f"\t[{text}]\t")


def with_a_comment(play: Play) -> Entry:
    return _framed(play, lambda text: f"[{text}  # as asked\n]")


def assigned(play: Play) -> Entry:
    return _framed(play, lambda text: f"[result := {text}]")


def comment_after(play: Play) -> Entry:
    return _framed(play, lambda text: f"[{text}]  # as asked")


def two_lists(play: Play) -> Entry:
    return _framed(play, lambda text: f"[{text}]\n[{text}]")


def calls_on_lines(play: Play) -> Entry:
    return _framed(play, lambda text: f"{text}\n{text}")


def tag_around(play: Play) -> Entry:
    return _framed(play, lambda text: f"<TOOLCALL>[{text}]</TOOLCALL>")


def a_name_beside(play: Play) -> Entry:
    """An element that is no call: the decoder gives up the whole message."""
    return _framed(play, lambda text: f"[{text}, done]")


KINDS: list[Kind] = [
    positional_arguments,
    first_argument_positional,
    keywords_unpacked,
    nested_call,
    nested_call_with_keywords,
    arithmetic,
    wrong_arithmetic,
    joined_text,
    adjacent_text,
    formatted_text,
    triple_quoted_text,
    bare_word,
    javascript_constants,
    unary_plus,
    double_negation,
    negated,
    empty_object,
    object_of_objects,
    unknown_tool_with_an_empty_object,
    set_of_values,
    tuple_for_list,
    subscript,
    attribute,
    comparison,
    lambda_value,
    ellipsis_value,
    bytes_value,
    no_brackets,
    opening_bracket_only,
    in_a_tuple,
    in_nested_lists,
    fenced,
    fenced_as_python,
    one_backtick,
    quoted,
    indented,
    tab_before,
    with_a_comment,
    assigned,
    comment_after,
    two_lists,
    calls_on_lines,
    tag_around,
    a_name_beside,
]
