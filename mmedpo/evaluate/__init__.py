"""Measures of answers before and after, how sure they are, and whether the model looks. Private."""
