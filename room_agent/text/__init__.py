"""Words as text: normalise and quote them."""
