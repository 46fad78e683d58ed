"""The report: one HTML file that shows what a run did, with its pictures; it needs nothing but itself to be read."""
