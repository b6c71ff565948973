"""Error pages from a template in the language of Go's html/template."""
