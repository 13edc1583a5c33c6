"""What leadership reads: what routing cost, what it saved and how sure that is."""
