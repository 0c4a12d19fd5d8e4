"""Those who make images: one wire and one pure translator each."""
