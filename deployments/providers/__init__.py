"""The vendors' adapters behind one interface; their errors are mapped to those of rayroom here."""
