"""Questions about the company are not about the screen, even in words that fit one."""

from __future__ import annotations

import pytest

from room_agent.intent.screen_question import asks_about_screen

OTHER_QUESTIONS = """
What's the per diem for Paris?
Is Bob sharing the cost with us?
What did Bob share about his holiday?
What changed in our policy since May?
Are we sharing the office with Acme?
Is Anna sharing a room with Tom?
Who is sharing a taxi to the airport?
What did Lucy share about the hiring plan?
What does Acme present in its annual report?
Is Tom presenting at the conference?
What is Anna presenting next week?
When is Bob presenting?
Do we share data with third parties?
What's our profit sharing scheme?
How does revenue sharing work?
What is our market share in Germany?
What does GDPR stand for?
What does SLA mean?
What does our union represent?
Who represents us in court?
What are the units in the Berlin building?
How big is the Berlin team?
How big is our marketing budget?
What's the percentage of women in management?
What's the percentage of remote workers?
What's the date of the next all-hands?
What's the date today?
What is the value of the Globex contract?
What is the average salary?
What's the average age of our customers?
What's the total headcount?
What is the total cost of the project?
What caused the outage last week?
What caused the delay?
Why did churn spike in March?
What changed in the travel policy?
What has changed since the merger?
What's changed in the leadership team?
What's different about the new contract?
What's new in the company?
What's new?
What's the difference between gold and platinum support?
Do we use Zoom or Teams?
Is there a Zoom account for the team?
Who pays for Zoom in the Berlin office?
What error rate do we allow?
What's our click-through rate?
Where do I click to book a flight in Concur?
What's wrong with my payslip?
What's wrong with my expense report?
Is my contract permanent?
Who reviews my code?
Which team am I in?
Which plan am I on?
Which office is Bob in?
Which file format do suppliers use?
What tab did we run up at dinner?
Do I have open invoices?
Who is holding the keys?
What position is she holding?
What's holding up the release?
Who is wearing two hats in this project?
Do we have to be wearing badges?
What's behind the decision?
Who is behind this project?
Which option did the board choose?
What's the third quarter forecast?
What's the next step?
When is the last day of the quarter?
Who was the first employee?
What's line management's view on this?
Who is my line manager?
What's the bottom line for us?
What's the red tape like in France?
What is a black box test?
Is there a blue-collar union?
Do we have a green card programme?
What is our red line in the negotiation?
Who is on the yellow team?
Do the rules match the law?
Does the insurance match contributions?
Is our figure for churn public?
Who sums up the meeting?
Sum up what Bob said
Recap what was agreed
Summarize what Anna told us
What did Tom say about pricing?
What has Anna done so far?
What have we discussed so far?
What have we decided so far?
What was decided before the break?
Can you speak louder?
Say that again please
Repeat the last answer
What was your last answer?
Thanks, that's all
And what's our travel policy?
Read the contract with Globex
Where should I send the invoice?
Where should I go for lunch?
What should I wear to the gala?
Can you check the calendar?
Can you check my holiday balance?
How do I scale the service?
What's the scale of the problem?
What's the head count in the header company?
Where is the margin highest?
What's our profit margin?
How many units did we sell?
What is the unit price?
Is our company sharing revenue with partners?
What is knowledge sharing?
What is Bob working on?
What is Bob doing tomorrow?
What's Bob's role?
What did Bob say he would share?
Did Bob share the file with you?
Please share your opinion
Who shared the news?
What has Bob been doing?
What did marketing present at the board meeting?
What did Anna present last week?
What did Anna present to the board?
When did Tom present his results?
Is Tom sharing a flat with Anna?
Are you sharing data with OpenAI?
Who is presenting next?
Where is Bob?
Where is Bob travelling?
What's the line between marketing and sales?
What's our line of credit?
What does the law say about overtime?
What is the blue card?
What's the green deal?
Is red wine served at the party?
Who wears a uniform?
Who is holding the meeting?
Who holds the shares?
What's a good average?
What's the average tenure?
What's the median salary in Berlin?
What's the sum of the invoices from May?
What is the ratio of women to men in the team?
What is the value added tax in France?
What's the unit of work in Scrum?
What's the scale of salaries?
What's missing in the offer to Globex?
What changed?  I mean in the law
What changed at Acme after the merger?
What changed for contractors this year?
Has anything changed since yesterday?
What happened?
What happened yesterday?
What's next?
What's up?
What's on for tomorrow?
What's on tonight?
How is it going?
Do the dates match the contract?
Does the offer match the tender?
Is the total cost of ownership known?
Who checks the numbers of the quarter?
Should I check the code of conduct?
Explain the code of conduct
What's the dress code?
What's the code for the door?
Who can fix my laptop?
Who do I ask to fix my laptop?
Which files do I need to hand in for the visa?
Which documents do we need?
Which app do we use for expenses?
Where can I type up the minutes?
Where do I click to request leave?
How do I zoom out of a project?
Can we move the Zoom into next week?
What warnings did the auditors give?
Why are we getting a fine?
What mistakes did we make last year?
Who made the mistake?
When is the peak season?
Why was there a spike in complaints?
Did sales drop in June?
Why do sales dip in summer?
Who is next to Anna at dinner?
What's behind the merger?
What is Chiara working on these days?
Who puts up the money?
What did Omar show at the offsite last year?
Are Lena and Marta sharing an apartment?
Is the presenter coming tomorrow?
Sven pointed out a risk, what was it?
What did Noah share with the customer?
What's the grey market?
Why is the market red hot?
What is the largest segment of our customers?
What's our largest market?
How wide is the product range?
What label does our beer have?
What's on the agenda for Monday?
How many seats are in row one of the plane?
Who wrote the fourth chapter?
Is the subtotal taxed?
Does the law add up for contractors?
What went wrong with the Globex deal?
Who fixes bugs on Sunday?
What warning period applies?
Who made an error in the payroll?
What's missing from our strategy?
Where should he go?
Who do I press for an answer?
What's the name of the new hire?
What's playing at the cinema?
What changed in Germany?
Who moved to Berlin?
What was the churn rate a year ago?
What did the previous CEO say?
Who stands behind the decision?
What stock is Bob holding?
Does she wear a suit to work?
What's the deal behind her promotion?
Go back to the old policy, what was it?
Is Zoom in our budget?
What's the tax table for 2024?
Do we have a second one?
Who was the second one to join?
When does the second half begin?
What is the average?  of all salaries I mean
What are the terms?
Could you explain what Marta wants?
What did we learn so far?
Who is the presenter of the award?
What is Fatima trying to achieve?
Can you tell me what Leo thinks?
What did Grace do at the start of her career?
What's the guy from Acme called?
Which candidate is preferred?
What does the third party want?
Where is the legal team?
What shape is the company in?
Why is the notice period so short?
What is the big plan?
What's the phone number of reception?
What does five star support mean?
What do our costs add up to?
Is there a way to export my payslips?
What do I get if I leave early?
Who wants a coffee?
Which line of business is growing?
What's the next holiday?
What's the name of our bank?
Who are the people in the board?
Is my salary on time?
What's in my contract?
What does my manual say about leave?
What's behind schedule?
Summarise the call
What did the CEO before say?
What was it again?
Count me in
What's the biggest risk?
Which product has the highest margin?
Is Bob pointing fingers?
What language do we speak at work?
Read me the policy
What are the key points of the strategy?
What is the value of ten shares?
How far along is the migration?
What's the capital?
Give me the number of the helpdesk
Are we presenting the offer to Acme?
"""


@pytest.mark.parametrize("text", OTHER_QUESTIONS.strip().split("\n"))
def test_a_company_question_in_words_of_a_screen_needs_no_frame(text: str) -> None:
    assert not asks_about_screen(text)
