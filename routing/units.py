"""The factors between units."""

NANOUSD_PER_USD = 1_000_000_000
DAY_S = 86_400
