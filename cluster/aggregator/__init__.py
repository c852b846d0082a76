"""Run the aggregator: the named actor that records all costs and open rooms, and its clients."""
