"""Plain requests to TradingBot."""

from fission_grpo.tasks.draft import LAST, Draft, Family, Scene, call
from fission_grpo.tasks.families.trading import API, BALANCE, market, new_symbol, order_entry


def _pay_in(scene: Scene) -> Draft:
    amount = scene.names.number(1001, 9999)
    says = (
        "My trading account needs money: pay in {amount} dollars.",
        "Transfer {amount} dollars to the trading account.",
        "Please raise the balance of my trading account by {amount} dollars.",
    )
    left_out = (
        (
            "My trading account needs money: pay something in.",
            "Transfer some dollars to the trading account.",
            "Please raise the balance of my trading account.",
        ),
        ("Make it {amount} dollars.", "{amount} dollars, please.", "I thought of {amount} dollars.", "By {amount}."),
    )
    fund = call("fund_account", amount=amount)
    return Draft(market(scene, [new_symbol(scene)]), (scene.ask(says, fund, left_out=left_out, amount=amount),))


def _sell(scene: Scene) -> Draft:
    symbol, amount, price = new_symbol(scene), scene.names.number(2, 40), scene.names.number(101, 999)
    says = (
        "I am parting with {amount} shares of {symbol}: sell them at {price}.",
        "Enter a sell order over {amount} {symbol}, limit {price}.",
        "Please put {amount} of my {symbol} shares up for {price} each.",
    )
    left_out = (
        (
            "I am parting with {amount} shares of {symbol}: sell them.",
            "Enter a sell order over {amount} {symbol}.",
            "Please put {amount} of my {symbol} shares up for sale.",
        ),
        ("The price is {price}.", "At {price} each.", "I want {price} a share.", "Ask {price} for each."),
    )
    order = call("place_order", order_type="Sell", symbol=symbol, price=price, amount=amount)
    turn = scene.ask(says, order, left_out=left_out, symbol=symbol, amount=amount, price=price)
    return Draft(market(scene, [symbol]), (turn,))


def _watch(scene: Scene) -> Draft:
    symbol = new_symbol(scene)
    says = (
        "Keep an eye on {symbol}: add it to the watchlist.",
        "Put {symbol} on my watchlist.",
        "I want to watch the stock {symbol} from now on.",
        "Please have {symbol} on the list of stocks that I watch.",
    )
    return Draft(market(scene, [symbol]), (scene.ask(says, call("add_to_watchlist", stock=symbol), symbol=symbol),))


def _stock(scene: Scene) -> Draft:
    symbol = new_symbol(scene)
    says = (
        "How is {symbol} doing?",
        "Tell me about the stock {symbol}.",
        "What is the price of {symbol} at the moment?",
        "Please look up the stock {symbol}.",
    )
    return Draft(market(scene, [symbol]), (scene.ask(says, call("get_stock_info", symbol=symbol), symbol=symbol),))


def _order(scene: Scene) -> Draft:
    number, symbol = scene.names.number(10, 99), new_symbol(scene)
    says = (
        "What has become of order {number}?",
        "Give me the details of order {number}.",
        "Show me what order {number} was about.",
        "Please look at my order with the number {number}.",
    )
    config = market(scene, [symbol], orders=[order_entry(number, symbol, scene.rng.choice(("Open", "Completed")))])
    return Draft(config, (scene.ask(says, call("get_order_details", order_id=number), number=number),))


def _account(scene: Scene) -> Draft:
    says = (
        "What does my trading account look like?",
        "Show me the account: balance and card.",
        "How much money is in the trading account?",
        "Please get the details of my trading account.",
    )
    config = market(scene, [new_symbol(scene)], balance=float(scene.rng.randint(100, 90_000)))
    return Draft(config, (scene.ask(says, call("get_account_info")),))


def _time(scene: Scene) -> Draft:
    says = (
        "What time is it on the exchange?",
        "Tell me the current market time.",
        "How late is it at the stock exchange?",
        "Please check the clock of the trading system.",
    )
    return Draft(market(scene, [new_symbol(scene)]), (scene.ask(says, call("get_current_time")),))


def _watchlist(scene: Scene) -> Draft:
    says = (
        "Which stocks do I watch?",
        "Show me my watchlist.",
        "What is on the watchlist at present?",
        "Please read me my watchlist.",
    )
    symbol = new_symbol(scene)
    return Draft(market(scene, [symbol], watched=[symbol]), (scene.ask(says, call("get_watchlist")),))


def _orders(scene: Scene) -> Draft:
    says = (
        "What orders have I placed so far?",
        "List my orders.",
        "Show me the history of my orders.",
        "Please get all my order numbers.",
    )
    symbol, number = new_symbol(scene), scene.names.number(10, 99)
    config = market(scene, [symbol], orders=[order_entry(number, symbol, "Open")])
    return Draft(config, (scene.ask(says, call("get_order_history")),))


def _transactions(scene: Scene) -> Draft:
    says = (
        "What went in and out of my trading account?",
        "Show me the history of my transactions.",
        "List all payments of the trading account.",
        "Please get my transaction history.",
    )
    return Draft(market(scene, [new_symbol(scene)]), (scene.ask(says, call("get_transaction_history")),))


def _sector(scene: Scene) -> Draft:
    sector = scene.rng.choice(("Technology", "Automobile"))
    says = (
        "Which stocks of the {sector} sector can I buy?",
        "List the stocks in {sector}.",
        "I am interested in the {sector} sector. What is there?",
        "Please show the available {sector} stocks.",
    )
    config = market(scene, [new_symbol(scene)])
    return Draft(config, (scene.ask(says, call("get_available_stocks", sector=sector), sector=sector),))


def _filter(scene: Scene) -> Draft:
    stocks = [new_symbol(scene) for _ in range(3)]
    low, high = scene.names.number(5, 24), scene.names.number(25, 60)
    says = (
        "Which of {listed} cost between {low} and {high} dollars?",
        "Of the stocks {listed}, pick those priced from {low} to {high}.",
        "I look at {listed}: keep what costs {low} to {high} dollars.",
        "Please filter {listed} for a price of {low} to {high}.",
    )
    select = call("filter_stocks_by_price", stocks=stocks, min_price=low, max_price=high)
    return Draft(market(scene, stocks), (scene.ask(says, select, listed=", ".join(stocks), low=low, high=high),))


def _changes(scene: Scene) -> Draft:
    stocks, threshold = [new_symbol(scene) for _ in range(2)], scene.names.number(1, 9)
    says = (
        "Tell me if {listed} moved by {threshold} percent or more.",
        "Has any of {listed} changed by at least {threshold} percent?",
        "Notify me about changes of {threshold} percent in {listed}.",
        "Please check {listed} for price changes from {threshold} percent on.",
    )
    check = call("notify_price_change", stocks=stocks, threshold=threshold)
    turn = scene.ask(says, check, listed=" and ".join(stocks), threshold=threshold)
    return Draft(market(scene, stocks), (turn,))


def _sign_out(scene: Scene) -> Draft:
    says = (
        "No more trading for today; log me out there.",
        "Sign me out of the trading system.",
        "I am done with the market. Log out.",
        "Please end my trading session.",
    )
    return Draft(market(scene, [new_symbol(scene)]), (scene.ask(says, call("trading_logout")),))


def _session(scene: Scene) -> Draft:
    says = (
        "Am I logged in to the trading system?",
        "Check whether my trading session is open.",
        "Does the trading system have me signed in?",
        "Please see if I am signed in for trading.",
    )
    return Draft(market(scene, [new_symbol(scene)]), (scene.ask(says, call("trading_get_login_status")),))


FAMILIES = (
    Family("pay_in", API, _pay_in, owns=(BALANCE,)),
    Family("sell", API, _sell),
    Family("watch_stock", API, _watch),
    Family("stock_info", API, _stock),
    Family("order_details", API, _order),
    Family("trading_account", API, _account),
    Family("market_time", API, _time),
    Family("watchlist", API, _watchlist),
    Family("order_history", API, _orders),
    Family("transaction_history", API, _transactions),
    Family("sector_stocks", API, _sector),
    Family("filter_stocks", API, _filter),
    Family("price_changes", API, _changes),
    Family("trading_sign_out", API, _sign_out, owns=("authenticated", LAST)),
    Family("trading_session", API, _session),
)
