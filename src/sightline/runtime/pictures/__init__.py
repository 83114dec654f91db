"""Pictures of a run: which of them the log keeps, in which form, and how they come out again."""
