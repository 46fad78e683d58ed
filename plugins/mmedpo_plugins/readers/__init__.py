"""Readers: from a data set's files to cases or ready pairs."""
