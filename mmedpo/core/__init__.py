"""What everything speaks of: records, images as files, plain values. Private."""
