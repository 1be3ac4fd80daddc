"""What every service shares: contracts between processes, the chassis any service runs on, and model serving."""
