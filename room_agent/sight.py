"""Tells a question about what can be seen from one about anything else, by its words. Knows English best.

A picture that is missing makes a wrong answer, one too many costs a fraction of a cent: in doubt it is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from room_agent.wording import both_ends

READ_CHARS = 2_000
LEAST_SHARED = 2
"""Of so many words with what is shown now, a question is about it; one alone may be chance."""

_THINGS = (
    r"screens?|screenshots?|monitor|slides?|deck|presentation|pictures?|images?|photos?|diagrams?|charts?|graphs?|"
    r"plots?|legend|axis|axes|spreadsheet|whiteboard|headings?|headlines?|bullets?|bullet points?|captions?|subtitles?|"
    r"footnotes?|small print|fine print|logo|cursor|dialogue? ?box|dialog|popup|pop-up|screen ?share|typos?|"
    r"error messages?|stack ?trace|address bar|in (?:the|my|his|her|your|their) share|colou?rs?|"
    r"on (?:the|my|his|her|your|their) (?:page|board|desktop|display|map|wall|poster|sheet|form|label)|on display|"
    r"(?:the|this|that|which|first|second|third|fourth|fifth|last|next|bottom(?! line)|top) (?:table|page|window|tab|"
    r"column|row|cell|title|line|box|button|menu|code|figure|numbers?(?! of)|text|bar|item|point|paragraph|sentence|"
    r"word|equation|formula|map|sign|caption|entry|arrow|icon|curve|document|e-?mail|error|snippet|image|url|link)|"
    r"(?:highest|lowest|tallest|shortest|biggest|largest|smallest|longest) (?:bar|column|slice|box|number|value)|"
    r"how many (?:rows|columns|bars|slices|items|lines|boxes|entries)|(?:which|what) (?:file|app|folder) is open"
)
_PLACES = (
    r"(?:top|bottom|upper|lower)[- ](?:left|right|half|corner|row)|at the (?:top|bottom|left|right)|"
    r"(?:in|on) the (?:left|right|middle|cent(?:er|re)|background|foreground|(?:\w+ )?corner)|"
    r"(?:top|end|bottom) of the (?:page|list|table|screen|column)|in front of (?:us|me|you)"
)
_SIGHT = (
    r"(?:you|we|i|they|he|she) (?:can |could |now |just )?(?:see|saw|seen|show|showed|shown|sharing|shared|presenting|"
    r"presented|looking|displaying)|(?:can|do|did|could) (?:you|we|i) (?:see|read|make out)|look(?:s|ing)? at|"
    r"shown|showing|displayed|(?:is|are|was|were|am) \w+ (?:showing|sharing|presenting|pointing|displaying|drawing)"
    r"(?! (?:tomorrow|next|on|later|this|after))|(?:i'm|he's|she's|they're|you're|we're) (?:showing|sharing|"
    r"presenting|pointing)|show(?:ed)? (?:us|me)|got up there|"
    r"read (?:this|that|it|me|out)|does it (?:say|show)|on it\b|up there|over there|right here|"
    r"(?:written|listed|highlighted|circled|underlined|crossed out|ticked|selected|drawn|scribbled)"
    r"(?! (?:by|policy|notice|consent))"
)
_AGO = r"(?:before|earlier|a (?:minute|moment|second|while) ago)"
_BEFORE = (
    r"(?:this|that|previous|next) one|the one (?:before|after)|before (?:this|that)\b|"
    rf"what (?:was|were|came|did it say) (?:there |here |up |on |it )?{_AGO}|(?:up|there|here) {_AGO}|"
    r"go(?:ing)? back (?:one|a)|with the (?:previous|last)|"
    r"what(?:'s| has|'ve| have)? (?:\w+ )?changed (?:here|there|since|on|just)"
)
_NO_THINGS = (
    r"week|weeks|month|months|quarter|year|years|morning|afternoon|evening|day|time|meeting|call|company|team|"
    r"project|way|far|point|guy|person|policy|contract|case|sprint|release|budget|room|rules|terms"
)
_POINTING = (
    r"(?:what|who|where|which|how)(?:'s| is| are| was| were| does| do| did)? (?:this|that|these|those)\b"
    rf"(?! (?:{_NO_THINGS})\b)|"
    rf"(?:this|these) (?!{_NO_THINGS}\b)\w+ (?:mean|means|say|says|show|shows)\b|"
    r"(?:explain|summari[sz]e|translate|describe|read|check|debug|review|fix|solve|interpret|transcribe|compare|"
    r"tell (?:me|us) (?:more )?about|make of|wrong with|walk (?:me|us) through|look at|help (?:me|us) with) "
    rf"(?:this|these|those|it)\b(?! (?:{_NO_THINGS})\b)|"
    rf"(?:is|are|was|were|do|does|why is|why does) (?:this|these)\b(?! (?:{_NO_THINGS})\b)|is that an? \w+\W*$|"
    r"(?:who|what) (?:wrote|made|drew|designed) (?:this|these)|"
    r"(?:what|which) \w+ (?:is|are) (?:this|that|these|those)\W*$|what's on\W*$|"
    r"(?:what|what's|which|why|how many|anything|something)\b.{0,80} (?:here|(?:in|on|written|installed) there)\W*$"
)
# The words for a screen and what is on it, in the languages that a meeting is likeliest to be held in besides.
_ELSEWHERE = (
    r"bildschirm\w*|folien?|tabelle|diagramm\w*|zu sehen|écrans?|diapos?|diapositives?|tableau|graphique|pantallas?|"
    r"diapositivas?|gráficos?|schermo|schermata|grafico|tela|ekran\w*"
)
_ABOUT = re.compile(rf"(?<!\w)(?:{_THINGS}|{_PLACES}|{_SIGHT}|{_BEFORE}|{_POINTING}|{_ELSEWHERE})(?!\w)")
_WORD = re.compile(r"\w{3,}")
_COMMON = frozenset(
    "about and any are but can company could did does for from get give has have hello her here him his how into its "
    "just many may meeting more most much not now number off one our out own page people per please project question "
    "say said says screen shall she should show shows slide some tell text than thank thanks that the their them then "
    "there these they this those three two was were what when where which who why will with would year you your".split()
)


def asks_about_screen(text: str, shown: Iterable[str] = ()) -> bool:
    """Tell whether a question is about what can be seen, so that the picture is worth its tokens.

    It names a thing on a screen or a place on it, speaks of seeing or showing, points with a "this" that is no stretch
    of time, or says what `shown`, the descriptions of what is shown now, say too.
    """
    asked = " ".join(both_ends(text, READ_CHARS).lower().replace("\u2019", "'").split())
    return _ABOUT.search(asked) is not None or any(_share(asked, one) for one in shown)


def _share(asked: str, shown: str) -> bool:
    return len(_content(asked) & _content(shown.lower())) >= LEAST_SHARED


def _content(text: str) -> set[str]:
    return {word for word in _WORD.findall(text) if word not in _COMMON and not word.isdigit()}
