"""What lies in the folder of a checkpoint or an adapter: its files, in whose names, whole or not. Private."""
