"""TradingBot: accounts, orders and stocks."""

from typing import Any

from fission_grpo.tasks.draft import Draft, DraftTurn, Family, Hazard, Scene, call

COMPANIES = {
    "Apple": "AAPL",
    "Google": "GOOG",
    "Tesla": "TSLA",
    "Microsoft": "MSFT",
    "Nvidia": "NVDA",
    "Zeta Corp": "ZETA",
    "Alpha Tech": "ALPH",
    "Amazon": "AMZN",
    "Gorilla": "GORI",
}
"""What `get_symbol_by_name` knows: the one place where a task uses names that are not invented."""
MAYBE_SIGNED_OUT = (
    "If I am signed out, I am {user} with password {password}.",
    "My login, should you need it: {user} / {password}.",
    "Sign me in as {user}, password {password}, if needed.",
    "In case I am logged out: user {user}, password {password}.",
    "Log in as {user} with {password} if you have to.",
    "If it asks for a login, take {user} / {password}.",
)


def new_symbol(scene: Scene) -> str:
    return scene.names.name().upper()


def order_entry(number: int, symbol: str, status: str) -> dict[str, Any]:
    return {"id": number, "order_type": "Buy", "symbol": symbol, "price": 12.5, "amount": 3, "status": status}


def market(
    scene: Scene,
    symbols: list[str],
    *,
    signed_in: bool = True,
    balance: float = 5000.0,
    orders: list[dict[str, Any]] | None = None,
    watched: list[str] | None = None,
) -> dict[str, Any]:
    return {
        "orders": {str(order["id"]): order for order in orders or []},
        "account_info": {"account_id": scene.names.number(10, 99), "balance": balance, "binding_card": 1974},
        "authenticated": signed_in,
        "market_status": "Open",
        "order_counter": scene.names.number(200, 299),
        "stocks": {symbol: {"price": scene.rng.randint(10, 99) / 2, "percent_change": 0.1} for symbol in symbols},
        "watch_list": watched or [],
        "transaction_history": [],
        "random_seed": scene.rng.randint(1, 10**6),
    }


def _deposit(scene: Scene) -> Draft:
    amount, user, password = scene.names.number(10, 999), scene.names.name(), scene.names.name()
    requests = (
        "Deposit {amount} dollars.",
        "Put {amount} dollars into my account.",
        "Fund my account with {amount} dollars.",
        "Please add {amount} to my balance.",
        "I want to pay in {amount} dollars.",
        "Top up my account by {amount}.",
    )
    text = scene.say(requests, MAYBE_SIGNED_OUT, amount=amount, user=user, password=password)
    config = market(scene, [new_symbol(scene)], signed_in=not scene.hazard)
    fund = call("fund_account", amount=amount)
    return Draft(config, (scene.attempt(text, fund, call("trading_login", username=user, password=password), fund),))


def _buy_signed_out(scene: Scene) -> Draft:
    symbol, user, password = new_symbol(scene), scene.names.name(), scene.names.name()
    amount, price = scene.names.number(2, 30), scene.names.number(31, 99)
    requests = (
        "Buy {amount} shares of {symbol} at {price}.",
        "Place a buy order: {amount} {symbol} at {price}.",
        "I want {amount} {symbol} shares for {price} each.",
        "Get me {amount} of {symbol} at a price of {price}.",
        "Order {amount} shares of {symbol} at {price} each.",
        "Please buy {amount} {symbol} for {price} apiece.",
    )
    slots = {"amount": amount, "symbol": symbol, "price": price, "user": user, "password": password}
    text = scene.say(requests, MAYBE_SIGNED_OUT, **slots)
    config = market(scene, [symbol], signed_in=not scene.hazard)
    buy = call("place_order", order_type="Buy", symbol=symbol, price=price, amount=amount)
    return Draft(config, (scene.attempt(text, buy, call("trading_login", username=user, password=password), buy),))


def _sell_or_other(scene: Scene) -> Draft:
    symbol, other = new_symbol(scene), new_symbol(scene)
    amount, price = scene.names.number(2, 30), scene.names.number(31, 99)
    requests = (
        "Sell {amount} shares of {symbol} at {price}.",
        "Place a sell order: {amount} {symbol} at {price}.",
        "I want to sell {amount} {symbol} for {price} each.",
        "Offer {amount} of {symbol} at a price of {price}.",
        "Please sell {amount} {symbol} for {price} apiece.",
        "Let {amount} shares of {symbol} go at {price} each.",
    )
    clauses = (
        "If that symbol is invalid, {other}.",
        "Should the symbol be wrong, it is {other}.",
        "The symbol may also be {other}.",
        "Or {other}, if there is no such stock.",
        "If the stock is unknown, use {other}.",
        "In case the symbol fails, take {other}.",
    )
    text = scene.say(requests, clauses, amount=amount, symbol=symbol, price=price, other=other)
    config = market(scene, [other if scene.hazard else symbol])
    first, second = (
        call("place_order", order_type="Sell", symbol=stock, price=price, amount=amount) for stock in (symbol, other)
    )
    return Draft(config, (scene.attempt(text, first, second),))


def _withdraw_or_less(scene: Scene) -> Draft:
    amount, less = scene.names.number(300, 900), scene.names.number(10, 99)
    requests = (
        "Withdraw {amount} dollars.",
        "Take {amount} dollars out of my account.",
        "I need {amount} dollars paid out.",
        "Please withdraw {amount} from my balance.",
        "Get {amount} dollars from my account.",
        "Pay me {amount} dollars from my account.",
    )
    clauses = (
        "If I do not have that much, {less}.",
        "Should that be too much, make it {less}.",
        "Or {less}, if the funds are short.",
        "If the money does not suffice, only {less}.",
        "In case of insufficient funds, {less} will do.",
        "If the balance is too low, take {less}.",
    )
    text = scene.say(requests, clauses, amount=amount, less=less)
    balance = scene.rng.randint(100, 299) if scene.hazard else scene.rng.randint(1000, 2000)
    config = market(scene, [new_symbol(scene)], balance=float(balance))
    return Draft(config, (scene.attempt(text, call("withdraw_funds", amount=amount), call("withdraw_funds", amount=less)),))


def _cancel_or_next(scene: Scene) -> Draft:
    number, other = scene.names.number(10, 99), scene.names.number(10, 99)
    requests = (
        "Cancel order {number}.",
        "Please cancel order number {number}.",
        "Order {number} is to be cancelled.",
        "Call off order {number}.",
        "I want order {number} cancelled.",
        "Stop order {number}.",
    )
    clauses = (
        "If it is completed, cancel {other}.",
        "Should it be completed already, take {other}.",
        "Or {other}, if that one is done.",
        "If it went through before, cancel {other} instead.",
        "In case it is complete, do {other}.",
        "When it is too late for that, {other}.",
    )
    text = scene.say(requests, clauses, number=number, other=other)
    status = "Completed" if scene.hazard else "Open"
    orders = [order_entry(number, new_symbol(scene), status), order_entry(other, new_symbol(scene), "Open")]
    config = market(scene, [new_symbol(scene)], orders=orders)
    first, second = (call("cancel_order", order_id=order) for order in (number, other))
    return Draft(config, (scene.attempt(text, first, second),))


def _unwatch_or_other(scene: Scene) -> Draft:
    symbol, other = new_symbol(scene), new_symbol(scene)
    requests = (
        "Remove {symbol} from my watchlist.",
        "Take {symbol} off the watchlist.",
        "I no longer want to watch {symbol}.",
        "Please drop {symbol} from my watchlist.",
        "Stop watching {symbol}.",
        "Delete {symbol} from the watchlist.",
    )
    clauses = (
        "If it is not on it, {other}.",
        "Should it not be there, take {other}.",
        "Or {other}, if it is not listed.",
        "It may have been {other}.",
        "If it is not found, I mean {other}.",
        "In case it is missing, remove {other}.",
    )
    text = scene.say(requests, clauses, symbol=symbol, other=other)
    config = market(scene, [symbol, other], watched=[other if scene.hazard else symbol])
    first, second = (call("remove_stock_from_watchlist", symbol=stock) for stock in (symbol, other))
    return Draft(config, (scene.attempt(text, first, second),))


def _buy_by_company(scene: Scene) -> Draft:
    company = scene.rng.choice(sorted(COMPANIES))
    symbol = COMPANIES[company]
    amount, price = scene.names.number(2, 30), scene.names.number(31, 99)
    requests = (
        "Buy {amount} shares of {company} at {price}.",
        "Place a buy order: {amount} {company} at {price}.",
        "I want {amount} {company} shares for {price} each.",
        "Get me {amount} of {company} at a price of {price}.",
        "Order {amount} shares of {company} at {price} each.",
        "Please buy {amount} {company} for {price} apiece.",
    )
    text = scene.say(requests, amount=amount, company=company, price=price)
    right, wrong = (
        call("place_order", order_type="Buy", symbol=stock, price=price, amount=amount) for stock in (symbol, company)
    )
    return Draft(
        market(scene, [symbol]), (DraftTurn(text, (call("get_symbol_by_name", name=company), right), careless=wrong),)
    )


def _deposit_then_withdraw(scene: Scene) -> Draft:
    amount, back = scene.names.number(100, 999), scene.names.number(10, 99)
    first = (
        "Deposit {amount} dollars.",
        "Put {amount} dollars into my account.",
        "Fund my account with {amount} dollars.",
        "Please add {amount} to my balance.",
        "I want to pay in {amount} dollars.",
        "Top up my account by {amount}.",
    )
    then = (
        "Now withdraw {back}.",
        "Take {back} out again.",
        "Then pay me {back} dollars back.",
        "That was too much; withdraw {back}.",
        "Good. Withdraw {back} dollars.",
        "Next, take out {back} dollars.",
    )
    opening = DraftTurn(scene.say(first, amount=amount), (call("fund_account", amount=amount),))
    closing = DraftTurn(scene.say(then, back=back), (call("withdraw_funds", amount=back),))
    return Draft(market(scene, [new_symbol(scene)]), (opening, closing))


API = "TradingBot"
SESSION, BALANCE = "authenticated", "account_info"
FAMILIES = (
    Family("deposit", API, _deposit, Hazard.MISSING_LOGIN, hidden=True, owns=(SESSION, BALANCE)),
    Family("buy_signed_out", API, _buy_signed_out, Hazard.MISSING_LOGIN, hidden=True, owns=(SESSION, BALANCE)),
    Family("sell_or_other", API, _sell_or_other, Hazard.UNKNOWN_ID, hidden=True),
    Family("withdraw_or_less", API, _withdraw_or_less, Hazard.INSUFFICIENT_FUNDS, hidden=True, owns=(BALANCE,)),
    Family("cancel_or_next", API, _cancel_or_next, Hazard.ALREADY_DONE, hidden=True),
    Family("unwatch_or_other", API, _unwatch_or_other, Hazard.UNKNOWN_ID, hidden=True),
    Family("buy_by_company", API, _buy_by_company, Hazard.NAME_FOR_ID, owns=(BALANCE,)),
    Family("deposit_then_withdraw", API, _deposit_then_withdraw, owns=(BALANCE,)),
)
