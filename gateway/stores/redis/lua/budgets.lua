-- The budgets of these scopes, as `standing` tells them.
return standing(ask.scopes)
