return standing(ask.scopes)
