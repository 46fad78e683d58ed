"""The report: one HTML file that shows what a run did, with its pictures; it needs nothing but itself to be read."""

from __future__ import annotations

from mmedpo.report.page import REPORT, write_report

__all__ = ["REPORT", "write_report"]
