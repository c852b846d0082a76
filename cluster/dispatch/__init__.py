"""`rayroom dispatch`: keeps exactly one agent in every room of a tenant."""
