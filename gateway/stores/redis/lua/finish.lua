-- Settle or release.
return finish(ask.attempt, ask.ending) and 1 or 0
