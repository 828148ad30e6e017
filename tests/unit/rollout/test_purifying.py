"""CLEANER's episodes in the world of doors: what a policy repairs is gone, what it does not repair stays."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import END, UNLOCK, CharacterChat, Doors, ScriptedPolicy, calling, careful, door_task, enter, stubborn

from fission_grpo.rollout.driver import EpisodeLimits, play_episodes
from fission_grpo.rollout.episode import Episode
from fission_grpo.rollout.policy import Sampling
from fission_grpo.rollout.purifying import PurifyingEpisode, likeness, merged
from fission_grpo.tasks.task import Task
from fission_grpo.types import Completion, Step, StopReason, TakenBack, ToolCall, Trajectory

CHAT = CharacterChat()
NOTHING = TakenBack()


def play(
    policy: ScriptedPolicy,
    task: Task,
    limits: EpisodeLimits | None = None,
    episode_type: type[Episode] = PurifyingEpisode,
    world: type[Doors] = Doors,
) -> Trajectory:
    sampling = Sampling(max_new_tokens=300)
    return play_episodes(
        [task], lambda _: world(), policy, CHAT, limits or EpisodeLimits(), sampling, episode_type=episode_type
    )[0]


def replies(texts: Sequence[str]) -> ScriptedPolicy:
    """Says these texts one after the other, then that it is done."""
    remaining = list(texts)
    return ScriptedPolicy(lambda context: remaining.pop(0) if remaining else "Done.")


def said(text: str) -> Completion:
    ids = (*map(ord, text), END)
    return Completion(ids, (-1.0,) * len(ids), StopReason.END)


def without_snapshots(steps: Sequence[Step]) -> list[Step]:
    return [replace(step, snapshot=None) for step in steps]


def test_a_repaired_episode_is_the_clean_one() -> None:
    """`careful` runs into the locked door, unlocks it and enters; cleaned, it unlocks at once."""
    cleaned = play(ScriptedPolicy(careful), door_task())
    clean = play(
        replies([calling(UNLOCK), calling(enter("red")), "Done.", calling(enter("blue")), "Done."]),
        door_task(),
        episode_type=Episode,
    )
    assert cleaned.solved and not any(step.erred for step in cleaned.steps)
    assert replace(cleaned, taken_back=NOTHING) == clean  # ids, messages, states and verdict


def test_what_was_taken_back_is_counted() -> None:
    played, cleaned = (play(ScriptedPolicy(careful), door_task(), episode_type=kind) for kind in (Episode, PurifyingEpisode))
    failed, unlocking = played.steps[:2]
    # Written twice: the failed message. Read twice: its answer (what stands between it and the next message), and the
    # repaired message once more, behind the clean context.
    answer = len(unlocking.prompt_ids) - len(failed.prompt_ids) - len(failed.completion.ids)
    assert cleaned.taken_back == TakenBack(1, len(failed.completion.ids), answer + len(unlocking.completion.ids))


def test_unrepaired_errors_stay_as_they_were_played() -> None:
    played, cleaned = (
        play(ScriptedPolicy(stubborn), door_task(), episode_type=kind) for kind in (Episode, PurifyingEpisode)
    )
    assert any(step.erred for step in played.steps)
    assert cleaned == played


@pytest.mark.parametrize(("errors", "repaired"), [(3, True), (4, False)])
def test_a_repair_within_three_retries_counts_and_a_later_one_does_not(errors: int, repaired: bool) -> None:
    """The message after `errors` erring ones unlocks: the last retry of the first error, or one too late."""
    script = [calling(enter("red"))] * errors + [calling(UNLOCK), calling(enter("red")), "Done."]
    trajectory = play(replies(script), door_task(doors=["red"]))
    assert trajectory.solved
    assert [step.erred for step in trajectory.steps] == ([] if repaired else [True] * errors) + [False] * 3
    assert trajectory.taken_back.repairs == repaired


def test_an_error_of_an_earlier_user_turn_is_not_repaired() -> None:
    script = [calling(enter("red")), "Done.", calling(UNLOCK), calling(enter("blue")), "Done."]
    trajectory = play(replies(script), door_task())
    assert [step.erred for step in trajectory.steps] == [True, False, False, False, False]


def test_a_repair_that_leans_on_the_failed_message_stays_as_played() -> None:
    """The first call of the failed message was the key: without it the repaired message errs, so nothing is taken back."""
    script = [calling(UNLOCK, ("open", {})), calling(enter("red")), "Done."]
    played, cleaned = (play(replies(script), door_task(doors=["red"]), episode_type=k) for k in (Episode, PurifyingEpisode))
    assert cleaned == played and cleaned.solved


def test_a_repair_at_the_step_limit_gives_its_steps_back() -> None:
    script = [calling(enter("red")), calling(UNLOCK), calling(enter("red")), "Done."]
    limits = EpisodeLimits(steps_per_turn=2)
    played, cleaned = (play(replies(script), door_task(doors=["red"]), limits, kind) for kind in (Episode, PurifyingEpisode))
    assert played.stop_reason is StopReason.STEP_LIMIT and not played.solved
    assert [step.text for step in cleaned.steps] == script[1:3]


def test_alike_calls_keep_the_words_of_the_failed_message() -> None:
    failed, repaired = said(f"I enter. {calling(enter('red'))}"), said(f"Sorry! {calling(enter('reed'))}")
    assert merged(failed, repaired, CHAT) == said(f"I enter. {calling(enter('reed'))}")


def test_unlike_calls_replace_the_whole_message() -> None:
    failed, repaired = said(f"I enter. {calling(enter('red'))}"), said(f"Sorry! {calling(UNLOCK)}")
    # Of 'enter {"door": "red"}' (21 characters) and 'unlock {}' (9), "n", " {" and "}" match in order: 2 * 4 / 30.
    assert likeness([ToolCall(*enter("red"))], [ToolCall(*UNLOCK)]) == pytest.approx(8 / 30)
    assert merged(failed, repaired, CHAT) == repaired
    assert merged(said("<tool_call>{oops"), repaired, CHAT) == repaired


@given(
    script=st.lists(
        st.sampled_from(
            [calling(UNLOCK), calling(enter("red")), calling(enter("blue")), calling(("open", {})), "Done.", "<tool_call>{"]
        ),
        max_size=12,
    ),
    answers=st.booleans(),
)
def test_a_cleaned_episode_is_one_that_could_have_been_played(script: list[str], answers: bool) -> None:
    """Playing the messages of the cleaned episode gives it again: ids, dialogue, results, states and verdict agree."""
    limits = EpisodeLimits(steps_per_turn=6, answer_format_errors=answers)
    cleaned = play(replies(script), door_task(), limits)
    again = play(replies([step.text for step in cleaned.steps]), door_task(), limits, Episode)
    assert again == replace(cleaned, taken_back=NOTHING)
    assert cleaned.taken_back.sampled_tokens >= 0 and cleaned.taken_back.read_tokens >= 0
