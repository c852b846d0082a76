"""Settings, the router client, participants and tasks that every part of the agent uses."""
