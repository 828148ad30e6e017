"""Plain requests to VehicleControlAPI."""

from fission_grpo.tasks.draft import Draft, Family, Scene, call
from fission_grpo.tasks.families.vehicle import API, DOORS, ENGINE, ZIP_CODES, car


def _navigate(scene: Scene) -> Draft:
    place = f"{scene.names.number(1, 99)} {scene.names.name().title()} Avenue, {scene.names.name().title()}"
    says = (
        "Set the navigation to {place}.",
        "I have to be at {place} soon; guide me.",
        "Please take {place} as the destination.",
        "The next stop is {place}. Navigate there.",
    )
    left_out = (
        (
            "Set the navigation for me.",
            "I have to be somewhere soon; guide me.",
            "Please enter a new destination.",
            "There is another stop. Navigate there.",
        ),
        ("It is {place}.", "The address is {place}.", "To {place}, please.", "I am going to {place}."),
    )
    act = call("set_navigation", destination=place)
    return Draft(car(scene), (scene.ask(says, act, left_out=left_out, place=place),))


def _fuel(scene: Scene) -> Draft:
    amount = scene.names.number(5, 24)
    says = (
        "We are at the gas station: {amount} gallons, please.",
        "Refuel the car, {amount} gallons.",
        "The car should get {amount} gallons of fuel.",
    )
    left_out = (
        ("We are at the gas station: fill something in.", "Refuel the car.", "The car should get some fuel."),
        ("{amount} gallons.", "Make it {amount} gallons.", "I pay for {amount} gallons.", "Let it be {amount} gallons."),
    )
    fill = call("fillFuelTank", fuelAmount=amount)
    config = car(scene, fuelLevel=scene.rng.randint(4, 80) / 4)
    return Draft(config, (scene.ask(says, fill, left_out=left_out, amount=amount),))


def _climate(scene: Scene) -> Draft:
    degrees, speed, mode = scene.names.number(14, 29), 5 * scene.rng.randint(2, 18), scene.rng.choice(("cool", "heat"))
    says = (
        "Set the air conditioning to {degrees} degrees Celsius, fan at {speed}, mode {mode}.",
        "I would like {degrees} degrees Celsius in the car, in {mode} mode with the fan at {speed}.",
        "Please turn the climate control to {mode}, {degrees} degrees Celsius, fan speed {speed}.",
    )
    left_out = (
        (
            "Set the air conditioning, in degrees Celsius, to something else: fan at {speed}, mode {mode}.",
            "I would like another temperature in the car, in {mode} mode with the fan at {speed}.",
            "Please turn the climate control to {mode}, fan speed {speed}, and change the temperature.",
        ),
        ("{degrees} degrees Celsius.", "To {degrees} degrees, Celsius.", "Let it be {degrees} degrees Celsius."),
    )
    act = call("adjustClimateControl", temperature=degrees, unit="celsius", fanSpeed=speed, mode=mode)
    slots = {"degrees": degrees, "speed": speed, "mode": mode}
    return Draft(car(scene), (scene.ask(says, act, left_out=left_out, **slots),))


def _convert(scene: Scene) -> Draft:
    value, tool, unit, other = (
        scene.names.number(2, 400),
        *scene.rng.choice((("liter_to_gallon", "liter", "gallon"), ("gallon_to_liter", "gallon", "liter"))),
    )
    says = (
        "How many {other}s are {value} {unit}s?",
        "Convert {value} {unit}s to {other}s.",
        "The pump shows {value} {unit}s. What is that in {other}s?",
        "Please tell me {value} {unit}s in {other}s.",
    )
    left_out = (
        (
            "The pump counts in {unit}s. What is that in {other}s?",
            "Convert my {unit}s to {other}s.",
            "I have some {unit}s of fuel; give me {other}s.",
        ),
        ("It is {value} {unit}s.", "{value}, that is.", "I mean {value} {unit}s.", "The figure is {value}."),
    )
    work = call(tool, **{unit: value})
    return Draft(car(scene), (scene.ask(says, work, left_out=left_out, value=value, unit=unit, other=other),))


def _range(scene: Scene) -> Draft:
    distance = scene.names.number(20, 999)
    says = (
        "Will the fuel do for {distance} miles?",
        "Can I drive {distance} miles without a stop?",
        "I have {distance} miles before me. Is there enough in the tank?",
        "Please estimate if the car can make {distance} miles.",
    )
    left_out = (
        ("Will the fuel do for my trip?", "Can I get there without a stop? Estimate it.", "Is there enough in the tank?"),
        ("It is {distance} miles.", "I have to drive {distance} miles.", "For {distance} miles, I mean."),
    )
    work = call("estimate_drive_feasibility_by_mileage", distance=distance)
    return Draft(car(scene), (scene.ask(says, work, left_out=left_out, distance=distance),))


def _lights(scene: Scene) -> Draft:
    mode = scene.rng.choice(("on", "off"))
    says = (
        "Turn the headlights {mode}.",
        "Headlights {mode}, please.",
        "Would you switch the headlights {mode}?",
        "I want the headlights to be {mode}.",
    )
    config = car(scene, headLightStatus="off" if mode == "on" else "on")
    return Draft(config, (scene.ask(says, call("setHeadlights", mode=mode), mode=mode),))


def _tires(scene: Scene) -> Draft:
    says = (
        "How are the tires? Check the pressure.",
        "Read me the pressure of all four tires.",
        "Is the tire pressure all right?",
        "Please check how much air the tires have.",
    )
    return Draft(car(scene), (scene.ask(says, call("check_tire_pressure")),))


def _tire_shop(scene: Scene) -> Draft:
    says = (
        "Where can I have the tires looked after?",
        "Find a tire shop near me.",
        "I need the nearest tire shop.",
        "Please tell me where the closest shop for tires is.",
    )
    return Draft(car(scene), (scene.ask(says, call("find_nearest_tire_shop")),))


def _zip_code(scene: Scene) -> Draft:
    city = scene.rng.choice(sorted(ZIP_CODES))
    says = (
        "What is the zip code of {city}?",
        "Give me the zip code for {city}.",
        "I need to know which zip code {city} has.",
        "Please look up the zip code of {city}.",
    )
    return Draft(car(scene), (scene.ask(says, call("get_zipcode_based_on_city", city=city), city=city),))


def _log(scene: Scene) -> Draft:
    message = scene.names.phrase()
    says = (
        "Write '{message}' to the log of the car.",
        "Show the line '{message}' in the log.",
        "Display a log message that says '{message}'.",
        "Please have the log show '{message}'.",
    )
    left_out = (
        ("Write something to the log of the car.", "Show a line in the log.", "Display a log message."),
        ("It should say '{message}'.", "The message is '{message}'.", "Log '{message}'.", "Put '{message}' there."),
    )
    act = call("display_log", messages=[message])
    return Draft(car(scene), (scene.ask(says, act, left_out=left_out, message=message),))


def _weather(scene: Scene) -> Draft:
    says = (
        "How warm is it outside? Ask Google.",
        "Get the outside temperature from Google.",
        "What does Google say about the temperature outside?",
        "Please check the outside temperature with Google.",
    )
    return Draft(car(scene), (scene.ask(says, call("get_outside_temperature_from_google")),))


def _speed(scene: Scene) -> Draft:
    says = (
        "How fast are we going?",
        "What is our speed at the moment?",
        "Tell me the current speed of the car.",
        "Please read me the speed.",
    )
    return Draft(car(scene, engineState="running"), (scene.ask(says, call("get_current_speed")),))


def _unlock(scene: Scene) -> Draft:
    door = scene.rng.choice(sorted(DOORS))
    says = (
        "Unlock the {door} door for me.",
        "Open the lock of the {door} door.",
        "Somebody wants to get in: unlock the {door} door.",
        "Please unlock the {door} door.",
    )
    return Draft(car(scene), (scene.ask(says, call("lockDoors", unlock=True, door=[door]), door=DOORS[door]),))


def _brake(scene: Scene) -> Draft:
    tenths = scene.rng.randint(2, 9)
    says = (
        "Press the brake pedal to {position} of its way.",
        "Push the brake down to {position}.",
        "Brake a little: pedal position {position}.",
        "Please set the brake pedal to position {position}.",
    )
    act = call("pressBrakePedal", pedalPosition=tenths / 10)
    config = car(scene, brakePedalStatus="released", brakePedalForce=0.0)
    return Draft(config, (scene.ask(says, act, position=tenths / 10),))


def _release(scene: Scene) -> Draft:
    says = (
        "Take the foot off the brake.",
        "Let go of the brake pedal.",
        "Release the brake pedal.",
        "Please let the brake pedal come up.",
    )
    return Draft(car(scene), (scene.ask(says, call("releaseBrakePedal")),))


FAMILIES = (
    Family("navigate", API, _navigate),
    Family("refuel", API, _fuel, owns=("fuelLevel",)),
    Family("climate", API, _climate),
    Family("convert_fuel", API, _convert),
    Family("range", API, _range),
    Family("headlights", API, _lights, owns=("headLightStatus",)),
    Family("tire_pressure", API, _tires),
    Family("tire_shop", API, _tire_shop),
    Family("zip_code", API, _zip_code),
    Family("car_log", API, _log),
    Family("outside_temperature", API, _weather),
    Family("current_speed", API, _speed),
    Family("unlock_doors", API, _unlock, owns=ENGINE),
    Family("press_brake", API, _brake, owns=ENGINE),
    Family("release_brake", API, _release, owns=ENGINE),
)
