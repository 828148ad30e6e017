"""VehicleControlAPI: what has to be done before an engine starts, and words that are no modes."""

from typing import Any

from fission_grpo.tasks.draft import Draft, DraftTurn, Family, Hazard, Scene, call

DOORS = {"driver": "driver's", "passenger": "passenger's", "rear_left": "rear left", "rear_right": "rear right"}
ZIP_CODES = {
    "Rivermist": "83214",
    "Stonebrook": "74532",
    "Maplecrest": "56108",
    "Silverpine": "62947",
    "Shadowridge": "71354",
    "Sunset Valley": "83462",
    "Oakendale": "47329",
    "Willowbend": "52013",
    "Crescent Hollow": "69238",
    "Autumnville": "51479",
    "San Francisco": "94016",
}
"""What `get_zipcode_based_on_city` knows."""
DISTANCES = (
    ("Rivermist", "Stonebrook"),
    ("Maplecrest", "Silverpine"),
    ("Shadowridge", "Sunset Valley"),
    ("Oakendale", "Willowbend"),
    ("Crescent Hollow", "Autumnville"),
    ("San Francisco", "Rivermist"),
    ("Silverpine", "Oakendale"),
    ("San Francisco", "Silverpine"),
    ("Stonebrook", "San Francisco"),
)
"""Cities between which `estimate_distance` knows the way."""
START = call("startEngine", ignitionMode="START")
STARTING = (
    "Start the engine.",
    "Please get the engine running.",
    "I am about to leave; start the car.",
    "Turn the engine on.",
    "Fire up the engine for me.",
    "Let us go: start the engine.",
)


def car(scene: Scene, **parts: Any) -> dict[str, Any]:
    """A car at rest, ready to be started, but for `parts`."""
    return {
        "random_seed": scene.rng.randint(1, 10**6),
        "fuelLevel": scene.rng.randint(20, 100) / 4,
        "batteryVoltage": scene.rng.randint(115, 135) / 10,
        "engineState": "stopped",
        "doorStatus": dict.fromkeys(DOORS, "locked"),
        "acTemperature": scene.rng.randint(16, 28) / 1,
        "fanSpeed": scene.rng.randint(2, 18) * 5,
        "acMode": scene.rng.choice(("auto", "cool", "heat")),
        "humidityLevel": scene.rng.randint(30, 70) / 1,
        "headLightStatus": "off",
        "parkingBrakeStatus": "released",
        "parkingBrakeForce": 0.0,
        "slopeAngle": 0.0,
        "brakePedalStatus": "pressed",
        "brakePedalForce": 1000.0,
        "distanceToNextVehicle": scene.rng.randint(20, 90) / 1,
        "cruiseStatus": "inactive",
        "destination": scene.names.name().title(),
        **{
            f"{wheel}TirePressure": scene.rng.randint(56, 76) / 2
            for wheel in ("frontLeft", "frontRight", "rearLeft", "rearRight")
        },
        **parts,
    }


def _start_with_doors(scene: Scene) -> Draft:
    clauses = (
        "If a door is unlocked, lock it first.",
        "Should any door be open, lock that one.",
        "Lock whatever door may still be unlocked.",
        "In case a door is not locked, lock it.",
        "If it complains about a door, lock that door.",
    )
    text = scene.say(STARTING, clauses)
    # One door: two could be locked in one call or in two, with other results.
    door = scene.rng.choice(sorted(DOORS))
    status = dict.fromkeys(DOORS, "locked") | ({door: "unlocked"} if scene.hazard else {})
    lock = call("lockDoors", unlock=False, door=[door])
    return Draft(car(scene, doorStatus=status), (scene.attempt(text, START, lock, START),))


def _start_with_brake(scene: Scene) -> Draft:
    clauses = (
        "If the brake pedal is not down, press it all the way.",
        "Should the brake be released, press it fully first.",
        "Press the pedal to the floor if that is asked for.",
        "In case it needs the brake, push the pedal all the way down.",
        "If it wants the brake pressed, do so fully.",
    )
    text = scene.say(STARTING, clauses)
    pedal = {"brakePedalStatus": "released", "brakePedalForce": 0.0} if scene.hazard else {}
    return Draft(car(scene, **pedal), (scene.attempt(text, START, call("pressBrakePedal", pedalPosition=1.0), START),))


def _cruise(scene: Scene) -> Draft:
    speed, distance = 5 * scene.rng.randint(4, 24), scene.names.number(20, 150)
    requests = (
        "Set the cruise control to {speed}, {distance} meters behind the next car.",
        "Cruise at {speed} and keep {distance} meters of distance.",
        "Please activate cruise control: speed {speed}, distance {distance} meters.",
        "I want to cruise at {speed} with {distance} meters to the car ahead.",
        "Keep a steady {speed}, with {distance} meters to the next vehicle.",
    )
    clauses = (
        "If the engine is off, start it.",
        "Should the engine not run yet, start it before.",
        "In case the car is not running, turn the engine on.",
        "Start the engine if it is stopped.",
        "If that needs the engine, start it first.",
    )
    text = scene.say(requests, clauses, speed=speed, distance=distance)
    config = car(scene, engineState="stopped" if scene.hazard else "running")
    cruise = call("setCruiseControl", speed=speed, activate=True, distanceToNextVehicle=distance)
    return Draft(config, (scene.attempt(text, cruise, START, cruise),))


def _fill_or_less(scene: Scene) -> Draft:
    amount, less = scene.names.number(26, 40), scene.names.number(1, 9)
    requests = (
        "Fill in {amount} gallons.",
        "Put {amount} gallons of fuel into the tank.",
        "Please fuel the car with {amount} gallons.",
        "I want {amount} more gallons in the tank.",
        "Add {amount} gallons of gas.",
    )
    clauses = (
        "If the tank cannot hold that much, {less}.",
        "Should it be too much, make it {less}.",
        "Or {less}, if that does not fit.",
        "If it overflows, {less} will do.",
        "In case there is no room for it, only {less}.",
    )
    text = scene.say(requests, clauses, amount=amount, less=less)
    level = scene.rng.randint(120, 160) / 4 if scene.hazard else scene.rng.randint(4, 36) / 4
    first, second = (call("fillFuelTank", fuelAmount=each) for each in (amount, less))
    return Draft(car(scene, fuelLevel=level), (scene.attempt(text, first, second),))


def _distance_by_city(scene: Scene) -> Draft:
    start, end = scene.rng.sample(scene.rng.choice(DISTANCES), 2)
    requests = (
        "I am at zip code {code}. How far is it to {end}?",
        "What is the distance from zip code {code} to {end}?",
        "Estimate how far {end} is from {code}.",
        "Please tell me how long the way from {code} to {end} is.",
        "My trip starts at {code} and ends in {end}. How far is that?",
    )
    text = scene.say(requests, code=ZIP_CODES[start], end=end)
    right, wrong = (call("estimate_distance", cityA=ZIP_CODES[start], cityB=city) for city in (ZIP_CODES[end], end))
    return Draft(car(scene), (DraftTurn(text, (call("get_zipcode_based_on_city", city=end), right), careless=wrong),))


def _status_by_other_word(scene: Scene) -> Draft:
    word, option = scene.rng.choice(
        (
            ("gas", "fuel"),
            ("petrol", "fuel"),
            ("air conditioning", "climate"),
            ("lights", "headlights"),
            ("handbrake", "parkingBrake"),
            ("foot brake", "brakePedal"),
            ("motor", "engine"),
            ("locks", "doors"),
        )
    )
    requests = (
        "Show me the state of the {word}.",
        "What does the display say about the {word}?",
        "Check the {word} for me.",
        "I would like to know how the {word} is doing.",
        "Please display the status of the {word}.",
    )
    text = scene.say(requests, word=word)
    right, wrong = (call("displayCarStatus", option=each) for each in (option, word))
    return Draft(car(scene), (DraftTurn(text, (right,), careless=wrong),))


def _brake_by_other_word(scene: Scene) -> Draft:
    word, mode = scene.rng.choice(
        (("apply", "engage"), ("pull", "engage"), ("tighten", "engage"), ("loosen", "release"), ("free", "release"))
    )
    requests = (
        "Please {word} the parking brake.",
        "Can you {word} the parking brake?",
        "You may {word} the parking brake now.",
        "It is time to {word} the parking brake.",
        "Would you {word} the parking brake for me?",
    )
    text = scene.say(requests, word=word)
    status = "released" if mode == "engage" else "engaged"
    right, wrong = (call("activateParkingBrake", mode=each) for each in (mode, word))
    return Draft(car(scene, parkingBrakeStatus=status), (DraftTurn(text, (right,), careless=wrong),))


def _weather_service(scene: Scene) -> Draft:
    requests = (
        "How warm is it outside? Ask weather.com.",
        "Get me the outside temperature from weather.com.",
        "What does weather.com say about the temperature outside?",
        "Please check on weather.com how cold it is outside.",
    )
    clauses = (
        "If they do not answer, try Google.",
        "Should that fail, take Google.",
        "Or ask Google, if weather.com is down.",
        "Google will do if there is nothing.",
        "In case of trouble, use Google.",
    )
    right, wrong = (call(f"get_outside_temperature_from_{each}") for each in ("google", "weather_com"))
    return Draft(car(scene), (DraftTurn(scene.say(requests, clauses), (right,), careless=wrong),))


def _start_then_drive(scene: Scene) -> Draft:
    door, street, number = scene.rng.choice(sorted(DOORS)), scene.names.name().title(), scene.names.number(1, 99)
    first = (
        "Lock the {door} door and start the engine.",
        "The {door} door is open: lock it, then start the car.",
        "Please lock the {door} door, and after that start the engine.",
        "Once the {door} door is locked, get the engine running.",
    )
    then = (
        "Navigate to {place}.",
        "Now show me the way to {place}.",
        "Good. Set the navigation to {place}.",
        "I am going to {place}; guide me there.",
    )
    place = f"{number} {street} Street"
    opening = scene.say(first, door=DOORS[door])
    config = car(scene, doorStatus={**dict.fromkeys(DOORS, "locked"), door: "unlocked"})
    calls = (call("lockDoors", unlock=False, door=[door]), START)
    closing = DraftTurn(scene.say(then, place=place), (call("set_navigation", destination=place),))
    return Draft(config, (DraftTurn(opening, calls), closing))


API = "VehicleControlAPI"
ENGINE = ("engineState", "doorStatus", "brakePedalStatus", "brakePedalForce")
FAMILIES = (
    Family("start_with_doors", API, _start_with_doors, Hazard.UNLOCKED_DOOR, hidden=True, owns=ENGINE),
    Family("start_with_brake", API, _start_with_brake, Hazard.RELEASED_BRAKE, hidden=True, owns=ENGINE),
    Family("cruise", API, _cruise, Hazard.STOPPED_ENGINE, hidden=True, owns=ENGINE),
    Family("fill_or_less", API, _fill_or_less, Hazard.FULL_TANK, hidden=True, owns=("fuelLevel",)),
    Family("distance_by_city", API, _distance_by_city, Hazard.NAME_FOR_ID),
    Family("status_by_other_word", API, _status_by_other_word, Hazard.INVALID_FIELD),
    Family("brake_by_other_word", API, _brake_by_other_word, Hazard.INVALID_FIELD, owns=("parkingBrakeStatus",)),
    Family("weather_service", API, _weather_service, Hazard.SERVICE_DOWN),
    Family("start_then_drive", API, _start_then_drive, owns=ENGINE),
)
