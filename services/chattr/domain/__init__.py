"""What is true of characters, conversations and memory without any technology: pure functions and values."""
