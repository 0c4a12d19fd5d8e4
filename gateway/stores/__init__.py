"""Durable state behind the ports: accounts, jobs, cache rows and picture bytes."""
