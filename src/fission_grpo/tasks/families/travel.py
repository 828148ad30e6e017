"""TravelAPI: flights, cards, bookings, and access tokens that expire."""

from random import Random
from typing import Any

from fission_grpo.tasks.draft import Draft, DraftTurn, Family, Hazard, Scene, call

HUBS = {"San Francisco": "SFO", "Los Angeles": "LAX", "New York": "JFK", "Chicago": "ORD", "Boston": "BOS"}
TOWNS = {
    "Rivermist": "RMS",
    "Stonebrook": "SBK",
    "Maplecrest": "MPC",
    "Silverpine": "SVP",
    "Shadowridge": "SHD",
    "Sunset Valley": "SSV",
    "Oakendale": "OKD",
    "Willowbend": "WLB",
    "Crescent Hollow": "CRH",
    "Autumnville": "ATV",
    "Pinehaven": "PHV",
    "Greenfield": "GFD",
}
"""What `get_nearest_airport_by_city` knows. There are flights from every hub to every town."""
CURRENCIES = {
    "renminbi": "RMB",
    "euros": "EUR",
    "yen": "JPY",
    "pounds": "GBP",
    "Canadian dollars": "CAD",
    "Australian dollars": "AUD",
    "rupees": "INR",
    "roubles": "RUB",
    "reais": "BRL",
    "pesos": "MXN",
}
CLASSES = ("economy", "business", "first")
OR_OTHER_BOOKING = (
    "If there is no such booking, I mean {other}.",
    "Should that one not exist, it is {other}.",
    "The number may also be {other}.",
    "Or {other}, if that is not found.",
    "If it cannot be found, take {other}.",
    "In case that is wrong, {other} is the number.",
)
MAYBE_EXPIRED = (
    "If it has expired, renew it: client {client}, secret {secret}, refresh token {refresh}, scope read_write, for {who}.",
    "Should it be too old, sign in as {who} with client {client}, secret {secret}, refresh token {refresh}, read_write.",
    "In case it is no longer valid, get a read_write one: {who}, client {client}, secret {secret}, refresh token {refresh}.",
    "Only if that has run out: {who}, client id {client}, secret {secret}, refresh {refresh}, grant type read_write.",
)


def new_id(scene: Scene) -> str:
    """The id of a card or a booking."""
    return str(scene.names.number(1000, 9999))


def trip(
    scene: Scene,
    token: str,
    cards: dict[str, float],
    bookings: dict[str, str] | None = None,
    *,
    expired: bool = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """An account with cards (balance by id), bookings (id of the card by id), and a token."""
    return {
        "random_seed": scene.rng.randint(1, 10**6) if seed is None else seed,
        "credit_card_list": {card: _card(scene, balance) for card, balance in cards.items()},
        "booking_record": {booking: _booking(scene, card) for booking, card in (bookings or {}).items()},
        "access_token": token,
        "token_type": "Bearer",
        "token_expires_in": 0 if expired else 3600,
        "token_scope": "read_write",
        "user_first_name": scene.names.name().title(),
        "user_last_name": scene.names.name().title(),
        "budget_limit": None,
    }


def _card(scene: Scene, balance: float) -> dict[str, Any]:
    return {
        "card_number": str(scene.rng.randint(10**15, 10**16 - 1)),
        "expiration_date": f"{scene.rng.randint(1, 12):02}/{scene.rng.randint(2027, 2033)}",
        "cardholder_name": scene.names.name().title(),
        "card_verification_number": scene.rng.randint(100, 999),
        "balance": balance,
    }


def _booking(scene: Scene, card: str) -> dict[str, Any]:
    return {
        "card_id": card,
        "travel_date": _date(scene),
        "travel_from": scene.rng.choice(sorted(HUBS.values())),
        "travel_to": scene.rng.choice(sorted(TOWNS.values())),
        "travel_class": scene.rng.choice(CLASSES),
        "travel_cost": float(scene.rng.randint(200, 2000)),
        "transaction_id": str(scene.rng.randint(10**7, 10**8 - 1)),
    }


def _date(scene: Scene) -> str:
    return f"{scene.rng.randint(2026, 2031)}-{scene.rng.randint(1, 12):02}-{scene.rng.randint(1, 28):02}"


def _flight(scene: Scene) -> dict[str, str]:
    return {
        "travel_date": _date(scene),
        "travel_from": scene.rng.choice(sorted(HUBS.values())),
        "travel_to": scene.rng.choice(sorted(TOWNS.values())),
        "travel_class": scene.rng.choice(CLASSES),
    }


BOOK = (
    "Book a flight from {travel_from} to {travel_to} on {travel_date}, {travel_class} class; card {card}, token {token}.",
    "I need a {travel_class} seat from {travel_from} to {travel_to} on {travel_date}; card {card}, access token {token}.",
    "On {travel_date} I fly {travel_class} from {travel_from} to {travel_to}: book it with card {card}, token {token}.",
    "With token {token}, get me on a {travel_class} flight {travel_from} to {travel_to} on {travel_date}; card {card} pays.",
)


def _book_with_old_token(scene: Scene) -> Draft:
    token, card, flight = scene.names.name(), new_id(scene), _flight(scene)
    client, secret, refresh = (scene.names.name() for _ in range(3))
    first, last = scene.names.name().title(), scene.names.name().title()
    renewal = {"client": client, "secret": secret, "refresh": refresh, "who": f"{first} {last}"}
    text = scene.say(BOOK, MAYBE_EXPIRED, card=card, token=token, **flight, **renewal)
    seed = scene.rng.randint(1, 10**6)
    new_token = str(Random(seed).randint(100_000, 999_999))  # as the API draws it
    renew = call(
        "authenticate_travel",
        client_id=client,
        client_secret=secret,
        refresh_token=refresh,
        grant_type="read_write",
        user_first_name=first,
        user_last_name=last,
    )
    config = trip(scene, token, {card: 20_000.0}, expired=scene.hazard, seed=seed)
    book, book_anew = (call("book_flight", access_token=each, card_id=card, **flight) for each in (token, new_token))
    return Draft(config, (scene.attempt(text, book, renew, book_anew),))


def _cancel_or_other(scene: Scene) -> Draft:
    token, card, booking, other = scene.names.name(), new_id(scene), new_id(scene), new_id(scene)
    requests = (
        "Cancel booking {booking}; my token is {token}.",
        "With token {token}, please cancel the booking {booking}.",
        "I cannot travel: cancel {booking}, access token {token}.",
        "Booking {booking} has to be cancelled. The token is {token}.",
        "Call off my booking {booking}, using token {token}.",
    )
    text = scene.say(requests, OR_OTHER_BOOKING, booking=booking, token=token, other=other)
    config = trip(scene, token, {card: 500.0}, {other if scene.hazard else booking: card})
    first, second = (call("cancel_booking", access_token=token, booking_id=each) for each in (booking, other))
    return Draft(config, (scene.attempt(text, first, second),))


def _invoice_or_other(scene: Scene) -> Draft:
    token, card, booking, other = scene.names.name(), new_id(scene), new_id(scene), new_id(scene)
    requests = (
        "I need the invoice of booking {booking}; the token is {token}.",
        "Get me the invoice for {booking}, access token {token}.",
        "Please fetch the invoice of my booking {booking} with token {token}.",
        "What does the invoice of booking {booking} say? Use token {token}.",
        "For my expenses, pull the invoice of {booking}. Token: {token}.",
    )
    text = scene.say(requests, OR_OTHER_BOOKING, booking=booking, token=token, other=other)
    config = trip(scene, token, {card: 500.0}, {other if scene.hazard else booking: card})
    first, second = (call("retrieve_invoice", access_token=token, booking_id=each) for each in (booking, other))
    return Draft(config, (scene.attempt(text, first, second),))


def _insure_or_other(scene: Scene) -> Draft:
    token, card, booking, other = scene.names.name(), new_id(scene), new_id(scene), new_id(scene)
    kind, cost = scene.rng.choice(("travel", "medical", "luggage")), scene.names.number(20, 99)
    requests = (
        "Buy {kind} insurance for booking {booking}, {cost} dollars on card {card}, with token {token}.",
        "Insure booking {booking}: {kind}, {cost} dollars, card {card}, token {token}.",
        "Please add {kind} insurance at {cost} dollars to booking {booking}; card {card}, access token {token}.",
        "I want booking {booking} to have {kind} insurance for {cost} dollars. Card {card}, token {token}.",
    )
    slots = {"kind": kind, "cost": cost, "card": card, "token": token}
    text = scene.say(requests, OR_OTHER_BOOKING, booking=booking, other=other, **slots)
    config = trip(scene, token, {card: 900.0}, {other if scene.hazard else booking: card})
    first, second = (
        call(
            "purchase_insurance",
            access_token=token,
            insurance_type=kind,
            booking_id=each,
            insurance_cost=cost,
            card_id=card,
        )
        for each in (booking, other)
    )
    return Draft(config, (scene.attempt(text, first, second),))


def _pay_with_other_card(scene: Scene) -> Draft:
    token, card, other, flight = scene.names.name(), new_id(scene), new_id(scene), _flight(scene)
    clauses = (
        "If that card does not cover it, pay with {other}.",
        "Should the balance be too low, use card {other}.",
        "Or card {other}, if the funds are short.",
        "If there is not enough on it, take card {other}.",
        "In case the money does not suffice, charge {other}.",
    )
    text = scene.say(BOOK, clauses, card=card, token=token, other=other, **flight)
    balance = float(scene.rng.randint(1, 50) if scene.hazard else scene.rng.randint(9_000, 20_000))
    config = trip(scene, token, {card: balance, other: 20_000.0})
    first, second = (call("book_flight", access_token=token, card_id=each, **flight) for each in (card, other))
    return Draft(config, (scene.attempt(text, first, second),))


def _fare_between_cities(scene: Scene) -> Draft:
    start, end = scene.rng.choice(sorted(HUBS)), scene.rng.choice(sorted(TOWNS))
    klass, date = scene.rng.choice(CLASSES), _date(scene)
    requests = (
        "How much is a {klass} class flight from {start} to {end} on {date}?",
        "What would I pay to fly {klass} from {start} to {end} on {date}?",
        "Look up the {klass} fare {start} to {end} for {date}.",
        "I think of flying from {start} to {end} on {date}, {klass}. What does it cost?",
        "Please give me the price of a {klass} ticket to {end} from {start} on {date}.",
    )
    text = scene.say(requests, start=start, end=end, klass=klass, date=date)
    right, wrong = (
        call("get_flight_cost", travel_from=source, travel_to=target, travel_date=date, travel_class=klass)
        for source, target in ((HUBS[start], TOWNS[end]), (start, end))
    )
    lookups = (call("get_nearest_airport_by_city", location=city) for city in (start, end))
    config = trip(scene, scene.names.name(), {new_id(scene): 500.0})
    return Draft(config, (DraftTurn(text, (*lookups, right), careless=wrong, careless_step=0),))


def _exchange_by_name(scene: Scene) -> Draft:
    word, value = scene.rng.choice(sorted(CURRENCIES)), scene.names.number(20, 9999)
    requests = (
        "How many {word} do I get for {value} US dollars?",
        "Change {value} US dollars into {word}, please: how much is that?",
        "What are {value} US dollars worth in {word}?",
        "I have {value} US dollars; tell me the amount in {word}.",
        "Give me {value} US dollars in {word}.",
    )
    text = scene.say(requests, word=word, value=value)
    right, wrong = (
        call("compute_exchange_rate", base_currency=base, target_currency=target, value=value)
        for base, target in (("USD", CURRENCIES[word]), ("US dollars", word))
    )
    config = trip(scene, scene.names.name(), {new_id(scene): 500.0})
    return Draft(config, (DraftTurn(text, (right,), careless=wrong),))


def _book_then_cancel(scene: Scene) -> Draft:
    token, card, flight, seed = scene.names.name(), new_id(scene), _flight(scene), scene.rng.randint(1, 10**6)
    then = (
        "My plans have changed: cancel that booking.",
        "Sorry, I cannot go after all. Please cancel it.",
        "Oh, the meeting is off. Cancel the flight again.",
        "On second thought, take that booking back.",
    )
    opening = scene.say(BOOK, card=card, token=token, **flight)
    booking = str(Random(seed).randint(1_000_000, 9_999_999))  # as the API draws it
    book = call("book_flight", access_token=token, card_id=card, **flight)
    cancel = call("cancel_booking", access_token=token, booking_id=booking)
    config = trip(scene, token, {card: 20_000.0}, seed=seed)
    return Draft(config, (DraftTurn(opening, (book,)), DraftTurn(scene.say(then), (cancel,))))


def _budget_then_balance(scene: Scene) -> Draft:
    token, card, limit = scene.names.name(), new_id(scene), scene.names.number(100, 999)
    first = (
        "Set my travel budget to {limit} dollars; the token is {token}.",
        "I want to spend {limit} dollars at most on travel. Set that limit with token {token}.",
        "With token {token}, please limit the budget to {limit} dollars.",
        "My budget is {limit} dollars from now on (access token {token}).",
    )
    then = (
        "And how much is on card {card}?",
        "What is the balance of card {card} now?",
        "Then tell me what is left on card {card}.",
        "Please look up the balance of my card {card}, too.",
    )
    opening = DraftTurn(
        scene.say(first, limit=limit, token=token), (call("set_budget_limit", access_token=token, budget_limit=limit),)
    )
    closing = DraftTurn(scene.say(then, card=card), (call("get_credit_card_balance", access_token=token, card_id=card),))
    balance = float(scene.rng.randint(100, 9000))
    return Draft(trip(scene, token, {card: balance}), (opening, closing))


API = "TravelAPI"
SESSION = ("access_token", "token_expires_in", "random_seed")
FAMILIES = (
    Family("book_with_old_token", API, _book_with_old_token, Hazard.EXPIRED_TOKEN, hidden=True, owns=SESSION),
    Family("cancel_or_other", API, _cancel_or_other, Hazard.UNKNOWN_ID, hidden=True, owns=SESSION),
    Family("invoice_or_other", API, _invoice_or_other, Hazard.UNKNOWN_ID, hidden=True, owns=SESSION),
    Family("insure_or_other", API, _insure_or_other, Hazard.UNKNOWN_ID, hidden=True, owns=SESSION),
    Family("pay_with_other_card", API, _pay_with_other_card, Hazard.INSUFFICIENT_FUNDS, hidden=True, owns=SESSION),
    Family("fare_between_cities", API, _fare_between_cities, Hazard.NAME_FOR_ID),
    Family("exchange_by_name", API, _exchange_by_name, Hazard.WRONG_UNIT),
    Family("book_then_cancel", API, _book_then_cancel, owns=SESSION),
    Family("budget_then_balance", API, _budget_then_balance, owns=SESSION),
)
