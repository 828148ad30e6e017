"""MathAPI: it has no state, so no hazard can hide; units and number words invite careless calls."""

from fission_grpo.tasks.draft import Draft, DraftTurn, Family, Hazard, Scene, call

METRIC = {"kilometers": "km", "meters": "m", "centimeters": "cm", "millimeters": "mm"}
IMPERIAL_PAIRS = (
    ("inches", "in", "centimeters", "cm"),
    ("centimeters", "cm", "inches", "in"),
    ("feet", "ft", "meters", "m"),
    ("meters", "m", "feet", "ft"),
    ("yards", "yd", "meters", "m"),
    ("meters", "m", "yards", "yd"),
    ("kilograms", "kg", "pounds", "lb"),
    ("pounds", "lb", "kilograms", "kg"),
    ("kilometers", "km", "miles", "miles"),
    ("miles", "miles", "kilometers", "km"),
)
CONVERT = (
    "Convert {value} {source} to {target}.",
    "How many {target} are {value} {source}?",
    "What is {value} {source} in {target}?",
    "I have {value} {source}; give it in {target}.",
    "Please turn {value} {source} into {target}.",
    "Express {value} {source} in {target}.",
)
NUMBER_WORDS = {"three": 3, "four": 4, "six": 6, "seven": 7, "eight": 8, "ten": 10, "eleven": 11, "twelve": 12}


def _convert_metric(scene: Scene) -> Draft:
    source, target = scene.rng.sample(sorted(METRIC), 2)
    value = scene.names.number(2, 9999)
    text = scene.say(CONVERT, value=value, source=source, target=target)
    right = call("si_unit_conversion", value=value, unit_in=METRIC[source], unit_out=METRIC[target])
    wrong = call("si_unit_conversion", value=value, unit_in=source, unit_out=target)
    return Draft({}, (DraftTurn(text, (right,), careless=wrong),))


def _convert_imperial(scene: Scene) -> Draft:
    source, unit_in, target, unit_out = scene.rng.choice(IMPERIAL_PAIRS)
    value = scene.names.number(2, 9999)
    text = scene.say(CONVERT, value=value, source=source, target=target)
    right = call("imperial_si_conversion", value=value, unit_in=unit_in, unit_out=unit_out)
    wrong = call("imperial_si_conversion", value=value, unit_in=source, unit_out=target)
    return Draft({}, (DraftTurn(text, (right,), careless=wrong),))


def _number_word(scene: Scene) -> Draft:
    word = scene.rng.choice(sorted(NUMBER_WORDS))
    number = scene.names.number(13, 9999)
    tool, requests = scene.rng.choice(
        (
            ("add", ("Add {word} and {number}.", "What is {word} plus {number}?", "Find the sum {word} + {number}.")),
            ("multiply", ("Multiply {word} by {number}.", "What is {word} times {number}?", "Find {word} x {number}.")),
            ("subtract", ("What is {word} minus {number}?", "Compute {word} minus {number}.", "Find {word} - {number}.")),
        )
    )
    text = scene.say(requests, word=word, number=number)
    right, wrong = (call(tool, a=value, b=number) for value in (NUMBER_WORDS[word], word))
    return Draft({}, (DraftTurn(text, (right,), careless=wrong),))


def _list_then_scale(scene: Scene) -> Draft:
    numbers = [scene.names.number(2, 999) for _ in range(3)]
    factor = scene.rng.randint(2, 9)
    tool, result, word = scene.rng.choice(
        (
            ("sum_values", sum(numbers), "sum"),
            ("max_value", max(numbers), "largest"),
            ("min_value", min(numbers), "smallest"),
        )
    )
    first = (
        "What is the {word} of {listed}?",
        "Find the {word} of {listed}.",
        "Give me the {word} of {listed}.",
        "Tell me the {word} of {listed}.",
        "I need the {word} of {listed}.",
        "Please get the {word} of {listed}.",
    )
    then = (
        "Multiply it by {factor}.",
        "Now times {factor}.",
        "And {factor} times that?",
        "What is that times {factor}?",
        "Please multiply that by {factor}.",
        "Then take it times {factor}.",
    )
    opening = scene.say(first, word=word, listed=", ".join(map(str, numbers)))
    closing = scene.say(then, factor=factor)
    scaled = call("multiply", a=result, b=factor)
    return Draft({}, (DraftTurn(opening, (call(tool, numbers=numbers),)), DraftTurn(closing, (scaled,))))


API = "MathAPI"
FAMILIES = (
    Family("convert_metric", API, _convert_metric, Hazard.WRONG_UNIT),
    Family("convert_imperial", API, _convert_imperial, Hazard.WRONG_UNIT),
    Family("number_word", API, _number_word, Hazard.WRONG_TYPE),
    Family("list_then_scale", API, _list_then_scale),
)
