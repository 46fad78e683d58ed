"""Requests over HTTP: what an endpoint takes, what it answers, and what that means. Private."""
