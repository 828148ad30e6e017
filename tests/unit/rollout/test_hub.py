"""Whether the hub can give a model is asked once, and quickly."""

from unittest.mock import Mock

import pytest
from huggingface_hub.errors import HfHubHTTPError

from fission_grpo.rollout.hub import hub_has

INFO = "huggingface_hub.HfApi.model_info"
CACHED = "huggingface_hub.try_to_load_from_cache"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Mock(return_value="info"), True),
        (Mock(side_effect=HfHubHTTPError("404: no such model", response=Mock())), True),
        (Mock(side_effect=ConnectionError("no route")), False),
        (Mock(side_effect=TimeoutError("no answer")), False),
    ],
    ids=["gives", "refuses", "unreachable", "silent"],
)
def test_an_answer_of_any_kind_counts(monkeypatch: pytest.MonkeyPatch, answer: Mock, expected: bool) -> None:
    monkeypatch.setattr(CACHED, Mock(return_value=None))
    monkeypatch.setattr(INFO, answer)
    assert hub_has("some/model") is expected
    assert answer.call_count == 1


def test_a_cached_model_needs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CACHED, Mock(return_value="/cache/config.json"))
    monkeypatch.setattr(INFO, Mock(side_effect=AssertionError("was asked")))
    assert hub_has("some/model")
