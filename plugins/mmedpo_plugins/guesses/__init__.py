"""What data of unknown make are taken for: which table, which of its columns holds what, where its images are."""
