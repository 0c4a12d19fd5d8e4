return repeated(ask.idempotent, ask.body_hash, ask.since)
