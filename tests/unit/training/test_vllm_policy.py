"""`VLLMPolicy` over an engine that is as strict as TRL's: collective, and for equally many prompts of every process."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from fission_grpo.rollout.policy import Sampling
from fission_grpo.training import vllm_policy
from fission_grpo.training.vllm_policy import VLLMPolicy
from fission_grpo.types import StopReason

END, IDLE = 9, 0


class Ranks:
    """Two processes as threads: a gather and an engine that wait for both, and fail where one does not come."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2, timeout=5)
        self._own = threading.local()
        self._shared: list[Any] = [None, None]
        self.rounds: list[tuple[list[list[int]], list[list[int]]]] = []

    def enter(self, rank: int) -> None:
        self._own.rank = rank

    def gather(self, values: list[Any]) -> list[Any]:
        """Accelerate's `gather_object`: the lists of all ranks, joined."""
        self._shared[self._own.rank] = values
        self._barrier.wait()
        both = [*self._shared[0], *self._shared[1]]
        self._barrier.wait()
        return both

    def generate(self, prompts: list[list[int]], images: None, num_generations: int) -> tuple[Any, ...]:
        assert num_generations == 1
        self._shared[self._own.rank] = prompts
        self._barrier.wait()
        if self._own.rank == 0:
            self.rounds.append((self._shared[0], self._shared[1]))
            assert len(self._shared[0]) == len(self._shared[1]), "TRL would hand out completions of other prompts"
        self._barrier.wait()
        return prompts, [[*ids, END] for ids in prompts], [[[-0.5]] * (len(ids) + 1) for ids in prompts], None


def policy(engine: Any, processes: int, mode: str = "server", parallel: int = 1) -> VLLMPolicy:
    generation = SimpleNamespace(generate=engine.generate, mode=mode, tensor_parallel_size=parallel)
    return VLLMPolicy(generation, SimpleNamespace(num_processes=processes), frozenset({END}), [IDLE])  # pyright: ignore


@pytest.mark.parametrize(("mode", "parallel"), [("server", 1), ("colocate", 2)])
def test_processes_with_episodes_of_other_lengths_take_the_same_rounds(
    monkeypatch: pytest.MonkeyPatch, mode: str, parallel: int
):
    ranks = Ranks()
    monkeypatch.setattr(vllm_policy, "gather_object", ranks.gather)
    prompts_of_rounds = {0: [[[1], [2]], [[1, 1]], [[1, 1, 1]]], 1: [[[5]]]}

    def play(rank: int) -> list[list[tuple[int, ...]]]:
        ranks.enter(rank)
        own = policy(ranks, 2, mode, parallel)
        answers = [[each.ids for each in own.generate(prompts, Sampling())] for prompts in prompts_of_rounds[rank]]
        own.finish()
        return answers

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(play, (0, 1))
    assert first == [[(1, END), (2, END)], [(1, 1, END)], [(1, 1, 1, END)]]
    assert second == [[(5, END)]]
    assert [len(of_second) for _, of_second in ranks.rounds] == [2, 1, 1]  # as many as the fullest has
    assert ranks.rounds[-1][1] == [[IDLE]]


def test_a_process_without_any_episode_still_takes_part(monkeypatch: pytest.MonkeyPatch):
    ranks = Ranks()
    monkeypatch.setattr(vllm_policy, "gather_object", ranks.gather)

    def play(rank: int) -> None:
        ranks.enter(rank)
        own = policy(ranks, 2)
        if rank == 0:
            own.generate([[1]], Sampling())
        own.finish()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(play, (0, 1)))
    assert ranks.rounds == [([[1]], [[IDLE]])]


class Engine:
    """One process: whatever it is asked, at once."""

    def __init__(self, ids: list[int]) -> None:
        self.asked: list[list[list[int]]] = []
        self._ids = ids

    def generate(self, prompts: list[list[int]], images: None, num_generations: int) -> tuple[Any, ...]:
        self.asked.append(prompts)
        return prompts, [self._ids for _ in prompts], [[[-0.25] for _ in self._ids] for _ in prompts], None


@pytest.mark.parametrize(
    ("processes", "mode"), [(1, "server"), (1, "colocate"), (4, "colocate")], ids=["one", "one colocated", "an engine each"]
)
def test_an_engine_of_ones_own_is_asked_for_ones_own_prompts_alone(
    monkeypatch: pytest.MonkeyPatch, processes: int, mode: str
):
    def never(_: Any) -> Any:
        raise AssertionError("no other process takes part")

    monkeypatch.setattr(vllm_policy, "gather_object", never)
    engine = Engine([7, 8])
    own = policy(engine, processes, mode)
    (completion,) = own.generate([(1, 2)], Sampling())
    own.finish()
    assert engine.asked == [[[1, 2]]]
    assert (completion.ids, completion.logprobs) == ((7, 8), (-0.25, -0.25))


@pytest.mark.parametrize(("ids", "reason"), [([7, END], StopReason.END), ([7], StopReason.LENGTH), ([], StopReason.LENGTH)])
def test_a_message_without_its_end_token_was_cut(ids: list[int], reason: StopReason):
    (completion,) = policy(Engine(ids), 1).generate([[1]], Sampling())
    assert completion.stop_reason is reason
