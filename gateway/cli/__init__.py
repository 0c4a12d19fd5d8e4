"""The command line: every command of `imagegate`, over the admin socket or the store."""
