"""The same faults for everyone: what clients make of answers that are cut, malformed, refused or counted oddly."""
