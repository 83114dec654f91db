"""One module for each version; what was published is never changed."""
