"""An OpenAI-compatible image gateway: synchronous answers over asynchronous jobs, under budgets that hold."""
