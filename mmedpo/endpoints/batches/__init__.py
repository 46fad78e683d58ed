"""Requests that go in batches and are answered within a day. Private."""
