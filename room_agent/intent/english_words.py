"""Lists English words that the rules about screens do not take for a name."""

from __future__ import annotations

GRAMMAR_WORDS = frozenset(
    "hey hi hello ok okay yo dear thanks morning afternoon evening mm mmm mhm mmhmm hm hmm uh um uhm er ah oh huh "
    "so well and but now right alright please yes yeah no thank you good sorry what whats how hows who whos whom "
    "whose where wheres when whens which why is are was were do does did can could would should has have show tell "
    "explain read describe summarize summarise repeat look say give help find go continue ask asked asking asks "
    "told telling tells call called calling calls with by of use used using uses about to from for like likes "
    "liked than or nor not named the a an my our your their his her its this that on in at via let without after "
    "until into over love loves loved hate hates hated trust trusted tried buy bought mean means meant mention "
    "mentioned said says thinks gave send sent invite invited add added neither either both only just even new "
    "assistant unlike introduce meet mute muted unmute remove keep try tested installed had might must isn't "
    "wasn't hasn't doesn't didn't won't can't couldn't wouldn't shouldn't thought knows knew it there those these "
    "we i they he she got me us them".split()
)
EVERYDAY_WORDS = frozenset(
    "will may mark art grant bill rich sue june april august hope faith joy grace rose dawn pat drew chase max "
    "frank mike guest user host admin speaker room screen one everyone someone nobody".split()
)
