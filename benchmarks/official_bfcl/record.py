"""Records what the official BFCL package says, as fixtures that the tests check without it.

    make official-bfcl

makes the official environment, runs this in it and compares; or, in an environment with the full official package:

    PYTHONPATH=benchmarks python -m official_bfcl.record --out NEW_FOLDER --check tests/fixtures/official_bfcl
"""

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
import warnings
from pathlib import Path

from official_bfcl.fixture_files import differences, files_below, sha256, write_json

COMMAND = "PYTHONPATH=benchmarks python -m official_bfcl.record --out tests/fixtures/official_bfcl"
INPUTS = ("calls.py", "corruption.py", "play.py", "scripted.py", "kinds")


def record(out: Path, scratch: Path) -> None:
    """Writes all fixtures. The official package is imported only here, after its working folder is named."""
    os.environ["BFCL_PROJECT_ROOT"] = str(scratch)
    warnings.simplefilter("ignore", SyntaxWarning)  # Python's, about the model texts that the official executor evaluates
    from official_bfcl.official import load_parameters, load_tasks
    from official_bfcl.prompts import record_prompts
    from official_bfcl.results import record_results
    from official_bfcl.verdicts import record_verdicts

    parameters, tasks = load_parameters(), load_tasks()
    write_json(out / "parameters.json", parameters)
    record_prompts(tasks, parameters, out)
    record_verdicts(load_tasks(for_evaluation=True), parameters, out)
    record_results(tasks, parameters, out, scratch)


def write_manifest(out: Path) -> None:
    """What made the fixtures: versions, the command, and the hash of every fixture and every module that makes inputs."""
    here = Path(__file__).parent
    modules = [path for name in INPUTS for path in sorted((here / name).rglob("*.py")) or [here / name]]
    manifest = {
        "bfcl-eval": importlib.metadata.version("bfcl-eval"),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "command": COMMAND,
        "inputs": {path.relative_to(here).as_posix(): sha256(path) for path in modules},
        "fixtures": {name: sha256(path) for name, path in files_below(out).items() if name != "manifest.json"},
    }
    write_json(out / "manifest.json", manifest)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="an empty folder for the recording (default: a temporary one)")
    parser.add_argument(
        "--check", type=Path, help="compare the recording with the fixtures in this folder; 1 if they differ"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        out: Path = (arguments.out or Path(scratch) / "fixtures").resolve()
        if out.is_dir() and any(out.iterdir()):
            sys.exit(f"--out must be an empty or a new folder, not {arguments.out}, which holds files.")
        record(out, Path(scratch) / "official")
        write_manifest(out)
        if arguments.check is None:
            return
        lines = differences(out, arguments.check)
        print("\n".join(lines) or f"The {len(files_below(out))} fixtures in {arguments.check} are unchanged.")
        sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
