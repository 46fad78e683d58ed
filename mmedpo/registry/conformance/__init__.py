"""Check what parts return, a module a kind, where it enters the pipeline, and blame a breach on the plugin by name.

Whatever comes out of here is of the types that the contracts name: finite numbers of Python's own, texts that a file
can hold, and JSON where JSON is meant.
"""
