"""What readers of reports share: which studies are taken, and what is asked of each."""
