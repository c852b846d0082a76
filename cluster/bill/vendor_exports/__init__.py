"""The vendors' own reports of usage and costs, one file a vendor."""
