"""A training whose simulator is an endpoint that misbehaves: it ends, and every feedback that stood in is counted."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_simulator_chain import RECIPES, fission, lines

from faulty_endpoint import Answer, cut, faulty_endpoint, hang_up, refusal, says, send
from fission_grpo.simulators.answer import answer_text
from fission_grpo.types import FailureKind

HONEST = says(answer_text(FailureKind.RUNTIME_ERROR, "The call failed. Check its arguments."))
PROSE = says("I am sorry, I cannot help with that.")
SETTINGS = [
    *("trainer.max_steps=3", "trainer.save_steps=1", "trainer.num_generations=4", "fission.recovery_generations=4"),
    *("trainer.per_device_train_batch_size=16", "trainer.gradient_accumulation_steps=2", "rollout.max_new_tokens=32"),
    *("tasks.train={generate: {count: 12, seed: 5, mix: compact}}", "fission.simulators=[endpoint, rules]"),
    "simulator.alignment={every: 1, failures: 6}",
]
KEY = "sk-canary-0123456789"
ECHO = says(answer_text(FailureKind.RUNTIME_ERROR, f"The key {KEY} was not found."))
FAULTS: dict[str, list[Answer]] = {
    # the first answer is that to the check before the run
    "mixed": [
        HONEST,
        HONEST,
        ECHO,
        PROSE,
        refusal(400, f"bad key {KEY}"),
        cut,
        refusal(503, "loading"),
        HONEST,
        send("<html>", kind="text/html"),
        hang_up,
        PROSE,
    ],
    "gone": [HONEST, hang_up],
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_training_ends_and_every_fallback_is_counted(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the key that the endpoint is given, and repeats, is nowhere in what is written and printed."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    run = tmp_path / "run"
    with faulty_endpoint(FAULTS[fault]) as endpoint:
        where: dict[str, Any] = {"base_url": endpoint.url, "model": "m", "retries": 0, "timeout": 5.0}
        settings = [*SETTINGS, f"simulator.endpoint={json.dumps(where)}"]
        said = fission("train", str(RECIPES / "bfcl_quick.yaml"), *settings, "--run", str(run))
        assert endpoint.keys == [f"Bearer {KEY}"] * len(endpoint.requests)
        assert len(endpoint.requests) > 1
    assert KEY not in said
    assert not [path for path in run.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    metrics = lines(run / "metrics.jsonl")
    assert [record["step"] for record in metrics] == [1, 2, 3]
    assert (run / "model" / "model.safetensors").exists()
    groups = lines(run / "trajectories" / "fission_groups.jsonl")
    assert len(groups) == sum(record["recovery_groups"] for record in metrics) > 0
    for record in metrics:
        ours = [group for group in groups if group["step"] == record["step"]]
        counts = record["simulator"]
        for source in ("endpoint", "rules", "fixed"):
            told = sum(group["feedback"]["source"] == source for group in ours)
            assert counts.get(f"answered/{source}", 0) == record["feedback"].get(source, 0) == told
    fell_back = [group for group in groups if group["feedback"]["source"] != "endpoint"]
    assert fell_back
    assert all(group["feedback"]["replaced"] == "endpoint" for group in fell_back if not group["failure"]["format_error"])
    alignment = lines(run / "alignment.jsonl")
    assert [record["step"] for record in alignment] == [1, 2, 3]
    assert sum(record["fallback"][0] for record in alignment) == sum(
        not group["failure"]["format_error"] for group in fell_back
    )
    if fault == "gone":
        assert all(record["usable"][0] == 0 for record in alignment)
