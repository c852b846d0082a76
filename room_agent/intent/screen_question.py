"""Decides by its words whether a question is about the screen. Mostly English.

A missing frame makes a wrong answer, and a needless one costs a fraction of a cent: in doubt the answer is yes. A bare
"the total" or "the scale" refers to the screen that everybody sees; "the total headcount" is the company's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from room_agent.text.normalize import READ_CHARS, both_ends, folded

MIN_SHARED = 2
"""The words that a question about the screen shares with its description; one alone may be chance."""
MAX_FOLLOW_UP_WORDS = 8
"""A longer question that begins with "and" states its own subject."""

_THINGS = (
    r"screens?|screenshots?|monitor|slides?|deck|presentation|pictures?|images?|photos?|diagrams?|charts?|graphs?|"
    r"plots?|legend|axis|axes|spreadsheet|whiteboard|headings?|headlines?|bullets?|bullet points?|captions?|subtitles?|"
    r"footnotes?|small print|fine print|logo|cursor|dialogue? ?box|dialog|popup|pop-up|screen ?share|typos?|"
    r"error messages?|stack ?trace|address bar|in (?:the|my|his|her|your|their) share|colou?rs?|"
    r"on (?:the|this|that|my|his|her|your|their) (?:page|board|desktop|display|map|wall|poster|sheet|form|label)|"
    r"on display|(?:the|this|that|which|first|second|third|fourth|fifth|last|previous|next|bottom(?! line)|"
    r"top) (?:table|page|window|tab|column|row|cell|title|line(?! between| of business)|box|button|menu|code(?! of|"
    r" for)|figure|numbers?(?! of)|text|bar|item|point|paragraph|sentence|word|equation|formula|map|sign|caption|entry|"
    r"arrow|icon|curve|document|e-?mail|error|snippet|image|url|link)|(?:highest|lowest|tallest|shortest|biggest|"
    r"largest|smallest|longest) (?:bar|column|slice|box|number|value|line|curve|dot|point(?! of| in))|(?:how many|"
    r"count the) (?:rows|columns|bars|slices|items|lines|boxes|entries)|(?:which|what) (?:file|app|folder) is open"
)
_PLACES = (
    r"(?:top|bottom|upper|lower)[- ](?:left|right|half|corner|row)|at the (?:top|bottom|left|right)|"
    r"(?:in|on) the (?:left|right|middle|cent(?:er|re)|background|foreground|(?:\w+ )?corner)|"
    r"(?:top|end|bottom) of the (?:page|list|table|screen|column)|in front of (?:us|me|you)"
)
_NO_NAMES = (
    r"on|of|for|about|to|in|with|and|or|from|by|our|its|policy|profits?|revenues?|costs?|jobs?|files?|data|information|"
    r"knowledge|desk|market|office|time|ride"
)
_SOMEBODY = rf"(?:(?!(?:{_NO_NAMES}) )[\w.'-]+ ){{1,3}}"
"""Up to three words: "Bob", "Jean-Luc", "Mary Ann has"."""
_NOT_A_SCREEN = (
    r"(?!(?: \w+){0,3} (?:tomorrow|tonight|yesterday|later|after|next|last|monday|tuesday|wednesday|thursday|friday|"
    r"about|at (?:the|our|a)(?! (?:moment|end|start|beginning))|to (?!us\b|me\b|now\b)\w+|in (?:its|his|her|our|their)|"
    r"with (?!us\b|me\b|everyone\b)\w+|costs?|expenses?|profits?|revenues?|risks?|data|information|office|room|desk|"
    r"flat|taxi|car|ride|credit|blame|work|workload|responsibilit\w+|password|feedback|fingers)\b)"
)
_SHARED = (
    rf"(?:what|who|where|which \w+)(?:'s|'re| is| are| was| were) (?:{_SOMEBODY})?(?:sharing|presenting|showing|"
    rf"displaying|demonstrating|demoing|pointing|drawing|typing|highlighting){_NOT_A_SCREEN}|"
    rf"(?<!when )(?<!why )(?<!how )(?:is|are|was|were|am) {_SOMEBODY}(?:showing|sharing|presenting|pointing|"
    rf"displaying|drawing){_NOT_A_SCREEN}|"
    rf"(?:what|which \w+)(?:'d|'s|'ve| did| has| have| had) {_SOMEBODY}(?:shared?|present(?:ed)?|show(?:ed|n)?|"
    rf"point(?:ed)? (?:at|to)|display(?:ed)?|highlight(?:ed)?){_NOT_A_SCREEN}|"
    rf"what (?:{_SOMEBODY}|was |were |has been |have been )(?:shared|presented|showed|shown|sharing|presenting|"
    rf"pointing|put up){_NOT_A_SCREEN}|"
    rf"(?:i'm|he's|she's|they're|you're|we're) (?:showing|sharing|presenting|pointing){_NOT_A_SCREEN}|"
    rf"(?:you|we|i|they|he|she) (?:can |could |now |just )?(?:sharing|shared|presenting|presented){_NOT_A_SCREEN}|"
    r"what have (?:we|i|you) (?:looked at|been looking at|gone through)"
)
_SIGHT = (
    r"(?:you|we|i|they|he|she) (?:can |could |now |just )?(?:see|saw|seen|show|showed|shown|looking|displaying)|"
    r"(?:can|do|did|could) (?:you|we|i) (?:see|read|make out)|look(?:s|ing)? at|(?:are|am) (?:you|we|i) seeing\W*$|"
    r"shown|showing|displayed|show(?:ed)? (?:us|me)|got up there|"
    r"read (?:this|that|it|out|me(?! the (?:policy|contract|handbook|rules)))|does it (?:say|show)|on it\b|up there|"
    r"over there|right here|(?:written|listed|highlighted|circled|underlined|crossed out|ticked|selected|drawn|"
    r"scribbled|plotted|labell?ed)(?! (?:by|policy|notice|consent))"
)
_AGO = r"(?:before|earlier|a (?:minute|moment|second|while) ago)"
_TURNED = r"(?:changed|moved|appeared|disappeared|vanished|popped up|came up|lit up)"
_BEFORE = (
    r"(?:this|that|previous|next) one|the one (?:before|after)|before (?:this|that)\b|"
    rf"what (?:was|were|came|did it say) (?:there |here |up |on |it )?{_AGO}|(?:up|there|here) {_AGO}|"
    r"go(?:ing)? back (?:one|a)|with the (?:previous|last)|"
    r"what(?:'s| has|'ve| have)? (?:\w+ )?changed (?:here|there|just|on (?:it|there|here|this|that)|"
    r"since (?:then|before|i|you|we|the (?:last|previous) (?:slide|one|picture|time)))|"
    rf"what(?:'s| has| have)? (?:just )?{_TURNED}(?: just)?(?: now)?\W*$|"
    rf"what(?:'s| has)? just {_TURNED}(?! (?:in|at|about|for|with))|"
    r"what(?:'s| is) (?:different|new) (?:now|this time|from before)\W*$|what(?:'s| is) different\W*$|"
    r"what's on now\W*$|what (?:was|were) (?:the|that) (?:[\w-]+ ){1,4}(?:just now|a (?:moment|second|minute) ago)"
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
_COLOURS = (
    r"red|blue|green|yellow|orange|purple|violet|pink|brown|gr[ae]y|black|white|dark|light|dotted|dashed|solid|shaded"
)
_ORDER = rf"first|second|third|fourth|fifth|sixth|last|next|middle|top|bottom|upper|lower|left|right|other|{_COLOURS}"
_COUNTED = r"(?:\d{1,5}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|(?:twen|thir|for|fif)ty)"
_MONTHS = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december|q[1-4]|(?:19|20)\d\d|"
    r"the (?:middle|beginning|end)\b)"
)
_PARTS = (
    rf"(?:the|this|that|these|those|which|what|each) (?!black box)(?:{_COLOURS}) (?:lines?|bars?|slices?|areas?|"
    rf"box(?:es)?|dots?|curves?|arrows?|text|parts?|bits?|ones?|circles?|squares?|rectangles?|triangles?|stars?|"
    rf"shapes?|sections?|bands?|segments?|columns?|rows?|cells?|markers?|nodes?|buttons?|icons?|words?|numbers?|"
    rf"letters?|stripes?|bubbles?|stuff)|(?:an?|any|the|this|that|these|those) (?:spike|dip|peak|bump|trough|plateau|"
    rf"outlier)s?(?: (?:in|around) {_MONTHS}|"
    r"(?! (?:in|of|for|at|around|between|last|season|hours?|time|load|demand|performance|travel)))|"
    r"(?:little|small|big|tiny|thin|thick) (?:line|box|triangle|circle|square|star|arrow|dot|icon|symbol|cross|number)|"
    r"lines? (?:cross|"
    rf"meet|intersect)|(?:is|are|was) (?:it|that|this|they|these) (?:{_COLOURS})\W*$|"
    r"in (?:the|this|that) pie|(?:drop|fall|rise|climb|jump|dip|flatten|go(?:es)? (?:up|down))s?(?: off|"
    r" out)? t?here\W*$|(?:the|this|that) (?:footer|side ?bar|tool ?bar|(?:status|menu|scroll|progress|title) bar|"
    r"task ?bar|tool ?tip|watermark|thumbnail|bar ?code|qr[ -]?code|check ?box|drop-?down|asterisk|dots?|star|"
    r"symbol)s?(?! (?:for|of) )|in (?:the|this) header\W*$|(?:any|some)thing in the margins?\W*$|(?:the|"
    r"that) acronym\W*$|"
    rf"(?:row|column|cell|line|bullet|box|item)s? (?:number )?{_COUNTED}(?! of)|column [b-hj-z]|"
    rf"cells? [a-z]{{1,2}}\d{{1,5}}|"
    r"what(?:'s| is| are| was| were) the (?:grand )?(?:(?:sub)?totals?|sums?|units?|scale|average|mean|median|"
    r"percentages?|values?|ratios?)\W*$|how (?:much|high|big) (?:is|are|was) the (?:total|sum|average|value)\W*$|"
    r"(?:what|which) (?:number|figure|letter|word) is it|(?:number|name|word|text|label|figure|amount) there\W*$|"
    r"(?:the|these|those) (?:grand )?(?:(?:sub)?totals?|sums?|numbers|figures|percentages|values|"
    r"amounts) (?:match(?! the)|adds? up|tally|right|correct|wrong|off|balance)|(?:this|that|these|those|it|"
    r"they) adds? up\W*$|check the (?:maths?|sums?|totals?)|read (?:me |us |out )?(?:the whole thing|everything|"
    r"it all)|can you count|how many fingers|(?:mistake|error|typo)s? t?here\W*$|is (?:the|my) (?:spelling|grammar|"
    r"punctuation) (?:right|correct|okay|ok|wrong)|"
    rf"(?:read|explain|describe|translate|transcribe)(?: me| us| out)? the (?:{_ORDER}) (?:ones?|two|three|few)|"
    rf"what(?:'s| is| was| does| do| did)? the (?:{_ORDER}) ones? (?:say|mean|show|stand|represent|read|about)s?|"
    r"what(?:'s| is) the (?:second|third|fourth|fifth|sixth|middle|top|bottom) one\W*$|which of (?:these|"
    r"those)\W*(?:is|are)|between (?:these|those)(?: two)?\W*$"
)
_OPENED = r"(?:file|tab|app|window|folder|sheet|cell|website|program|document|menu|page)s?"
_CODE = r"(?:code|query|formula|script|function|regex|sql|syntax|spreadsheet|layout)"
_WORK = (
    r"(?<!for )(?<!use )(?<!using )(?<!on )(?<!via )(?<!is )(?<!have )(?<!the )(?<!our )(?<!or )zoom (?:in|out|"
    r"into)(?! of)|"
    rf"scroll(?:ing)? (?:up|down|back|to)|wrong (?:with|in) (?:my|his|her|this) {_CODE}|"
    r"(?<!should )(?<!must )(?<!will )(?<!to )(?<!who can )(?:fix|debug|check|review|explain|improve|optimi[sz]e|"
    r"correct) "
    rf"(?:my|his|her) {_CODE}|is (?:my|his|her|the) {_CODE} (?:correct|right|okay|ok|valid|wrong|fine|good|broken)|"
    r"(?:spot|find|see|notice|where is|where's) (?:the|any) (?:bugs?|mistakes?|errors?)|"
    r"(?:what|which|why) (?:\w+ )?(?:errors?|warnings?|exceptions?|messages?) (?:am i|is he|is she|are you|do i|did i) "
    r"(?:getting|get)|getting (?:this|that|an?|these) (?:\w+ )?(?:error|warning|exception|message|popup)s?|"
    rf"(?:what|which) (?:\w+ )?{_OPENED} (?:am i|are we|are you|is \w+|do i|do we|do you|does \w+) (?:in|on|editing|"
    rf"viewing|have (?:open|up|selected))(?: right)?(?: now)?\W*$|(?:what|which) {_OPENED} (?:is|are) (?:active|"
    rf"selected|open)|(?:what|which) fields? (?:is|are) (?:missing|empty|required|wrong)|(?:the|this|that|"
    rf"what) file ?name|the (?:console|terminal|command line) (?:say|show|print)s?|in (?:the|my|his|her) (?:console|"
    rf"terminal)\W*$|output of (?:this|that)|on (?:his|her|their|my) (?:t-?shirt|shirt|mug|hat|cap|jacket|badge)|"
    rf"in (?:his|her|my) hands?|my camera on|my (?:t-)?shirt|what (?:do|does) \w+ have (?:open|up|selected)\W*$|"
    r"(?:where|what|which \w+) (?:do|should|can|must|did) (?:i|we|you|he|she|they) (?:(?:have|need) to )?(?:click|tap|"
    r"press|type)(?! to\b| up\b)|"
    rf"what(?:'s|'re| is| are| am| was) {_SOMEBODY}(?:holding|wearing)(?! (?:against|back))|who(?:'s|"
    rf" is) wearing(?! \w+ hats)|(?:is|are|am) \w+ wearing(?! \w+ hats)|(?:what|who)(?:'s| is| was) (?:\w+ )?(?:behind|"
    rf"next to|beside) (?:him|her|me|you)"
)
# Words for a screen and its content in the other likely languages of a meeting.
_OTHER_LANGUAGES = (
    r"bildschirm\w*|folien?|tabelle|diagramm\w*|zu sehen|écrans?|diapos?|diapositives?|tableau|graphique|pantallas?|"
    r"diapositivas?|gráficos?|schermo|schermata|grafico|tela|ekran\w*"
)
_ALL = (_THINGS, _PLACES, _SHARED, _SIGHT, _BEFORE, _POINTING, _PARTS, _WORK, _OTHER_LANGUAGES)
_ABOUT = re.compile(rf"(?<!\w)(?:{'|'.join(_ALL)})(?!\w)")
_FOLLOWS = re.compile(
    r"(?:[\w'-]+[,:!.]? )?(?:(?:ok|okay|so|yes|no|hm+|um|right|hey),? )*(?:and|or|what about|how about)\b"
)
_OF_ITS_OWN = re.compile(
    r"\b(?:our|ours|we|us|you|your|company|policy|contract|lunch|dinner|weather|meeting|tomorrow|today|thanks?|say|"
    r"said)\b"
)
_WORD = re.compile(r"\w{3,}")
_COMMON = frozenset(
    "about and any are but can company could did does for from get give has have hello her here him his how into its "
    "just many may meeting more most much not now number off one our out own page people per please project question "
    "say said says screen shall she should show shows slide some tell text than thank thanks that the their them then "
    "there these they this those three two was were what when where which who why will with would year you your".split()
)


def asks_about_screen(text: str, shown: Iterable[str] = (), follows: bool = False) -> bool:
    """Return whether a question is about the screen, so that a frame is worth its tokens.

    It names a thing or a place on a screen, a verb of seeing or showing, or a "this" that is no period of time. Or it
    shares words with `shown`, the descriptions of the current screens. If it `follows` another question about the
    screen, "And in March?" is enough.
    """
    question = " ".join(folded(both_ends(text, READ_CHARS)).split())
    if _ABOUT.search(question) is not None or (follows and _continues(question)):
        return True
    return any(_shares_words(question, one) for one in shown)


def _continues(question: str) -> bool:
    """Return whether a question takes its subject from the one before."""
    short = len(question.split()) <= MAX_FOLLOW_UP_WORDS
    return short and _FOLLOWS.match(question) is not None and _OF_ITS_OWN.search(question) is None


def _shares_words(question: str, shown: str) -> bool:
    return len(_content(question) & _content(folded(shown))) >= MIN_SHARED


def _content(text: str) -> set[str]:
    return {word for word in _WORD.findall(text) if word not in _COMMON and not word.isdigit()}
