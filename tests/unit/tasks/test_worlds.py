"""Several drafts in one configuration."""

from fission_grpo.tasks.worlds import merge


def test_folders_queues_and_maps_are_united_under_the_first_root():
    first = {"root": {"home": {"type": "directory", "contents": {"a.txt": {"type": "file", "content": "1"}}}}}
    second = {"root": {"disk": {"type": "directory", "contents": {"b.txt": {"type": "file", "content": "2"}}}}}
    contents = merge([(first, ()), (second, ())])["root"]["home"]["contents"]
    assert list(contents) == ["a.txt", "b.txt"]
    inboxes = [{"inbox": [{"USR1": "x"}], "message_count": 1, "user_map": {name: name}} for name in "ab"]
    merged = merge([(inbox, ()) for inbox in inboxes])
    assert (len(merged["inbox"]), merged["message_count"], set(merged["user_map"])) == (2, 2, {"a", "b"})


def test_an_owner_decides_wherever_it_stands():
    configs = [{"current_user": None, "ticket_counter": 1}, {"current_user": "a", "ticket_counter": 2}]
    assert merge([(configs[0], ()), (configs[1], ())]) == configs[0]
    assert merge([(configs[0], ()), (configs[1], ("current_user",))]) == {"current_user": "a", "ticket_counter": 1}
