"""The report: one HTML file that shows what a run did, with its pictures; it needs nothing but itself to be read."""

from __future__ import annotations

from mmedpo.report.page import write_report

__all__ = ["write_report"]
