"""`make chaos`: kill every part of the bill at random and at named points, then compare all books."""
