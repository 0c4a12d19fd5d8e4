"""The composition root: everything is built here by hand, opened in order, closed in reverse.

When a port cannot answer: keys and ledger fail closed (503, nothing is admitted or held); what the upstream did is written
again and again until the journal takes it; pictures that cannot be kept are collected again; without the allowance no new
order is promised a turn, and those in the queue wait; who cannot be told to be alive is taken for dead after a lease, and
its jobs are taken over. Requests a minute fail open: what cannot be counted is let through, and shows in the
store's errors; images a minute and in flight are part of the hold, and fail closed with it. So does the cache: a store that
cannot say whether an order was made could not hold its money either, and a disk that cannot say whether a picture is there
could keep none (503, and nothing is bought a second time for that).
"""
