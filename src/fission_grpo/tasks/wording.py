"""What stands around the requests of a composed task: an opening, how one request follows another, and asides.

Said of every class alike with or without a hazard, and of no consequence for what is to be called.
"""

from collections.abc import Mapping, Sequence

from fission_grpo.tasks.draft import Scene

OPENINGS: Mapping[str, Sequence[str]] = {
    "GorillaFileSystem": (
        "I am tidying up the files of project {name}.",
        "My folders are a mess, so let us put them in order.",
        "Before the weekend I want to sort out my documents.",
        "{name} left me these files, and I have to get through them.",
        "I am preparing the hand-over of {name}, and some of it is on this disk.",
        "There is some work to do on my files.",
        "The thesis of {name} is due, and its chapters are scattered over this disk.",
        "After the migration from the old laptop nothing is where it used to be.",
        "Our archive of photographs, receipts and recipes has grown wild.",
        "A research assistant dumped raw measurements here before leaving.",
        "I inherited this directory along with the accounting of {name}.",
        "While the coffee is brewing, let us clean up some drafts.",
    ),
    "MathAPI": (
        "I am checking a few figures for {name}.",
        "My homework has some sums in it.",
        "The report needs numbers, so let us calculate.",
        "{name} doubts my arithmetic; help me out.",
        "I am going through the household accounts.",
        "There are some calculations that I do not trust myself with.",
        "The lab notebook of {name} contains suspicious values.",
        "I am helping my daughter revise for an algebra exam.",
        "Our renovation estimate looks far too optimistic.",
        "The treasurer of the rowing club wants everything recalculated.",
        "For a grant proposal I must justify several quantities.",
        "An engineer at {name} and I disagree about some arithmetic.",
    ),
    "MessageAPI": (
        "I have to get back to a few people at work.",
        "The team of {name} is waiting for an answer.",
        "Let us see to my messages before the meeting.",
        "I promised {name} to keep everybody informed.",
        "My inbox needs some attention today.",
        "I am catching up on the workspace after my holiday.",
        "The launch of {name} slipped, so several colleagues must hear from me.",
        "I am coordinating volunteers for the charity run.",
        "Our shift schedule fell apart, and people are asking questions.",
        "My assistant normally handles correspondence, but she is on a plane.",
        "The neighborhood committee communicates through this workspace.",
        "{name} resigned yesterday; their conversations land on my desk now.",
    ),
    "TicketAPI": (
        "I am on support duty this week.",
        "The help desk of {name} has handed its tickets to me.",
        "Let us work through the ticket queue.",
        "{name} asked me to look after the tickets today.",
        "I have some open business in the ticket system.",
        "There was trouble with the printers, and so there are tickets.",
        "A storm knocked out half of our servers, and complaints pile up.",
        "I am shadowing {name} at the service counter.",
        "The quarterly support figures look terrible unless we act.",
        "Customers of {name} report glitches after the upgrade.",
        "Escalations from the warehouse reached me overnight.",
        "As the new coordinator I am reviewing outstanding incidents.",
    ),
    "TradingBot": (
        "I want to see to my portfolio today.",
        "The market has been restless since {name} spoke.",
        "My broker {name} is away, so I do it with you.",
        "Let us have a look at my investments.",
        "I have half an hour for my stocks.",
        "It is time to bring some order into my trading.",
        "My retirement fund performed miserably, so I am taking over.",
        "An analyst from {name} published a gloomy forecast.",
        "Inflation worries me, and I would rather act than brood.",
        "I inherited a small portfolio from uncle {name}.",
        "Earnings season starts, which always makes me jumpy.",
        "Between two lectures I like to review my investments.",
    ),
    "TravelAPI": (
        "I am planning a trip with {name}.",
        "My holidays are coming closer.",
        "The office of {name} sends me on a journey.",
        "Let us get my travel arrangements done.",
        "I will be on the road a lot this year.",
        "My sister {name} marries abroad, and I have to get there.",
        "The annual conference of {name} takes place far away this time.",
        "We celebrate our anniversary somewhere sunny.",
        "My employer reimburses flights only when everything is documented.",
        "The orchestra of {name} goes on tour, and I handle logistics.",
        "A cheap getaway would do me good after this winter.",
        "Visiting my cousin {name} requires some organization.",
    ),
    "TwitterAPI": (
        "I look after the Twitter account of {name}.",
        "Let us do something about my followers.",
        "I have neglected Twitter for weeks.",
        "The people at {name} say I should be more visible online.",
        "I want to spend five minutes on social media.",
        "There is a campaign of {name} running on Twitter.",
        "Our bakery wants to reach younger customers.",
        "A journalist mentioned {name}, and the timeline exploded.",
        "I manage publicity for a modest theater company.",
        "The election campaign of {name} enters its final stretch.",
        "My band released a single, so engagement matters.",
        "Trolls have discovered our museum, and I must respond calmly.",
    ),
    "VehicleControlAPI": (
        "I am sitting in my car in front of {name}.",
        "A long drive is ahead of me today.",
        "{name} lent me this car, and I do not know it well.",
        "Let us get the car ready.",
        "I am taking {name} to the coast in a moment.",
        "My car has just come back from the garage.",
        "The ferry leaves soon, and the kids are already buckled in.",
        "I rented this vehicle at the airport near {name}.",
        "Fog covers the highway, so everything should work properly.",
        "My driving instructor {name} insists on careful preparation.",
        "We are hauling furniture for {name} across the mountains.",
        "It froze last night, and the windshield is a sheet of ice.",
    ),
}
FOLLOWING = (
    "Good.",
    "Thank you.",
    "Fine, that helps.",
    "Next, please.",
    "Very well.",
    "That is done, then.",
    "Now to something else.",
    "Let us go on.",
    "There is one more thing.",
    "I have another request.",
)
JOINING = (
    "And one more thing:",
    "After that:",
    "While you are at it:",
    "Besides:",
    "When that is done:",
    "Also this:",
)
WHO = (
    "My manager",
    "The auditors",
    "A customer from abroad",
    "Somebody in accounting",
    "The landlord",
    "My brother-in-law",
    "An old friend",
    "Our new director",
    "The tax office",
    "A rather impatient neighbor",
    "Half of the department",
    "The people downstairs",
    "My flatmate",
    "A former colleague",
    "The insurance company",
    "My grandmother, of all people,",
    "The intern",
    "Everybody at the club",
)
DID = (
    "insisted on it",
    "complained about the delay",
    "called because of it",
    "brought it up",
    "asked me for it",
    "laughed at me for putting it off",
    "had some doubts about it",
    "offered me a coffee for it",
    "wanted to know the details",
    "reminded me of it",
    "spoke of nothing else",
    "worried about it",
    "recommended you for it",
    "made quite a fuss about it",
)
WHEN = (
    "this morning",
    "over breakfast",
    "on the phone",
    "during the last review",
    "in the elevator",
    "at the bakery",
    "while we were waiting for the bus",
    "in front of everybody",
    "a fortnight ago",
    "shortly before closing time",
    "in a lengthy letter",
    "right after the holidays",
    "between two meetings",
    "at the swimming pool",
    "with little patience",
)
HENCE = (
    ", hence the rush.",
    ", so let us get it over with.",
    ", and I had nothing to say.",
    ", which is why I turn to you.",
    ", but never mind that.",
    ", and I do not want to hear it again.",
    ", if you must know.",
    ".",
)
"""`WHO`, `DID`, `WHEN` and `HENCE` make an aside."""
OPENED, FOLLOWED, ASIDE = 0.6, 0.35, 0.25
"""How often a first message has an opening, a later one something that leads on to it, and any message an aside."""


def opening(scene: Scene, api: str) -> str:
    """How the first message of a task begins, or nothing."""
    if scene.rng.random() >= OPENED:
        return ""
    return scene.say(OPENINGS[api], name=scene.names.name().title())


def following(scene: Scene) -> str:
    """How a later message begins, or nothing."""
    return scene.say(FOLLOWING) if scene.rng.random() < FOLLOWED else ""


def aside(scene: Scene) -> str:
    """What the user adds without asking for anything, or nothing."""
    return f"{scene.say(WHO, DID, WHEN)}{scene.say(HENCE)}" if scene.rng.random() < ASIDE else ""


def joined(scene: Scene, first: str, second: str) -> str:
    """Two requests in one message."""
    return f"{first} {scene.say(JOINING)} {second}"
