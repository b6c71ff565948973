"""`fastrouter demo`: the router in front of small live apps."""
