"""The decoding loop against transformers' own `generate` and against plain forward passes."""

import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from fission_grpo.errors import UserError
from fission_grpo.rollout import cache
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.transformers_policy import TransformersPolicy
from fission_grpo.types import Completion, StopReason

VOCABULARY, END = 50, 3
GREEDY = Sampling(temperature=0.0, max_new_tokens=12)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        initializer_range=0.3,
    )
    return Qwen3ForCausalLM(config).eval()


def policy_on(model: PreTrainedModel, **settings: int) -> TransformersPolicy:
    return TransformersPolicy(model, pad_id=0, end_ids=[END], **settings)


def random_prompts(count: int, seed: int = 0, longest: int = 30) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest, (count,), generator=generator).tolist()
    return [torch.randint(4, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]


def full_forward_logprobs(
    model: PreTrainedModel, prompt: list[int], ids: tuple[int, ...], temperature: float
) -> list[float]:
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    return logprobs.gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()


def test_greedy_equals_generate(model: PreTrainedModel) -> None:
    prompts = random_prompts(9)
    completions = policy_on(model, batch_size=4).generate(prompts, GREEDY)
    for prompt, completion in zip(prompts, completions, strict=True):
        reference: torch.Tensor = model.generate(  # pyright: ignore[reportCallIssue]
            torch.tensor([prompt]), max_new_tokens=12, do_sample=False, eos_token_id=END, pad_token_id=0
        )
        assert list(completion.ids) == reference[0, len(prompt) :].tolist()


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_logprobs_equal_a_full_forward_pass(model: PreTrainedModel, temperature: float) -> None:
    prompts = random_prompts(10)
    sampling = Sampling(temperature=temperature, max_new_tokens=12, seed=1)
    for prompt, completion in zip(prompts, policy_on(model, batch_size=4).generate(prompts, sampling), strict=True):
        assert completion.logprobs == pytest.approx(
            full_forward_logprobs(model, prompt, completion.ids, temperature), abs=1e-4
        )


@pytest.mark.parametrize(("batch_size", "copies"), [(3, 4), (5, 1), (20, 3)])
def test_batch_size_and_siblings_leave_samples_alone(model: PreTrainedModel, batch_size: int, copies: int) -> None:
    prompts = random_prompts(4) * copies
    sampling = Sampling(max_new_tokens=10, seed=7)
    alone = policy_on(model, batch_size=1).generate(prompts, sampling)
    together = policy_on(model, batch_size=batch_size).generate(prompts, sampling)
    assert [completion.ids for completion in together] == [completion.ids for completion in alone]


def test_waiting_rows_take_the_places_of_finished_ones(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, decoded = model.forward, list[int]()

    def watched(**inputs: Any) -> Any:
        if inputs["input_ids"].shape[1] == 1:
            decoded.append(inputs["input_ids"].shape[0])
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", watched)
    prompts = [[*prompt, 5, 6] for prompt in random_prompts(60)]  # none of one token, whose reading looks like decoding
    policy = TransformersPolicy(model, pad_id=0, end_ids=range(3, 10), batch_size=8)
    completions = policy.generate(prompts, Sampling(max_new_tokens=40, seed=2))
    lengths = [len(completion.ids) for completion in completions]
    assert sum(lengths) < 60 * 10 and max(lengths) == 40  # most are short, and a batch would wait for its longest
    assert len(decoded) < 0.7 * sum(max(lengths[start : start + 8]) for start in range(0, 60, 8))
    assert set(decoded[: len(decoded) // 2]) == {8}


def test_siblings_differ_and_seeds_repeat(model: PreTrainedModel) -> None:
    prompts = random_prompts(1) * 8
    policy = policy_on(model)
    first = policy.generate(prompts, Sampling(max_new_tokens=10, seed=1))
    assert first == policy.generate(prompts, Sampling(max_new_tokens=10, seed=1))
    assert len({completion.ids for completion in first}) > 1
    unseeded = [policy_on(model, seed=5).generate(prompts, Sampling(max_new_tokens=10)) for _ in range(2)]
    assert unseeded[0] == unseeded[1]


def test_ends_with_the_end_token_or_the_limit(model: PreTrainedModel) -> None:
    completions = policy_on(model).generate(random_prompts(40), Sampling(max_new_tokens=30, seed=0))
    ended = [completion for completion in completions if completion.stop_reason is StopReason.END]
    cut = [completion for completion in completions if completion.stop_reason is StopReason.LENGTH]
    assert ended and cut and len(ended) + len(cut) == 40
    assert all(completion.ids[-1] == END and END not in completion.ids[:-1] for completion in ended)
    assert all(len(completion.ids) == 30 and END not in completion.ids for completion in cut)


def test_sampled_frequencies_are_the_models(model: PreTrainedModel) -> None:
    prompt = random_prompts(1)[0]
    sampling = Sampling(max_new_tokens=1, seed=3)
    drawn = policy_on(model, batch_size=4000).generate([prompt] * 4000, sampling)
    with torch.inference_mode():
        expected = torch.softmax(model(torch.tensor([prompt])).logits[0, -1], dim=-1)
    counts = torch.bincount(torch.tensor([completion.ids[0] for completion in drawn]), minlength=VOCABULARY)
    assert torch.allclose(counts / 4000, expected, atol=0.03)


def test_top_k_and_top_p_cut_the_tail(model: PreTrainedModel) -> None:
    prompt = random_prompts(1)[0]
    with torch.inference_mode():
        probs, order = torch.softmax(model(torch.tensor([prompt])).logits[0, -1], dim=-1).sort(descending=True)
    nucleus = set(order[: int((probs.cumsum(0) < 0.5).sum()) + 1].tolist())

    def first_tokens(sampling: Sampling) -> set[int]:
        completions = policy_on(model, batch_size=500).generate([prompt] * 500, sampling)
        return {completion.ids[0] for completion in completions}

    assert first_tokens(Sampling(top_k=2, max_new_tokens=1, seed=0)) == set(order[:2].tolist())
    assert first_tokens(Sampling(top_p=0.5, max_new_tokens=1, seed=0)) == nucleus


def continue_dialogue(policy: TransformersPolicy, rounds: int) -> list[list[Completion]]:
    """Several rounds of growing prompts, as the driver makes them, some rows leaving on the way."""
    prompts, history = random_prompts(3) * 3, []
    for index in range(rounds):
        completions = policy.generate(prompts, Sampling(max_new_tokens=8, seed=index))
        history.append(completions)
        pairs = list(zip(prompts, completions, strict=True))[: len(prompts) - 2]
        answers = random_prompts(len(pairs), seed=index, longest=7)
        prompts = [[*prompt, *completion.ids, *more] for (prompt, completion), more in zip(pairs, answers, strict=True)]
    return history


@pytest.mark.parametrize("prefix_bytes", [1 << 30, 20_000])
def test_reused_prefixes_change_nothing(model: PreTrainedModel, prefix_bytes: int) -> None:
    plain = continue_dialogue(policy_on(model, batch_size=4), rounds=4)
    policy = policy_on(model, batch_size=4, prefix_bytes=prefix_bytes)
    with policy.reusing_prefixes():
        reused = continue_dialogue(policy, rounds=4)
    for before, after in zip(plain, reused, strict=True):
        assert [completion.ids for completion in after] == [completion.ids for completion in before]
        for one, other in zip(before, after, strict=True):
            assert other.logprobs == pytest.approx(one.logprobs, abs=1e-4)


def test_reused_prefixes_are_not_computed_again(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, forward = policy_on(model), model.forward
    widths: list[int] = []

    def watched(**inputs: Any) -> Any:
        widths.append(inputs["input_ids"].shape[1])
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", watched)
    prompt = random_prompts(1, longest=30)[0] * 5
    with policy.reusing_prefixes():
        completion = policy.generate([prompt], GREEDY)[0]
        assert widths[0] == len(prompt)
        widths.clear()
        policy.generate([[*prompt, *completion.ids, 9, 9]], GREEDY)
        assert widths[0] == 3  # the last sampled token was never fed, and two are new
    widths.clear()
    policy.generate([[*prompt, *completion.ids, 9, 9]], GREEDY)
    assert widths[0] == len(prompt) + len(completion.ids) + 2


def test_a_dialogue_that_reads_differently_at_its_end_keeps_its_beginning(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_MIN_PART", 10)
    beginning = random_prompts(1, longest=30)[0] * 5
    prompts = [[*beginning, 7, 8, 9], [*beginning, 11]]
    plain = [policy_on(model).generate([prompt], GREEDY)[0] for prompt in prompts]
    policy, forward = policy_on(model), model.forward
    widths: list[int] = []

    def watched(**inputs: Any) -> Any:
        widths.append(inputs["input_ids"].shape[1])
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", watched)
    with policy.reusing_prefixes():
        assert policy.generate([prompts[0]], GREEDY)[0].ids == plain[0].ids
        widths.clear()
        assert policy.generate([prompts[1]], GREEDY)[0].ids == plain[1].ids
    assert widths[0] == 1  # all but the last token is in common


def test_a_model_with_sliding_windows(model: PreTrainedModel) -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = model.config.to_dict()
    settings |= {"use_sliding_window": True, "sliding_window": 6, "layer_types": ["full_attention", "sliding_attention"]}
    sliding = Qwen3ForCausalLM(Qwen3Config(**settings)).eval()
    check_greedy(sliding)


def test_a_model_with_learned_positions() -> None:
    torch.manual_seed(0)
    check_greedy(GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64)).eval())


def check_greedy(model: PreTrainedModel) -> None:
    prompts = random_prompts(5) * 2
    policy = policy_on(model, batch_size=4)
    with policy.reusing_prefixes():
        completions = policy.generate(prompts, GREEDY)
    for prompt, completion in zip(prompts, completions, strict=True):
        ids = list(prompt)
        for token in completion.ids:
            with torch.inference_mode():
                assert int(model(torch.tensor([ids])).logits[0, -1].argmax()) == token
            ids.append(token)


def test_training_mode_comes_back(model: PreTrainedModel) -> None:
    model.train()
    policy_on(model).generate([[5, 6]], GREEDY)
    assert model.training
    model.eval()


def test_no_prompts(model: PreTrainedModel) -> None:
    assert policy_on(model).generate([], GREEDY) == []


def test_prompt_and_completion_stay_within_the_context(model: PreTrainedModel) -> None:
    policy = TransformersPolicy(model, pad_id=0, end_ids=[], context_tokens=20)
    prompts = [*random_prompts(3, longest=12), [5] * 19]
    completions = policy.generate(prompts, GREEDY)
    assert [len(one.ids) for one in completions] == [min(12, 20 - len(prompt)) for prompt in prompts]
    assert {one.stop_reason for one in completions} == {StopReason.LENGTH}
    free = TransformersPolicy(model, pad_id=0, end_ids=[]).generate(prompts, GREEDY)
    assert [one.ids == other.ids[: len(one.ids)] for one, other in zip(completions, free, strict=True)] == [True] * 4


def with_memory_for(model: PreTrainedModel, rows: int, monkeypatch: pytest.MonkeyPatch, after: int = 0) -> list[int]:
    """Lets the model's forward raise what torch raises, above so many rows, from its call `after` on. Returns rows asked."""
    forward, asked = model.forward, list[int]()

    def limited(**inputs: Any) -> Any:
        asked.append(inputs["input_ids"].shape[0])
        if len(asked) > after and asked[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", limited)
    return asked


@pytest.mark.parametrize("after", [0, 5])
def test_out_of_memory_halves_the_rows_and_changes_nothing(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, after: int
) -> None:
    prompts, sampling = random_prompts(24), Sampling(max_new_tokens=10, seed=7)
    expected = policy_on(model, batch_size=16).generate(prompts, sampling)
    policy = policy_on(model, batch_size=16)
    asked = with_memory_for(model, 5, monkeypatch, after)
    found = policy.generate(prompts, sampling)
    assert [completion.ids for completion in found] == [completion.ids for completion in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
        assert one.stop_reason == other.stop_reason
    assert (policy.batch_size, policy.halvings) == (4, 2)
    assert [record.message for record in caplog.records] == [
        "Out of memory with 16 rows decoded together: now 8",
        "Out of memory with 8 rows decoded together: now 4",
    ]
    asked.clear()
    assert policy.generate(prompts, sampling) == found
    assert max(asked) == 4  # what was learnt is kept


def test_a_last_few_rows_without_memory_say_nothing_of_a_full_batch(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the longest."""
    policy = policy_on(model, batch_size=16)
    with_memory_for(model, 2, monkeypatch)
    policy.generate(random_prompts(6), Sampling(max_new_tokens=4, seed=7))
    assert policy.halvings > 0 and policy.batch_size == 16


def test_out_of_memory_inside_a_dialogue_keeps_its_prefixes(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = continue_dialogue(policy_on(model, batch_size=9), rounds=4)
    policy = policy_on(model, batch_size=9)
    with_memory_for(model, 4, monkeypatch, after=12)
    with policy.reusing_prefixes():
        found = continue_dialogue(policy, rounds=4)
    assert [[each.ids for each in row] for row in found] == [[each.ids for each in row] for row in expected]
    assert policy.halvings > 0


def test_no_memory_for_a_single_row_is_one_sentence(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory_for(model, 0, monkeypatch)
    with pytest.raises(UserError, match=r"out of memory .* a prompt of \d+ tokens .* lower max_context_tokens or"):
        policy_on(model, batch_size=4).generate(random_prompts(4), GREEDY)


def test_other_errors_of_the_model_pass_through(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> Any:
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")

    monkeypatch.setattr(model, "forward", broken)
    with pytest.raises(RuntimeError, match="must match"):
        policy_on(model).generate(random_prompts(2), GREEDY)


@contextmanager
def address_space(more: int) -> Generator[None]:
    """Lets this process take so many bytes more, and none beyond."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the address space is limited as Linux does")
def test_the_cpus_own_allocator_really_runs_out() -> None:
    """Nothing of the failure is made up: the cache takes 3.2 MB a row."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=4096,
        intermediate_size=16,
    )
    model = Qwen3ForCausalLM(config).eval()
    prompts, sampling = [[4 + row] * 100 for row in range(32)], Sampling(max_new_tokens=2, seed=1)
    expected = policy_on(model, batch_size=2).generate(prompts, sampling)
    policy = policy_on(model, batch_size=32)
    with address_space(100_000_000):
        found = policy.generate(prompts, sampling)
    assert [completion.ids for completion in found] == [completion.ids for completion in expected]
    assert 1 <= policy.batch_size < 32
