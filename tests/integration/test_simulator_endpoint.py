"""The endpoint simulator on a real server. The bundled policy is no simulator: what it says must not reach anybody."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from model_server import free_port, serving

from fission_grpo.errors import UserError
from fission_grpo.rollout.loading import locate_model
from fission_grpo.simulators.answer import AnswerFault
from fission_grpo.simulators.cache import ReplyCache
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.simulators.endpoint import EndpointOptions, EndpointSimulator
from fission_grpo.simulators.rules import RulesSimulator
from fission_grpo.types import Failure, FailureKind, ToolCall, ToolResult

RUNTIME_ERROR = Failure(
    task_id="t",
    scenario="s",
    messages=({"role": "user", "content": "Show the notes in docs."},),
    tools=(),
    prompt_ids=(1, 2),
    completion_ids=(3,),
    text="",
    calls=(ToolCall("cat", {"file_name": "notes.txt"}),),
    results=(ToolResult("cat: notes.txt: No such file", is_error=True),),
    kind=FailureKind.RUNTIME_ERROR,
    call_index=0,
    reference=(ToolCall("cd", {"folder": "docs"}),),
)
WRONG_TOOL = replace(RUNTIME_ERROR, kind=FailureKind.WRONG_TOOL, results=(ToolResult("notes"),))
FAILURES = [RUNTIME_ERROR, WRONG_TOOL, RUNTIME_ERROR]


@pytest.mark.slow
def test_a_server_whose_model_is_no_simulator(tmp_path: Path) -> None:
    port = free_port()
    url, model = f"http://127.0.0.1:{port}/v1", locate_model("bundled")
    options = EndpointOptions(url, model, concurrency=2, timeout=120.0, max_new_tokens=16)

    before = EndpointSimulator(replace(options, retries=0), ReplyCache(None))
    with pytest.raises(UserError, match="no connection"):
        before.check()

    cache = tmp_path / "replies.jsonl"
    simulator = EndpointSimulator(options, ReplyCache(cache))
    chain = FallbackChain([simulator, RulesSimulator()])
    with serving(port):
        simulator.check()
        wrong_model = EndpointSimulator(replace(options, model="no/such-model", retries=0), ReplyCache(None))
        with pytest.raises(UserError, match=r"model 'no/such-model'.*check .*model"):
            wrong_model.check()
        feedbacks = chain.diagnose(FAILURES)
    assert [(feedback.source, feedback.replaced) for feedback in feedbacks] == [("rules", "endpoint")] * 3
    assert simulator.counts == {"requests": 5, "answered": 6}  # one to check, two that differ, each drawn twice
    assert 0 < simulator.tokens["completion"] <= 4 * 16
    assert simulator.tokens["prompt"] > 4 * 100
    unanswered = Counter(
        {key.removeprefix("unanswered/endpoint/"): count for key, count in chain.counts.items() if "unanswered" in key}
    )
    assert unanswered.total() == 6
    assert set(unanswered) <= set(AnswerFault)
    assert (chain.counts["asked_again/endpoint"], chain.counts["answered/rules"]) == (3, 3)

    resumed = EndpointSimulator(options, ReplyCache(cache))  # nobody is there any more
    again = FallbackChain([resumed, RulesSimulator()])
    assert again.diagnose(FAILURES) == feedbacks
    assert again.counts == chain.counts
    assert resumed.counts == {"cached": 6}
