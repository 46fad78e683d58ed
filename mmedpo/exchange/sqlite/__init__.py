"""A run as one SQLite file: tables with keys, views and full text search, for datasette or any SQL tool."""
