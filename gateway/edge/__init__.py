"""HTTP: OpenAI's words in, OpenAI's words out."""
