"""The tables of the budgets: what each account has spent, and the alerts that are due."""
