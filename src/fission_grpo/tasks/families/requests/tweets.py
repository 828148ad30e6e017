"""Plain requests to TwitterAPI."""

from typing import Any

from fission_grpo.tasks.draft import Draft, Family, Scene, call
from fission_grpo.tasks.families.tweets import API, account, tweet_entry


def _mine(scene: Scene, *tweets: dict[str, Any], follows: str = "") -> dict[str, Any]:
    return account(scene, scene.names.name(), scene.names.name(), list(tweets), follows=follows)


def _write_tweet(scene: Scene) -> Draft:
    content, tag = scene.names.phrase(), f"#{scene.names.name()}"
    says = (
        "Write a tweet with the text '{content}' and the tag {tag}.",
        "The world should know: tweet '{content}', tagged {tag}.",
        "Please put '{content}' on Twitter with {tag} as its tag.",
        "Tag it {tag} and tweet the following: '{content}'.",
    )
    left_out = (
        (
            "Write a tweet with the tag {tag}.",
            "The world should know: tweet something, tagged {tag}.",
            "Please put a post on Twitter with {tag} as its tag.",
        ),
        ("It should say '{content}'.", "The text is '{content}'.", "Tweet '{content}'.", "Let it be '{content}'."),
    )
    post = call("post_tweet", content=content, tags=[tag])
    return Draft(_mine(scene), (scene.ask(says, post, left_out=left_out, content=content, tag=tag),))


def _comment_on(scene: Scene) -> Draft:
    number, content = scene.names.number(10, 99), scene.names.phrase()
    says = (
        "Answer tweet {number} with the comment '{content}'.",
        "I have something to say on tweet {number}: comment '{content}'.",
        "Please add '{content}' to the comments of tweet {number}.",
    )
    left_out = (
        (
            "Answer tweet {number} with a comment.",
            "I have something to say on tweet {number}: add a comment.",
            "Please add to the comments of tweet {number}.",
        ),
        ("Say '{content}'.", "My comment is '{content}'.", "The words are '{content}'.", "Write '{content}' there."),
    )
    act = call("comment", tweet_id=number, comment_content=content)
    turn = scene.ask(says, act, left_out=left_out, number=number, content=content)
    return Draft(_mine(scene, tweet_entry(scene, number, scene.names.name())), (turn,))


def _start_following(scene: Scene) -> Draft:
    whom = scene.names.name()
    says = (
        "I came across {whom} today; follow them.",
        "Let us see what {whom} is up to: follow that account.",
        "Please have me follow the account of {whom}.",
    )
    left_out = (
        (
            "I came across somebody today; follow them.",
            "Let us see what a friend is up to: follow their account.",
            "Please have me follow another account.",
        ),
        ("I mean {whom}.", "The account is {whom}.", "It is {whom} that I want to follow.", "Their name is {whom}."),
    )
    act = call("follow_user", username_to_follow=whom)
    return Draft(_mine(scene), (scene.ask(says, act, left_out=left_out, whom=whom),))


def _read_tweet(scene: Scene) -> Draft:
    number = scene.names.number(10, 99)
    says = (
        "What does tweet {number} say?",
        "Let me read tweet {number}.",
        "Get me the tweet with the id {number}.",
        "Please show tweet number {number}.",
    )
    config = _mine(scene, tweet_entry(scene, number, scene.names.name()))
    return Draft(config, (scene.ask(says, call("get_tweet", tweet_id=number), number=number),))


def _search(scene: Scene) -> Draft:
    number, author = scene.names.number(10, 99), scene.names.name()
    tweet = tweet_entry(scene, number, author)
    says = (
        "Which tweets are about {keyword}?",
        "Search Twitter for {keyword}.",
        "Find me all tweets that hold the word {keyword}.",
        "Please look for tweets with {keyword} in them.",
    )
    keyword = tweet["content"]
    return Draft(_mine(scene, tweet), (scene.ask(says, call("search_tweets", keyword=keyword), keyword=keyword),))


def _following(scene: Scene) -> Draft:
    says = (
        "Whom do I follow?",
        "List all accounts that I follow.",
        "Show me everybody I am following at the moment.",
        "Please get the list of those I follow.",
    )
    return Draft(_mine(scene, follows=scene.names.name()), (scene.ask(says, call("list_all_following")),))


def _comments(scene: Scene) -> Draft:
    number = scene.names.number(10, 99)
    says = (
        "What do people say about tweet {number}?",
        "Show the comments on tweet {number}.",
        "Get me all comments of tweet {number}.",
        "Are there any comments under tweet {number}? List them.",
    )
    config = _mine(scene, tweet_entry(scene, number, scene.names.name()))
    return Draft(config, (scene.ask(says, call("get_tweet_comments", tweet_id=number), number=number),))


def _statistics(scene: Scene) -> Draft:
    number, author = scene.names.number(10, 99), scene.names.name()
    says = (
        "How active is {author}? Get the statistics.",
        "Give me the figures of the user {author}.",
        "How many tweets does {author} have? Look at the user's statistics.",
        "Please get the statistics of {author}.",
    )
    config = _mine(scene, tweet_entry(scene, number, author))
    return Draft(config, (scene.ask(says, call("get_user_stats", username=author), author=author),))


def _session(scene: Scene) -> Draft:
    says = (
        "Am I signed in on Twitter?",
        "Check if my Twitter account is logged in.",
        "Is my Twitter session still open?",
        "Please look whether Twitter has me logged in.",
    )
    return Draft(_mine(scene), (scene.ask(says, call("posting_get_login_status")),))


FAMILIES = (
    Family("write_tweet", API, _write_tweet),
    Family("comment_on", API, _comment_on),
    Family("start_following", API, _start_following),
    Family("read_tweet", API, _read_tweet),
    Family("search_tweets", API, _search),
    Family("list_following", API, _following),
    Family("read_comments", API, _comments),
    Family("user_statistics", API, _statistics),
    Family("twitter_session", API, _session),
)
