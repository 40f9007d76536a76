"""Words without facts: slots in, facts rendered, everything else refused. Plain Python, no database and no clock of its own."""
