"""The words by which the leak guard tells what a text binds, and those that prove little because they are everywhere."""

import re

_CONNECTORS = (
    "is was are be been being must should shall has have had need needs needed ought set equal equals to as with"
    " value values parameter argument field the a an correct right expected expects exactly actually instead rather"
    " than of not but use using pass give put for in into it its number integer string boolean called named and or"
    " change changed try required want wants wanted take takes make makes so replace replaced by would could can will"
    " you your user users they asked about approximately roughly around simply just only probably likely really like"
    " something then first second third last reads read written spelled means meant proper intended actual true"
    " supposed on at from that this which one entry item element target"
    " belongs goes contain contains contained include includes included"
)
CONNECTORS = frozenset(_CONNECTORS.split())
"""Words that may stand between a parameter and the value bound to it."""

CUES = re.compile(
    r"(?:->|=>|→)|\b(?:(?:did|do) you (?:perhaps |maybe |possibly )?mean|(?:you|user|they) (?:probably |perhaps |likely )?"
    r"(?:meant|wants?|wanted)|use|using|try|should (?:be|have been)|must be|expected|instead|go with|choose|pass|enter"
    r"|(?:correct|right|expected|intended|proper|actual|desired) \w+ (?:is|was|would be|reads)|the answer is|asked for"
    r"|replace\w* \S{1,80} (?:by|with)|perhaps|maybe|closest match|similar (?:name|value|entry)|suggest(?:ed|ion|ions)?"
    r"|consider|looking for|namely|such as|for example|e\.g\.?|hint|solution|i would go for|supply|provide|set it to"
    r"|change (?:it|that|this) to|make (?:it|that|this)|pick|select|type|write|insert|switch to|only"
    r"|called|named|by the name of|(?:again|retry|retrying|repeat|call) with)(?!\w)"
)
"""What announces a value without naming its parameter."""

CUES_BEHIND = re.compile(
    r"\b(?:is|was|would be|would have been|seems|looks)(?: to be)? (?:what (?:you|they|the user|is|was)|the one\b|meant"
    r"|wanted|needed|requested|expected|(?:the )?(?:correct|right)|the answer|asked for)|\bwould (?:do|work|fit)\b"
)
"""What says of a value before it that it is the one."""

_EVERYDAY = (
    "start stop open closed close high low medium normal first last all none other new old file folder directory user"
    " name time date text message required invalid missing check number string list left right error errors call"
    " calls tool value values parameter argument arguments state status type mode option on off yes no true false"
    " null content path find sort wait touch tail add remove delete search read write send post get set log login"
    " logout echo mean power subtract multiply divide percentage order book ticket account request response result"
    " results empty valid before after again already again current default fuel driver passenger front rear back buy"
    " sell pending resolved complete completed active inactive success failed failure economy business general title"
    " description comment mention key word words line lines unit units base amount price total part whole public"
    " private any some more less"
)
EVERYDAY = frozenset(_EVERYDAY.split())
"""Words of ordinary feedback. As values they count only when bound explicitly, as tool names only when marked as tools."""

_FILLERS = "the my your this our new old folder file dir directory path name user value item here called named id is"
FILLERS = frozenset(_FILLERS.split())
"""What a value may be glued to (`thedocsfolder`), beside the names of its parameter and tool."""

_COUNTED = (
    "value values argument arguments parameter parameters call calls string strings number numbers integer character"
    " characters digit digits item items more less other others of that which who from or another time times tool"
    " tools step steps error errors match matches option options field fields at where with if"
)
COUNTED = frozenset(_COUNTED.split())
"""A number before one of these counts things (`expects one value`), and is no value itself."""

_PRONOUN_LEADS = "the this that which each any no right correct wrong valid actual existing same other first"
PRONOUN_LEADS = frozenset(_PRONOUN_LEADS.split())
"""`one` behind one of these stands for something else."""
