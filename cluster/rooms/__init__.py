"""Track the open rooms and forecast the replicas that they need."""
