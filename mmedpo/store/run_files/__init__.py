"""The files of a run folder as typed data: what lies in each, how it is written, how it is read back."""
