"""Localizers: where on a film the lesion is."""
