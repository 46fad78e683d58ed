"""What a person sees of a command: live progress, tables at the end. The only home of rich."""
