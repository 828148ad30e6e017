"""TwitterAPI: accounts, tweets and their ids."""

from typing import Any

from fission_grpo.tasks.draft import Draft, DraftTurn, Family, Hazard, Scene, call
from fission_grpo.types import ToolCall

MAYBE_SIGNED_OUT = (
    "If I am signed out, I am {user} with password {password}.",
    "My login, should you need it: {user} / {password}.",
    "Sign me in as {user}, password {password}, if needed.",
    "In case I am logged out: user {user}, password {password}.",
    "Log in as {user} with {password} if you have to.",
    "If it asks for a login, take {user} / {password}.",
)
OR_OTHER_TWEET = (
    "If it is gone, {other}.",
    "Should it not exist, take {other}.",
    "Or {other}, if there is no {number}.",
    "The number may also be {other}.",
    "If that is not found, use {other}.",
    "In case it was deleted, {other} will do.",
)


def tweet_entry(scene: Scene, number: int, author: str) -> dict[str, Any]:
    return {"id": number, "username": author, "content": scene.names.name(), "tags": [], "mentions": []}


def account(
    scene: Scene, user: str, password: str, tweets: list[dict[str, Any]], *, signed_in: bool = True, follows: str = ""
) -> dict[str, Any]:
    """An account that follows one user, beside `follows`."""
    return {
        "username": user,
        "password": password,
        "authenticated": signed_in,
        "tweets": {str(tweet["id"]): tweet for tweet in tweets},
        "comments": {},
        "retweets": {},
        "following_list": [scene.names.name(), *([follows] if follows else [])],
        "tweet_counter": scene.names.number(100, 199),
    }


def _signed_out(
    scene: Scene, requests: tuple[str, ...], act: ToolCall, tweets: list[dict[str, Any]], **slots: object
) -> Draft:
    """The user may be signed out, and says how to sign in."""
    user, password = scene.names.name(), scene.names.name()
    text = scene.say(requests, MAYBE_SIGNED_OUT, user=user, password=password, **slots)
    config = account(scene, user, password, tweets, signed_in=not scene.hazard)
    login = call("authenticate_twitter", username=user, password=password)
    return Draft(config, (scene.attempt(text, act, login, act),))


def _follow(scene: Scene) -> Draft:
    whom = scene.names.name()
    requests = (
        "Follow {whom}.",
        "I want to follow {whom}.",
        "Please follow the user {whom}.",
        "Add {whom} to those I follow.",
        "Start following {whom}.",
        "Let me follow {whom}.",
    )
    return _signed_out(scene, requests, call("follow_user", username_to_follow=whom), [], whom=whom)


def _post(scene: Scene) -> Draft:
    content = scene.names.phrase()
    requests = (
        "Tweet '{content}'.",
        "Post '{content}'.",
        "Publish a tweet: '{content}'.",
        "Please tweet the words '{content}'.",
        "Send out a tweet saying '{content}'.",
        "I want to post '{content}'.",
    )
    return _signed_out(scene, requests, call("post_tweet", content=content), [], content=content)


def _comment(scene: Scene) -> Draft:
    number, content = scene.names.number(10, 99), scene.names.phrase()
    requests = (
        "Comment '{content}' on tweet {number}.",
        "Reply to tweet {number} with '{content}'.",
        "Put the comment '{content}' under tweet {number}.",
        "Please comment on tweet {number}: '{content}'.",
        "Under tweet {number}, write '{content}'.",
        "Leave '{content}' as a comment on tweet {number}.",
    )
    act = call("comment", tweet_id=number, comment_content=content)
    tweets = [tweet_entry(scene, number, scene.names.name())]
    return _signed_out(scene, requests, act, tweets, number=number, content=content)


def _retweet_or_other(scene: Scene) -> Draft:
    number, other = scene.names.number(10, 99), scene.names.number(10, 99)
    requests = (
        "Retweet number {number}.",
        "Please retweet tweet {number}.",
        "Share tweet {number} again.",
        "I want tweet {number} retweeted.",
        "Pass on tweet {number}.",
        "Do a retweet of {number}.",
    )
    text = scene.say(requests, OR_OTHER_TWEET, number=number, other=other)
    tweets = [tweet_entry(scene, other if scene.hazard else number, scene.names.name())]
    config = account(scene, scene.names.name(), scene.names.name(), tweets)
    return Draft(config, (scene.attempt(text, call("retweet", tweet_id=number), call("retweet", tweet_id=other)),))


def _mention_or_other(scene: Scene) -> Draft:
    number, other, whom = scene.names.number(10, 99), scene.names.number(10, 99), scene.names.name()
    requests = (
        "Mention {whom} in tweet {number}.",
        "Tweet {number} should mention {whom}.",
        "Add a mention of {whom} to tweet {number}.",
        "Please tag {whom} in tweet {number} as a mention.",
        "In tweet {number}, mention {whom}.",
        "Put a mention of {whom} into tweet {number}.",
    )
    text = scene.say(requests, OR_OTHER_TWEET, number=number, other=other, whom=whom)
    user = scene.names.name()
    config = account(scene, user, scene.names.name(), [tweet_entry(scene, other if scene.hazard else number, user)])
    first, second = (call("mention", tweet_id=tweet, mentioned_usernames=[whom]) for tweet in (number, other))
    return Draft(config, (scene.attempt(text, first, second),))


def _retweet_by_author(scene: Scene) -> Draft:
    number, author = scene.names.number(10, 99), scene.names.name()
    requests = (
        "Retweet the tweet of {author}.",
        "Please retweet what {author} wrote.",
        "Share the tweet by {author} again.",
        "I want {author}'s tweet retweeted.",
        "Pass on the tweet from {author}.",
        "{author} wrote a tweet; retweet it.",
    )
    text = scene.say(requests, author=author)
    config = account(scene, scene.names.name(), scene.names.name(), [tweet_entry(scene, number, author)])
    calls = (call("get_user_tweets", username=author), call("retweet", tweet_id=number))
    return Draft(config, (DraftTurn(text, calls, careless=call("retweet", tweet_id=author)),))


def _swap_follow(scene: Scene) -> Draft:
    old, new = scene.names.name(), scene.names.name()
    first = (
        "Unfollow {old}.",
        "Stop following {old}.",
        "I no longer want to follow {old}.",
        "Please unfollow {old}.",
        "Take {old} off those I follow.",
        "Remove {old} from my follows.",
    )
    then = (
        "Follow {new} now.",
        "Then follow {new}.",
        "Good, follow {new} in their place.",
        "Start following {new}.",
        "And please follow {new}.",
        "Next, add {new} to those I follow.",
    )
    config = account(scene, scene.names.name(), scene.names.name(), [], follows=old)
    opening = DraftTurn(scene.say(first, old=old), (call("unfollow_user", username_to_unfollow=old),))
    return Draft(config, (opening, DraftTurn(scene.say(then, new=new), (call("follow_user", username_to_follow=new),))))


API = "TwitterAPI"
SESSION = ("username", "password", "authenticated")
FAMILIES = (
    Family("follow", API, _follow, Hazard.MISSING_LOGIN, hidden=True, owns=SESSION),
    Family("post_tweet", API, _post, Hazard.MISSING_LOGIN, hidden=True, owns=SESSION),
    Family("comment", API, _comment, Hazard.MISSING_LOGIN, hidden=True, owns=SESSION),
    Family("retweet_or_other", API, _retweet_or_other, Hazard.UNKNOWN_ID, hidden=True),
    Family("mention_or_other", API, _mention_or_other, Hazard.UNKNOWN_ID, hidden=True),
    Family("retweet_by_author", API, _retweet_by_author, Hazard.NAME_FOR_ID),
    Family("swap_follow", API, _swap_follow),
)
