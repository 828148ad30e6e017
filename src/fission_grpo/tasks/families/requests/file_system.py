"""Plain requests to GorillaFileSystem."""

from fission_grpo.tasks.draft import Draft, Family, Scene, call
from fission_grpo.tasks.families.file_system import API, disk, file_node, folder_node


def _list_folder(scene: Scene) -> Draft:
    says = (
        "What is in this folder?",
        "List what we have here.",
        "Show me the files of the current folder.",
        "Which files and folders are here?",
        "Please list the contents of this directory.",
    )
    return Draft(disk(scene, {scene.names.file(): file_node(scene.names.phrase())}), (scene.ask(says, call("ls")),))


def _where_am_i(scene: Scene) -> Draft:
    says = (
        "Which directory am I in?",
        "Tell me the path of the current folder.",
        "Where are we right now in the file system?",
        "Please print the working directory.",
        "I need the path of this folder.",
    )
    return Draft(disk(scene, {}), (scene.ask(says, call("pwd")),))


def _disk_usage(scene: Scene) -> Draft:
    says = (
        "How much space does this folder take? A readable figure, please.",
        "Tell me the disk usage here, in readable units.",
        "What is the size of all that is here? Make it readable.",
        "I want to know how large this folder is, in human-readable form.",
    )
    config = disk(scene, {scene.names.file(): file_node(scene.names.phrase() * scene.rng.randint(1, 20))})
    return Draft(config, (scene.ask(says, call("du", human_readable=True)),))


def _find_by_name(scene: Scene) -> Draft:
    part, folder, outer = scene.names.name(), scene.names.name(), scene.names.name()
    says = (
        "Find everything from here on down that has {part} in its name.",
        "Search this folder and all below it for the name {part}.",
        "Somewhere below is a thing called {part}; find it.",
        "Where below this folder is {part}? Search for it by name.",
    )
    held = {f"{part}.{scene.rng.choice(('txt', 'md'))}": file_node(scene.names.phrase())}
    config = disk(scene, {outer: folder_node(**{folder: folder_node(**held)})})
    return Draft(config, (scene.ask(says, call("find", path=".", name=part), part=part),))


def _grep(scene: Scene) -> Draft:
    file, pattern = scene.names.file(), scene.names.name()
    lines = [scene.names.phrase(), f"{pattern} {scene.names.name()}", scene.names.phrase()]
    scene.rng.shuffle(lines)
    says = (
        "Which lines of {file} mention {pattern}?",
        "Search {file} for {pattern}.",
        "Show me the lines with {pattern} in {file}.",
        "Does {pattern} occur in {file}? Give me those lines.",
        "Please look for {pattern} inside {file}.",
    )
    turn = scene.ask(says, call("grep", file_name=file, pattern=pattern), file=file, pattern=pattern)
    return Draft(disk(scene, {file: file_node("\n".join(lines))}), (turn,))


def _tail(scene: Scene) -> Draft:
    file, lines = scene.names.file(), scene.rng.randint(2, 4)
    says = (
        "Show me the last {lines} lines of {file}.",
        "What are the final {lines} lines in {file}?",
        "Print the last {lines} lines that {file} has.",
        "I only want the end of {file}, {lines} lines of it.",
        "Please give me the bottom {lines} lines of {file}.",
    )
    content = "\n".join(scene.names.phrase() for _ in range(scene.rng.randint(5, 7)))
    turn = scene.ask(says, call("tail", file_name=file, lines=lines), file=file, lines=lines)
    return Draft(disk(scene, {file: file_node(content)}), (turn,))


def _compare(scene: Scene) -> Draft:
    first, second = scene.names.file(), scene.names.file()
    says = (
        "How do {first} and {second} differ?",
        "Compare {first} with {second}.",
        "Show me the differences between {first} and {second}.",
        "What has changed from {first} to {second}?",
        "Please put {first} against {second} and give me the differing lines.",
    )
    common = scene.names.phrase()
    held = {each: file_node(f"{common}\n{scene.names.phrase()}") for each in (first, second)}
    turn = scene.ask(says, call("diff", file_name1=first, file_name2=second), first=first, second=second)
    return Draft(disk(scene, held), (turn,))


def _new_folder(scene: Scene) -> Draft:
    folder = scene.names.name()
    says = (
        "Create a new folder called {folder}.",
        "I need another directory here, {folder}.",
        "Please make the folder {folder} for my photos.",
        "Set up a directory named {folder} in this place.",
    )
    left_out = (
        (
            "Create a new folder for me.",
            "I need another directory here.",
            "Please make a folder for my photos.",
            "Set up a new directory in this place.",
        ),
        ("Call it {folder}.", "Its name is to be {folder}.", "Let us name it {folder}.", "{folder} would be a good name."),
    )
    return Draft(disk(scene, {}), (scene.ask(says, call("mkdir", dir_name=folder), left_out=left_out, folder=folder),))


def _new_text(scene: Scene) -> Draft:
    file, content = scene.names.file(), scene.names.phrase()
    says = (
        "Replace the text of {file} by '{content}'.",
        "Overwrite {file} with '{content}'.",
        "The file {file} needs a new text: '{content}'.",
        "Please put the words '{content}' into {file}.",
    )
    left_out = (
        (
            "Replace the text of {file}.",
            "Overwrite {file} with something else.",
            "The file {file} needs a new text.",
            "Please put a few words into {file}.",
        ),
        ("It should say '{content}'.", "The new text is '{content}'.", "Write '{content}'.", "I want '{content}' in it."),
    )
    turn = scene.ask(says, call("echo", content=content, file_name=file), left_out=left_out, file=file, content=content)
    return Draft(disk(scene, {file: file_node(scene.names.phrase())}), (turn,))


def _backup(scene: Scene) -> Draft:
    file, copy = scene.names.file(), scene.names.file()
    says = (
        "Make a backup of {file} as {copy}.",
        "Keep a second version of {file}, named {copy}.",
        "Before I change {file}, copy it to {copy}.",
        "Please save {file} once more as {copy}.",
    )
    left_out = (
        (
            "Make a backup of {file}.",
            "Keep a second version of {file} under another name.",
            "Before I change {file}, copy it.",
            "Please save {file} once more.",
        ),
        ("The copy is to be called {copy}.", "Name it {copy}.", "Use {copy} for it.", "Under the name {copy}, please."),
    )
    turn = scene.ask(says, call("cp", source=file, destination=copy), left_out=left_out, file=file, copy=copy)
    return Draft(disk(scene, {file: file_node(scene.names.phrase())}), (turn,))


FAMILIES = (
    Family("list_folder", API, _list_folder),
    Family("where_am_i", API, _where_am_i),
    Family("disk_usage", API, _disk_usage),
    Family("find_by_name", API, _find_by_name),
    Family("grep_file", API, _grep),
    Family("tail_file", API, _tail),
    Family("compare_files", API, _compare),
    Family("new_folder", API, _new_folder),
    Family("new_text", API, _new_text),
    Family("backup", API, _backup),
)
