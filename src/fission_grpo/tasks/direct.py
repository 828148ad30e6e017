"""Stand-in until BFCLEnvironment exists."""

import copy
import importlib
import json
import os
import re
import tempfile

from fission_grpo.types import ToolResult, Verdict

os.environ.setdefault("BFCL_PROJECT_ROOT", tempfile.gettempdir())
MODULES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TwitterAPI": "posting_api",
}
ERROR = re.compile(r"""^Error during execution:|"error":|^\[\{'error':|^\['Error:|^\["Error:""")


def state(instance):
    return {k: v for k, v in vars(instance).items() if not k.startswith("_")}


def run(instances, call):
    for instance in instances:
        if hasattr(instance, call.name):
            try:
                value = getattr(instance, call.name)(**copy.deepcopy(call.arguments))
            except Exception as error:
                return f"Error during execution: {error}"
            try:
                return json.dumps(value) if isinstance(value, dict | list) else str(value)
            except TypeError:
                return str(value)
    return "Error during execution: unknown"


class DirectEnvironment:
    def reset(self, task):
        def make():
            out = []
            for api in task.classes:
                module = importlib.import_module(f"bfcl_eval.eval_checker.multi_turn_eval.func_source_code.{MODULES[api]}")
                instance = getattr(module, api)()
                if hasattr(instance, "_load_scenario"):
                    instance._load_scenario(copy.deepcopy(task.config.get(api, {})))
                out.append(instance)
            return out

        self.task, self.mine, self.theirs, self.turn, self.results, self.ok = task, make(), make(), 0, [], []
        return list(task.turns[0].messages)

    def call(self, call):
        text = run(self.mine, call)
        self.results.append(text)
        return ToolResult(text, bool(ERROR.search(text)))

    def next_user_turn(self):
        theirs = [run(self.theirs, call) for call in self.task.turns[self.turn].calls]
        pool = list(self.results)
        contained = True
        for text in theirs:
            if text in pool:
                pool.remove(text)
            else:
                contained = False
        equal = all(state(a) == state(b) for a, b in zip(self.mine, self.theirs, strict=True))
        self.ok.append(contained and equal)
        self.turn += 1
        return list(self.task.turns[self.turn].messages) if self.turn < len(self.task.turns) else None

    def verdict(self):
        return Verdict(all(self.ok) and len(self.ok) == len(self.task.turns), tuple(self.ok))
