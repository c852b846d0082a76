"""The charge of one attempt, from its vendor's usage or from the means of earlier answers."""
