"""The run folder and what is in it: files written whole, the journal. Private."""
