"""Plain requests to MathAPI."""

from fission_grpo.tasks.draft import Draft, Family, Scene, call


def _percentage(scene: Scene) -> Draft:
    part, whole = scene.names.number(2, 99), scene.names.number(100, 999)
    says = (
        "What percentage of {whole} is {part}?",
        "How many percent are {part} out of {whole}?",
        "Express {part} as a percentage of {whole}.",
        "Please work out which percentage {part} is of {whole}.",
    )
    left_out = (
        ("What percentage is {part}?", "How many percent are {part}?", "Express {part} as a percentage."),
        ("Out of {whole}.", "I mean of {whole}.", "The whole is {whole}.", "Take {whole} as the total."),
    )
    work = call("percentage", part=part, whole=whole)
    return Draft({}, (scene.ask(says, work, left_out=left_out, part=part, whole=whole),))


def _power(scene: Scene) -> Draft:
    base, exponent = scene.names.number(11, 99), scene.names.number(2, 6)
    says = (
        "Raise {base} to the power of {exponent}.",
        "What is {base} to the {exponent}th?",
        "Compute {base} to the power {exponent}.",
        "Please give me {base} with the exponent {exponent}.",
    )
    left_out = (
        ("Raise a number to the power of {exponent}.", "Compute something to the power {exponent} for me."),
        ("The number is {base}.", "Take {base}.", "I mean {base}.", "It is {base} that I want raised."),
    )
    work = call("power", base=base, exponent=exponent)
    return Draft({}, (scene.ask(says, work, left_out=left_out, base=base, exponent=exponent),))


def _root(scene: Scene) -> Draft:
    number, precision = scene.names.number(10, 9999), scene.rng.randint(3, 9)
    says = (
        "Take the square root of {number}, to {precision} digits.",
        "What is the square root of {number} with a precision of {precision}?",
        "I need the root of {number}; a precision of {precision} will do.",
        "Please compute the square root of {number} at precision {precision}.",
    )
    left_out = (
        ("Take a square root for me, to {precision} digits.", "I need a square root; a precision of {precision} will do."),
        ("The number is {number}.", "Of {number}, please.", "I mean the root of {number}.", "Take {number} for it."),
    )
    work = call("square_root", number=number, precision=precision)
    return Draft({}, (scene.ask(says, work, left_out=left_out, number=number, precision=precision),))


def _logarithm(scene: Scene) -> Draft:
    value, base, precision = scene.names.number(20, 9999), scene.rng.choice((2, 3, 5, 7, 10)), scene.rng.randint(3, 9)
    says = (
        "What is the logarithm of {value} to the base {base}, with precision {precision}?",
        "Compute log base {base} of {value}; use a precision of {precision}.",
        "I need the base {base} logarithm of {value} at precision {precision}.",
        "Please take the logarithm of {value}, base {base}, precision {precision}.",
    )
    work = call("logarithm", value=value, base=base, precision=precision)
    return Draft({}, (scene.ask(says, work, value=value, base=base, precision=precision),))


def _mean(scene: Scene) -> Draft:
    numbers = [scene.names.number(2, 999) for _ in range(scene.rng.randint(3, 6))]
    says = (
        "What is the mean of {listed}?",
        "Average the numbers {listed}.",
        "I have {listed}; what are they on average?",
        "Please find the average of {listed}.",
    )
    return Draft({}, (scene.ask(says, call("mean", numbers=numbers), listed=", ".join(map(str, numbers))),))


def _deviation(scene: Scene) -> Draft:
    numbers = [scene.names.number(2, 999) for _ in range(scene.rng.randint(3, 6))]
    says = (
        "How much do {listed} spread? Give the standard deviation.",
        "What is the standard deviation of {listed}?",
        "Compute the standard deviation for {listed}.",
        "Please find the standard deviation of the numbers {listed}.",
    )
    work = call("standard_deviation", numbers=numbers)
    return Draft({}, (scene.ask(says, work, listed=", ".join(map(str, numbers))),))


def _round(scene: Scene) -> Draft:
    number, places = scene.rng.randint(10**5, 10**7) / 10**4 + 0.00001, scene.rng.randint(1, 3)
    says = (
        "Round {number} to {places} decimal places.",
        "What is {number}, rounded to {places} decimal places?",
        "I find {number} too exact; round it to {places} decimals.",
        "Please cut {number} to {places} decimal places by rounding.",
    )
    work = call("round_number", number=round(number, 5), decimal_places=places)
    return Draft({}, (scene.ask(says, work, number=round(number, 5), places=places),))


def _divide(scene: Scene) -> Draft:
    a, b = scene.names.number(100, 9999), scene.names.number(2, 60)
    says = (
        "Divide {a} by {b}.",
        "What is {a} over {b}?",
        "How often does {b} go into {a}? Divide.",
        "Please split {a} into {b} equal parts.",
    )
    left_out = (
        ("Divide {a} for me.", "Please split {a} into equal parts."),
        ("By {b}.", "The divisor is {b}.", "{b} is what I want to divide by.", "Into {b} parts, I mean."),
    )
    return Draft({}, (scene.ask(says, call("divide", a=a, b=b), left_out=left_out, a=a, b=b),))


def _absolute(scene: Scene) -> Draft:
    number = -scene.names.number(10, 9999)
    says = (
        "What is the absolute value of {number}?",
        "Give me {number} without its sign, as absolute value.",
        "Take the absolute value of {number}.",
        "Please compute the absolute value of {number}.",
    )
    return Draft({}, (scene.ask(says, call("absolute_value", number=number), number=number),))


API = "MathAPI"
FAMILIES = (
    Family("percentage", API, _percentage),
    Family("power", API, _power),
    Family("square_root", API, _root),
    Family("logarithm", API, _logarithm),
    Family("mean", API, _mean),
    Family("standard_deviation", API, _deviation),
    Family("round", API, _round),
    Family("divide", API, _divide),
    Family("absolute_value", API, _absolute),
)
