"""Messages between the applications of linked nodes."""
