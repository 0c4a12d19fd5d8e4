"""A stand-in EmpirioLabs over real HTTP, seeded and scriptable."""
