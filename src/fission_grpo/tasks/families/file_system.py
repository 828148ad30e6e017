"""GorillaFileSystem: folders, files, and what stands in the way."""

from typing import Any

from fission_grpo.tasks.draft import LAST, Draft, DraftTurn, Family, Hazard, Scene, call

Node = dict[str, Any]

MAYBE_ELSEWHERE = (
    "It may be in {folder}.",
    "If it is not here, look in {folder}.",
    "Check {folder} if you do not see it here.",
    "It is either here or in {folder}.",
    "Perhaps it was moved to {folder}.",
    "Should it be missing, try {folder}.",
)
OR_OTHER_NAME = (
    "If that name is taken, use {other}.",
    "Should it exist already, call it {other}.",
    "Use {other} if there is one by that name.",
    "If it exists, take {other} instead.",
    "In case the name is in use, {other} will do.",
    "Or {other}, if that is taken.",
)


def file_node(content: str = "") -> Node:
    return {"type": "file", "content": content}


def folder_node(**contents: Node) -> Node:
    return {"type": "directory", "contents": contents}


def disk(scene: Scene, contents: dict[str, Node]) -> dict[str, Any]:
    """A file system with these contents, and a file nobody asks for."""
    contents = {**contents, scene.names.file(): file_node(scene.names.name())}
    order = sorted(contents)
    scene.rng.shuffle(order)
    return {"root": {scene.names.name(): {"type": "directory", "contents": {name: contents[name] for name in order}}}}


def _here_or_in(scene: Scene, file: str, content: str, folder: str) -> dict[str, Any]:
    """The file is here, or with the hazard in the folder."""
    decoy = {scene.names.file(): file_node(scene.names.name())}
    held = {file: file_node(content)}
    inside = {**decoy, **held} if scene.hazard else decoy
    outside = {} if scene.hazard else held
    return disk(scene, {folder: {"type": "directory", "contents": inside}, **outside})


def _show_file(scene: Scene) -> Draft:
    file, folder, content = scene.names.file(), scene.names.name(), scene.names.phrase()
    requests = (
        "Show me {file}.",
        "Print {file}.",
        "What does {file} say?",
        "Please display {file}.",
        "I want to read {file}.",
        "Open {file} for me.",
    )
    text = scene.say(requests, MAYBE_ELSEWHERE, file=file, folder=folder)
    config = _here_or_in(scene, file, content, folder)
    show = call("cat", file_name=file)
    return Draft(config, (scene.attempt(text, show, call("cd", folder=folder), show),))


def _count_file(scene: Scene) -> Draft:
    file, folder = scene.names.file(), scene.names.name()
    unit = scene.rng.choice(("lines", "words", "characters"))
    requests = (
        "How many {unit} does {file} have?",
        "Count the {unit} of {file}.",
        "Tell me the number of {unit} in {file}.",
        "I need the {unit} in {file} counted.",
        "Please count {unit} in {file}.",
        "Give me a count of {unit} for {file}.",
    )
    text = scene.say(requests, MAYBE_ELSEWHERE, unit=unit, file=file, folder=folder)
    config = _here_or_in(scene, file, scene.names.phrase(), folder)
    count = call("wc", file_name=file, mode=unit[0])
    return Draft(config, (scene.attempt(text, count, call("cd", folder=folder), count),))


def _rename_after_reading(scene: Scene) -> Draft:
    file, other, folder = scene.names.file(), scene.names.file(), scene.names.name()
    first = (
        "Sort {file} for me.",
        "Show the lines of {file} in order.",
        "I want {file} sorted.",
        "Put the lines of {file} in order and show them.",
        "Please sort {file}.",
        "Print {file}, sorted.",
    )
    then = (
        "Now rename it to {other}.",
        "Good. Call it {other} from now on.",
        "Thanks, change its name to {other}.",
        "Then give it the name {other}.",
        "Next, rename {file} to {other}.",
        "Fine. Let it be {other}.",
    )
    content = "\n".join(scene.names.name() for _ in range(2))
    opening = scene.say(first, MAYBE_ELSEWHERE, file=file, folder=folder)
    closing = scene.say(then, file=file, other=other)
    config = _here_or_in(scene, file, content, folder)
    sort = call("sort", file_name=file)
    reading = scene.attempt(opening, sort, call("cd", folder=folder), sort)
    return Draft(config, (reading, DraftTurn(closing, (call("mv", source=file, destination=other),))))


def _write_note(scene: Scene) -> Draft:
    file, content = scene.names.file(), scene.names.phrase()
    requests = (
        "Write '{content}' to {file}.",
        "Put '{content}' into {file}.",
        "{file} should say '{content}'.",
        "Save '{content}' in {file}.",
        "Set the text of {file} to '{content}'.",
        "Please store '{content}' in {file}.",
    )
    clauses = (
        "Create it if it is missing.",
        "If there is no such file, make it first.",
        "Make the file if needed.",
        "Should it not exist, create it.",
        "It may not exist yet.",
        "Add the file first if it is not there.",
    )
    text = scene.say(requests, clauses, content=content, file=file)
    config = disk(scene, {} if scene.hazard else {file: file_node(scene.names.name())})
    write = call("echo", content=content, file_name=file)
    return Draft(config, (scene.attempt(text, write, call("touch", file_name=file), write),))


def _make_folder(scene: Scene) -> Draft:
    folder, other = scene.names.name(), scene.names.name()
    requests = (
        "Make a folder {folder}.",
        "Create a directory called {folder}.",
        "I need a new folder {folder}.",
        "Please add a folder named {folder}.",
        "Set up a directory {folder}.",
        "Start a folder {folder} here.",
    )
    text = scene.say(requests, OR_OTHER_NAME, folder=folder, other=other)
    config = disk(scene, {folder: folder_node()} if scene.hazard else {})
    return Draft(config, (scene.attempt(text, call("mkdir", dir_name=folder), call("mkdir", dir_name=other)),))


def _make_file(scene: Scene) -> Draft:
    file, other, content = scene.names.file(), scene.names.file(), scene.names.phrase()
    requests = (
        "Create an empty file {file}.",
        "Make a new file {file}.",
        "I need a file {file}.",
        "Add a blank file named {file}.",
        "Please start a file {file}.",
        "Set up an empty {file}.",
    )
    text = scene.say(requests, OR_OTHER_NAME, file=file, other=other)
    config = disk(scene, {file: file_node(content)} if scene.hazard else {})
    return Draft(config, (scene.attempt(text, call("touch", file_name=file), call("touch", file_name=other)),))


def _enter_then_make(scene: Scene) -> Draft:
    folder, file, other = scene.names.name(), scene.names.file(), scene.names.file()
    first = (
        "Go to the folder {folder}.",
        "Change to {folder}.",
        "Enter the directory {folder}.",
        "Please move to the folder {folder}.",
        "Work in {folder} from now on.",
        "Step into {folder}.",
    )
    then = (
        "Create an empty file {file}.",
        "Make a new file {file} here.",
        "I need a file {file} in it.",
        "Add a blank file named {file}.",
        "Please start a file {file}.",
        "Now set up an empty {file}.",
    )
    opening = scene.say(first, folder=folder)
    closing = scene.say(then, OR_OTHER_NAME, file=file, other=other)
    held = {file if scene.hazard else scene.names.file(): file_node(scene.names.name())}
    config = disk(scene, {folder: folder_node(**held)})
    making = scene.attempt(closing, call("touch", file_name=file), call("touch", file_name=other))
    return Draft(config, (DraftTurn(opening, (call("cd", folder=folder),)), making))


def _copy_file(scene: Scene) -> Draft:
    file, copy, other = scene.names.file(), scene.names.file(), scene.names.file()
    requests = (
        "Copy {file} to {copy}.",
        "Make a copy of {file} named {copy}.",
        "Duplicate {file} as {copy}.",
        "Back up {file} under the name {copy}.",
        "I want a second {file}, called {copy}.",
        "Please copy {file}; name the copy {copy}.",
    )
    text = scene.say(requests, OR_OTHER_NAME, file=file, copy=copy, other=other)
    taken = {copy: file_node(scene.names.name())} if scene.hazard else {}
    config = disk(scene, {file: file_node(scene.names.phrase()), **taken})
    first, second = (call("cp", source=file, destination=destination) for destination in (copy, other))
    return Draft(config, (scene.attempt(text, first, second),))


def _rename_file(scene: Scene) -> Draft:
    file, new, other = scene.names.file(), scene.names.file(), scene.names.file()
    requests = (
        "Rename {file} to {new}.",
        "Change the name of {file} to {new}.",
        "Call {file} {new} from now on.",
        "{file} should be named {new}.",
        "Please rename {file}; the new name is {new}.",
        "Give {file} the name {new}.",
    )
    text = scene.say(requests, OR_OTHER_NAME, file=file, new=new, other=other)
    taken = {new: file_node(scene.names.name())} if scene.hazard else {}
    config = disk(scene, {file: file_node(scene.names.phrase()), **taken})
    first, second = (call("mv", source=file, destination=destination) for destination in (new, other))
    return Draft(config, (scene.attempt(text, first, second),))


def _remove_folder(scene: Scene) -> Draft:
    folder, other, file = scene.names.name(), scene.names.name(), scene.names.file()
    requests = (
        "Remove the folder {folder}.",
        "Take away the directory {folder}.",
        "Get rid of the folder {folder}.",
        "Clear away the folder {folder}.",
        "I do not need the folder {folder}; remove it.",
        "Please drop the directory {folder}.",
    )
    clauses = (
        "If it is not empty, remove {other} instead.",
        "Should it hold files, take {other}.",
        "If something is in it, keep it and remove {other}.",
        "Or {other}, in case it is not empty.",
        "When it has contents, remove {other} in its place.",
        "If it holds anything, {other} goes instead.",
    )
    text = scene.say(requests, clauses, folder=folder, other=other)
    held = {file: file_node()} if scene.hazard else {}
    config = disk(scene, {folder: folder_node(**held), other: folder_node()})
    return Draft(config, (scene.attempt(text, call("rmdir", dir_name=folder), call("rmdir", dir_name=other)),))


def _read_by_path(scene: Scene) -> Draft:
    folder, file = scene.names.name(), scene.names.file()
    requests = (
        "Show {folder}/{file}.",
        "Print the file {folder}/{file}.",
        "What is in {folder}/{file}?",
        "Please display {folder}/{file}.",
        "I want to read {folder}/{file}.",
        "Open {folder}/{file} for me.",
    )
    text = scene.say(requests, folder=folder, file=file)
    config = disk(scene, {folder: folder_node(**{file: file_node(scene.names.phrase())})})
    calls = (call("cd", folder=folder), call("cat", file_name=file))
    return Draft(config, (DraftTurn(text, calls, careless=call("cat", file_name=f"{folder}/{file}")),))


def _enter_by_path(scene: Scene) -> Draft:
    outer, inner, file = scene.names.name(), scene.names.name(), scene.names.file()
    requests = (
        "Go to {outer}/{inner} and make a file {file}.",
        "Create {file} in {outer}/{inner}.",
        "In {outer}/{inner}, add an empty file {file}.",
        "Please put a new file {file} in {outer}/{inner}.",
        "Change to {outer}/{inner} and create {file}.",
        "I need a blank {file} under {outer}/{inner}.",
    )
    text = scene.say(requests, outer=outer, inner=inner, file=file)
    config = disk(scene, {outer: folder_node(**{inner: folder_node()})})
    calls = (call("cd", folder=outer), call("cd", folder=inner), call("touch", file_name=file))
    return Draft(config, (DraftTurn(text, calls, careless=call("cd", folder=f"{outer}/{inner}")),))


def _remove_elsewhere(scene: Scene) -> Draft:
    folder, file = scene.names.name(), scene.names.file()
    requests = (
        "Delete {file} from the folder {folder}.",
        "Remove {file}, which is in {folder}.",
        "The file {file} in {folder} can go.",
        "In {folder}, delete {file}.",
        "Please erase {file} in the folder {folder}.",
        "Get rid of {file} in {folder}.",
    )
    text = scene.say(requests, folder=folder, file=file)
    config = disk(scene, {folder: folder_node(**{file: file_node(scene.names.name())})})
    remove = call("rm", file_name=file)
    return Draft(config, (DraftTurn(text, (call("cd", folder=folder), remove), careless=remove),))


def _file_away(scene: Scene) -> Draft:
    folder, file = scene.names.name(), scene.names.file()
    requests = (
        "Make a folder {folder} and move {file} into it.",
        "Put {file} into a new folder {folder}.",
        "Create {folder} and place {file} there.",
        "{file} belongs in a new directory {folder}.",
        "Please set up a folder {folder} for {file}.",
        "Move {file} to a folder {folder}, to be created.",
    )
    text = scene.say(requests, folder=folder, file=file)
    config = disk(scene, {file: file_node(scene.names.name())})
    calls = (call("mkdir", dir_name=folder), call("mv", source=file, destination=folder))
    return Draft(config, (DraftTurn(text, calls),))


API = "GorillaFileSystem"
FAMILIES = (
    Family("show_file", API, _show_file, Hazard.WRONG_DIRECTORY, hidden=True, owns=(LAST,)),
    Family("count_file", API, _count_file, Hazard.WRONG_DIRECTORY, hidden=True, owns=(LAST,)),
    Family("sort_then_rename", API, _rename_after_reading, Hazard.WRONG_DIRECTORY, hidden=True, owns=(LAST,)),
    Family("write_note", API, _write_note, Hazard.MISSING_FILE, hidden=True),
    Family("make_folder", API, _make_folder, Hazard.NAME_TAKEN, hidden=True),
    Family("make_file", API, _make_file, Hazard.NAME_TAKEN, hidden=True),
    Family("enter_then_make", API, _enter_then_make, Hazard.NAME_TAKEN, hidden=True, owns=(LAST,)),
    Family("copy_file", API, _copy_file, Hazard.NAME_TAKEN, hidden=True),
    Family("rename_file", API, _rename_file, Hazard.NAME_TAKEN, hidden=True),
    Family("remove_folder", API, _remove_folder, Hazard.NOT_EMPTY, hidden=True, long_context=False),
    Family("read_by_path", API, _read_by_path, Hazard.PATH_GIVEN, owns=(LAST,)),
    Family("enter_by_path", API, _enter_by_path, Hazard.PATH_GIVEN, owns=(LAST,)),
    Family("remove_elsewhere", API, _remove_elsewhere, Hazard.WRONG_DIRECTORY, owns=(LAST,)),
    Family("file_away", API, _file_away),
)
