"""Pictures as arrays: compare, classify, hash, scale and encode them."""
