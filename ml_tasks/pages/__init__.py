"""Records to HTML: self-contained pages that need no outside address."""
