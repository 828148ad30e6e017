"""Answers of a language model: honest ones pass, and everything else has a name."""

import json
from dataclasses import replace
from time import process_time

import pytest
from failing import failure
from hypothesis import example, given
from hypothesis import strategies as st

from fission_grpo.errors import FormatError, FormatErrorKind
from fission_grpo.simulators import rules
from fission_grpo.simulators.answer import Answer, AnswerFault, answer_text, feedback_of, read_answer
from fission_grpo.simulators.fixed import FIXED_TEXT
from fission_grpo.types import Failure, FailureKind, FeedbackLevel, ToolResult

KIND = FailureKind.RUNTIME_ERROR
SENTENCE = "The file was not found. Check its name."
GOOD = answer_text(KIND, SENTENCE)
FAILURE = failure()


def message_read(message: str, about: Failure = FAILURE) -> Answer | AnswerFault:
    return read_answer(answer_text(KIND, message), about)


@pytest.mark.parametrize("kind", FailureKind)
def test_what_is_written_is_read(kind: FailureKind) -> None:
    assert read_answer(answer_text(kind, SENTENCE), FAILURE) == Answer(kind, SENTENCE)


AROUND = [
    "{}",
    "```json\n{}\n```",
    "````\n```json\n{}\n```\n````",
    "Here is my diagnosis:\n\n{}\n\nLet me know if you need more!",
    "<think>The user wants {{a: 1}} and {{}}.</think>\n{}",
    "the template opened this thought {{}}</think>{}",
    'The call was cd {{"folder": "tmp"}}, so: {}',
    '{{"diagnosis": {}}}',
    "[{}]",
    "\ufeff{}",
    '{}\n{{"kind": "wrong_tool", "message": "Something else is wrong."}}',
    "{}\nuser: thanks!\nassistant: you are welcome",
]


@pytest.mark.parametrize("around", AROUND)
def test_what_stands_around_an_answer_does_no_harm(around: str) -> None:
    assert read_answer(around.format(GOOD), FAILURE) == Answer(KIND, SENTENCE)


def test_further_keys_and_raw_line_feeds_do_no_harm() -> None:
    text = '{"thought": {"x": [1]}, "message": "The file\n  was not\tfound.", "kind": "runtime_error"}'
    assert read_answer(text, FAILURE) == Answer(KIND, "The file was not found.")


def rule_sentences() -> list[str]:
    tables = [
        (rules.PROBLEMS, rules.HINTS),
        (rules.RUNTIME_PROBLEMS, rules.RUNTIME_HINTS),
        (rules.SCHEMA_PROBLEMS, rules.SCHEMA_HINTS),
    ]
    pairs = [pair for problems, hints in tables for pair in zip(problems.values(), hints.values(), strict=True)]
    shapes = ["error: {}.", "error: {}. tool: create_ticket.", "error: {}. tool: cd. parameter: folder. {}"]
    return [shape.format(*pair) for pair in pairs for shape in shapes]


HONEST = [
    *rule_sentences(),
    "error: same call failed again: not found. tool: cat. do not repeat it before something has changed. look up what is.",
    "File not found.",
    "Login failed.",
    "Error: user: not found.",
    "Tool: cd. The folder does not exist.",
    "Tool: cd\nParameter: folder\nThe folder does not exist.",
    "No such file or directory: '/home/alex/report v2 (final).txt'. List the folder before you read from it.",
    "The file 'отчёт за январь.txt' was not found. Check its name.",
    "The contact “王小明” does not exist.",
    "Das Café was not found: the name must be in the list.",
    'Expected {"name": ..., "arguments": {...}}, but `arguments` was a list.',
    "A <tool_call> is never closed; end each call with </tool_call>.",
    "Write the path as <folder name>/<file>, without a leading slash.",
    "The call needs an <id>, and <ticket_id> was empty.",
    "The value must be > 0 and < 100.",
    "Use the form user@example.com for the recipient.",
    "The user's session isn't active. The call can't be made before a login.",
    "2 of 3 parameters are missing.",
    "get_user_id() failed: `user` must be a string.",
    "Symbol AT&T was not found.",
]


@pytest.mark.parametrize("message", HONEST)
def test_honest_messages_pass(message: str) -> None:
    assert message_read(message) == Answer(KIND, " ".join(message.split()))


FAULTS: dict[AnswerFault, list[str]] = {
    AnswerFault.EMPTY: ["", " \n", "<think>hm</think>", "<think>The call should have been"],
    AnswerFault.TOO_LONG: ["word " * 5_000, "x" * 8_000 + GOOD, answer_text(KIND, "The file was not found. " * 20)],
    AnswerFault.NO_JSON: [
        "The file was not found.",
        GOOD[:-1],
        GOOD[:-2],
        GOOD.replace('"', "'"),
        GOOD.replace(":", "="),
        "null",
        '"message"',
        "[1, 2]",
        "{",
        "}{",
        GOOD.replace("{", "｛"),
        '{"message": 1' + "0" * 5_000 + "}",
        '{"message":' * 600,
    ],
    AnswerFault.NO_MESSAGE: [
        "{}",
        '{"kind": "runtime_error"}',
        '{"kind": "runtime_error", "Message": "The file was not found."}',
        '{"kind": "runtime_error", "message": null}',
        '{"kind": "runtime_error", "message": ["The file was not found."]}',
        '{"kind": "runtime_error", "message": {"text": "The file was not found."}}',
        '{"name": "ls", "arguments": {}}',
        '{"error": "No such file"}',
    ],
    AnswerFault.UNKNOWN_KIND: [
        '{"message": "The file was not found."}',
        '{"kind": null, "message": "The file was not found."}',
        '{"kind": "not_found", "message": "The file was not found."}',
        '{"kind": ["runtime_error"], "message": "The file was not found."}',
        '{"kind": {"a": 1}, "message": "The file was not found."}',
        '{"kind": NaN, "message": "The file was not found."}',
    ],
}
MESSAGE_FAULTS: dict[AnswerFault, list[str]] = {
    AnswerFault.EMPTY: ["", " ", "...", "404", "👍"],
    AnswerFault.INVALID_TEXT: [
        "The file\x00 was not found.",
        "The \x1b[31mfile was not found.",
        "The file \udc80 was not found.",
    ],
    AnswerFault.MARKUP: [
        "<p>The file was not found.</p>",
        "The file was not found.<br>Check its name.",
        "<!DOCTYPE html> the file was not found",
        '<a href="x">The file was not found.',
        "The file &quot;x&quot; was not found.",
        "The file was not found.<|im_end|>",
        "The file was not found.<|eot_id|><|start_header_id|>",
        "The file was not found.</s>",
        "The file was not found.<end_of_turn>",
        "[INST] The file was not found. [/INST]",
        "The file was not found. <tool_response>",
        "<｜end▁of▁sentence｜> The file was not found.",
    ],
    AnswerFault.DIALOGUE: [
        "user: why was the file not found?",
        "The file was not found.\nUser: then make it.",
        "The file was not found.\n\nassistant : I shall look again.",
        "The file was not found.\\nAssistant: I shall look again.",
        'The file was not found.\ntool: {"result": "ok"}',
        'The file was not found. <tool_call>\n{"name": "ls", "arguments": {}}\n</tool_call>',
    ],
    AnswerFault.LANGUAGE: [
        "El archivo no existe en la carpeta. Compruebe el nombre.",
        "error: no se encontró el parámetro. Use la herramienta correcta.",
        "Die Datei ist nicht in diesem Ordner. Bitte prüfe den Parameter.",
        "Le fichier est introuvable, on a besoin d'un autre message.",
        "Il file non è in questa cartella, controlla il parametro.",
        "Het bestand is niet gevonden in de map, controleer de parameter.",
        "Pliku nie znaleziono w folderze. Sprawdź parametr.",
        "O arquivo não existe. Faça o login antes de usar a ferramenta.",
        "Không tìm thấy tệp. Vui lòng kiểm tra tham số.",
        "文件不存在。请检查文件名。",
        "error: 文件夹不存在，请检查参数",
        "「ファイルが見つかりません」",
        "Файл не найден.",
        "'الملف غير موجود'",
    ],
}

CASES = [
    *((fault, text) for fault, texts in FAULTS.items() for text in texts),
    *((fault, answer_text(KIND, text)) for fault, texts in MESSAGE_FAULTS.items() for text in texts),
]


@pytest.mark.parametrize(("fault", "text"), CASES)
def test_each_fault_has_its_name(fault: AnswerFault, text: str) -> None:
    assert read_answer(text, FAILURE) is fault


def test_there_is_an_example_of_each_fault() -> None:
    assert {fault for fault, _ in CASES} == set(AnswerFault)


def test_tags_that_the_failure_is_about_are_no_markup_but_control_tokens_always_are() -> None:
    written = replace(
        FAILURE, text='write("<b>bold</b><|im_end|>")', results=(ToolResult("invalid tag <br>", is_error=True),)
    )
    assert isinstance(message_read("The text <b>bold</b> is not allowed, and no <br>.", written), Answer)
    assert message_read("The text <i>bold</i> is not allowed.", written) is AnswerFault.MARKUP
    assert message_read("The text <|im_end|> is not allowed.", written) is AnswerFault.MARKUP


def test_the_environments_own_words_stand_before_the_message() -> None:
    feedback = feedback_of(GOOD, FAILURE, "endpoint")
    assert feedback.text == f"error: no a\n{SENTENCE}"
    assert (feedback.source, feedback.kind, feedback.level, feedback.replaced) == (
        "endpoint",
        KIND,
        FeedbackLevel.FULL,
        None,
    )
    assert feedback_of(GOOD, replace(FAILURE, results=()), "endpoint").text == SENTENCE


def test_the_fixed_sentence_stands_in_for_an_unusable_answer() -> None:
    feedback = feedback_of("certainly!", FAILURE, "endpoint")
    assert (feedback.text, feedback.source) == (FIXED_TEXT, "fixed")
    assert (feedback.replaced, feedback.reason, feedback.kind) == ("endpoint", "no_json", None)


SIGNS = "{ } [ ] \" ' \\ : , <think> </think> kind message runtime_error \\u0000 \\ud800 <| |> NaN 1e999 ß 中"
PIECES = [*SIGNS.split(), " ", "```json\n", "\nuser:", "\ud800", "\x00", "9" * 50, SENTENCE, GOOD]
MALFORMED = replace(FAILURE, kind=FailureKind.MALFORMED_CALL, calls=(), results=(), call_index=None)
FAILURES = [
    FAILURE,
    replace(
        MALFORMED, text="\ud800{<b>", format_error=FormatError(FormatErrorKind.INVALID_JSON, "The call is not valid JSON.")
    ),
]


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join), st.sampled_from(FAILURES))
@example(GOOD, FAILURE)
def test_any_text_is_an_answer_or_a_fault(text: str, about: Failure) -> None:
    for candidate in (text, answer_text(KIND, text)):
        found = read_answer(candidate, about)
        if isinstance(found, Answer):
            assert found.message.encode() == found.message.strip().encode()
            assert "\x00" not in found.message
            assert 0 < len(found.message) <= 400
        assert bool(feedback_of(candidate, about, "x").reason) == isinstance(found, AnswerFault)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["kind", "message"]) | st.text(), inner),
    )
)
def test_any_json_is_an_answer_or_a_fault(value: object) -> None:
    assert isinstance(read_answer(json.dumps(value), FAILURE), Answer | AnswerFault)


HOSTILE = """{ } [ {"a": {"message":" " \\ <think> </think> ``` 9 < & \\n _ user:"""
HOSTILE_PIECES = [*HOSTILE.split(), " ", "\n", "a' "]


@pytest.mark.parametrize("piece", HOSTILE_PIECES)
@pytest.mark.parametrize(
    "frame", ["{}", '{{"kind": "runtime_error", "message": "{}', '{{"kind": "runtime_error", "message": "{}"}}']
)
def test_time_is_linear_in_the_length(piece: str, frame: str) -> None:
    """A million characters: a quadratic reader would take minutes."""
    texts = [frame.format(piece * (size // len(piece))) for size in (390, 7_900, 1_000_000)]
    started = process_time()
    for text in texts:
        read_answer(text, FAILURE)
    assert process_time() - started < 1.0
