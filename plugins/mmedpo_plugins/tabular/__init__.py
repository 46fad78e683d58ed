"""What readers of tables share: which column holds what, and rows of parquet files."""
