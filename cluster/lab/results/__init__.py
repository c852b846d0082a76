"""What a run measured, as typed records and tables."""
