"""The vendors, each behind one seam; their errors become ours here, once."""
