"""What an operator sees: metrics and one log line a request."""
