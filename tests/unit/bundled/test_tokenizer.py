"""Text survives the tokenizer, names are spelled the same everywhere, and the template is prefix-stable."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from fission_grpo.bundled.examples import Demonstration, render
from fission_grpo.bundled.tokenizer import CALL_TOKENS, SPECIAL_TOKENS
from fission_grpo.chat.parsing import parse_message, render_calls
from fission_grpo.chat.template import ChatFormat
from fission_grpo.tasks.names import CONSONANTS, VOWELS
from fission_grpo.types import ToolCall

_SYLLABLES = st.sampled_from([consonant + vowel for consonant in CONSONANTS for vowel in VOWELS])
_NAMES = st.lists(_SYLLABLES, min_size=2, max_size=3).map("".join)


def test_every_demonstration_survives_a_round_trip(tokenizer: PreTrainedTokenizerFast, shown: list[Demonstration]) -> None:
    for demonstration in shown:
        text = render(demonstration.messages, demonstration.tools)
        assert tokenizer.decode(tokenizer.backend_tokenizer.encode(text).ids) == text


@given(text=st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_text_survives_a_round_trip(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.backend_tokenizer.encode(text).ids) == text


@given(name=_NAMES)
@settings(max_examples=100, deadline=None)
def test_a_name_is_the_same_tokens_wherever_it_stands(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    # A word that many demonstrations share is one token, with its leading space or without: no invented name is such a word.
    assume(not {name, f"Ġ{name}"} & tokenizer.get_vocab().keys())

    def encode(text: str) -> list[str]:
        return tokenizer.backend_tokenizer.encode(text).tokens

    alone = encode(name)
    contexts = (
        encode(f"Show {name}.txt, please."),
        encode(render_calls([ToolCall("cat", {"file_name": f"{name}.txt"})])),
        encode(f'{{"error": "cat: \'{name}.txt\': No such file or directory"}}'),
        encode(f"the folder {name}/other"),
    )
    for tokens in contexts:
        assert any(tokens[start : start + len(alone)] == alone for start in range(len(tokens)))


def test_special_tokens_are_one_token_each(tokenizer: PreTrainedTokenizerFast) -> None:
    for token in (*SPECIAL_TOKENS, *CALL_TOKENS):
        assert len(tokenizer.backend_tokenizer.encode(token).ids) == 1
    assert set(SPECIAL_TOKENS) == set(tokenizer.all_special_tokens)


def test_the_template_writes_calls_as_the_parser_reads_them(tokenizer: PreTrainedTokenizerFast) -> None:
    calls = (ToolCall("cat", {"file_name": "ta.txt"}), ToolCall("ls", {}))
    text = render_calls(calls)
    message = ChatFormat(tokenizer).assistant_message(text)
    assert render([message], ()) == f"<|assistant|>{text}<|end|>"
    assert parse_message(text).calls == calls


def test_the_template_is_prefix_stable(tokenizer: PreTrainedTokenizerFast, shown: list[Demonstration]) -> None:
    chat = ChatFormat(tokenizer)
    for demonstration in shown[:20]:
        whole = tokenizer.backend_tokenizer.encode(render(demonstration.messages, demonstration.tools)).ids
        for count, message in enumerate(demonstration.messages):
            if message["role"] == "assistant":
                prefix = chat.render(demonstration.messages[:count], demonstration.tools)
                assert whole[: len(prefix)] == prefix
