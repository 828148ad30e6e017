"""Plain requests to TravelAPI."""

from typing import Any

from fission_grpo.tasks.draft import Draft, Family, Scene, call
from fission_grpo.tasks.families.travel import API, CURRENCIES, HUBS, SESSION, TOWNS, new_id, trip


def _any_trip(scene: Scene) -> dict[str, Any]:
    return trip(scene, scene.names.name(), {new_id(scene): float(scene.rng.randint(100, 9000))})


def _nearest_airport(scene: Scene) -> Draft:
    city = scene.rng.choice(sorted(HUBS | TOWNS))
    says = (
        "Which airport is nearest to {city}?",
        "I start in {city}. What is the airport there?",
        "Find the airport closest to {city}.",
        "Please tell me the code of the airport near {city}.",
    )
    return Draft(_any_trip(scene), (scene.ask(says, call("get_nearest_airport_by_city", location=city), city=city),))


def _airports(scene: Scene) -> Draft:
    says = (
        "Which airports are there?",
        "List all airports that I can fly from.",
        "Show me every airport of the travel system.",
        "Please give me the codes of all airports.",
    )
    return Draft(_any_trip(scene), (scene.ask(says, call("list_all_airports")),))


def _exchange(scene: Scene) -> Draft:
    currency, value = scene.rng.choice(sorted(CURRENCIES.values())), scene.names.number(20, 9999)
    base, target = scene.rng.choice((("USD", currency), (currency, "USD")))
    says = (
        "Exchange {value} {base} into {target}: what do I get?",
        "How much {target} are {value} {base}?",
        "I carry {value} {base}. What is that in {target}?",
        "Please convert {value} {base} to {target}.",
    )
    left_out = (
        (
            "Exchange some {base} into {target}: what do I get?",
            "I carry some {base}. What is that in {target}?",
            "Please convert my {base} to {target}.",
        ),
        ("I have {value}.", "It is {value} {base}.", "The amount is {value}.", "{value}, to be exact."),
    )
    work = call("compute_exchange_rate", base_currency=base, target_currency=target, value=value)
    turn = scene.ask(says, work, left_out=left_out, value=value, base=base, target=target)
    return Draft(_any_trip(scene), (turn,))


def _cards(scene: Scene) -> Draft:
    says = (
        "Which credit cards have I registered for travel?",
        "Show me all my cards in the travel system.",
        "List the credit cards that I can pay flights with.",
        "Please get the registered cards.",
    )
    return Draft(_any_trip(scene), (scene.ask(says, call("get_all_credit_cards")),))


def _support(scene: Scene) -> Draft:
    booking, card, message = new_id(scene), new_id(scene), scene.names.phrase()
    says = (
        "Tell customer support about booking {booking}: '{message}'.",
        "Write to the support on account of booking {booking}; say '{message}'.",
        "Please contact customer support for booking {booking} with the words '{message}'.",
    )
    left_out = (
        (
            "Contact customer support about booking {booking}.",
            "Write to the support on account of booking {booking}.",
            "Please send a message to customer support for booking {booking}.",
        ),
        ("Tell them '{message}'.", "The message is '{message}'.", "Say '{message}'.", "Write '{message}' to them."),
    )
    contact = call("contact_customer_support", booking_id=booking, message=message)
    config = trip(scene, scene.names.name(), {card: 300.0}, {booking: card})
    turn = scene.ask(says, contact, left_out=left_out, booking=booking, message=message)
    return Draft(config, (turn,))


def _budget(scene: Scene) -> Draft:
    token, limit = scene.names.name(), scene.names.number(1000, 9999)
    says = (
        "Limit what my trips may cost to {limit} dollars; token {token}.",
        "Use token {token} to set the budget to {limit} dollars.",
        "Please fix my travel budget at {limit} dollars, with the token {token}.",
    )
    left_out = (
        (
            "Limit what my trips may cost; token {token}.",
            "Use token {token} to set a budget.",
            "Please fix my travel budget, with the token {token}.",
        ),
        ("{limit} dollars.", "The limit is {limit} dollars.", "Let it be {limit} dollars.", "I have {limit} dollars."),
    )
    act = call("set_budget_limit", access_token=token, budget_limit=limit)
    config = trip(scene, token, {new_id(scene): 300.0})
    return Draft(config, (scene.ask(says, act, left_out=left_out, token=token, limit=limit),))


def _history(scene: Scene) -> Draft:
    token, card, booking = scene.names.name(), new_id(scene), new_id(scene)
    says = (
        "What have I booked so far? The token is {token}.",
        "Show me my bookings, token {token}.",
        "List all my bookings with the access token {token}.",
        "Please get the history of my bookings; use token {token}.",
    )
    config = trip(scene, token, {card: 300.0}, {booking: card})
    return Draft(config, (scene.ask(says, call("get_booking_history", access_token=token), token=token),))


def _register_card(scene: Scene) -> Draft:
    token, holder = scene.names.name(), scene.names.name().title()
    number, code = str(scene.rng.randint(10**15, 10**16 - 1)), scene.names.number(100, 999)
    expires = f"{scene.rng.randint(1, 12):02}/{scene.rng.randint(2027, 2033)}"
    says = (
        "Register the card {number} of {holder}, valid until {expires}, code {code}, with token {token}.",
        "I have a new card: {number}, {expires}, code {code}, in the name of {holder}. Register it; token {token}.",
        "With token {token}, please add {holder}'s card {number} (expires {expires}, code {code}).",
    )
    act = call(
        "register_credit_card",
        access_token=token,
        card_number=number,
        expiration_date=expires,
        cardholder_name=holder,
        card_verification_number=code,
    )
    config = trip(scene, token, {new_id(scene): 300.0})
    turn = scene.ask(says, act, token=token, holder=holder, number=number, code=code, expires=expires)
    return Draft(config, (turn,))


def _verify(scene: Scene) -> Draft:
    born = f"{scene.rng.randint(1950, 1999)}-{scene.rng.randint(1, 12):02}-{scene.rng.randint(1, 28):02}"
    passport = f"US{scene.rng.randint(10**6, 10**7 - 1)}"
    says = (
        "Verify me as a traveler: {first} {last}, born {born}, passport {passport}.",
        "I am {first} {last}, born on {born}, passport number {passport}. Please verify that.",
        "Check the traveler {first} {last}: date of birth {born}, passport {passport}.",
        "The airline wants proof that {first} {last}, {born}, with passport {passport}, may travel.",
    )
    config = _any_trip(scene)
    first, last = config["user_first_name"], config["user_last_name"]
    act = call("verify_traveler_information", first_name=first, last_name=last, date_of_birth=born, passport_number=passport)
    turn = scene.ask(says, act, first=first, last=last, born=born, passport=passport)
    return Draft(config, (turn,))


def _fiscal_year(scene: Scene) -> Draft:
    says = (
        "Which fiscal year does the travel budget belong to?",
        "Tell me the fiscal year of the budget.",
        "I need the budget's fiscal year for a form.",
        "Please look up the budget fiscal year.",
    )
    return Draft(_any_trip(scene), (scene.ask(says, call("get_budget_fiscal_year")),))


def _session(scene: Scene) -> Draft:
    says = (
        "Is my login for travel still good?",
        "Am I logged in to the travel system?",
        "Check whether the travel system has me signed in.",
        "Please find out if my travel session is alive.",
    )
    return Draft(_any_trip(scene), (scene.ask(says, call("travel_get_login_status")),))


FAMILIES = (
    Family("nearest_airport", API, _nearest_airport),
    Family("list_airports", API, _airports),
    Family("exchange", API, _exchange),
    Family("list_cards", API, _cards),
    Family("contact_support", API, _support),
    Family("set_budget", API, _budget, owns=SESSION),
    Family("booking_history", API, _history, owns=SESSION),
    Family("register_card", API, _register_card, owns=SESSION),
    # Renewing a token changes whose account it is, so verifying excludes all that may do so.
    Family("verify_traveler", API, _verify, owns=(*SESSION, "user_first_name", "user_last_name")),
    Family("fiscal_year", API, _fiscal_year),
    Family("travel_session", API, _session),
)
