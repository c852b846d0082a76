"""Questions about the screen without the usual words for it are recognised."""

from __future__ import annotations

import pytest

from room_agent.intent.screen_question import asks_about_screen

SCREEN_QUESTIONS = """
What does the red line represent?
What's the percentage in the pie?
Could you zoom in on that for me?
What are the units?
What's in the footer?
What's the date in the header?
How much is the total?
What was the revenue number just now?
What's Alice presenting?
What did Alice share earlier?
What tab do I have open?
Where do I click next?
Where should I click?
What error am I getting?
What's wrong with my code?
Is my code correct?
What does line 42 do?
Which file am I editing?
What caused that spike?
What's the spike in March?
What's behind him?
What is he holding?
What is she wearing?
What have we looked at so far?
What was presented earlier?
What is the value in row 3?
What's in row three column two?
Does that add up?
Are those figures right?
Does the total match?
Can you check the math?
What's the difference between those two?
Which of these is better?
What's the phone number there?
What's the QR code for?
What's the acronym?
What's on now?
What just changed?
What changed?
What's different now?
How big is the blue slice?
What's item number four?
What number is it?
What's the total?
What's Priya sharing right now?
Who is sharing?
What did Peter present just now?
What has Sofia shared so far?
Sum up what Ming presented
What is O'Brien pointing at?
What's Bob drawing?
What's Karl typing?
What does the dotted line stand for?
What does the green bar mean?
How tall is the orange bar?
What's the yellow box for?
Why is the red curve falling?
What do the grey dots represent?
Which of the blue lines is ours?
How big is the purple segment?
What does the star symbolize?
What does the dashed arrow indicate?
What percentage is the green slice?
What is the unit?
What's the scale?
What's in the sidebar?
What does the tooltip say?
What's the watermark?
What's in the status bar?
Where does the QR code lead?
What's in cell B4?
What's the value in column C?
What is in row seven?
What does line twelve say?
What's on line 8?
What happens on line 120?
Why is there a dip in June?
What explains this peak?
Why does it drop there?
Are there any outliers?
Zoom in please
Can you zoom into the corner?
Scroll down a bit, what's there?
Can you scroll up?
What warning am I getting?
Why am I getting this exception?
What's wrong with my query?
Can you check my formula?
Please debug my code
Is my formula right?
Can you spot the bug?
Where's the bug?
What folder am I in?
What app do I have open?
What do I have open?
Where do I have to click now?
What should I click next?
Where should I type?
What is Anna holding up?
What am I holding?
What are you seeing?
Is he wearing glasses?
What's Bob wearing?
Who's behind her?
What just popped up?
What just disappeared?
What has changed now?
What's different from before?
Read the second one
Explain the fourth one
What does the second one say?
Translate the first one
What's the third one?
Do the figures add up?
Is the sum correct?
Does the sum add up?
What's the grand total?
What's the average?
What was presented before the break?
Is there anything in the margin?
What's Jonas demonstrating?
What did Yuki just share?
Which file is Raj editing?
What tab is Kim on?
What website is she on?
What's the output of that command?
What does the console say?
What's in the terminal?
What is the little triangle for?
What does the shaded area mean?
Where do the two lines cross?
How many people can you count?
Read line five
Read the whole thing
Which field is missing?
What's the filename?
What's he pointing to?
What is on his T-shirt?
What am I wearing?
How many fingers am I holding up?
Is the spelling right?
Did I make a mistake here?
Why is it red?
What's plotted?
What is the peak?
When was the peak?
What's the highest point?
What has Chiara put up?
Could you explain what Marta is presenting?
What did the presenter show first?
Please describe what Noah is sharing
What's the thick line?
What do the dashed lines stand for?
What is the green area?
How wide is the yellow band?
What's the label on the red arrow?
What does the asterisk mean?
What's in column D?
Is the subtotal right?
Do those add up?
What's the sum?
What went wrong in this query?
Fix my SQL
What's missing on this form?
Where should he click?
What do I have to press now?
What just moved?
What did the previous page say?
Who's standing behind you?
What is Bob holding in his hand?
Is she wearing a headset?
Scroll back to the top
Tell me what's in the header
Explain the second one
Who's presenting at the moment?
Can you tell me what Leo is pointing at?
What did Grace show at the start?
What is the big number?
What do the stars mean?
What error do I get?
Is my camera on?
What's in my hand?
What does my shirt say?
Count the rows
How far along is the progress bar?
What's Bob sharing?
What is Mary Ann sharing?
What did Bob share?
What has Bob presented so far?
What's Bob pointing at?
Summarize what Bob presented
What is Jean-Luc sharing?
What does the blue line stand for?
Read the third one
What does the red one mean?
"""


@pytest.mark.parametrize("text", SCREEN_QUESTIONS.strip().split("\n"))
def test_a_screen_question_without_typical_words_is_recognised(text: str) -> None:
    assert asks_about_screen(text)
