"""A stand-in EmpirioLabs over real HTTP."""
